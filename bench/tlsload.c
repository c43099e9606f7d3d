/* tlsload: an SMTP client that asks for TLS 1.3, session after session.
 *
 * usage: tlsload [options] PORT          (of 127.0.0.1)
 *   -n N      sessions in all (1): EHLO, STARTTLS, EHLO, QUIT; none is resumed
 *   -c N      clients, processes that share them (1)
 *   -s BYTES  one message of so many octets, without the final dot, in each session
 *   -r        raw: TLS from the first byte, those octets and close_notify, not a word of SMTP
 *   -k NAMES  ciphersuites (TLS_AES_256_GCM_SHA384)
 *
 * A session counts when every reply was right and the server said close_notify. Prints one line
 * of key=value: sessions, errors, messages, octets of one message (size), wall time in seconds, and the
 * longest time of a message: from MAIL to the reply to its last dot, or, if raw, from the first byte to the
 * end. Exits 1 if there was any error. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 78, BLOCK = 840 * LINE, PATIENCE = 60 }; /* four full records, all but a little */

static struct {
    long sessions, clients;
    size_t size;
    bool raw;
    const char *ciphers;
} opt = {.sessions = 1, .clients = 1, .ciphers = "TLS_AES_256_GCM_SHA384"};

/* A client's message to its parent. */
struct result {
    long sessions, errors, messages;
    double message;
};

static struct sockaddr_in server;
static SSL_CTX *ctx;
static char block[BLOCK];

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

/* --- one session; false is an error --- */

struct link {
    int fd;
    SSL *ssl; /* NULL: still plain text */
};

static bool fail(const char *what)
{
    unsigned long e = ERR_get_error();
    const char *reason = e ? ERR_reason_error_string(e) : errno ? strerror(errno) : "unexpected";

    fprintf(stderr, "tlsload: %s: %s\n", what, reason);
    return false;
}

static bool send_all(struct link *l, const char *bytes, size_t n)
{
    if (l->ssl)
        return SSL_write(l->ssl, bytes, (int)n) == (int)n;
    return send(l->fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n;
}

/* A whole reply: nothing is sent ahead, so nothing comes behind it. */
static bool hear(struct link *l, const char *code)
{
    char text[4096];
    size_t n = 0;

    while (n < sizeof text) {
        size_t room = sizeof text - n;
        ssize_t r = l->ssl ? SSL_read(l->ssl, text + n, (int)room) : recv(l->fd, text + n, room, 0);
        if (r <= 0)
            return fail(code);
        n += (size_t)r;
        if (text[n - 1] != '\n')
            continue;
        const char *line = memrchr(text, '\n', n - 1);
        line = line ? line + 1 : text;
        if (text + n - line > 4 && line[3] == ' ')
            return !strncmp(line, code, 3) || fail(code);
    }
    return fail("too long a reply");
}

static bool ask(struct link *l, const char *line, const char *code)
{
    return (send_all(l, line, strlen(line)) || fail(line)) && hear(l, code);
}

static bool open_link(struct link *l)
{
    struct timeval patience = {.tv_sec = PATIENCE};
    int on = 1;

    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (l->fd < 0 || setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
        setsockopt(l->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0 ||
        setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        connect(l->fd, (struct sockaddr *)&server, sizeof server) < 0)
        return fail("connect");
    return true;
}

static bool shake_hands(struct link *l)
{
    SSL *ssl = SSL_new(ctx);

    if (!ssl || SSL_set_fd(ssl, l->fd) != 1 || SSL_connect(ssl) != 1) {
        SSL_free(ssl);
        return fail("handshake");
    }
    l->ssl = ssl;
    return true;
}

static bool send_body(struct link *l)
{
    for (size_t left = opt.size, n; left; left -= n) {
        n = left < BLOCK ? left : BLOCK;
        if (!send_all(l, block, n))
            return fail("body");
    }
    return true;
}

static bool send_message(struct link *l)
{
    return ask(l, "MAIL FROM:<a@example.org>\r\n", "250") && ask(l, "RCPT TO:<b@example.com>\r\n", "250") &&
           ask(l, "DATA\r\n", "354") && send_body(l) && ask(l, ".\r\n", "250");
}

/* The server's close_notify, or, if the last word is ours, the end of the connection. */
static bool await_end(struct link *l)
{
    char byte;
    int r = SSL_read(l->ssl, &byte, 1);

    return r <= 0 && (SSL_get_error(l->ssl, r) == SSL_ERROR_ZERO_RETURN || opt.raw);
}

static bool talk_raw(struct link *l, struct result *result)
{
    if (!shake_hands(l))
        return false;
    double began = now();
    if (!send_body(l))
        return false;
    SSL_shutdown(l->ssl);
    if (!await_end(l))
        return fail("end");
    result->message = now() - began;
    result->messages++;
    return true;
}

static bool talk(struct link *l, struct result *result)
{
    if (!hear(l, "220") || !ask(l, "EHLO load.example\r\n", "250") || !ask(l, "STARTTLS\r\n", "220") ||
        !shake_hands(l) || !ask(l, "EHLO load.example\r\n", "250"))
        return false;
    if (opt.size) {
        double began = now();
        if (!send_message(l))
            return false;
        result->message = now() - began;
        result->messages++;
    }
    return ask(l, "QUIT\r\n", "221") && (await_end(l) || fail("no close_notify"));
}

static void session(struct result *result)
{
    struct link l = {.fd = -1};
    bool good = open_link(&l) && (opt.raw ? talk_raw(&l, result) : talk(&l, result));

    if (good)
        result->sessions++;
    else
        result->errors++;
    SSL_free(l.ssl);
    if (l.fd >= 0)
        close(l.fd);
    ERR_clear_error();
}

/* --- all of them --- */

static _Noreturn void client(int out, long sessions)
{
    struct result result = {0};

    while (sessions-- && !result.errors)
        session(&result);
    _exit(write(out, &result, sizeof result) == sizeof result ? 0 : 111);
}

static void start_clients(int out)
{
    for (long i = 0; i < opt.clients; i++) {
        pid_t pid = fork();
        if (pid < 0)
            die("fork");
        if (pid == 0)
            client(out, opt.sessions / opt.clients + (i < opt.sessions % opt.clients));
    }
}

static void add(struct result *sum, const struct result *r)
{
    sum->sessions += r->sessions;
    sum->errors += r->errors;
    sum->messages += r->messages;
    if (r->message > sum->message)
        sum->message = r->message;
}

/* Lines behind a short header: without it the whole message would be header. */
static void fill_block(void)
{
    static const char header[] = "Subject: load\r\n\r\n";

    for (size_t i = 0; i < BLOCK; i++)
        block[i] = i % LINE == LINE - 2 ? '\r' : i % LINE == LINE - 1 ? '\n' : (char)('a' + i % 26);
    memcpy(block, header, sizeof header - 1);
}

static void prepare(void)
{
    ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, opt.ciphers) != 1) {
        ERR_print_errors_fp(stderr);
        exit(111);
    }
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: tlsload [-n sessions] [-c clients] [-s bytes] [-r] [-k ciphersuites] port\n");
    exit(100);
}

static void scan_arguments(int argc, char **argv)
{
    for (int o; (o = getopt(argc, argv, "n:c:s:rk:")) != -1;)
        switch (o) {
        case 'n':
            opt.sessions = atol(optarg);
            break;
        case 'c':
            opt.clients = atol(optarg);
            break;
        case 's':
            opt.size = strtoul(optarg, NULL, 10) / LINE * LINE; /* whole lines */
            break;
        case 'r':
            opt.raw = true;
            break;
        case 'k':
            opt.ciphers = optarg;
            break;
        default:
            usage();
        }
    if (optind + 1 != argc || opt.sessions < 1 || opt.clients < 1)
        usage();
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)atoi(argv[optind]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

int main(int argc, char **argv)
{
    struct result sum = {0}, r;
    int results[2];

    scan_arguments(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    fill_block();
    prepare();
    if (pipe(results) < 0)
        die("pipe");
    double began = now();
    start_clients(results[1]);
    close(results[1]);
    while (read(results[0], &r, sizeof r) == sizeof r)
        add(&sum, &r);
    double wall = now() - began;
    while (wait(NULL) > 0)
        ;
    printf("sessions=%ld errors=%ld messages=%ld size=%zu wall=%.6f message=%.6f\n", sum.sessions, sum.errors,
           sum.messages, opt.size, wall, sum.message);
    return sum.sessions == opt.sessions ? 0 : 1;
}
