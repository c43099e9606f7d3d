/* digits, and what we call of libowfat's fmt.h: these write through a pointer, and a compiler that takes them
 * for pure deletes the call when its result is not used. */
#include "base/digits.h"
#include "tests/unit/unit.h"

#include <string.h>

#include <fmt.h>

static const struct {
    const char *name;
    unsigned long input;
    size_t width;
    const char *want, *why;
} padded[] = {
    {"seven of two", 7, 2, "07", "zeros lead"},
    {"exact", 42, 2, "42", "nothing to fill"},
    {"zero", 0, 6, "000000", "all of it filled"},
    {"too wide", 123, 2, "23", "the last digits count"},
    {"none", 5, 0, "", "nothing is written"},
    {"microseconds", 999999, 6, "999999", "the largest of its kind"},
    {"largest", 4294967295UL, 12, "004294967295", "32 bits"},
};

START_TEST(digits)
{
    char out[32];

    memset(out, '#', sizeof out);
    ck_assert(digits_fmt(out, padded[_i].input, padded[_i].width) == padded[_i].width);
    ck_assert_msg(!memcmp(out, padded[_i].want, padded[_i].width) && out[padded[_i].width] == '#', "%s: %s",
                  padded[_i].name, padded[_i].why);
}
END_TEST

static const struct {
    const char *name;
    uint64_t input;
    const char *want, *why;
} plain[] = {
    {"zero", 0, "0", "one digit at least"},
    {"nine", 9, "9", "the largest of one digit"},
    {"ten", 10, "10", "the least of two"},
    {"largest", UINT64_MAX, "18446744073709551615", "64 bits, DIGITS of them"},
};

START_TEST(all_digits)
{
    char out[32];

    memset(out, '#', sizeof out);
    size_t n = digits_put(out, plain[_i].input);
    ck_assert(n <= DIGITS);
    ck_assert_msg(n == strlen(plain[_i].want) && !memcmp(out, plain[_i].want, n) && out[n] == '#', "%s: %s",
                  plain[_i].name, plain[_i].why);
}
END_TEST

static void write_digits(char *out)
{
    digits_fmt(out, 70, 3);
}

static void write_ulong(char *out)
{
    fmt_ulong(out, 65537);
}

static void write_ulonglong(char *out)
{
    fmt_ulonglong(out, 18446744073709551615ULL);
}

static void write_str(char *out)
{
    fmt_str(out, "text");
}

static void write_strn(char *out)
{
    fmt_strn(out, "text", 2);
}

static void write_xlong(char *out)
{
    fmt_xlong(out, 0xdb8);
}

static const struct {
    const char *name;
    void (*input)(char *out);
    const char *want;
} unused[] = {
    {"digits_fmt", write_digits, "070"},
    {"fmt_ulong", write_ulong, "65537"},
    {"fmt_ulonglong", write_ulonglong, "18446744073709551615"},
    {"fmt_str", write_str, "text"},
    {"fmt_strn", write_strn, "te"},
    {"fmt_xlong", write_xlong, "db8"},
};

START_TEST(result_unused)
{
    char out[64];
    size_t n = strlen(unused[_i].want);

    memset(out, '#', sizeof out);
    unused[_i].input(out);
    ck_assert_msg(!memcmp(out, unused[_i].want, n) && out[n] == '#',
                  "%s: the bytes count, not the result: %.20s", unused[_i].name, out);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, digits, 0, COUNT(padded));
    tcase_add_loop_test(t, all_digits, 0, COUNT(plain));
    tcase_add_loop_test(t, result_unused, 0, COUNT(unused));
}

UNIT("digits", tests)
