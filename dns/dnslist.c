#include "dns/dnslist.h"

static bool is_between(struct slice *rest)
{
    return rest->n &&
           (*rest->p == ',' || *rest->p == ' ' || *rest->p == '\t' || *rest->p == '\r' || *rest->p == '\n');
}

static bool take(struct slice *rest, const char *token)
{
    if (!slice_starts(*rest, token))
        return false;
    *rest = slice_after(*rest, strlen(token));
    return true;
}

/* Takes a number off `rest`, of `digits` digits at most. */
static bool take_number(struct slice *rest, unsigned digits, unsigned *number)
{
    unsigned n = 0;

    for (*number = 0; n < rest->n && rest->p[n] >= '0' && rest->p[n] <= '9'; n++) {
        if (n == digits)
            return false;
        *number = *number * 10 + (unsigned)(rest->p[n] - '0');
    }
    *rest = slice_after(*rest, n);
    return n;
}

/* One number, or a range of them in brackets. */
static bool take_range(struct slice *rest, bool in_brackets, bool octets[256])
{
    unsigned low, high;

    if (!take_number(rest, 3, &low))
        return false;
    high = low;
    if (in_brackets && take(rest, "..") && !take_number(rest, 3, &high))
        return false;
    if (low > high || high > 255)
        return false;
    memset(octets + low, true, high - low + 1);
    return true;
}

static bool take_octets(struct slice *rest, bool octets[256])
{
    if (!take(rest, "["))
        return take_range(rest, false, octets);
    do {
        if (!take_range(rest, true, octets))
            return false;
    } while (take(rest, ";"));
    return take(rest, "]");
}

/* A filter: the values that each octet of an address may have. */
static bool scan_filter(struct slice text, bool octets[4][256])
{
    memset(octets, false, 4 * sizeof *octets);
    for (size_t i = 0; i < 4; i++)
        if ((i && !take(&text, ".")) || !take_octets(&text, octets[i]))
            return false;
    return !text.n;
}

static bool is_error_code(const unsigned char a[4])
{
    return a[0] == 127 && ((a[1] == 255 && a[2] == 255) || (a[1] == 0 && a[2] == 0 && a[3] == 255));
}

static bool counts(const unsigned char a[4])
{
    return a[0] == 127 && !is_error_code(a) && memcmp(a, "\177\0\0\1", 4);
}

/* Some answer that counts does match. */
static bool can_match(bool octets[4][256])
{
    if (!octets[0][127])
        return false;
    for (unsigned b = 0; b < 256; b++)
        for (unsigned c = 0; octets[1][b] && c < 256; c++)
            for (unsigned e = 0; octets[2][c] && e < 256; e++)
                if (octets[3][e] &&
                    counts((unsigned char[4]){127, (unsigned char)b, (unsigned char)c, (unsigned char)e}))
                    return true;
    return false;
}

static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* As in a host name, but an underscore is a letter. */
static bool is_zone(struct slice text)
{
    size_t label = 0;

    if (!text.n || text.n > DNSLIST_ZONE)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '.' ? !label || text.p[i - 1] == '-'
                     : !is_alphanumeric(c) && c != '_' && (c != '-' || !label))
            return false;
        label = c == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return label && text.p[text.n - 1] != '-';
}

static bool scan_weight(struct slice text, int *weight)
{
    unsigned number;
    int sign = take(&text, "-") ? -1 : 1;

    if (sign > 0)
        take(&text, "+");
    if (!take_number(&text, 4, &number) || number > DNSLIST_WEIGHT || text.n)
        return false;
    *weight = sign * (int)number;
    return true;
}

/* The text before `mark`; the text behind the mark goes to *behind, whose p is NULL where there is no
 * mark. */
static struct slice split(struct slice text, char mark, struct slice *behind)
{
    const char *at = memchr(text.p, mark, text.n);

    *behind = (struct slice){NULL, 0};
    if (!at)
        return text;
    *behind = slice_after(text, (size_t)(at - text.p) + 1);
    return (struct slice){text.p, (size_t)(at - text.p)};
}

static const char *parse_list(struct slice text, struct dnslist *list)
{
    struct slice weight;
    bool octets[4][256];

    text = split(text, '*', &weight);
    list->zone = split(text, '=', &list->filter);
    list->weight = 1;
    if (!is_zone(list->zone))
        return "bad zone";
    if (list->filter.p && !scan_filter(list->filter, octets))
        return "bad filter";
    if (list->filter.p && !can_match(octets))
        return "a filter that no answer can match";
    return weight.p && !scan_weight(weight, &list->weight) ? "bad weight" : NULL;
}

const char *dnslist_parse(struct slice text, struct dnslists *set)
{
    for (set->n = 0;;) {
        while (is_between(&text))
            text = slice_after(text, 1);
        if (!text.n)
            return NULL;
        struct slice word = text;
        while (text.n && !is_between(&text))
            text = slice_after(text, 1);
        word.n -= text.n;
        if (set->n == DNSLIST_MAX)
            return "too many lists";
        const char *why = parse_list(word, &set->list[set->n++]);
        if (why)
            return why;
    }
}

enum dnslist_meaning dnslist_read(const struct dnslist *list, const unsigned char a[4])
{
    bool octets[4][256];

    if (a[0] != 127 || is_error_code(a))
        return DNSLIST_WRONG;
    if (!counts(a))
        return DNSLIST_NOTHING;
    if (!list->filter.n)
        return DNSLIST_LISTED;
    scan_filter(list->filter, octets);
    return octets[0][a[0]] && octets[1][a[1]] && octets[2][a[2]] && octets[3][a[3]] ? DNSLIST_LISTED
                                                                                    : DNSLIST_NOTHING;
}
