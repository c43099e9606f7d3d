#include "base/hold.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static struct hold hold;
static char bytes[4 * HOLD_BLOCK], back[4 * HOLD_BLOCK];

static void set_up(void)
{
    hold_init(&hold);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 31 + i / 251);
}

static void put(size_t size, size_t step)
{
    for (size_t at = 0; at < size; at += step)
        ck_assert_int_eq(hold_write(&hold, bytes + at, size - at < step ? size - at : step), 0);
}

/* All of it, from the byte at `at` on. */
static size_t get(size_t at)
{
    struct slice piece;
    size_t n = 0;
    int r;

    while ((r = hold_read(&hold, at + n, &piece)) > 0) {
        ck_assert_uint_le(n + piece.n, sizeof back);
        memcpy(back + n, piece.p, piece.n);
        n += piece.n;
    }
    ck_assert_int_eq(r, 0);
    return n;
}

static const size_t sizes[] =
    {0, 1, HOLD_BLOCK - 1, HOLD_BLOCK, HOLD_BLOCK + 1, 2 * HOLD_BLOCK, 4 * HOLD_BLOCK - 7},
                    steps[] = {1, 1000, HOLD_BLOCK, 4 * HOLD_BLOCK};

START_TEST(whole)
{
    for (int i = 0; i < COUNT(steps); i++) {
        size_t size = sizes[_i];
        set_up();
        put(size, steps[i]);
        ck_assert_int_eq(hold.fd >= 0, size > HOLD_BLOCK); /* a small one needs no file */
        ck_assert_uint_eq(get(0), size);
        ck_assert(!memcmp(back, bytes, size));
        ck_assert_uint_eq(get(size / 2), size - size / 2);
        ck_assert(!memcmp(back, bytes + size / 2, size - size / 2));
        if (hold.fd >= 0)
            close(hold.fd);
    }
}
END_TEST

START_TEST(no_room)
{
    signal(SIGXFSZ, SIG_IGN);
    ck_assert(!setrlimit(RLIMIT_FSIZE, &(struct rlimit){HOLD_BLOCK / 2, HOLD_BLOCK / 2}));
    set_up();
    put(HOLD_BLOCK, HOLD_BLOCK);
    ck_assert_int_eq(hold_write(&hold, bytes, 1), -1);
    ck_assert_int_eq(errno, EFBIG);
}
END_TEST

/* Somebody cut the file: what is missing is trouble, not the end. */
START_TEST(cut)
{
    struct slice piece;

    set_up();
    put(2 * HOLD_BLOCK, HOLD_BLOCK);
    ck_assert(!ftruncate(hold.fd, HOLD_BLOCK / 2));
    ck_assert_int_eq(hold_read(&hold, 0, &piece), 1);
    ck_assert_uint_eq(piece.n, HOLD_BLOCK / 2);
    ck_assert_int_eq(hold_read(&hold, piece.n, &piece), -1);
    ck_assert_int_eq(errno, EIO);
}
END_TEST

static void add_tests(TCase *tc)
{
    tcase_add_loop_test(tc, whole, 0, COUNT(sizes));
    tcase_add_test(tc, no_room);
    tcase_add_test(tc, cut);
}

UNIT("hold", add_tests)
