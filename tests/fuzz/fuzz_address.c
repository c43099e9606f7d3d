/* A path, a mailbox of a table, a domain or an IP address; the first octet says what the rest is read as. */
#include "tests/fuzz/fuzz.h"

#include "mail/address.h"
#include "base/ip.h"

#include <case.h>

static bool is_equal(const struct address *a, const struct address *b)
{
    return a->utf8 == b->utf8 &&
           is_same((struct slice){a->local, a->local_len}, (struct slice){b->local, b->local_len}) &&
           is_same((struct slice){a->domain, a->domain_len}, (struct slice){b->domain, b->domain_len});
}

/* `text` in another wording means the same. */
static void check_again(const char *before, struct slice text, const char *behind, enum address_kind kind,
                        const struct address *want)
{
    char buffer[1024];
    struct address a;
    struct slice rest;
    size_t n = strlen(before), k = strlen(behind);

    MUST(n + text.n + k <= sizeof buffer);
    memcpy(buffer, before, n);
    memcpy(buffer + n, text.p, text.n);
    memcpy(buffer + n + text.n, behind, k);
    struct slice exact = copy_of(buffer, n + text.n + k);
    MUST(!address_parse(exact, kind, &a, &rest));
    MUST(is_equal(&a, want));
    MUST(*behind == ' ' ? is_same(rest, slice_of(behind)) : !rest.n);
    drop(exact);
}

static void check_accepted(struct slice text, struct slice rest, enum address_kind kind,
                           const struct address *a)
{
    struct slice taken = {text.p, text.n - rest.n}, domain = {a->domain, a->domain_len};
    const bool bracket = taken.n && *taken.p == '<';
    char out[ADDRESS_FMT], key[ADDRESS_FMT], lower[ADDRESS_FMT];
    bool ascii = true;

    MUST(rest.p == text.p + taken.n);
    MUST(!rest.n || *rest.p == ' ' || *rest.p == '\t');
    MUST(taken.n + (bracket ? 0 : 2) <= ADDRESS_PATH);
    MUST(a->local_len <= ADDRESS_LOCAL);
    MUST(!address_is_null(a) || kind == ADDRESS_REVERSE);
    MUST(a->domain_len || address_is_null(a) || kind == ADDRESS_FORWARD);
    MUST(!a->domain_len || address_is_domain(domain));

    struct slice written = {out, address_fmt(out, a)};
    MUST(written.n <= taken.n);
    for (size_t i = 0; i < written.n; i++) {
        unsigned char c = (unsigned char)written.p[i];
        MUST(c >= ' ' && c != 127);
        ascii &= c < 0x80;
    }
    MUST(a->utf8 == !ascii);
    size_t n = address_key(key, a);
    MUST(n <= ADDRESS_FMT);
    memcpy(lower, key, n);
    case_lowerb(lower, n);
    MUST(!memcmp(lower, key, n));

    check_again("", taken, "", kind, a);
    check_again("", taken, " SIZE=1", kind, a);
    if (kind == ADDRESS_MAILBOX)
        check_again("", written, "", kind, a);
    else
        check_again("<", written, ">", kind, a);
    if (!bracket)
        check_again("<", taken, ">", ADDRESS_FORWARD, a);
}

static void check_path(struct slice text, enum address_kind kind)
{
    struct address a;
    struct slice rest;
    const char *why = address_parse(text, kind, &a, &rest);

    if (why)
        MUST(*why);
    else
        check_accepted(text, rest, kind, &a);
}

/* As an envelope has it: a mailbox is that mailbox, and whatever else passes can be written as one. */
static void check_queued(struct slice text)
{
    struct address a, b;
    struct slice rest;
    bool plain = !address_parse(text, ADDRESS_MAILBOX, &a, &rest) && !rest.n;
    const char *why = address_parse_queued(text, "mx.example.net", &b);

    if (why) {
        MUST(*why && !plain);
        return;
    }
    MUST(!plain || is_equal(&a, &b));
    MUST(text.n + 2 <= ADDRESS_PATH && b.domain_len);
    char out[ADDRESS_FMT];
    check_again("", (struct slice){out, address_fmt(out, &b)}, "", ADDRESS_MAILBOX, &b);
}

static void check_domain(struct slice text)
{
    static const struct address fresh;
    struct address a = fresh;

    if (!address_is_domain(text))
        return;
    MUST(text.n && text.n <= ADDRESS_DOMAIN);
    for (size_t i = 0; i < text.n; i++)
        MUST((unsigned char)text.p[i] > ' ' && text.p[i] != '/' && text.p[i] != '@' && text.p[i] != '"');
    if (text.n > ADDRESS_PATH - 4)
        return;
    a.local_len = 1;
    a.local[0] = 'x';
    a.domain_len = (unsigned char)text.n;
    memcpy(a.domain, text.p, text.n);
    for (size_t i = 0; i < text.n; i++)
        a.utf8 |= (unsigned char)text.p[i] >= 0x80;
    case_lowerb(a.domain, a.domain_len);
    check_again("<x@", text, ">", ADDRESS_FORWARD, &a);
}

static void check_ip(struct slice text)
{
    char out[IP_LITERAL_FMT];
    struct ip ip, again;

    if (ip_scan(text, &ip)) {
        size_t n = ip_fmt(out, &ip);
        MUST(n <= IP_FMT && ip_scan((struct slice){out, n}, &again) && !memcmp(&ip, &again, sizeof ip));
        MUST(ip_is4(&ip) == !memchr(out, ':', n));
        n = ip_literal_fmt(out, &ip);
        MUST(n <= IP_LITERAL_FMT && address_is_domain((struct slice){out, n}));
    }
    if (ip_literal_scan(text, &ip)) {
        size_t n = ip_literal_fmt(out, &ip);
        MUST(n <= IP_LITERAL_FMT && ip_literal_scan((struct slice){out, n}, &again));
        MUST(!memcmp(&ip, &again, sizeof ip) && address_is_domain(text));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct slice text = copy_of(data + 1, size - 1);
    switch (data[0] % 5) {
    case 0:
        check_path(text, ADDRESS_REVERSE);
        break;
    case 1:
        check_path(text, ADDRESS_FORWARD);
        break;
    case 2:
        check_path(text, ADDRESS_MAILBOX);
        check_queued(text);
        break;
    case 3:
        check_domain(text);
        break;
    default:
        check_ip(text);
    }
    drop(text);
    return 0;
}
