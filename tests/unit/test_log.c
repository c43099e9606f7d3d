#define _GNU_SOURCE
#include "log/log.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define S(text)                                                                                              \
    {                                                                                                        \
        text, sizeof(text) - 1                                                                               \
    }
#define X16 "xxxxxxxxxxxxxxxx"
#define X255 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 "xxxxxxxxxxxxxxx"

static const struct {
    const char *name;
    struct slice input;
    const char *want, *why;
} values[] = {
    {"word", S("quit"), "quit", "bare"},
    {"address", S("<a@b>"), "<a@b>", "bare"},
    {"all that is bare", S("!#$%&'()*+,-./09:;<>?@AZ[]^_`az{|}~"), "!#$%&'()*+,-./09:;<>?@AZ[]^_`az{|}~",
     "[!-~]"},
    {"nothing", S(""), "\"\"", "one or more octets are bare"},
    {"space", S("a b"), "\"a b\"", "would end it"},
    {"space alone", S(" "), "\" \"", "would end it"},
    {"quote", S("a\"b"), "\"a\\\"b\"", "would end it"},
    {"backslash", S("a\\b"), "\"a\\\\b\"", "begins an escape"},
    {"equals", S("a=b"), "\"a=b\"", "would be a key"},
    {"newline", S("a\nevent=close"), "\"a\\x0aevent=close\"", "no second line"},
    {"CRLF", S("a\r\n"), "\"a\\x0d\\x0a\"", "no second line"},
    {"NUL", S("a\0b"), "\"a\\x00b\"", "an octet like others"},
    {"escape", S("\x1b[31m"), "\"\\x1b[31m\"", "a terminal would obey it"},
    {"delete", S("\x7f"), "\"\\x7f\"", "not printable"},
    {"UTF-8", S("\xc3\xbc"), "\"\\xc3\\xbc\"", "printable ASCII only"},
    {"highest", S("\xff"), "\"\\xff\"", "not a negative number"},
    {"looks escaped", S("\\x00"), "\"\\\\x00\"", "cannot be mistaken"},
    {"255", S(X255), X255, "below the limit"},
    {"256", S(X255 "y"), X255 "y", "LOG_VALUE itself is whole"},
    {"257", S(X255 "yz"), "\"" X255 "y\"...", "cut, quoted, followed by dots"},
    {"256 quoted", S(X255 " "), "\"" X255 " \"", "LOG_VALUE itself is whole"},
    {"dots themselves", S("x..."), "x...", "not cut"},
};

START_TEST(quote)
{
    char out[2048];
    size_t want = strlen(values[_i].want);

    memset(out, '#', sizeof out);
    size_t n = log_quote(out, sizeof out, values[_i].input);
    ck_assert_msg(n == want && !memcmp(out, values[_i].want, n), "%s: %s: %.*s", values[_i].name,
                  values[_i].why, (int)n, out);
    ck_assert_msg(out[n] == '#', "%s: nothing behind it is written", values[_i].name);

    for (size_t space = 0; space <= want; space++) {
        char *exact = malloc(space ? space : 1);
        n = log_quote(exact, space, values[_i].input);
        ck_assert_msg(n <= space, "%s: in %zu bytes", values[_i].name, space);
        ck_assert_msg(n != want || !memcmp(exact, values[_i].want, n), "%s: in %zu", values[_i].name, space);
        if (n && n < want) {
            bool cut = n > 5 && exact[0] == '"' && !memcmp(exact + n - 4, "\"...", 4);
            ck_assert_msg(cut, "%s: a value that does not fit is marked as cut: %.*s", values[_i].name,
                          (int)n, exact);
        }
        free(exact);
    }
}
END_TEST

START_TEST(longest)
{
    char input[1000], out[LOG_LINE];

    memset(input, 0, sizeof input);
    size_t n = log_quote(out, sizeof out, (struct slice){input, sizeof input});
    ck_assert_uint_eq(n, 1 + 4 * LOG_VALUE + 4);
    ck_assert(!memcmp(out + n - 8, "\\x00\"...", 8));
}
END_TEST

/* A log whose lines come back as a string. */
static int memory;
static struct log_buffer buffer;
static char written[3 * LOG_LINE];

static void open_log(struct log *l)
{
    memory = memfd_create("log", 0);
    ck_assert(memory >= 0);
    log_init(l, &buffer, memory);
}

static const char *read_log(void)
{
    ssize_t n = pread(memory, written, sizeof written - 1, 0);
    ck_assert(n >= 0);
    written[n] = 0;
    return written;
}

START_TEST(line)
{
    struct log l;

    open_log(&l);
    log_event(&l, "connect");
    log_end(&l);
    ck_assert_str_eq(read_log(), "event=connect\n");
    log_common(&l, "sid", slice_of("1k3"));
    log_common(&l, "client", slice_of("2001:db8::7"));
    log_event(&l, "message");
    log_string(&l, "id", "1k3.1");
    log_number(&l, "size", 18446744073709551615ULL);
    log_number(&l, "nrcpt", 0);
    log_bytes(&l, "helo", (struct slice)S("a b\n"));
    log_seconds(&l, "took", 12 * SECOND + 7 * SECOND / 1000 + 999999);
    log_end(&l);
    ck_assert_str_eq(read_log(),
                     "event=connect\n"
                     "event=message sid=1k3 client=2001:db8::7 id=1k3.1 size=18446744073709551615 "
                     "nrcpt=0 helo=\"a b\\x0a\" took=12.007\n");
}
END_TEST

static const struct {
    const char *name;
    int64_t input;
    const char *want, *why;
} times[] = {
    {"none", 0, "0.000", "three decimals"},
    {"nearly a millisecond", 999999, "0.000", "cut, not rounded"},
    {"a millisecond", 1000000, "0.001", "zeros lead"},
    {"a second", SECOND, "1.000", "three decimals"},
    {"negative", -1, "0.000", "no clock is that wrong"},
    {"longest", INT64_MAX, "9223372036.854", "fits"},
};

START_TEST(seconds)
{
    struct log l;
    char want[64];

    open_log(&l);
    log_event(&l, "e");
    log_seconds(&l, "t", times[_i].input);
    log_end(&l);
    snprintf(want, sizeof want, "event=e t=%s\n", times[_i].want);
    ck_assert_msg(!strcmp(read_log(), want), "%s: %s: %s", times[_i].name, times[_i].why, written);
}
END_TEST

/* With any values a line stays below LOG_LINE, and its pairs are whole. */
START_TEST(bounded)
{
    struct log l;
    char value[512];

    ck_assert_msg(LOG_LINE <= PIPE_BUF, "POSIX: such a write is never mixed with another");
    memset(value, _i & 1 ? 1 : 'x', sizeof value);
    open_log(&l);
    log_common(&l, "sid", slice_of("1k3"));
    log_event(&l, "e");
    for (int k = 0; k < 200; k++)
        log_bytes(&l, "key", (struct slice){value, (size_t)_i});
    log_number(&l, "n", 7);
    log_end(&l);
    const char *text = read_log();
    size_t n = strlen(text);
    ck_assert_uint_le(n, LOG_LINE);
    ck_assert_uint_gt(n, LOG_LINE - 1100);
    ck_assert(text[n - 1] == '\n' && strchr(text, '\n') == text + n - 1);
    for (const char *p = strstr(text, " key="); p; p = strstr(p + 1, " key=")) {
        const char *end = strpbrk(p + 5, " \n");
        bool quoted = p[5] == '"';
        ck_assert_msg(end > p + 5, "no pair is cut in its middle");
        ck_assert_msg(!quoted || end[-1] == '"' || !memcmp(end - 4, "\"...", 4), "%.60s", p);
    }
}
END_TEST

START_TEST(common_bounded)
{
    struct log l;
    char value[LOG_PREFIX + 1];

    open_log(&l);
    memset(value, 'x', sizeof value);
    log_common(&l, "long", (struct slice){value, sizeof value});
    log_common(&l, "sid", slice_of("1k3"));
    log_common(&l, "too", (struct slice){value, LOG_PREFIX - 8});
    log_event(&l, "e");
    log_end(&l);
    ck_assert_str_eq(read_log(), "event=e sid=1k3\n");
}
END_TEST

START_TEST(one_write)
{
    struct log l;
    int fds[2];
    char line_read[LOG_LINE];

    ck_assert(!pipe2(fds, O_DIRECT)); /* a read takes the octets of one write */
    log_init(&l, &buffer, fds[1]);
    log_event(&l, "first");
    log_number(&l, "n", 1);
    log_end(&l);
    log_event(&l, "second");
    log_end(&l);
    ck_assert_int_eq(read(fds[0], line_read, sizeof line_read), 16);
    ck_assert(!memcmp(line_read, "event=first n=1\n", 16));
}
END_TEST

START_TEST(unwritable)
{
    struct log l;

    open_log(&l);
    for (int k = 0; k < 3; k++) {
        int full = open("/dev/full", O_WRONLY);
        l.fd = k == 0 ? -1 : k == 1 ? full : memory;
        log_event(&l, "e");
        log_number(&l, "n", (uint64_t)k);
        log_end(&l);
        close(full);
    }
    ck_assert_msg(!strcmp(read_log(), "event=e n=2\n"), "a line that was lost leaves nothing behind");
}
END_TEST

START_TEST(some)
{
    struct log l;

    open_log(&l);
    log_event(&l, "rcpt");
    log_some(&l, "a", slice_of("12345678"), 8);
    log_some(&l, "b", slice_of("12345678"), 7);
    log_some(&l, "c", slice_of(""), 7);
    log_end(&l);
    ck_assert_str_eq(read_log(), "event=rcpt a=12345678 b=\"1234567\"... c=\"\"\n");
}
END_TEST

/* Lines of one length, until the client has said more. */
START_TEST(budget)
{
    const uint64_t cost = sizeof "event=x" + LOG_STAMP;
    uint64_t heard = 0, n = LOG_FREE / cost;
    struct log l;

    open_log(&l);
    log_bound(&l, &heard);
    for (uint64_t i = 0; i < n + 3; i++) {
        log_event(&l, "x");
        log_end(&l);
    }
    ck_assert_uint_eq(l.left_out, 3);
    ck_assert_int_eq(lseek(memory, 0, SEEK_END), (off_t)(n * (cost - LOG_STAMP)));
    log_event(&l, "y");
    log_end_always(&l);
    ck_assert_uint_eq(l.left_out, 3);
    ck_assert_int_eq(lseek(memory, 0, SEEK_END), (off_t)((n + 1) * (cost - LOG_STAMP)));
    heard = (cost + LOG_FACTOR - 1) / LOG_FACTOR;
    for (int i = 0; i < 2; i++) {
        log_event(&l, "z");
        log_end(&l);
    }
    ck_assert_msg(l.left_out - 3 <= 1, "the client's octets pay for a line");
    ck_assert_int_ge(lseek(memory, 0, SEEK_END), (off_t)((n + 2) * (cost - LOG_STAMP)));
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, quote, 0, COUNT(values));
    tcase_add_test(t, longest);
    tcase_add_test(t, line);
    tcase_add_test(t, some);
    tcase_add_test(t, budget);
    tcase_add_loop_test(t, seconds, 0, COUNT(times));
    tcase_add_loop_test(t, bounded, 200, 300);
    tcase_add_test(t, common_bounded);
    tcase_add_test(t, one_write);
    tcase_add_test(t, unwritable);
}

UNIT("log", tests)
