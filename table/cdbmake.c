#include "table/cdbmake.h"

#include "base/fd.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

enum { RUN = 255 };

struct record {
    uint32_t hash, at;
};

/* Some of the records of one hash table, in the order they came. */
struct cdbmake_run {
    struct cdbmake_run *next;
    struct record record[RUN];
};

static void put_number(unsigned char *out, uint32_t n)
{
    out[0] = (unsigned char)n;
    out[1] = (unsigned char)(n >> 8);
    out[2] = (unsigned char)(n >> 16);
    out[3] = (unsigned char)(n >> 24);
}

static uint32_t get_number(const unsigned char *in)
{
    return in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

static int read_all(int fd, void *buffer, size_t n, uint32_t at)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = pread(fd, (char *)buffer + got, n - got, (off_t)at + (off_t)got);
        if (r < 0 && errno == EINTR)
            continue;
        if (!r)
            errno = EIO; /* somebody cut it */
        if (r <= 0)
            return -1;
        got += (size_t)r;
    }
    return 0;
}

static int flush(struct cdbmake *m)
{
    size_t n = m->used;

    m->used = 0;
    return fd_write(m->fd, m->block, n);
}

int cdbmake_begin(struct cdbmake *m, int fd)
{
    memset(m, 0, sizeof *m - sizeof m->block);
    m->fd = fd;
    m->at = CDBMAKE_START;
    return lseek(fd, CDBMAKE_START, SEEK_SET) < 0 ? -1 : 0;
}

static int remember(struct cdbmake *m, uint32_t hash)
{
    struct cdbmake_list *list = &m->lists[hash & 255];

    if (!(list->n % RUN)) {
        struct cdbmake_run *more = malloc(sizeof *more);
        if (!more)
            return -1;
        more->next = NULL;
        *(list->last ? &list->last->next : &list->first) = more;
        list->last = more;
    }
    list->last->record[list->n++ % RUN] = (struct record){hash, m->at};
    m->records++;
    return 0;
}

int cdbmake_add(struct cdbmake *m, struct slice key, struct slice value)
{
    const size_t n = 8 + key.n + value.n;
    uint32_t hash = 5381;

    /* Behind the records there are 16 octets for each. */
    if (key.n > CDBMAKE_KEY || n > sizeof m->block || m->at + n + (m->records + 1) * 16 > UINT32_MAX) {
        errno = EFBIG;
        return -1;
    }
    if (n > sizeof m->block - m->used && flush(m) < 0)
        return -1;
    unsigned char *out = m->block + m->used;
    put_number(out, (uint32_t)key.n);
    put_number(out + 4, (uint32_t)value.n);
    for (size_t i = 0; i < key.n; i++) {
        out[8 + i] = (unsigned char)key.p[i];
        hash = hash * 33 ^ out[8 + i];
    }
    if (value.n)
        memcpy(out + 8 + key.n, value.p, value.n);
    if (remember(m, hash) < 0)
        return -1;
    m->used += n;
    m->at += (uint32_t)n;
    return 0;
}

int cdbmake_key(const struct cdbmake *m, uint32_t at, char key[CDBMAKE_KEY])
{
    unsigned char head[8];

    if (read_all(m->fd, head, sizeof head, at) < 0)
        return -1;
    uint32_t n = get_number(head);
    if (n > CDBMAKE_KEY) {
        errno = EIO; /* somebody wrote there */
        return -1;
    }
    return read_all(m->fd, key, n, at + 8) < 0 ? -1 : (int)n;
}

/* 1, 0 or -1. */
static int is_same_key(const struct cdbmake *m, uint32_t one, uint32_t other)
{
    char key[CDBMAKE_KEY], same[CDBMAKE_KEY];
    int n = cdbmake_key(m, one, key), k = cdbmake_key(m, other, same);

    if (n < 0 || k < 0)
        return -1;
    return n == k && !memcmp(key, same, (size_t)n);
}

/* Puts a record into the first free slot from its home on; or tells that its key is there already. */
static int put_slot(const struct cdbmake *m, unsigned char *slots, uint32_t count, struct record p,
                    cdbmake_repeat *repeat, void *context)
{
    uint32_t i = (p.hash >> 8) % count, other;

    for (; (other = get_number(slots + 8 * (size_t)i + 4)); i = i + 1 == count ? 0 : i + 1) {
        int same = get_number(slots + 8 * (size_t)i) == p.hash ? is_same_key(m, other, p.at) : 0;
        if (same)
            return same < 0 ? -1 : repeat(context, other, p.at);
    }
    put_number(slots + 8 * (size_t)i, p.hash);
    put_number(slots + 8 * (size_t)i + 4, p.at);
    return 0;
}

/* One hash table, with twice as many slots as records. */
static int write_table(const struct cdbmake *m, const struct cdbmake_list *list, unsigned char *slots,
                       cdbmake_repeat *repeat, void *context)
{
    const struct cdbmake_run *run = list->first;
    const uint32_t count = list->n * 2;

    memset(slots, 0, (size_t)count * 8);
    for (uint32_t i = 0; i < list->n; i++) {
        if (put_slot(m, slots, count, run->record[i % RUN], repeat, context) < 0)
            return -1;
        if (i % RUN == RUN - 1)
            run = run->next;
    }
    return fd_write(m->fd, slots, (size_t)count * 8);
}

int cdbmake_finish(struct cdbmake *m, cdbmake_repeat *repeat, void *context)
{
    unsigned char toc[CDBMAKE_START];
    uint32_t most = 0, at = m->at;
    int r = flush(m);

    for (int i = 0; i < 256; i++)
        most = m->lists[i].n > most ? m->lists[i].n : most;
    unsigned char *slots = malloc((size_t)most * 16 + 1);
    if (!slots)
        return -1;
    for (int i = 0; i < 256 && !r; i++) {
        put_number(toc + 8 * i, at);
        put_number(toc + 8 * i + 4, m->lists[i].n * 2);
        at += m->lists[i].n * 16;
        r = write_table(m, &m->lists[i], slots, repeat, context);
    }
    free(slots);
    if (r < 0 || lseek(m->fd, 0, SEEK_SET) < 0)
        return -1;
    return fd_write(m->fd, toc, sizeof toc);
}
