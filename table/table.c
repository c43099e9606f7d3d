#include "table/table.h"

#include "base/fd.h"
#include "table/tinycdb.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLOTS = 16 }; /* slots of a hash table read at once; most chains are shorter */

void table_init(struct table *t, const char *path, struct table_buffer *buffer)
{
    t->buffer = buffer;
    t->path = path;
    t->fd = -1;
}

/* Reads exactly n bytes at `at`; a file that ends before is no whole cdb. */
static int read_at(const struct table *t, void *buf, size_t n, uint32_t at)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = pread(t->fd, (char *)buf + got, n - got, (off_t)at + (off_t)got);
        if (r < 0 && errno == EINTR)
            continue;
        if (r == 0)
            errno = EPROTO;
        if (r <= 0)
            return -1;
        got += (size_t)r;
    }
    return 0;
}

static int broken(void)
{
    errno = EPROTO;
    return -1;
}

/* The 256 hash tables must follow one another from the end of the records to the end of the file.
 * So a file cut short, at any byte, is known here. */
static int check_toc(struct table *t, uint64_t file_size)
{
    uint64_t at = cdb_unpack(t->buffer->toc);

    if (file_size > UINT32_MAX || at < TABLE_TOC)
        return broken();
    t->data_end = (uint32_t)at;
    for (size_t i = 0; i < TABLE_TOC; i += 8) {
        if (cdb_unpack(t->buffer->toc + i) != at)
            return broken();
        at += (uint64_t)cdb_unpack(t->buffer->toc + i + 4) * 8;
    }
    return at == file_size ? 0 : broken();
}

static int open_table(struct table *t)
{
    struct stat st;

    t->fd = open(t->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (t->fd < 0)
        return -1;
    if (!fstat(t->fd, &st)) {
        if (!S_ISREG(st.st_mode))
            broken();
        else if (!read_at(t, t->buffer->toc, sizeof t->buffer->toc, 0) && !check_toc(t, (uint64_t)st.st_size))
            return 0;
    }
    fd_close(t->fd);
    t->fd = -1;
    return -1;
}

/* Reads the record at `at`, as much of it as there is space for; *n is how much. */
static int read_record(struct table *t, uint32_t at, uint32_t *n)
{
    if (at < TABLE_TOC || t->data_end < 8 || at > t->data_end - 8)
        return broken();
    *n = t->data_end - at;
    if (*n > sizeof t->buffer->record)
        *n = sizeof t->buffer->record;
    if (read_at(t, t->buffer->record, *n, at))
        return -1;
    uint64_t key_len = cdb_unpack(t->buffer->record), value_len = cdb_unpack(t->buffer->record + 4);
    return at + 8 + key_len + value_len > t->data_end ? broken() : 0;
}

/* Compares the record at `at` with key. 1 with *value set, 0, or -1. */
static int match_record(struct table *t, uint32_t at, struct slice key, struct slice *value)
{
    uint32_t n;

    if (read_record(t, at, &n))
        return -1;
    uint32_t key_len = cdb_unpack(t->buffer->record), value_len = cdb_unpack(t->buffer->record + 4);
    if (key_len != key.n || 8 + (uint64_t)key_len > n || memcmp(t->buffer->record + 8, key.p, key.n))
        return 0;
    if (8 + (uint64_t)key_len + value_len > n)
        return broken(); /* longer than any value we know */
    *value = (struct slice){(const char *)t->buffer->record + 8 + key_len, value_len};
    return 1;
}

/* The key of the record that was read last is one that has this hash. */
static bool has_hash(const struct table *t, uint32_t hash)
{
    uint32_t key_len = cdb_unpack(t->buffer->record);

    return key_len <= sizeof t->buffer->record - 8 && cdb_hash(t->buffer->record + 8, key_len) == hash;
}

int table_find(struct table *t, struct slice key, struct slice *value)
{
    unsigned char slots[SLOTS * 8];

    if (t->fd < 0 && open_table(t))
        return -1;
    uint32_t hash = cdb_hash(key.p, (unsigned)key.n);
    const unsigned char *entry = t->buffer->toc + (hash & 255) * 8;
    uint32_t at = cdb_unpack(entry), count = cdb_unpack(entry + 4);
    if (!count)
        return 0;

    uint32_t slot = (hash >> 8) % count;
    for (uint32_t seen = 0; seen < count;) {
        uint32_t n = count - slot < SLOTS ? count - slot : SLOTS;
        if (read_at(t, slots, n * 8, at + slot * 8))
            return -1;
        for (uint32_t i = 0; i < n && seen < count; i++, seen++) {
            uint32_t found = cdb_unpack(slots + i * 8), where = cdb_unpack(slots + i * 8 + 4);
            if (!where)
                return 0;
            if ((found ^ hash) & 255)
                return broken(); /* it belongs to another hash table */
            if (found != hash)
                continue;
            int r = match_record(t, where, key, value);
            if (r)
                return r;
            if (!has_hash(t, hash))
                return broken(); /* perhaps it was our key */
        }
        slot = (slot + n) % count;
    }
    return 0;
}

int table_first(struct table *t, struct slice *key, struct slice *value)
{
    uint32_t n;

    if (t->fd < 0 && open_table(t))
        return -1;
    if (t->data_end == TABLE_TOC)
        return 0;
    if (read_record(t, TABLE_TOC, &n))
        return -1;
    uint64_t key_len = cdb_unpack(t->buffer->record), value_len = cdb_unpack(t->buffer->record + 4);
    if (8 + key_len + value_len > n)
        return broken();
    if (!key_len)
        return 0;
    *key = (struct slice){(const char *)t->buffer->record + 8, key_len};
    *value = slice_after(*key, key_len);
    value->n = value_len;
    return 1;
}

int table_is(struct table *t, const char *kind, struct slice *named)
{
    *named = (struct slice){"", 0};
    int r = table_find(t, *named, named);
    return r < 0 ? -1 : !r || slice_is(*named, kind);
}

const char *table_error(int error)
{
    return error == EPROTO ? "Not a whole table: compile it with postern-cdb" : strerror(error);
}

/* A part of the file that is read from front to back. */
struct reader {
    const struct table *t;
    uint64_t at, have; /* the part of the file that is in the block */
    uint64_t end;
    unsigned char block[65536];
};

static void begin_reading(struct reader *r, const struct table *t, uint64_t end)
{
    r->t = t;
    r->at = r->have = 0;
    r->end = end;
}

/* The n bytes at `at`; NULL with errno. */
static const unsigned char *look(struct reader *r, uint64_t at, size_t n)
{
    if (at + n > r->end) {
        errno = EPROTO;
        return NULL;
    }
    if (at < r->at || at + n > r->at + r->have) {
        r->at = at;
        r->have = r->end - at < sizeof r->block ? r->end - at : sizeof r->block;
        if (read_at(r->t, r->block, r->have, (uint32_t)at))
            return NULL;
    }
    return r->block + (at - r->at);
}

/* How many pairs of a hash and a place there are, and a sum of them that does not depend on their order. Each
 * pair is mixed (splitmix64) so that no two are one summand, and those of several that were exchanged add up
 * to another sum, but for one in 2^64. */
struct tally {
    int64_t n;
    uint64_t sum;
};

static void count(struct tally *tally, uint32_t hash, uint64_t at)
{
    uint64_t x = (uint64_t)hash << 32 | at;

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    tally->sum += x ^ x >> 31;
    tally->n++;
}

/* All records, one behind the other. */
static int count_records(struct reader *r, struct tally *tally)
{
    for (uint64_t at = TABLE_TOC, n; at < r->end; at += n) {
        const unsigned char *record = look(r, at, 8);
        if (!record)
            return -1;
        uint32_t key_len = cdb_unpack(record);
        n = 8 + (uint64_t)key_len + cdb_unpack(record + 4);
        if (n > TABLE_RECORD)
            return broken(); /* longer than any we know: a lookup would say the same */
        if (!(record = look(r, at, n)))
            return -1;
        count(tally, cdb_hash(record + 8, key_len), at);
    }
    return 0;
}

/* The slots of one hash table. A lookup begins at a slot's home and ends at the first free one: from its home
 * on, round the end, no slot may be free. */
static int count_slots(struct reader *r, unsigned chunk, struct tally *tally)
{
    const unsigned char *entry = r->t->buffer->toc + chunk * 8;
    uint32_t at = cdb_unpack(entry), slots = cdb_unpack(entry + 4);
    uint32_t run = 0, round = slots; /* where the taken ones begin; first home of those behind the end */

    for (uint32_t i = 0; i < slots; i++) {
        const unsigned char *slot = look(r, at + (uint64_t)i * 8, 8);
        if (!slot)
            return -1;
        uint32_t hash = cdb_unpack(slot), where = cdb_unpack(slot + 4), home = (hash >> 8) % slots;
        if (!where) {
            run = i + 1;
            continue;
        }
        if ((hash & 255) != chunk || (home > i ? run > 0 : home < run))
            return broken();
        if (home > i && home < round)
            round = home;
        count(tally, hash, where);
    }
    return round < run ? broken() : 0;
}

int64_t table_check(struct table *t)
{
    const unsigned char *last = t->buffer->toc + TABLE_TOC - 8;
    struct tally records = {0, 0}, slots = {0, 0};
    struct reader r;

    if (t->fd < 0 && open_table(t))
        return -1;
    begin_reading(&r, t, t->data_end);
    if (count_records(&r, &records))
        return -1;
    begin_reading(&r, t, cdb_unpack(last) + (uint64_t)cdb_unpack(last + 4) * 8);
    for (unsigned chunk = 0; chunk < 256; chunk++)
        if (count_slots(&r, chunk, &slots))
            return -1;
    return records.n == slots.n && records.sum == slots.sum ? records.n : broken();
}
