#define _GNU_SOURCE /* memfd_create */
#include "table/route.h"
#include "tests/unit/unit.h"

#include "table/tinycdb.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#define ME "MX.example.NET"

static const char *const domains[][2] = {{"example.com", ""}, {".sub.example", ""}, {NULL, NULL}},
                         *const mailboxes[][2] = {{"alice@example.com", ""},
                                                  {"bob@example.com", "./bob/"},
                                                  {"carol@example.com", "./spool//"},
                                                  {"gone@example.com", "550 5.1.1 Gone"},
                                                  {"odd@example.com", "nonsense"},
                                                  {"@all.example", "/all/"},
                                                  {"postmaster@no.example", "550 5.1.1 No"},
                                                  {"postmaster@box.example", "./box/"},
                                                  {NULL, NULL}};

static struct table_buffer buffer;
static struct table table;

static void make(const char *const (*rows)[2])
{
    static char path[64];
    struct cdb_make making;
    int file = memfd_create("table", 0);

    ck_assert(file >= 0 && !cdb_make_start(&making, file));
    for (; **rows; rows++)
        ck_assert(!cdb_make_add(&making, (*rows)[0], (unsigned)strlen((*rows)[0]), (*rows)[1],
                                (unsigned)strlen((*rows)[1])));
    ck_assert(!cdb_make_finish(&making));
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    table_init(&table, path, &buffer);
}

static void parse(const char *text, struct address *a)
{
    struct slice rest;
    ck_assert(!address_parse(slice_of(text), ADDRESS_FORWARD, a, &rest));
}

static const struct {
    const char *recipient, *domain;
    int want;
    const char *why;
} locals[] = {
    {"<a@example.com>", "example.com", 1, "it is there"},
    {"<a@x.sub.example>", "x.sub.example", 1, "below one that is there"},
    {"<a@elsewhere.example>", "elsewhere.example", 0, "it is not"},
    {"<postmaster@elsewhere.example>", "elsewhere.example", 0, "not ours"},
    {"<Postmaster>", "mx.example.net", 1, "RFC 5321 4.5.1"},
};

START_TEST(local)
{
    struct address a;

    make(domains);
    parse(locals[_i].recipient, &a);
    ck_assert_int_eq(route_domain(&table, ME, &a), locals[_i].want);
    ck_assert_msg(slice_is((struct slice){a.domain, a.domain_len}, locals[_i].domain), "%s", locals[_i].why);
    ck_assert_int_ne(a.domain[0], 'M'); /* in lower case */
    table_init(&table, NULL, &buffer);
    ck_assert_int_eq(route_domain(&table, ME, &a), 1);
    table_init(&table, "/nowhere", &buffer);
    ck_assert_int_eq(route_domain(&table, ME, &a), -1);
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

static const struct {
    const char *recipient;
    enum route want;
    const char *value, *why;
} routes[] = {
    {"<alice@example.com>", ROUTE_SPOOL, "", "the entry says nothing"},
    {"<bob@example.com>", ROUTE_MAILDIR, "./bob/", "its own"},
    {"<Bob+x@example.com>", ROUTE_MAILDIR, "./bob/", "without its detail"},
    {"<carol@example.com>", ROUTE_SPOOL, NULL, "SPOOL by another spelling"},
    {"<any@all.example>", ROUTE_MAILDIR, "/all/", "a catch-all"},
    {"<gone@example.com>", ROUTE_REPLY, "550 5.1.1 Gone", "scripted"},
    {"<no@example.com>", ROUTE_NOBODY, NULL, "not there"},
    {"<odd@example.com>", ROUTE_NONSENSE, NULL, "no meaning"},
    {"<postmaster@example.com>", ROUTE_POSTMASTER, NULL, "not there, and never refused"},
    {"<Postmaster@no.example>", ROUTE_POSTMASTER, NULL, "a reply, and never refused"},
    {"<postmaster@box.example>", ROUTE_MAILDIR, "./box/", "its own"},
};

START_TEST(mailbox)
{
    struct slice value;
    struct address a;

    make(mailboxes);
    parse(routes[_i].recipient, &a);
    errno = 0;
    ck_assert_msg(route_mailbox(&table, "spool", &a, &value) == routes[_i].want, "%s", routes[_i].why);
    ck_assert_int_eq(errno, routes[_i].want == ROUTE_NONSENSE ? EINVAL : 0);
    if (routes[_i].value)
        ck_assert(slice_is(value, routes[_i].value));
    table_init(&table, NULL, &buffer);
    ck_assert_int_eq(route_mailbox(&table, "spool", &a, &value), ROUTE_SPOOL);
    table_init(&table, "/nowhere", &buffer);
    ck_assert_int_eq(route_mailbox(&table, "spool", &a, &value), ROUTE_TROUBLE);
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(no_spool)
{
    struct slice value;
    struct address a;

    make(mailboxes);
    parse("<carol@example.com>", &a);
    ck_assert_int_eq(route_mailbox(&table, NULL, &a, &value), ROUTE_MAILDIR);
}
END_TEST

static void add_tests(TCase *tc)
{
    tcase_add_loop_test(tc, local, 0, COUNT(locals));
    tcase_add_loop_test(tc, mailbox, 0, COUNT(routes));
    tcase_add_test(tc, no_spool);
}

UNIT("route", add_tests)
