#define _XOPEN_SOURCE 700 /* SIGXFSZ */
#define _DEFAULT_SOURCE   /* syscall */
#include "base/child.h"

#include "base/await.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define GRACE (2 * SECOND) /* for a program that is told to end */

enum { FIRST_HIDDEN = 3, HIDDEN_MOST = 1024 };

#ifndef CLOSE_RANGE_CLOEXEC /* musl's headers have none of the kernel's */
#define CLOSE_RANGE_CLOEXEC 4U
#endif

int child_pipe(int ends[2])
{
    if (pipe(ends) < 0)
        return -1;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return 0;
}

/* Closes all other descriptors: a resolver's sockets, or those this program was started with. */
static void hide_descriptors(void)
{
    if (!syscall(SYS_close_range, FIRST_HIDDEN, ~0U, CLOSE_RANGE_CLOEXEC))
        return;
    for (int fd = FIRST_HIDDEN; fd < HIDDEN_MOST; fd++) /* a kernel before 5.11 */
        fcntl(fd, F_SETFD, FD_CLOEXEC);
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
    setpgid(0, 0);
    hide_descriptors();
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

    /* Blocked, so that await_child can wait for it. */
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

bool child_wait(struct child *c, int *status, instant until, int64_t grace)
{
    for (;;) {
        if (await_stopped())
            until = deadline_earlier(until, deadline_after(deadline_now(), grace));
        pid_t r = waitpid(c->pid, status, WNOHANG);
        if (r == c->pid) {
            c->pid = 0;
            return true;
        }
        if (r < 0 && errno == EINTR)
            continue; /* the child's end may have been the signal */
        if (r < 0 || !await_child(until))
            return false;
    }
}

void child_end(struct child *c)
{
    int status;

    if (!c->pid || child_wait(c, &status, deadline_after(deadline_now(), GRACE), GRACE))
        return;
    kill(-c->pid, SIGKILL);
    kill(c->pid, SIGKILL); /* it may not have come to a group of its own yet */
    waitpid(c->pid, &status, 0);
    c->pid = 0;
}
