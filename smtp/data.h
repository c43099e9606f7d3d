/* data: the command DATA. */
#ifndef POSTERN_DATA_H
#define POSTERN_DATA_H

#include "smtp/session.h"

/* Handler of the command table; there are recipients. The reply is that to the end of the data, or to DATA
 * where the message had no place to begin; NULL where the client went away. Logs the message. */
const struct reply *data_command(struct session *s, struct slice argument);

#endif
