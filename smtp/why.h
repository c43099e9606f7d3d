/* why: tells an operator what the door would say to a client, and why: `postern-smtpd -w`. */
#ifndef POSTERN_WHY_H
#define POSTERN_WHY_H

#include "smtp/session.h"

/* Asks the door about client, HELO name, sender and recipient, as they stand on a command line, and prints
 * every check with what it went by. The configuration is loaded. 0 accept, 1 refuse, 2 defer; 100 where an
 * argument is wrong. */
int why(struct session *s, char *const arguments[4]);

#endif
