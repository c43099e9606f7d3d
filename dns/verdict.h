/* verdict: the sum of the findings about a client, and the one that decided. Pure.
 *
 * White lists let a client pass all others. The rest add their weights up to a score. Trouble (silence, a
 * failing resolver, a list's error code) is "not listed". */
#ifndef POSTERN_VERDICT_H
#define POSTERN_VERDICT_H

#include "dns/finding.h"

enum verdict {
    VERDICT_OPEN,   /* answers still out may decide */
    VERDICT_CLEAN,  /* the score is below the threshold */
    VERDICT_LISTED, /* it is not */
    VERDICT_WELCOME /* a white list has the client */
};

/* Known as soon as no answer that is still out can change it. */
enum verdict verdict_of(const struct findings *all);

/* False once the verdict cannot be VERDICT_LISTED any more, though a white list may still have to answer. */
bool verdict_may_be_listed(const struct findings *all);

/* The weights of all hits so far; white lists have no part in it. */
int verdict_score(const struct findings *all);

/* The finding that decided: the first white hit; else, where the verdict is VERDICT_LISTED, the hit of most
 * weight, the first of equals. -1: none. */
int verdict_decider(const struct findings *all);

#endif
