/* obvious: the DATA stream once more, as slowly and as plainly as RFC 5321 4.1.1.4 and 4.5.2 can be said,
 * to compare body with. */
#ifndef POSTERN_FUZZ_OBVIOUS_H
#define POSTERN_FUZZ_OBVIOUS_H

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct message {
    bool ended;   /* CRLF.CRLF came; else nothing below is set */
    size_t taken; /* of the input, the end included */
    char *bytes;  /* as stored, from malloc */
    size_t n;
    uint64_t size; /* as RFC 1870 4 counts */
    unsigned hops;
    bool has_nul, has_bare_lf;
};

/* The first place of `what` in [start, end); NULL: nowhere. */
static inline const char *obvious_find(const char *start, const char *end, const char *what)
{
    size_t n = strlen(what);

    for (; (size_t)(end - start) >= n; start++)
        if (!memcmp(start, what, n))
            return start;
    return NULL;
}

static inline bool obvious_begins(const char *line, size_t n, const char *field)
{
    for (; *field; line++, n--, field++)
        if (!n || tolower((unsigned char)*line) != *field)
            return false;
    return true;
}

/* Received and Delivered-To fields of a stored message's header. */
static inline unsigned obvious_hops(const char *p, size_t n)
{
    const char *const end = p + n;
    unsigned hops = 0;

    while (p < end && *p != '\n') {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        size_t line = (size_t)((lf ? lf : end) - p);
        hops += lf && (obvious_begins(p, line, "received:") || obvious_begins(p, line, "delivered-to:"));
        p = lf ? lf + 1 : end;
    }
    return hops;
}

static inline struct message obvious_message(const char *in, size_t n)
{
    struct message m = {0};
    const char *line = in, *stop;

    if (n >= 3 && !memcmp(in, ".\r\n", 3)) {
        m.ended = true;
        m.taken = 3;
        m.bytes = malloc(1);
        return m;
    }
    stop = obvious_find(in, in + n, "\r\n.\r\n");
    if (!stop)
        return m;
    m.ended = true;
    m.taken = (size_t)(stop - in) + 5;
    stop += 2; /* the line end in front of the dot is the message's */
    m.bytes = malloc((size_t)(stop - in));
    m.has_nul = memchr(in, 0, (size_t)(stop - in));
    for (const char *p = in; p < stop; p++)
        m.has_bare_lf |= *p == '\n' && (p == in || p[-1] != '\r');
    while (line < stop) {
        const char *crlf = obvious_find(line, stop, "\r\n");
        if (*line == '.')
            line++;
        size_t length = (size_t)(crlf - line);
        memcpy(m.bytes + m.n, line, length);
        m.n += length;
        m.bytes[m.n++] = '\n';
        m.size += length + 2;
        line = crlf + 2;
    }
    m.hops = obvious_hops(m.bytes, m.n);
    return m;
}

#endif
