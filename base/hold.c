#include "base/hold.h"

#include "base/fd.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

void hold_init(struct hold *h)
{
    h->fd = -1;
    h->spilled = 0;
    h->used = 0;
}

static int open_file(void)
{
    FILE *file = tmpfile();
    return file ? fileno(file) : -1;
}

/* The bytes in memory go to the end of the file. */
static int spill(struct hold *h)
{
    if (h->fd < 0 && (h->fd = open_file()) < 0)
        return -1;
    if (fd_write(h->fd, h->rest, h->used) < 0)
        return -1;
    h->spilled += h->used;
    h->used = 0;
    return 0;
}

int hold_write(struct hold *h, const char *bytes, size_t n)
{
    while (n) {
        if (h->used == HOLD_BLOCK && spill(h) < 0)
            return -1;
        size_t part = n < HOLD_BLOCK - h->used ? n : HOLD_BLOCK - h->used;
        memcpy(h->rest + h->used, bytes, part);
        h->used += part;
        bytes += part;
        n -= part;
    }
    return 0;
}

static int read_back(struct hold *h, uint64_t at, struct slice *piece)
{
    uint64_t left = h->spilled - at;
    ssize_t r;

    do
        r = pread(h->fd, h->back, left < HOLD_BLOCK ? left : HOLD_BLOCK, (off_t)at);
    while (r < 0 && errno == EINTR);
    if (r <= 0) {
        errno = r ? errno : EIO;
        return -1;
    }
    *piece = (struct slice){h->back, (size_t)r};
    return 1;
}

int hold_read(struct hold *h, uint64_t at, struct slice *piece)
{
    if (at < h->spilled)
        return read_back(h, at, piece);
    *piece = slice_after((struct slice){h->rest, h->used}, (size_t)(at - h->spilled));
    return piece->n > 0;
}
