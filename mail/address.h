/* address: the paths of MAIL and RCPT (RFC 5321 4.1.2, RFC 6531 3.3), from bytes to a mailbox.
 *
 * Pure. A parsed address keeps the local part as the mailbox owner would write it, without
 * quotes and backslashes, so that `"bob"@x` and `bob@x` are one mailbox. */
#ifndef POSTERN_ADDRESS_H
#define POSTERN_ADDRESS_H

#include "base/slice.h"

/* Everybody must take a local part of 64 octets (RFC 5321 4.5.3.1.1). Return paths that name a recipient
 * are longer, and so are rewritten ones: only the path has a limit here. */
enum {
    ADDRESS_DOMAIN = 255,             /* octets of a domain (4.5.3.1.2) */
    ADDRESS_PATH = 256,               /* octets of a path with its punctuation (4.5.3.1.3) */
    ADDRESS_LOCAL = ADDRESS_PATH - 4, /* a path without <, @, a domain of one octet and > */
    ADDRESS_FMT = 11 + ADDRESS_DOMAIN /* longest text of address_fmt and address_key: "postmaster@" and any
                                         domain; all else is as short as it came */
};

struct address {
    unsigned char local_len, domain_len; /* both 0: the null reverse-path */
    bool utf8;                           /* needs SMTPUTF8 */
    char local[ADDRESS_LOCAL];
    char domain[ADDRESS_DOMAIN]; /* lower case; empty only for a bare postmaster or the null path */
};

enum address_kind {
    ADDRESS_REVERSE, /* of MAIL: may be null */
    ADDRESS_FORWARD, /* of RCPT: may be <postmaster> without a domain */
    ADDRESS_MAILBOX  /* local@domain without brackets, quotes allowed, as in tables */
};

/* Reads a path from the start of `text`. On success `*rest` is the text behind it: nothing, or white space
 * and more. A source route is checked and dropped. Angle brackets may be missing where the path holds no
 * space, quote or bracket. NULL on success, else why not. */
const char *address_parse(struct slice text, enum address_kind kind, struct address *a, struct slice *rest);

/* An address as programs of qmail's write it into an envelope, all of `text`: quotes of the local part may be
 * missing, and without an @ it is a mailbox of `me`, a domain. NULL on success, else why not. */
const char *address_parse_queued(struct slice text, const char *me, struct address *a);

/* A domain or address literal alone, as HELO and the tables have it. */
bool address_is_domain(struct slice text);

/* The length of the well-formed UTF-8 sequence above U+009F at the start of s; 0 if there is none
 * (RFC 3629 4: no overlong forms, no surrogates; C1 controls are refused, too). */
size_t address_utf8(struct slice s);

static inline bool address_is_null(const struct address *a)
{
    return !a->local_len && !a->domain_len;
}

/* The mailbox as it stands in a header or an SMTP command: local part quoted where it must be, and never
 * longer than the text that address_parse took it from. No brackets, no NUL; returns the length, ADDRESS_FMT
 * at most. */
size_t address_fmt(char *out, const struct address *a);

/* The mailbox as a table key: unquoted and in lower case (ASCII). */
size_t address_key(char *out, const struct address *a);

#endif
