/* spelling: whether one name was written where another was meant. Pure. */
#ifndef POSTERN_SPELLING_H
#define POSTERN_SPELLING_H

#include <stdbool.h>

/* `name` is not `meant`, but looks like it: in other case, or with one slip of the pen (a letter more, less,
 * other, or two exchanged), or two where the name is long. Short names are like too many others: they need
 * more. */
bool spelling_is_near(const char *name, const char *meant);

#endif
