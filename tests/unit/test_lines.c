#define _GNU_SOURCE
#include "base/lines.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct lines l;
static struct slice line;
static bool whole;

static int file_of(const char *bytes, size_t n)
{
    int fd = memfd_create("lines", 0);
    ck_assert(fd >= 0 && write(fd, bytes, n) == (ssize_t)n && !lseek(fd, 0, SEEK_SET));
    return fd;
}

static const struct {
    const char *name, *input;
    const char *want[4];
    const char *why;
} rows[] = {
    {"nothing", "", {NULL}, "no line"},
    {"one", "a\n", {"a\n"}, "with its end"},
    {"two", "a\nbc\n", {"a\n", "bc\n"}, "one after the other"},
    {"no end", "a\nb", {"a\n", "b"}, "the last one may lack it"},
    {"empty ones", "\n\na\n", {"\n", "\n", "a\n"}, "they count"},
    {"CRLF", "a\r\nb\r\n", {"a\r\n", "b\r\n"}, "an octet as any other"},
};

START_TEST(row)
{
    lines_begin(&l, file_of(rows[_i].input, strlen(rows[_i].input)));
    for (int i = 0; rows[_i].want[i]; i++) {
        ck_assert_int_eq(lines_next(&l, &line, &whole), 1);
        ck_assert_msg(whole && line.n == strlen(rows[_i].want[i]) &&
                          !memcmp(line.p, rows[_i].want[i], line.n),
                      "%s: %s: %.*s", rows[_i].name, rows[_i].why, (int)line.n, line.p);
    }
    ck_assert_int_eq(lines_next(&l, &line, &whole), 0);
    ck_assert_msg(lines_next(&l, &line, &whole) == 0, "and so it stays");
}
END_TEST

/* Lines of all lengths, so that they lie over the end of the buffer in all ways. */
START_TEST(over_the_end)
{
    enum { SIZE = 20 * LINES_BUFFER };
    static char bytes[SIZE];
    size_t step = (size_t)_i, at = 0;

    memset(bytes, 'x', sizeof bytes);
    for (size_t i = step - 1; i < sizeof bytes; i += step)
        bytes[i] = '\n';
    lines_begin(&l, file_of(bytes, sizeof bytes));
    while (lines_next(&l, &line, &whole) > 0) {
        size_t n = SIZE - at < step ? SIZE - at : step;
        if (!whole || line.n != n || memcmp(line.p, bytes + at, n))
            ck_abort_msg("%zu octets at %zu instead of %zu", line.n, at, n);
        at += n;
    }
    ck_assert_uint_eq(at, SIZE);
}
END_TEST

/* _i octets and a line end, with other lines around, which stay whole. */
START_TEST(long_line)
{
    static char bytes[4 * LINES_BUFFER];
    size_t n = (size_t)_i;

    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes, "a\n", 2);
    memcpy(bytes + 2 + n, "\nb\n", 3);
    lines_begin(&l, file_of(bytes, n + 5));
    ck_assert(lines_next(&l, &line, &whole) == 1 && whole && line.n == 2 && *line.p == 'a');
    ck_assert_int_eq(lines_next(&l, &line, &whole), 1);
    ck_assert_msg(whole == (n < LINES_BUFFER) && line.n == (whole ? n + 1 : 0), "%zu octets", n);
    ck_assert(lines_next(&l, &line, &whole) == 1 && whole && line.n == 2 && *line.p == 'b');
    ck_assert_int_eq(lines_next(&l, &line, &whole), 0);
}
END_TEST

START_TEST(long_line_without_end)
{
    static char bytes[4 * LINES_BUFFER];

    memset(bytes, 'x', sizeof bytes);
    lines_begin(&l, file_of(bytes, sizeof bytes));
    ck_assert(lines_next(&l, &line, &whole) == 1 && !whole && !line.n);
    ck_assert_int_eq(lines_next(&l, &line, &whole), 0);
}
END_TEST

/* Octet by octet through a pipe. */
START_TEST(pieces)
{
    static const char text[] = "one\n\0two\n\nthree";
    int ends[2];

    ck_assert(!pipe(ends));
    if (!fork()) {
        for (size_t i = 0; i < sizeof text - 1; i++)
            if (write(ends[1], text + i, 1) != 1)
                _exit(1);
        _exit(0);
    }
    close(ends[1]);
    lines_begin(&l, ends[0]);
    ck_assert(lines_next(&l, &line, &whole) == 1 && line.n == 4);
    ck_assert(lines_next(&l, &line, &whole) == 1 && line.n == 5 && !*line.p);
    ck_assert(lines_next(&l, &line, &whole) == 1 && line.n == 1);
    ck_assert(lines_next(&l, &line, &whole) == 1 && line.n == 5);
    ck_assert_int_eq(lines_next(&l, &line, &whole), 0);
}
END_TEST

START_TEST(trouble)
{
    lines_begin(&l, 99);
    errno = 0;
    ck_assert(lines_next(&l, &line, &whole) == -1 && errno == EBADF);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, row, 0, COUNT(rows));
    tcase_add_loop_test(t, over_the_end, 1, 40);
    tcase_add_loop_test(t, over_the_end, 1000, 1003);
    tcase_add_loop_test(t, over_the_end, LINES_BUFFER - 1, LINES_BUFFER + 1);
    tcase_add_loop_test(t, long_line, LINES_BUFFER - 3, LINES_BUFFER + 3);
    tcase_add_loop_test(t, long_line, 2 * LINES_BUFFER - 3, 2 * LINES_BUFFER + 3);
    tcase_add_test(t, long_line_without_end);
    tcase_add_test(t, pieces);
    tcase_add_test(t, trouble);
}

UNIT("lines", tests)
