/* body: the DATA stream, from the wire's bytes to the message's (RFC 5321 4.1.1.4, 4.5.2).
 *
 * A pure step function: it may be fed whole, byte by byte, or split anywhere, and yields the same bytes.
 * CRLF becomes LF, the dot before a stuffed line goes, and only CRLF.CRLF ends the data. A bare LF becomes a
 * line end of the stored message, but for the protocol it is no line end: no dot behind it is stuffing, and
 * no dot between two of them ends anything (CVE-2023-51764 and kin). A CR without LF stays as it came. */
#ifndef POSTERN_BODY_H
#define POSTERN_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The output may be this much ahead of the input it came from: a CR held back at the end of
 * one step is written by the next. */
enum { BODY_HEADROOM = 1 };

enum { BODY_ID = 250 }; /* octets of a Message-ID that are kept */

enum body_state { BODY_BOL, BODY_TEXT, BODY_CR, BODY_DOT, BODY_DOT_CR, BODY_END };

struct body {
    enum body_state state; /* where the next byte falls, as SMTP counts lines */
    bool in_header;        /* the empty line has not come yet */
    bool has_nul, has_bare_lf;
    bool takes_id;           /* the value of Message-ID is being read */
    unsigned char id_len;    /* of the first Message-ID; 0: none came */
    char id[BODY_ID];        /* its value as it came, without white space before it */
    unsigned char field_len; /* bytes of the header line's start held in `field` */
    char field[13];
    unsigned hops; /* Received and Delivered-To fields seen */
    uint64_t size; /* octets as RFC 1870 4 counts them: line ends as CRLF, no stuffing */
};

void body_init(struct body *b);

/* Takes bytes from `in` and writes message bytes to `out`, at most n + BODY_HEADROOM of them. `out` may be
 * in - BODY_HEADROOM: it never overtakes the input. Returns how many bytes were taken: all, or fewer when the
 * end of data came (b->state == BODY_END); the rest belongs to the next command. */
size_t body_step(struct body *b, const char *in, size_t n, char *out, size_t *written);

#endif
