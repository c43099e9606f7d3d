#include "tls/tunnel.h"

#include "base/await.h"
#include "net/ucspitls.h"
#include "tls/tlserr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

#define FAREWELL (10 * SECOND) /* for the application's last words; for all, after SIGTERM */
#define LINGER (2 * SECOND)    /* for the client to read it */
#define PARTING (SECOND / 5)   /* for a silent application to end */

enum { IN = 0, OUT = 1 };

enum { FEW = 4096 };

static int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int tunnel_init(struct tunnel *t, SSL *ssl, int from, int to, struct log *log, int64_t patience)
{
    int on = 1;

    t->ssl = ssl;
    t->from = from;
    t->to = to;
    t->log = log;
    t->patience = patience;
    t->end = t->parting = INT64_MAX;
    /* A record is written as a whole, and worth a packet of its own. Fails unless it is TCP. */
    setsockopt(OUT, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (SSL_set_rfd(ssl, IN) != 1 || SSL_set_wfd(ssl, OUT) != 1)
        return -1;
    return set_nonblocking(IN) || set_nonblocking(OUT) || set_nonblocking(from) || set_nonblocking(to) ? -1
                                                                                                       : 0;
}

static void tell(struct tunnel *t, const char *step, const char *why)
{
    log_event(t->log, "tlsio");
    log_string(t->log, "step", step);
    log_string(t->log, "error", why);
    log_end(t->log);
}

/* The rest of the session gets so long, if it had longer. */
static void end_within(struct tunnel *t, int64_t length)
{
    t->end = deadline_earlier(t->end, deadline_after(deadline_now(), length));
}

/* SIGTERM goes to the application, too, which may have a last word. */
static void heed_stop(struct tunnel *t)
{
    if (await_stopped())
        end_within(t, FAREWELL);
}

static bool wait_for_network(struct tunnel *t, short events, instant until)
{
    struct pollfd p = {.fd = events & POLLIN ? IN : OUT, .events = events};

    heed_stop(t);
    return await_any(&p, 1, deadline_earlier(until, t->end));
}

/* After a call that returned r: the events to wait for; 0: it has failed for good. */
static short events_of(struct tunnel *t, int r)
{
    switch (SSL_get_error(t->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        return POLLIN;
    case SSL_ERROR_WANT_WRITE:
        return POLLOUT;
    default:
        return 0;
    }
}

/* Why a call failed for good; errno is still that call's. */
static const char *reason(void)
{
    int saved = errno;
    const char *why = tlserr_take();

    return why ? why : saved ? strerror(saved) : "truncated";
}

/* Closing over unread input resets the connection, and takes from the client the last words to it. */
static void linger(void)
{
    static char dropped[4096];
    struct pollfd p = {.fd = IN, .events = POLLIN};
    instant until = deadline_after(deadline_now(), LINGER);

    if (shutdown(OUT, SHUT_WR) < 0)
        return; /* gone already, or not a socket */
    while (await_any(&p, 1, until)) {
        ssize_t r = p.revents ? read(IN, dropped, sizeof dropped) : 1;
        if (r == 0 || (r < 0 && errno != EAGAIN && errno != EINTR))
            return;
    }
}

bool tunnel_handshake(struct tunnel *t)
{
    instant until = deadline_after(deadline_now(), UCSPITLS_HANDSHAKE);

    for (;;) {
        errno = 0;
        ERR_clear_error();
        int r = SSL_accept(t->ssl);
        if (r == 1)
            return true;
        short events = events_of(t, r);
        if (!events)
            break;
        if (!wait_for_network(t, events, until)) {
            tell(t, "handshake", "timeout");
            t->lost = true;
            return false;
        }
    }
    tell(t, "handshake", reason());
    return false;
}

static void close_to(struct tunnel *t)
{
    if (t->to >= 0)
        close(t->to);
    t->to = -1;
}

void tunnel_abandon(struct tunnel *t)
{
    close(t->from);
    close_to(t);
    if (!t->lost)
        linger();
}

static void begin_parting(struct tunnel *t)
{
    t->parting = deadline_after(deadline_now(), PARTING);
}

/* No more will come from the client, and it did not say so. */
static void cut_off(struct tunnel *t, const char *step, const char *why)
{
    if (!t->ended && !t->cut_step) {
        t->cut_step = step;
        snprintf(t->cut_why, sizeof t->cut_why, "%s", why);
    }
    t->client_ended = true;
}

/* Nothing can be sent to it, either. */
static void lose(struct tunnel *t, const char *step, const char *why)
{
    cut_off(t, step, why);
    t->lost = true;
}

/* All octets from the client are delivered. A cut is news only where the application would go on: after
 * its goodbye a client may leave as soon as it hears that. */
static void end_delivery(struct tunnel *t)
{
    if (t->cut_step && !t->ended) {
        if (t->parting == INT64_MAX)
            begin_parting(t);
        if (deadline_now() < t->parting)
            return;
        tell(t, t->cut_step, t->cut_why);
    }
    t->cut_step = NULL;
    t->parting = INT64_MAX;
    close_to(t);
}

/* SSL_read's answer where it is no bytes. A connection that ended without close_notify takes replies yet. */
static void end_receiving(struct tunnel *t, int r)
{
    t->recv_waits = events_of(t, r);
    if (t->recv_waits)
        return;
    if (SSL_get_error(t->ssl, r) != SSL_ERROR_ZERO_RETURN)
        lose(t, "read", reason());
    else if (BIO_eof(SSL_get_rbio(t->ssl)))
        cut_off(t, "read", "truncated");
    else
        t->client_ended = true;
}

/* From the network, as much as there is and fits: one write to the application then takes it all. */
static bool receive(struct tunnel *t)
{
    struct tunnel_buffer *b = &t->up;

    if (b->at < b->n || t->client_ended || t->recv_waits)
        return false;
    b->at = b->n = 0;
    while (b->n < TUNNEL_BUFFER && !t->client_ended && !t->recv_waits) {
        errno = 0;
        ERR_clear_error();
        int r = SSL_read(t->ssl, b->bytes + b->n, (int)(TUNNEL_BUFFER - b->n));
        if (r <= 0)
            end_receiving(t, r);
        else
            b->n += (size_t)r;
        if (r > 0 && !SSL_has_pending(t->ssl))
            t->recv_waits = POLLIN;
    }
    return b->n > 0 || t->client_ended;
}

/* A password comes in few octets: these are wiped. More octets are a message, and wiping them costs too
 * much. */
static void forget(struct tunnel_buffer *b)
{
    if (b->at == b->n && b->n <= FEW)
        OPENSSL_cleanse(b->bytes, b->n);
}

/* To the application. Octets that it does not read any more are dropped. */
static bool deliver(struct tunnel *t)
{
    struct tunnel_buffer *b = &t->up;

    if (b->at == b->n) {
        if (t->client_ended)
            end_delivery(t);
        return false;
    }
    if (t->to < 0) {
        b->at = b->n;
        return true;
    }
    if (t->to_waits)
        return false;
    ssize_t r = write(t->to, b->bytes + b->at, b->n - b->at);
    if (r > 0) {
        b->at += (size_t)r;
        t->carried += (uint64_t)r;
        forget(b);
        return true;
    }
    t->to_waits = errno == EAGAIN;
    if (errno != EAGAIN && errno != EINTR)
        close_to(t);
    return !t->to_waits;
}

/* The application has ended: it hears no more, and its last words go out. */
static void note_end(struct tunnel *t)
{
    if (!t->ended)
        end_within(t, FAREWELL);
    t->ended = true;
    close_to(t);
}

static void end_fetching(struct tunnel *t)
{
    close(t->from);
    t->from = -1;
    note_end(t);
}

/* From the application. A short read has emptied the pipe: poll tells of more. */
static bool fetch(struct tunnel *t)
{
    struct tunnel_buffer *b = &t->down;

    if (b->at < b->n || t->from < 0 || t->from_waits)
        return false;
    ssize_t r = read(t->from, b->bytes, TUNNEL_BUFFER);
    b->at = 0;
    b->n = r > 0 ? (size_t)r : 0;
    t->from_waits = r < 0 ? errno == EAGAIN : r > 0 && r < TUNNEL_BUFFER;
    if (r == 0 || (r < 0 && errno != EAGAIN && errno != EINTR))
        end_fetching(t);
    if (r > 0 && t->parting != INT64_MAX)
        begin_parting(t); /* it may have been its goodbye */
    return b->n > 0 || t->from < 0;
}

/* To the network; dropped where that is lost. */
static bool transmit(struct tunnel *t)
{
    struct tunnel_buffer *b = &t->down;

    if (b->at == b->n || (t->send_waits && !t->lost))
        return false;
    while (b->at < b->n && !t->send_waits && !t->lost) {
        errno = 0;
        ERR_clear_error();
        int r = SSL_write(t->ssl, b->bytes + b->at, (int)(b->n - b->at));
        if (r > 0) {
            b->at += (size_t)r;
            t->carried += (uint64_t)r;
        } else if (!(t->send_waits = events_of(t, r))) {
            lose(t, "write", reason());
        }
    }
    if (t->lost)
        b->at = b->n;
    return true;
}

/* Until something can go on. Only wanted events are polled: else a closed end would be reported without
 * end. */
static void wait_for_any(struct tunnel *t, instant until)
{
    bool buffer_up = t->up.at == t->up.n, buffer_down = t->down.at == t->down.n;
    short events =
        (short)((buffer_up && !t->client_ended ? t->recv_waits : 0) | (buffer_down ? 0 : t->send_waits));
    struct pollfd p[] = {
        {.fd = events & POLLIN ? IN : -1, .events = POLLIN},
        {.fd = events & POLLOUT ? OUT : -1, .events = POLLOUT},
        {.fd = buffer_down || !t->ended ? t->from : -1, .events = buffer_down ? POLLIN : 0},
        {.fd = buffer_up ? -1 : t->to, .events = POLLOUT},
    };

    if (!await_any(p, sizeof p / sizeof *p, until))
        return;
    if (p[0].revents || p[1].revents)
        t->recv_waits = t->send_waits = 0;
    t->from_waits &= !p[2].revents;
    t->to_waits &= !p[3].revents;
    if (p[2].revents & POLLHUP)
        note_end(t);
}

/* close_notify, after which the client knows that nothing was cut off. */
static void say_goodbye(struct tunnel *t)
{
    for (;;) {
        ERR_clear_error();
        int r = SSL_shutdown(t->ssl);
        if (r >= 0)
            break;
        short events = events_of(t, r);
        if (!events || !wait_for_network(t, events, t->end))
            break;
    }
    ERR_clear_error();
    linger();
}

static void give_up(struct tunnel *t)
{
    tell(t, t->ended ? "write" : t->end < INT64_MAX ? "stop" : "idle", "timeout");
    t->lost |= t->down.at < t->down.n; /* close_notify would say that all is there */
    t->end = 0;
}

void tunnel_carry(struct tunnel *t)
{
    instant idle = deadline_after(deadline_now(), t->patience);

    /* From here on a read error is the end of the client's words, and no failure of the whole. */
    SSL_set_options(t->ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
    while (t->from >= 0 || t->down.at < t->down.n) {
        uint64_t before = t->carried;
        bool moved = receive(t);
        moved |= deliver(t);
        moved |= fetch(t);
        moved |= transmit(t);
        heed_stop(t);
        if (t->carried != before)
            idle = deadline_after(deadline_now(), t->patience);
        instant until = deadline_earlier(idle, t->end);
        if (!moved)
            wait_for_any(t, deadline_earlier(until, t->parting));
        if (deadline_now() >= until) {
            give_up(t);
            break;
        }
    }
    close_to(t);
    if (!t->lost)
        say_goodbye(t);
}
