/* digits: numbers as decimal digits, and back, without any library.
 *
 * libowfat's fmt_ulong0 would lose the number: Debian's build of it takes calls that write through a
 * pointer for pure. */
#ifndef POSTERN_DIGITS_H
#define POSTERN_DIGITS_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum { DIGITS = 20 }; /* of the largest number */

/* Writes the last `width` digits of `number`; returns width. */
static inline size_t digits_fmt(char *out, unsigned long number, size_t width)
{
    for (size_t i = width; i--; number /= 10)
        out[i] = (char)('0' + number % 10);
    return width;
}

/* Writes all digits of `number`, DIGITS at most; returns how many. */
static inline size_t digits_put(char *out, uint64_t number)
{
    size_t n = 1;

    for (uint64_t rest = number; rest > 9; rest /= 10)
        n++;
    for (size_t i = n; i--; number /= 10)
        out[i] = (char)('0' + number % 10);
    return n;
}

/* Seconds with three decimals, DIGITS + 1 octets at most; returns how many. */
static inline size_t digits_seconds(char *out, uint64_t milliseconds)
{
    size_t n = digits_put(out, milliseconds / 1000);

    out[n++] = '.';
    return n + digits_fmt(out + n, (unsigned long)(milliseconds % 1000), 3);
}

/* A decimal number of at most 20 digits and below 2^64, as in the size-value of RFC 1870. False where `text`
 * is anything else. */
bool digits_scan(struct slice text, unsigned long long *number);

#endif
