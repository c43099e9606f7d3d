/* cdbmake: a constant database on its way into a file (http://cr.yp.to/cdb/cdb.txt).
 *
 * Records go into the file as they come, through one block; eight octets of memory are kept for each, for the
 * hash tables behind them. Of equal keys it is told at the end: the tables then have them side by side. */
#ifndef POSTERN_CDBMAKE_H
#define POSTERN_CDBMAKE_H

#include <stdint.h>

#include "base/slice.h"

enum {
    CDBMAKE_START = 2048, /* of the records in the file */
    CDBMAKE_KEY = 512,    /* octets of a key at most */
    CDBMAKE_BLOCK = 65536 /* octets of a record at most, with its head of eight */
};

struct cdbmake {
    int fd;
    uint32_t at;      /* of the next record */
    uint64_t records; /* so far */
    size_t used;      /* of the block */
    struct cdbmake_list {
        struct cdbmake_run *first, *last;
        uint32_t n;
    } lists[256]; /* a hash table each */
    unsigned char block[CDBMAKE_BLOCK];
};

/* Begins in the empty file `fd`. It and all others: 0, or -1 with errno; EFBIG: a database has 4 GiB at
 * most. Its memory is never freed: a process makes one. */
int cdbmake_begin(struct cdbmake *m, int fd);

int cdbmake_add(struct cdbmake *m, struct slice key, struct slice value);

/* Told of a record whose key an earlier one has, and where both are in the file. 0, or -1 to give up. */
typedef int cdbmake_repeat(void *context, uint32_t first, uint32_t again);

/* Writes the hash tables. A record that is a repeat is in none of them. */
int cdbmake_finish(struct cdbmake *m, cdbmake_repeat *repeat, void *context);

/* The key of the record at `at`, which is in the file: from the first repeat on. Its length, or -1. */
int cdbmake_key(const struct cdbmake *m, uint32_t at, char key[CDBMAKE_KEY]);

#endif
