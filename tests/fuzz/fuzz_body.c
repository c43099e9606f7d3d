/* A message as it comes over the wire. The first two octets tell its pieces. The rest is taken as it
 * stands, then with an end behind it, then as the text of a message that is sent and must arrive. */
#include "tests/fuzz/fuzz.h"

#include "mail/body.h"
#include "tests/fuzz/obvious.h"

struct run {
    struct body body;
    char *bytes;
    size_t n, taken;
};

static size_t next_piece(uint32_t *seed, size_t left)
{
    if (!*seed)
        return left;
    *seed = *seed * 1103515245 + 12345;
    size_t n = 1 + (*seed >> 16) % (1 + (*seed >> 8) % 37);
    return n < left ? n : left;
}

/* Feeds the input in pieces (seed 0: in one), each in a buffer of its own, in place or not. */
static struct run feed(const char *in, size_t n, uint32_t seed, bool in_place)
{
    struct run r = {.bytes = malloc(n + BODY_HEADROOM)};

    body_init(&r.body);
    while (r.taken < n && r.body.state != BODY_END) {
        size_t piece = next_piece(&seed, n - r.taken), made;
        char *buffer = malloc(piece + BODY_HEADROOM), *elsewhere = malloc(piece + BODY_HEADROOM);
        char *out = in_place ? buffer : elsewhere;
        memcpy(buffer + BODY_HEADROOM, in + r.taken, piece);
        size_t taken = body_step(&r.body, buffer + BODY_HEADROOM, piece, out, &made);
        MUST(taken <= piece && made <= taken + BODY_HEADROOM);
        MUST(taken == piece || r.body.state == BODY_END);
        MUST(!memcmp(buffer + BODY_HEADROOM + taken, in + r.taken + taken, piece - taken));
        memcpy(r.bytes + r.n, out, made);
        r.n += made;
        r.taken += taken;
        free(buffer);
        free(elsewhere);
    }
    return r;
}

static void check_equal(const struct run *a, const struct run *b)
{
    MUST(a->taken == b->taken && a->n == b->n && !memcmp(a->bytes, b->bytes, a->n));
    MUST(a->body.state == b->body.state && a->body.size == b->body.size && a->body.hops == b->body.hops);
    MUST(a->body.has_nul == b->body.has_nul && a->body.has_bare_lf == b->body.has_bare_lf);
    MUST(a->body.in_header == b->body.in_header);
}

static void check_reference(const char *in, size_t n, const struct run *r)
{
    struct message m = obvious_message(in, n);

    MUST(m.ended == (r->body.state == BODY_END));
    if (m.ended) {
        MUST(m.taken == r->taken && m.n == r->n && !memcmp(m.bytes, r->bytes, m.n));
        MUST(m.size == r->body.size && m.hops == r->body.hops);
        MUST(m.has_nul == r->body.has_nul && m.has_bare_lf == r->body.has_bare_lf);
        free(m.bytes);
    }
}

static void check_stream(const char *in, size_t n, uint32_t seed)
{
    struct run whole = feed(in, n, 0, true), pieces = feed(in, n, seed, true),
               elsewhere = feed(in, n, seed + 1, false);

    check_equal(&whole, &pieces);
    check_equal(&whole, &elsewhere);
    check_reference(in, n, &whole);
    free(whole.bytes);
    free(pieces.bytes);
    free(elsewhere.bytes);
}

/* Sends text as an honest client does: lines end in CRLF, dots are stuffed. */
static size_t encode(char *out, const char *text, size_t n)
{
    size_t len = 0;

    for (size_t i = 0; i < n; i++) {
        if (text[i] == '.' && (!i || text[i - 1] == '\n'))
            out[len++] = '.';
        if (text[i] == '\n')
            out[len++] = '\r';
        out[len++] = text[i];
    }
    if (n && text[n - 1] != '\n') {
        out[len++] = '\r';
        out[len++] = '\n';
    }
    memcpy(out + len, ".\r\n", 3);
    return len + 3;
}

/* Any text arrives as it was sent, but for a CR before a line end. */
static void check_transparent(const char *data, size_t n, uint32_t seed)
{
    char *text = malloc(n + 1), *sent = malloc(2 * n + 5);
    size_t len = 0;

    for (size_t i = 0; i < n; i++) {
        if (data[i] == '\n')
            while (len && text[len - 1] == '\r')
                len--;
        text[len++] = data[i];
    }
    while (len && text[len - 1] == '\r')
        len--;
    size_t on_wire = encode(sent, text, len);
    struct run r = feed(sent, on_wire, seed, true);
    bool added = len && text[len - 1] != '\n';
    MUST(r.body.state == BODY_END && r.taken == on_wire);
    MUST(r.n == len + added && !memcmp(r.bytes, text, len) && (!added || r.bytes[len] == '\n'));
    MUST(!r.body.has_bare_lf && r.body.has_nul == !!memchr(text, 0, len));
    free(r.bytes);
    free(text);
    free(sent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char end[] = "\r\n.\r\n";

    if (size < 2)
        return 0;
    uint32_t seed = 1U + data[0] + 256U * data[1];
    size_t n = size - 2;
    char *in = malloc(n + sizeof end - 1);
    memcpy(in, data + 2, n);
    memcpy(in + n, end, sizeof end - 1);
    check_stream(in, n, seed);
    check_stream(in, n + sizeof end - 1, seed);
    check_transparent(in, n, seed);
    free(in);
    return 0;
}
