#define _GNU_SOURCE
#include "table/cdbmake.h"
#include "tests/unit/unit.h"
#include "table/tinycdb.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static struct cdbmake ours;
static struct cdb_make theirs;
static int file, other;

static struct repeat {
    uint32_t first, again;
} told[16];
static int tolds;

static int tell(void *context, uint32_t first, uint32_t again)
{
    ck_assert_ptr_eq(context, told);
    ck_assert_int_lt(tolds, COUNT(told));
    told[tolds++] = (struct repeat){first, again};
    return 0;
}

static void begin(void)
{
    file = memfd_create("ours", 0);
    other = memfd_create("theirs", 0);
    tolds = 0;
    ck_assert(file >= 0 && other >= 0 && !cdbmake_begin(&ours, file) && !cdb_make_start(&theirs, other));
}

static void add(const void *key, size_t key_len, const void *value, size_t value_len)
{
    if (cdbmake_add(&ours, (struct slice){key, key_len}, (struct slice){value, value_len}) ||
        cdb_make_add(&theirs, key, (unsigned)key_len, value, (unsigned)value_len))
        ck_abort_msg("%zu and %zu octets", key_len, value_len);
}

/* Both files are the same, octet by octet. */
static void finish(void)
{
    static char left[1 << 16], right[1 << 16];

    ck_assert(!cdbmake_finish(&ours, tell, told) && !cdb_make_finish(&theirs));
    off_t n = lseek(file, 0, SEEK_END);
    ck_assert_int_eq(n, lseek(other, 0, SEEK_END));
    for (off_t at = 0; at < n; at += (off_t)sizeof left) {
        ssize_t got = pread(file, left, sizeof left, at);
        ck_assert(got > 0 && got == pread(other, right, sizeof right, at));
        ck_assert_msg(!memcmp(left, right, (size_t)got), "from %lld on", (long long)at);
    }
}

static uint32_t seed = 777;
static uint32_t random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % n;
}

static const int counts[] = {0, 1, 2, 255, 256, 257, 1000, 70000, 140000};

/* tinycdb writes the same. */
START_TEST(as_tinycdb)
{
    char key[32];

    begin();
    for (int i = 0; i < counts[_i]; i++) {
        int n = snprintf(key, sizeof key, "user%d@example.com", i);
        add(key, (size_t)n, "./x/", (size_t)i % 5);
    }
    finish();
    ck_assert_int_eq(tolds, 0);
    ck_assert_int_eq((int)ours.records, counts[_i]);
}
END_TEST

/* Keys and values of any octets and any allowed length; some fill the block to its last octet. */
START_TEST(any_octets)
{
    static char bytes[CDBMAKE_BLOCK];
    const size_t most = CDBMAKE_BLOCK - 8;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)random_below(256);
    begin();
    add("", 0, "", 0);
    add(bytes, 100, bytes, most - 100);
    add(bytes + 1, CDBMAKE_KEY, bytes, most - CDBMAKE_KEY);
    for (uint32_t i = 0; i < 3000; i++) {
        memcpy(bytes, &i, 4);
        add(bytes, 4 + random_below(CDBMAKE_KEY - 3), bytes + random_below(1000), random_below(600));
    }
    finish();
    ck_assert_int_eq(tolds, 0);
}
END_TEST

START_TEST(too_much)
{
    static char bytes[CDBMAKE_BLOCK];

    begin();
    errno = 0;
    ck_assert(cdbmake_add(&ours, (struct slice){bytes, CDBMAKE_KEY + 1}, slice_of("")) == -1 &&
              errno == EFBIG);
    errno = 0;
    ck_assert(cdbmake_add(&ours, slice_of("k"), (struct slice){bytes, CDBMAKE_BLOCK - 8}) == -1 &&
              errno == EFBIG);
    ours.at = UINT32_MAX - 100;
    errno = 0;
    ck_assert(cdbmake_add(&ours, slice_of("key"), (struct slice){bytes, 75}) == -1 && errno == EFBIG);
    ck_assert_msg(!cdbmake_add(&ours, slice_of("key"), (struct slice){bytes, 73}),
                  "and 16 octets of slots: 4 GiB");
}
END_TEST

/* Each repeat is told once, with the first of its kind; equal hashes alone are no repeat. */
START_TEST(repeats)
{
    static const char *const keys[] = {"a", "b", "a", "c", "b", "a", ""};
    char key[CDBMAKE_KEY];
    uint32_t at[COUNT(keys)];

    begin();
    for (int i = 0; i < COUNT(keys); i++) {
        at[i] = ours.at;
        ck_assert(!cdbmake_add(&ours, slice_of(keys[i]), slice_of("v")));
    }
    /* Two keys with one hash. */
    unsigned char one[] = {0, 0}, two[] = {0, 0};
    for (unsigned i = 0; i < 65536 && !(two[0] | two[1]); i++)
        for (unsigned k = 0; k < 256; k++) {
            unsigned char try[] = {(unsigned char)k, (unsigned char)i};
            one[0] = (unsigned char)(i >> 8), one[1] = 'x';
            if (memcmp(one, try, 2) && cdb_hash(one, 2) == cdb_hash(try, 2))
                memcpy(two, try, 2);
        }
    ck_assert(cdb_hash(one, 2) == cdb_hash(two, 2) && memcmp(one, two, 2));
    ck_assert(!cdbmake_add(&ours, (struct slice){(char *)one, 2}, slice_of("")));
    ck_assert(!cdbmake_add(&ours, (struct slice){(char *)two, 2}, slice_of("")));
    ck_assert(!cdbmake_finish(&ours, tell, told));
    ck_assert_int_eq(tolds, 3);
    for (int i = 0; i < 3; i++) {
        int n = cdbmake_key(&ours, told[i].again, key);
        ck_assert(n == 1 && (*key == 'a' || *key == 'b'));
        ck_assert_uint_eq(told[i].first, at[*key == 'a' ? 0 : 1]);
        ck_assert(told[i].again == at[2] || told[i].again == at[4] || told[i].again == at[5]);
    }
}
END_TEST

static int give_up(void *context, uint32_t first, uint32_t again)
{
    (void)context;
    errno = first < again ? ENOMEM : EINVAL;
    return -1;
}

START_TEST(given_up)
{
    begin();
    ck_assert(!cdbmake_add(&ours, slice_of("a"), slice_of("")) &&
              !cdbmake_add(&ours, slice_of("a"), slice_of("")));
    ck_assert(cdbmake_finish(&ours, give_up, NULL) == -1 && errno == ENOMEM);
}
END_TEST

/* A full disk is told at any step. _i: the blocks of 1 KiB that there is room for. */
START_TEST(full)
{
    static char key[CDBMAKE_KEY];
    struct rlimit buffer = {(rlim_t)_i * 1024, RLIM_INFINITY};
    FILE *f = tmpfile();
    int failed = 0;

    signal(SIGXFSZ, SIG_IGN);
    ck_assert(f && !cdbmake_begin(&ours, fileno(f)) && !setrlimit(RLIMIT_FSIZE, &buffer));
    for (unsigned i = 0; i < 300 && !failed; i++) {
        memcpy(key, &i, sizeof i);
        failed = cdbmake_add(&ours, (struct slice){key, sizeof key}, slice_of(""));
    }
    failed = failed ? failed : cdbmake_finish(&ours, tell, told);
    int error = errno;
    buffer.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &buffer);
    ck_assert_msg(failed == -1 && error == EFBIG, "%d", _i);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, as_tinycdb, 0, COUNT(counts));
    tcase_add_test(t, any_octets);
    tcase_add_test(t, too_much);
    tcase_add_test(t, repeats);
    tcase_add_test(t, given_up);
    tcase_add_loop_test(t, full, 1, 158); /* it takes 2048 + 300 * (520 + 16) */
}

UNIT("cdbmake", tests)
