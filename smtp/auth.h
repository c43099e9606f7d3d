/* auth: the command AUTH (RFC 4954): PLAIN and LOGIN, asked of a checkpassword program. */
#ifndef POSTERN_AUTH_H
#define POSTERN_AUTH_H

#include "smtp/session.h"

/* Before a password may come: from now on this process leaves no core, and no other process may look into
 * it. */
void auth_begin(const struct session *s);

/* A handler, a row of verbs.c. */
const struct reply *auth_command(struct session *s, struct slice argument);

/* May AUTH be said here and now? */
bool auth_is_offered(const struct session *s);

#endif
