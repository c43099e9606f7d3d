#define _XOPEN_SOURCE 700 /* SIGXFSZ */
#define _DEFAULT_SOURCE   /* explicit_bzero */
#include "net/wire.h"

#include "base/await.h"
#include "net/foreign.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { LINGER_BYTES = 1 << 20 };
#define LINGER_TIME (2 * SECOND)

/* The kernel's own receive timeout, set once, saves a poll before every read: most clients answer within
 * it. Only a slower client, or one close to its deadline, costs a poll. */
#define KERNEL_WAIT (10 * SECOND)

void wire_catch_signals(int in)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    await_init(in);
    sigaction(SIGXFSZ, &ignore, NULL);
}

static void end(struct wire *w, enum wire_end why)
{
    if (w->end == WIRE_OPEN)
        w->end = why;
}

/* Fails unless it is a socket. */
static bool set_receive_timeout(int fd)
{
    struct timeval t = {.tv_sec = KERNEL_WAIT / SECOND};
    return !setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
}

void wire_init(struct wire *w, struct wire_buffer *buffer, int in, int out, int64_t patience, instant limit)
{
    w->buffer = buffer;
    w->end = WIRE_OPEN;
    w->patience = patience;
    w->limit = limit;
    w->out_len = w->touched = 0;
    w->bytes_in = w->bytes_out = 0;
    wire_change(w, in, out);
}

void wire_change(struct wire *w, int in, int out)
{
    w->in = in;
    w->out = out;
    w->in_is_socket = set_receive_timeout(in);
    w->out_is_socket = true; /* until a send says otherwise */
    w->next = w->buffer->bytes + WIRE_HEADROOM;
    w->have = 0;
}

/* Waits for `events` on `fd`. False when the deadline passed, or we are to end. In the second case no
 * write waits for the client any more, but one that can be done at once still is. */
static bool wait_for(int fd, short events, instant until)
{
    struct pollfd p = {.fd = fd, .events = events};
    bool due;

    do {
        due = deadline_now() >= until;
        if (due && events & POLLIN)
            break;
        int r = await_poll(&p, 1, await_stopped() ? 0 : until);
        if (r > 0 || (r < 0 && errno != EINTR))
            return true; /* trouble shows in the read or write that follows */
        if (await_stopped())
            return events & POLLIN;
    } while (!due);
    return false;
}

/* Reads at least one byte to `buf`, waiting until *until; *until becomes earlier where patience or the
 * session's limit end before it. 0 with w->end set when none came. */
static size_t fill(struct wire *w, char *buf, size_t space, instant *until)
{
    instant now = deadline_now();

    *until = deadline_earlier(deadline_earlier(*until, w->limit), deadline_after(now, w->patience));
    bool kernel_waits = w->in_is_socket && *until - now >= KERNEL_WAIT;
    while (w->end == WIRE_OPEN) {
        if (!kernel_waits && !wait_for(w->in, POLLIN, *until)) {
            end(w, WIRE_TIMEOUT);
            break;
        }
        kernel_waits = false;
        ssize_t r = 0;
        if (!await_stopped())
            r = w->in_is_socket ? recv(w->in, buf, space, 0) : read(w->in, buf, space);
        if (await_stopped()) {
            end(w, WIRE_STOPPED);
        } else if (r > 0) {
            w->bytes_in += (uint64_t)r;
            size_t end_of_it = (size_t)(buf - w->buffer->bytes) + (size_t)r;
            if (end_of_it > w->touched)
                w->touched = end_of_it;
            return (size_t)r;
        } else if (r == 0) {
            end(w, WIRE_EOF);
        } else if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
            end(w, WIRE_LOST);
        }
    }
    return 0;
}

bool wire_has_come(const struct wire *w)
{
    char c;
    struct pollfd p = {.fd = w->in, .events = POLLIN};

    if (w->in_is_socket)
        return recv(w->in, &c, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
    return poll(&p, 1, 0) > 0 && p.revents & POLLIN;
}

/* For a pipe this event says that the other end is closed: the client says no more, but may still listen.
 * For a socket it says that both ways are closed; a half-close is no event. */
static bool has_only_said_all(const struct wire *w, const struct pollfd *p)
{
    return p->fd == w->in && w->in != w->out && !w->in_is_socket && p->revents & POLLHUP;
}

enum wire_pause wire_pause_with(struct wire *w, instant until, enum wire_watch watch, struct pollfd *fds,
                                size_t n)
{
    const short events = watch == WIRE_WATCH_INPUT ? POLLIN : 0;
    instant now;

    wire_flush(w);
    if (w->end != WIRE_OPEN && watch != WIRE_WATCH_NOTHING)
        return WIRE_GONE;
    until = deadline_earlier(until, w->limit);
    fds[0] = (struct pollfd){.fd = watch == WIRE_WATCH_NOTHING ? -1 : w->in, .events = events};
    do {
        now = deadline_now();
        int r = await_poll(fds, 1 + n, await_stopped() ? 0 : until);
        bool stopped = await_stopped();
        if (stopped)
            end(w, WIRE_STOPPED);
        if (!stopped && r > 0 && has_only_said_all(w, &fds[0])) {
            if (fds[0].revents & POLLIN)
                return WIRE_TALK;
            fds[0] = (struct pollfd){.fd = w->out}; /* shows when nobody is left to hear */
            continue;
        }
        if (stopped || (r > 0 && fds[0].revents & ~POLLIN))
            return WIRE_GONE;
        if (r > 0)
            return fds[0].revents ? WIRE_TALK : WIRE_OTHER;
    } while (now < until);
    if (now < w->limit)
        return WIRE_DUE;
    end(w, WIRE_TIMEOUT);
    return WIRE_GONE;
}

enum wire_pause wire_pause(struct wire *w, instant until, enum wire_watch watch)
{
    struct pollfd own;
    return wire_pause_with(w, until, watch, &own, 0);
}

int wire_line(struct wire *w, struct slice *line)
{
    char *const base = w->buffer->bytes + WIRE_HEADROOM;
    bool too_long = false;
    size_t seen = 0;           /* octets of the input known to hold no line end */
    instant until = INT64_MAX; /* for the whole line, from the first wait on */

    if (w->end == WIRE_STOPPED || w->end == WIRE_TIMEOUT)
        return -1; /* though input may be buffered */

    for (;;) {
        char *lf = memchr(w->next + seen, '\n', w->have - seen);
        size_t n = lf ? (size_t)(lf - w->next) + 1 : w->have;
        if (n && !too_long && foreign_is_binary(*w->next)) {
            *line = (struct slice){w->next, w->have};
            wire_take(w, w->have);
            return 1;
        }
        if (lf || n >= WIRE_LINE) {
            *line = (struct slice){w->next, n - (lf ? 1 : 0)};
            too_long |= n > WIRE_LINE || !lf;
            wire_take(w, n);
            if (lf && line->n && line->p[line->n - 1] == '\r')
                line->n--;
            if (lf)
                return too_long ? 0 : 1;
        }
        seen = w->have;
        wire_flush(w);
        if (w->next != base)
            w->next = memmove(base, w->next, w->have);
        size_t got = fill(w, base + w->have, WIRE_IN - w->have, &until);
        if (!got)
            return -1;
        w->have += got;
    }
}

int wire_chunk(struct wire *w, instant limit, char **bytes, size_t *n)
{
    if (!w->have) {
        wire_flush(w);
        w->next = w->buffer->bytes + WIRE_HEADROOM;
        w->have = fill(w, w->next, WIRE_IN, &limit);
        if (!w->have)
            return -1;
    }
    *bytes = w->next;
    *n = w->have;
    return 0;
}

void wire_take(struct wire *w, size_t n)
{
    w->next += n;
    w->have -= n;
}

/* Wipes the bytes before the next ones, and those behind them and the output. */
void wire_forget(struct wire *w)
{
    char *const start = w->buffer->bytes, *const end = start + w->touched;
    char *const behind = w->out_len ? w->said + w->out_len : w->next + w->have;

    explicit_bzero(start, (size_t)(w->next - start));
    if (behind < end)
        explicit_bzero(behind, (size_t)(end - behind));
}

static instant write_limit(const struct wire *w)
{
    return deadline_earlier(deadline_after(deadline_now(), w->patience), w->limit);
}

/* Writes all of it, or ends the session. */
static void write_all(struct wire *w, const char *p, size_t n)
{
    instant until = 0; /* most of the time nobody waits */

    while (n && w->end != WIRE_LOST) {
        ssize_t r;
        if (!until && !w->out_is_socket)
            until = write_limit(w);
        if (w->out_is_socket) {
            r = send(w->out, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (r < 0 && errno == ENOTSOCK) {
                w->out_is_socket = false;
                continue;
            }
        } else { /* a pipe that polls writable takes PIPE_BUF bytes without blocking */
            r = -1;
            if (wait_for(w->out, POLLOUT, until))
                r = write(w->out, p, n < PIPE_BUF ? n : PIPE_BUF);
            else
                errno = ETIMEDOUT;
        }
        if (r >= 0) {
            p += r;
            n -= (size_t)r;
            w->bytes_out += (uint64_t)r;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (!until)
                until = write_limit(w);
            if (!wait_for(w->out, POLLOUT, until))
                w->end = WIRE_LOST;
        } else if (errno != EINTR) {
            w->end = WIRE_LOST;
        }
    }
}

void wire_flush(struct wire *w)
{
    if (w->out_len)
        write_all(w, w->said, w->out_len);
    w->out_len = 0;
}

void wire_put(struct wire *w, const char *bytes, size_t n)
{
    while (n) {
        size_t space = WIRE_OUT - w->out_len, part = n < space ? n : space;
        if (!w->out_len)
            w->said = w->next + w->have;
        memcpy(w->said + w->out_len, bytes, part);
        w->out_len += part;
        bytes += part;
        n -= part;
        if (w->out_len == WIRE_OUT)
            wire_flush(w);
    }
}

void wire_linger(struct wire *w)
{
    instant until = deadline_after(deadline_now(), LINGER_TIME);
    size_t budget = LINGER_BYTES;

    wire_flush(w);
    if (w->end == WIRE_EOF || w->end == WIRE_LOST || !w->in_is_socket || shutdown(w->out, SHUT_WR) < 0)
        return;
    while (budget && wait_for(w->in, POLLIN, until)) {
        ssize_t r = recv(w->in, w->buffer->bytes, sizeof w->buffer->bytes, MSG_DONTWAIT);
        if (r <= 0)
            return;
        budget -= (size_t)r < budget ? (size_t)r : budget;
    }
}
