/* deadline: monotonic now, time left, the earlier of two; and the wall clock, for names and dates.
 *
 * An instant is nanoseconds on CLOCK_MONOTONIC; the wall clock may jump, this does not. */
#ifndef POSTERN_DEADLINE_H
#define POSTERN_DEADLINE_H

#include <stdint.h>

typedef int64_t instant;

#define SECOND INT64_C(1000000000)

instant deadline_now(void);

/* Nanoseconds since 1970, by the wall clock. */
int64_t deadline_wall(void);

/* The instant `length` nanoseconds after `from`, both >= 0; saturates instead of overflowing. */
instant deadline_after(instant from, int64_t length);

instant deadline_earlier(instant a, instant b);

/* Milliseconds from `now` until `at`, rounded up so that a wait of this length is never short;
 * 0 when it has passed; INT_MAX at most. Fit for poll(2). */
int deadline_left_ms(instant at, instant now);

#endif
