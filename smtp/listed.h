/* listed: the answers of DNS lists about this session's client, asked at connect and heard when needed. */
#ifndef POSTERN_LISTED_H
#define POSTERN_LISTED_H

#include "dns/finding.h"
#include "smtp/session.h"
#include "table/table.h"

struct listed {
    bool heard;       /* the verdict is known and logged */
    size_t reply_len; /* what follows from it, in `reply`; 0: nothing */
    char *reply;      /* SESSION_TEXT octets */
    struct table sick;
    struct dnslists *black, *white;
    struct findings *findings;
    struct survey *survey; /* <dns.h> is not for all */
};

/* Asks RWL and DNSBL, where they are set and tcprules has not decided already (RBLSMTPD). */
void listed_begin(struct session *s);

/* As wire_pause, taking answers meanwhile. Over at once when a white list has the client: WIRE_OTHER. */
enum wire_pause listed_pause(struct session *s, instant until, enum wire_watch watch);

/* Takes answers while the client is silent, until the verdict is known: WIRE_OTHER. WIRE_TALK or WIRE_GONE
 * where the client comes first. */
enum wire_pause listed_listen(struct session *s);

/* At the end of the session: logs a verdict that nobody heard. */
void listed_close(struct session *s);

/* The refusal due at `stage`, or NULL. Waits for the verdict, DNSBL_TIMEOUT at most. *rule tells the
 * operator its ground. */
const struct reply *listed_refusal(struct session *s, enum stage stage, const char **rule);

/* The lists that have the client, with their answers, "NAME=127.0.0.4, ...": as many as fit into `space`.
 * Returns the length; 0: none, or nobody asked yet. */
size_t listed_hits(const struct session *s, char *out, size_t space);

#endif
