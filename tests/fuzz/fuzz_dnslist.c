/* The syntax of lists, in all octets but the first four; these are an answer, read by the lists' filters
 * and compared with the plainest reading, octet by octet of the address. */
#include "tests/fuzz/fuzz.h"

#include "dns/dnslist.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static unsigned number_at(const char **p)
{
    unsigned n = 0;

    while (is_digit(**p))
        n = n * 10 + (unsigned)(*(*p)++ - '0');
    return n;
}

/* One of four: a number, or numbers and ranges in brackets. The filter is known to be well formed. */
static bool obvious_octet(const char **p, unsigned octet)
{
    bool in_brackets = **p == '[', found = false;

    *p += in_brackets;
    for (;;) {
        unsigned low = number_at(p), high = low;
        if (in_brackets && !strncmp(*p, "..", 2)) {
            *p += 2;
            high = number_at(p);
        }
        found |= low <= octet && octet <= high;
        if (!in_brackets || **p != ';')
            break;
        ++*p;
    }
    *p += in_brackets;
    return found;
}

static bool obvious_match(struct slice filter, const unsigned char a[4])
{
    char *text = calloc(1, filter.n + 1);
    bool all = true;

    MUST(text);
    memcpy(text, filter.p, filter.n);
    const char *p = text;
    for (int i = 0; i < 4; i++) {
        all &= obvious_octet(&p, a[i]);
        MUST(*p == (i < 3 ? '.' : 0));
        p += i < 3;
    }
    free(text);
    return all;
}

/* RFC 5782 2.1, and the lists' own pages. */
static enum dnslist_meaning obvious_meaning(const struct dnslist *list, const unsigned char a[4])
{
    unsigned rest = (unsigned)a[1] << 16 | (unsigned)a[2] << 8 | a[3];

    if (a[0] != 127 || rest == 255 || rest >> 8 == 0xffff)
        return DNSLIST_WRONG;
    if (rest == 1)
        return DNSLIST_NOTHING;
    return !list->filter.n || obvious_match(list->filter, a) ? DNSLIST_LISTED : DNSLIST_NOTHING;
}

static void check_answer(const struct dnslist *list, const unsigned char a[4])
{
    MUST(dnslist_read(list, a) == obvious_meaning(list, a));
}

static bool is_within(struct slice part, struct slice whole)
{
    return !part.n || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

/* A list that was understood, written down again, means the same. */
static void check_again(const struct dnslist *list)
{
    char text[8192];
    struct dnslists set;
    int n = snprintf(text, sizeof text, "%.*s%s%.*s*%d", (int)list->zone.n, list->zone.p,
                     list->filter.n ? "=" : "", (int)list->filter.n, list->filter.n ? list->filter.p : "",
                     list->weight);

    MUST(n > 0 && (size_t)n < sizeof text);
    MUST(!dnslist_parse((struct slice){text, (size_t)n}, &set) && set.n == 1);
    MUST(is_same(set.list[0].zone, list->zone) && set.list[0].weight == list->weight);
    MUST(set.list[0].filter.n == list->filter.n);
}

static void check_lists(struct slice text, const struct dnslists *set)
{
    MUST(set->n <= DNSLIST_MAX);
    for (size_t i = 0; i < set->n; i++) {
        const struct dnslist *list = &set->list[i];
        MUST(is_within(list->zone, text) && is_within(list->filter, text));
        MUST(list->zone.n && list->zone.n <= DNSLIST_ZONE);
        MUST(list->weight >= -DNSLIST_WEIGHT && list->weight <= DNSLIST_WEIGHT);
        check_again(list);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dnslists set;

    if (size < 4)
        return 0;
    struct slice text = copy_of(data + 4, size - 4);
    const char *why = dnslist_parse(text, &set);
    MUST(!why || *why);
    if (!why)
        check_lists(text, &set);
    for (size_t i = 0; !why && i < set.n; i++) {
        check_answer(&set.list[i], data);
        check_answer(&set.list[i], (unsigned char[4]){127, 0, data[2] & 1, data[3]});
        for (unsigned k = 0; k < 256; k++)
            check_answer(&set.list[i], (unsigned char[4]){127, 0, 0, (unsigned char)k});
    }
    drop(text);
    return 0;
}
