/* foreign: other protocols that come to an SMTP port, known by how they begin. Pure. */
#ifndef POSTERN_FOREIGN_H
#define POSTERN_FOREIGN_H

#include "base/slice.h"

/* No text begins with this byte, in ASCII or UTF-8. */
bool foreign_is_binary(char first);

/* The stable word for the protocol that begins with `line`: http, ssh, tls, rdp, binary. NULL: it may be
 * SMTP. */
const char *foreign_protocol(struct slice line);

#endif
