/* host: the setting that names this host: a domain or address literal; by default, the machine's own name. */
#ifndef POSTERN_HOST_H
#define POSTERN_HOST_H

#include "base/knob.h"

/* Its field is a const char *. */
extern const struct kind host_kind;

/* The name is the machine's own: the setting was not set. */
bool host_is_own(const char *name);

#endif
