/* message: one message of a session, from its first octet to the reply.
 *
 * It is read off the wire, checked, stored and logged. Begin, read until the command that brings it sees its
 * end, finish. */
#ifndef POSTERN_MESSAGE_H
#define POSTERN_MESSAGE_H

#include "mail/body.h"
#include "smtp/session.h"

enum { MESSAGE_ID = SESSION_ID + 48 }; /* room for SESSION.N, N counting from 1 */

struct message {
    instant began;
    const struct reply *fault; /* the refusal, as far as known; NULL: none */
    char id[MESSAGE_ID];
    struct body body;
};

/* Opens the place of the transaction's message. NULL, or the reply where there is none: it is over. */
const struct reply *message_begin(struct session *s, struct message *m);

/* Takes the next bytes off the wire. False where there is no going on: the connection ended, or nobody waits
 * for the end of so much; m->fault is then the last reply (NULL: nobody is there). */
bool message_read(struct session *s, struct message *m);

/* Stores it, if it is whole and has no fault. The reply: when that is accepted, the message is safe. NULL
 * where the client went away. */
const struct reply *message_finish(struct session *s, struct message *m, bool whole);

#endif
