#define _GNU_SOURCE
#include "table/table.h"
#include "table/entry.h"
#include "table/pwhash.h"
#include "tests/unit/unit.h"

#include "table/tinycdb.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ck_assert_msg tells its place to the runner each time, which is slow in long loops. */
#define MUST(condition, ...)                                                                                 \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            ck_abort_msg(__VA_ARGS__);                                                                       \
    } while (0)

/* The table under test: a file in memory, written by tinycdb, opened by its name under /proc. */
static int file = -1;
static char path[64];
static struct cdb_make making;
static struct table_buffer buffer;
static struct table t;

static void begin(void)
{
    file = memfd_create("table", 0);
    ck_assert(file >= 0 && !cdb_make_start(&making, file));
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
}

static void add_bytes(const void *key, size_t key_len, const void *value, size_t value_len)
{
    MUST(!cdb_make_add(&making, key, (unsigned)key_len, value, (unsigned)value_len), "cdb_make_add");
}

static void add(const char *key, const char *value)
{
    add_bytes(key, strlen(key), value, strlen(value));
}

/* Returns the size of the file. */
static size_t finish(void)
{
    ck_assert(!cdb_make_finish(&making));
    table_init(&t, path, &buffer);
    return (size_t)lseek(file, 0, SEEK_END);
}

static void reopen(void)
{
    if (t.fd >= 0)
        close(t.fd);
    table_init(&t, path, &buffer);
}

static int find(const char *key, struct slice *value)
{
    return table_find(&t, slice_of(key), value);
}

static bool equals(struct slice s, const char *text)
{
    return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

static uint32_t seed = 2048;
static uint32_t random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % n;
}

/* The same question to tinycdb. */
static int ask_tinycdb(struct cdb *theirs, const void *key, size_t n, struct slice *value)
{
    int r = cdb_find(theirs, key, (unsigned)n);
    if (r > 0)
        *value = (struct slice){cdb_getdata(theirs), cdb_datalen(theirs)};
    return r;
}

static void check_same(struct cdb *theirs, const void *key, size_t n, int want)
{
    struct slice ours = {NULL, 0}, other = {NULL, 0};

    MUST(table_find(&t, (struct slice){key, n}, &ours) == want, "table_find, %zu octets", n);
    MUST(ask_tinycdb(theirs, key, n, &other) == want, "cdb_find, %zu octets", n);
    if (want)
        MUST(ours.n == other.n && !memcmp(ours.p, other.p, ours.n), "the values of %zu octets", n);
}

/* _i records named as mailboxes are. */
START_TEST(round_trip)
{
    struct cdb theirs;
    char key[64], value[64];

    begin();
    for (int i = 0; i < _i; i++) {
        snprintf(key, sizeof key, "user%d@domain%d.example", i, i % 7);
        snprintf(value, sizeof value, "./%0*d/", i % 40, i);
        add(key, i % 3 ? value : "");
    }
    finish();
    ck_assert(!cdb_init(&theirs, file));
    for (int i = 0; i < _i; i++) {
        int n = snprintf(key, sizeof key, "user%d@domain%d.example", i, i % 7);
        check_same(&theirs, key, (size_t)n, 1);
        key[0] = 'U';
        check_same(&theirs, key, (size_t)n, 0);
    }
    ck_assert_int_eq(table_check(&t), _i);
    cdb_free(&theirs);
}
END_TEST

static_assert(8 + ENTRY_USER_NAME + PWHASH_MAX <= TABLE_RECORD, "a table of users has none longer");

/* Keys and values of any octets and of any length that our tables have. */
START_TEST(round_trip_random)
{
    enum { RECORDS = 5000 };
    static char keys[RECORDS][ADDRESS_FMT];
    static size_t lengths[RECORDS];
    struct cdb theirs;
    char value[PLACE_MAX];

    begin();
    for (uint32_t i = 0; i < RECORDS; i++) {
        lengths[i] = i < 2 ? i * ADDRESS_FMT : 4 + random_below(i % 10 ? 30 : ADDRESS_FMT - 3);
        for (size_t k = 0; k < lengths[i]; k++)
            keys[i][k] = (char)random_below(256);
        memcpy(keys[i], &i, lengths[i] < 4 ? 0 : 4);
        for (size_t k = 0; k < sizeof value; k++)
            value[k] = (char)random_below(256);
        add_bytes(keys[i], lengths[i], value, i < 2 ? PLACE_MAX : random_below(PLACE_MAX + 1));
    }
    finish();
    ck_assert(!cdb_init(&theirs, file));
    for (uint32_t i = 0; i < RECORDS; i++) {
        check_same(&theirs, keys[i], lengths[i], 1);
        if (i)
            check_same(&theirs, keys[i], lengths[i] - 1, lengths[i] == 1);
    }
    ck_assert_int_eq(table_check(&t), RECORDS);
    cdb_free(&theirs);
}
END_TEST

START_TEST(first_of_equals)
{
    struct slice value;

    begin();
    add("a@b", "first");
    add("x@y", "");
    add("a@b", "second");
    finish();
    ck_assert(find("a@b", &value) == 1 && equals(value, "first"));
    ck_assert_int_eq(table_check(&t), 3);
}
END_TEST

/* Different keys with the same 32 bits of hash: only the key's octets tell them apart. */
enum { PAIRS = 20 };
static char pair[PAIRS][2][3];

static void find_pairs(void)
{
    enum { WORDS = 62 * 62 };
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    static char word[WORDS][3];
    static unsigned hash[WORDS];
    int found = 0;

    for (int i = 0; i < WORDS; i++) {
        word[i][0] = letters[i / 62];
        word[i][1] = letters[i % 62];
        hash[i] = cdb_hash(word[i], 2);
        for (int k = 0; k < i && found < PAIRS; k++)
            if (hash[k] == hash[i]) {
                memcpy(pair[found][0], word[k], 3);
                memcpy(pair[found++][1], word[i], 3);
            }
    }
    ck_assert_int_eq(found, PAIRS);
}

START_TEST(collisions)
{
    struct cdb theirs;
    struct slice value;

    find_pairs();
    begin();
    for (int i = 0; i < PAIRS; i++)
        for (int k = 0; k < 1 + i % 2; k++) /* of every other pair, one only */
            add(pair[i][k], k ? "second" : "first");
    finish();
    ck_assert(!cdb_init(&theirs, file));
    for (int i = 0; i < PAIRS; i++) {
        ck_assert(find(pair[i][0], &value) == 1 && equals(value, "first"));
        check_same(&theirs, pair[i][0], 2, 1);
        check_same(&theirs, pair[i][1], 2, i % 2);
        if (i % 2)
            ck_assert(find(pair[i][1], &value) == 1 && equals(value, "second"));
    }
    ck_assert_int_eq(table_check(&t), PAIRS * 3 / 2);
    cdb_free(&theirs);
}
END_TEST

/* The next key whose hash goes to hash table 7 and, of `slots`, to one of the last three. */
static void next_late_key(char key[16], unsigned *n, unsigned slots)
{
    unsigned hash;

    do {
        snprintf(key, 16, "k%u", (*n)++);
        hash = cdb_hash(key, (unsigned)strlen(key));
    } while ((hash & 255) != 7 || (hash >> 8) % slots < slots - 3);
}

/* Moves the last slot of hash table 7 behind those that went round the table's end: a lookup of any of
 * them now ends at the slot that became free. False where none went round. */
static bool break_chain(unsigned slots)
{
    const off_t at = (off_t)cdb_unpack(buffer.toc + 7 * 8), last = at + 8 * (off_t)(slots - 1);
    unsigned char moved[8], empty[8] = {0}, slot[8];
    unsigned i = 0;

    do
        MUST(pread(file, slot, 8, at + 8 * (off_t)i) == 8, "pread");
    while (cdb_unpack(slot + 4) && ++i < slots);
    MUST(pread(file, moved, 8, last) == 8, "pread");
    if (!i || !cdb_unpack(moved + 4))
        return false;
    MUST(pwrite(file, moved, 8, at + 8 * (off_t)i) == 8 && pwrite(file, empty, 8, last) == 8, "pwrite");
    return true;
}

/* Hash tables longer than one read, with chains that go round their end. */
static const struct {
    const char *name;
    unsigned input; /* records in one hash table */
    const char *why;
} chains[] = {
    {"4 slots", 2, "shorter than one read"},
    {"16 slots", 8, "one read"},
    {"18 slots", 9, "a little more than one read"},
    {"34 slots", 17, "a little more than two"},
    {"80 slots", 40, "the chain alone is longer than one read"},
    {"256 slots", 128, "many reads"},
};

START_TEST(wrap_around)
{
    const unsigned records = chains[_i].input, slots = 2 * records;
    struct slice value;
    char key[16], text[16];
    unsigned n = 0;

    begin();
    for (unsigned i = 0; i < records; i++) {
        next_late_key(key, &n, slots);
        snprintf(text, sizeof text, "%u", i);
        add(key, text);
    }
    finish();
    n = 0;
    for (unsigned i = 0; i < records; i++) {
        next_late_key(key, &n, slots);
        snprintf(text, sizeof text, "%u", i);
        MUST(find(key, &value) == 1 && equals(value, text), "%s: %s: %s", chains[_i].name, chains[_i].why,
             key);
    }
    ck_assert_msg(cdb_unpack(buffer.toc + 7 * 8 + 4) == slots,
                  "tinycdb makes twice as many slots as records");
    for (unsigned i = 0; i < 100; i++) {
        next_late_key(key, &n, slots);
        MUST(find(key, &value) == 0, "%s: %s is not there", chains[_i].name, key);
    }
    ck_assert_int_eq(table_check(&t), records);
    errno = 0;
    ck_assert_msg(break_chain(slots) ? table_check(&t) == -1 && errno == EPROTO : records < 4,
                  "%s: keys are lost", chains[_i].name);
}
END_TEST

static void put_u32(unsigned char *at, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(n >> 8 * i);
}

/* A table without any free slot, which tinycdb would not write: a lookup of a missing key must end. */
START_TEST(no_free_slot)
{
    const unsigned records = chains[_i].input;
    static unsigned char image[TABLE_TOC + 256 * (8 + 16 + 8)];
    size_t at = TABLE_TOC, where[256];
    struct slice value;
    char key[16];
    unsigned n = 0;

    for (unsigned i = 0; i < records; i++) {
        next_late_key(key, &n, records + 2);
        where[i] = at;
        put_u32(image + at, (uint32_t)strlen(key));
        put_u32(image + at + 4, 0);
        memcpy(image + at + 8, key, strlen(key));
        at += 8 + strlen(key);
    }
    for (unsigned i = 0, slots = 0; i < 256; i++) {
        put_u32(image + 8 * i, (uint32_t)(at + 8 * slots));
        slots += i == 7 ? records : 0;
        put_u32(image + 8 * i + 4, i == 7 ? records : 0);
    }
    n = 0;
    for (unsigned i = 0; i < records; i++) {
        unsigned char *table = image + at;
        next_late_key(key, &n, records + 2);
        unsigned hash = cdb_hash(key, (unsigned)strlen(key)), slot = (hash >> 8) % records;
        while (cdb_unpack(table + 8 * slot + 4))
            slot = (slot + 1) % records;
        put_u32(table + 8 * slot, hash);
        put_u32(table + 8 * slot + 4, (uint32_t)where[i]);
    }
    file = memfd_create("table", 0);
    ck_assert(write(file, image, at + 8 * records) == (ssize_t)(at + 8 * records));
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    table_init(&t, path, &buffer);
    n = 0;
    for (unsigned i = 0; i < records; i++) {
        next_late_key(key, &n, records + 2);
        MUST(find(key, &value) == 1 && !value.n, "%s is there", key);
    }
    for (unsigned i = 0; i < 20; i++) {
        next_late_key(key, &n, records + 2);
        MUST(find(key, &value) == 0, "%s is not there", key);
    }
    ck_assert_int_eq(table_check(&t), records);
}
END_TEST

/* A small table of each kind of record. Returns its size. */
static size_t make_small(void)
{
    begin();
    add("example.com", "");
    add("bob@example.com", "./bob/Maildir/");
    add("full@example.com", "452 4.2.2 Mailbox full");
    return finish();
}

/* Each 1, 1, 0, 1, 1; or all -1. */
static int ask_all(void)
{
    struct slice key, value;

    int sum = find("bob@example.com", &value) + find("example.com", &value);
    sum += find("nobody", &value);
    sum += table_first(&t, &key, &value);
    return sum + table_is(&t, "mailboxes", &value);
}

START_TEST(truncated)
{
    size_t size = make_small();

    ck_assert_int_eq(ask_all(), 4);
    ck_assert_int_eq(table_check(&t), 3);
    ck_assert(!ftruncate(file, (off_t)size + 1));
    reopen();
    errno = 0;
    ck_assert_msg(ask_all() == -5 && table_check(&t) == -1 && errno == EPROTO, "a byte too many");
    for (size_t n = size; n--;) {
        ck_assert(!ftruncate(file, (off_t)n));
        reopen();
        errno = 0;
        MUST(ask_all() == -5 && errno == EPROTO, "cut to %zu of %zu bytes", n, size);
        MUST(table_check(&t) == -1 && errno == EPROTO, "cut to %zu of %zu bytes: check", n, size);
        MUST(t.fd == -1, "it is not left open");
    }
}
END_TEST

START_TEST(truncated_while_open)
{
    struct slice value;

    make_small();
    ck_assert(find("bob@example.com", &value) == 1);
    ck_assert(!ftruncate(file, TABLE_TOC + 4));
    errno = 0;
    ck_assert(find("bob@example.com", &value) == -1 && errno == EPROTO);
    ck_assert(table_check(&t) == -1);
}
END_TEST

/* A value that is found lies in the table's own buffer, and is no longer than the file. */
static void check_asking(const char *key, size_t size)
{
    const char *const record = (const char *)buffer.record;
    struct slice value = {NULL, 0};

    errno = 0;
    int r = find(key, &value);
    MUST(r == 0 || r == 1 || (r == -1 && errno), "%d", r);
    if (r == 1)
        MUST(value.p >= record + 8 && value.p + value.n <= record + sizeof buffer.record && value.n <= size,
             "a value of %zu bytes", value.n);
}

static void check_damaged(size_t size)
{
    reopen();
    check_asking("example.com", size);
    check_asking("bob@example.com", size);
    check_asking("full@example.com", size);
    check_asking("nobody@example.com", size);
    int64_t n = table_check(&t);
    MUST(n >= -1 && n <= (int64_t)size / 8, "%lld records", (long long)n);
}

static unsigned char image[8192];

START_TEST(every_bit)
{
    size_t size = make_small();

    ck_assert(pread(file, image, size, 0) == (ssize_t)size);
    for (size_t i = 0; i < size; i++)
        for (int bit = 1; bit < 256; bit <<= 1) {
            unsigned char c = image[i] ^ (unsigned char)bit;
            MUST(pwrite(file, &c, 1, (off_t)i) == 1, "pwrite");
            check_damaged(size);
            MUST(pwrite(file, image + i, 1, (off_t)i) == 1, "pwrite");
        }
    reopen();
    ck_assert_int_eq(ask_all(), 4);
}
END_TEST

/* In a table that passes the check every record is found. The check sees any damage to a record's head or
 * key, and to a slot that is taken; damage to a value cannot be seen. */
static void check_passed(const char *name, size_t at)
{
    static const char *const keys[] = {"example.com", "bob@example.com", "full@example.com"};
    struct slice value;

    reopen();
    if (table_check(&t) < 0)
        return;
    for (int i = 0; i < COUNT(keys); i++)
        MUST(find(keys[i], &value) == 1, "%s at %zu: %s is lost", name, at, keys[i]);
    MUST(table_check(&t) == 3, "%s at %zu: their number", name, at);
}

START_TEST(check_sees_bits)
{
    size_t size = make_small();

    ck_assert(pread(file, image, size, 0) == (ssize_t)size);
    for (size_t i = 0; i < size; i++)
        for (int bit = 1; bit < 256; bit <<= 1) {
            unsigned char c = image[i] ^ (unsigned char)bit;
            MUST(pwrite(file, &c, 1, (off_t)i) == 1, "pwrite");
            check_passed("a bit", i);
            MUST(pwrite(file, image + i, 1, (off_t)i) == 1, "pwrite");
        }
}
END_TEST

/* Writes 2,000 records. Returns how many slots are taken. */
static unsigned make_many(void)
{
    begin();
    for (int i = 0; i < 2000; i++) {
        char key[32];
        snprintf(key, sizeof key, "user%d@example.com", i);
        add(key, i % 2 ? "./x/" : "");
    }
    finish();
    ck_assert_int_eq(table_check(&t), 2000);
    return 2000;
}

/* The place of the i-th slot, and whether it is taken; all slots stand behind one another. */
static off_t slot_at(unsigned i, bool *taken)
{
    off_t at = (off_t)cdb_unpack(buffer.toc) + 8 * (off_t)i;
    unsigned char slot[8];

    MUST(pread(file, slot, 8, at) == 8, "pread");
    *taken = cdb_unpack(slot + 4) != 0;
    return at;
}

static const struct {
    const char *name;
    enum { ZERO_SLOT, ZERO_AT, OTHER_SLOT, NEXT_SLOT } input;
    unsigned by; /* the other slot is so many slots further */
    const char *why;
} losses[] = {
    {"zeros", ZERO_SLOT, 40, "a slot that reads as free"},
    {"no place", ZERO_AT, 40, "free, though the hash is there"},
    {"another's slot", OTHER_SLOT, 40, "one record twice, one never"},
    {"moved", NEXT_SLOT, 40, "in another hash table"},
    {"moved a little", NEXT_SLOT, 3, "behind a slot that is free"},
};

/* One slot of so many is lost, each in turn. */
START_TEST(check_sees_loss)
{
    const unsigned slots = 2 * make_many();
    unsigned char before[8], put[8], empty[8] = {0};
    unsigned tried = 0;

    for (unsigned i = 0; i + 40 < slots; i += 1 + i % 3) {
        bool taken, other;
        off_t at = slot_at(i, &taken), to = slot_at(i + losses[_i].by, &other);
        if (!taken || (losses[_i].input == OTHER_SLOT ? !other : losses[_i].input == NEXT_SLOT && other))
            continue;
        MUST(pread(file, before, 8, at) == 8 && pread(file, put, 8, to) == 8, "pread");
        if (losses[_i].input != OTHER_SLOT)
            memcpy(put, empty, 8);
        if (losses[_i].input == ZERO_AT)
            memcpy(put, before, 4);
        MUST(pwrite(file, put, 8, at) == 8, "pwrite");
        MUST(losses[_i].input != NEXT_SLOT || pwrite(file, before, 8, to) == 8, "pwrite");
        errno = 0;
        MUST(table_check(&t) == -1 && errno == EPROTO, "%s: %s: slot %u", losses[_i].name, losses[_i].why, i);
        MUST(pwrite(file, before, 8, at) == 8, "pwrite");
        MUST(losses[_i].input != NEXT_SLOT || pwrite(file, empty, 8, to) == 8, "pwrite");
        tried++;
    }
    ck_assert_uint_gt(tried, 200);
    ck_assert_int_eq(table_check(&t), 2000);
}
END_TEST

/* A record that no slot leads to. */
START_TEST(check_sees_orphan)
{
    size_t size = make_small();
    const unsigned char orphan[10] = {1, 0, 0, 0, 1, 0, 0, 0, 'k', 'v'};

    ck_assert_int_eq(table_check(&t), 3);
    ck_assert(pread(file, image, size, 0) == (ssize_t)size);
    size_t data_end = cdb_unpack(image);
    memmove(image + data_end + sizeof orphan, image + data_end, size - data_end);
    memcpy(image + data_end, orphan, sizeof orphan);
    for (int i = 0; i < 256; i++)
        put_u32(image + 8 * i, cdb_unpack(image + 8 * i) + (uint32_t)sizeof orphan);
    ck_assert(pwrite(file, image, size + sizeof orphan, 0) == (ssize_t)(size + sizeof orphan));
    reopen();
    struct slice value;
    ck_assert_msg(find("bob@example.com", &value) == 1, "the others are there");
    ck_assert_msg(find("k", &value) == 0, "it is not");
    ck_assert(table_check(&t) == -1 && errno == EPROTO);
}
END_TEST

START_TEST(random_bytes)
{
    size_t size = make_small();

    ck_assert(pread(file, image, size, 0) == (ssize_t)size);
    for (int round = 0; round < 20000; round++) {
        unsigned char damaged[sizeof image];
        memcpy(damaged, image, size);
        for (uint32_t k = 1 + random_below(8); k; k--) {
            size_t at = TABLE_TOC + random_below((uint32_t)size - TABLE_TOC);
            static const unsigned char odd[] = {0, 1, 0x7f, 0x80, 0xff};
            damaged[at] = random_below(2) ? odd[random_below(5)] : (unsigned char)random_below(256);
        }
        MUST(pwrite(file, damaged, size, 0) == (ssize_t)size, "pwrite");
        check_damaged(size);
        check_passed("octets", (size_t)round);
    }
}
END_TEST

enum spot { TOC_AT, TOC_COUNT, SLOT_HASH, SLOT_AT, KEY_LEN, VALUE_LEN };

/* One number of a table with one record replaced. */
static const struct {
    const char *name;
    enum spot spot;
    uint32_t input;
    int want;
    const char *why;
} damages[] = {
    {"hash table in the toc", TOC_AT, 0, -1, "below 2048"},
    {"hash table nowhere", TOC_AT, UINT32_MAX, -1, "behind the end"},
    {"no slots", TOC_COUNT, 0, -1, "the tables do not fill the file"},
    {"many slots", TOC_COUNT, UINT32_MAX, -1, "behind the end"},
    {"slots that wrap", TOC_COUNT, 0x20000002, -1, "times eight it fits into 32 bits"},
    {"other hash", SLOT_HASH, 0, -1, "it belongs to another hash table"},
    {"free slot", SLOT_AT, 0, 0, "the chain ends"},
    {"record in the toc", SLOT_AT, 1, -1, "below 2048"},
    {"record in the slots", SLOT_AT, TABLE_TOC + 20, -1, "not among the records"},
    {"record at the end", SLOT_AT, UINT32_MAX, -1, "behind the end"},
    {"record nearly at the end", SLOT_AT, UINT32_MAX - 7, -1, "its head would wrap"},
    {"short key", KEY_LEN, 2, -1, "its hash is another"},
    {"long key", KEY_LEN, 4, -1, "runs out of the records"},
    {"endless key", KEY_LEN, UINT32_MAX, -1, "runs out of the records"},
    {"short value", VALUE_LEN, 4, 1, "nobody can know"},
    {"long value", VALUE_LEN, 6, -1, "runs out of the records"},
    {"endless value", VALUE_LEN, UINT32_MAX, -1, "runs out of the records"},
    {"value that wraps", VALUE_LEN, UINT32_MAX - TABLE_TOC - 8, -1, "32 bits would overflow"},
};

START_TEST(damage)
{
    unsigned hash = cdb_hash("key", 3);
    unsigned char number[4];
    struct slice value;

    begin();
    add("key", "value");
    size_t size = finish();
    off_t entry = (hash & 255) * 8, slot = (off_t)size - 16 + (off_t)((hash >> 8) % 2) * 8;
    const off_t spots[] = {entry, entry + 4, slot, slot + 4, TABLE_TOC, TABLE_TOC + 4};
    ck_assert(size == TABLE_TOC + 16 + 16 && find("key", &value) == 1);
    put_u32(number, damages[_i].input);
    ck_assert(pwrite(file, number, 4, spots[damages[_i].spot]) == 4);
    reopen();
    errno = 0;
    int r = find("key", &value);
    ck_assert_msg(r == damages[_i].want, "%s: %s: %d", damages[_i].name, damages[_i].why, r);
    ck_assert(r >= 0 || errno == EPROTO);
}
END_TEST

START_TEST(too_long)
{
    static char key[ADDRESS_FMT], value[PLACE_MAX + 1];
    struct slice found;

    memset(key, 'k', sizeof key);
    begin();
    add_bytes(key, sizeof key, value, sizeof value);
    add_bytes("short", 5, value, sizeof value);
    finish();
    ck_assert_msg(table_find(&t, (struct slice){key, sizeof key}, &found) == -1, "a value longer than any");
    static char huge[5000];
    ck_assert_msg(table_find(&t, (struct slice){huge, sizeof huge}, &found) == 0, "a key longer than any");
}
END_TEST

START_TEST(first)
{
    struct slice key, value;

    begin();
    add("one", "1");
    add("two", "22");
    finish();
    ck_assert(table_first(&t, &key, &value) == 1 && equals(key, "one") && equals(value, "1"));
    ck_assert(find("two", &value) == 1 && equals(value, "22"));
    ck_assert(table_first(&t, &key, &value) == 1 && equals(key, "one") && equals(value, "1"));
}
END_TEST

static const struct {
    const char *name;
    off_t at;
    uint32_t input;
    const char *why;
} first_damages[] = {
    {"long key", TABLE_TOC, 9, "runs out of the records"},
    {"endless key", TABLE_TOC, UINT32_MAX, "runs out of the records"},
    {"long value", TABLE_TOC + 4, 6, "runs out of the records"},
    {"endless value", TABLE_TOC + 4, UINT32_MAX, "runs out of the records"},
    {"both wrap", TABLE_TOC + 4, UINT32_MAX - 10, "32 bits would overflow"},
    {"cut", 0, 0, "no whole table"},
};

START_TEST(first_damaged)
{
    unsigned char number[4];
    struct slice key, value;

    begin();
    add("key", "value");
    finish();
    ck_assert(table_first(&t, &key, &value) == 1);
    put_u32(number, first_damages[_i].input);
    ck_assert(pwrite(file, number, 4, first_damages[_i].at) == 4);
    reopen();
    errno = 0;
    ck_assert_msg(table_first(&t, &key, &value) == -1 && errno == EPROTO, "%s: %s", first_damages[_i].name,
                  first_damages[_i].why);
}
END_TEST

START_TEST(first_too_long)
{
    static char key[TABLE_RECORD], value[TABLE_RECORD];
    struct slice found, with;

    begin();
    add_bytes(key, (size_t)_i, value, TABLE_RECORD - 7 - (size_t)_i);
    finish();
    ck_assert_msg(table_first(&t, &found, &with) == -1 && errno == EPROTO, "one octet too many");
    begin();
    add_bytes(key, (size_t)_i, value, TABLE_RECORD - 8 - (size_t)_i);
    finish();
    ck_assert(table_first(&t, &found, &with) == !!_i);
    ck_assert_msg(!_i || (found.n == (size_t)_i && with.n == TABLE_RECORD - 8 - (size_t)_i),
                  "a record without a key is none of ours, but names the table's kind");
}
END_TEST

static const struct {
    const char *name, *mark; /* NULL: the table has none */
    int want;
    const char *named, *why;
} marks[] = {
    {"the same", "domains", 1, "domains", "as it should be"},
    {"another", "mailboxes", 0, "mailboxes", "set for the wrong variable"},
    {"none", NULL, 1, "", "older, or made elsewhere: nobody knows"},
    {"empty", "", 0, "", "no kind that there is"},
    {"longer", "domains2", 0, "domains2", "another word"},
};

START_TEST(kind)
{
    struct slice named, key, value;

    begin();
    if (marks[_i].mark)
        add("", marks[_i].mark);
    finish();
    ck_assert_msg(table_is(&t, "domains", &named) == marks[_i].want && equals(named, marks[_i].named),
                  "%s: %s", marks[_i].name, marks[_i].why);
    ck_assert_msg(table_first(&t, &key, &value) == 0, "a table with this alone is empty");
    ck_assert_int_eq(table_check(&t), !!marks[_i].mark);
    ck_assert(!ftruncate(file, 100));
    reopen();
    ck_assert(table_is(&t, "domains", &named) == -1 && !strncmp(table_error(errno), "Not a whole table", 17));
    ck_assert_str_eq(table_error(ENOENT), strerror(ENOENT));
}
END_TEST

START_TEST(empty)
{
    struct slice key, value;

    begin();
    ck_assert_uint_eq(finish(), TABLE_TOC);
    ck_assert(find("", &value) == 0 && find("a", &value) == 0);
    ck_assert(table_first(&t, &key, &value) == 0);
    ck_assert_int_eq(table_check(&t), 0);
}
END_TEST

static const struct {
    const char *name, *input;
    int want; /* errno */
    const char *why;
} missing[] = {
    {"no file", "/nonexistent/x.cdb", ENOENT, "missing"},
    {"a folder", "/tmp", EPROTO, "not a file"},
    {"a device", "/dev/null", EPROTO, "not a file"},
    {"an endless device", "/dev/zero", EPROTO, "not a file"},
    {"an empty path", "", ENOENT, "missing"},
};

START_TEST(no_table)
{
    struct slice value;

    for (int again = 0; again < 2; again++) {
        table_init(&t, missing[_i].input, &buffer);
        errno = 0;
        ck_assert_msg(find("a", &value) == -1 && errno == missing[_i].want, "%s: %s: %s", missing[_i].name,
                      missing[_i].why, strerror(errno));
        ck_assert(table_check(&t) == -1 && errno == missing[_i].want && t.fd == -1);
    }
}
END_TEST

START_TEST(pipe_is_no_table)
{
    char folder[] = "/tmp/postern-table-XXXXXX", name[64];
    struct slice value;

    ck_assert(mkdtemp(folder));
    snprintf(name, sizeof name, "%s/fifo", folder);
    ck_assert(!mkfifo(name, 0600));
    table_init(&t, name, &buffer);
    ck_assert_msg(find("a", &value) == -1 && errno == EPROTO, "and nobody waits for its writer");
    ck_assert(!unlink(name) && !rmdir(folder));
}
END_TEST

/* An open table stays the same when its name becomes another file's. */
START_TEST(replaced)
{
    char folder[] = "/tmp/postern-table-XXXXXX", name[64], next[64];
    struct slice value;

    ck_assert(mkdtemp(folder));
    snprintf(name, sizeof name, "%s/t.cdb", folder);
    snprintf(next, sizeof next, "%s/next", folder);
    for (int i = 0; i < 2; i++) {
        int fd = open(i ? next : name, O_RDWR | O_CREAT | O_EXCL, 0600);
        ck_assert(fd >= 0 && !cdb_make_start(&making, fd));
        add("a", i ? "new" : "old");
        ck_assert(!cdb_make_finish(&making));
        close(fd);
    }
    table_init(&t, name, &buffer);
    ck_assert(find("a", &value) == 1 && equals(value, "old"));
    ck_assert(!rename(next, name));
    ck_assert_msg(find("a", &value) == 1 && equals(value, "old"), "one file serves a session");
    close(t.fd);
    table_init(&t, name, &buffer);
    ck_assert_msg(find("a", &value) == 1 && equals(value, "new"), "the next session has the new one");
    ck_assert(!unlink(name) && !rmdir(folder));
}
END_TEST

static void tests(TCase *c)
{
    tcase_add_loop_test(c, round_trip, 0, 20);
    tcase_add_loop_test(c, round_trip, 1000, 1001);
    tcase_add_loop_test(c, round_trip, 30000, 30001);
    tcase_add_test(c, round_trip_random);
    tcase_add_test(c, first_of_equals);
    tcase_add_test(c, collisions);
    tcase_add_loop_test(c, wrap_around, 0, COUNT(chains));
    tcase_add_loop_test(c, no_free_slot, 0, COUNT(chains));
    tcase_add_test(c, truncated);
    tcase_add_test(c, truncated_while_open);
    tcase_add_test(c, every_bit);
    tcase_add_test(c, check_sees_bits);
    tcase_add_loop_test(c, check_sees_loss, 0, COUNT(losses));
    tcase_add_test(c, check_sees_orphan);
    tcase_add_test(c, random_bytes);
    tcase_add_loop_test(c, damage, 0, COUNT(damages));
    tcase_add_test(c, too_long);
    tcase_add_test(c, empty);
    tcase_add_test(c, first);
    tcase_add_loop_test(c, first_damaged, 0, COUNT(first_damages));
    tcase_add_loop_test(c, first_too_long, 0, 40);
    tcase_add_loop_test(c, kind, 0, COUNT(marks));
    tcase_add_loop_test(c, no_table, 0, COUNT(missing));
    tcase_add_test(c, pipe_is_no_table);
    tcase_add_test(c, replaced);
}

UNIT("table", tests)
