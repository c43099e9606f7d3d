/* smtpload: an SMTP load generator, many clients in one process around one epoll loop.
 *
 * usage: smtpload [options] PORT          (of 127.0.0.1)
 *   -n N      sessions in all (1)
 *   -c N      clients: sessions open at once (1)
 *   -m N      messages in each session (0: only EHLO and QUIT)
 *   -s BYTES  size of a message on the wire, without the final dot (4096)
 *   -d        one line of eight begins with a dot, doubled on the wire
 *   -P        MAIL, RCPT and DATA in one write (RFC 2920)
 *   -r N      recipients of each message (1)
 *   -f ADDR   reverse-path (a@example.org)
 *   -t ADDR   forward-path (b@example.com); a % in it becomes a number, another in each session
 *   -u N      these numbers are below N (1)
 *   -a        ask only: MAIL and RCPT as they would open each message, but no DATA
 *   -e        say nothing: a session is over when the server closes it
 *   -H        hold: open all sessions up to the reply to EHLO, print a line, close them at the end
 *             of standard input
 *   -w SECS   a session that hears nothing for so long has failed (60)
 *   -v        failures to standard error
 *   -p        print the block that messages are made of, and go
 *
 * A session is over when the server has closed the connection after QUIT; any other end is an error.
 * Prints one line of key=value: counts, bytes sent (all of them), wall time in seconds, and
 * median and 99th percentile in milliseconds of the time to the banner, of a session, and of a
 * message from MAIL to the reply to its last dot. Exits 1 if there was any error. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EHLO "EHLO load.example\r\n"
#define QUIT "QUIT\r\n"
#define DATA "DATA\r\n"
#define FINAL_DOT ".\r\n"

enum { BLOCK_MAX = 1 << 20, ADDRESS_MAX = 256, RCPTS_MAX = 1000 };
enum { SIZE_MIN = 2 * ADDRESS_MAX + 64 }; /* holds the header and a line */

/* The client waits for: */
enum stage { UNUSED, BANNER, HELLO, ENVELOPE, BODY, GOODBYE, CLOSE, HELD };
static const char *const stage_names[] = {"none", "banner", "EHLO",  "envelope",
                                          "body", "QUIT",   "close", "hold"};

struct client {
    int fd;
    enum stage stage;
    int replies_due; /* before the stage is over */
    bool refused;    /* one of them was neither 2xx nor 3xx */
    bool blocked;    /* epoll tells when the socket takes more */
    int messages;    /* done in this session */
    double connected, began, heard;
    struct iovec out[2]; /* to be sent, in order */
    size_t nout;
    size_t body_left; /* to be sent after `out`; the final dot follows it */
    char *envelope;   /* MAIL, the RCPTs, DATA: whole lines */
    size_t envelope_len, envelope_sent;
    char reply[4]; /* the first bytes of the reply line that is coming in */
    size_t reply_len;
};

static struct {
    int sessions, clients, messages, rcpts;
    size_t size;
    unsigned long numbers;
    const char *from, *to;
    double patience;
    bool dotted, pipelining, ask, silent, hold, verbose;
} opt = {.sessions = 1,
         .clients = 1,
         .rcpts = 1,
         .size = 4096,
         .numbers = 1,
         .from = "a@example.org",
         .to = "b@example.com",
         .patience = 60};

static char block[BLOCK_MAX];
static size_t block_len;

static struct sockaddr_in server;
static int epoll_fd;
static int started, finished, held, errors;
static long messages_done, bytes_sent;

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(111);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- samples of a duration --- */

struct samples {
    double *value;
    size_t n, room;
};

static struct samples banner_times, session_times, message_times;

static void samples_add(struct samples *s, double value)
{
    if (s->n == s->room) {
        s->room = s->room ? 2 * s->room : 1024;
        s->value = realloc(s->value, s->room * sizeof *s->value);
        if (!s->value)
            die("smtpload: memory");
    }
    s->value[s->n++] = value;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Milliseconds below which the fraction `part` of the samples lies. */
static double samples_quantile(struct samples *s, double part)
{
    if (s->n == 0)
        return 0;
    qsort(s->value, s->n, sizeof *s->value, by_value);
    return s->value[(size_t)(part * (double)(s->n - 1) + 0.5)] * 1e3;
}

/* --- messages and addresses --- */

/* A header and lines of 76 characters. A longer message repeats the block, so it is whole lines. */
static void make_block(void)
{
    size_t size = opt.size < BLOCK_MAX ? opt.size : BLOCK_MAX;
    size_t len = (size_t)sprintf(block, "From: <%s>\r\nTo: <%s>\r\nSubject: load\r\n\r\n", opt.from, opt.to);

    for (size_t row = 0; len < size; row++) {
        size_t left = size - len, width = left < 78 ? left : 78;
        if (left > 78 && left - 78 < 3)
            width -= 3; /* the rest must hold a line */
        for (size_t i = 0; i + 2 < width; i++)
            block[len + i] = (char)('a' + (i + row) % 26);
        if (opt.dotted && row % 8 == 0 && width >= 4)
            block[len] = block[len + 1] = '.';
        block[len + width - 2] = '\r';
        block[len + width - 1] = '\n';
        len += width;
    }
    block_len = len;
    opt.size = (opt.size + block_len - 1) / block_len * block_len;
}

/* opt.to with its % replaced by a number that depends on the session alone. */
static void make_recipient(char to[ADDRESS_MAX + 24])
{
    const char *percent = strchr(opt.to, '%');
    unsigned long n = (unsigned long)started * 2654435761UL % opt.numbers;

    if (percent)
        sprintf(to, "%.*s%lu%s", (int)(percent - opt.to), opt.to, n, percent + 1);
    else
        strcpy(to, opt.to);
}

static void make_envelope(struct client *c)
{
    char to[ADDRESS_MAX + 24];
    char *p = c->envelope;

    make_recipient(to);
    p += sprintf(p, "MAIL FROM:<%s>\r\n", opt.from);
    for (int i = 0; i < opt.rcpts; i++)
        p += sprintf(p, "RCPT TO:<%s>\r\n", to);
    if (!opt.ask)
        p += sprintf(p, "%s", DATA);
    c->envelope_len = (size_t)(p - c->envelope);
}

/* --- one client --- */

static void client_end(struct client *c, const char *failure)
{
    if (failure) {
        errors++;
        if (opt.verbose)
            fprintf(stderr, "smtpload: at %s: %s\n", stage_names[c->stage], failure);
    }
    close(c->fd);
    c->stage = UNUSED;
    finished++;
}

static void client_watch(struct client *c, bool blocked)
{
    struct epoll_event e = {.events = EPOLLIN | (blocked ? EPOLLOUT : 0U), .data.ptr = c};

    if (c->blocked != blocked && epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e) != 0)
        die("smtpload: epoll_ctl");
    c->blocked = blocked;
}

static void client_queue(struct client *c, const char *p, size_t n)
{
    c->out[c->nout++] = (struct iovec){.iov_base = (void *)(size_t)p, .iov_len = n};
}

/* The first n bytes of the queue are sent. */
static void client_dequeue(struct client *c, size_t n)
{
    bytes_sent += (long)n;
    while (c->nout && n >= c->out[0].iov_len) {
        n -= c->out[0].iov_len;
        c->out[0] = c->out[1];
        c->nout--;
    }
    if (n) {
        c->out[0].iov_base = (char *)c->out[0].iov_base + n;
        c->out[0].iov_len -= n;
    }
}

/* Sends until there is nothing left to send or the socket is full. */
static void client_send(struct client *c)
{
    for (;;) {
        if (c->nout == 0 && c->body_left) {
            size_t n = c->body_left < block_len ? c->body_left : block_len;
            client_queue(c, block, n);
            c->body_left -= n;
            if (c->body_left == 0)
                client_queue(c, FINAL_DOT, sizeof FINAL_DOT - 1);
        }
        if (c->nout == 0) {
            client_watch(c, false);
            return;
        }
        struct msghdr m = {.msg_iov = c->out, .msg_iovlen = c->nout};
        ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            client_watch(c, true);
            return;
        }
        if (n < 0) {
            client_end(c, strerror(errno));
            return;
        }
        client_dequeue(c, (size_t)n);
    }
}

static void client_say(struct client *c, enum stage stage, int replies, const char *p, size_t n)
{
    c->stage = stage;
    c->replies_due = replies;
    client_queue(c, p, n);
    client_send(c);
}

/* The rest of the envelope under -P, else its next line. */
static void client_send_envelope(struct client *c)
{
    const char *p = c->envelope + c->envelope_sent;
    size_t n = c->envelope_len - c->envelope_sent;
    int replies = 1;

    if (opt.pipelining)
        replies = 1 + opt.rcpts + (opt.ask ? 0 : 1);
    else
        n = (size_t)((const char *)memchr(p, '\n', n) - p) + 1;
    c->envelope_sent += n;
    client_say(c, ENVELOPE, replies, p, n);
}

static void client_next_message(struct client *c, double t)
{
    if (c->messages == opt.messages) {
        client_say(c, GOODBYE, 1, QUIT, sizeof QUIT - 1);
        return;
    }
    c->began = t;
    c->envelope_sent = 0;
    client_send_envelope(c);
}

static void client_message_done(struct client *c, double t)
{
    c->messages++;
    messages_done++;
    samples_add(&message_times, t - c->began);
    client_next_message(c, t);
}

/* A reply is whole: when it was the last one due, the next stage begins. */
static void client_replied(struct client *c, double t)
{
    if (c->reply[0] != '2' && c->reply[0] != '3')
        c->refused = true;
    if (--c->replies_due > 0)
        return;
    if (c->refused) {
        client_end(c, "refused");
        return;
    }
    switch (c->stage) {
    case BANNER:
        samples_add(&banner_times, t - c->connected);
        client_say(c, HELLO, 1, EHLO, sizeof EHLO - 1);
        break;
    case HELLO:
        if (opt.hold) {
            c->stage = HELD;
            held++;
        } else {
            client_next_message(c, t);
        }
        break;
    case ENVELOPE:
        if (c->envelope_sent < c->envelope_len) {
            client_send_envelope(c);
        } else if (opt.ask) {
            c->messages++;
            client_next_message(c, t);
        } else {
            c->stage = BODY;
            c->replies_due = 1;
            c->body_left = opt.size;
            client_send(c);
        }
        break;
    case BODY:
        if (c->nout || c->body_left)
            client_end(c, "reply before the end of the message");
        else
            client_message_done(c, t);
        break;
    case GOODBYE:
        c->stage = CLOSE;
        break;
    case CLOSE:
    case HELD:
        client_end(c, "a reply too many");
        break;
    case UNUSED:
        break;
    }
}

static void client_closed(struct client *c, double t)
{
    if (c->stage == CLOSE) {
        samples_add(&session_times, t - c->connected);
        client_end(c, NULL);
    } else {
        client_end(c, "connection lost");
    }
}

static void client_read(struct client *c)
{
    char b[4096];
    ssize_t n = recv(c->fd, b, sizeof b, 0);
    double t = now();

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        client_closed(c, t);
        return;
    }
    c->heard = t;
    for (ssize_t i = 0; i < n && c->stage != UNUSED; i++) {
        if (b[i] != '\n') {
            if (c->reply_len < sizeof c->reply)
                c->reply[c->reply_len++] = b[i];
            continue;
        }
        bool more_lines = c->reply_len == 4 && c->reply[3] == '-';
        c->reply_len = 0;
        if (!more_lines)
            client_replied(c, t);
    }
}

static void client_start(struct client *c)
{
    static const int on = 1;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    char *envelope = c->envelope;

    *c = (struct client){.stage = opt.silent ? CLOSE : BANNER, .replies_due = 1, .envelope = envelope};
    make_envelope(c);
    started++;
    c->connected = c->heard = now();
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        die("smtpload: socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) != 0 && errno != EINPROGRESS)
        client_end(c, strerror(errno));
    else if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e) != 0)
        die("smtpload: epoll_ctl");
}

/* --- all of them --- */

static struct client *clients; /* one a session under -H, else one a client */
static int nclients;

/* Every free client begins a session while there are sessions to begin. */
static void start_free_clients(void)
{
    for (int i = 0; i < nclients && started < opt.sessions; i++) {
        if (opt.hold && started - held - finished >= opt.clients)
            return;
        if (clients[i].stage == UNUSED && !(opt.hold && i < started))
            client_start(&clients[i]);
    }
}

static void end_patience(double t)
{
    for (int i = 0; i < nclients; i++) {
        struct client *c = &clients[i];
        if (c->stage != UNUSED && c->stage != HELD && t - c->heard > opt.patience)
            client_end(c, "no answer");
    }
}

static void run(void)
{
    struct epoll_event event[256];
    double swept = now();

    start_free_clients();
    while (finished + held < opt.sessions) {
        int n = epoll_wait(epoll_fd, event, 256, 1000);
        if (n < 0 && errno != EINTR)
            die("smtpload: epoll_wait");
        for (int i = 0; i < n; i++) {
            struct client *c = event[i].data.ptr;
            if (event[i].events & EPOLLOUT)
                client_send(c);
            if (c->stage != UNUSED && event[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                client_read(c);
            if (!opt.hold && c->stage == UNUSED && started < opt.sessions)
                client_start(c);
        }
        if (opt.hold)
            start_free_clients();
        if (now() - swept > 1) {
            swept = now();
            end_patience(swept);
            start_free_clients();
        }
    }
}

static void print_result(double wall)
{
    printf("sessions=%d messages=%ld errors=%d size=%zu bytes=%ld wall=%.6f", finished, messages_done, errors,
           opt.size, bytes_sent, wall);
    printf(" banner_p50=%.3f banner_p99=%.3f", samples_quantile(&banner_times, .5),
           samples_quantile(&banner_times, .99));
    printf(" session_p50=%.3f session_p99=%.3f", samples_quantile(&session_times, .5),
           samples_quantile(&session_times, .99));
    printf(" message_p50=%.3f message_p99=%.3f\n", samples_quantile(&message_times, .5),
           samples_quantile(&message_times, .99));
}

static void hold_until_end_of_input(double wall)
{
    char b[64];

    printf("held=%d errors=%d wall=%.6f\n", held, errors, wall);
    fflush(stdout);
    while (read(0, b, sizeof b) > 0)
        ;
}

/* --- command line --- */

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: smtpload [-n sessions] [-c clients] [-m messages] [-s bytes] [-r recipients]\n"
                    "                [-f from] [-t to] [-u numbers] [-w seconds] [-dPaeHvp] port\n");
    exit(100);
}

static long number(const char *text, long max)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (*text == 0 || *end || n < 0 || n > max)
        usage();
    return n;
}

static const char *address(const char *text)
{
    if (strlen(text) >= ADDRESS_MAX)
        usage();
    return text;
}

static bool parse_options(int argc, char **argv)
{
    bool print = false;
    int o;

    while ((o = getopt(argc, argv, "n:c:m:s:r:f:t:u:w:dPaeHvp")) != -1) {
        /* clang-format off */
        switch (o) {
        case 'n': opt.sessions = (int)number(optarg, 10000000); break;
        case 'c': opt.clients = (int)number(optarg, 100000); break;
        case 'm': opt.messages = (int)number(optarg, 10000000); break;
        case 's': opt.size = (size_t)number(optarg, 1L << 40); break;
        case 'r': opt.rcpts = (int)number(optarg, RCPTS_MAX); break;
        case 'f': opt.from = address(optarg); break;
        case 't': opt.to = address(optarg); break;
        case 'u': opt.numbers = (unsigned long)number(optarg, 1L << 40); break;
        case 'w': opt.patience = (double)number(optarg, 100000); break;
        case 'd': opt.dotted = true; break;
        case 'P': opt.pipelining = true; break;
        case 'a': opt.ask = true; break;
        case 'e': opt.silent = true; break;
        case 'H': opt.hold = true; break;
        case 'v': opt.verbose = true; break;
        case 'p': print = true; break;
        default: usage();
        }
        /* clang-format on */
    }
    if (opt.size < SIZE_MIN || opt.numbers == 0 || optind + (print ? 0 : 1) != argc)
        usage();
    if (!print)
        server.sin_port = htons((uint16_t)number(argv[optind], 65535));
    return print;
}

static void allow_many_descriptors(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        die("smtpload: getrlimit");
    r.rlim_cur = r.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &r) != 0)
        die("smtpload: setrlimit");
}

static void make_clients(void)
{
    size_t envelope_room = (ADDRESS_MAX + 64) * ((size_t)opt.rcpts + 1) + sizeof DATA;

    nclients = opt.hold || opt.clients > opt.sessions ? opt.sessions : opt.clients;
    clients = calloc((size_t)nclients + 1, sizeof *clients);
    if (!clients)
        die("smtpload: memory");
    for (int i = 0; i < nclients; i++) {
        clients[i].envelope = malloc(envelope_room);
        if (!clients[i].envelope)
            die("smtpload: memory");
    }
}

int main(int argc, char **argv)
{
    bool print = parse_options(argc, argv);

    make_block();
    if (print)
        return fwrite(block, 1, block_len, stdout) == block_len && fflush(stdout) == 0 ? 0 : 111;

    server.sin_family = AF_INET;
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    allow_many_descriptors();
    make_clients();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        die("smtpload: epoll_create1");

    double began = now();
    run();
    double wall = now() - began;
    if (opt.hold)
        hold_until_end_of_input(wall);
    else
        print_result(wall);
    return errors ? 1 : 0;
}
