#include "mail/address.h"

#include "base/ip.h"

#include <assert.h>
#include <limits.h>

static_assert(ADDRESS_LOCAL <= UCHAR_MAX && ADDRESS_DOMAIN <= UCHAR_MAX, "lengths in struct address");
static_assert(ADDRESS_FMT >= ADDRESS_PATH - 2, "a path without its brackets");

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
}

/* atext of RFC 5322 3.2.3, ASCII only. */
static bool is_atext(char c)
{
    static const bool others[128] = {
        ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1,
        ['+'] = 1, ['-'] = 1, ['/'] = 1, ['='] = 1, ['?'] = 1, ['^'] = 1,  ['_'] = 1,
        ['`'] = 1, ['{'] = 1, ['|'] = 1, ['}'] = 1, ['~'] = 1};
    return is_alnum(c) || ((unsigned char)c < sizeof others && others[(unsigned char)c]);
}

/* A copy in lower case, in one go: a compiler of tables does hardly anything else. */
static void put_lower(char *out, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = slice_lower(p[i]);
}

size_t address_utf8(struct slice s)
{
    if (!s.n)
        return 0;
    unsigned char c = (unsigned char)s.p[0];
    size_t n = c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (!n || n > s.n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if (((unsigned char)s.p[i] & 0xc0) != 0x80)
            return 0;
    unsigned char second = (unsigned char)s.p[1];
    if ((c == 0xc2 && second < 0xa0) || (c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) ||
        (c == 0xf0 && second < 0x90) || (c == 0xf4 && second > 0x8f))
        return 0;
    return n;
}

static bool put_local(struct address *a, const char *p, size_t n)
{
    if (a->local_len + n > ADDRESS_LOCAL)
        return false;
    for (size_t i = 0; i < n; i++) /* musl's memcpy takes longer to begin than this to end */
        a->local[a->local_len++] = p[i];
    return true;
}

/* Takes a Quoted-string off s. */
static const char *parse_quoted(struct slice *s, struct address *a)
{
    *s = slice_after(*s, 1);
    for (;;) {
        size_t n = 1;
        if (!s->n)
            return "quote not closed";
        if (*s->p == '"')
            break;
        if (*s->p == '\\') {
            *s = slice_after(*s, 1);
            if (!s->n || *s->p < ' ' || *s->p > '~')
                return "bad backslash in quotes";
        } else if ((unsigned char)*s->p >= 0x80) {
            if (!(n = address_utf8(*s)))
                return "bad UTF-8";
            a->utf8 = true;
        } else if (*s->p < ' ' || *s->p > '~') {
            return "control character";
        }
        if (!put_local(a, s->p, n))
            return "path too long";
        *s = slice_after(*s, n);
    }
    *s = slice_after(*s, 1);
    return NULL;
}

/* The length of the Dot-string at the start of s; 0 if there is none. */
static size_t scan_dots(struct slice s, bool *utf8)
{
    size_t n = 0, step;
    bool atom = false; /* not at the start, nor behind a dot */

    for (; n < s.n; n += step) {
        step = 1;
        if (is_atext(s.p[n])) {
            atom = true;
        } else if (s.p[n] == '.' && atom) {
            atom = false;
        } else if ((step = address_utf8(slice_after(s, n)))) {
            atom = *utf8 = true;
        } else {
            break;
        }
    }
    return atom ? n : 0;
}

/* Takes a Dot-string off s. */
static const char *parse_dots(struct slice *s, struct address *a)
{
    size_t n = scan_dots(*s, &a->utf8);

    if (!n)
        return "bad local part";
    if (!put_local(a, s->p, n))
        return "path too long";
    *s = slice_after(*s, n);
    return NULL;
}

/* The length of the domain name at the start of s, 0 if there is none. Underscores pass, as
 * real hosts have them; *utf8 is set where a label is not ASCII. */
static size_t scan_name(struct slice s, bool *utf8)
{
    size_t n = 0, label = 0;

    while (n < s.n) {
        size_t step = 1;
        char c = s.p[n];
        if (c == '.') {
            if (!label || s.p[n - 1] == '-')
                return 0;
            label = 0;
            n++;
            continue;
        }
        if ((unsigned char)c >= 0x80) {
            if (!(step = address_utf8(slice_after(s, n))))
                return 0;
            *utf8 = true;
        } else if (!is_alnum(c) && c != '_' && (c != '-' || !label)) {
            break;
        }
        n += step;
        label += step;
        if (label > 63)
            return 0;
    }
    return label && s.p[n - 1] != '-' && n <= ADDRESS_DOMAIN ? n : 0;
}

/* The length of the name or address literal at the start of s, 0 if there is none. */
static size_t scan_domain(struct slice s, bool *utf8)
{
    struct ip ip;

    if (!s.n || *s.p != '[')
        return scan_name(s, utf8);
    const char *end = memchr(s.p, ']', s.n);
    if (!end)
        return 0;
    size_t n = (size_t)(end - s.p) + 1;
    return ip_literal_scan((struct slice){s.p, n}, &ip) ? n : 0;
}

bool address_is_domain(struct slice text)
{
    bool utf8 = false;
    size_t n = scan_domain(text, &utf8);
    return n && n == text.n;
}

/* Takes a source route, @one,@two: , off s (RFC 5321 C: accepted and ignored). */
static const char *drop_route(struct slice *s)
{
    bool utf8;

    while (s->n && *s->p == '@') {
        *s = slice_after(*s, 1);
        size_t n = scan_domain(*s, &utf8);
        if (!n || n == s->n)
            return "bad source route";
        char next = s->p[n];
        *s = slice_after(*s, n + 1);
        if (next == ':')
            return NULL;
        if (next != ',' || !s->n || *s->p != '@')
            break;
    }
    return "bad source route";
}

/* Takes Local-part [ "@" Domain ] off s. */
static const char *parse_mailbox(struct slice *s, struct address *a)
{
    if (!s->n)
        return "no address";
    const char *why = *s->p == '"' ? parse_quoted(s, a) : parse_dots(s, a);
    if (why)
        return why;
    if (!s->n || *s->p != '@')
        return NULL;
    *s = slice_after(*s, 1);
    size_t n = scan_domain(*s, &a->utf8);
    if (!n)
        return "bad domain";
    put_lower(a->domain, s->p, n);
    a->domain_len = (unsigned char)n;
    *s = slice_after(*s, n);
    return NULL;
}

const char *address_parse(struct slice text, enum address_kind kind, struct address *a, struct slice *rest)
{
    struct slice s = text;
    const char *why;

    a->local_len = a->domain_len = 0;
    a->utf8 = false;
    bool bracket = kind != ADDRESS_MAILBOX && s.n && *s.p == '<';
    if (bracket) {
        s = slice_after(s, 1);
        if (kind == ADDRESS_REVERSE && s.n && *s.p == '>')
            goto close;
        if (s.n && *s.p == '@' && (why = drop_route(&s)))
            return why;
    } else if (kind != ADDRESS_MAILBOX && s.n && *s.p == '"') {
        return "no angle brackets";
    }
    if ((why = parse_mailbox(&s, a)))
        return why;
    if (!a->domain_len &&
        (kind != ADDRESS_FORWARD || !slice_is((struct slice){a->local, a->local_len}, "postmaster")))
        return "no domain";
close:
    if (bracket) {
        if (!s.n || *s.p != '>')
            return "no closing bracket";
        s = slice_after(s, 1);
    }
    if (s.n && *s.p != ' ' && *s.p != '\t')
        return "garbage after the address";
    if (text.n - s.n + (bracket ? 0 : 2) > ADDRESS_PATH)
        return "path too long";
    *rest = s;
    return NULL;
}

/* In quotes, with a backslash where one must be. */
static size_t put_quoted(char *out, const char *local, size_t len)
{
    size_t n = 0;

    out[n++] = '"';
    for (size_t i = 0; i < len; i++) {
        if (local[i] == '"' || local[i] == '\\')
            out[n++] = '\\';
        out[n++] = local[i];
    }
    out[n++] = '"';
    return n;
}

/* Where its domain begins; 0: it has none. */
static size_t find_domain(struct slice text)
{
    size_t at = text.n;

    while (at && text.p[at - 1] != '@')
        at--;
    return at;
}

const char *address_parse_queued(struct slice text, const char *me, struct address *a)
{
    char whole[2 * ADDRESS_PATH + ADDRESS_DOMAIN];
    size_t at = find_domain(text);
    struct slice rest, domain = at ? slice_after(text, at) : slice_of(me);

    if (text.n + 2 > ADDRESS_PATH)
        return "path too long";
    if (!address_parse(text, ADDRESS_MAILBOX, a, &rest) && !rest.n)
        return NULL;
    if (!text.n || at == 1)
        return "bad local part";
    size_t n = put_quoted(whole, text.p, at ? at - 1 : text.n);
    whole[n++] = '@';
    memcpy(whole + n, domain.p, domain.n);
    const char *why = address_parse((struct slice){whole, n + domain.n}, ADDRESS_MAILBOX, a, &rest);
    return !why && rest.n ? "bad domain" : why;
}

/* Can stand as a Dot-string, without quotes. */
static bool is_dots(const struct address *a)
{
    bool utf8;
    return a->local_len && scan_dots((struct slice){a->local, a->local_len}, &utf8) == a->local_len;
}

size_t address_fmt(char *out, const struct address *a)
{
    size_t n = 0;

    if (address_is_null(a))
        return 0;
    if (is_dots(a)) {
        memcpy(out, a->local, a->local_len);
        n = a->local_len;
    } else {
        n = put_quoted(out, a->local, a->local_len);
    }
    if (a->domain_len) {
        out[n++] = '@';
        memcpy(out + n, a->domain, a->domain_len);
        n += a->domain_len;
    }
    return n;
}

size_t address_key(char *out, const struct address *a)
{
    size_t n = a->local_len;

    put_lower(out, a->local, n);
    out[n++] = '@';
    put_lower(out + n, a->domain, a->domain_len);
    return n + a->domain_len;
}
