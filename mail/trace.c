#include "mail/trace.h"

#include "base/digits.h"

#include <fmt.h>

static size_t put(char *out, struct slice s)
{
    memcpy(out, s.p, s.n);
    return s.n;
}

/* A name the client gave, where a header wants a domain: an octet that no domain has becomes a question
 * mark. */
static size_t put_name(char *out, struct slice name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c && strchr("-._:[]", c));
        out[i] = plain ? c : '?';
    }
    return name.n;
}

static struct slice only_recipient(const struct trace *t)
{
    struct slice recipient = {"", 0};
    const char *place;
    size_t at = 0;

    if (t->transaction->recipients == 1)
        transaction_next(t->transaction, &at, &recipient, &place);
    return recipient;
}

static size_t put_path(char *out, const char *field, struct slice mailbox)
{
    size_t n = fmt_str(out, field);
    n += fmt_str(out + n, ": <");
    n += put(out + n, mailbox);
    n += fmt_str(out + n, ">\n");
    return n;
}

size_t trace_return_path(char *out, const struct trace *t)
{
    return put_path(out, "Return-Path", transaction_sender(t->transaction));
}

static size_t put_field(char *out, const char *field, struct slice value)
{
    size_t n = fmt_str(out, "X-Postern-");
    n += fmt_str(out + n, field);
    n += fmt_str(out + n, ": ");
    n += put(out + n, value);
    out[n++] = '\n';
    return n;
}

/* Any octet but visible ASCII becomes a question mark. */
static size_t put_printable(char out[TRACE_USER], struct slice text)
{
    size_t n = text.n < TRACE_USER ? text.n : TRACE_USER;

    for (size_t i = 0; i < n; i++)
        out[i] = '!' <= text.p[i] && text.p[i] <= '~' ? text.p[i] : '?';
    return n;
}

size_t trace_listed(char *out, const struct trace *t)
{
    return t->lists.n ? put_field(out, "Listed", t->lists) : 0;
}

size_t trace_mailbox(char *out, const struct trace *t)
{
    struct slice recipient = only_recipient(t);
    size_t n = trace_return_path(out, t);

    if (recipient.n) {
        n += fmt_str(out + n, "Delivered-To: ");
        n += put(out + n, recipient);
        out[n++] = '\n';
    }
    return n;
}

/* The civil date of a day since 1970. Years are counted from March here, so that a leap day ends one; day 0
 * is 1 March of year 0, and 400 years have 146097 days. */
static void find_date(uint64_t day, unsigned *year, unsigned *month, unsigned *of_month)
{
    uint64_t era = (day + 719468) / 146097;
    unsigned rest = (unsigned)((day + 719468) % 146097);
    unsigned y = (rest - rest / 1460 + rest / 36524 - rest / 146096) / 365;
    unsigned of_year = rest - (365 * y + y / 4 - y / 100), m = (5 * of_year + 2) / 153;

    *of_month = of_year - (153 * m + 2) / 5 + 1;
    *month = (m + 2) % 12;
    *year = (unsigned)era * 400 + y + (m >= 10);
}

/* RFC 5322 3.3, in UTC. Not by gmtime_r(3): glibc's reads /etc/localtime first, and allocates. */
static size_t put_date(char *out, time_t when)
{
    static const char days[] = "ThuFriSatSunMonTueWed", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const uint64_t seconds = when > 0 ? (uint64_t)when : 0, day = seconds / 86400;
    unsigned year, month, of_month;
    size_t n = 0;

    find_date(day, &year, &month, &of_month);
    n += fmt_strn(out + n, days + 3 * (day % 7), 3);
    n += fmt_str(out + n, ", ");
    n += fmt_ulong(out + n, of_month);
    out[n++] = ' ';
    n += fmt_strn(out + n, months + 3 * month, 3);
    out[n++] = ' ';
    n += fmt_ulong(out + n, year);
    out[n++] = ' ';
    n += digits_fmt(out + n, (unsigned long)(seconds / 3600 % 24), 2);
    out[n++] = ':';
    n += digits_fmt(out + n, (unsigned long)(seconds / 60 % 60), 2);
    out[n++] = ':';
    n += digits_fmt(out + n, (unsigned long)(seconds % 60), 2);
    n += fmt_str(out + n, " +0000");
    return n;
}

/* From a client. */
static size_t put_from(char *out, const struct trace *t)
{
    size_t n = fmt_str(out, "from ");

    n += t->helo.n ? put_name(out + n, t->helo) : fmt_str(out + n, "unknown");
    if (t->client) {
        n += fmt_str(out + n, " (");
        if (t->client_name.n) {
            n += put(out + n, t->client_name);
            out[n++] = ' ';
        }
        n += ip_literal_fmt(out + n, t->client);
        out[n++] = ')';
    }
    n += fmt_str(out + n, "\n\t");
    return n;
}

/* How it came from that client. */
static size_t put_with(char *out, const struct trace *t)
{
    size_t n = fmt_str(out, " with ");

    n += fmt_str(out + n, t->protocol);
    if (t->tls) {
        n += fmt_str(out + n, "\n\t(tls=");
        n += fmt_str(out + n, t->tls);
        n += fmt_str(out + n, " cipher=");
        n += fmt_str(out + n, t->cipher);
        n += fmt_str(out + n, ")");
    }
    return n;
}

/* How it came from a program. */
static size_t put_uid(char *out, const struct trace *t)
{
    size_t n = fmt_str(out, " (Postern, from uid ");

    n += fmt_ulong(out + n, (unsigned long)t->uid);
    n += fmt_str(out + n, ")");
    return n;
}

size_t trace_received(char *out, const struct trace *t)
{
    struct slice recipient = only_recipient(t);
    size_t n = fmt_str(out, "Received: ");

    if (t->protocol)
        n += put_from(out + n, t);
    n += fmt_str(out + n, "by ");
    n += fmt_str(out + n, t->me);
    n += t->protocol ? put_with(out + n, t) : put_uid(out + n, t);
    n += fmt_str(out + n, " id ");
    n += fmt_str(out + n, t->id);
    if (recipient.n) {
        n += fmt_str(out + n, "\n\tfor <");
        n += put(out + n, recipient);
        out[n++] = '>';
    }
    n += fmt_str(out + n, "; ");
    n += put_date(out + n, t->now);
    out[n++] = '\n';
    return n;
}

/* Who the client is, and in which session. */
static size_t put_client(char *out, const struct trace *t)
{
    char ip[IP_FMT], helo[TRACE_HELO];
    size_t n =
        put_field(out, "Client", t->client ? (struct slice){ip, ip_fmt(ip, t->client)} : slice_of("unknown"));

    n += put_field(out + n, "Helo", (struct slice){helo, put_name(helo, t->helo)});
    n += put_field(out + n, "Session", slice_of(t->session));
    return n;
}

size_t trace_envelope(char *out, const struct trace *t)
{
    char user[TRACE_USER];
    struct slice recipient;
    const char *place;
    size_t n = 0, at = 0;

    if (t->protocol)
        n += put_client(out + n, t);
    n += put_field(out + n, "Mode", slice_of(t->mode));
    if (t->user.n)
        n += put_field(out + n, "User", (struct slice){user, put_printable(user, t->user)});
    n += put_path(out + n, "X-Postern-From", transaction_sender(t->transaction));
    while (transaction_next(t->transaction, &at, &recipient, &place))
        if (!*place)
            n += put_path(out + n, "X-Postern-To", recipient);
    return n;
}
