#include "mail/trace.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

static struct transaction_buffer buffer;
static struct transaction transaction;
static struct ip client;
static struct trace trace;
static char out[TRACE_BUFFER + 1];

/* client: `address name`, or NULL for an unknown one. */
static void set_up(const char *address, const char *name)
{
    struct address a;
    struct slice rest;

    if (address)
        ck_assert(ip_scan(slice_of(address), &client));
    ck_assert(!address_parse(slice_of("<bob@example.org>"), ADDRESS_REVERSE, &a, &rest));
    transaction_init(&transaction, &buffer);
    transaction_begin(&transaction, &a, false);
    trace = (struct trace){.me = "mx.example.com",
                           .protocol = "ESMTP",
                           .session = "1k3",
                           .id = "1k3.1",
                           .mode = "local",
                           .client = address ? &client : NULL,
                           .client_name = slice_of(name),
                           .helo = slice_of("mail.example.org"),
                           .transaction = &transaction,
                           .now = 0};
}

static void add(const char *recipient, const char *place)
{
    ck_assert(transaction_add(&transaction, slice_of(recipient), slice_of(place)));
}

static const char *text(size_t n)
{
    ck_assert_uint_le(n, TRACE_BUFFER);
    out[n] = 0;
    return out;
}

#define BY "\n\tby mx.example.com with ESMTP id 1k3.1"
#define DATE "; Thu, 1 Jan 1970 00:00:00 +0000\n"

static const struct {
    const char *name, *address, *host, *helo;
    const char *recipients[3];
    const char *want, *why;
} received[] = {
    {"all known",
     "192.0.2.7",
     "mail.example.net",
     "mail.example.org",
     {"c@d"},
     "Received: from mail.example.org (mail.example.net [192.0.2.7])" BY "\n\tfor <c@d>" DATE,
     "RFC 5321 4.4"},
    {"no host name",
     "192.0.2.7",
     "",
     "mail.example.org",
     {"c@d"},
     "Received: from mail.example.org ([192.0.2.7])" BY "\n\tfor <c@d>" DATE,
     "TCP-info is the literal alone"},
    {"IPv6",
     "2001:db8::7",
     "",
     "mail.example.org",
     {"c@d"},
     "Received: from mail.example.org ([IPv6:2001:db8::7])" BY "\n\tfor <c@d>" DATE,
     "with its tag"},
    {"nobody",
     NULL,
     "",
     "mail.example.org",
     {"c@d"},
     "Received: from mail.example.org" BY "\n\tfor <c@d>" DATE,
     "a pipe or a terminal"},
    {"no HELO",
     "192.0.2.7",
     "",
     "",
     {"c@d"},
     "Received: from unknown ([192.0.2.7])" BY "\n\tfor <c@d>" DATE,
     "a domain is required"},
    {"two recipients",
     "192.0.2.7",
     "",
     "mail.example.org",
     {"c@d", "e@f"},
     "Received: from mail.example.org ([192.0.2.7])" BY DATE,
     "they must not learn of each other"},
    {"literal",
     "192.0.2.7",
     "",
     "[192.0.2.7]",
     {"c@d"},
     "Received: from [192.0.2.7] ([192.0.2.7])" BY "\n\tfor <c@d>" DATE,
     "kept"},
    {"injection",
     "192.0.2.7",
     "",
     "a\r\nBcc: x@y (<\"\x01\xff>)",
     {"c@d"},
     "Received: from a??Bcc:?x?y???????? ([192.0.2.7])" BY "\n\tfor <c@d>" DATE,
     "control bytes of the client never reach a header"},
};

START_TEST(receive)
{
    set_up(received[_i].address, received[_i].host);
    trace.helo = slice_of(received[_i].helo);
    for (const char *const *p = received[_i].recipients; *p; p++)
        add(*p, "");
    ck_assert_msg(!strcmp(text(trace_received(out, &trace)), received[_i].want), "%s: %s:\n%s",
                  received[_i].name, received[_i].why, out);
}
END_TEST

static const time_t dates[] = {
    0,          /* the first */
    951782399,  /* 28 Feb 2000 23:59:59 */
    951782400,  /* 29 Feb 2000: a leap year after all */
    951868800,  /* 1 Mar 2000 */
    1078012799, /* 28 Feb 2004 */
    1709251199, /* 29 Feb 2024 23:59:59 */
    1735689599, /* 31 Dec 2024 */
    1735689600, /* 1 Jan 2025 */
    2147483647, /* the last of 32 bits */
    2147483648, /* and the one after it */
    4107542399, /* 28 Feb 2100 */
    4107542400, /* 1 Mar 2100: no leap year */
};

START_TEST(date)
{
    char want[128];
    struct tm t;

    set_up(NULL, "");
    trace.now = dates[_i];
    gmtime_r(&dates[_i], &t);
    strftime(want, sizeof want, BY "; %a, %e %b %Y %H:%M:%S +0000\n", &t); /* in the C locale */
    char *space = strstr(want, ",  ");
    if (space)
        memmove(space + 1, space + 2, strlen(space + 1));
    const char *got = text(trace_received(out, &trace));
    ck_assert_str_eq(strchr(got, '\n'), want);
}
END_TEST

/* Four centuries and a leap day of the fifth. */
START_TEST(every_day)
{
    char want[128];
    struct tm t;

    set_up(NULL, "");
    for (time_t day = 0; day < 400 * 366; day++) {
        trace.now = day * 86400 + day % 86400;
        gmtime_r(&trace.now, &t);
        strftime(want, sizeof want, " %b %Y %H:%M:%S +0000\n", &t);
        const char *got = strchr(text(trace_received(out, &trace)), ';');
        char head[32];
        snprintf(head, sizeof head, "; %.3s, %d", &"SunMonTueWedThuFriSat"[3 * t.tm_wday], t.tm_mday);
        ck_assert_msg(!strncmp(got, head, strlen(head)) && !strcmp(got + strlen(head), want), "%s", got);
    }
}
END_TEST

START_TEST(mailbox)
{
    set_up("192.0.2.7", "");
    add("c@d", "./c/");
    ck_assert_str_eq(text(trace_mailbox(out, &trace)), "Return-Path: <bob@example.org>\nDelivered-To: c@d\n");
    add("e@f", "./e/");
    ck_assert_str_eq(text(trace_mailbox(out, &trace)), "Return-Path: <bob@example.org>\n");
    transaction.sender_len = 0;
    ck_assert_str_eq(text(trace_return_path(out, &trace)), "Return-Path: <>\n");
}
END_TEST

START_TEST(envelope)
{
    set_up("192.0.2.7", "");
    trace.helo = slice_of("a\nb");
    add("c@d", "./c/");
    add("e@f", "");
    add("g@h", "");
    ck_assert_str_eq(text(trace_envelope(out, &trace)), "X-Postern-Client: 192.0.2.7\n"
                                                        "X-Postern-Helo: a?b\n"
                                                        "X-Postern-Session: 1k3\n"
                                                        "X-Postern-Mode: local\n"
                                                        "X-Postern-From: <bob@example.org>\n"
                                                        "X-Postern-To: <e@f>\n"
                                                        "X-Postern-To: <g@h>\n");
}
END_TEST

/* A message from a program of this host: its user is told, and no client or session. */
START_TEST(program)
{
    set_up("192.0.2.7", "client.example");
    trace.protocol = NULL;
    trace.uid = 1000;
    trace.tls = trace.cipher = "x";
    add("c@d", "");
    ck_assert_str_eq(text(trace_received(out, &trace)),
                     "Received: by mx.example.com (Postern, from uid 1000) id 1k3.1\n\tfor <c@d>" DATE);
    ck_assert_str_eq(text(trace_envelope(out, &trace)), "X-Postern-Mode: local\n"
                                                        "X-Postern-From: <bob@example.org>\n"
                                                        "X-Postern-To: <c@d>\n");
}
END_TEST

/* All that delivery puts into one header. */
static size_t all_fields(void)
{
    size_t n = trace_mailbox(out, &trace);

    n += trace_received(out + n, &trace);
    n += trace_return_path(out + n, &trace);
    n += trace_received(out + n, &trace);
    n += trace_envelope(out + n, &trace);
    return n;
}

/* With everything at its longest it fits into TRACE_BUFFER; _i: octets of each recipient. */
START_TEST(longest)
{
    static char name[ADDRESS_DOMAIN + 1], text_of[TRANSACTION_ADDRESS], id[24 + 1 + 20 + 1];
    struct slice recipient = {text_of, (size_t)_i};

    memset(name, 'n', ADDRESS_DOMAIN);
    memset(text_of, 'x', sizeof text_of);
    memset(id, 'i', sizeof id - 1);
    set_up("1111:2222:3333:4444:5555:6666:7777:8888", name);
    transaction.sender_len = sizeof buffer.sender;
    memset(buffer.sender, 's', sizeof buffer.sender);
    trace.me = name;
    trace.session = trace.id = id;
    trace.protocol = "UTF8SMTP";
    trace.mode = "collector";
    trace.helo = (struct slice){text_of, TRACE_HELO};
    ck_assert(transaction_add(&transaction, recipient, slice_of("")));
    ck_assert_msg(all_fields() <= TRACE_BUFFER, "with one recipient, named thrice");
    while (transaction_add(&transaction, recipient, slice_of("")))
        ;
    ck_assert_uint_gt(transaction.recipients, 300);
    ck_assert_msg(all_fields() <= TRACE_BUFFER, "with as many as there is room for");
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, receive, 0, COUNT(received));
    tcase_add_loop_test(t, date, 0, COUNT(dates));
    tcase_add_test(t, every_day);
    tcase_add_test(t, mailbox);
    tcase_add_test(t, envelope);
    tcase_add_test(t, program);
    tcase_add_loop_test(t, longest, 1, 2);
    tcase_add_loop_test(t, longest, TRANSACTION_ADDRESS, TRANSACTION_ADDRESS + 1);
}

UNIT("trace", tests)
