#define _DEFAULT_SOURCE /* syscall */
#include "base/deadline.h"

#include <limits.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The kernel is asked by a system call. The C library's way around it is faster, but its first use costs
 * two page faults and a search: a fiftieth of a short session, which asks seven times. Where a time_t is not
 * the kernel's, the library knows how. */
static int64_t read_clock(clockid_t clock)
{
    struct timespec t;

#ifdef __LP64__
    syscall(SYS_clock_gettime, clock, &t);
#else
    clock_gettime(clock, &t);
#endif
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

instant deadline_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t deadline_wall(void)
{
    return read_clock(CLOCK_REALTIME);
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
