#include "smtp/sasl.h"
#include "tests/unit/unit.h"

#include <stdio.h>

#define S(text)                                                                                              \
    {                                                                                                        \
        text, sizeof(text) - 1                                                                               \
    }

/* RFC 4648 3.3, 3.5 and 4: anything but base64 is refused. Want p NULL: refused. */
static const struct {
    const char *name;
    struct slice input, want;
    const char *why;
} texts[] = {
    {"nothing", S(""), S(""), "RFC 4648 10"},
    {"f", S("Zg=="), S("f"), "RFC 4648 10"},
    {"fo", S("Zm8="), S("fo"), "RFC 4648 10"},
    {"foo", S("Zm9v"), S("foo"), "RFC 4648 10"},
    {"foob", S("Zm9vYg=="), S("foob"), "RFC 4648 10"},
    {"fooba", S("Zm9vYmE="), S("fooba"), "RFC 4648 10"},
    {"foobar", S("Zm9vYmFy"), S("foobar"), "RFC 4648 10"},
    {"all ones", S("////"), S("\xff\xff\xff"), "the highest"},
    {"all zeros", S("AAAA"), S("\0\0\0"), "the lowest; a NUL is an octet"},
    {"62 and 63", S("+/+/"), S("\xfb\xff\xbf"), "the standard alphabet"},
    {"URL alphabet", S("-_-_"), {0}, "another encoding"},
    {"no padding", S("Zg"), {0}, "padding is needed"},
    {"half the padding", S("Zg="), {0}, "padding is needed"},
    {"padding twice", S("Zm9v===="), {0}, "four of them stand for nothing"},
    {"only padding", S("===="), {0}, "stands for nothing"},
    {"three signs of it", S("Z==="), {0}, "six bits are no octet"},
    {"padding within", S("Zg==Zg=="), {0}, "the end has been"},
    {"padding first", S("=Zg="), {0}, "only at the end"},
    {"padding in the midst", S("Z=g="), {0}, "only at the end"},
    {"one too many", S("Zm9vY"), {0}, "not groups of four"},
    {"space within", S("Zm 9v"), {0}, "not in the alphabet"},
    {"space for a sign", S("Zm9 "), {0}, "not in the alphabet"},
    {"line end", S("Zm9vYg\r\n"), {0}, "not in the alphabet"},
    {"NUL", S("Zm9\0"), {0}, "not in the alphabet"},
    {"NUL, then more", S("Zm9v\0m9v"), {0}, "not in the alphabet"},
    {"eight bit", S("Zm9\xff"), {0}, "not in the alphabet"},
    {"star", S("****"), {0}, "not in the alphabet"},
};

static bool decode(struct slice text, char out[SASL_MESSAGE], size_t *n)
{
    char *copy = malloc(text.n + 1); /* so that a read past its end is seen */

    memcpy(copy, text.p, text.n);
    bool good = sasl_decode((struct slice){copy, text.n}, out, n);
    free(copy);
    return good;
}

START_TEST(text)
{
    char out[SASL_MESSAGE];
    size_t n = 4711;
    bool good = decode(texts[_i].input, out, &n);

    ck_assert_msg(good == !!texts[_i].want.p, "%s: %s: %d", texts[_i].name, texts[_i].why, good);
    if (good)
        ck_assert_msg(n == texts[_i].want.n && !memcmp(out, texts[_i].want.p, n), "%s: %s", texts[_i].name,
                      texts[_i].why);
}
END_TEST

/* Each octet in the place of a sign. */
START_TEST(alphabet)
{
    static const char signs[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char out[SASL_MESSAGE], input[4] = {'A', 'A', 'A', (char)_i};
    size_t n;
    const char *found = _i ? strchr(signs, _i) : NULL;
    bool padding = _i == '=';

    ck_assert_msg(decode((struct slice){input, 4}, out, &n) == (found || padding), "octet %d", _i);
    if (found)
        ck_assert(n == 3 && out[2] == (char)(found - signs));
}
END_TEST

START_TEST(longest)
{
    static char input[SASL_TEXT + 4], out[SASL_MESSAGE + 1];
    size_t n;

    memset(input, '/', sizeof input);
    out[SASL_MESSAGE] = 'x';
    ck_assert(decode((struct slice){input, SASL_TEXT}, out, &n) && n == SASL_MESSAGE);
    ck_assert_msg(out[SASL_MESSAGE] == 'x' && out[SASL_MESSAGE - 1] == '\xff', "exactly as much as fits");
    ck_assert_msg(!decode((struct slice){input, SASL_TEXT + 4}, out, &n), "one group too many");
}
END_TEST

/* RFC 4616 2. Want: the three parts; all NULL: the message has not these three. */
static const struct {
    const char *name;
    struct slice input, want[3];
    const char *why;
} messages[] = {
    {"usual", S("\0tim\0tanstaaftanstaaf"), {S(""), S("tim"), S("tanstaaftanstaaf")}, "RFC 4616 4"},
    {"as somebody", S("Ursel\0Kurt\0xipj3plmq"), {S("Ursel"), S("Kurt"), S("xipj3plmq")}, "RFC 4616 4"},
    {"no password", S("\0tim\0"), {S(""), S("tim"), S("")}, "for the caller to judge"},
    {"no name", S("\0\0x"), {S(""), S(""), S("x")}, "for the caller to judge"},
    {"nothing of all", S("\0\0"), {S(""), S(""), S("")}, "for the caller to judge"},
    {"eight bit", S("\0\xc3\xb6\0\xff"), {S(""), S("\xc3\xb6"), S("\xff")}, "octets"},
    {"empty", S(""), {{0}}, "no NUL at all"},
    {"no NUL", S("tim"), {{0}}, "no NUL at all"},
    {"one NUL", S("\0tim"), {{0}}, "the password's is missing"},
    {"one NUL behind", S("tim\0"), {{0}}, "the password's is missing"},
    {"three", S("\0tim\0a\0b"), {{0}}, "a password has no NUL"},
    {"three, at the end", S("\0tim\0a\0"), {{0}}, "a password has no NUL"},
};

START_TEST(message)
{
    struct slice got[3], input = messages[_i].input;
    const struct slice *want = messages[_i].want;
    char *copy = malloc(input.n + 1);

    memcpy(copy, input.p, input.n);
    bool good = sasl_plain((struct slice){copy, input.n}, &got[0], &got[1], &got[2]);
    ck_assert_msg(good == !!want[0].p, "%s: %s: %d", messages[_i].name, messages[_i].why, good);
    for (int i = 0; i < 3 && good; i++)
        ck_assert_msg(got[i].n == want[i].n && !memcmp(got[i].p, want[i].p, want[i].n), "%s: part %d: %.*s",
                      messages[_i].name, i, (int)got[i].n, got[i].p);
    free(copy);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, text, 0, COUNT(texts));
    tcase_add_loop_test(t, alphabet, 0, 256);
    tcase_add_test(t, longest);
    tcase_add_loop_test(t, message, 0, COUNT(messages));
}

UNIT("sasl", tests)
