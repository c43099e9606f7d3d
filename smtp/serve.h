/* serve: the conversation: banner, command table, limits, end. */
#ifndef POSTERN_SERVE_H
#define POSTERN_SERVE_H

#include "smtp/session.h"

/* Holds the whole session, from banner to close. */
void serve(struct session *s);

#endif
