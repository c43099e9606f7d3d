#define _XOPEN_SOURCE 700 /* SIGXFSZ */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GRACE (2 * SECOND) /* for a program that is told to end */

int child_pipe(int ends[2])
{
    if (pipe(ends) < 0)
        return -1;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return 0;
}

/* Never returns. */
static void become(char *const argv[], const struct child_fd *fds, size_t n)
{
    struct sigaction normal = {.sa_handler = SIG_DFL};
    sigset_t none;

    sigemptyset(&none);
    sigaction(SIGPIPE, &normal, NULL);
    sigaction(SIGTERM, &normal, NULL);
    sigaction(SIGXFSZ, &normal, NULL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (size_t i = 0; i < n; i++) {
        bool same = fds[i].ours == fds[i].as; /* dup2 would leave it to be closed */
        if ((same ? fcntl(fds[i].as, F_SETFD, 0) : dup2(fds[i].ours, fds[i].as)) < 0)
            _exit(CHILD_NOT_STARTED);
    }
    execv(argv[0], argv);
    _exit(CHILD_NOT_STARTED);
}

int child_start(struct child *c, char *const argv[], const struct child_fd *fds, size_t n)
{
    struct sigaction normal = {.sa_handler = SIG_DFL};
    sigset_t child;

    /* Blocked, so that sigtimedwait can wait for it with a deadline. */
    sigaction(SIGCHLD, &normal, NULL);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    c->pid = fork();
    if (c->pid == 0)
        become(argv, fds, n);
    if (c->pid > 0)
        return 0;
    c->pid = 0;
    return -1;
}

bool child_wait(struct child *c, int *status, instant until)
{
    sigset_t child;

    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (;;) {
        pid_t r = waitpid(c->pid, status, WNOHANG);
        if (r == c->pid) {
            c->pid = 0;
            return true;
        }
        if (r < 0 && errno != EINTR)
            return false;
        int left = deadline_left_ms(until, deadline_now());
        struct timespec t = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000L};
        if (!left)
            return false;
        sigtimedwait(&child, NULL, &t);
    }
}

void child_end(struct child *c)
{
    int status;

    if (!c->pid || child_wait(c, &status, deadline_after(deadline_now(), GRACE)))
        return;
    kill(c->pid, SIGKILL);
    waitpid(c->pid, &status, 0);
    c->pid = 0;
}
