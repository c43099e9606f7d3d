#include "base/lines.h"

#include <errno.h>
#include <unistd.h>

void lines_begin(struct lines *l, int fd)
{
    l->fd = fd;
    l->ended = false;
    l->at = l->have = 0;
}

/* Reads more behind the octets that are there. */
static int fill(struct lines *l)
{
    ssize_t r;

    if (l->at) {
        memmove(l->buffer, l->buffer + l->at, l->have - l->at);
        l->have -= l->at;
        l->at = 0;
    }
    do
        r = read(l->fd, l->buffer + l->have, sizeof l->buffer - l->have);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return -1;
    l->ended = !r;
    l->have += (size_t)r;
    return 0;
}

/* The octets up to the next line end; false where that was not read yet. */
static bool find_end(const struct lines *l, size_t searched, size_t *n)
{
    const char *start = l->buffer + l->at, *end = memchr(start + searched, '\n', l->have - l->at - searched);

    *n = end ? (size_t)(end - start) + 1 : l->have - l->at;
    return end || l->ended;
}

/* The rest of a line that has no space. */
static int skip(struct lines *l)
{
    size_t n;

    do {
        l->at = l->have = 0;
        if (fill(l) < 0)
            return -1;
    } while (!find_end(l, 0, &n));
    l->at += n;
    return 0;
}

int lines_next(struct lines *l, struct slice *line, bool *whole)
{
    size_t n = 0;

    *whole = true;
    while (!find_end(l, n, &n)) {
        if (l->have - l->at == sizeof l->buffer) {
            *whole = false;
            *line = (struct slice){l->buffer, 0};
            return skip(l) < 0 ? -1 : 1;
        }
        if (fill(l) < 0)
            return -1;
    }
    *line = (struct slice){l->buffer + l->at, n};
    l->at += n;
    return n > 0;
}
