/* A sound table that is damaged: some bits flipped, octets zeroed, slots exchanged, or its end cut off.
 * The input has its keys and values, and tells the damage.
 *
 * A lookup takes no damage for an answer, with two exceptions that it cannot see: a value's own octets, and
 * a slot that loses its key, because it looks like a free slot or another key's. For those there is
 * table_check(). */
#define _GNU_SOURCE
#include "tests/fuzz/fuzz.h"

#include "table/table.h"
#include "table/tinycdb.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RECORDS = 60, SIZE = TABLE_TOC + RECORDS * (8 + 24 + 24 + 16) };

static int file = -1;
static char path[64];
static struct table_buffer buffer;
static struct table t;

static struct record {
    char key[24], value[24];
    size_t key_len, value_len, at; /* at: in the file */
} records[RECORDS];
static size_t count, data_end, file_size;

/* The damage. */
static struct {
    bool toc, slots, values, cut;
    unsigned changes;
} damage;

static uint32_t state;

static uint32_t chance(uint32_t n)
{
    state = state * 1103515245 + 12345;
    return state / 65536 % n;
}

/* Letters only: no record can be hidden in a value, as its head has NULs. */
static size_t make_text(char text[24], const char *prefix, size_t number, size_t most)
{
    size_t n = (size_t)snprintf(text, 24, "%s%zu", prefix, number);

    for (size_t more = chance((uint32_t)most); more && n < 24; more--)
        text[n++] = (char)('a' + chance(26));
    return n;
}

static void make_table(void)
{
    struct cdb_make making;

    MUST(!ftruncate(file, 0) && !lseek(file, 0, SEEK_SET) && !cdb_make_start(&making, file));
    data_end = TABLE_TOC;
    for (size_t i = 0; i < count; i++) {
        struct record *r = &records[i];
        r->key_len = make_text(r->key, "k", i, 12);
        r->value_len = chance(3) ? make_text(r->value, "v", i, 12) : 0;
        r->at = data_end;
        data_end += 8 + r->key_len + r->value_len;
        MUST(!cdb_make_add(&making, r->key, (unsigned)r->key_len, r->value, (unsigned)r->value_len));
    }
    MUST(!cdb_make_finish(&making));
    file_size = (size_t)lseek(file, 0, SEEK_END);
    MUST(file_size <= SIZE && file_size == data_end + count * 16);
}

/* In a value, or in the length of one. */
static bool is_of_value(size_t at)
{
    for (size_t i = 0; i < count; i++) {
        const struct record *r = &records[i];
        if ((at >= r->at + 4 && at < r->at + 8) ||
            (at >= r->at + 8 + r->key_len && at < r->at + 8 + r->key_len + r->value_len))
            return true;
    }
    return false;
}

static void change(size_t at, unsigned char bits)
{
    unsigned char c;

    MUST(pread(file, &c, 1, (off_t)at) == 1);
    unsigned char new = bits ? c ^ bits : 0;
    MUST(pwrite(file, &new, 1, (off_t)at) == 1);
    if (new == c)
        return;
    damage.changes++;
    damage.toc |= at < TABLE_TOC;
    damage.slots |= at >= data_end;
    damage.values |= is_of_value(at);
}

static void exchange(size_t one, size_t other)
{
    unsigned char left[8], right[8];
    const off_t at = (off_t)(data_end + 8 * one), to = (off_t)(data_end + 8 * other);

    MUST(pread(file, left, 8, at) == 8 && pread(file, right, 8, to) == 8);
    MUST(pwrite(file, right, 8, at) == 8 && pwrite(file, left, 8, to) == 8);
    if (memcmp(left, right, 8) != 0)
        damage.slots = true, damage.changes++;
}

/* Each change has three octets: a place, and bits to flip; without bits the octet becomes 0. Or two slots
 * are exchanged. */
static void do_damage(const uint8_t *data, size_t size)
{
    memset(&damage, 0, sizeof damage);
    for (; size >= 3 && damage.changes < 8; data += 3, size -= 3)
        if (data[0] & 128 && count)
            exchange(data[1] % (2 * count), data[2] % (2 * count));
        else
            change(((unsigned)data[0] << 8 | data[1]) % file_size, data[2]);
    if (size == 2) {
        damage.cut = true;
        MUST(!ftruncate(file, (off_t)(((unsigned)data[0] << 8 | data[1]) % file_size)));
    }
}

static int find(struct slice key, struct slice *value)
{
    errno = 0;
    int r = table_find(&t, key, value);
    MUST(r == 0 || r == 1 || (r == -1 && errno == EPROTO));
    MUST(!damage.cut || r == -1);
    return r;
}

static void check_present(const struct record *r, bool passed)
{
    struct slice value;
    int found = find((struct slice){r->key, r->key_len}, &value);

    /* The table of contents is checked as a whole: only several changes that fit one another mislead. */
    if (damage.changes == 0 && !damage.cut)
        MUST(found == 1);
    if (found == 0)
        MUST(damage.slots || (damage.toc && damage.changes > 1));
    if (found == 1 && !damage.values)
        MUST(is_same(value, (struct slice){r->value, r->value_len}));
    if (passed)
        MUST(found == 1 && value.n == r->value_len);
}

static void check_absent(const char *key)
{
    struct slice value;

    MUST(find(slice_of(key), &value) != 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    if (file < 0) {
        MUST((file = memfd_create("table", 0)) >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    state = data[0];
    count = data[1] % RECORDS;
    make_table();
    do_damage(data + 2, size - 2);
    table_init(&t, path, &buffer);
    int64_t n = table_check(&t);
    MUST(n == -1 || n == (int64_t)count);
    MUST(n >= 0 || damage.changes || damage.cut);
    for (size_t i = 0; i < count; i++)
        check_present(&records[i], n >= 0);
    check_absent("k");
    check_absent("absent");
    check_absent("");
    if (t.fd >= 0)
        close(t.fd);
    return 0;
}
