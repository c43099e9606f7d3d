/* finding: one DNS list's answer about a client (RFC 5782), and all findings about one client. Pure. */
#ifndef POSTERN_FINDING_H
#define POSTERN_FINDING_H

#include <stdint.h>

#include "dns/dnslist.h"

enum { FINDING_MAX = 2 * DNSLIST_MAX }; /* of both sets of lists */

enum finding_state {
    FINDING_ASKED,   /* no answer yet */
    FINDING_MISS,    /* not listed, or by no answer that matches */
    FINDING_HIT,     /* listed */
    FINDING_ERROR,   /* an error code of the list, or an answer that no list may give */
    FINDING_FAILED,  /* the resolver is not there, or it failed */
    FINDING_TIMEOUT, /* no answer by the deadline */
};

/* Small: those of a few lists share a page of memory with the questions. */
struct finding {
    const struct dnslist *list;
    int64_t took;            /* nanoseconds from the question to the answer, or to giving up */
    unsigned char answer[4]; /* as finding_judge has it */
    bool is_white;
    unsigned char state;    /* enum finding_state */
    unsigned char asked_by; /* of the findings with one zone the first is asked for all */
};

struct findings {
    size_t n; /* the white lists' findings, then the others', each in their order */
    int threshold;
    struct finding finding[FINDING_MAX];
};

/* The state as a word: asked, miss, hit, error, failed, timeout. */
const char *finding_word(enum finding_state state);

/* The state that a DNS answer gives the client in this list: never FINDING_ASKED or FINDING_TIMEOUT.
 * `answer` gets the address that decided; where none matched, the first there is, or 0.0.0.0. Answers count
 * when they are in 127/8, but not 127.0.0.1, nor the error codes 127.255.255.x and 127.0.0.255. */
enum finding_state finding_judge(const struct dnslist *list, struct slice packet, unsigned char answer[4]);

/* A finding for each list of both sets, which must outlive them; none has an answer. `threshold` is 1 or
 * more. */
void finding_gather(struct findings *all, const struct dnslists *white, const struct dnslists *black,
                    int threshold);

#endif
