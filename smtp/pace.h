/* pace: turns: the delays of the door, and clients that talk out of turn (RFC 5321 4.3.1, RFC 2920 3.1). */
#ifndef POSTERN_PACE_H
#define POSTERN_PACE_H

#include "smtp/session.h"

/* Waits GREETDELAY, shorter for a client that RWL has, and looks whether the client speaks before it is
 * greeted. The reply in the banner's place; NULL: the banner. */
const struct reply *pace_open(struct session *s);

/* Called where a client must wait for the reply to `command`: did it? The reply in that one's place; NULL:
 * it waited, or may go on. */
const struct reply *pace_turn(struct session *s, const char *command);

/* The delays before the reply to an error, and before that to a recipient. */
void pace_error(struct session *s);
void pace_recipient(struct session *s);

/* The line is no SMTP. The last reply, logged; NULL: it may be SMTP. */
const struct reply *pace_foreign(struct session *s, struct slice line);

#endif
