#define _GNU_SOURCE /* memfd_create */
#include "store/intake.h"
#include "base/await.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define A10 "aaaaaaaaaa"
#define A50 A10 A10 A10 A10 A10
#define A254 A50 A50 A50 A50 A50 "aaaa"

static struct intake in;
static struct hold hold;
static char big[3 * HOLD_BLOCK];

/* What the ears heard, each behind its letter, a bar in front of all but the first. */
static char heard[4096];
static size_t heard_len;

static void hear(char letter, struct slice address)
{
    ck_assert_uint_le(heard_len + address.n + 3, sizeof heard);
    if (heard_len)
        heard[heard_len++] = '|';
    heard[heard_len++] = letter;
    memcpy(heard + heard_len, address.p, address.n);
    heard_len += address.n;
    heard[heard_len] = 0;
}

static void hear_sender(void *context, struct slice address)
{
    ck_assert(context == heard);
    hear('F', address);
}

static void hear_recipient(void *context, struct slice address)
{
    ck_assert(context == heard);
    hear('T', address);
}

static void begin(void)
{
    await_init(-1);
    intake_init(&in, deadline_after(deadline_now(), 60 * SECOND));
    hold_init(&hold);
}

static enum intake_result read_envelope(int fd)
{
    heard_len = 0;
    *heard = 0;
    enum intake_result r = intake_envelope(&in, fd, hear_sender, hear_recipient, heard);
    int error = errno;
    close(fd);
    errno = error;
    return r;
}

static int file_of(const char *bytes, size_t n)
{
    int fd = memfd_create("input", 0);

    ck_assert(fd >= 0 && write(fd, bytes, n) == (ssize_t)n && !lseek(fd, 0, SEEK_SET));
    return fd;
}

/* Each read of it gets one byte; nothing comes behind them, nor do they end. */
static int bytes_of(const char *bytes, size_t n, int *writer)
{
    int ends[2];

    ck_assert(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
    for (size_t i = 0; i < n; i++)
        ck_assert(send(ends[1], bytes + i, 1, MSG_DONTWAIT) == 1);
    *writer = ends[1];
    return ends[0];
}

#define TEXT(text) text, sizeof text - 1

static const struct {
    const char *name, *input;
    size_t n;
    enum intake_result want;
    const char *heard, *why;
} envelopes[] = {
    {"one", TEXT("Fa@b\0Tc@d\0\0"), INTAKE_DONE, "Fa@b|Tc@d", "qmail-queue(8)"},
    {"two", TEXT("Fa@b\0Tc@d\0Te\0\0"), INTAKE_DONE, "Fa@b|Tc@d|Te", "any number"},
    {"nobody's", TEXT("F\0Tc@d\0\0"), INTAKE_DONE, "F|Tc@d", "the empty sender"},
    {"more behind", TEXT("Fa\0Tb\0\0Tc\0"), INTAKE_DONE, "Fa|Tb", "the last NUL ends it"},
    {"any octets", TEXT("F\n\xff\0TT\r\0\0"), INTAKE_DONE, "F\n\xff|TT\r", "addresses are judged elsewhere"},
    {"longest", TEXT("F" A254 "\0T" A254 "\0\0"), INTAKE_DONE, "F" A254 "|T" A254, "a path's octets"},
    {"long sender", TEXT("F" A254 "a\0Tb\0\0"), INTAKE_LONG, "", "255"},
    {"long recipient", TEXT("Fa\0T" A254 "a\0\0"), INTAKE_LONG, "Fa", "255"},
    {"endless", TEXT("Fa\0T" A254 A254), INTAKE_LONG, "Fa", "its end does not matter"},
    {"empty", TEXT(""), INTAKE_CUT_OFF, "", "not even a letter"},
    {"NUL", TEXT("\0"), INTAKE_NO_SENDER, "", "the sender comes first"},
    {"recipient first", TEXT("Tc\0\0"), INTAKE_NO_SENDER, "", "the sender comes first"},
    {"another letter", TEXT("fa\0Tc\0\0"), INTAKE_NO_SENDER, "", "case counts"},
    {"no recipients", TEXT("Fa\0\0"), INTAKE_NO_RECIPIENTS, "Fa", "there must be one"},
    {"empty recipient", TEXT("Fa\0T\0\0"), INTAKE_NO_RECIPIENT, "Fa", "no address"},
    {"second empty", TEXT("Fa\0Tb\0T\0\0"), INTAKE_NO_RECIPIENT, "Fa|Tb", "no address"},
    {"no letter", TEXT("Fa\0c@d\0\0"), INTAKE_NO_RECIPIENT, "Fa", "T is missing"},
    {"second sender", TEXT("Fa\0Tb\0Fc\0\0"), INTAKE_NO_RECIPIENT, "Fa|Tb", "one sender"},
};

START_TEST(envelope)
{
    int writer;

    begin();
    ck_assert_msg(read_envelope(file_of(envelopes[_i].input, envelopes[_i].n)) == envelopes[_i].want,
                  "%s: %s", envelopes[_i].name, envelopes[_i].why);
    ck_assert_str_eq(heard, envelopes[_i].heard);
    if (envelopes[_i].want == INTAKE_CUT_OFF || envelopes[_i].n > 200)
        return;
    int fd = bytes_of(envelopes[_i].input, envelopes[_i].n, &writer);
    ck_assert_msg(read_envelope(fd) == envelopes[_i].want, "%s, byte by byte", envelopes[_i].name);
    ck_assert_str_eq(heard, envelopes[_i].heard);
    close(writer);
}
END_TEST

/* Of all that is sound, no beginning is. */
START_TEST(cut_off)
{
    static const char whole[] = "Fa@b\0Tc@d\0Te@f\0";

    begin();
    for (size_t n = 0; n < sizeof whole - 1; n++)
        ck_assert_msg(read_envelope(file_of(whole, n)) == INTAKE_CUT_OFF, "%zu octets", n);
    ck_assert_int_eq(read_envelope(file_of(whole, sizeof whole)), INTAKE_DONE);
}
END_TEST

static const size_t sizes[] = {0, 1, HOLD_BLOCK, HOLD_BLOCK + 1, sizeof big};

START_TEST(message)
{
    struct slice piece;
    size_t n = 0;

    begin();
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 31 + i / 251);
    ck_assert_int_eq(intake_message(&in, file_of(big, sizes[_i]), &hold), INTAKE_DONE);
    for (; hold_read(&hold, n, &piece) > 0; n += piece.n)
        ck_assert(n + piece.n <= sizes[_i] && !memcmp(piece.p, big + n, piece.n));
    ck_assert_uint_eq(n, sizes[_i]);
}
END_TEST

START_TEST(unheld)
{
    begin();
    signal(SIGXFSZ, SIG_IGN);
    int fd = file_of(big, sizeof big);
    ck_assert(!setrlimit(RLIMIT_FSIZE, &(struct rlimit){HOLD_BLOCK / 2, HOLD_BLOCK / 2}));
    ck_assert_int_eq(intake_message(&in, fd, &hold), INTAKE_UNHELD);
    ck_assert_int_eq(errno, EFBIG);
}
END_TEST

START_TEST(unreadable)
{
    begin();
    ck_assert_int_eq(intake_message(&in, 1000, &hold), INTAKE_UNREADABLE);
    ck_assert_int_eq(errno, EBADF);
    ck_assert_int_eq(intake_message(&in, open("/", O_RDONLY), &hold), INTAKE_UNREADABLE);
    ck_assert_int_eq(errno, EISDIR);
    ck_assert_int_eq(read_envelope(open("/", O_RDONLY)), INTAKE_UNREADABLE);
    ck_assert_int_eq(errno, EISDIR);
}
END_TEST

/* Its time is one for both, and over even where there is more to read. */
START_TEST(late)
{
    int ends[2];

    begin();
    ck_assert(!pipe(ends) && write(ends[1], "Fa", 2) == 2);
    intake_init(&in, deadline_after(deadline_now(), SECOND / 50));
    ck_assert_int_eq(intake_message(&in, ends[0], &hold), INTAKE_LATE);
    ck_assert_int_eq(errno, ETIMEDOUT);
    ck_assert_int_eq(read_envelope(file_of("Fa\0Tb\0", 7)), INTAKE_LATE);
    ck_assert_str_eq(heard, "");
}
END_TEST

START_TEST(stopped)
{
    int ends[2];

    begin();
    ck_assert(!pipe(ends) && write(ends[1], "Fa", 2) == 2);
    raise(SIGTERM);
    ck_assert_int_eq(intake_message(&in, ends[0], &hold), INTAKE_STOPPED);
    ck_assert_int_eq(read_envelope(file_of("Fa\0Tb\0", 7)), INTAKE_STOPPED);
}
END_TEST

static bool armed;

/* The kernel's, but once it says that there is something to read while SIGTERM comes. */
int ppoll(struct pollfd *p, nfds_t n, const struct timespec *time, const sigset_t *mask)
{
    struct timespec left = *time;

    if (!armed)
        return (int)syscall(SYS_ppoll, p, n, &left, mask, (size_t)8);
    armed = false;
    p->revents = POLLIN;
    return !raise(SIGTERM);
}

/* Between the question whether it came and the read, which then finds an end that is none. */
START_TEST(stopped_before_the_read)
{
    int ends[2];

    ck_assert(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    await_init(ends[0]);
    intake_init(&in, deadline_after(deadline_now(), 60 * SECOND));
    hold_init(&hold);
    armed = true;
    ck_assert_int_eq(intake_message(&in, ends[0], &hold), INTAKE_STOPPED);
    ck_assert(!armed);
}
END_TEST

static void add_tests(TCase *tc)
{
    tcase_add_loop_test(tc, envelope, 0, COUNT(envelopes));
    tcase_add_test(tc, cut_off);
    tcase_add_loop_test(tc, message, 0, COUNT(sizes));
    tcase_add_test(tc, unheld);
    tcase_add_test(tc, unreadable);
    tcase_add_test(tc, late);
    tcase_add_test(tc, stopped);
    tcase_add_test(tc, stopped_before_the_read);
}

UNIT("intake", add_tests)
