/* A monotonic clock that runs CLOCK_SPEED times as fast, and waits that end by it: so a test of a deadline
 * need not wait for it, and the program needs no knob that nobody else would want. */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int ppoll(struct pollfd *p, nfds_t n, const struct timespec *time, const sigset_t *mask);
int __ppoll_chk(struct pollfd *p, nfds_t n, const struct timespec *time, const sigset_t *mask, size_t room);

static int64_t speed(void)
{
    const char *text = getenv("CLOCK_SPEED");
    return text ? atoi(text) : 1;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int r = (int)syscall(SYS_clock_gettime, clock, time);
    if (r == 0 && clock == CLOCK_MONOTONIC) {
        int64_t fast = ((int64_t)time->tv_sec * 1000000000 + time->tv_nsec) * speed();
        time->tv_sec = fast / 1000000000;
        time->tv_nsec = fast % 1000000000;
    }
    return r;
}

int ppoll(struct pollfd *p, nfds_t n, const struct timespec *time, const sigset_t *mask)
{
    struct timespec shorter;

    if (time) {
        int64_t length = ((int64_t)time->tv_sec * 1000000000 + time->tv_nsec) / speed();
        shorter = (struct timespec){length / 1000000000, length % 1000000000};
    }
    return (int)syscall(SYS_ppoll, p, n, time ? &shorter : NULL, mask, (size_t)(_NSIG / 8));
}

int __ppoll_chk(struct pollfd *p, nfds_t n, const struct timespec *time, const sigset_t *mask, size_t room)
{
    (void)room;
    return ppoll(p, n, time, mask);
}
