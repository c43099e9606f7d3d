/* envelope: the commands MAIL and RCPT, and where a recipient's mail goes. */
#ifndef POSTERN_ENVELOPE_H
#define POSTERN_ENVELOPE_H

#include "smtp/session.h"

/* Handlers of the command table. */
const struct reply *envelope_mail(struct session *s, struct slice argument);
const struct reply *envelope_rcpt(struct session *s, struct slice argument);

#endif
