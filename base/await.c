#define _GNU_SOURCE /* ppoll */
#include "base/await.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>

static volatile sig_atomic_t stopped;
static bool told; /* that it stopped */
static int stopped_reader = -1;

static void on_stop(int number)
{
    (void)number;
    int saved = errno;
    stopped = 1;
    if (stopped_reader >= 0)
        shutdown(stopped_reader, SHUT_RD);
    errno = saved;
}

static sigset_t set_of(int number)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, number);
    return set;
}

void await_init(int reader)
{
    struct sigaction stop = {.sa_handler = on_stop}, ignore = {.sa_handler = SIG_IGN};
    sigset_t term = set_of(SIGTERM);

    stopped_reader = reader;
    if (reader < 0)
        sigprocmask(SIG_SETMASK, &term, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

/* A wait lets no signal in where something is ready already. */
static void look(void)
{
    sigset_t term = set_of(SIGTERM);
    int saved = errno;

    if (sigtimedwait(&term, NULL, &(struct timespec){0}) == SIGTERM)
        on_stop(SIGTERM);
    errno = saved;
}

bool await_stopped(void)
{
    if (stopped_reader < 0 && !stopped)
        look();
    bool now = stopped;

    told = now;
    return now;
}

/* From here to release() SIGTERM comes within the wait only. */
static void hold(sigset_t *before)
{
    sigset_t term = set_of(SIGTERM);

    if (stopped_reader >= 0)
        sigprocmask(SIG_BLOCK, &term, before);
}

static void release(const sigset_t *before)
{
    int saved = errno;

    if (stopped_reader >= 0)
        sigprocmask(SIG_SETMASK, before, NULL);
    errno = saved;
}

static struct timespec timespec_of(int64_t length)
{
    return (struct timespec){.tv_sec = length / SECOND, .tv_nsec = length % SECOND};
}

int await_poll(struct pollfd *p, nfds_t n, instant until)
{
    int64_t left = until - deadline_now();
    sigset_t before, none;

    if (left <= 0)
        return poll(p, n, 0);
    sigemptyset(&none);
    hold(&before);
    struct timespec time = timespec_of(stopped && !told ? 0 : left);
    int r = ppoll(p, n, &time, &none);
    release(&before);
    return r;
}

bool await_any(struct pollfd *p, nfds_t n, instant until)
{
    if (until <= deadline_now())
        return false;
    if (await_poll(p, n, until) <= 0)
        for (nfds_t i = 0; i < n; i++)
            p[i].revents = 0;
    return true;
}

/* Without a handler of SIGCHLD's: a signal saves the registers on the stack, and in them there may be a
 * password. */
bool await_child(instant until)
{
    int64_t left = until - deadline_now();
    sigset_t before, either = set_of(SIGTERM);

    if (left <= 0)
        return false;
    sigaddset(&either, SIGCHLD);
    hold(&before);
    struct timespec time = timespec_of(stopped && !told ? 0 : left);
    if (sigtimedwait(&either, NULL, &time) == SIGTERM)
        on_stop(SIGTERM);
    release(&before);
    return true;
}
