#define _XOPEN_SOURCE 700 /* SIGXFSZ */
#include "qqueue.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_NOT_STARTED = 120 }; /* outside of what qmail-queue says */
#define GRACE (2 * SECOND)       /* for a program that is told to end */

static void close_both(int pipe_ends[2])
{
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

/* Never returns. The program is to find signals as it would under a shell. */
static void become(const char *program, int message, int envelope)
{
    struct sigaction normal = {.sa_handler = SIG_DFL};
    sigset_t none;

    sigemptyset(&none);
    sigaction(SIGPIPE, &normal, NULL);
    sigaction(SIGTERM, &normal, NULL);
    sigaction(SIGXFSZ, &normal, NULL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(message, 0) < 0 || dup2(envelope, 1) < 0)
        _exit(EXIT_NOT_STARTED);
    execl(program, program, (char *)NULL);
    _exit(EXIT_NOT_STARTED);
}

int qqueue_begin(struct qqueue *q, const char *program)
{
    int message[2], envelope[2];
    struct sigaction normal = {.sa_handler = SIG_DFL};
    sigset_t child;

    /* Blocked, so that sigtimedwait can wait for it with a deadline. */
    sigaction(SIGCHLD, &normal, NULL);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);

    if (pipe(message) < 0)
        return -1;
    if (pipe(envelope) < 0) {
        close_both(message);
        return -1;
    }
    for (int i = 0; i < 2; i++) {
        fcntl(message[i], F_SETFD, FD_CLOEXEC);
        fcntl(envelope[i], F_SETFD, FD_CLOEXEC);
    }
    fcntl(message[1], F_SETFL, O_NONBLOCK);
    fcntl(envelope[1], F_SETFL, O_NONBLOCK);
    q->pid = fork();
    if (q->pid == 0)
        become(program, message[0], envelope[0]);
    close(message[0]);
    close(envelope[0]);
    if (q->pid < 0) {
        close(message[1]);
        close(envelope[1]);
        q->pid = 0;
        return -1;
    }
    q->message = message[1];
    q->envelope = envelope[1];
    q->deaf = false;
    return 0;
}

static int write_pipe(int fd, const char *bytes, size_t n, instant until)
{
    while (n) {
        ssize_t r = write(fd, bytes, n);
        if (r >= 0) {
            bytes += r;
            n -= (size_t)r;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return -1;
        int left = deadline_left_ms(until, deadline_now());
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (!left) {
            errno = ETIMEDOUT;
            return -1;
        }
        poll(&p, 1, left);
    }
    return 0;
}

int qqueue_write(struct qqueue *q, const char *bytes, size_t n, instant until)
{
    int r = write_pipe(q->message, bytes, n, until);
    q->deaf |= r < 0 && errno == EPIPE;
    return r;
}

/* F sender NUL, T recipient NUL for each, NUL. */
static int write_envelope(int fd, const struct transaction *t, instant until)
{
    struct slice recipient, sender = transaction_sender(t);
    const char *place;
    size_t at = 0;

    if (write_pipe(fd, "F", 1, until) || write_pipe(fd, sender.p, sender.n, until) ||
        write_pipe(fd, "", 1, until))
        return -1;
    while (transaction_next(t, &at, &recipient, &place))
        if (write_pipe(fd, "T", 1, until) || write_pipe(fd, recipient.p, recipient.n, until) ||
            write_pipe(fd, "", 1, until))
            return -1;
    return write_pipe(fd, "", 1, until);
}

/* True when the program has ended by `until`, with its status. */
static bool reap(struct qqueue *q, int *status, instant until)
{
    sigset_t child;

    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (;;) {
        pid_t r = waitpid(q->pid, status, WNOHANG);
        if (r == q->pid) {
            q->pid = 0;
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

static void kill_program(struct qqueue *q)
{
    int status;

    if (!q->pid || reap(q, &status, deadline_after(deadline_now(), GRACE)))
        return;
    kill(q->pid, SIGKILL);
    waitpid(q->pid, &status, 0);
    q->pid = 0;
}

int qqueue_commit(struct qqueue *q, const struct transaction *t, instant until)
{
    int status;

    close(q->message);
    /* A program may give its verdict without reading the envelope; the code tells. */
    if (write_envelope(q->envelope, t, until) < 0) {
        if (errno != EPIPE) {
            close(q->envelope);
            kill_program(q);
            errno = ETIMEDOUT;
            return -1;
        }
        q->deaf = true;
    }
    close(q->envelope);
    if (!reap(q, &status, until)) {
        kill_program(q);
        errno = ETIMEDOUT;
        return -1;
    }
    errno = EIO;
    if (!WIFEXITED(status))
        return -1;
    errno = EPIPE;
    return WEXITSTATUS(status) || !q->deaf ? WEXITSTATUS(status) : -1;
}

void qqueue_abandon(struct qqueue *q)
{
    if (!q->pid)
        return;
    close(q->message);
    close(q->envelope);
    kill_program(q);
}
