/* slice: bytes that somebody else owns, as pointer and length.
 *
 * All bytes from outside travel as slices. A slice has no terminating NUL, may hold any byte, and lives
 * only as long as the buffer it points into. */
#ifndef POSTERN_SLICE_H
#define POSTERN_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

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

static inline char slice_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Begins with the C string `text`, ASCII case ignored. */
static inline bool slice_starts(struct slice s, const char *text)
{
    for (size_t i = 0; text[i]; i++)
        if (i == s.n || slice_lower(s.p[i]) != slice_lower(text[i]))
            return false;
    return true;
}

/* Equal to the C string `text`, ASCII case ignored. */
static inline bool slice_is(struct slice s, const char *text)
{
    return s.n == strlen(text) && slice_starts(s, text);
}

#endif
