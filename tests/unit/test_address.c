#include "mail/address.h"
#include "tests/unit/unit.h"

#include <stdint.h>
#include <string.h>

#define A10 "aaaaaaaaaa"
#define A60 A10 A10 A10 A10 A10 A10
#define L61 A60 "a"
#define L63 A60 "aaa"
#define L64 A60 "aaaa"
#define B5                                                                                                   \
    "\\\\"                                                                                                   \
    "\\\\"                                                                                                   \
    "\\\\"                                                                                                   \
    "\\\\"                                                                                                   \
    "\\\\"
#define B20 B5 B5 /* ten backslashes, quoted */
#define L252 L63 L63 L63 L63
#define D189 L63 "." L63 "." L61
#define D255 L63 "." L63 "." L63 "." L63
#define U "\xc3\xbc" /* u with two dots */

/* A copy with nothing behind it, so that a read past the end is seen. */
static struct slice exactly(struct slice s)
{
    char *copy = malloc(s.n ? s.n : 1);
    memcpy(copy, s.p, s.n);
    return (struct slice){copy, s.n};
}

static void discard(struct slice s)
{
    free((void *)(uintptr_t)s.p);
}

static bool equals(struct slice s, const char *text)
{
    return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

/* What address_fmt makes of it, read again, is the same address. */
static void check_round_trip(const struct address *a, enum address_kind kind, size_t taken, const char *name)
{
    char text[ADDRESS_FMT + 2], key[ADDRESS_FMT], again[ADDRESS_FMT];
    bool bracket = kind != ADDRESS_MAILBOX;
    struct address b;
    struct slice rest;

    size_t n = address_fmt(text + bracket, a);
    ck_assert_msg(n <= ADDRESS_FMT && n <= taken, "%s: no longer than it came", name);
    if (bracket) {
        text[0] = '<';
        text[n + 1] = '>';
        n += 2;
    }
    struct slice exact = exactly((struct slice){text, n});
    const char *why = address_parse(exact, kind, &b, &rest);
    ck_assert_msg(!why, "%s: %.*s again: %s", name, (int)n, text, why ? why : "");
    ck_assert_msg(!rest.n, "%s: %.*s again: all of it is taken", name, (int)n, text);
    ck_assert_msg(a->local_len == b.local_len && !memcmp(a->local, b.local, a->local_len), "%s: local part",
                  name);
    ck_assert_msg(a->domain_len == b.domain_len && !memcmp(a->domain, b.domain, a->domain_len), "%s: domain",
                  name);
    ck_assert_msg(a->utf8 == b.utf8, "%s: utf8", name);
    size_t k = address_key(key, a);
    ck_assert(k <= ADDRESS_FMT && k == address_key(again, &b) && !memcmp(key, again, k));
    discard(exact);
}

#define REVERSE ADDRESS_REVERSE
#define FORWARD ADDRESS_FORWARD
#define MAILBOX ADDRESS_MAILBOX

static const struct {
    const char *name;
    enum address_kind kind;
    const char *input;
    const char *want; /* as address_fmt writes it */
    const char *rest;
    const char *why;
} valid[] = {
    {"plain", FORWARD, "<bob@example.com>", "bob@example.com", "", "RFC 5321 4.1.2"},
    {"plain sender", REVERSE, "<bob@example.com>", "bob@example.com", "", "RFC 5321 4.1.2"},
    {"plain mailbox", MAILBOX, "bob@example.com", "bob@example.com", "", "as in tables"},
    {"null", REVERSE, "<>", "", "", "RFC 5321 4.5.5"},
    {"null and parameter", REVERSE, "<> SIZE=5", "", " SIZE=5", "what follows is left"},
    {"parameters", REVERSE, "<a@b> SIZE=5 BODY=7BIT", "a@b", " SIZE=5 BODY=7BIT", "what follows is left"},
    {"tab behind", REVERSE, "<a@b>\tSIZE=5", "a@b", "\tSIZE=5", "white space"},
    {"one label", FORWARD, "<bob@localhost>", "bob@localhost", "", "sub-domain alone"},
    {"domain's case", FORWARD, "<Bob@Example.COM>", "Bob@example.com", "", "the local part keeps its case"},
    {"all of atext", FORWARD, "<!#$%&'*+-/=?^_`{|}~09azAZ@b>", "!#$%&'*+-/=?^_`{|}~09azAZ@b", "",
     "RFC 5322 3.2.3"},
    {"dots", FORWARD, "<a.b.c@d.e.f>", "a.b.c@d.e.f", "", "Dot-string"},
    {"digits", FORWARD, "<1@2.3>", "1@2.3", "", "Let-dig"},
    {"hyphens", FORWARD, "<a@b-c--d.e>", "a@b-c--d.e", "", "Ldh-str"},
    {"underscore", FORWARD, "<a@b_c.d>", "a@b_c.d", "", "real hosts have them"},
    {"postmaster", FORWARD, "<postmaster>", "postmaster", "", "RFC 5321 4.5.1"},
    {"Postmaster", FORWARD, "<PostMaster>", "PostMaster", "", "case ignored"},
    {"quoted postmaster", FORWARD, "<\"postmaster\">", "postmaster", "", "the same mailbox"},
    {"postmaster's brackets", FORWARD, "postmaster", "postmaster", "", "unambiguous without"},
    {"postmaster@", FORWARD, "<postmaster@example.com>", "postmaster@example.com", "", "with a domain"},

    {"route", FORWARD, "<@one.example:bob@two.example>", "bob@two.example", "", "RFC 5321 C: dropped"},
    {"long route", FORWARD, "<@a,@b.c,@[192.0.2.1]:bob@d>", "bob@d", "", "A-d-l"},
    {"route of a sender", REVERSE, "<@one.example:bob@two.example>", "bob@two.example", "", "same rule"},

    {"quoted needlessly", FORWARD, "<\"bob\"@b>", "bob@b", "", "RFC 5321 4.1.2: the same mailbox"},
    {"quoted space", FORWARD, "<\"bob smith\"@b>", "\"bob smith\"@b", "", "QtextSMTP"},
    {"quoted at", FORWARD, "<\"a@b\"@c>", "\"a@b\"@c", "", "the last one counts"},
    {"quoted bracket", FORWARD, "<\"a>b\"@c> X", "\"a>b\"@c", " X", "ends nothing"},
    {"quoted quote", FORWARD, "<\"a\\\"b\"@c>", "\"a\\\"b\"@c", "", "quoted-pairSMTP"},
    {"quoted backslash", FORWARD, "<\"a\\\\b\"@c>", "\"a\\\\b\"@c", "", "quoted-pairSMTP"},
    {"quoted for nothing", FORWARD, "<\"\\b\\o\\b\"@c>", "bob@c", "", "backslashes need not be"},
    {"quoted dot at the edge", FORWARD, "<\".a.\"@c>", "\".a.\"@c", "", "no Dot-string"},
    {"quoted double dot", FORWARD, "<\"a..b\"@c>", "\"a..b\"@c", "", "no Dot-string"},
    {"quoted nothing", FORWARD, "<\"\"@c>", "\"\"@c", "", "QcontentSMTP may be missing"},
    {"quoted nothing, sender", REVERSE, "<\"\"@c>", "\"\"@c", "", "that is not the null path"},
    {"quoted in a table", MAILBOX, "\"a b\"@c ./x/", "\"a b\"@c", " ./x/", "brackets are not needed"},

    {"literal", FORWARD, "<bob@[192.0.2.7]>", "bob@[192.0.2.7]", "", "RFC 5321 4.1.3"},
    {"literal, IPv6", FORWARD, "<bob@[IPv6:2001:DB8::7]>", "bob@[ipv6:2001:db8::7]", "", "case ignored"},

    {"no brackets", FORWARD, "bob@example.com", "bob@example.com", "", "tolerated: unambiguous"},
    {"no brackets, parameter", REVERSE, "bob@example.com SIZE=1", "bob@example.com", " SIZE=1", "tolerated"},

    {"UTF-8 local", FORWARD, "<b" U "b@c>", "b" U "b@c", "", "RFC 6531 3.3"},
    {"UTF-8 quoted", FORWARD, "<\"b " U "\"@c>", "\"b " U "\"@c", "", "RFC 6531 3.3"},
    {"UTF-8 quoted needlessly", FORWARD, "<\"b" U "\"@c>", "b" U "@c", "", "RFC 6531 3.3"},
    {"UTF-8 domain", FORWARD, "<bob@b" U "cher.example>", "bob@b" U "cher.example", "", "U-label"},
    {"UTF-8 first", FORWARD, "<\xc2\xa0@c>", "\xc2\xa0@c", "", "U+00A0 is the lowest that passes"},
    {"UTF-8 three", FORWARD, "<\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80@c>",
     "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80@c", "", "both sides of the surrogates"},
    {"UTF-8 four", FORWARD, "<\xf0\x90\x80\x80\xf4\x8f\xbf\xbf@c>", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf@c", "",
     "to U+10FFFF"},

    {"local part of 64", FORWARD, "<" L64 "@b>", L64 "@b", "", "RFC 5321 4.5.3.1.1: all take 64"},
    {"local part of 65", FORWARD, "<" L64 "a@b>", L64 "a@b", "", "a minimum is no maximum"},
    {"VERP", REVERSE,
     "<bounces+12345678-9abc-alice.brown_example.org=example.com_list-2026@em.sender.example>",
     "bounces+12345678-9abc-alice.brown_example.org=example.com_list-2026@em.sender.example", "",
     "the recipient in the local part"},
    {"SRS", REVERSE,
     "<SRS1=KSf4=mailer.example==HHH=TT=sender.example=alice.brown+2026-11@forwarder.example>",
     "SRS1=KSf4=mailer.example==HHH=TT=sender.example=alice.brown+2026-11@forwarder.example", "",
     "the sender in the local part"},
    {"longest local part", FORWARD, "<" L252 "@b>", L252 "@b", "", "RFC 5321 4.5.3.1.3: what a path leaves"},
    {"longest in a table, local part", MAILBOX, L252 "@b", L252 "@b", "", "what a path leaves"},
    {"longest quoted", FORWARD, "<\"" L63 L63 L63 A60 " \"@b>", "\"" L63 L63 L63 A60 " \"@b", "",
     "as transmitted"},
    {"longest backslashes", FORWARD, "<\"" B20 B20 B20 B20 B20 B20 B20 B20 B20 B20 B20 B20 A10 "\"@b>",
     "\"" B20 B20 B20 B20 B20 B20 B20 B20 B20 B20 B20 B20 A10 "\"@b", "", "as transmitted"},
    {"longest UTF-8", FORWARD, "<" L63 L63 L63 A60 "a" U "@b>", L63 L63 L63 A60 "a" U "@b", "", "in octets"},
    {"longest label", FORWARD, "<a@" L63 ".b>", "a@" L63 ".b", "", "RFC 1035 2.3.4: 63"},
    {"longest path", FORWARD, "<" L64 "@" D189 ">", L64 "@" D189, "", "RFC 5321 4.5.3.1.3: 256"},
    {"longest path, no brackets", REVERSE, L64 "@" D189, L64 "@" D189, "", "as if it had them"},
    {"longest in a table", MAILBOX, L64 "@" D189, L64 "@" D189, "", "what a path can hold"},
    {"longest with a route", FORWARD, "<@" L63 ":" L64 "@" L63 "." A60 ">", L64 "@" L63 "." A60, "",
     "256 with the route"},
};

START_TEST(accepts)
{
    struct slice text = exactly(slice_of(valid[_i].input)), rest;
    char out[ADDRESS_FMT];
    struct address a;

    const char *why = address_parse(text, valid[_i].kind, &a, &rest);
    ck_assert_msg(!why, "%s: %s: %s", valid[_i].name, valid[_i].why, why ? why : "");
    size_t n = address_fmt(out, &a);
    ck_assert_msg(equals((struct slice){out, n}, valid[_i].want), "%s: %s: %.*s", valid[_i].name,
                  valid[_i].why, (int)n, out);
    ck_assert_msg(equals(rest, valid[_i].rest), "%s: the rest", valid[_i].name);
    ck_assert(rest.p == text.p + text.n - rest.n);
    bool ascii = true;
    for (const char *p = valid[_i].want; *p; p++)
        ascii &= (unsigned char)*p < 0x80;
    ck_assert_msg(a.utf8 == !ascii, "%s: needs SMTPUTF8 or not", valid[_i].name);
    ck_assert_msg(address_is_null(&a) == !*valid[_i].want, "%s: the null path or not", valid[_i].name);
    check_round_trip(&a, valid[_i].kind, text.n - rest.n, valid[_i].name);
    discard(text);
}
END_TEST

static const struct {
    const char *name;
    enum address_kind kind;
    const char *input;
    const char *why;
} invalid[] = {
    {"nothing", REVERSE, "", "a path is required"},
    {"nothing to", FORWARD, "", "a path is required"},
    {"null recipient", FORWARD, "<>", "only a reverse-path may be null"},
    {"null mailbox", MAILBOX, "<>", "no brackets in tables"},
    {"bracket alone", REVERSE, "<", "cut short"},
    {"closing alone", REVERSE, ">", "no address"},
    {"space inside null", REVERSE, "< >", "no white space in a path"},
    {"space before", FORWARD, " <a@b>", "the caller takes spaces off"},
    {"space inside, front", FORWARD, "< a@b>", "no white space in a path"},
    {"space inside, end", FORWARD, "<a@b >", "no white space in a path"},
    {"space before at", FORWARD, "<a @b>", "no white space in a path"},
    {"space behind at", FORWARD, "<a@ b>", "no white space in a path"},
    {"no closing", FORWARD, "<a@b", "brackets come in pairs"},
    {"no opening", FORWARD, "a@b>", "brackets come in pairs"},
    {"two opening", FORWARD, "<<a@b>>", "one pair"},
    {"two closing", FORWARD, "<a@b>>", "one pair"},
    {"brackets in a table", MAILBOX, "<a@b>", "as tables are written"},
    {"garbage", FORWARD, "<a@b>c", "a space is missing"},
    {"display name", FORWARD, "Bob <a@b>", "that is RFC 5322"},
    {"comment", FORWARD, "<a(c)@b>", "that is RFC 5322"},

    {"no domain", FORWARD, "<bob>", "only postmaster may"},
    {"no domain, sender", REVERSE, "<bob>", "required"},
    {"postmaster sends", REVERSE, "<postmaster>", "only a recipient may"},
    {"postmaster in a table", MAILBOX, "postmaster", "a table's key has one"},
    {"postmaster and detail", FORWARD, "<postmaster+x>", "only the word itself"},
    {"postmaster prefix", FORWARD, "<postmasters>", "only the word itself"},
    {"empty domain", FORWARD, "<bob@>", "sub-domain is required"},
    {"empty postmaster domain", FORWARD, "<postmaster@>", "sub-domain is required"},
    {"no local", FORWARD, "<@b>", "Local-part is required"},
    {"only at", FORWARD, "@", "Local-part is required"},
    {"two ats", FORWARD, "<a@b@c>", "must be quoted"},

    {"dot first", FORWARD, "<.a@b>", "Dot-string"},
    {"dot last", FORWARD, "<a.@b>", "Dot-string"},
    {"two dots", FORWARD, "<a..b@c>", "Dot-string"},
    {"domain dot first", FORWARD, "<a@.b>", "sub-domain *(. sub-domain)"},
    {"domain dot last", FORWARD, "<a@b.>", "sub-domain *(. sub-domain)"},
    {"domain two dots", FORWARD, "<a@b..c>", "sub-domain *(. sub-domain)"},
    {"hyphen first", FORWARD, "<a@-b.c>", "Let-dig"},
    {"hyphen last", FORWARD, "<a@b-.c>", "Let-dig"},
    {"hyphen at the end", FORWARD, "<a@b.c->", "Let-dig"},
    {"domain character", FORWARD, "<a@b!c>", "not Ldh"},
    {"colon", FORWARD, "<a:b@c>", "not atext"},
    {"comma", FORWARD, "<a,b@c>", "not atext"},
    {"semicolon", FORWARD, "<a;b@c>", "not atext"},
    {"backslash unquoted", FORWARD, "<a\\b@c>", "RFC 822 had it"},
    {"quote inside", FORWARD, "<a\"b\"@c>", "all or nothing is quoted"},
    {"atom behind quotes", FORWARD, "<\"a\"b@c>", "all or nothing is quoted"},
    {"dot between quotes", FORWARD, "<\"a\".\"b\"@c>", "RFC 5322 obs-local-part"},
    {"quote open", FORWARD, "<\"a@b>", "Quoted-string"},
    {"quote open at the end", FORWARD, "<\"", "Quoted-string"},
    {"backslash at the end", FORWARD, "<\"a\\", "quoted-pairSMTP"},
    {"backslash control", FORWARD, "<\"a\\\t\"@b>", "%d32-126"},
    {"backslash UTF-8", FORWARD, "<\"\\" U "\"@b>", "%d32-126"},
    {"quoted control", FORWARD, "<\"a\tb\"@c>", "QtextSMTP"},
    {"quoted delete", FORWARD, "<\"a\x7f\"@c>", "QtextSMTP"},
    {"quotes without brackets", FORWARD, "\"a\"@b", "ambiguous"},
    {"control", FORWARD, "<a\x01@c>", "not atext"},
    {"CR", FORWARD, "<a\r@c>", "not atext"},
    {"delete", FORWARD, "<a\x7f@c>", "not atext"},

    {"route without end", FORWARD, "<@a", "cut short"},
    {"route without mailbox", FORWARD, "<@a:>", "Mailbox is required"},
    {"route comma", FORWARD, "<@a,b:c@d>", "each with its at"},
    {"route comma last", FORWARD, "<@a,:c@d>", "At-domain is missing"},
    {"route without domain", FORWARD, "<@:c@d>", "At-domain has one"},
    {"route semicolon", FORWARD, "<@a;c@d>", "a colon ends it"},
    {"route without brackets", FORWARD, "@a:c@d", "ambiguous"},
    {"route in a table", MAILBOX, "@a:c@d", "not in tables"},

    {"literal open", FORWARD, "<a@[192.0.2.7>", "brackets come in pairs"},
    {"literal bad", FORWARD, "<a@[192.0.2.256]>", "no address"},
    {"literal empty", FORWARD, "<a@[]>", "no address"},
    {"literal untagged", FORWARD, "<a@[2001:db8::7]>", "IPv6: is missing"},
    {"literal and more", FORWARD, "<a@[192.0.2.7].b>", "no label behind it"},

    {"UTF-8 cut", FORWARD, "<a\xc3@b>", "RFC 3629 4"},
    {"UTF-8 cut at the end", FORWARD, "<a\xe2\x82", "RFC 3629 4"},
    {"UTF-8 tail alone", FORWARD, "<a\x80@b>", "RFC 3629 4"},
    {"UTF-8 overlong two", FORWARD, "<\xc0\xaf@b>", "RFC 3629 10"},
    {"UTF-8 overlong two, at", FORWARD, "<a\xc1\x80@b>", "RFC 3629 10"},
    {"UTF-8 overlong three", FORWARD, "<\xe0\x9f\xbf@b>", "RFC 3629 10"},
    {"UTF-8 overlong four", FORWARD, "<\xf0\x8f\xbf\xbf@b>", "RFC 3629 10"},
    {"UTF-8 surrogate", FORWARD, "<\xed\xa0\x80@b>", "RFC 3629 3"},
    {"UTF-8 too high", FORWARD, "<\xf4\x90\x80\x80@b>", "above U+10FFFF"},
    {"UTF-8 five", FORWARD, "<\xf8\x88\x80\x80\x80@b>", "RFC 3629 4"},
    {"UTF-8 C1 control", FORWARD, "<\xc2\x9f@b>", "a terminal would obey it"},
    {"UTF-8 bad in quotes", FORWARD, "<\"\xff\"@b>", "RFC 3629 4"},
    {"UTF-8 bad in domain", FORWARD, "<a@\xff>", "RFC 3629 4"},
    {"Latin-1", FORWARD,
     "<b\xfc"
     "b@c>",
     "not UTF-8"},

    {"long local part", FORWARD, "<" L252 "a@b>", "257"},
    {"longer local part", FORWARD, "<" L252 L64 "@b>", "320"},
    {"long local part in a table", MAILBOX, L252 "a@b", "257 if it had brackets"},
    {"long local part alone", FORWARD, "<" L252 "aa>", "256, but no domain"},
    {"long quoted", FORWARD, "<\"" L63 L63 L63 A60 "a \"@b>", "257 as transmitted"},
    {"longer quoted", FORWARD, "<\"" L252 "a \"@b>", "260 as transmitted"},
    {"long by backslashes", FORWARD, "<\"" L63 L63 L63 A60 "\\a\"@b>", "257 as transmitted"},
    {"longer by backslashes", FORWARD, "<\"" B20 B20 B20 B20 B20 B20 B20 B20 B20 B20 B20 B20 B20 B20 "\"@b>",
     "286 as transmitted, 146 as they are meant"},
    {"long UTF-8", FORWARD, "<" L63 L63 L63 A60 "aa" U "@b>", "257"},
    {"long UTF-8 at the edge", FORWARD, "<" L63 L63 L63 L61 "a" U "@b>", "the last character is cut in two"},
    {"long label", FORWARD, "<a@" L64 ".b>", "64"},
    {"long path", FORWARD, "<" L64 "@" D189 "a>", "257"},
    {"long path, no brackets", REVERSE, L64 "@" D189 "a", "257 if it had them"},
    {"long in a table", MAILBOX, L64 "@" D189 "a", "no path can hold it"},
    {"long domain", FORWARD, "<a@" D255 ">", "259"},
    {"longer domain", FORWARD, "<a@" D255 ".a>", "a domain of 257"},
    {"long with a route", FORWARD, "<@" L63 ":" L64 "@" L63 "." L61 ">", "257 with the route"},
};

START_TEST(refuses)
{
    struct slice text = exactly(slice_of(invalid[_i].input)), rest;
    struct address a;

    const char *why = address_parse(text, invalid[_i].kind, &a, &rest);
    ck_assert_msg(why, "%s: %s", invalid[_i].name, invalid[_i].why);
    ck_assert_msg(*why, "%s: a reason is given", invalid[_i].name);
    discard(text);
}
END_TEST

#define ME "MX.example.net"

static const struct {
    const char *name;
    const char *input;
    const char *want; /* as address_fmt writes it; NULL: it is refused */
    const char *why;
} queued[] = {
    {"plain", "C@EXAMPLE.Com", "C@example.com", "a mailbox as in tables"},
    {"quoted", "\"a b\"@d", "\"a b\"@d", "quotes may be there"},
    {"quoted at", "\"a@b\"@d", "\"a@b\"@d", "quotes may be there"},
    {"UTF-8", "b" U "b@d", "b" U "b@d", "RFC 6531 3.3"},
    {"literal", "c@[192.0.2.7]", "c@[192.0.2.7]", "RFC 5321 4.1.3"},
    {"space", "a b@d", "\"a b\"@d", "quotes are left out"},
    {"dots", "a..b@d", "\"a..b\"@d", "quotes are left out"},
    {"quote and backslash", "a\"\\b@d", "\"a\\\"\\\\b\"@d", "as it is meant"},
    {"quote open", "\"a@d", "\"\\\"a\"@d", "as it is meant"},
    {"at", "a@b@d", "\"a@b\"@d", "the last one counts"},
    {"UTF-8 and space", "b" U " b@d", "\"b" U " b\"@d", "RFC 6531 3.3"},
    {"no domain", "root", "root@mx.example.net", "this host"},
    {"no domain, space", "a b", "\"a b\"@mx.example.net", "this host"},
    {"postmaster", "Postmaster", "Postmaster@mx.example.net", "this host"},
    {"longest", L252 "@d", L252 "@d", "what a path can hold"},
    {"longest unquoted", L63 L63 L63 A60 " @d", "\"" L63 L63 L63 A60 " \"@d", "as it is written"},
    {"long", L252 "a@d", NULL, "257 as a path"},
    {"long unquoted", L63 L63 L63 A60 "a @d", NULL, "257 as it is written"},
    {"long without a domain", L252, NULL, "with this host's"},
    {"longer without a domain", L252 "aaa", NULL, "no path can hold it"},
    {"much longer", L252 L252 L252 L252 "@d", NULL, "no path can hold it"},
    {"all quotes", "\"\"\"\"\"\"\"\"" U B20 B20 B20 B20 B20 B20 B20 B20 B20 B20 B20 B20, NULL,
     "as it is written"},
    {"nothing", "", NULL, "no local part"},
    {"at alone", "@", NULL, "no local part"},
    {"no local part", "@d", NULL, "no local part"},
    {"empty domain", "c@", NULL, "no domain"},
    {"brackets", "<c@d>", NULL, "no domain"},
    {"more", "c@d e", NULL, "no domain"},
    {"double bounce", "#@[]", NULL, "no domain"},
    {"hyphen", "c@-d", NULL, "no domain"},
    {"quoted alone", "\"a@b\"", NULL, "the last at counts"},
    {"line end behind", "c@d\n", NULL, "control character"},
    {"line end", "c\n@d", NULL, "control character"},
    {"header", "a\rBcc: x@d", NULL, "control character"},
    {"delete", "\x7f@d", NULL, "control character"},
    {"Latin-1", "b\xfc@d", NULL, "not UTF-8"},
};

START_TEST(parses_queued)
{
    struct slice text = exactly(slice_of(queued[_i].input));
    char out[ADDRESS_FMT];
    struct address a;

    const char *why = address_parse_queued(text, ME, &a);
    ck_assert_msg(!why == !!queued[_i].want, "%s: %s: %s", queued[_i].name, queued[_i].why, why ? why : "");
    if (!why) {
        size_t n = address_fmt(out, &a);
        ck_assert_msg(equals((struct slice){out, n}, queued[_i].want), "%s: %.*s", queued[_i].name, (int)n,
                      out);
        check_round_trip(&a, ADDRESS_MAILBOX, sizeof out, queued[_i].name);
    } else {
        ck_assert(*why);
    }
    discard(text);
}
END_TEST

START_TEST(nul)
{
    static const char local[] = "<a\0b@c>", domain[] = "<a@b\0c>", quoted[] = "<\"a\0\"@b>";
    struct slice rest;
    struct address a;

    ck_assert(address_parse((struct slice){local, sizeof local - 1}, ADDRESS_FORWARD, &a, &rest));
    ck_assert(address_parse((struct slice){domain, sizeof domain - 1}, ADDRESS_FORWARD, &a, &rest));
    ck_assert(address_parse((struct slice){quoted, sizeof quoted - 1}, ADDRESS_FORWARD, &a, &rest));
    ck_assert(!address_is_domain((struct slice){"b\0c", 3}));
    ck_assert(!address_is_domain((struct slice){"b\0", 2}));
}
END_TEST

static const struct {
    const char *name, *input, *want, *why;
} keys[] = {
    {"case", "Bob@Example.COM", "bob@example.com", "compared without case"},
    {"quotes", "\"Bob\"@b", "bob@b", "one mailbox, one key"},
    {"quoted space", "\"a b\"@c", "a b@c", "as it is, not as it is written"},
    {"backslash", "\"a\\\"\"@c", "a\"@c", "as it is, not as it is written"},
    {"detail", "a+B@c", "a+b@c", "the table knows of details"},
    {"UTF-8", "\xc3\x9c@c", "\xc3\x9c@c", "case is ignored in ASCII only"},
};

START_TEST(key)
{
    char out[ADDRESS_FMT];
    struct address a;
    struct slice rest;

    ck_assert(!address_parse(slice_of(keys[_i].input), ADDRESS_MAILBOX, &a, &rest));
    size_t n = address_key(out, &a);
    ck_assert_msg(equals((struct slice){out, n}, keys[_i].want), "%s: %s: %.*s", keys[_i].name, keys[_i].why,
                  (int)n, out);
}
END_TEST

static const struct {
    const char *name, *input;
    bool want;
    const char *why;
} domains[] = {
    {"name", "example.com", true, "RFC 5321 4.1.2"},
    {"one label", "localhost", true, "sub-domain alone"},
    {"one letter", "a", true, "Let-dig"},
    {"literal", "[192.0.2.7]", true, "address-literal"},
    {"literal, IPv6", "[IPv6:::1]", true, "address-literal"},
    {"UTF-8", "b" U "cher.example", true, "RFC 6531 3.3"},
    {"255", D255, true, "RFC 5321 4.5.3.1.2"},
    {"256", L63 "." L63 "." L63 "." L61 "a.a", false, "one over"},
    {"nothing", "", false, "required"},
    {"dot", ".", false, "no label"},
    {"root", "example.com.", false, "no dot at the end"},
    {"space behind", "example.com ", false, "all of it"},
    {"at", "a@b", false, "all of it"},
    {"address", "192.0.2.7]", false, "no bracket"},
    {"literal and more", "[192.0.2.7]a", false, "all of it"},
    {"control", "a\nb", false, "no line ends"},
    {"slash", "a/b", false, "it becomes a file name"},
};

START_TEST(domain)
{
    struct slice text = exactly(slice_of(domains[_i].input));
    ck_assert_msg(address_is_domain(text) == domains[_i].want, "%s: %s", domains[_i].name, domains[_i].why);
    discard(text);
}
END_TEST

static uint32_t seed = 5321;
static uint32_t random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % n;
}

/* Whatever is accepted keeps the limits and can be read again. */
START_TEST(random_paths)
{
    static const char *const parts[] = {"<",
                                        ">",
                                        "@",
                                        "@",
                                        "a",
                                        ".",
                                        "-",
                                        "\"",
                                        "\\",
                                        " ",
                                        ":",
                                        ",",
                                        "[1.2.3.4]",
                                        "[IPv6:::1]",
                                        "postmaster",
                                        "b.example",
                                        "bob@example.com",
                                        "\"a b\"",
                                        U,
                                        "\x80",
                                        "\t",
                                        A10,
                                        L61,
                                        "_",
                                        "+",
                                        "A"};
    int accepted = 0;

    for (int i = 0; i < 200000; i++) {
        char text[2048];
        size_t n = 0;
        struct address a;
        struct slice rest;
        enum address_kind kind = (enum address_kind)random_below(3);

        if (random_below(4) && kind != ADDRESS_MAILBOX)
            text[n++] = '<';
        for (uint32_t k = 1 + random_below(6); k; k--) {
            const char *part = parts[random_below(COUNT(parts))];
            memcpy(text + n, part, strlen(part));
            n += strlen(part);
        }
        if (n && text[0] == '<' && random_below(4))
            text[n++] = '>';
        struct slice exact = exactly((struct slice){text, n});
        if (!address_parse(exact, kind, &a, &rest)) {
            text[n] = 0;
            ck_assert(a.local_len <= ADDRESS_LOCAL);
            ck_assert(rest.p == exact.p + n - rest.n && (!rest.n || *rest.p == ' ' || *rest.p == '\t'));
            ck_assert(n - rest.n <= ADDRESS_PATH);
            ck_assert(!address_is_null(&a) || kind == ADDRESS_REVERSE);
            check_round_trip(&a, kind, n - rest.n, text);
            accepted++;
        }
        discard(exact);
    }
    ck_assert_msg(accepted > 2000, "%d: the inputs are of both kinds", accepted);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, accepts, 0, COUNT(valid));
    tcase_add_loop_test(t, refuses, 0, COUNT(invalid));
    tcase_add_loop_test(t, parses_queued, 0, COUNT(queued));
    tcase_add_test(t, nul);
    tcase_add_loop_test(t, key, 0, COUNT(keys));
    tcase_add_loop_test(t, domain, 0, COUNT(domains));
    tcase_add_test(t, random_paths);
}

UNIT("address", tests)
