/* tinycdb: the one door to <cdb.h>, for this folder and for tests that compare with it.
 *
 * libowfat ships a header of that name with other signatures. */
#ifndef POSTERN_TINYCDB_H
#define POSTERN_TINYCDB_H

#include <cdb.h>

#ifndef TINYCDB_VERSION
#error "<cdb.h> is not tinycdb's: its folder must come first on the include path"
#endif

#endif
