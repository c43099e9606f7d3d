/* verbs: the commands by name, each with its needs, its event and its function (RFC 5321 4.1.1). */
#ifndef POSTERN_VERBS_H
#define POSTERN_VERBS_H

#include "smtp/session.h"

/* The state a command needs: any; greeted, with no transaction open; a transaction open; one with a
 * recipient. */
enum verb_state { VERB_ANY, VERB_CLEAR, VERB_OPEN, VERB_READY };
enum verb_argument { VERB_NONE, VERB_OPTIONAL, VERB_NEEDED };

/* Flags of a verb. */
enum {
    VERB_TURN = 1,    /* the client must wait for the reply */
    VERB_PLAIN = 2,   /* it may be said before a TLS that is demanded (RFC 3207 4) */
    VERB_IDLE = 4,    /* by itself it moves no mail: MAXNOOPS bounds it */
    VERB_LAST = 8,    /* it is left to a client that was turned away */
    VERB_SECRET = 16, /* a password comes with it, or in answer to it */
    VERB_LOGGED = 32  /* once it is run it logs its end itself */
};

/* The event that a command is logged as. */
enum verb_event { VERB_COMMAND, VERB_MAIL, VERB_RCPT };

struct verb {
    const char *name;
    const struct reply *(*run)(struct session *s, struct slice argument); /* NULL: the client is gone */
    enum verb_state state;
    enum verb_argument argument;
    unsigned flags;
    enum verb_event event;
    enum stage stage; /* of the checks made before it is run */
};

/* NULL: there is none of this name. Case does not matter. */
const struct verb *verbs_find(struct slice name);

#endif
