/* explain: answers for the operator: `postern-smtpd -n` and `postern-smtpd -w`.
 *
 * Answers go to descriptor 1, complaints and warnings to 2. */
#ifndef POSTERN_EXPLAIN_H
#define POSTERN_EXPLAIN_H

#include "smtp/session.h"

/* -n: the configuration in effect, its tables, and what in it looks wrong. The exit code: 0, also with
 * warnings; 100 where a session would not begin; 111 where it would have trouble, or the output is lost. */
int explain_settings(struct session *s, char *const *environment);

/* -w: asks the door about client, HELO name, sender and recipient, as they stand on a command line, and
 * prints every check with its ground. The exit code: 0 accept, 1 refuse, 2 defer; 100 where an argument or a
 * setting is wrong. */
int explain_door(struct session *s, char *const *environment, char *const arguments[4]);

#endif
