/* A command line, taken apart as the session does it. */
#include "tests/fuzz/fuzz.h"

#include "smtp/command.h"
#include "base/digits.h"

#include <errno.h>
#include <strings.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Verb, white space, argument and white space are the line. */
static void check_parts(struct slice line, struct command c)
{
    const char *end = line.p + line.n;
    const char *p = c.verb.p + c.verb.n, *behind = c.argument.p + c.argument.n;

    MUST(c.verb.p == line.p && p <= c.argument.p && behind <= end);
    for (size_t i = 0; i < c.verb.n; i++)
        MUST(!is_blank(c.verb.p[i]));
    for (; p < c.argument.p; p++)
        MUST(is_blank(*p));
    for (; behind < end; behind++)
        MUST(is_blank(*behind));
    if (c.argument.n)
        MUST(!is_blank(c.argument.p[0]) && !is_blank(c.argument.p[c.argument.n - 1]) &&
             c.argument.p > c.verb.p + c.verb.n);
}

static bool is_keyword(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (c != '-' || !i))
            return false;
    }
    return s.n;
}

static bool is_value(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c == '=' || c == 127)
            return false;
    }
    return s.n;
}

/* RFC 1870: 1*20DIGIT, and here below 2^64. */
static void check_number(struct slice text)
{
    unsigned long long got = 4711, want = 0;
    char digits[32];
    bool good = text.n && text.n <= 20;

    for (size_t i = 0; i < text.n && good; i++)
        good = text.p[i] >= '0' && text.p[i] <= '9';
    if (good) {
        memcpy(digits, text.p, text.n);
        digits[text.n] = 0;
        errno = 0;
        want = strtoull(digits, NULL, 10);
        good = !errno;
    }
    MUST(digits_scan(text, &got) == good);
    MUST(got == (good ? want : 4711));
}

/* Takes all of `rest`, and writes it to `out` in its plainest form: KEYWORD=VALUE KEYWORD ... */
static enum parameter_found take_all(struct slice rest, char *out, size_t *n)
{
    enum parameter_found found;
    struct parameter p;

    for (*n = 0;;) {
        size_t before = rest.n;
        if ((found = command_parameter(&rest, &p)) != PARAMETER_OK)
            return found;
        MUST(rest.n < before && (!rest.n || is_blank(*rest.p)));
        MUST(is_keyword(p.keyword) && (p.value.p ? is_value(p.value) : !p.value.n));
        memcpy(out + *n, p.keyword.p, p.keyword.n);
        *n += p.keyword.n;
        if (p.value.p) {
            out[(*n)++] = '=';
            memcpy(out + *n, p.value.p, p.value.n);
            *n += p.value.n;
            check_number(p.value);
        }
        out[(*n)++] = ' ';
    }
}

static void check_parameters(struct slice text)
{
    char *once = malloc(text.n + 1), *twice = malloc(text.n + 2);
    size_t n, m;

    MUST(once && twice);
    enum parameter_found end = take_all(text, once, &n);
    MUST(n <= text.n + 1);
    MUST(take_all((struct slice){once, n}, twice, &m) == PARAMETER_END);
    MUST(n == m && !memcmp(once, twice, n));
    if (end == PARAMETER_END) /* only white space was left out */
        for (size_t i = 0, k = 0; i < text.n; i++)
            if (!is_blank(text.p[i])) {
                k += once[k] == ' ';
                MUST(text.p[i] == once[k++]);
            }
    free(once);
    free(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keywords[] = {"FROM:", "TO:"};
    struct slice line = copy_of(data, size);
    struct command c = command_parse(line);

    check_parts(line, c);
    check_number(c.argument);
    check_parameters(line);
    for (int i = 0; i < 2; i++) {
        struct slice argument = c.argument;
        size_t n = strlen(keywords[i]);
        bool starts = c.argument.n >= n && !strncasecmp(c.argument.p, keywords[i], n);
        MUST(command_path(&argument, keywords[i]) == starts);
        if (starts)
            MUST(argument.n <= c.argument.n - n && (!argument.n || !is_blank(*argument.p)) &&
                 argument.p + argument.n == c.argument.p + c.argument.n);
        else
            MUST(argument.p == c.argument.p && argument.n == c.argument.n);
    }
    drop(line);
    return 0;
}
