/* digits, and our calls of libowfat's fmt.h: these functions write through a pointer, and a compiler that
 * takes them for pure deletes a call whose result is not used. */
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

static const struct {
    const char *name, *input;
    bool want;
    unsigned long long number;
    const char *why;
} numbers[] = {
    {"zero", "0", true, 0, "a size-value"},
    {"one", "1", true, 1, "a size-value"},
    {"zeros", "007", true, 7, "1*20DIGIT"},
    {"twenty digits", "00000000000000000001", true, 1, "RFC 1870: 1*20DIGIT"},
    {"largest", "18446744073709551615", true, 18446744073709551615ULL, "2^64 - 1"},
    {"one over", "18446744073709551616", false, 0, "2^64"},
    {"ten over", "18446744073709551620", false, 0, "2^64 + 4"},
    {"largest of twenty", "99999999999999999999", false, 0, "above 2^64"},
    {"21 digits", "000000000000000000001", false, 0, "RFC 1870: 1*20DIGIT"},
    {"none", "", false, 0, "required"},
    {"minus", "-1", false, 0, "DIGIT only"},
    {"plus", "+1", false, 0, "DIGIT only"},
    {"space before", " 1", false, 0, "DIGIT only"},
    {"space behind", "1 ", false, 0, "DIGIT only"},
    {"hex", "0x1", false, 0, "DIGIT only"},
    {"letter", "1k", false, 0, "DIGIT only"},
    {"comma", "1,000", false, 0, "DIGIT only"},
    {"below zero", "/", false, 0, "the character before 0"},
    {"above nine", ":", false, 0, "the character after 9"},
    {"eight bit", "\xb2", false, 0, "no digit"},
};

START_TEST(number)
{
    size_t length = strlen(numbers[_i].input);
    char *exact = malloc(length + !length); /* nothing behind it, so that a read past the end is seen */
    unsigned long long n = 4711;

    memcpy(exact, numbers[_i].input, length);
    ck_assert_msg(digits_scan((struct slice){exact, length}, &n) == numbers[_i].want, "%s: %s",
                  numbers[_i].name, numbers[_i].why);
    ck_assert_msg(n == (numbers[_i].want ? numbers[_i].number : 4711), "%s: %llu", numbers[_i].name, n);
    free(exact);
}
END_TEST

static const struct {
    uint64_t input;
    const char *want;
} times[] = {
    {0, "0.000"},
    {7, "0.007"},
    {1050, "1.050"},
    {86400000, "86400.000"},
    {UINT64_MAX, "18446744073709551.615"},
};

START_TEST(seconds)
{
    char out[DIGITS + 2];

    memset(out, '#', sizeof out);
    size_t n = digits_seconds(out, times[_i].input);
    ck_assert_msg(n == strlen(times[_i].want) && n <= DIGITS + 1, "%s", times[_i].want);
    ck_assert_msg(!memcmp(out, times[_i].want, n) && out[n] == '#', "%.*s", (int)n, out);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, digits, 0, COUNT(padded));
    tcase_add_loop_test(t, all_digits, 0, COUNT(plain));
    tcase_add_loop_test(t, seconds, 0, COUNT(times));
    tcase_add_loop_test(t, number, 0, COUNT(numbers));
    tcase_add_loop_test(t, result_unused, 0, COUNT(unused));
}

UNIT("digits", tests)
