/* lines: the lines of a file, one after the other, in a buffer of fixed size. */
#ifndef POSTERN_LINES_H
#define POSTERN_LINES_H

#include <stdbool.h>

#include "base/slice.h"

enum { LINES_BUFFER = 65536 };

struct lines {
    int fd;
    bool ended;      /* the file has no more */
    size_t at, have; /* the part of the buffer not given yet: from `at` to `have` */
    char buffer[LINES_BUFFER];
};

void lines_begin(struct lines *l, int fd);

/* The next line with its line end, which the last one may lack; valid until the next call. 1; 0 at the
 * end; -1 trouble with errno. A line that does not fit into the buffer is dropped, and *whole is false. */
int lines_next(struct lines *l, struct slice *line, bool *whole);

#endif
