#include "base/deadline.h"
#include "tests/unit/unit.h"

#include <time.h>

static const struct {
    const char *name;
    instant at, now;
    int want;
    const char *why;
} left[] = {
    {"exact", 5 * SECOND, 2 * SECOND, 3000, "whole seconds"},
    {"rounded", 1000001, 0, 2, "a wait is never short"},
    {"one nanosecond", 1, 0, 1, "not zero: zero means over"},
    {"now", 7, 7, 0, "over"},
    {"past", 7, 8, 0, "over"},
    {"never", INT64_MAX, 0, 2147483647, "poll can take no more"},
};

START_TEST(left_ms)
{
    ck_assert_msg(deadline_left_ms(left[_i].at, left[_i].now) == left[_i].want, "%s: %s", left[_i].name,
                  left[_i].why);
}
END_TEST

START_TEST(after_saturates)
{
    ck_assert(deadline_after(INT64_MAX - 1, SECOND) == INT64_MAX);
    ck_assert(deadline_after(3, 4) == 7);
    ck_assert(deadline_earlier(3, 4) == 3);
    ck_assert(deadline_earlier(4, 3) == 3);
}
END_TEST

START_TEST(now_moves)
{
    instant first = deadline_now();
    ck_assert(first > 0);
    ck_assert(deadline_now() >= first);
}
END_TEST

/* The clocks that the C library reads, wherever it asks. */
START_TEST(clocks)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    instant before = (instant)t.tv_sec * SECOND + t.tv_nsec, now = deadline_now();
    clock_gettime(CLOCK_MONOTONIC, &t);
    ck_assert(before <= now && now <= (instant)t.tv_sec * SECOND + t.tv_nsec);
    int64_t wall = deadline_wall() / SECOND;
    ck_assert_msg(llabs(wall - (int64_t)time(NULL)) <= 2, "seconds since 1970");
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_test(t, clocks);
    tcase_add_loop_test(t, left_ms, 0, COUNT(left));
    tcase_add_test(t, after_saturates);
    tcase_add_test(t, now_moves);
}

UNIT("deadline", tests)
