#define _GNU_SOURCE
#include "base/await.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS (SECOND / 1000)
#define LONG (60 * SECOND)

static int ends[2]; /* of a connection; SIGTERM ends reads of the first */

static instant in(int64_t length)
{
    return deadline_after(deadline_now(), length);
}

/* SIGTERM comes at any time, or when asked for only. */
static const struct {
    const char *name;
    bool any_time;
} modes[] = {{"any time", true}, {"when asked for", false}};

static void begin(int mode)
{
    ck_assert(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    await_init(modes[mode].any_time ? ends[0] : -1);
    ck_assert(!await_stopped());
}

/* SIGTERM in the instant between await_stopped and the wait. */
START_TEST(before_the_wait)
{
    struct pollfd p = {.events = POLLPRI};
    instant until;

    begin(_i);
    p.fd = ends[0];
    until = in(LONG);
    raise(SIGTERM);
    ck_assert_msg(await_any(&p, 1, until) && deadline_now() < until, "it ends the wait: %s", modes[_i].name);
    ck_assert(!p.revents && await_stopped());
}
END_TEST

START_TEST(before_the_wait_for_a_child)
{
    begin(_i);
    instant until = in(LONG);
    raise(SIGTERM);
    ck_assert_msg(await_child(until) && deadline_now() < until, "it ends the wait: %s", modes[_i].name);
    ck_assert(await_stopped());
}
END_TEST

START_TEST(during_the_wait)
{
    struct pollfd p = {.events = POLLPRI};
    instant until;

    begin(_i);
    p.fd = ends[0];
    until = in(LONG);
    pid_t other = fork();
    if (!other) {
        usleep(20000);
        kill(getppid(), SIGTERM);
        _exit(0);
    }
    ck_assert(await_any(&p, 1, until) && deadline_now() < until && await_stopped());
    ck_assert(waitpid(other, NULL, 0) == other);
}
END_TEST

/* After await_stopped a caller may wait for something else, even if SIGTERM comes again. */
START_TEST(behind_it)
{
    instant until;

    begin(_i);
    raise(SIGTERM);
    await_any(NULL, 0, in(LONG));
    ck_assert(await_stopped());
    until = in(40 * MS);
    while (await_any(NULL, 0, until))
        continue;
    ck_assert(deadline_now() >= until && await_stopped());
}
END_TEST

/* A descriptor that is ready when SIGTERM comes is told. */
START_TEST(ready)
{
    struct pollfd p = {.fd = -1, .events = POLLOUT};

    begin(_i);
    p.fd = ends[1];
    raise(SIGTERM);
    ck_assert(await_any(&p, 1, in(LONG)) && p.revents & POLLOUT);
    ck_assert_msg(await_stopped(), "%s: it is heard where no wait ever lasts", modes[_i].name);
}
END_TEST

START_TEST(past)
{
    struct pollfd p = {.fd = -1, .events = POLLOUT};

    begin(_i);
    p.fd = ends[1];
    ck_assert_msg(!await_any(&p, 1, deadline_now()), "it is time");
    ck_assert_msg(await_poll(&p, 1, 0) == 1 && p.revents & POLLOUT, "a ready descriptor is told");
    p.events = POLLPRI;
    ck_assert(await_poll(&p, 1, 0) == 0);
}
END_TEST

START_TEST(reads_end)
{
    char c;

    begin(0);
    raise(SIGTERM);
    ck_assert(read(ends[0], &c, 1) == 0 && read(ends[0], &c, 1) == 0);
    ck_assert_msg(write(ends[0], "x", 1) == 1 && read(ends[1], &c, 1) == 1, "the last word is heard");
}
END_TEST

/* It breaks into nothing else. */
START_TEST(only_when_asked)
{
    sigset_t pending;

    begin(1);
    raise(SIGTERM);
    ck_assert(!sigpending(&pending) && sigismember(&pending, SIGTERM));
    errno = EPIPE;
    ck_assert_msg(await_stopped(), "without a wait");
    ck_assert(await_stopped() && errno == EPIPE);
}
END_TEST

START_TEST(no_broken_pipe)
{
    begin(_i);
    close(ends[0]);
    ck_assert(write(ends[1], "x", 1) < 0 && errno == EPIPE);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, before_the_wait, 0, COUNT(modes));
    tcase_add_loop_test(t, before_the_wait_for_a_child, 0, COUNT(modes));
    tcase_add_loop_test(t, during_the_wait, 0, COUNT(modes));
    tcase_add_loop_test(t, behind_it, 0, COUNT(modes));
    tcase_add_loop_test(t, ready, 0, COUNT(modes));
    tcase_add_loop_test(t, past, 0, COUNT(modes));
    tcase_add_test(t, reads_end);
    tcase_add_test(t, only_when_asked);
    tcase_add_loop_test(t, no_broken_pipe, 0, COUNT(modes));
}

UNIT("await", tests)
