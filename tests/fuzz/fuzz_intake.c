/* An envelope as qmail-queue gets it, from the second octet on; the first says in what pieces it comes. How
 * it is cut must not matter, and what is heard of it is what the plainest reading finds. */
#define _GNU_SOURCE /* O_DIRECT: each write to the pipe is read by itself */
#include "tests/fuzz/fuzz.h"

#include "store/intake.h"

#include <fcntl.h>
#include <unistd.h>

enum { PIECES = 8, LONGEST = 8192 };

struct result {
    enum intake_result end;
    bool has_sender;
    size_t n; /* of what was heard: each address behind its letter, with its NUL */
    char heard[LONGEST];
};

static void hear(struct result *r, char letter, struct slice address)
{
    MUST(address.n <= INTAKE_ADDRESS && r->n + address.n + 2 <= sizeof r->heard);
    r->heard[r->n++] = letter;
    memcpy(r->heard + r->n, address.p, address.n);
    r->n += address.n;
    r->heard[r->n++] = 0;
}

static void hear_sender(void *context, struct slice address)
{
    struct result *r = context;

    MUST(!r->has_sender);
    r->has_sender = true;
    hear(r, 'F', address);
}

static void hear_recipient(void *context, struct slice address)
{
    struct result *r = context;

    MUST(r->has_sender && address.n);
    hear(r, 'T', address);
}

static void put(int fd, struct slice in, unsigned seed)
{
    for (int i = 1; seed && i < PIECES && in.n; i++) {
        size_t n = in.n < seed % 13 + 1 ? in.n : seed % 13 + 1;
        MUST(write(fd, in.p, n) == (ssize_t)n);
        in = slice_after(in, n);
        seed = seed * 69069 + 1;
    }
    MUST(write(fd, in.p, in.n) == (ssize_t)in.n);
}

static void read_cut(struct result *r, struct slice text, unsigned seed)
{
    static struct intake in;
    int ends[2];

    MUST(!pipe2(ends, O_DIRECT | O_NONBLOCK));
    put(ends[1], text, seed);
    close(ends[1]);
    r->has_sender = false;
    r->n = 0;
    intake_init(&in, INT64_MAX);
    r->end = intake_envelope(&in, ends[0], hear_sender, hear_recipient, r);
    close(ends[0]);
}

static enum intake_result take(struct result *r, struct slice *text)
{
    const char *end = memchr(text->p, 0, text->n);
    size_t n = end ? (size_t)(end - text->p) : text->n;

    if (n > 1 + INTAKE_ADDRESS)
        return INTAKE_LONG;
    if (!end)
        return INTAKE_CUT_OFF;
    memcpy(r->heard + r->n, text->p, n + 1);
    *text = slice_after(*text, n + 1);
    if (r->n && n == 1)
        return INTAKE_NO_RECIPIENT;
    r->n += n + 1;
    return INTAKE_DONE;
}

static enum intake_result read_plainly(struct result *r, struct slice text)
{
    enum intake_result end;
    unsigned recipients = 0;

    r->n = 0;
    if (!text.n || *text.p != 'F')
        return text.n ? INTAKE_NO_SENDER : INTAKE_CUT_OFF;
    if ((end = take(r, &text)))
        return end;
    for (; text.n && *text.p == 'T'; recipients++)
        if ((end = take(r, &text)))
            return end;
    if (!text.n)
        return INTAKE_CUT_OFF;
    if (*text.p)
        return INTAKE_NO_RECIPIENT;
    return recipients ? INTAKE_DONE : INTAKE_NO_RECIPIENTS;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct result whole, parts, plain;

    if (!size || size > LONGEST)
        return 0;
    struct slice text = copy_of(data + 1, size - 1);
    read_cut(&whole, text, 0);
    read_cut(&parts, text, 1 + data[0]);
    plain.end = read_plainly(&plain, text);
    MUST(whole.end == plain.end && parts.end == plain.end);
    MUST(is_same((struct slice){whole.heard, whole.n}, (struct slice){plain.heard, plain.n}));
    MUST(is_same((struct slice){parts.heard, parts.n}, (struct slice){plain.heard, plain.n}));
    drop(text);
    return 0;
}
