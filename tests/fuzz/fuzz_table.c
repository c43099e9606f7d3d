/* A table's file. The first octet tells its origin: as it stands in the input; with its 256 hash tables
 * laid out around records and slots of the input; or made by tinycdb from records of the input, and then cut.
 */
#define _GNU_SOURCE
#include "tests/fuzz/fuzz.h"

#include "table/lookup.h"
#include "table/tinycdb.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

static int file = -1;
static char path[64];
static struct table_buffer buffer;
static struct table t;

static void open_file(void)
{
    if (file >= 0)
        return;
    MUST((file = memfd_create("table", 0)) >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
}

static void write_file(const void *bytes, size_t n)
{
    MUST(!ftruncate(file, 0) && pwrite(file, bytes, n, 0) == (ssize_t)n);
}

static void close_table(void)
{
    if (t.fd >= 0)
        close(t.fd);
    t.fd = -1;
}

/* A value that is found is that of a record of this key in the file. */
static void check_found(struct slice key, struct slice value, const unsigned char *image, size_t size)
{
    const unsigned char *at = image + TABLE_TOC;
    const char *record = (const char *)buffer.record;
    bool there = false;

    MUST(value.p >= record + 8 && value.p + value.n <= record + sizeof buffer.record);
    for (; at + 8 + key.n + value.n <= image + size && !there; at++)
        there = cdb_unpack(at) == key.n && cdb_unpack(at + 4) == value.n && !memcmp(at + 8, key.p, key.n) &&
                !memcmp(at + 8 + key.n, value.p, value.n);
    MUST(there);
}

static void check_key(struct slice key, const unsigned char *image, size_t size, struct cdb *theirs)
{
    struct slice value = {NULL, 0};

    errno = 0;
    int r = table_find(&t, key, &value);
    MUST(r == 0 || r == 1 || (r == -1 && errno == EPROTO));
    if (r == 1)
        check_found(key, value, image, size);
    if (r < 0 || !theirs)
        return;
    int other = cdb_find(theirs, key.p, (unsigned)key.n);
    MUST(other < 0 || other == r);
    if (other == 1) {
        struct slice theirs_value = {cdb_getdata(theirs), cdb_datalen(theirs)};
        MUST(is_same(value, theirs_value));
    }
}

static void check_lookups(struct slice hint)
{
    static const char *const names[] = {"alice@example.com", "bob+x@a.example.org", "\"\"@x"};
    struct address a;
    struct slice rest, value;
    bool sound = t.fd >= 0;

    for (int i = 0; i < 3; i++) {
        MUST(!address_parse(slice_of(names[i]), ADDRESS_MAILBOX, &a, &rest));
        int r = lookup_mailbox(&t, &a, &value);
        MUST(r >= -1 && r <= 1 && (sound || r < 0));
        r = lookup_sender(&t, &a);
        MUST(r >= -1 && r <= 1 && (sound || r < 0));
    }
    int r = lookup_domain(&t, hint);
    MUST(r >= -1 && r <= 1 && (sound || r < 0 || hint.n > ADDRESS_DOMAIN));
    r = lookup_user(&t, hint, &value);
    MUST(r >= -1 && r <= 1 && (sound || r < 0));
}

/* The first record is the one at the start of the file. */
static void check_first(const unsigned char *image, size_t size)
{
    struct slice key, value;

    errno = 0;
    int r = table_first(&t, &key, &value);
    MUST(r == 0 || r == 1 || (r == -1 && errno == EPROTO));
    if (r == 1) {
        MUST(is_same((struct slice){(const char *)image + TABLE_TOC + 8, key.n}, key));
        check_found(key, value, image, size);
    }
}

/* Every question to a file of any octets. */
static void check_file(const unsigned char *image, size_t size)
{
    struct cdb theirs;
    struct slice any = {(const char *)image + size, 0};
    bool theirs_too = !cdb_init(&theirs, file);

    table_init(&t, path, &buffer);
    for (size_t n = 0; n <= 5 && n <= size; n++)
        check_key((struct slice){any.p - n, n}, image, size, theirs_too ? &theirs : NULL);
    for (size_t at = TABLE_TOC, left = 12; at + 8 <= size && left--;) {
        size_t key_len = cdb_unpack(image + at), value_len = cdb_unpack(image + at + 4);
        if (key_len > size - at - 8)
            break;
        check_key((struct slice){(const char *)image + at + 8, key_len}, image, size,
                  theirs_too ? &theirs : NULL);
        at += 8 + key_len;
        at += value_len < size - at ? value_len : size - at;
    }
    check_lookups((struct slice){(const char *)image + size / 2, size - size / 2});
    check_first(image, size);
    int64_t n = table_check(&t);
    MUST(n >= -1 && n <= (int64_t)(size / 8));
    close_table();
    if (theirs_too)
        cdb_free(&theirs);
}

/* Hash tables that fit the file: pairs of octets tell which of them have slots, and how many. */
static size_t lay_out(unsigned char *image, const uint8_t *data, size_t size, bool mend)
{
    unsigned count[256] = {0}, slots = 0;
    size_t pairs = data[0] % 8U;

    data++, size--;
    for (; pairs && size >= 2; pairs--, data += 2, size -= 2)
        count[data[0]] = data[1] % 40;
    for (int i = 0; i < 256; i++) {
        if (8UL * (slots + count[i]) > size)
            count[i] = 0;
        slots += count[i];
    }
    size_t end = TABLE_TOC + size - 8UL * slots, at = end;
    memcpy(image + TABLE_TOC, data, size);
    for (unsigned i = 0; i < 256; i++) {
        cdb_pack((unsigned)at, image + 8 * i);
        cdb_pack(count[i], image + 8 * i + 4);
        for (unsigned k = 0; k < count[i] && mend; k++) {
            unsigned char *slot = image + at + 8 * k;
            unsigned where = TABLE_TOC + cdb_unpack(slot + 4) % (unsigned)(end - TABLE_TOC + 1);
            if (!cdb_unpack(slot + 4) || where + 8 > end)
                continue;
            unsigned key_len = cdb_unpack(image + where) % 64;
            if (where + 8 + key_len > end)
                continue;
            cdb_pack(key_len, image + where);
            cdb_pack(where, slot + 4);
            cdb_pack(cdb_hash(image + where + 8, key_len), slot);
        }
        at += 8UL * count[i];
    }
    return TABLE_TOC + size;
}

/* Records from the input: lengths of key and value, key, value. All are found; of equal keys, the first. */
static void check_made(const uint8_t *data, size_t size, size_t cut)
{
    enum { RECORDS = 200 };
    static struct slice keys[RECORDS], values[RECORDS];
    struct cdb_make making;
    struct slice value;
    int n = 0;

    MUST(!ftruncate(file, 0) && !lseek(file, 0, SEEK_SET) && !cdb_make_start(&making, file));
    while (size >= 2 && n < RECORDS) {
        size_t key_len = data[0] % 64U, value_len = data[1];
        data += 2, size -= 2;
        if (key_len + value_len > size)
            break;
        keys[n] = (struct slice){(const char *)data, key_len};
        values[n] = (struct slice){(const char *)data + key_len, value_len};
        MUST(!cdb_make_add(&making, keys[n].p, (unsigned)key_len, values[n].p, (unsigned)value_len));
        data += key_len + value_len;
        size -= key_len + value_len;
        n++;
    }
    MUST(!cdb_make_finish(&making));
    table_init(&t, path, &buffer);
    for (int i = 0; i < n; i++) {
        int first = 0;
        while (!is_same(keys[first], keys[i]))
            first++;
        MUST(table_find(&t, keys[i], &value) == 1 && is_same(value, values[first]));
        if (keys[i].n) {
            struct slice shorter = {keys[i].p, keys[i].n - 1};
            int there = 0;
            while (there < n && !is_same(keys[there], shorter))
                there++;
            MUST(table_find(&t, shorter, &value) == (there < n));
        }
    }
    MUST(table_check(&t) == n);
    close_table();

    off_t end = lseek(file, 0, SEEK_END);
    MUST(!ftruncate(file, (off_t)(cut % (size_t)end)));
    MUST(table_find(&t, (struct slice){"x", 1}, &value) == -1 && errno == EPROTO && table_check(&t) == -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char image[TABLE_TOC + 65536];

    open_file();
    if (size < 4 || size > 65536)
        return 0;
    if (data[0] % 4 == 0) {
        struct slice exact = copy_of(data + 1, size - 1);
        write_file(exact.p, exact.n);
        check_file((const unsigned char *)exact.p, exact.n);
        drop(exact);
    } else if (data[0] % 4 == 3) {
        check_made(data + 3, size - 3, data[1] + 256U * data[2]);
    } else {
        size_t n = lay_out(image, data + 1, size - 1, data[0] % 4 == 2);
        write_file(image, n);
        check_file(image, n);
    }
    return 0;
}
