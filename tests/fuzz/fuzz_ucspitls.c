/* A UCSPI-TLS server's answer, from the third octet on; the first tells its pieces, the second whether
 * much goes before it. The pieces must not matter, and the facts kept are those of the plainest reading. */
#include "tests/fuzz/fuzz.h"

#include "net/ucspitls.h"

static bool is_plain(char c)
{
    return c && strchr("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._:+-", c);
}

static void check_clean(const char *text, size_t space)
{
    MUST(memchr(text, 0, space));
    for (; *text; text++)
        MUST(*text == '_' || is_plain(*text));
}

static void check_facts(const struct ucspitls_facts *f)
{
    check_clean(f->protocol, sizeof f->protocol);
    check_clean(f->cipher, sizeof f->cipher);
    check_clean(f->server_name, sizeof f->server_name);
}

struct result {
    struct ucspitls_answer answer;
    struct ucspitls_facts facts;
    size_t taken;
};

/* Pieces by chance; seed 0: all at once. */
static void feed(struct result *r, struct slice in, uint32_t seed)
{
    memset(r, 0, sizeof *r);
    while (in.n && !r->answer.done && !r->answer.bad) {
        size_t n = in.n;
        seed = seed ? seed * 1103515245 + 12345 : 0;
        if (seed && seed / 65536 % 61 < n)
            n = seed / 65536 % 61;
        struct slice piece = copy_of(in.p, n);
        size_t taken = ucspitls_feed(&r->answer, piece.p, n, &r->facts);
        drop(piece);
        MUST(taken <= n && (taken == n || r->answer.done || r->answer.bad));
        check_facts(&r->facts);
        r->taken += taken;
        in = slice_after(in, taken);
    }
}

static void keep(char *out, size_t space, const char *value)
{
    memset(out, 0, space);
    for (size_t i = 0; i < space - 1 && value[i]; i++)
        out[i] = is_plain(value[i]) ? value[i] : '_';
}

static void read_plainly(const char *entry, struct ucspitls_facts *f)
{
    static const char protocol[] = "SSL_PROTOCOL=", cipher[] = "SSL_CIPHER=",
                      name[] = "SSL_TLS_SNI_SERVERNAME=";

    if (strlen(entry) > UCSPITLS_ENTRY)
        return;
    if (!strncmp(entry, protocol, sizeof protocol - 1))
        keep(f->protocol, sizeof f->protocol, entry + sizeof protocol - 1);
    if (!strncmp(entry, cipher, sizeof cipher - 1))
        keep(f->cipher, sizeof f->cipher, entry + sizeof cipher - 1);
    if (!strncmp(entry, name, sizeof name - 1))
        keep(f->server_name, sizeof f->server_name, entry + sizeof name - 1);
}

/* Strings, one behind the other, up to an empty one. Returns the length of all; 0: it does not end. */
static size_t obvious_answer(struct slice in, struct ucspitls_facts *f)
{
    size_t at = 0;

    memset(f, 0, sizeof *f);
    while (at < in.n && memchr(in.p + at, 0, in.n - at)) {
        const char *entry = in.p + at;
        at += strlen(entry) + 1;
        if (!*entry)
            return at;
        read_plainly(entry, f);
    }
    return 0;
}

static bool is_told_alike(const struct ucspitls_facts *a, const struct ucspitls_facts *b)
{
    return !strcmp(a->protocol, b->protocol) && !strcmp(a->cipher, b->cipher) &&
           !strcmp(a->server_name, b->server_name);
}

/* With so much in front of it that its end may come too late. */
static struct slice make_long(struct slice in)
{
    size_t before = UCSPITLS_LONGEST - 100;
    char *bytes = malloc(before + in.n);

    MUST(bytes);
    memset(bytes, 'x', before);
    bytes[before - 1] = 0;
    memcpy(bytes + before, in.p, in.n);
    return (struct slice){bytes, before + in.n};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct result whole, parts;
    struct ucspitls_facts want;

    if (size < 2)
        return 0;
    struct slice rest = {(const char *)data + 2, size - 2};
    struct slice in = data[1] == 'L' ? make_long(rest) : copy_of(rest.p, rest.n);
    feed(&whole, in, 0);
    feed(&parts, in, 1 + data[0]);
    MUST(whole.taken == parts.taken && whole.answer.done == parts.answer.done &&
         whole.answer.bad == parts.answer.bad && is_told_alike(&whole.facts, &parts.facts));

    size_t end = obvious_answer(in, &want);
    bool good = end && end <= UCSPITLS_LONGEST;
    MUST((whole.answer.done && !whole.answer.bad) == good);
    MUST(whole.answer.bad == (!good && in.n > UCSPITLS_LONGEST));
    if (good)
        MUST(whole.taken == end && is_told_alike(&whole.facts, &want));
    drop(in);
    return 0;
}
