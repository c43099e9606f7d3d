/* fuzz: shared by the fuzz targets: a claim that must hold, and copies with nothing around them. */
#ifndef POSTERN_FUZZ_H
#define POSTERN_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Unlike assert(3) it does not depend on NDEBUG. */
#define MUST(claim)                                                                                          \
    do {                                                                                                     \
        if (!(claim)) {                                                                                      \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #claim);                                      \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* A copy on the heap, of which the sanitizer sees every read past its end. */
static inline struct slice copy_of(const void *bytes, size_t n)
{
    char *copy = malloc(n ? n : 1);

    MUST(copy);
    if (n)
        memcpy(copy, bytes, n);
    return (struct slice){copy, n};
}

static inline void drop(struct slice copy)
{
    free((void *)(uintptr_t)copy.p);
}

static inline bool is_same(struct slice a, struct slice b)
{
    return a.n == b.n && !memcmp(a.p, b.p, a.n);
}

#endif
