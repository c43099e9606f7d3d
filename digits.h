/* digits: a number with leading zeros.
 *
 * libowfat has fmt_ulong0 for this, but Debian's build of it loses the number: within the library,
 * too, a call that writes through its pointer is taken for pure. */
#ifndef POSTERN_DIGITS_H
#define POSTERN_DIGITS_H

#include <stddef.h>

/* Writes the last `width` digits of `number`; returns width. */
static inline size_t digits_fmt(char *out, unsigned long number, size_t width)
{
    for (size_t i = width; i--; number /= 10)
        out[i] = (char)('0' + number % 10);
    return width;
}

#endif
