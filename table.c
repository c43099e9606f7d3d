#include "table.h"

#include "tinycdb.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLOTS = 16 }; /* slots of a hash table read at once; most chains are shorter */

void table_init(struct table *t, const char *path, struct table_room *room)
{
    t->room = room;
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
    uint64_t at = cdb_unpack(t->room->toc);

    if (file_size > UINT32_MAX || at < TABLE_TOC)
        return broken();
    t->data_end = (uint32_t)at;
    for (size_t i = 0; i < TABLE_TOC; i += 8) {
        if (cdb_unpack(t->room->toc + i) != at)
            return broken();
        at += (uint64_t)cdb_unpack(t->room->toc + i + 4) * 8;
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
        else if (!read_at(t, t->room->toc, sizeof t->room->toc, 0) && !check_toc(t, (uint64_t)st.st_size))
            return 0;
    }
    int saved = errno;
    close(t->fd);
    t->fd = -1;
    errno = saved;
    return -1;
}

/* Reads the record at `at`, as much of it as there is room for; *n is how much. */
static int read_record(struct table *t, uint32_t at, uint32_t *n)
{
    if (at < TABLE_TOC || t->data_end < 8 || at > t->data_end - 8)
        return broken();
    *n = t->data_end - at;
    if (*n > sizeof t->room->record)
        *n = sizeof t->room->record;
    if (read_at(t, t->room->record, *n, at))
        return -1;
    uint64_t key_len = cdb_unpack(t->room->record), value_len = cdb_unpack(t->room->record + 4);
    return at + 8 + key_len + value_len > t->data_end ? broken() : 0;
}

/* Compares the record at `at` with key. 1 with *value set, 0, or -1. */
static int match_record(struct table *t, uint32_t at, struct slice key, struct slice *value)
{
    uint32_t n;

    if (read_record(t, at, &n))
        return -1;
    uint32_t key_len = cdb_unpack(t->room->record), value_len = cdb_unpack(t->room->record + 4);
    if (key_len != key.n || 8 + (uint64_t)key_len > n || memcmp(t->room->record + 8, key.p, key.n))
        return 0;
    if (8 + (uint64_t)key_len + value_len > n)
        return broken(); /* longer than any value we know */
    *value = (struct slice){(const char *)t->room->record + 8 + key_len, value_len};
    return 1;
}

/* The key of the record that was read last is one that has this hash. */
static bool has_hash(const struct table *t, uint32_t hash)
{
    uint32_t key_len = cdb_unpack(t->room->record);

    return key_len <= sizeof t->room->record - 8 && cdb_hash(t->room->record + 8, key_len) == hash;
}

int table_find(struct table *t, struct slice key, struct slice *value)
{
    unsigned char slots[SLOTS * 8];

    if (t->fd < 0 && open_table(t))
        return -1;
    uint32_t hash = cdb_hash(key.p, (unsigned)key.n);
    const unsigned char *entry = t->room->toc + (hash & 255) * 8;
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

int table_domain(struct table *t, struct slice domain)
{
    char key[1 + ADDRESS_DOMAIN];
    struct slice value;

    if (domain.n > ADDRESS_DOMAIN)
        return 0;
    int r = table_find(t, domain, &value);
    if (r)
        return r;
    key[0] = '.';
    memcpy(key + 1, domain.p, domain.n);
    struct slice rest = {key, domain.n + 1};
    while (rest.n) { /* .a.b.example, .b.example, .example */
        if ((r = table_find(t, rest, &value)))
            return r;
        const char *dot = memchr(rest.p + 1, '.', rest.n - 1);
        rest = dot ? slice_after(rest, (size_t)(dot - rest.p)) : (struct slice){NULL, 0};
    }
    return 0;
}

int table_mailbox(struct table *t, const struct address *a, struct slice *value)
{
    char key[ADDRESS_FMT];
    size_t n = address_key(key, a);
    int r = table_find(t, (struct slice){key, n}, value);
    if (r)
        return r;

    const char *plus = a->local_len > 1 ? memchr(key + 1, '+', a->local_len - 1U) : NULL;
    size_t domain = 1U + a->domain_len;
    if (plus) {
        size_t user = (size_t)(plus - key);
        memmove(key + user, key + a->local_len, domain);
        if ((r = table_find(t, (struct slice){key, user + domain}, value)))
            return r;
        return table_find(t, (struct slice){key + user, domain}, value);
    }
    return table_find(t, (struct slice){key + a->local_len, domain}, value);
}

int table_sender(struct table *t, const struct address *a)
{
    char key[ADDRESS_FMT];
    struct slice value;

    if (address_is_null(a))
        return 0;
    int r = table_find(t, (struct slice){key, address_key(key, a)}, &value);
    return r ? r : table_domain(t, (struct slice){a->domain, a->domain_len});
}

int table_user(struct table *t, struct slice name, struct slice *hash)
{
    char key[TABLE_USER];

    /* No name, or too long a one, is not there; but trouble comes first. */
    size_t n = name.n > sizeof key ? 0 : name.n;
    for (size_t i = 0; i < n; i++)
        key[i] = slice_lower(name.p[i]);
    int r = table_find(t, (struct slice){key, n}, hash);
    return n ? r : r < 0 ? -1 : 0;
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
    uint64_t key_len = cdb_unpack(t->room->record), value_len = cdb_unpack(t->room->record + 4);
    if (8 + key_len + value_len > n)
        return broken();
    *key = (struct slice){(const char *)t->room->record + 8, key_len};
    *value = slice_after(*key, key_len);
    value->n = value_len;
    return 1;
}

/* Every slot that is taken leads to a record that its key leads back to. */
static int64_t check_slots(struct table *t, unsigned chunk)
{
    uint32_t at = cdb_unpack(t->room->toc + chunk * 8), count = cdb_unpack(t->room->toc + chunk * 8 + 4);
    unsigned char slots[SLOTS * 8];
    struct slice value;
    int64_t taken = 0;

    for (uint32_t slot = 0; slot < count; slot++) {
        uint32_t i = slot % SLOTS;
        if (!i && read_at(t, slots, (count - slot < SLOTS ? count - slot : SLOTS) * 8, at + slot * 8))
            return -1;
        uint32_t hash = cdb_unpack(slots + i * 8), where = cdb_unpack(slots + i * 8 + 4);
        if (!where)
            continue;
        if (match_record(t, where, (struct slice){"", 0}, &value) < 0)
            return -1;
        if ((hash & 255) != chunk || !has_hash(t, hash))
            return broken();
        taken++;
    }
    return taken;
}

int64_t table_check(struct table *t)
{
    int64_t sum = 0;

    if (t->fd < 0 && open_table(t))
        return -1;
    for (unsigned chunk = 0; chunk < 256; chunk++) {
        int64_t n = check_slots(t, chunk);
        if (n < 0)
            return -1;
        sum += n;
    }
    return sum;
}
