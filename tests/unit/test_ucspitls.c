/* A socket pair stands for the server in front: its answers are written to its end. */
#define _GNU_SOURCE
#include "net/ucspitls.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define MS (SECOND / 1000)
#define X16 "xxxxxxxxxxxxxxxx"
#define X64 X16 X16 X16 X16
#define X256 X64 X64 X64 X64
#define BYTES(text) text, sizeof(text) - 1

static struct ucspitls u;
static struct ucspitls_facts facts;
static int server;
static char huge[UCSPITLS_LONGEST + 100];

/* Whole answers, with nothing behind them. */
static const struct {
    const char *name, *input;
    size_t n;
    const char *protocol, *cipher, *server_name, *why;
} answers[] = {
    {"empty", BYTES("\0"), "", "", "", "the end comes at once"},
    {"usual", BYTES("SSL_PROTOCOL=TLSv1.3\0SSL_CIPHER=TLS_AES_256_GCM_SHA384\0\0"), "TLSv1.3",
     "TLS_AES_256_GCM_SHA384", "", "the facts that we keep"},
    {"all", BYTES("SSL_CIPHER=a\0SSL_TLS_SNI_SERVERNAME=mx.example.net\0SSL_PROTOCOL=b\0\0"), "b", "a",
     "mx.example.net", "in any order"},
    {"others", BYTES("PATH=/evil\0SSL_PROTOCOL=x\0SSL_CLIENT_S_DN=CN=SSL_CIPHER=y\0\0"), "x", "", "",
     "not ours"},
    {"longer names", BYTES("SSL_PROTOCOLS=x\0XSSL_CIPHER=y\0SSL_CIPHER_BITS=9\0\0"), "", "", "",
     "whole names"},
    {"shorter names", BYTES("SSL_PROTOCO=x\0SSL_=y\0=z\0\0"), "", "", "", "whole names"},
    {"no value", BYTES("SSL_PROTOCOL\0SSL_CIPHER=\0\0"), "", "", "", "no equals sign; empty"},
    {"case", BYTES("ssl_protocol=x\0\0"), "", "", "", "names have a case"},
    {"twice", BYTES("SSL_PROTOCOL=long\0SSL_PROTOCOL=b\0\0"), "b", "", "", "the last counts, and whole"},
    {"control bytes", BYTES("SSL_PROTOCOL=a\nb\r\t\x1b\x7f\xff\"\\= c\0\0"), "a_b_________c", "", "",
     "in no log and no header"},
    {"plain", BYTES("SSL_CIPHER=AZaz09._:+-/(){}\0\0"), "", "AZaz09._:+-_____", "", "these are kept"},
    {"longest", BYTES("SSL_CIPHER=" X16 X16 X16 "xxxxxxxxxxxxxxx\0\0"), "", X16 X16 X16 "xxxxxxxxxxxxxxx", "",
     "63 octets"},
    {"cut", BYTES("SSL_CIPHER=" X64 "\0\0"), "", X16 X16 X16 "xxxxxxxxxxxxxxx", "", "64 octets"},
    {"longest entry", BYTES("SSL_CIPHER=" X256 X16 X16 X16 "xxxxx\0\0"), "", X16 X16 X16 "xxxxxxxxxxxxxxx",
     "", "320 octets"},
    {"too long an entry", BYTES("SSL_CIPHER=" X256 X16 X16 X16 "xxxxxx\0\0"), "", "", "", "321: not ours"},
    {"after a long one", BYTES("X=" X256 X256 X256 "\0SSL_CIPHER=y\0\0"), "", "y", "", "read as ever"},
    {"name", BYTES("SSL_TLS_SNI_SERVERNAME=" X256 "\0\0"), "", "", X64 X64 X64 X16 X16 X16 "xxxxxxxxxxxxxxx",
     "255 octets of it"},
};

static void check_facts(int i)
{
    ck_assert_msg(!strcmp(facts.protocol, answers[i].protocol) && !strcmp(facts.cipher, answers[i].cipher) &&
                      !strcmp(facts.server_name, answers[i].server_name),
                  "%s: %s: \"%s\" \"%s\" \"%s\"", answers[i].name, answers[i].why, facts.protocol,
                  facts.cipher, facts.server_name);
}

/* In pieces that end at these places, from copies on the heap; bytes behind the answer are not taken. */
static void feed(int i, const size_t *ends, size_t n)
{
    struct ucspitls_answer a = {0};
    size_t at = 0;

    memset(&facts, 0, sizeof facts);
    for (size_t k = 0; k < n; k++) {
        char *piece = malloc(ends[k] - at + 1);
        memcpy(piece, answers[i].input + at, ends[k] - at);
        if (a.done || a.bad)
            ck_abort_msg("%s: over at %zu of %zu", answers[i].name, at, answers[i].n);
        if (ucspitls_feed(&a, piece, ends[k] - at, &facts) != ends[k] - at)
            ck_abort_msg("%s: not all of it is taken", answers[i].name);
        at = ends[k];
        free(piece);
    }
    if (!a.done || a.bad)
        ck_abort_msg("%s: not over", answers[i].name);
    check_facts(i);
}

START_TEST(whole)
{
    char more[2048];
    struct ucspitls_answer a = {0};

    feed(_i, &answers[_i].n, 1);
    memcpy(more, answers[_i].input, answers[_i].n);
    memcpy(more + answers[_i].n, "SSL_PROTOCOL=behind\0", 21);
    memset(&facts, 0, sizeof facts);
    ck_assert(ucspitls_feed(&a, more, answers[_i].n + 21, &facts) == answers[_i].n && a.done);
    check_facts(_i);
    ck_assert_msg(!ucspitls_feed(&a, more, 5, &facts), "nothing belongs to it any more");
}
END_TEST

START_TEST(byte_by_byte)
{
    size_t ends[2048];

    for (size_t i = 0; i < answers[_i].n; i++)
        ends[i] = i + 1;
    feed(_i, ends, answers[_i].n);
}
END_TEST

START_TEST(split)
{
    for (size_t cut = 0; cut < answers[_i].n; cut++)
        feed(_i, (size_t[]){cut, answers[_i].n}, 2);
}
END_TEST

/* Of `n` octets with its end; piece by piece. */
static struct ucspitls_answer feed_long(size_t n, bool in_one_entry)
{
    struct ucspitls_answer a = {0};

    for (size_t i = 0; i < n; i++)
        huge[i] = in_one_entry || i % 100 ? 'x' : 0;
    huge[0] = 'x';
    huge[n - 2] = huge[n - 1] = 0;
    if (n > 2)
        huge[n - 3] = 'x';
    memset(&facts, 0, sizeof facts);
    for (size_t at = 0; at < n && !a.bad && !a.done;) {
        size_t part = n - at < 1000 ? n - at : 1000;
        at += ucspitls_feed(&a, huge + at, part, &facts);
    }
    return a;
}

START_TEST(longest)
{
    struct ucspitls_answer a = feed_long(UCSPITLS_LONGEST, _i);
    ck_assert(a.done && !a.bad);
    a = feed_long(UCSPITLS_LONGEST + 1, _i);
    ck_assert_msg(a.bad, "an octet too many");
}
END_TEST

static void begin(int type)
{
    int pair[2];

    ck_assert(!socketpair(AF_UNIX, type, 0, pair));
    u = (struct ucspitls){pair[0], -1, -1};
    server = pair[1];
    memset(&facts, 'x', sizeof facts);
}

static void say(const char *bytes, size_t n)
{
    ck_assert(write(server, bytes, n) == (ssize_t)n);
}

static instant in(int64_t ms)
{
    return deadline_after(deadline_now(), ms * MS);
}

START_TEST(hear)
{
    char c;

    begin(SOCK_STREAM);
    say(answers[_i].input, answers[_i].n);
    say("behind", 6);
    ck_assert_msg(!ucspitls_hear(&u, in(30000), &facts), "%s: %s", answers[_i].name, strerror(errno));
    check_facts(_i);
    ck_assert_msg(recv(u.control, &c, 1, MSG_DONTWAIT) == 1 && c == 'b', "a byte behind it stays");
}
END_TEST

/* Each byte is a packet of its own. */
START_TEST(hear_slowly)
{
    begin(SOCK_SEQPACKET);
    for (size_t i = 0; i < answers[_i].n && i < 100; i++)
        say(answers[_i].input + i, 1);
    close(server);
    int r = ucspitls_hear(&u, in(30000), &facts);
    if (answers[_i].n <= 100) {
        ck_assert(!r);
        check_facts(_i);
    } else {
        ck_assert_msg(r < 0 && errno == ECONNRESET, "the rest did not come");
    }
}
END_TEST

static const struct {
    const char *name, *input;
    size_t n;
    bool ends;
    int want;
} failures[] = {
    {"nothing", BYTES(""), true, ECONNRESET},
    {"nothing yet", BYTES(""), false, ETIMEDOUT},
    {"no end", BYTES("SSL_PROTOCOL=x\0"), true, ECONNRESET},
    {"no end yet", BYTES("SSL_PROTOCOL=x\0"), false, ETIMEDOUT},
    {"half an entry", BYTES("SSL_PROT"), true, ECONNRESET},
    {"half an entry yet", BYTES("SSL_PROT"), false, ETIMEDOUT},
};

START_TEST(fails)
{
    begin(SOCK_STREAM);
    say(failures[_i].input, failures[_i].n);
    if (failures[_i].ends)
        close(server);
    instant until = in(failures[_i].ends ? 30000 : 40);
    ck_assert(ucspitls_hear(&u, until, &facts) < 0);
    ck_assert_msg(errno == failures[_i].want, "%s: %s", failures[_i].name, strerror(errno));
    if (errno == ETIMEDOUT)
        ck_assert_msg(deadline_now() >= until, "not before its time");
}
END_TEST

static void *babble(void *fd)
{
    while (send(*(int *)fd, X256, 256, MSG_NOSIGNAL) > 0)
        ;
    return NULL;
}

START_TEST(too_long)
{
    pthread_t thread;

    begin(SOCK_STREAM);
    ck_assert(!pthread_create(&thread, NULL, babble, &server));
    ck_assert(ucspitls_hear(&u, in(60000), &facts) < 0 && errno == EPROTO);
    shutdown(u.control, SHUT_RDWR);
    pthread_join(thread, NULL);
}
END_TEST

static void ignore(int number)
{
    (void)number;
}

/* A signal ends the wait; more than once, so that none falls just before it. */
START_TEST(interrupted)
{
    struct sigaction a = {.sa_handler = ignore};
    struct itimerval t = {{0, 20000}, {0, 20000}};

    begin(SOCK_STREAM);
    sigaction(SIGALRM, &a, NULL);
    ck_assert(!setitimer(ITIMER_REAL, &t, NULL));
    ck_assert(ucspitls_hear(&u, in(60000), &facts) < 0 && errno == EINTR);
}
END_TEST

START_TEST(start)
{
    char asked[4];

    begin(SOCK_STREAM);
    ck_assert(ucspitls_is_alive(&u));
    say("SSL_PROTOCOL=p\0", 16);
    ck_assert_msg(!ucspitls_is_alive(&u), "it speaks before it is asked");
    ck_assert(!ucspitls_start(&u, in(30000), &facts));
    ck_assert_str_eq(facts.protocol, "p");
    ck_assert_msg(!*facts.cipher && !*facts.server_name, "nothing is left of before");
    ck_assert_msg(recv(server, asked, sizeof asked, MSG_DONTWAIT) == 1 && *asked == 'Y', "one byte");
    ck_assert(ucspitls_is_alive(&u));
    close(server);
    ck_assert_msg(!ucspitls_is_alive(&u), "it has ended");
    ck_assert_msg(ucspitls_start(&u, in(30000), &facts) < 0 && errno == EPIPE, "without a signal");
}
END_TEST

START_TEST(no_socket)
{
    int pair[2];

    ck_assert(!pipe(pair));
    u = (struct ucspitls){_i ? pair[1] : pair[0], -1, -1};
    ck_assert(!ucspitls_is_alive(&u));
    ck_assert(ucspitls_start(&u, in(30000), &facts) < 0);
    u.control = 999;
    ck_assert(!ucspitls_is_alive(&u));
    ck_assert(ucspitls_start(&u, in(30000), &facts) < 0 && errno == EBADF);
}
END_TEST

/* Numbers in the environment; 10 to 12 are open. NULL: not set. */
static const struct {
    const char *name, *control, *read, *write;
    bool want;
} numbers[] = {
    {"all", "10", "11", "12", true},
    {"one for all", "10", "10", "10", true},
    {"none", NULL, NULL, NULL, false},
    {"no control", NULL, "11", "12", false},
    {"no read", "10", NULL, "12", false},
    {"no write", "10", "11", NULL, false},
    {"empty", "", "11", "12", false},
    {"closed control", "13", "11", "12", false},
    {"closed read", "10", "13", "12", false},
    {"closed write", "10", "11", "13", false},
    {"0", "0", "11", "12", false},
    {"1", "10", "11", "1", false},
    {"2", "10", "2", "12", false},
    {"sign", "+10", "11", "12", false},
    {"negative", "-1", "11", "12", false},
    {"space", " 10", "11", "12", false},
    {"space behind", "10 ", "11", "12", false},
    {"hexadecimal", "0xa", "11", "12", false},
    {"word", "ten", "11", "12", false},
    {"leading zeros", "0010", "11", "12", true},
    {"absurd", "99999999999999999999", "11", "12", false},
    {"in 32 bits", "4294967306", "11", "12", false},
};

static void set(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

START_TEST(find)
{
    for (int fd = 10; fd < 13; fd++)
        ck_assert(dup2(0, fd) == fd);
    close(13);
    set("SSLCTLFD", numbers[_i].control);
    set("SSLREADFD", numbers[_i].read);
    set("SSLWRITEFD", numbers[_i].write);
    ck_assert_msg(ucspitls_find(&u) == numbers[_i].want, "%s", numbers[_i].name);
    ck_assert_msg((u.control >= 0) == numbers[_i].want, "%s", numbers[_i].name);
    if (!numbers[_i].want)
        return;
    ck_assert_int_eq(u.control, 10);
    ck_assert_msg(fcntl(u.control, F_GETFD) & FD_CLOEXEC && fcntl(u.read, F_GETFD) & FD_CLOEXEC &&
                      fcntl(u.write, F_GETFD) & FD_CLOEXEC,
                  "no other program gets them");
}
END_TEST

START_TEST(is_on)
{
    memset(&facts, 'x', sizeof facts);
    unsetenv("SSL_PROTOCOL");
    setenv("SSL_CIPHER", "c", 1);
    ck_assert(!ucspitls_is_on(&facts));
    setenv("SSL_PROTOCOL", "TLSv1.3\n", 1);
    setenv("SSL_TLS_SNI_SERVERNAME", X256 X256, 1);
    ck_assert(ucspitls_is_on(&facts));
    ck_assert_str_eq(facts.protocol, "TLSv1.3_");
    ck_assert_str_eq(facts.cipher, "c");
    ck_assert_uint_eq(strlen(facts.server_name), UCSPITLS_HOST - 1);
    unsetenv("SSL_CIPHER");
    unsetenv("SSL_TLS_SNI_SERVERNAME");
    setenv("SSL_PROTOCOL", "", 1);
    ck_assert_msg(ucspitls_is_on(&facts), "it is, though which is not told");
    ck_assert_msg(!*facts.protocol && !*facts.cipher && !*facts.server_name, "nothing is told");
}
END_TEST

START_TEST(changes)
{
    int in_pipe[2], out_pipe[2], pair[2];
    char c;

    ck_assert(!pipe(in_pipe) && !pipe(out_pipe) && !socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    u = (struct ucspitls){pair[0], in_pipe[0], out_pipe[1]};
    ck_assert(write(in_pipe[1], "i", 1) == 1);
    ck_assert(!ucspitls_switch(&u) && u.control < 0);
    ck_assert(read(0, &c, 1) == 1 && c == 'i');
    ck_assert(write(1, "o", 1) == 1 && read(out_pipe[0], &c, 1) == 1 && c == 'o');
    ck_assert(fcntl(in_pipe[0], F_GETFD) < 0 && fcntl(out_pipe[1], F_GETFD) < 0 &&
              fcntl(pair[0], F_GETFD) < 0);
    ck_assert_msg(!(fcntl(0, F_GETFD) & FD_CLOEXEC) && !(fcntl(1, F_GETFD) & FD_CLOEXEC), "as they were");
}
END_TEST

START_TEST(changes_one)
{
    char c;

    begin(SOCK_STREAM);
    int control = u.read = u.write = u.control;
    ck_assert(!ucspitls_switch(&u));
    say("i", 1);
    ck_assert(read(0, &c, 1) == 1 && c == 'i' && write(1, "o", 1) == 1);
    ck_assert(read(server, &c, 1) == 1 && c == 'o');
    ck_assert(fcntl(control, F_GETFD) < 0);
}
END_TEST

START_TEST(cannot_change)
{
    begin(SOCK_STREAM);
    u.read = 999;
    u.write = 998;
    ck_assert(ucspitls_switch(&u) < 0 && errno);
    ck_assert(u.control < 0);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, whole, 0, COUNT(answers));
    tcase_add_loop_test(t, byte_by_byte, 0, COUNT(answers));
    tcase_add_loop_test(t, split, 0, COUNT(answers));
    tcase_add_loop_test(t, longest, 0, 2);
    tcase_add_loop_test(t, hear, 0, COUNT(answers));
    tcase_add_loop_test(t, hear_slowly, 0, COUNT(answers));
    tcase_add_loop_test(t, fails, 0, COUNT(failures));
    tcase_add_test(t, too_long);
    tcase_add_test(t, interrupted);
    tcase_add_test(t, start);
    tcase_add_loop_test(t, no_socket, 0, 2);
    tcase_add_loop_test(t, find, 0, COUNT(numbers));
    tcase_add_test(t, is_on);
    tcase_add_test(t, changes);
    tcase_add_test(t, changes_one);
    tcase_add_test(t, cannot_change);
}

UNIT("ucspitls", tests)
