#include "deadline.h"

#include <limits.h>
#include <time.h>

instant deadline_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (instant)t.tv_sec * SECOND + t.tv_nsec;
}

instant deadline_after(instant from, int64_t length)
{
    return length > INT64_MAX - from ? INT64_MAX : from + length;
}

instant deadline_earlier(instant a, instant b)
{
    return a < b ? a : b;
}

int deadline_left_ms(instant at, instant now)
{
    if (at <= now)
        return 0;
    int64_t left = (at - now - 1) / 1000000 + 1;
    return left > INT_MAX ? INT_MAX : (int)left;
}
