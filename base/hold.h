/* hold: bytes kept until their use is known: a few in memory, more in a file without a name. */
#ifndef POSTERN_HOLD_H
#define POSTERN_HOLD_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum { HOLD_BLOCK = 65536 /* bytes that need no file */ };

struct hold {
    int fd;                /* the file, in /tmp; -1: none is needed yet */
    uint64_t spilled;      /* bytes in the file */
    size_t used;           /* bytes behind those, in `rest` */
    char rest[HOLD_BLOCK]; /* bytes that are not in the file */
    char back[HOLD_BLOCK]; /* bytes read back from it */
};

/* Nothing is held. */
void hold_init(struct hold *h);

/* 0, or -1 with errno: there is no space. */
int hold_write(struct hold *h, const char *bytes, size_t n);

/* 1 with the bytes from the one at `at` on, as many as there are in one piece; 0: there is none; -1 with
 * errno. They are valid until the next call. */
int hold_read(struct hold *h, uint64_t at, struct slice *piece);

#endif
