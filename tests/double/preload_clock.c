/* A monotonic clock that runs CLOCK_SPEED times as fast, and waits that end by it. A test of a deadline
 * need not wait so long, and the program needs no knob for tests. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
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

typedef long caller(long number, ...);

/* The programs ask the kernel for the time by themselves. */
static caller *real_syscall(void)
{
    static caller *real;

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "syscall");
    return real;
}

static int read_clock(clockid_t clock, struct timespec *time)
{
    int r = (int)real_syscall()(SYS_clock_gettime, clock, time);
    if (r == 0 && clock == CLOCK_MONOTONIC) {
        int64_t fast = ((int64_t)time->tv_sec * 1000000000 + time->tv_nsec) * speed();
        time->tv_sec = fast / 1000000000;
        time->tv_nsec = fast % 1000000000;
    }
    return r;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    return read_clock(clock, time);
}

long syscall(long number, ...)
{
    long a[6];
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_clock_gettime)
        return read_clock((clockid_t)a[0], (struct timespec *)a[1]);
    return real_syscall()(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int ppoll(struct pollfd *p, nfds_t n, const struct timespec *time, const sigset_t *mask)
{
    struct timespec shorter;

    if (time) {
        int64_t length = ((int64_t)time->tv_sec * 1000000000 + time->tv_nsec) / speed();
        shorter = (struct timespec){length / 1000000000, length % 1000000000};
    }
    return (int)real_syscall()(SYS_ppoll, p, n, time ? &shorter : NULL, mask, (size_t)(_NSIG / 8));
}

int __ppoll_chk(struct pollfd *p, nfds_t n, const struct timespec *time, const sigset_t *mask, size_t room)
{
    (void)room;
    return ppoll(p, n, time, mask);
}
