#include "table/entry.h"
#include "table/place.h"
#include "tests/unit/unit.h"

#include <stdint.h>
#include <string.h>

#define A10 "aaaaaaaaaa"
#define L60 A10 A10 A10 A10 A10 A10
#define L63 L60 "aaa"

#define HASH "$5$rounds=1000$k2XAnEHBqQ1Ct2aM$jgOl0V/Vic8BJZ4wBDLE5hPwrxO8FWvvQqq4b1wm6k0"

enum { DOMAIN, MAILBOX, SENDER, USER };
static const enum entry_kind kind_of[] = {ENTRY_DOMAIN, ENTRY_MAILBOX, ENTRY_SENDER, ENTRY_USER};

static const struct {
    const char *name;
    int kind;
    const char *input;
    const char *key; /* empty: the line says nothing; NULL: it is wrong */
    const char *value, *why;
} lines[] = {
    {"empty", DOMAIN, "", "", "", "nothing"},
    {"line end", DOMAIN, "\n", "", "", "nothing"},
    {"white space", DOMAIN, " \t\r\n", "", "", "nothing"},
    {"comment", DOMAIN, "# example.com\n", "", "", "nothing"},
    {"comment further in", DOMAIN, "  # example.com\n", "", "", "nothing"},
    {"comment without space", MAILBOX, "#a@b\n", "", "", "nothing"},

    {"domain", DOMAIN, "example.com\n", "example.com", "", "as it is"},
    {"no line end", DOMAIN, "example.com", "example.com", "", "the last line"},
    {"CRLF", DOMAIN, "example.com\r\n", "example.com", "", "edited elsewhere"},
    {"spaces around", DOMAIN, " \texample.com \t\n", "example.com", "", "trimmed"},
    {"upper case", DOMAIN, "Example.COM\n", "example.com", "", "lookups are in lower case"},
    {"with a comment", DOMAIN, "example.com # ours\n", "example.com", "", "behind white space"},
    {"dotted", DOMAIN, ".Example.com\n", ".example.com", "", "and all below it"},
    {"literal", DOMAIN, "[192.0.2.1]\n", "[192.0.2.1]", "", "an address literal"},
    {"longest", DOMAIN, "." L63 "." L63 "." L63 "." L63 "\n", "." L63 "." L63 "." L63 "." L63, "", "255"},
    {"too long", DOMAIN, L63 "." L63 "." L63 "." L63 ".a\n", NULL, "", "257"},
    {"two domains", DOMAIN, "a.example b.example\n", NULL, "", "one a line"},
    {"comment glued", DOMAIN, "example.com#ours\n", NULL, "", "no domain has that"},
    {"dot alone", DOMAIN, ".\n", NULL, "", "it names no domain"},
    {"two dots", DOMAIN, "..example.com\n", NULL, "", "an empty label"},
    {"address", DOMAIN, "a@example.com\n", NULL, "", "that is a mailbox"},
    {"at", DOMAIN, "@example.com\n", NULL, "", "that is a catch-all"},
    {"trailing dot", DOMAIN, "example.com.\n", NULL, "", "as RFC 5321 has domains"},

    {"mailbox", MAILBOX, "bob@example.com\n", "bob@example.com", "", "SPOOL takes it"},
    {"case", MAILBOX, "Bob@Example.com\n", "bob@example.com", "", "compared without case"},
    {"Maildir", MAILBOX, "bob@example.com ./bob/Maildir/\n", "bob@example.com", "./bob/Maildir/", "its own"},
    {"much space", MAILBOX, "bob@example.com \t  ./bob/ \n", "bob@example.com", "./bob/", "trimmed"},
    {"reply", MAILBOX, "full@example.com 452 4.2.2 Mailbox full\n", "full@example.com",
     "452 4.2.2 Mailbox full", "scripted"},
    {"reply with a number sign", MAILBOX, "a@b 550 no #1\n", "a@b", "550 no #1", "no comment inside a value"},
    {"comment for value", MAILBOX, "a@b # nobody\n", "a@b", "", "behind white space"},
    {"quoted", MAILBOX, "\"Bob Smith\"@b ./x/\n", "bob smith@b", "./x/", "the key is unquoted"},
    {"catch-all", MAILBOX, "@example.org\n", "@example.org", "", "all of a domain"},
    {"catch-all and place", MAILBOX, "@Example.org /var/all/\n", "@example.org", "/var/all/",
     "all of a domain"},
    {"postmaster", MAILBOX, "postmaster\n", NULL, "", "of which domain?"},
    {"no domain", MAILBOX, "bob@\n", NULL, "", "of which domain?"},
    {"catch-all of nothing", MAILBOX, "@\n", NULL, "", "of which domain?"},
    {"catch-all, dotted", MAILBOX, "@.example.org\n", NULL, "", "lookups know no such key"},
    {"brackets", MAILBOX, "<bob@example.com>\n", NULL, "", "as tables are written"},
    {"forward", MAILBOX, "a@b &c@d\n", NULL, "", "until postern-forward exists"},
    {"program", MAILBOX, "a@b |cat\n", NULL, "", "until postern-forward exists"},
    {"mbox", MAILBOX, "a@b ./mbox\n", NULL, "", "a Maildir ends in a slash"},
    {"accepting reply", MAILBOX, "a@b 250 Ok\n", NULL, "", "mail would be lost"},
    {"no space", MAILBOX, "a@b./x/\n", NULL, "", "where does the domain end?"},

    {"longest mailbox", MAILBOX, L63 L63 L63 L63 "@b ./x/\n", L63 L63 L63 L63 "@b", "./x/",
     "256 with brackets"},
    {"mailbox too long", MAILBOX, L63 L63 L63 L63 "a@b\n", NULL, "", "257 with brackets"},
    {"longest sender", SENDER, L63 L63 L63 L63 "@b\n", L63 L63 L63 L63 "@b", "", "256 with brackets"},

    {"sender", SENDER, "Bad@Example.com\n", "bad@example.com", "", "an address"},
    {"sender and comment", SENDER, "bad@example.com # spam\n", "bad@example.com", "", "an address"},
    {"domain of senders", SENDER, "example.com\n", "example.com", "", "all of it"},
    {"at domain", SENDER, "@example.com\n", "example.com", "", "the same, as others write it"},
    {"domain and below", SENDER, ".example.com\n", ".example.com", "", "and all below it"},
    {"quoted sender", SENDER, "\"a b\"@c\n", "a b@c", "", "an address"},
    {"sender and more", SENDER, "bad@example.com ./x/\n", NULL, "", "there is no value"},
    {"domain and more", SENDER, "example.com reject\n", NULL, "", "there is no value"},
    {"at nothing", SENDER, "@\n", NULL, "", "which domain?"},
    {"at space", SENDER, "@ example.com\n", NULL, "", "which domain?"},
    {"null sender", SENDER, "<>\n", NULL, "", "bounces are never refused by their sender"},

    {"user", USER, "alice " HASH "\n", "alice", HASH, "a name and a hash"},
    {"address for user", USER, "alice@example.com " HASH "\n", "alice@example.com", HASH, "as most have it"},
    {"user, case", USER, "Alice@Example.COM " HASH "\n", "alice@example.com", HASH, "typed either way"},
    {"user, much space", USER, "\t alice \t " HASH " \r\n", "alice", HASH, "trimmed"},
    {"user, comment", USER, "alice " HASH " # in sales\n", "alice", HASH, "behind white space"},
    {"user, colon", USER, "alice:" HASH "\n", "alice", HASH, "as htpasswd has it"},
    {"user, colon and comment", USER, "Alice:" HASH "\t# x:y\n", "alice", HASH, "behind white space"},
    {"user, not ASCII", USER, "m\xc3\xbcLLER " HASH "\n", "m\xc3\xbcller", HASH, "UTF-8 as it is"},
    {"user, odd", USER, "a!#\"\\<>~ " HASH "\n", "a!#\"\\<>~", HASH, "printable"},
    {"user, Dovecot's hash", USER, "alice:{SHA256-CRYPT}" HASH "\n", "alice", HASH, "doveadm pw"},
    {"user, Dovecot's hash, space", USER, "alice {CRYPT}" HASH " # x\n", "alice", HASH, "doveadm pw"},
    {"user, Dovecot's, in the clear", USER, "alice:{PLAIN}secret\n", NULL, "", "it would stand in a file"},
    {"user, scheme alone", USER, "alice:{CRYPT}\n", NULL, "", "no hash"},
    {"user, longest", USER, L63 L63 L63 L63 "aaa:" HASH, L63 L63 L63 L63 "aaa", HASH, "255"},
    {"user, too long", USER, L63 L63 L63 L63 "aaaa:" HASH, NULL, "", "256"},
    {"user alone", USER, "alice\n", NULL, "", "no hash"},
    {"user and comment alone", USER, "alice # " HASH "\n", NULL, "", "no hash"},
    {"user and colon alone", USER, "alice:\n", NULL, "", "no password at all, says /etc/shadow"},
    {"user, colon, comment", USER, "alice: # x\n", NULL, "", "no hash"},
    {"user, colon, space", USER, "alice: " HASH "\n", NULL, "", "neither form"},
    {"user, space, colon", USER, "alice :" HASH "\n", NULL, "", "neither form"},
    {"no user", USER, ":" HASH "\n", NULL, "", "no name"},
    {"hash alone", USER, HASH "\n", NULL, "", "a name without a hash"},
    {"user, plain password", USER, "alice secret\n", NULL, "", "it would stand in a file"},
    {"user, locked", USER, "alice:!" HASH "\n", NULL, "", "usermod -L"},
    {"user, weak hash", USER, "alice kl.bVxHBAClgE\n", NULL, "", "DES"},
    {"user, hash cut", USER, "alice $5$abc$def\n", NULL, "", "pasted in part"},
    {"user and more", USER, "alice " HASH " staff\n", NULL, "", "it would have no meaning"},
    {"user, colon and more", USER, "alice:" HASH " staff\n", NULL, "", "it would have no meaning"},
    {"user, line of shadow", USER, "alice:" HASH ":19000:0:99999:7:::\n", NULL, "", "that may have expired"},
    {"user, not UTF-8", USER, "m\xfcller " HASH "\n", NULL, "", "Latin-1"},
    {"user, control", USER, "al\x01ice " HASH "\n", NULL, "", "not printable"},
    {"user, C1 control", USER, "al\xc2\x85ice " HASH "\n", NULL, "", "not printable"},
};

START_TEST(read_line)
{
    size_t n = strlen(lines[_i].input);
    char *exact = malloc(n ? n : 1);
    enum entry_kind kind = kind_of[lines[_i].kind];
    struct entry e;

    memcpy(exact, lines[_i].input, n);
    const char *why = entry_read(kind, (struct slice){exact, n}, &e);
    if (!lines[_i].key) {
        ck_assert_msg(why && *why, "%s: %s", lines[_i].name, lines[_i].why);
    } else {
        ck_assert_msg(!why, "%s: %s: %s", lines[_i].name, lines[_i].why, why ? why : "");
        ck_assert_msg(e.key_len == strlen(lines[_i].key) && !memcmp(e.key, lines[_i].key, e.key_len),
                      "%s: %s: %.*s", lines[_i].name, lines[_i].why, (int)e.key_len, e.key);
        if (e.key_len)
            ck_assert_msg(e.value.n == strlen(lines[_i].value) &&
                              !memcmp(e.value.p, lines[_i].value, e.value.n),
                          "%s: %s: %.*s", lines[_i].name, lines[_i].why, (int)e.value.n, e.value.p);
    }
    free(exact);
}
END_TEST

static const struct {
    const char *input;
    int want; /* -1: no kind */
} names[] = {{"domains", DOMAIN}, {"mailboxes", MAILBOX}, {"badsenders", SENDER}, {"users", USER},
             {"user", -1},        {"domain", -1},         {"Domains", -1},        {"", -1},
             {"domains ", -1}};

START_TEST(kind)
{
    enum entry_kind found;
    bool ok = entry_kind(names[_i].input, &found);

    ck_assert_msg(ok == (names[_i].want >= 0), "%s", names[_i].input);
    if (ok)
        ck_assert_msg(found == kind_of[names[_i].want], "%s", names[_i].input);
}
END_TEST

/* An octet that a line cannot hold is not in a key or value either. */
START_TEST(control)
{
    static const struct slice bad[] = {
        {"a\0b.example", 11}, {"a@b ./x\0/", 9}, {"a@b 550 x\x7f", 10}, {"a\x01@b", 4}, {"a.b\x0b", 4}};
    struct entry e;

    for (int k = 0; k < COUNT(kind_of); k++)
        ck_assert_msg(entry_read(kind_of[k], bad[_i], &e), "%s as kind %d", bad[_i].p, k);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, read_line, 0, COUNT(lines));
    tcase_add_loop_test(t, kind, 0, COUNT(names));
    tcase_add_loop_test(t, control, 0, 5);
}

UNIT("entry", tests)
