/* Local sockets that keep packets apart stand for the client where it matters how its octets arrive: one read
 * takes one packet, and one write makes one. */
#define _GNU_SOURCE
#include "net/wire.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* ck_assert_msg tells its place to the runner each time, which is slow in long loops. */
#define MUST(condition, ...)                                                                                 \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            ck_abort_msg(__VA_ARGS__);                                                                       \
    } while (0)

#define MS (SECOND / 1000)
#define S(text)                                                                                              \
    {                                                                                                        \
        text, sizeof(text) - 1                                                                               \
    }

static struct wire_buffer buffer;
static struct wire w;
static int client;

static void start(int in, int out)
{
    wire_init(&w, &buffer, in, out, 30 * SECOND, deadline_after(deadline_now(), 100 * SECOND));
}

static void open_pair(int type)
{
    int pair[2];

    MUST(!socketpair(AF_UNIX, type, 0, pair), "socketpair");
    start(pair[0], pair[0]);
    client = pair[1];
}

static void close_pair(void)
{
    close(w.in);
    close(client);
}

/* A pipe: each read takes the octets of one write. */
static void open_pipe(void)
{
    int pair[2];

    MUST(!pipe2(pair, O_DIRECT), "pipe");
    start(pair[0], -1);
    client = pair[1];
}

static void open_tcp(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int server = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert(!bind(server, (struct sockaddr *)&a, n) && !listen(server, 1));
    ck_assert(!getsockname(server, (struct sockaddr *)&a, &n));
    client = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert(!connect(client, (struct sockaddr *)&a, n));
    int fd = accept(server, NULL, NULL);
    ck_assert(fd >= 0);
    close(server);
    start(fd, fd);
}

static void say(const char *bytes, size_t n)
{
    MUST(!n || write(client, bytes, n) == (ssize_t)n, "the client's write");
}

/* Nothing more will come: the wire is to see the end instead of waiting for it. */
static void say_end(void)
{
    if (shutdown(client, SHUT_WR) < 0)
        close(client);
}

#define LONG_ONE "\1" /* stands for a line that was too long */

static const struct {
    const char *name;
    struct slice input;
    struct slice want[5];
    const char *why;
} inputs[] = {
    {"nothing", S(""), {{0}}, "the end"},
    {"a line", S("NOOP\r\n"), {S("NOOP")}, "without its line end"},
    {"bare LF", S("NOOP\n"), {S("NOOP")}, "tolerated in commands"},
    {"lines", S("NOOP\r\nQUIT\r\n"), {S("NOOP"), S("QUIT")}, "one after the other"},
    {"empty lines", S("\r\n\n\r\nA\r\n"), {S(""), S(""), S(""), S("A")}, "lines all the same"},
    {"no end", S("NOOP\r\nQUI"), {S("NOOP")}, "without a line end it is no command"},
    {"CR at the end", S("NOOP\r"), {{0}}, "without its LF it is no command"},
    {"CR inside", S("NO\rOP\r\n"), {S("NO\rOP")}, "no line end"},
    {"two CR", S("NOOP\r\r\n"), {S("NOOP\r")}, "one belongs to the line end"},
    {"CR alone", S("\r\r\n"), {S("\r")}, "one belongs to the line end"},
    {"LF CR", S("A\n\rB\r\n"), {S("A"), S("\rB")}, "a line end, and an octet"},
    {"NUL", S("NO\0OP\r\n"), {S("NO\0OP")}, "an octet like others"},
    {"eight bit", S("x\xff\xfe\r\n"), {S("x\xff\xfe")}, "octets like others"},
};

static void check_lines(const struct slice *want, const char *name)
{
    struct slice line;
    int r;

    for (; (r = wire_line(&w, &line)) >= 0; want++) {
        MUST(want->p, "%s: a line too many: %.*s", name, line.n < 60 ? (int)line.n : 60, line.p);
        bool too_long = want->n == 1 && *want->p == *LONG_ONE;
        MUST(r == !too_long, "%s: too long or not", name);
        if (r)
            MUST(line.n == want->n && !memcmp(line.p, want->p, line.n), "%s: \"%.*s\"", name,
                 line.n < 60 ? (int)line.n : 60, line.p);
    }
    MUST(!want->p, "%s: a line is missing", name);
    MUST(w.end == WIRE_EOF, "%s: the end", name);
}

START_TEST(lines)
{
    const struct slice in = inputs[_i].input;

    for (size_t i = 0; i <= in.n; i++) {
        open_pair(SOCK_SEQPACKET);
        say(in.p, i);
        say(in.p + i, in.n - i);
        say_end();
        check_lines(inputs[_i].want, inputs[_i].name);
        ck_assert_uint_eq(w.bytes_in, in.n);
        close_pair();

        open_pipe();
        say(in.p, i);
        say(in.p + i, in.n - i);
        say_end();
        check_lines(inputs[_i].want, inputs[_i].name);
        close(w.in);
    }
    open_pair(SOCK_SEQPACKET);
    for (size_t i = 0; i < in.n; i++)
        say(in.p + i, 1);
    say_end();
    check_lines(inputs[_i].want, inputs[_i].name);
}
END_TEST

START_TEST(a_file)
{
    const struct slice in = inputs[_i].input;
    int fd = memfd_create("input", 0);

    ck_assert(write(fd, in.p, in.n) == (ssize_t)in.n && lseek(fd, 0, SEEK_SET) == 0);
    start(fd, -1);
    check_lines(inputs[_i].want, inputs[_i].name);
}
END_TEST

/* One line of `input` octets without its line end, and a short one behind it. */
static const struct {
    const char *name;
    size_t input;
    const char *end;
    bool want;
    const char *why;
} bounds[] = {
    {"longest", WIRE_LINE - 2, "\r\n", true, "WIRE_LINE with its line end"},
    {"one over", WIRE_LINE - 1, "\r\n", false, "WIRE_LINE + 1"},
    {"longest with LF", WIRE_LINE - 1, "\n", true, "WIRE_LINE with its line end"},
    {"one over with LF", WIRE_LINE, "\n", false, "WIRE_LINE + 1"},
    {"two over", WIRE_LINE, "\r\n", false, "WIRE_LINE + 2"},
    {"twice", 2 * WIRE_LINE, "\r\n", false, "dropped in two parts"},
    {"twice, but for the end", 2 * WIRE_LINE - 1, "\r\n", false, "the end alone is left"},
};

static char huge[4 * WIRE_IN], exes[2 * WIRE_LINE];

static size_t make_line(size_t octets, const char *line_end)
{
    memset(exes, 'x', sizeof exes);
    memset(huge, 'x', octets);
    strcpy(huge + octets, line_end);
    strcat(huge + octets, "NOOP\r\n");
    return octets + strlen(line_end) + 6;
}

START_TEST(bound)
{
    size_t n = make_line(bounds[_i].input, bounds[_i].end);
    struct slice want[] = {
        bounds[_i].want ? (struct slice){exes, bounds[_i].input} : (struct slice)S(LONG_ONE), S("NOOP"), {0}};

    for (size_t i = 0; i <= n; i++) {
        open_pair(SOCK_SEQPACKET);
        say(huge, i);
        say(huge + i, n - i);
        say_end();
        check_lines(want, bounds[_i].name);
        close_pair();
    }
}
END_TEST

/* Byte by byte, by another process: no socket holds that many packets. */
START_TEST(bound_in_bytes)
{
    size_t n = make_line(bounds[_i].input, bounds[_i].end);
    struct slice want[] = {
        bounds[_i].want ? (struct slice){exes, bounds[_i].input} : (struct slice)S(LONG_ONE), S("NOOP"), {0}};

    open_pair(SOCK_SEQPACKET);
    pid_t pid = fork();
    if (!pid) {
        for (size_t i = 0; i < n; i++)
            say(huge + i, 1);
        _exit(0);
    }
    close(client);
    check_lines(want, bounds[_i].name);
    ck_assert(waitpid(pid, NULL, 0) == pid);
}
END_TEST

/* More than all buffers hold, over a stream: memory does not grow. */
START_TEST(endless_line)
{
    size_t n = make_line(3 * WIRE_IN + (size_t)_i, "\r\n");
    const struct slice want[] = {S(LONG_ONE), S("NOOP"), {0}};

    open_pair(SOCK_STREAM);
    pid_t pid = fork();
    if (!pid) {
        say(huge, n);
        _exit(0);
    }
    close(client);
    check_lines(want, "endless");
    ck_assert(waitpid(pid, NULL, 0) == pid);
    ck_assert_uint_eq(w.bytes_in, n);
}
END_TEST

START_TEST(many_long_lines)
{
    const struct slice want[] = {S(LONG_ONE), S("A"), S(LONG_ONE), S("B"), {0}};
    size_t n = 0;

    for (int k = 0; k < 2; k++) {
        memset(huge + n, 'x', 5000);
        memcpy(huge + n + 5000, k ? "\r\nB\r\n" : "\r\nA\r\n", 5);
        n += 5005;
    }
    for (size_t i = 0; i <= n; i += 7) {
        open_pair(SOCK_SEQPACKET);
        say(huge, i);
        say(huge + i, n - i);
        say_end();
        check_lines(want, "two long ones");
        close_pair();
    }
}
END_TEST

/* Lines that fill the buffer again and again are neither lost nor mixed up. */
START_TEST(stream_of_lines)
{
    struct slice line;

    open_pair(SOCK_STREAM);
    pid_t pid = fork();
    if (!pid) {
        for (unsigned i = 0; i < 20000; i++) {
            int n = sprintf(huge, "%u %0*u\r\n", i, (int)(i % 300) + 1, i);
            say(huge, (size_t)n);
        }
        _exit(0);
    }
    close(client);
    for (unsigned i = 0; i < 20000; i++) {
        int n = sprintf(huge, "%u %0*u", i, (int)(i % 300) + 1, i);
        MUST(wire_line(&w, &line) == 1, "line %u", i);
        MUST(line.n == (size_t)n && !memcmp(line.p, huge, line.n), "line %u: %.20s", i, line.p);
    }
    ck_assert(wire_line(&w, &line) < 0 && w.end == WIRE_EOF);
    ck_assert(waitpid(pid, NULL, 0) == pid);
}
END_TEST

START_TEST(chunks)
{
    struct slice line;
    char *bytes;
    size_t n;

    open_pair(SOCK_SEQPACKET);
    say("DATA\r\nhello", 11);
    ck_assert(wire_line(&w, &line) == 1 && line.n == 4);
    ck_assert(!wire_chunk(&w, INT64_MAX, &bytes, &n) && n == 5 && !memcmp(bytes, "hello", 5));
    ck_assert_msg(bytes - WIRE_HEADROOM >= buffer.bytes, "there is room in front");
    memmove(bytes - WIRE_HEADROOM, bytes, 2);
    wire_take(&w, 2);
    ck_assert(!wire_chunk(&w, INT64_MAX, &bytes, &n) && n == 3 && !memcmp(bytes, "llo", 3));
    wire_take(&w, 3);

    memset(huge, 'y', WIRE_IN + 10);
    memcpy(huge + WIRE_IN - 1, "\nQUIT\r\n", 7);
    say(huge, WIRE_IN);
    say(huge + WIRE_IN, 6);
    ck_assert_msg(!wire_chunk(&w, INT64_MAX, &bytes, &n) && n == WIRE_IN, "as much as fits");
    ck_assert(bytes - WIRE_HEADROOM >= buffer.bytes && bytes + n <= buffer.bytes + sizeof buffer.bytes);
    ck_assert(!memcmp(bytes, huge, n));
    wire_take(&w, n - 1);
    ck_assert(wire_line(&w, &line) == 1 && line.n == 0);
    ck_assert_msg(wire_line(&w, &line) == 1 && !memcmp(line.p, "QUIT", 4), "commands go on behind it");
    say_end();
    ck_assert(wire_chunk(&w, INT64_MAX, &bytes, &n) < 0 && w.end == WIRE_EOF);
}
END_TEST

/* All that was sent to the client until now, over a packet socket. */
static size_t heard(char *buf, size_t size)
{
    ssize_t n = recv(client, buf, size, MSG_DONTWAIT);
    return n < 0 ? 0 : (size_t)n;
}

START_TEST(pipelined_replies)
{
    static const char replies[] = "250 1\r\n250 2\r\n250 3\r\n";
    struct slice line;
    char buf[256];

    open_pair(SOCK_SEQPACKET);
    say("1\r\n2\r\n3\r\n", 9);
    for (int i = 1; i <= 3; i++) {
        ck_assert(wire_line(&w, &line) == 1);
        wire_put(&w, "250 ", 4);
        wire_put(&w, line.p, line.n);
        wire_put(&w, "\r\n", 2);
        ck_assert_msg(!heard(buf, sizeof buf), "not while there is more to read");
    }
    say_end();
    ck_assert(wire_line(&w, &line) < 0);
    ck_assert_msg(heard(buf, sizeof buf) == sizeof replies - 1 && !memcmp(buf, replies, sizeof replies - 1),
                  "all in one write, before waiting");
    ck_assert(!heard(buf, sizeof buf));
    ck_assert_uint_eq(w.bytes_out, sizeof replies - 1);
}
END_TEST

START_TEST(flush_before_chunk)
{
    char buf[16], *bytes;
    size_t n;

    open_pair(SOCK_SEQPACKET);
    wire_put(&w, "354 Go\r\n", 8);
    ck_assert(!heard(buf, sizeof buf));
    say_end();
    ck_assert(wire_chunk(&w, INT64_MAX, &bytes, &n) < 0);
    ck_assert(heard(buf, sizeof buf) == 8);
}
END_TEST

static const size_t puts_of[] = {1, 7, 511, 512, 4096, WIRE_OUT - 1, WIRE_OUT, WIRE_OUT + 1, 40000};

/* Reads `fd` to its end: `total` octets, each its own place modulo 251. */
static void check_output(int fd, size_t total)
{
    size_t at = 0;
    char buf[4096];
    ssize_t n;

    while ((n = read(fd, buf, sizeof buf)) > 0)
        for (ssize_t i = 0; i < n; i++, at++)
            MUST(buf[i] == (char)(at % 251), "octet %zu", at);
    ck_assert_uint_eq(at, total);
}

static size_t put_much(size_t piece)
{
    static char bytes[40000];
    size_t total = 0;

    while (total < 50000) {
        for (size_t i = 0; i < piece; i++)
            bytes[i] = (char)((total + i) % 251);
        wire_put(&w, bytes, piece);
        total += piece;
        MUST(w.out_len < WIRE_OUT, "the buffer is never full for long");
    }
    wire_flush(&w);
    return total;
}

START_TEST(much_output)
{
    int pair[2];

    open_pair(SOCK_STREAM);
    size_t total = put_much(puts_of[_i]);
    ck_assert_uint_eq(w.bytes_out, total);
    close(w.in);
    check_output(client, total);

    ck_assert(!pipe(pair));
    ck_assert(fcntl(pair[1], F_SETPIPE_SZ, 1 << 20) > 0);
    start(-1, pair[1]);
    total = put_much(puts_of[_i]);
    ck_assert_uint_eq(w.bytes_out, total);
    ck_assert(w.end == WIRE_OPEN);
    close(pair[1]);
    check_output(pair[0], total);
}
END_TEST

/* A reader that takes its time, but takes it all; both descriptors stay blocking. */
START_TEST(slow_reader)
{
    int pair[2];

    if (_i)
        ck_assert(!pipe(pair));
    else
        ck_assert(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    pid_t pid = fork();
    if (!pid) {
        char c[3000];
        size_t sum = 0;
        close(pair[1]);
        for (ssize_t n; (n = read(pair[0], c, sizeof c)) > 0;) {
            sum += (size_t)n;
            sched_yield();
        }
        _exit(sum == 3000000 ? 0 : 1);
    }
    close(pair[0]);
    start(-1, pair[1]);
    for (int i = 0; i < 3000; i++)
        wire_put(&w, huge, 1000);
    wire_flush(&w);
    ck_assert(w.end == WIRE_OPEN && !(fcntl(pair[1], F_GETFL) & O_NONBLOCK));
    close(pair[1]);
    int status;
    ck_assert(waitpid(pid, &status, 0) == pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(no_reader)
{
    int pair[2];

    if (_i)
        ck_assert(!pipe(pair));
    else
        ck_assert(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    instant before = deadline_now();
    wire_init(&w, &buffer, -1, pair[1], 50 * MS, deadline_after(before, 100 * SECOND));
    wire_put(&w, huge, 5000); /* so that there is room in the end, but not for a whole buffer */
    wire_flush(&w);
    for (int i = 0; i < 3000 && w.end == WIRE_OPEN; i++)
        wire_put(&w, huge, 1000);
    ck_assert_msg(w.end == WIRE_LOST, "a client that reads nothing is lost");
    ck_assert_msg(deadline_now() - before >= 50 * MS, "but not before its time");
    uint64_t out = w.bytes_out;
    wire_put(&w, huge, 100000);
    wire_flush(&w);
    ck_assert_msg(w.bytes_out == out && w.out_len < WIRE_OUT, "nothing happens from now on");
}
END_TEST

START_TEST(reader_gone)
{
    struct slice line;
    int pair[2];

    if (_i) {
        wire_catch_signals(0);
        ck_assert(!pipe(pair));
    } else {
        ck_assert(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    }
    close(pair[0]);
    start(pair[1], pair[1]);
    wire_put(&w, "250 Ok\r\n", 8);
    wire_flush(&w);
    ck_assert(w.end == WIRE_LOST && !w.bytes_out);
    ck_assert_msg(wire_line(&w, &line) < 0 && w.end == WIRE_LOST, "and nothing more is read");
}
END_TEST

START_TEST(reset)
{
    struct slice line;

    open_pair(SOCK_STREAM);
    wire_put(&w, "220 Hello\r\n", 11);
    wire_flush(&w);
    close(client); /* over unread input */
    ck_assert(wire_line(&w, &line) < 0);
    ck_assert_msg(w.end == WIRE_LOST, "that is no orderly end");
}
END_TEST

/* Silence, or half a line, and the limits for waiting. */
static const struct {
    const char *name;
    struct slice input;
    bool pipe, chunk;
    int64_t patience, session, limit; /* ms from now; 0: very long */
    const char *why;
} waits[] = {
    {"patience", S(""), false, false, 40, 0, 0, "of one read"},
    {"patience, pipe", S(""), true, false, 40, 0, 0, "of one read"},
    {"half a line", S("NOO"), false, false, 40, 0, 0, "is no line"},
    {"half a line, pipe", S("NOO"), true, false, 40, 0, 0, "is no line"},
    {"too long, without end", S("xxxxxxxxxx"), false, false, 40, 0, 0, "is no line"},
    {"session", S(""), false, false, 0, 40, 0, "ends before patience does"},
    {"session, pipe", S(""), true, false, 0, 40, 0, "ends before patience does"},
    {"session, half a line", S("NOO"), false, false, 0, 40, 0, "ends before patience does"},
    {"chunk", S(""), false, true, 40, 0, 0, "patience of one read"},
    {"chunk's limit", S(""), false, true, 0, 0, 40, "the caller's"},
    {"chunk's limit, pipe", S(""), true, true, 0, 0, 40, "the caller's"},
    {"chunk, session", S(""), false, true, 0, 40, 0, "ends before patience does"},
    {"odd patience", S(""), false, false, 41, 43, 0, "both near"},
};

START_TEST(timeout)
{
    const instant now = deadline_now(), far = deadline_after(now, 1000 * SECOND);
    const int64_t session = waits[_i].session, limit = waits[_i].limit;
    int64_t patience = waits[_i].patience, least = patience ? patience : session ? session : limit;
    struct slice line;
    char *bytes;
    size_t n;

    if (waits[_i].pipe)
        open_pipe();
    else
        open_pair(SOCK_STREAM);
    wire_init(&w, &buffer, w.in, w.out, patience ? patience * MS : 1000 * SECOND,
              session ? deadline_after(now, session * MS) : far);
    say(waits[_i].input.p, waits[_i].input.n);
    for (int again = 0; again < 2; again++) {
        int r = waits[_i].chunk ? wire_chunk(&w, limit ? deadline_after(now, limit * MS) : far, &bytes, &n)
                                : wire_line(&w, &line);
        ck_assert_msg(r < 0 && w.end == WIRE_TIMEOUT, "%s: %s", waits[_i].name, waits[_i].why);
    }
    ck_assert_msg(deadline_now() - now >= least * MS, "%s: not before its time", waits[_i].name);
}
END_TEST

START_TEST(session_over)
{
    struct slice line;

    open_pair(SOCK_STREAM);
    say("NOOP\r\n", 6);
    wire_init(&w, &buffer, w.in, w.out, SECOND, deadline_now());
    ck_assert_msg(wire_line(&w, &line) < 0 && w.end == WIRE_TIMEOUT, "waiting input is not read any more");
    wire_put(&w, "421 4.4.2 Timeout\r\n", 19);
    wire_flush(&w);
    ck_assert_msg(w.bytes_out == 19, "but the last reply goes out");
}
END_TEST

static void on_alarm(int number)
{
    (void)number;
    kill(getpid(), SIGTERM);
}

/* SIGTERM comes while the wire waits; more than once, so that none falls just before the wait. */
static void stop_soon(void)
{
    struct sigaction a = {.sa_handler = on_alarm};
    struct itimerval t = {{0, 20000}, {0, 20000}};

    sigaction(SIGALRM, &a, NULL);
    ck_assert(!setitimer(ITIMER_REAL, &t, NULL));
}

enum { TCP, LOCAL, PIPE };

static const struct {
    const char *name;
    int input;
    bool poll; /* the session ends before patience: the wire polls */
    bool soon; /* else at once */
    const char *why;
} stops[] = {
    {"tcp, waiting", TCP, false, true, "the kernel's wait ends"},
    {"tcp, polling", TCP, true, true, "the poll ends"},
    {"tcp, before", TCP, false, false, "the next wait does not begin"},
    {"tcp, before polling", TCP, true, false, "the next wait does not begin"},
    {"local, waiting", LOCAL, false, true, "the kernel's wait ends"},
    {"local, before", LOCAL, false, false, "the next wait does not begin"},
    {"pipe, polling", PIPE, true, true, "the poll ends"},
    {"pipe, before", PIPE, true, false, "the next wait does not begin"},
};

START_TEST(stop)
{
    struct slice line;
    char *bytes;
    size_t n;

    if (stops[_i].input == TCP)
        open_tcp();
    else if (stops[_i].input == LOCAL)
        open_pair(SOCK_STREAM);
    else
        open_pipe();
    if (stops[_i].poll)
        w.limit = deadline_after(deadline_now(), 9 * SECOND); /* less than patience */
    wire_catch_signals(w.in);
    say("NOOP\r\nQUIT\r\n", 12);
    ck_assert(wire_line(&w, &line) == 1);
    if (stops[_i].soon)
        stop_soon();
    else
        kill(getpid(), SIGTERM);
    ck_assert_msg(wire_line(&w, &line) == 1, "input that was read before is served");
    ck_assert_msg(wire_line(&w, &line) < 0 && w.end == WIRE_STOPPED, "%s: %s: %d", stops[_i].name,
                  stops[_i].why, (int)w.end);
    ck_assert_msg(deadline_now() < w.limit, "%s: the signal ends it, not the clock", stops[_i].name);
    ck_assert(wire_chunk(&w, INT64_MAX, &bytes, &n) < 0 && w.end == WIRE_STOPPED);
    if (stops[_i].input != PIPE) {
        char buf[64];
        wire_put(&w, "421 4.3.2 Shutting down\r\n", 25);
        wire_flush(&w);
        ck_assert_msg(recv(client, buf, sizeof buf, 0) == 25, "the last reply is heard");
    }
}
END_TEST

/* The client goes on sending; the last reply must reach it all the same. */
START_TEST(linger)
{
    open_tcp();
    pid_t pid = fork();
    if (!pid) {
        char buf[64];
        size_t n = 0;
        ssize_t r;
        close(w.in);
        say(huge, 200000);
        shutdown(client, SHUT_WR);
        while ((r = recv(client, buf + n, sizeof buf - n, 0)) > 0)
            n += (size_t)r;
        _exit(r == 0 && n == 15 && !memcmp(buf, "421 4.7.0 Bye\r\n", 15) ? 0 : 1);
    }
    close(client);
    struct pollfd unread = {.fd = w.in, .events = POLLIN};
    ck_assert(poll(&unread, 1, -1) == 1);
    wire_put(&w, "421 4.7.0 Bye\r\n", 15);
    wire_linger(&w);
    close(w.in);
    int status;
    ck_assert(waitpid(pid, &status, 0) == pid);
    ck_assert_msg(status == 0, "the reply, then an orderly end");
}
END_TEST

START_TEST(linger_flushes)
{
    int pair[2];
    char buf[16];

    ck_assert(!pipe(pair));
    start(-1, pair[1]);
    wire_put(&w, "221 Bye\r\n", 9);
    wire_linger(&w);
    ck_assert_msg(read(pair[0], buf, sizeof buf) == 9, "a pipe, too");
    open_pair(SOCK_STREAM);
    say_end();
    struct slice line;
    ck_assert(wire_line(&w, &line) < 0 && w.end == WIRE_EOF);
    wire_put(&w, "221 Bye\r\n", 9);
    wire_linger(&w);
    ck_assert_msg(read(client, buf, sizeof buf) == 9, "one that has closed its side may still read");
}
END_TEST

/* Bytes of a secret anywhere in the buffer. */
static bool is_in_buffer(const char *secret)
{
    return memmem(buffer.bytes, sizeof buffer.bytes, secret, strlen(secret));
}

/* A secret line behind so many lines, in so many packets, and so many bytes behind it. */
static const struct {
    const char *name;
    size_t before, piece, behind;
} secrets[] = {
    {"alone", 0, 100, 0},           {"byte by byte", 0, 1, 0},  {"ahead", 0, 100, 30},
    {"ahead, in pieces", 0, 7, 30}, {"behind others", 3, 5, 0}, {"among others", 3, 11, 30},
};

START_TEST(forget)
{
    char input[200] = "";
    struct slice line;

    for (size_t i = 0; i < secrets[_i].before; i++)
        strcat(input, "NOOP number\r\n");
    strcat(input, "c2VjcmV0LXNlY3JldA==\r\n");
    for (size_t i = 0; i < secrets[_i].behind; i++)
        strcat(input, i % 10 == 9 ? "\n" : "x");
    open_pair(SOCK_SEQPACKET);
    for (size_t at = 0, n = strlen(input); at < n; at += secrets[_i].piece)
        say(input + at, secrets[_i].piece < n - at ? secrets[_i].piece : n - at);
    say_end();
    for (size_t i = 0; i <= secrets[_i].before; i++)
        ck_assert(wire_line(&w, &line) == 1);
    ck_assert(is_in_buffer("c2Vj"));
    wire_forget(&w);
    ck_assert_msg(!is_in_buffer("c2Vj") && !is_in_buffer("cmV0") && !is_in_buffer("ZA==") &&
                      !is_in_buffer("NOOP"),
                  "%s: nothing of it stays", secrets[_i].name);
    for (size_t i = 0; i < secrets[_i].behind / 10; i++)
        ck_assert_msg(wire_line(&w, &line) == 1 && line.n == 9 && !memcmp(line.p, "xxxxxxxxx", 9),
                      "%s: input that was read ahead stays", secrets[_i].name);
    ck_assert(wire_line(&w, &line) < 0 && w.end == WIRE_EOF);
    close_pair();
}
END_TEST

/* A line that is moved to the front leaves its end behind; one that is too long, all of it. */
START_TEST(forget_moved)
{
    struct slice line;

    open_pair(SOCK_SEQPACKET);
    say("NOOP\r\nc2VjcmV0LXNl", 18);
    say("Y3JldA==\r\n", 10);
    ck_assert(wire_line(&w, &line) == 1 && wire_line(&w, &line) == 1 && line.n == 20);
    wire_forget(&w);
    ck_assert(!is_in_buffer("c2Vj") && !is_in_buffer("cmV0") && !is_in_buffer("LXNl") &&
              !is_in_buffer("Y3Jl"));
    static char endless[1000];
    for (size_t i = 0; i < sizeof endless; i++)
        endless[i] = "c2Vj"[i % 4];
    for (int i = 0; i < 10; i++)
        say(endless, sizeof endless);
    say("\r\n", 2);
    ck_assert(wire_line(&w, &line) == 0);
    wire_forget(&w);
    ck_assert(!is_in_buffer("c2Vj"));
    close_pair();
}
END_TEST

/* A buffer that was never used up stays untouched: its pages cost nothing. */
START_TEST(forget_little)
{
    struct slice line;

    open_pair(SOCK_STREAM);
    memset(buffer.bytes + 4096, 'x', sizeof buffer.bytes - 4096);
    say("NOOP\r\n", 6);
    ck_assert(wire_line(&w, &line) == 1);
    wire_forget(&w);
    for (size_t i = 4096; i < sizeof buffer.bytes; i++)
        MUST(buffer.bytes[i] == 'x', "byte %zu", i);
    close_pair();
}
END_TEST

/* Output stands behind input: neither harms the other, nor does forgetting. */
START_TEST(said_beside_heard)
{
    static char long_line[3000], heard[WIRE_OUT + 100];
    struct slice line;

    memset(long_line, 's', sizeof long_line - 2);
    memcpy(long_line + sizeof long_line - 2, "\r\n", 2);
    open_pair(SOCK_SEQPACKET);
    say(long_line, sizeof long_line); /* later input is shorter: this stays behind it */
    say("NOOP 1\r\nc2VjcmV0\r\nNOOP 2\r\nNOO", 29);
    say("P 3\r\n", 5);
    ck_assert(wire_line(&w, &line) == 1 && line.n == sizeof long_line - 2);
    ck_assert(wire_line(&w, &line) == 1 && slice_is(line, "NOOP 1"));
    wire_put(&w, "one\r\n", 5);
    ck_assert_msg(slice_is(line, "NOOP 1"), "a line stays until the next");
    ck_assert(wire_line(&w, &line) == 1 && slice_is(line, "c2VjcmV0"));
    wire_forget(&w);
    ck_assert_msg(!is_in_buffer("c2Vj") && !is_in_buffer("ssss"), "forgotten before and behind the output");
    wire_put(&w, "two\r\n", 5);
    ck_assert(wire_line(&w, &line) == 1 && slice_is(line, "NOOP 2"));
    ck_assert_msg(recv(client, heard, sizeof heard, MSG_DONTWAIT) < 0, "not sent yet");
    ck_assert(wire_line(&w, &line) == 1 && slice_is(line, "NOOP 3"));
    ck_assert_msg(recv(client, heard, sizeof heard, 0) == 10 && !memcmp(heard, "one\r\ntwo\r\n", 10),
                  "in one write");
    close_pair();
}
END_TEST

/* The most input there can be, and the most output beside it. */
START_TEST(said_beside_most)
{
    static char input[WIRE_IN], heard[WIRE_OUT + 1];
    char reply[WIRE_OUT];
    int size = 4 * WIRE_IN;
    struct slice line;

    for (size_t i = 0; i < sizeof input; i++)
        input[i] = "NOOP ab\n"[i % 8];
    open_pair(SOCK_STREAM);
    ck_assert(!setsockopt(client, SOL_SOCKET, SO_SNDBUF, &size, sizeof size));
    say(input, sizeof input);
    ck_assert(wire_line(&w, &line) == 1);
    ck_assert_uint_eq(w.have, WIRE_IN - 8);
    memset(reply, 'r', sizeof reply);
    wire_put(&w, reply, sizeof reply - 1);
    for (size_t i = 1; i < WIRE_IN / 8; i++)
        MUST(wire_line(&w, &line) == 1 && slice_is(line, "NOOP ab"), "line %zu", i);
    wire_put(&w, reply, 1);
    ck_assert(recv(client, heard, sizeof heard, 0) == WIRE_OUT && !memcmp(heard, reply, sizeof reply));
    close_pair();
}
END_TEST

/* From a socket to two pipes, as STARTTLS does it. */
START_TEST(change)
{
    int in_pipe[2], out_pipe[2];
    struct slice line;
    char said[64];

    open_pair(SOCK_STREAM);
    say("NOOP\r\nEHLO evil\r\n", 17);
    ck_assert(wire_line(&w, &line) == 1 && wire_is_ahead(&w) && w.in_is_socket);
    ck_assert(!pipe(in_pipe) && !pipe(out_pipe));
    ck_assert(write(in_pipe[1], "QUIT\r\n", 6) == 6);
    wire_change(&w, in_pipe[0], out_pipe[1]);
    ck_assert_msg(!wire_is_ahead(&w) && !w.in_is_socket && wire_has_come(&w),
                  "input that was read before is dropped");
    ck_assert(wire_line(&w, &line) == 1 && line.n == 4 && !memcmp(line.p, "QUIT", 4));
    wire_put(&w, "221 Bye\r\n", 9);
    wire_linger(&w);
    ck_assert(read(out_pipe[0], said, sizeof said) == 9);
    ck_assert_msg(recv(client, said, sizeof said, MSG_DONTWAIT) < 0 && errno == EAGAIN,
                  "nothing on the old one");
    ck_assert_msg(w.bytes_in == 23 && w.bytes_out == 9, "the session's counts go on");
    close(in_pipe[1]);
    ck_assert(wire_line(&w, &line) < 0 && w.end == WIRE_EOF);
}
END_TEST

/* Through pipes, as inside of TLS: a client that says no more may still wait for our words. */
START_TEST(pause_behind_the_last_word)
{
    int in_pipe[2], out_pipe[2];
    const instant soon = deadline_after(deadline_now(), SECOND / 20);

    ck_assert(!pipe(in_pipe) && !pipe(out_pipe));
    start(in_pipe[0], out_pipe[1]);
    ck_assert(write(in_pipe[1], "QUIT\r\n", 6) == 6);
    close(in_pipe[1]);
    ck_assert_msg(wire_pause(&w, INT64_MAX, WIRE_WATCH_INPUT) == WIRE_TALK, "it did talk");
    ck_assert_msg(wire_pause(&w, soon, WIRE_WATCH_END) == WIRE_DUE, "the pause is as long as any");
    struct slice line;
    ck_assert(wire_line(&w, &line) == 1 && line.n == 4);
    ck_assert_msg(wire_pause(&w, deadline_now(), WIRE_WATCH_INPUT) == WIRE_DUE, "nothing more to hear");
    close(out_pipe[0]);
    ck_assert_msg(wire_pause(&w, INT64_MAX, WIRE_WATCH_END) == WIRE_GONE, "nobody is left");
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, lines, 0, COUNT(inputs));
    tcase_add_loop_test(t, a_file, 0, COUNT(inputs));
    tcase_add_loop_test(t, bound, 0, COUNT(bounds));
    tcase_add_loop_test(t, bound_in_bytes, 0, COUNT(bounds));
    tcase_add_loop_test(t, endless_line, 0, 3);
    tcase_add_test(t, many_long_lines);
    tcase_add_test(t, stream_of_lines);
    tcase_add_test(t, chunks);
    tcase_add_test(t, pipelined_replies);
    tcase_add_test(t, flush_before_chunk);
    tcase_add_loop_test(t, much_output, 0, COUNT(puts_of));
    tcase_add_loop_test(t, slow_reader, 0, 2);
    tcase_add_loop_test(t, no_reader, 0, 2);
    tcase_add_loop_test(t, reader_gone, 0, 2);
    tcase_add_test(t, reset);
    tcase_add_loop_test(t, timeout, 0, COUNT(waits));
    tcase_add_test(t, session_over);
    tcase_add_loop_test(t, stop, 0, COUNT(stops));
    tcase_add_test(t, linger);
    tcase_add_test(t, linger_flushes);
    tcase_add_loop_test(t, forget, 0, COUNT(secrets));
    tcase_add_test(t, forget_moved);
    tcase_add_test(t, forget_little);
    tcase_add_test(t, said_beside_heard);
    tcase_add_test(t, said_beside_most);
    tcase_add_test(t, change);
    tcase_add_test(t, pause_behind_the_last_word);
}

UNIT("wire", tests)
