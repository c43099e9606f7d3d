/* starttls: the command STARTTLS (RFC 3207). */
#ifndef POSTERN_STARTTLS_H
#define POSTERN_STARTTLS_H

#include "smtp/session.h"

/* A handler, a row of verbs.c. NULL: TLS is on, or the session is over. */
const struct reply *starttls_command(struct session *s, struct slice argument);

/* May STARTTLS be said? */
bool starttls_is_offered(const struct session *s);

/* What there is to say to a command that may come only within TLS, where that is demanded. NULL: nothing. */
const struct reply *starttls_demand(const struct session *s);

/* Logs what was agreed upon. */
void starttls_log(struct session *s);

#endif
