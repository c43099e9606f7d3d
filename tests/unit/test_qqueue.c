/* Small shell programs stand for qmail-queue: a message on descriptor 0, its envelope on 1. */
#define _GNU_SOURCE
#include "store/qqueue.h"
#include "tests/unit/folder.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_ALL "cat >message; cat <&1 >envelope; "
#define MS (SECOND / 1000)

static struct transaction_buffer buffer;
static struct transaction t;
static struct qqueue q;
static char text[1 << 20], found[1 << 20];

/* Every test has a working directory of its own below it. */
static void enter(void)
{
    char name[32];
    struct address a;
    struct slice rest;

    snprintf(name, sizeof name, "%ld", (long)getpid());
    ck_assert(!mkdir(name, 0700) && !chdir(name));
    signal(SIGPIPE, SIG_IGN);
    ck_assert(!address_parse(slice_of("<bob@example.org>"), ADDRESS_REVERSE, &a, &rest));
    transaction_init(&t, &buffer);
    transaction_begin(&t, &a, false);
    ck_assert(transaction_add(&t, slice_of("alice@example.com"), slice_of("")));
}

static const char *make_program(const char *script, mode_t mode)
{
    int fd = open("program", O_WRONLY | O_CREAT | O_TRUNC, 0700);

    ck_assert(fd >= 0 && dprintf(fd, "#!/bin/sh\n%s\n", script) > 0);
    ck_assert(!fchmod(fd, mode));
    close(fd);
    return "./program";
}

static size_t read_file(const char *name)
{
    int fd = open(name, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, found, sizeof found);

    if (fd >= 0)
        close(fd);
    ck_assert(n >= 0);
    return (size_t)n;
}

static instant soon(void)
{
    return deadline_after(deadline_now(), 30 * SECOND);
}

static int lowest_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY);
    close(fd);
    return fd;
}

/* `size` bytes in pieces, then the envelope. Returns qqueue_commit's result. */
static int queue(const char *program, size_t size, instant until)
{
    ck_assert(!qqueue_begin(&q, program));
    for (size_t at = 0; at < size; at += 10000) {
        size_t n = size - at < 10000 ? size - at : 10000;
        if (qqueue_write(&q, text + at, n, until) < 0)
            ck_assert_msg(errno == EPIPE, "%s", strerror(errno));
    }
    return qqueue_commit(&q, &t, until);
}

static const struct {
    const char *name, *input;
    mode_t mode;
    size_t size;
    int want;  /* commit's result; 1000: anything but 0 */
    int error; /* errno where that is -1; 0: any */
    const char *why;
} programs[] = {
    {"queued", READ_ALL "exit 0", 0700, 100, 0, 0, "its verdict"},
    {"empty", READ_ALL "exit 0", 0700, 0, 0, 0, "its verdict"},
    {"large", READ_ALL "exit 0", 0700, sizeof text, 0, 0, "more than a pipe holds"},
    {"refused", READ_ALL "exit 31", 0700, 100, 31, 0, "its verdict"},
    {"highest", READ_ALL "exit 255", 0700, 100, 255, 0, "its verdict"},
    {"refused unread", "exit 31", 0700, 100, 31, 0, "it need not read to refuse"},
    {"large, refused unread", "exit 31", 0700, sizeof text, 31, 0, "it need not read to refuse"},
    {"large, refused half read", "head -c 100000 >message; exit 11", 0700, sizeof text, 11, 0, "likewise"},
    {"large, queued unread", "exit 0", 0700, sizeof text, -1, EPIPE, "that cannot be"},
    {"large, queued half read", "head -c 100000 >message; exit 0", 0700, sizeof text, -1, EPIPE,
     "that cannot be"},
    {"large, queued, envelope unread", "exec >&-; cat >message; exit 0", 0700, sizeof text, -1, EPIPE,
     "that cannot be"},
    {"large, refused, envelope unread", "exec >&-; cat >message; exit 31", 0700, sizeof text, 31, 0,
     "its verdict"},
    {"killed", READ_ALL "kill -9 $$", 0700, 100, -1, 0, "it crashed"},
    {"not executable", "exit 0", 0600, 100, 1000, 0, "it could not be started"},
    {"closes its input", "exec <&-; cat <&1 >envelope; exit 0", 0700, sizeof text, -1, EPIPE,
     "that cannot be"},
};

START_TEST(verdict)
{
    const char *program = make_program(programs[_i].input, programs[_i].mode);
    int before = lowest_descriptor();

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i % 253);
    int r = queue(program, programs[_i].size, soon());
    int error = errno;
    ck_assert_msg(programs[_i].want == 1000 ? r != 0 : r == programs[_i].want, "%s: %s: %d",
                  programs[_i].name, programs[_i].why, r);
    if (r < 0 && programs[_i].error)
        ck_assert_msg(error == programs[_i].error, "%s: %s", programs[_i].name, strerror(error));
    ck_assert_msg(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD && !q.program.pid, "nobody is left");
    ck_assert_msg(lowest_descriptor() == before, "no descriptor is left open");
    if (!strncmp(programs[_i].input, READ_ALL, sizeof READ_ALL - 1)) {
        static const char envelope[] = "Fbob@example.org\0Talice@example.com\0";
        ck_assert(read_file("message") == programs[_i].size && !memcmp(found, text, programs[_i].size));
        ck_assert(read_file("envelope") == sizeof envelope && !memcmp(found, envelope, sizeof envelope));
    }
}
END_TEST

START_TEST(no_program)
{
    ck_assert_msg(queue("./nonexistent", 10, soon()) != 0, "mail must not be taken for queued");
    ck_assert_msg(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "nobody is left");
}
END_TEST

/* As qmail-queue(8) has it: Fsender\0 then Trecipient\0 for each, then \0. */
START_TEST(envelope)
{
    char want[70000];
    size_t n;

    t.sender_len = 0;
    ck_assert(transaction_add(&t, slice_of("\"a b\"@example.com"), slice_of("./x/")));
    n = sizeof "F\0Talice@example.com\0T\"a b\"@example.com" - 1 + 1;
    memcpy(want, "F\0Talice@example.com\0T\"a b\"@example.com", n);
    for (int i = 0; i < 2000; i++) {
        char address[64];
        int len = snprintf(address, sizeof address, "user%06d@example.com", i);
        ck_assert(transaction_add(&t, slice_of(address), slice_of("")));
        n += (size_t)sprintf(want + n, "T%s", address) + 1;
        ck_assert(len > 0 && n < sizeof want);
    }
    want[n++] = 0;
    ck_assert_int_eq(queue(make_program(READ_ALL "exit 0", 0700), 10, soon()), 0);
    ck_assert(read_file("envelope") == n && !memcmp(found, want, n));
}
END_TEST

START_TEST(long_envelope)
{
    char address[400];
    unsigned recipients = 1;

    memset(address, 'x', sizeof address);
    while (transaction_add(&t, (struct slice){address, sizeof address}, slice_of("")))
        recipients++;
    ck_assert_int_eq(queue(make_program(READ_ALL "exit 0", 0700), 10, soon()), 0);
    ck_assert_msg(read_file("envelope") == 17 + 19 + (recipients - 1) * 402 + 1, "more than a pipe holds");
}
END_TEST

START_TEST(abandoned)
{
    q.program.pid = 0;
    qqueue_abandon(&q);
    ck_assert(!qqueue_begin(&q, make_program(READ_ALL "echo $? >code; exit 0", 0700)));
    ck_assert(!qqueue_write(&q, "half", 4, soon()));
    qqueue_abandon(&q);
    ck_assert(!q.program.pid);
    ck_assert_msg(read_file("code") == 2, "it had time to end by itself");
    ck_assert(read_file("message") == 4);
    ck_assert_msg(read_file("envelope") == 0, "without an envelope nothing is queued");
    ck_assert(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
    qqueue_abandon(&q);
}
END_TEST

/* Programs that hang: after `until`, and the time they get to end, they are killed. */
static const struct {
    const char *name, *input;
    size_t size;
    const char *why;
} hangs[] = {
    {"verdict", READ_ALL "exec sleep 1000", 10, "no verdict"},
    {"message", "exec sleep 1000", sizeof text, "it does not read"},
};

START_TEST(hanging)
{
    const char *program = make_program(hangs[_i].input, 0700);
    instant until = deadline_after(deadline_now(), 100 * MS);
    int r = 0;

    ck_assert(!qqueue_begin(&q, program));
    pid_t pid = q.program.pid;
    r = qqueue_write(&q, text, hangs[_i].size, until);
    if (hangs[_i].size < sizeof text)
        r = qqueue_commit(&q, &t, until);
    ck_assert_msg(r == -1 && errno == ETIMEDOUT, "%s: %s", hangs[_i].name, hangs[_i].why);
    ck_assert_msg(deadline_now() >= until, "not before its time");
    qqueue_abandon(&q);
    ck_assert_msg(kill(pid, 0) < 0 && errno == ESRCH, "it is gone");
    ck_assert(!q.program.pid && waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}
END_TEST

static void ignore(int number)
{
    (void)number;
}

/* The program finds signals as under a shell, however this process handles them. A shell would set some of
 * that itself. So the program is cp, and writes the kernel's words about it over its script. */
START_TEST(signals)
{
    unsigned long long blocked, ignored;
    int fd = open("program", O_WRONLY | O_CREAT | O_EXCL, 0700);

    ck_assert(fd >= 0 && dprintf(fd, "#!/bin/cp /proc/self/status\n") > 0);
    close(fd);
    signal(SIGTERM, ignore);
    queue("./program", 0, soon());
    found[read_file("program")] = 0;
    const char *b = strstr(found, "SigBlk:"), *i = strstr(found, "SigIgn:");
    ck_assert(b && sscanf(b, "SigBlk: %llx", &blocked) == 1 && i && sscanf(i, "SigIgn: %llx", &ignored) == 1);
    ck_assert_msg(!blocked, "none is blocked: %llx", blocked);
    ck_assert_msg(!(ignored & (1ULL << (SIGPIPE - 1) | 1ULL << (SIGTERM - 1))), "%llx", ignored);
}
END_TEST

START_TEST(one_after_another)
{
    int before = lowest_descriptor();

    for (int i = 0; i < 20; i++) {
        make_program(i % 2 ? READ_ALL "exit 0" : "exit 31", 0700);
        ck_assert_int_eq(queue("./program", 100, soon()), i % 2 ? 0 : 31);
    }
    ck_assert_int_eq(lowest_descriptor(), before);
}
END_TEST

static void tests(TCase *c)
{
    tcase_add_unchecked_fixture(c, make_folder, remove_folder);
    tcase_add_checked_fixture(c, enter, NULL);
    tcase_add_loop_test(c, verdict, 0, COUNT(programs));
    tcase_add_test(c, no_program);
    tcase_add_test(c, envelope);
    tcase_add_test(c, long_envelope);
    tcase_add_test(c, abandoned);
    tcase_add_loop_test(c, hanging, 0, COUNT(hangs));
    tcase_add_test(c, signals);
    tcase_add_test(c, one_after_another);
}

UNIT("qqueue", tests)
