/* door: may this client come in, and how far?
 *
 * All checks stand in one ordered table, local ones before those that ask the network. The session asks it
 * stage by stage, `postern-smtpd -w` all of it at once. */
#ifndef POSTERN_DOOR_H
#define POSTERN_DOOR_H

#include "smtp/session.h"
#include "table/table.h"

/* The tables that checks ask. */
struct door {
    struct table domains, mailboxes, badsenders;
};

/* No table is opened yet. */
void door_begin(struct session *s);

/* The subject of the checks, which fill in the rest. */
struct visit {
    enum stage stage;
    const struct address *sender;
    struct address *recipient; /* a bare postmaster gets our domain */
    struct slice place;        /* of the recipient: a Maildir; empty: SPOOL */
    const char *rule;          /* the last check's ground, for the operator; NULL: none */
};

/* The first refusal by a check of this stage; NULL: there is none. */
const struct reply *door_ask(struct session *s, enum stage stage, struct visit *v);

/* Told of one check: its name, its stage and ground (in the visit), its refusal (NULL: none). */
typedef void door_witness(void *context, const char *check, const struct visit *v,
                          const struct reply *refusal);

/* Asks every check of every stage in order, up to the one that refuses. */
const struct reply *door_explain(struct session *s, struct visit *v, door_witness *tell, void *context);

#endif
