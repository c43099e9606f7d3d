#include "base/digits.h"

#include <limits.h>

bool digits_scan(struct slice text, unsigned long long *number)
{
    unsigned long long sum = 0;

    if (!text.n || text.n > 20)
        return false;
    for (; text.n; text = slice_after(text, 1)) {
        if (*text.p < '0' || *text.p > '9')
            return false;
        unsigned digit = (unsigned)(*text.p - '0');
        if (sum > (ULLONG_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *number = sum;
    return true;
}
