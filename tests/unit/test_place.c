#include "table/place.h"
#include "tests/unit/unit.h"

#include <stdint.h>
#include <string.h>

enum { BAD = -1, SPOOL = PLACE_SPOOL, MAILDIR = PLACE_MAILDIR, REPLY = PLACE_REPLY };

static const struct {
    const char *name, *input;
    int want;
    const char *why;
} values[] = {
    {"nothing", "", SPOOL, "SPOOL takes it"},
    {"relative", "./bob/Maildir/", MAILDIR, "as in .qmail"},
    {"absolute", "/var/mail/bob/", MAILDIR, "as in .qmail"},
    {"folder above", "../bob/", MAILDIR, "the operator's word"},
    {"dot", "./", MAILDIR, "the working directory"},
    {"space inside", "./bob smith/", MAILDIR, "file names may"},
    {"UTF-8",
     "./b\xc3\xb6"
     "b/",
     MAILDIR, "file names may"},
    {"mbox", "./mbox", BAD, "no slash at the end"},
    {"no start", "bob/", BAD, "neither slash nor dot"},
    {"forward", "&bob@example.com", BAD, "until postern-forward exists"},
    {"program", "|cat", BAD, "until postern-forward exists"},
    {"newline", "./a\n/", BAD, "control character"},
    {"delete", "./a\x7f/", BAD, "control character"},
    {"tab", "./a\t/", BAD, "control character"},

    {"tempfail", "452 4.2.2 Mailbox full", REPLY, "NNN text"},
    {"reject", "550 5.1.1 No such user", REPLY, "NNN text"},
    {"closing", "421 4.3.2 Go away", REPLY, "a scripted end of the session"},
    {"shortest", "550 x", REPLY, "one octet of text"},
    {"highest", "559 x", REPLY, "RFC 5321 4.2: second digit to 5"},
    {"lowest", "400 x", REPLY, "RFC 5321 4.2"},
    {"accepting", "250 2.1.5 Ok", BAD, "mail would be lost"},
    {"go ahead", "354 Go", BAD, "mail would be lost"},
    {"second digit", "460 x", BAD, "RFC 5321 4.2: second digit to 5"},
    {"six hundred", "600 x", BAD, "RFC 5321 4.2: first digit to 5"},
    {"three digits", "550", BAD, "text is required"},
    {"no text", "550 ", BAD, "text is required"},
    {"two spaces", "550  x", BAD, "text begins behind one"},
    {"two digits", "55 x", BAD, "three"},
    {"four digits", "5500 x", BAD, "three"},
    {"letter", "5x0 x", BAD, "digits"},
    {"hyphen", "550-x", BAD, "one line only: a client would wait for more"},
    {"line end", "550 x\r\n250 y", BAD, "one line only"},
    {"UTF-8 reply", "550 b\xc3\xb6se", BAD, "a reply is ASCII"},
};

START_TEST(parse)
{
    size_t n = strlen(values[_i].input);
    char *exact = malloc(n ? n : 1);
    enum place_kind kind = PLACE_SPOOL;

    memcpy(exact, values[_i].input, n);
    const char *why = place_parse((struct slice){exact, n}, &kind);
    ck_assert_msg(!!why == (values[_i].want == BAD), "%s: %s: %s", values[_i].name, values[_i].why,
                  why ? why : "accepted");
    if (!why)
        ck_assert_msg((int)kind == values[_i].want, "%s: %s", values[_i].name, values[_i].why);
    free(exact);
}
END_TEST

/* A reply line has room for 512 octets with its CRLF (RFC 5321 4.5.3.1.5). */
START_TEST(limit)
{
    static const char start[] = "550 ";
    char text[PLACE_MAX + 1], path[PLACE_MAX + 1];
    enum place_kind kind;

    memset(text, 'x', sizeof text);
    memcpy(text, start, sizeof start - 1);
    ck_assert(!place_parse((struct slice){text, PLACE_MAX}, &kind) && kind == PLACE_REPLY);
    ck_assert(place_parse((struct slice){text, PLACE_MAX + 1}, &kind));
    memset(path, '/', sizeof path);
    ck_assert(!place_parse((struct slice){path, PLACE_MAX}, &kind) && kind == PLACE_MAILDIR);
    ck_assert(place_parse((struct slice){path, PLACE_MAX + 1}, &kind));
    ck_assert(PLACE_MAX + 2 < 512);
    ck_assert_msg(place_parse((struct slice){"550 \0", 5}, &kind), "a NUL would cut it");
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, parse, 0, COUNT(values));
    tcase_add_test(t, limit);
}

UNIT("place", tests)
