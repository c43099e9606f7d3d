#define _GNU_SOURCE /* ppoll */
#include "await.h"

#include <signal.h>
#include <time.h>

static volatile sig_atomic_t stopped;
static sigset_t unblocked;

static void on_stop(int number)
{
    (void)number;
    stopped = 1;
}

void await_init(void)
{
    struct sigaction stop = {.sa_handler = on_stop}, ignore = {.sa_handler = SIG_IGN};
    sigset_t term;

    sigemptyset(&unblocked);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_SETMASK, &term, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

bool await_stopped(void)
{
    bool was = stopped;

    stopped = 0;
    return was;
}

bool await_any(struct pollfd *p, nfds_t n, instant until)
{
    int64_t left = until - deadline_now();

    if (left <= 0)
        return false;
    struct timespec time = {.tv_sec = left / SECOND, .tv_nsec = left % SECOND};
    if (ppoll(p, n, &time, &unblocked) <= 0)
        for (nfds_t i = 0; i < n; i++)
            p[i].revents = 0;
    return true;
}
