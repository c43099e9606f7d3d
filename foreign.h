/* foreign: other protocols that come to an SMTP port, known by how they begin. Pure. */
#ifndef POSTERN_FOREIGN_H
#define POSTERN_FOREIGN_H

#include "slice.h"

/* The stable word for what `line` is the beginning of: http, ssh, tls, rdp, binary. NULL: it may be SMTP. */
const char *foreign_protocol(struct slice line);

#endif
