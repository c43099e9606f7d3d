#include "dns/dnslist.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *input, *want, *why;
} lists[] = {
    {"none", "", "", "no lists"},
    {"only white space", " ,\t\r\n, ", "", "no lists"},
    {"zone", "bl.example", "bl.example**1", "weight 1"},
    {"weight", "bl.example*2", "bl.example**2", "Postfix"},
    {"negative", "wl.example*-4", "wl.example**-4", "Postfix"},
    {"plus", "bl.example*+3", "bl.example**3", "as scanf(3) takes it in Postfix"},
    {"zero", "bl.example*0", "bl.example**0", "only to be seen"},
    {"highest", "a.example*1000 b.example*-1000", "a.example**1000 b.example**-1000", "bounds"},
    {"filter", "bl.example=127.0.0.2", "bl.example=127.0.0.2*1", "plain"},
    {"filter and weight", "bl.example=127.0.0.[2..11;14]*3", "bl.example=127.0.0.[2..11;14]*3",
     "all there is"},
    {"ranges", "wl.example=127.[0..255].[0..255].0*-2", "wl.example=127.[0..255].[0..255].0*-2",
     "Postfix's own example"},
    {"list in brackets", "bl.example=127.0.0.[10;11]", "bl.example=127.0.0.[10;11]*1", "numbers"},
    {"one in brackets", "bl.example=127.0.0.[10]", "bl.example=127.0.0.[10]*1", "one number"},
    {"brackets first", "bl.example=[127].0.0.2", "bl.example=[127].0.0.2*1", "every octet"},
    {"range of one", "bl.example=127.0.0.[4..4]", "bl.example=127.0.0.[4..4]*1", "low is high"},
    {"commas", "a.example,b.example*2", "a.example**1 b.example**2", "separator"},
    {"white space", " a.example\tb.example\r\n c.example ", "a.example**1 b.example**1 c.example**1",
     "separator"},
    {"both", "a.example, b.example ,,c.example", "a.example**1 b.example**1 c.example**1", "separators"},
    {"one zone twice", "a.example=127.0.0.2 a.example=127.0.0.3*2",
     "a.example=127.0.0.2*1 a.example=127.0.0.3*2", "two filters"},
    {"key", "0a1b_2c.zen.example", "0a1b_2c.zen.example**1", "an underscore in a list's key"},
    {"one label", "localhost", "localhost**1", "a zone of one's own"},
    {"upper case", "BL.Example", "BL.Example**1", "as it stands"},
    {"within error codes, and out", "bl.example=127.255.[254..255].2", "bl.example=127.255.[254..255].2*1",
     "127.255.254.2 is none"},
};

START_TEST(parse)
{
    struct dnslists set;
    const char *why = dnslist_parse(slice_of(lists[_i].input), &set);
    char out[1024] = "", *p = out;

    ck_assert_msg(!why, "%s: %s: %s", lists[_i].name, lists[_i].why, why);
    for (size_t i = 0; i < set.n; i++)
        p += sprintf(p, "%s%.*s%s%.*s*%s%d", i ? " " : "", (int)set.list[i].zone.n, set.list[i].zone.p,
                     set.list[i].filter.n ? "=" : "", (int)set.list[i].filter.n,
                     set.list[i].filter.n ? set.list[i].filter.p : "", set.list[i].filter.n ? "" : "*",
                     set.list[i].weight);
    ck_assert_msg(!strcmp(out, lists[_i].want), "%s: %s: %s", lists[_i].name, lists[_i].why, out);
}
END_TEST

#define LABEL "a23456789012345678901234567890123456789012345678901234567890123"

static const struct {
    const char *name, *input, *want, *why;
} bad_lists[] = {
    {"no zone", "=127.0.0.2", "bad zone", "something to ask"},
    {"only a weight", "*2", "bad zone", "something to ask"},
    {"dot behind", "bl.example.", "bad zone", "no trailing dot"},
    {"dot before", ".bl.example", "bad zone", "an empty label"},
    {"two dots", "bl..example", "bad zone", "an empty label"},
    {"hyphen first", "-bl.example", "bad zone", "RFC 1035 2.3.1"},
    {"hyphen last", "bl.example-", "bad zone", "RFC 1035 2.3.1"},
    {"hyphen at a dot", "bl-.example", "bad zone", "RFC 1035 2.3.1"},
    {"a colon", "bl.example:2", "bad zone", "another syntax"},
    {"a backslash", "bl\\056example", "bad zone", "<dns.h> would take it as an escape"},
    {"not ASCII", "b\xc3\xbc.example", "bad zone", "no letters beyond ASCII"},
    {"label too long", LABEL "4.example", "bad zone", "64 octets, RFC 1035 2.3.4"},
    {"zone too long", LABEL "." LABEL "." LABEL, "bad zone", "191 octets: no room for 32 nibbles"},
    {"empty filter", "bl.example=", "bad filter", "something to match"},
    {"three octets", "bl.example=127.0.0", "bad filter", "d.d.d.d"},
    {"five octets", "bl.example=127.0.0.2.3", "bad filter", "d.d.d.d"},
    {"octet too big", "bl.example=127.0.0.256", "bad filter", "0 to 255"},
    {"octet too long", "bl.example=127.0.0.0002", "bad filter", "three digits"},
    {"octet missing", "bl.example=127..0.2", "bad filter", "a number"},
    {"range without brackets", "bl.example=127.0.0.2..11", "bad filter", "ranges stand in brackets"},
    {"range backwards", "bl.example=127.0.0.[11..2]", "bad filter", "low to high"},
    {"range open", "bl.example=127.0.0.[2..]", "bad filter", "two numbers"},
    {"brackets empty", "bl.example=127.0.0.[]", "bad filter", "a number"},
    {"brackets open", "bl.example=127.0.0.[2", "bad filter", "brackets come in pairs"},
    {"semicolon last", "bl.example=127.0.0.[2;]", "bad filter", "a number behind it"},
    {"two filters", "bl.example=127.0.0.2=127.0.0.3", "bad filter", "one filter"},
    {"a star", "bl.example=127.0.0.*", "bad filter", "that is the weight's mark"},
    {"only 127.0.0.1", "bl.example=127.0.0.1", "a filter that no answer can match", "it never counts"},
    {"only 127.0.0.1 or .255", "bl.example=127.0.0.[1;255]", "a filter that no answer can match",
     "neither counts"},
    {"only error codes", "bl.example=127.255.255.[0..255]", "a filter that no answer can match",
     "none counts"},
    {"not 127", "bl.example=10.0.0.2", "a filter that no answer can match", "only 127/8 counts"},
    {"no weight", "bl.example*", "bad weight", "a number"},
    {"sign only", "bl.example*-", "bad weight", "a number"},
    {"two signs", "bl.example*--1", "bad weight", "one sign"},
    {"fraction", "bl.example*1.5", "bad weight", "whole numbers"},
    {"weight too high", "bl.example*1001", "bad weight", "bound"},
    {"weight too low", "bl.example*-1001", "bad weight", "bound"},
    {"weight far too long", "bl.example*99999999999999999999", "bad weight", "no overflow"},
    {"words", "bl.example*2x", "bad weight", "nothing behind it"},
    {"second is bad", "bl.example wl.example*", "bad weight", "all are looked at"},
};

START_TEST(parse_bad)
{
    struct dnslists set;
    const char *why = dnslist_parse(slice_of(bad_lists[_i].input), &set);

    ck_assert_msg(why && !strcmp(why, bad_lists[_i].want), "%s: %s: %s", bad_lists[_i].name,
                  bad_lists[_i].why, why);
}
END_TEST

START_TEST(parse_many)
{
    char text[DNSLIST_MAX * 8 + 16], *p = text;
    struct dnslists set;

    for (int i = 0; i < DNSLIST_MAX; i++)
        p += sprintf(p, "l%d.x ", i);
    ck_assert(!dnslist_parse(slice_of(text), &set) && set.n == DNSLIST_MAX);
    strcpy(p, "more.x");
    ck_assert_str_eq(dnslist_parse(slice_of(text), &set), "too many lists");
}
END_TEST

static const struct {
    const char *name, *list;
    unsigned char address[4];
    enum dnslist_meaning want;
    const char *why;
} answers[] = {
    {"usual", "x", {127, 0, 0, 2}, DNSLIST_LISTED, "any in 127/8"},
    {"far in", "x", {127, 255, 254, 255}, DNSLIST_LISTED, "any in 127/8"},
    {"127.0.0.0", "x", {127, 0, 0, 0}, DNSLIST_LISTED, "only .1 is reserved"},
    {"127.0.0.1", "x", {127, 0, 0, 1}, DNSLIST_NOTHING, "RFC 5782 2.1: never"},
    {"127.0.1.1", "x", {127, 0, 1, 1}, DNSLIST_LISTED, "another address"},
    {"126", "x", {126, 0, 0, 2}, DNSLIST_WRONG, "not 127/8"},
    {"128", "x", {128, 0, 0, 2}, DNSLIST_WRONG, "not 127/8"},
    {"first error code", "x", {127, 255, 255, 0}, DNSLIST_WRONG, "127.255.255.0/24"},
    {"last error code", "x", {127, 255, 255, 255}, DNSLIST_WRONG, "127.255.255.0/24"},
    {"dnswl's error code", "x", {127, 0, 0, 255}, DNSLIST_WRONG, "over quota"},
    {"nearly dnswl's error code", "x", {127, 0, 1, 255}, DNSLIST_LISTED, "another address"},
    {"low end", "x=127.0.[1..3;9].[2..11]", {127, 0, 1, 2}, DNSLIST_LISTED, "ranges have both ends"},
    {"high end", "x=127.0.[1..3;9].[2..11]", {127, 0, 9, 11}, DNSLIST_LISTED, "ranges have both ends"},
    {"between the ranges", "x=127.0.[1..3;9].[2..11]", {127, 0, 4, 2}, DNSLIST_NOTHING, "third octet"},
    {"above the range", "x=127.0.[1..3;9].[2..11]", {127, 0, 1, 12}, DNSLIST_NOTHING, "fourth octet"},
    {"second octet", "x=127.0.[1..3;9].[2..11]", {127, 1, 1, 2}, DNSLIST_NOTHING, "second octet"},
    {"filter around 127.0.0.1",
     "x=127.0.0.[0..9]",
     {127, 0, 0, 1},
     DNSLIST_NOTHING,
     "no filter makes it count"},
    {"filter around error codes",
     "x=127.[0..255].[0..255].[0..255]",
     {127, 255, 255, 252},
     DNSLIST_WRONG,
     "no filter makes it count"},
};

START_TEST(read_answer)
{
    struct dnslists set;

    ck_assert(!dnslist_parse(slice_of(answers[_i].list), &set));
    ck_assert_msg(dnslist_read(&set.list[0], answers[_i].address) == answers[_i].want, "%s: %s",
                  answers[_i].name, answers[_i].why);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, parse, 0, COUNT(lists));
    tcase_add_loop_test(t, parse_bad, 0, COUNT(bad_lists));
    tcase_add_test(t, parse_many);
    tcase_add_loop_test(t, read_answer, 0, COUNT(answers));
}

UNIT("dnslist", tests)
