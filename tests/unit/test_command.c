#include "smtp/command.h"
#include "tests/unit/unit.h"

#include <stdint.h>
#include <string.h>

/* A copy with nothing behind it, so that a read past the end is seen. */
static struct slice exactly(const char *text)
{
    size_t n = strlen(text);
    char *copy = malloc(n ? n : 1);
    memcpy(copy, text, n);
    return (struct slice){copy, n};
}

static void discard(struct slice s)
{
    free((void *)(uintptr_t)s.p);
}

static bool equals(struct slice s, const char *text)
{
    return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

static const struct {
    const char *name, *input;
    struct {
        const char *verb, *argument;
    } want;
    const char *why;
} lines[] = {
    {"verb", "QUIT", {"QUIT", ""}, "no argument"},
    {"verb and argument", "HELO example.com", {"HELO", "example.com"}, "one space"},
    {"lower case", "mail from:<>", {"mail", "from:<>"}, "as it came"},
    {"inner spaces", "MAIL FROM:<a@b>  SIZE=1 BODY=7BIT", {"MAIL", "FROM:<a@b>  SIZE=1 BODY=7BIT"}, "kept"},
    {"trailing spaces", "DATA  ", {"DATA", ""}, "RFC 5321 4.1.1: tolerated"},
    {"trailing tab", "NOOP x\t", {"NOOP", "x"}, "white space"},
    {"many spaces", "NOOP \t x", {"NOOP", "x"}, "white space before the argument"},
    {"tab between", "HELO\texample.com", {"HELO", "example.com"}, "white space"},
    {"leading space", " QUIT", {"", "QUIT"}, "no verb: unknown command"},
    {"empty", "", {"", ""}, "no verb"},
    {"spaces only", " \t ", {"", ""}, "no verb"},
    {"carriage return", "QUIT\r", {"QUIT\r", ""}, "no white space: unknown command"},
    {"inner carriage return", "NOOP\rQUIT", {"NOOP\rQUIT", ""}, "no second command"},
    {"colon without space", "MAIL FROM:<a@b>", {"MAIL", "FROM:<a@b>"}, "RFC 5321 4.1.1.2"},
};

START_TEST(parse)
{
    struct slice line = exactly(lines[_i].input);
    struct command c = command_parse(line);

    ck_assert_msg(equals(c.verb, lines[_i].want.verb) && equals(c.argument, lines[_i].want.argument),
                  "%s: %s: \"%.*s\", \"%.*s\"", lines[_i].name, lines[_i].why, (int)c.verb.n, c.verb.p,
                  (int)c.argument.n, c.argument.p);
    discard(line);
}
END_TEST

START_TEST(parse_nul)
{
    struct command c = command_parse((struct slice){"NO\0OP a\0b", 9});
    ck_assert_msg(c.verb.n == 5 && c.argument.n == 3, "a NUL is an octet like others");
}
END_TEST

static const struct {
    const char *name, *input, *keyword;
    const char *want; /* the rest; NULL: refused */
    const char *why;
} paths[] = {
    {"from", "FROM:<a@b>", "FROM:", "<a@b>", "RFC 5321 4.1.1.2"},
    {"case", "fRoM:<a@b>", "FROM:", "<a@b>", "no case"},
    {"space behind", "TO: <a@b>", "TO:", "<a@b>", "tolerated"},
    {"spaces behind", "TO: \t <a@b>", "TO:", "<a@b>", "tolerated"},
    {"nothing behind", "FROM:", "FROM:", "", "the path is found missing later"},
    {"other keyword", "TO:<a@b>", "FROM:", NULL, "MAIL TO"},
    {"no colon", "FROM <a@b>", "FROM:", NULL, "required"},
    {"space before colon", "FROM :<a@b>", "FROM:", NULL, "not in the grammar"},
    {"cut", "FRO", "FROM:", NULL, "shorter than the keyword"},
    {"none", "", "FROM:", NULL, "nothing"},
    {"path alone", "<a@b>", "FROM:", NULL, "required"},
};

START_TEST(path)
{
    struct slice argument = exactly(paths[_i].input), before = argument;
    bool ok = command_path(&argument, paths[_i].keyword);

    ck_assert_msg(ok == !!paths[_i].want, "%s: %s", paths[_i].name, paths[_i].why);
    if (ok)
        ck_assert_msg(equals(argument, paths[_i].want), "%s: %s", paths[_i].name, paths[_i].why);
    discard(before);
}
END_TEST

/* Want: the parameters found, one after the other: KEYWORD, KEYWORD=VALUE; then `.` for the end or `!` for
 * a bad one. */
static const struct {
    const char *name, *input, *want, *why;
} parameters[] = {
    {"none", "", ".", "end"},
    {"spaces only", "  ", ".", "end"},
    {"keyword", " SMTPUTF8", "SMTPUTF8 .", "esmtp-keyword alone"},
    {"value", " SIZE=100", "SIZE=100 .", "esmtp-value"},
    {"two", " SIZE=100 BODY=8BITMIME", "SIZE=100 BODY=8BITMIME .", "a space between"},
    {"more space", "  SIZE=1 \t X ", "SIZE=1 X .", "tolerated"},
    {"digit first", " 8BIT", "8BIT .", "ALPHA / DIGIT"},
    {"hyphen inside", " X-A-=1", "X-A-=1 .", "ALPHA / DIGIT / -"},
    {"odd value", " A=!\"#$%&'()*+,-./:;<>?@[\\]^_`{|}~", "A=!\"#$%&'()*+,-./:;<>?@[\\]^_`{|}~ .",
     "%d33-60 / %d62-126"},
    {"UTF-8 value", " A=\xc3\xbc", "A=\xc3\xbc .", "RFC 6531 3.3"},
    {"hyphen first", " -A", "!", "ALPHA / DIGIT first"},
    {"no keyword", " =1", "!", "required"},
    {"empty value", " SIZE=", "!", "1*esmtp-value"},
    {"empty value, then another", " SIZE= X", "!", "1*esmtp-value"},
    {"equals in value", " A=1=2", "!", "%d61 is not allowed"},
    {"two equals", " A==1", "!", "%d61 is not allowed"},
    {"underscore", " A_B", "!", "not in a keyword"},
    {"UTF-8 keyword", " \xc3\xbc=1", "!", "not in a keyword"},
    {"control in value", " A=1\x01", "!", "%d0-31 are not allowed"},
    {"delete in value", " A=\x7f", "!", "%d127 is not allowed"},
    {"bad behind good", " SIZE=1 <", "SIZE=1 !", "the first one is good"},
    {"carriage return", " SIZE=1\r", "!", "%d0-31 are not allowed"},
};

START_TEST(parameter)
{
    struct slice rest = exactly(parameters[_i].input), before = rest;
    char found[256];
    size_t n = 0;
    enum parameter_found r;
    struct parameter p;

    while ((r = command_parameter(&rest, &p)) == PARAMETER_OK) {
        memcpy(found + n, p.keyword.p, p.keyword.n);
        n += p.keyword.n;
        ck_assert_msg(p.value.p ? p.value.n > 0 : p.value.n == 0, "%s: no value or a real one",
                      parameters[_i].name);
        if (p.value.p) {
            found[n++] = '=';
            memcpy(found + n, p.value.p, p.value.n);
            n += p.value.n;
        }
        found[n++] = ' ';
    }
    found[n++] = r == PARAMETER_END ? '.' : '!';
    ck_assert_msg(equals((struct slice){found, n}, parameters[_i].want), "%s: %s: %.*s", parameters[_i].name,
                  parameters[_i].why, (int)n, found);
    discard(before);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, parse, 0, COUNT(lines));
    tcase_add_test(t, parse_nul);
    tcase_add_loop_test(t, path, 0, COUNT(paths));
    tcase_add_loop_test(t, parameter, 0, COUNT(parameters));
}

UNIT("command", tests)
