#include "store/qqueue.h"

#include "base/await.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP_GRACE (5 * SECOND) /* for its verdict on the message, when we are to end */

static void close_both(int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

int qqueue_begin(struct qqueue *q, const char *program)
{
    int message[2], envelope[2];
    char *const argv[] = {(char *)program, NULL};

    if (child_pipe(message) < 0)
        return -1;
    if (child_pipe(envelope) < 0) {
        close_both(message);
        return -1;
    }
    fcntl(message[1], F_SETFL, O_NONBLOCK);
    fcntl(envelope[1], F_SETFL, O_NONBLOCK);
    int r = child_start(&q->program, argv, (struct child_fd[]){{message[0], 0}, {envelope[0], 1}}, 2);
    close(message[0]);
    close(envelope[0]);
    if (r < 0) {
        close(message[1]);
        close(envelope[1]);
        return -1;
    }
    q->message = message[1];
    q->envelope = envelope[1];
    q->deaf = false;
    return 0;
}

/* It had its time, or we are to end. */
static int give_up(void)
{
    errno = await_stopped() ? EINTR : ETIMEDOUT;
    return -1;
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
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (await_stopped() || !await_any(&p, 1, until))
            return give_up();
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

int qqueue_commit(struct qqueue *q, const struct transaction *t, instant until)
{
    int status;

    close(q->message);
    /* A program may give its verdict without reading the envelope; the code tells. */
    if (write_envelope(q->envelope, t, until) < 0) {
        if (errno != EPIPE) {
            close(q->envelope);
            child_end(&q->program);
            return give_up();
        }
        q->deaf = true;
    }
    close(q->envelope);
    if (!child_wait(&q->program, &status, until, STOP_GRACE)) {
        child_end(&q->program);
        return give_up();
    }
    errno = EIO;
    if (!WIFEXITED(status))
        return -1;
    errno = EPIPE;
    return WEXITSTATUS(status) || !q->deaf ? WEXITSTATUS(status) : -1;
}

void qqueue_abandon(struct qqueue *q)
{
    if (!q->program.pid)
        return;
    close(q->message);
    close(q->envelope);
    child_end(&q->program);
}
