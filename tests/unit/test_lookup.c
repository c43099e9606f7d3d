#define _GNU_SOURCE
#include "table/lookup.h"
#include "table/cdbmake.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The table that is asked: a file in memory, opened by its name under /proc. */
static int file = -1;
static char path[64];
static struct cdbmake making;
static struct table_buffer buffer;
static struct table t;

static void begin(void)
{
    file = memfd_create("table", 0);
    ck_assert(file >= 0 && !cdbmake_begin(&making, file));
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
}

static void add_bytes(const void *key, size_t key_len, const void *value, size_t value_len)
{
    ck_assert(!cdbmake_add(&making, (struct slice){key, key_len}, (struct slice){value, value_len}));
}

static void add(const char *key, const char *value)
{
    add_bytes(key, strlen(key), value, strlen(value));
}

static void finish(void)
{
    ck_assert(!cdbmake_finish(&making, NULL, NULL)); /* no test repeats a key */
    table_init(&t, path, &buffer);
}

static bool equals(struct slice s, const char *text)
{
    return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

START_TEST(users)
{
    char name[ENTRY_USER_NAME + 1];
    struct slice hash;

    memset(name, 'x', sizeof name);
    begin();
    add("alice@example.com", "one");
    add_bytes(name, ENTRY_USER_NAME, "two", 3);
    add("Upper", "three");
    add("", "four");
    finish();
    ck_assert(lookup_user(&t, slice_of("alice@example.com"), &hash) == 1 && equals(hash, "one"));
    ck_assert(lookup_user(&t, slice_of("ALICE@Example.com"), &hash) == 1 && equals(hash, "one"));
    ck_assert(lookup_user(&t, (struct slice){name, ENTRY_USER_NAME}, &hash) == 1 && equals(hash, "two"));
    ck_assert(lookup_user(&t, (struct slice){name, ENTRY_USER_NAME + 1}, &hash) == 0);
    ck_assert(lookup_user(&t, slice_of("alice"), &hash) == 0);
    ck_assert_msg(lookup_user(&t, slice_of("Upper"), &hash) == 0, "keys are in lower case");
    ck_assert_msg(lookup_user(&t, slice_of(""), &hash) == 0, "no name is nobody's");
    ck_assert(!ftruncate(file, TABLE_TOC));
    table_init(&t, path, &buffer);
    ck_assert(lookup_user(&t, (struct slice){name, ENTRY_USER_NAME + 1}, &hash) == -1 && errno == EPROTO);
}
END_TEST

static const struct {
    const char *name, *input;
    int want;
    const char *why;
} domains[] = {
    {"listed", "example.com", 1, "itself"},
    {"below a plain one", "a.example.com", 0, "no dot before it"},
    {"dotted itself", "example.org", 1, "and subdomains"},
    {"below a dotted one", "a.example.org", 1, "a subdomain"},
    {"far below", "a.b.c.example.org", 1, "a subdomain"},
    {"suffix only", "anexample.org", 0, "a label is whole"},
    {"prefix only", "example.co", 0, "a label is whole"},
    {"top level", "org", 0, "above it"},
    {"dotted top level", "test", 1, "a whole top level"},
    {"below the top level", "x.y.test", 1, "a whole top level"},
    {"with its dot", ".example.org", 1, "found as it stands"},
    {"literal", "[192.0.2.7]", 1, "as any other"},
    {"literal, other", "[192.0.2.8]", 0, "as any other"},
    {"nothing", "", 0, "no domain"},
    {"dots", "...", 0, "no domain"},
};

START_TEST(domain)
{
    begin();
    add("example.com", "");
    add(".example.org", "");
    add(".test", "");
    add("[192.0.2.7]", "");
    finish();
    ck_assert_msg(lookup_domain(&t, slice_of(domains[_i].input)) == domains[_i].want, "%s: %s",
                  domains[_i].name, domains[_i].why);
}
END_TEST

START_TEST(long_domain)
{
    char name[300];

    begin();
    add(".a", "");
    finish();
    memset(name, 'x', sizeof name);
    memcpy(name + 253, ".a", 2);
    ck_assert(lookup_domain(&t, (struct slice){name, 255}) == 1);
    memcpy(name + 254, ".a", 2);
    ck_assert_msg(lookup_domain(&t, (struct slice){name, 256}) == 0, "no domain is that long");
    for (int i = 0; i < 255; i++)
        name[i] = i & 1 ? '.' : 'a';
    ck_assert_msg(lookup_domain(&t, (struct slice){name, 255}) == 1, "as many labels as can be");
}
END_TEST

#define X10 "xxxxxxxxxx"
#define X230 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10
#define X241 X230 X10 "x"

static const struct {
    const char *name, *input;
    const char *want; /* NULL: no such mailbox */
    const char *why;
} mailboxes[] = {
    {"itself", "bob@example.com", "bob", "found"},
    {"case", "BOB@example.com", "bob", "compared without case"},
    {"quoted", "\"bob\"@example.com", "bob", "one mailbox"},
    {"unknown", "carol@example.com", NULL, "no such user"},
    {"detail", "bob+lists@example.com", "bob", "user@ has the detail"},
    {"empty detail", "bob+@example.com", "bob", "user@ has the detail"},
    {"two details", "bob+a+b@example.com", "bob", "the first plus counts"},
    {"own entry", "bob+own@example.com", "own", "an entry of its own goes first"},
    {"below an own entry", "bob+own+x@example.com", "bob", "the first plus counts"},
    {"detail, unknown", "carol+x@example.com", NULL, "no such user"},
    {"plus first", "+x@example.com", NULL, "nobody's detail"},
    {"plus first, then more", "+a+x@example.com", "plus", "the user is +a"},
    {"catch-all", "anyone@example.org", "all", "the domain's"},
    {"catch-all, detail", "anyone+x@example.org", "all", "the domain's"},
    {"before catch-all", "bob@example.org", "other", "the mailbox itself first"},
    {"detail before catch-all", "bob+x@example.org", "other", "then user@"},
    {"other domain", "bob@example.net", NULL, "not there"},
    {"subdomain of catch-all", "bob@a.example.org", NULL, "one domain's"},
    {"quoted at", "\"x@example.org\"@example.com", NULL, "not cut in the middle"},
    {"nothing quoted", "\"\"@example.org", "all", "the catch-all's"},
    {"longest", X241 "@example.com", "long", "as long as a path can be"},
    {"longest, unknown", X241 "@example.net", NULL, "not there"},
    {"longest detail", "bob+" X230 "ddddddd@example.com", "bob", "user@ has the detail"},
    {"longest, catch-all", X241 "@example.org", "all", "the domain's"},
};

START_TEST(mailbox)
{
    struct address a;
    struct slice value, rest;

    begin();
    add("bob@example.com", "bob");
    add("bob+own@example.com", "own");
    add("+a@example.com", "plus");
    add("bob@example.org", "other");
    add("@example.org", "all");
    add(X241 "@example.com", "long");
    finish();
    ck_assert(!address_parse(slice_of(mailboxes[_i].input), ADDRESS_MAILBOX, &a, &rest));
    int r = lookup_mailbox(&t, &a, &value);
    ck_assert_msg(r == !!mailboxes[_i].want, "%s: %s", mailboxes[_i].name, mailboxes[_i].why);
    if (r)
        ck_assert_msg(equals(value, mailboxes[_i].want), "%s: %s: %.*s", mailboxes[_i].name,
                      mailboxes[_i].why, (int)value.n, value.p);
}
END_TEST

static const struct {
    const char *name, *input;
    int want;
    const char *why;
} senders[] = {
    {"address", "<bad@example.com>", 1, "listed"},
    {"case", "<Bad@Example.com>", 1, "compared without case"},
    {"other address", "<good@example.com>", 0, "not listed"},
    {"domain", "<any@example.org>", 1, "its domain is listed"},
    {"below a domain", "<any@a.example.org>", 0, "no dot before it"},
    {"dotted", "<any@example.net>", 1, "itself"},
    {"below a dotted one", "<any@a.b.example.net>", 1, "a domain above it is listed"},
    {"null", "<>", 0, "bounces are never refused by their sender"},
    {"detail", "<bad+x@example.com>", 0, "another address"},
};

START_TEST(sender)
{
    struct address a;
    struct slice rest;

    begin();
    add("bad@example.com", "");
    add("example.org", "");
    add(".example.net", "");
    add("@", "");
    add("", "");
    finish();
    ck_assert(!address_parse(slice_of(senders[_i].input), ADDRESS_REVERSE, &a, &rest));
    ck_assert_msg(lookup_sender(&t, &a) == senders[_i].want, "%s: %s", senders[_i].name, senders[_i].why);
}
END_TEST

/* Trouble is never an answer, to no question and at no length. */
START_TEST(trouble)
{
    static const char long_name[300];
    const struct slice too_long = {long_name, sizeof long_name};
    struct address a;
    struct slice value, rest;

    begin();
    add("bob@example.com", "");
    finish();
    ck_assert(!ftruncate(file, TABLE_TOC + 1));
    ck_assert(!address_parse(slice_of("bob+x@example.com"), ADDRESS_MAILBOX, &a, &rest));
    errno = 0;
    ck_assert(lookup_domain(&t, slice_of("example.com")) == -1 && errno == EPROTO);
    errno = 0;
    ck_assert(lookup_mailbox(&t, &a, &value) == -1 && errno == EPROTO);
    errno = 0;
    ck_assert(lookup_sender(&t, &a) == -1 && errno == EPROTO);
    errno = 0;
    ck_assert(lookup_user(&t, slice_of("bob"), &value) == -1 && errno == EPROTO);
    ck_assert(lookup_user(&t, too_long, &value) == -1 && lookup_user(&t, slice_of(""), &value) == -1);
}
END_TEST

static void tests(TCase *c)
{
    tcase_add_loop_test(c, domain, 0, COUNT(domains));
    tcase_add_test(c, long_domain);
    tcase_add_loop_test(c, mailbox, 0, COUNT(mailboxes));
    tcase_add_loop_test(c, sender, 0, COUNT(senders));
    tcase_add_test(c, users);
    tcase_add_test(c, trouble);
}

UNIT("lookup", tests)
