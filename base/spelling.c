#include "base/spelling.h"

#include "base/slice.h"

enum {
    LONGEST = 32, /* octets of a name that is compared */
    SHORT = 3,    /* octets of a name that may differ in case only */
    LONG = 8      /* octets from which on a name may have two slips */
};

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* How many letters must be put in, taken out, replaced or exchanged with the next one to make b of a. */
static unsigned slips(struct slice a, struct slice b)
{
    unsigned rows[3][LONGEST + 1], *before = rows[0], *above = rows[1], *row = rows[2];

    for (unsigned k = 0; k <= b.n; k++)
        above[k] = before[k] = k;
    for (unsigned i = 1; i <= a.n; i++) {
        row[0] = i;
        for (unsigned k = 1; k <= b.n; k++) {
            bool same = slice_lower(a.p[i - 1]) == slice_lower(b.p[k - 1]);
            row[k] = least(above[k - 1] + !same, least(above[k], row[k - 1]) + 1);
            if (i > 1 && k > 1 && slice_lower(a.p[i - 1]) == slice_lower(b.p[k - 2]) &&
                slice_lower(a.p[i - 2]) == slice_lower(b.p[k - 1]))
                row[k] = least(row[k], before[k - 2] + 1);
        }
        unsigned *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[b.n];
}

bool spelling_is_near(const char *name, const char *meant)
{
    struct slice a = slice_of(name), b = slice_of(meant);

    if (!strcmp(name, meant) || a.n > LONGEST || b.n > LONGEST)
        return false;
    return slips(a, b) <= (b.n <= SHORT ? 0U : b.n < LONG ? 1U : 2U);
}
