/* review: `postern-smtpd -n`: the configuration in effect, its tables, and what in it looks wrong. */
#ifndef POSTERN_REVIEW_H
#define POSTERN_REVIEW_H

#include "smtp/session.h"

/* Shows all of it on descriptor 1, complaints and warnings on 2. The exit code: 0, also with warnings; 100
 * where a session would not begin; 111 where it would have trouble, or the output is lost. */
int review(struct session *s, char *const *environment);

/* Prints why a variable does not hold, as config_load has it. */
void review_complain(void *context, const char *name, const char *value, const char *why);

#endif
