#include "mail/body.h"
#include "tests/fuzz/obvious.h"
#include "tests/unit/unit.h"

#include <string.h>

/* Lines long enough for the fast way of copying, and Received as hops count it. */
#define LONG "0123456789abcdefghijklmnopqrstuvwxyz0123456789"
#define END "\r\n.\r\n"

/* ck_assert_msg tells its place to the runner each time, which costs more than the test itself. */
#define MUST(condition, ...)                                                                                 \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            ck_abort_msg(__VA_ARGS__);                                                                       \
    } while (0)

#define S(text)                                                                                              \
    {                                                                                                        \
        text, sizeof(text) - 1                                                                               \
    }

struct text {
    const char *p;
    size_t n;
};

/* How the input is fed: the lengths of its pieces. */
typedef size_t splitter(size_t at, size_t n, size_t parameter);

static size_t whole(size_t at, size_t n, size_t parameter)
{
    (void)parameter;
    return n - at;
}

static size_t single(size_t at, size_t n, size_t parameter)
{
    (void)at;
    (void)n;
    (void)parameter;
    return 1;
}

static size_t in_two(size_t at, size_t n, size_t parameter)
{
    return at < parameter ? parameter - at : n - at;
}

static uint32_t seed;
static uint32_t random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % n;
}

static size_t at_random(size_t at, size_t n, size_t parameter)
{
    size_t piece = 1 + random_below((uint32_t)parameter);
    return piece < n - at ? piece : n - at;
}

/* One step, in a buffer of just the size that body.h asks for. With in_place the output begins
 * BODY_HEADROOM before the input; else it is elsewhere. Input that is not taken must be left as it was. */
static size_t step(struct body *b, const char *in, size_t n, bool in_place, struct message *r)
{
    char *buffer = malloc(BODY_HEADROOM + n), *elsewhere = malloc(BODY_HEADROOM + n);
    char *out = in_place ? buffer : elsewhere;
    size_t made = 4711;

    memset(buffer, '#', BODY_HEADROOM);
    memcpy(buffer + BODY_HEADROOM, in, n);
    size_t taken = body_step(b, buffer + BODY_HEADROOM, n, out, &made);
    MUST(taken <= n && made <= taken + BODY_HEADROOM, "%zu taken of %zu, %zu made", taken, n, made);
    MUST(taken == n || b->state == BODY_END, "all of it is taken, but at the end");
    MUST(!memcmp(buffer + BODY_HEADROOM + taken, in + taken, n - taken), "the rest is not touched");
    if (!in_place)
        MUST(!memcmp(buffer + BODY_HEADROOM, in, n), "the input is not touched");
    memcpy(r->bytes + r->n, out, made);
    r->n += made;
    free(buffer);
    free(elsewhere);
    return taken;
}

static struct message run(struct text in, splitter *split, size_t parameter, bool in_place)
{
    struct message r = {.bytes = malloc(in.n + BODY_HEADROOM)};
    struct body b;

    body_init(&b);
    while (r.taken < in.n && b.state != BODY_END)
        r.taken += step(&b, in.p + r.taken, split(r.taken, in.n, parameter), in_place, &r);
    r.ended = b.state == BODY_END;
    r.size = b.size;
    r.hops = b.hops;
    r.has_nul = b.has_nul;
    r.has_bare_lf = b.has_bare_lf;
    return r;
}

static void check_same(const struct message *got, const struct message *want, const char *name,
                       const char *how)
{
    MUST(got->ended == want->ended, "%s, %s: the end", name, how);
    MUST(got->taken == want->taken, "%s, %s: took %zu, not %zu", name, how, got->taken, want->taken);
    MUST(got->n == want->n && !memcmp(got->bytes, want->bytes, want->n), "%s, %s: made \"%.*s\"", name, how,
         (int)got->n, got->bytes);
    MUST(got->size == want->size, "%s, %s: size %llu, not %llu", name, how, (unsigned long long)got->size,
         (unsigned long long)want->size);
    MUST(got->hops == want->hops, "%s, %s: hops %u, not %u", name, how, got->hops, want->hops);
    MUST(got->has_nul == want->has_nul, "%s, %s: NUL", name, how);
    MUST(got->has_bare_lf == want->has_bare_lf, "%s, %s: bare LF", name, how);
}

static void check_run(struct text in, splitter *split, size_t parameter, const struct message *want,
                      const char *name, const char *how)
{
    for (int in_place = 0; in_place < 2; in_place++) {
        struct message got = run(in, split, parameter, in_place);
        check_same(&got, want, name, how);
        free(got.bytes);
    }
}

static void check_all_ways(struct text in, const struct message *want, const char *name)
{
    check_run(in, whole, 0, want, name, "whole");
    check_run(in, single, 0, want, name, "byte by byte");
    for (size_t i = 1; i < in.n; i++)
        check_run(in, in_two, i, want, name, "in two");
}

enum { NUL = 1, BARE = 2 };

/* Every input is whole: its end has come, and perhaps more behind it. Sizes are those of RFC 1870 4: octets
 * with CRLF as line ends, without the dots of stuffing and without the end itself. */
static const struct {
    const char *name;
    struct text input;
    struct text want;
    uint64_t size;
    unsigned hops;
    int marks;
    const char *rest, *why;
} messages[] = {
    {"empty", S(".\r\n"), S(""), 0, 0, 0, "", "DATA's own line end stands before the dot"},
    {"empty line", S(END), S("\n"), 2, 0, 0, "", "one line end is the message's"},
    {"a line", S("a" END), S("a\n"), 3, 0, 0, "", "CRLF becomes LF"},
    {"header and body", S("A: b\r\n\r\ntext" END), S("A: b\n\ntext\n"), 14, 0, 0, "", "three lines"},
    {"pipelined", S("a" END "MAIL FROM:<>\r\n"), S("a\n"), 3, 0, 0, "MAIL FROM:<>\r\n",
     "the next command is left"},
    {"two messages", S("a" END "b" END), S("a\n"), 3, 0, 0, "b" END, "the first end counts"},
    {"end at once, more", S(".\r\n.\r\n"), S(""), 0, 0, 0, ".\r\n", "the first end counts"},

    {"stuffed dot", S("..a" END), S(".a\n"), 4, 0, 0, "", "RFC 5321 4.5.2"},
    {"stuffed dot alone", S("..\r\n..\r\n.\r\n"), S(".\n.\n"), 6, 0, 0, "", "RFC 5321 4.5.2"},
    {"three dots", S("...\r\n.\r\n"), S("..\n"), 4, 0, 0, "", "one goes"},
    {"unstuffed dot", S(".a" END), S("a\n"), 3, 0, 0, "", "RFC 5321 4.5.2: the first goes"},
    {"dot inside", S("a.b." END), S("a.b.\n"), 6, 0, 0, "", "only the first of a line"},
    {"dot and space", S(". " END), S(" \n"), 3, 0, 0, "", "not alone: not the end"},
    {"long stuffed", S("\r\n.." LONG END), S("\n." LONG "\n"), 51, 0, 0, "", "the fast way, too"},

    {"LF.LF", S("a\n.\nb" END), S("a\n.\nb\n"), 7, 0, BARE, "", "no end: CVE-2023-51764"},
    {"LF.CRLF", S("a\n.\r\nb" END), S("a\n.\nb\n"), 8, 0, BARE, "", "no end: CVE-2023-51765"},
    {"CR.CR", S("a\r.\rb" END), S("a\r.\rb\n"), 7, 0, 0, "", "no end: CVE-2023-51766"},
    {"CRLF.LF", S("a\r\n.\nb" END), S("a\n\nb\n"), 7, 0, BARE, "", "no end; that dot was stuffing"},
    {"CRLF.CR", S("a\r\n.\rb" END), S("a\n\rb\n"), 7, 0, 0, "", "no end; that dot was stuffing"},
    {"CR.CRLF", S("a\r.\r\nb" END), S("a\r.\nb\n"), 8, 0, 0, "", "no end: the dot is not first"},
    {"CR.LF", S("a\r.\nb" END), S("a\r.\nb\n"), 7, 0, BARE, "", "no end"},
    {"LF.CR", S("a\n.\rb" END), S("a\n.\rb\n"), 7, 0, BARE, "", "no end"},
    {"LFCR.CRLF", S("a\n\r.\r\nb" END), S("a\n\r.\nb\n"), 9, 0, BARE, "", "no end"},
    {"CRCRLF.CRLF", S("a\r\r\n.\r\n"), S("a\r\n"), 4, 0, 0, "", "the last CR and LF are the line end"},
    {"CRLF.CRCRLF", S("a\r\n.\r\r\nb" END), S("a\n\r\nb\n"), 9, 0, 0, "", "no end"},
    {"CRLF.CRCR", S("a\r\n.\r\rb" END), S("a\n\r\rb\n"), 8, 0, 0, "", "no end"},
    {"CRLF..CRLF", S("a\r\n..\r\nb" END), S("a\n.\nb\n"), 9, 0, 0, "", "stuffed"},
    {"CRLF CRLF.", S("a\r\n\r\n.b" END), S("a\n\nb\n"), 8, 0, 0, "", "no end"},
    {"dot LF at the start", S(".\nb" END), S("\nb\n"), 4, 0, BARE, "", "no end"},
    {"dot CR at the start", S(".\rb" END), S("\rb\n"), 4, 0, 0, "", "no end"},

    {"LF.NUL.LF", S("a\n.\0\nb" END), S("a\n.\0\nb\n"), 8, 0, NUL | BARE, "", "no end"},
    {"LF NUL.LF", S("a\n\0.\nb" END), S("a\n\0.\nb\n"), 8, 0, NUL | BARE, "", "no end"},
    {"CRLF.NUL CRLF", S("a\r\n.\0\r\nb" END), S("a\n\0\nb\n"), 9, 0, NUL, "", "no end"},
    {"CRLF NUL.CRLF", S("a\r\n\0.\r\nb" END), S("a\n\0.\nb\n"), 10, 0, NUL, "", "no end"},
    {"CR NUL LF.CRLF", S("a\r\0\n.\r\nb" END), S("a\r\0\n.\nb\n"), 10, 0, NUL | BARE, "", "no end"},
    {"CRLF.CR NUL LF", S("a\r\n.\r\0\nb" END), S("a\n\r\0\nb\n"), 9, 0, NUL | BARE, "", "no end"},
    {"CR NUL.CR", S("a\r\0.\rb" END), S("a\r\0.\rb\n"), 8, 0, NUL, "", "no end"},
    {"CR.NUL CR", S("a\r.\0\rb" END), S("a\r.\0\rb\n"), 8, 0, NUL, "", "no end"},
    {"CRLF.NUL LF", S("a\r\n.\0\nb" END), S("a\n\0\nb\n"), 8, 0, NUL | BARE, "", "no end"},
    {"NUL at last", S("a\0" END), S("a\0\n"), 4, 0, NUL, "", "kept; the session refuses it"},
    {"NUL in the long", S("\r\n\r\n" LONG "\0" LONG END), S("\n\n" LONG "\0" LONG "\n"), 99, 0, NUL, "",
     "the fast way, too"},
    {"NUL behind the end", S("a" END "\0"), S("a\n"), 3, 0, 0, NULL, "not of this message"},
    {"bare LF behind the end", S("a" END "\n"), S("a\n"), 3, 0, 0, "\n", "not of this message"},

    {"bare LF", S("a\nb" END), S("a\nb\n"), 5, 0, BARE, "", "one octet as it was sent"},
    {"bare LF first", S("\na" END), S("\na\n"), 4, 0, BARE, "", "DATA's CRLF is before it"},
    {"bare LF, then dots", S("a\n..b" END), S("a\n..b\n"), 7, 0, BARE, "", "no stuffing behind a bare LF"},
    {"bare LF twice", S("a\n\nb" END), S("a\n\nb\n"), 6, 0, BARE, "", "each is one"},
    {"LF CR", S("a\n\rb" END), S("a\n\rb\n"), 6, 0, BARE, "", "the wrong way round"},
    {"lone CR", S("a\rb" END), S("a\rb\n"), 5, 0, 0, "", "kept as it came"},
    {"lone CR last", S("a\r" END), S("a\r\n"), 4, 0, 0, "", "kept as it came"},
    {"many CR", S("\r\r\r\r" END), S("\r\r\r\r\n"), 6, 0, 0, "", "the last one is the line end's"},
    {"tabs and bells", S("\r\n\r\n\t\a\x0b\x0e" LONG "\t" END), S("\n\n\t\a\x0b\x0e" LONG "\t\n"), 57, 0, 0,
     "", "low octets that are text"},
    {"eight bit", S("\r\n\xff\x80\xc3\xbc" LONG "\xff" END), S("\n\xff\x80\xc3\xbc" LONG "\xff\n"), 55, 0, 0,
     "", "8-bit clean"},

    {"hop", S("Received: x\r\n\r\n" END), S("Received: x\n\n\n"), 17, 1, 0, "", "RFC 5321 6.3"},
    {"hops", S("Received: x\r\nreceived:y\r\nRECEIVED:" END), S("Received: x\nreceived:y\nRECEIVED:\n"), 36,
     3, 0, "", "any case, with or without a value"},
    {"delivered", S("Delivered-To: a\r\nDELIVERED-TO:" END), S("Delivered-To: a\nDELIVERED-TO:\n"), 32, 2, 0,
     "", "qmail's loops"},
    {"folded", S("Received: x\r\n\tby y\r\n Received: z" END), S("Received: x\n\tby y\n Received: z\n"), 34,
     1, 0, "", "a continuation is no field"},
    {"in the body", S("A: b\r\n\r\nReceived: x" END), S("A: b\n\nReceived: x\n"), 21, 0, 0, "",
     "only the header counts"},
    {"other fields", S("Received-SPF: x\r\nX-Received: y\r\nReceive: z\r\nReceived" END),
     S("Received-SPF: x\nX-Received: y\nReceive: z\nReceived\n"), 54, 0, 0, "", "the whole name"},
    {"delivered and more", S("Delivered-To-X: a\r\nDelivered-T: b\r\nDelivered-To" END),
     S("Delivered-To-X: a\nDelivered-T: b\nDelivered-To\n"), 49, 0, 0, "", "the whole name"},
    {"stuffed field", S("..Received: x\r\n.Received: x" END), S(".Received: x\nReceived: x\n"), 27, 1, 0, "",
     "as it is stored"},
    {"behind a bare LF", S("A: b\nReceived: x\n\nReceived: y" END), S("A: b\nReceived: x\n\nReceived: y\n"),
     31, 1, BARE, "", "a line end of the stored message, and so the empty line"},
    {"a CR before", S("\rReceived: x\r\n\r\r\nReceived: x" END), S("\rReceived: x\n\r\nReceived: x\n"), 30, 1,
     0, "", "a CR is text: neither a field nor an empty line"},
    {"no header", S("\r\nReceived: x" END), S("\nReceived: x\n"), 15, 0, 0, "", "an empty line first"},
};

START_TEST(message)
{
    struct message want = {.bytes = (char *)(uintptr_t)messages[_i].want.p,
                           .n = messages[_i].want.n,
                           .ended = true,
                           .size = messages[_i].size,
                           .hops = messages[_i].hops,
                           .has_nul = messages[_i].marks & NUL,
                           .has_bare_lf = messages[_i].marks & BARE};
    struct text in = messages[_i].input;
    char name[200];

    want.taken = in.n - (messages[_i].rest ? strlen(messages[_i].rest) : 1);
    strcpy(name, messages[_i].name);
    strcat(strcat(name, ": "), messages[_i].why);
    check_all_ways(in, &want, name);

    struct message slow = obvious_message(in.p, in.n);
    check_same(&slow, &want, messages[_i].name, "the reference");
    free(slow.bytes);
}
END_TEST

#define L50 "0123456789.0123456789.0123456789.0123456789.012345"
#define L250 L50 L50 L50 L50 L50

/* The Message-ID, for the log. */
static const struct {
    const char *name;
    struct text input;
    const char *want, *why;
} ids[] = {
    {"none", S("Subject: x\r\n\r\nMessage-ID: <a@b>" END), "", "only the header counts"},
    {"plain", S("Message-ID: <a@b>\r\nSubject: x" END), "<a@b>", "RFC 5322 3.6.4"},
    {"any case", S("MESSAGE-id:<a@b>" END), "<a@b>", "and no blank"},
    {"later", S("A: b\r\nMessage-Id: \t <a@b>\r\n\r\ntext" END), "<a@b>", "blanks before it go"},
    {"on the next line", S("Message-ID:\r\n <a@b>\r\nX: y" END), "<a@b>", "RFC 5322 2.2.3"},
    {"two lines on", S("Message-ID: \r\n \r\n\t<a@b>\r\nX: y" END), "<a@b>", "folded twice"},
    {"continued", S("Message-ID: <a@b>\r\n <c@d>\r\nX: y" END), "<a@b>", "the first line has it"},
    {"empty", S("Message-ID:\r\nX: <a@b>" END), "", "the next field is another"},
    {"empty at the end", S("Message-ID:\r\n\r\n <a@b>" END), "", "the body is another"},
    {"twice", S("Message-ID: <a@b>\r\nMessage-ID: <c@d>" END), "<a@b>", "the first"},
    {"empty, then another", S("Message-ID:\r\nMessage-ID: <c@d>" END), "<c@d>", "the first that is one"},
    {"longer name", S("Message-IDs: <a@b>\r\nX-Message-ID: <a@b>" END), "", "the whole name"},
    {"folded name", S("A: b\r\n Message-ID: <a@b>" END), "", "a continuation is no field"},
    {"stuffed", S("..Message-ID: <a@b>\r\n.Message-ID: <c@d>" END), "<c@d>", "as it is stored"},
    {"longest", S("Message-ID: " L250 END), L250, "as much as is kept"},
    {"too long", S("Message-ID: " L250 "x\r\nMessage-ID: <a@b>" END), L250, "and no more"},
};

START_TEST(id)
{
    const struct text in = ids[_i].input;

    for (size_t split = 0; split < in.n; split++) {
        char *out = malloc(BODY_HEADROOM + in.n);
        struct body b;
        size_t made, taken;
        body_init(&b);
        taken = body_step(&b, in.p, split, out, &made);
        body_step(&b, in.p + taken, in.n - taken, out, &made);
        MUST(b.id_len == strlen(ids[_i].want) && !memcmp(b.id, ids[_i].want, b.id_len), "%s: %s: \"%.*s\"",
             ids[_i].name, ids[_i].why, (int)b.id_len, b.id);
        free(out);
    }
}
END_TEST

/* Beginnings: the end has not come, and no more than BODY_HEADROOM and a dot is held back. */
static const struct {
    const char *name;
    struct text input;
    struct text want;
    enum body_state state;
    const char *why;
} beginnings[] = {
    {"nothing", S(""), S(""), BODY_BOL, "a line begins"},
    {"text", S("a"), S("a"), BODY_TEXT, "written at once"},
    {"CR", S("a\r"), S("a"), BODY_CR, "held back"},
    {"CRLF", S("a\r\n"), S("a\n"), BODY_BOL, "a line begins"},
    {"dot", S("a\r\n."), S("a\n"), BODY_DOT, "stuffing, or the end"},
    {"dot CR", S("a\r\n.\r"), S("a\n"), BODY_DOT_CR, "text, or the end"},
    {"dot dot", S("a\r\n.."), S("a\n."), BODY_TEXT, "it was stuffing"},
    {"bare LF", S("a\n"), S("a\n"), BODY_TEXT, "no line begins, as SMTP counts them"},
    {"bare LF, dot", S("a\n."), S("a\n."), BODY_TEXT, "no line begins, as SMTP counts them"},
    {"CR CR", S("a\r\r"), S("a\r"), BODY_CR, "the second is held back"},
    {"dot CR CR", S(".\r\r"), S("\r"), BODY_CR, "the second is held back"},
};

START_TEST(beginning)
{
    struct text in = beginnings[_i].input;
    char out[32];
    struct body b;
    size_t made;

    body_init(&b);
    ck_assert(body_step(&b, in.p, in.n, out, &made) == in.n);
    ck_assert_msg(b.state == beginnings[_i].state && made == beginnings[_i].want.n &&
                      !memcmp(out, beginnings[_i].want.p, made),
                  "%s: %s", beginnings[_i].name, beginnings[_i].why);
}
END_TEST

START_TEST(after_the_end)
{
    struct body b;
    char out[16] = "########";
    size_t made;

    body_init(&b);
    ck_assert(body_step(&b, ".\r\n", 3, out, &made) == 3 && made == 0);
    ck_assert_msg(body_step(&b, "QUIT\r\n", 6, out, &made) == 0 && made == 0, "it takes nothing more");
    ck_assert(b.state == BODY_END && b.size == 0 && out[0] == '#');
}
END_TEST

/* At every length up to some words, so that the fast way meets its end at each alignment. */
START_TEST(lengths)
{
    static const struct text stops[] = {S("\r\n"), S("\r"),     S("\n"),    S("\0"),
                                        S("\t"),   S("\r\n.."), S("\r\n.x")};

    for (size_t n = 0; n < 40; n++)
        for (int k = 0; k < COUNT(stops); k++) {
            char in[128];
            size_t len = 0;

            memcpy(in, "\r\n", 2);
            len = 2;
            memset(in + len, 'x', n);
            len += n;
            memcpy(in + len, stops[k].p, stops[k].n);
            len += stops[k].n;
            memset(in + len, '\xfe', n / 2);
            len += n / 2;
            memcpy(in + len, END, sizeof END - 1);
            len += sizeof END - 1;
            struct message want = obvious_message(in, len);
            check_all_ways((struct text){in, len}, &want, "lengths");
            free(want.bytes);
        }
}
END_TEST

/* Random messages of the octets that matter, compared with the reference; _i seeds them. */
START_TEST(random_messages)
{
    static const struct text parts[] = {
        S("\r\n"),          S("\r\n"),     S("\r"),       S("\n"),  S("."),    S("."),       S(".."),
        S("\r\n."),         S("\0"),       S("a"),        S(" "),   S("\t"),   S("\r\n.\n"), S("\n.\r\n"),
        S("\xff"),          S("\r\n\r\n"), S(LONG),       S("abc"), S("\r\r"), S(":"),       S("Received:"),
        S("Delivered-To:"), S("receiveD"), S("X: y\r\n"),
    };

    seed = 51764 + (uint32_t)_i;
    for (int round = 0; round < 1000; round++) {
        char in[2048];
        size_t n = 0;

        for (uint32_t k = random_below(30); k; k--) {
            struct text part = parts[random_below(COUNT(parts))];
            memcpy(in + n, part.p, part.n);
            n += part.n;
        }
        memcpy(in + n, END, sizeof END - 1);
        n += sizeof END - 1;
        struct text text = {in, n};
        struct message want = obvious_message(in, n);
        check_run(text, whole, 0, &want, "random", "whole");
        check_run(text, single, 0, &want, "random", "byte by byte");
        check_run(text, in_two, random_below((uint32_t)n), &want, "random", "in two");
        check_run(text, at_random, 1 + random_below(20), &want, "random", "in pieces");
        free(want.bytes);
    }
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, message, 0, COUNT(messages));
    tcase_add_loop_test(t, id, 0, COUNT(ids));
    tcase_add_loop_test(t, beginning, 0, COUNT(beginnings));
    tcase_add_test(t, after_the_end);
    tcase_add_test(t, lengths);
    tcase_add_loop_test(t, random_messages, 0, 10);
}

UNIT("body", tests)
