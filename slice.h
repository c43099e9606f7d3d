/* slice: bytes that somebody else owns, as pointer and length.
 *
 * Everything that came from outside travels as a slice: it has no terminating NUL, may hold
 * any byte, and lives only as long as the buffer it points into. */
#ifndef POSTERN_SLICE_H
#define POSTERN_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <case.h>

struct slice {
    const char *p;
    size_t n;
};

static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

/* The rest behind the first `n` bytes, n <= s.n. */
static inline struct slice slice_after(struct slice s, size_t n)
{
    return (struct slice){s.p + n, s.n - n};
}

/* Equal to the C string `text`, ASCII case ignored. */
static inline bool slice_is(struct slice s, const char *text)
{
    return s.n == strlen(text) && case_equalb(s.p, s.n, text);
}

/* Begins with the C string `text`, ASCII case ignored. */
static inline bool slice_starts(struct slice s, const char *text)
{
    size_t n = strlen(text);
    return s.n >= n && case_equalb(s.p, n, text);
}

#endif
