/* place: where a mailbox entry says its mail goes; the value of a line in the mailboxes table.
 *
 * Pure; used by the compiler of the tables, which refuses unknown places, and by the session. */
#ifndef POSTERN_PLACE_H
#define POSTERN_PLACE_H

#include "base/slice.h"

enum {
    PLACE_MAX = 400 /* octets of a value: a reply line must stay below 512 (RFC 5321 4.5.3.1.5) */
};

enum place_kind {
    PLACE_SPOOL,   /* nothing said: SPOOL */
    PLACE_MAILDIR, /* a path that ends in a slash, relative to the working directory */
    PLACE_REPLY /* a scripted reply to RCPT: NNN text, NNN from 400 to 559, as replies have it (RFC 5321 4.2)
                 */
};

/* The kind of `value`. NULL on success, else why it is no place. */
const char *place_parse(struct slice value, enum place_kind *kind);

#endif
