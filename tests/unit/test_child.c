/* Small shell programs stand for the programs to start. */
#define _GNU_SOURCE
#include "base/await.h"
#include "base/child.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS (SECOND / 1000)

static struct child c;

static instant in(int64_t ms)
{
    return deadline_after(deadline_now(), ms * MS);
}

static int start(const char *script, const struct child_fd *fds, size_t n)
{
    char *argv[] = {(char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)script, NULL};
    return child_start(&c, argv, fds, n);
}

static const struct {
    const char *name, *script;
    int want; /* as waitpid has it */
} ends[] = {
    {"done", "exit 0", 0},
    {"a code", "exit 31", 31 << 8},
    {"highest", "exit 255", 255 << 8},
    {"killed", "kill -9 $$", SIGKILL},
    {"terminated", "kill -15 $$", SIGTERM}, /* the signal is not ignored */
    {"broken pipe", "kill -13 $$", SIGPIPE},
    {"after a while", "/bin/sleep 0.1; exit 7", 7 << 8},
};

START_TEST(wait_for)
{
    int status;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGCHLD, SIG_IGN); /* as it may be inherited: nobody could be waited for */
    ck_assert(!start(ends[_i].script, NULL, 0) && c.pid > 0);
    pid_t pid = c.pid;
    ck_assert(child_wait(&c, &status, in(60000), SECOND));
    ck_assert_msg(status == ends[_i].want, "%s: %x", ends[_i].name, (unsigned)status);
    ck_assert_msg(!c.pid && kill(pid, 0) < 0 && errno == ESRCH, "it is gone");
    child_end(&c); /* of none */
}
END_TEST

START_TEST(not_started)
{
    char *argv[] = {(char *)(uintptr_t)(_i ? "/" : "/nowhere/program"), NULL};
    int status;

    ck_assert(!child_start(&c, argv, NULL, 0));
    ck_assert(child_wait(&c, &status, in(60000), SECOND));
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == CHILD_NOT_STARTED);
}
END_TEST

START_TEST(no_descriptor)
{
    int status;

    ck_assert(!start("exit 0", (struct child_fd[]){{999, 5}}, 1));
    ck_assert(child_wait(&c, &status, in(60000), SECOND));
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == CHILD_NOT_STARTED, "a descriptor is missing");
}
END_TEST

START_TEST(hangs)
{
    int status;
    instant until = in(40);

    ck_assert(!start("exec /bin/sleep 1000", NULL, 0));
    pid_t pid = c.pid;
    ck_assert_msg(!child_wait(&c, &status, until, SECOND) && deadline_now() >= until, "not before its time");
    ck_assert(c.pid == pid);
    child_end(&c);
    ck_assert_msg(!c.pid && kill(pid, 0) < 0 && errno == ESRCH, "it is ended, and nothing is left of it");
}
END_TEST

/* SIGTERM leaves it its grace, and no more. */
START_TEST(stopped)
{
    int status;
    instant late = in(60000);

    await_init(-1);
    ck_assert(!start("trap '' TERM; /bin/sleep 1000 & wait", NULL, 0));
    raise(SIGTERM);
    instant due = in(40);
    ck_assert(!child_wait(&c, &status, late, 40 * MS));
    ck_assert(deadline_now() >= due && deadline_now() < late);
    child_end(&c);
    ck_assert(!c.pid);
    ck_assert(!start("exit 7", NULL, 0));
    ck_assert_msg(child_wait(&c, &status, late, 60 * SECOND) && status == 7 << 8, "its verdict is heard");
}
END_TEST

/* Its own children end with it. */
START_TEST(group)
{
    int out[2];
    char c1;

    ck_assert(!child_pipe(out));
    ck_assert(!start("/bin/sleep 1000 & echo; wait", (struct child_fd[]){{out[1], 1}}, 1));
    close(out[1]);
    ck_assert(read(out[0], &c1, 1) == 1);
    child_end(&c);
    ck_assert_msg(read(out[0], &c1, 1) == 0, "nobody holds its pipe any more");
}
END_TEST

/* A program that reads the end of its pipe may end by itself. */
START_TEST(ends_by_itself)
{
    int pipe_ends[2], out[2];
    char said[8] = "";

    ck_assert(!child_pipe(pipe_ends) && !child_pipe(out));
    ck_assert(!start("cat >/dev/null; echo bye", (struct child_fd[]){{pipe_ends[0], 0}, {out[1], 1}}, 2));
    close(pipe_ends[0]);
    close(out[1]);
    close(pipe_ends[1]);
    child_end(&c);
    ck_assert(!c.pid && read(out[0], said, sizeof said - 1) == 4);
    ck_assert_str_eq(said, "bye\n");
}
END_TEST

/* It inherits the mapped descriptors, and no other end of the pipes; signals are as in a shell. */
START_TEST(inherits)
{
    int out[2], other[2], status, left = open("/dev/zero", O_RDONLY);
    char said[4096];
    size_t n = 0;
    ssize_t r;

    ck_assert(!child_pipe(out) && !child_pipe(other));
    ck_assert(!start("ls /proc/self/fd; grep Sig[BI] /proc/self/status",
                     (struct child_fd[]){{other[0], 17}, {out[1], 1}, {other[1], other[1]}}, 3));
    close(out[1]);
    while ((r = read(out[0], said + n, sizeof said - 1 - n)) > 0)
        n += (size_t)r;
    said[n] = 0;
    ck_assert(child_wait(&c, &status, in(60000), SECOND) && !status);
    char want[16];
    snprintf(want, sizeof want, "\n%d\n", other[1]);
    ck_assert_msg(strstr(said, "\n17\n") && strstr(said, want), "%s", said);
    snprintf(want, sizeof want, "\n%d\n", other[0]);
    ck_assert_msg(!strstr(said, want), "%s", said);
    snprintf(want, sizeof want, "\n%d\n", left);
    ck_assert_msg(left > 2 && !strstr(said, want), "open descriptors stay with us: %s", said);
    unsigned long blocked = strtoul(strstr(said, "SigBlk:") + 7, NULL, 16),
                  ignored = strtoul(strstr(said, "SigIgn:") + 7, NULL, 16);
    unsigned long ours =
        1UL << (SIGPIPE - 1) | 1UL << (SIGTERM - 1) | 1UL << (SIGCHLD - 1) | 1UL << (SIGXFSZ - 1);
    ck_assert_msg(!((blocked | ignored) & ours), "%s", said);
}
END_TEST

START_TEST(pipes_are_ours)
{
    int ends_of[2];

    ck_assert(!child_pipe(ends_of));
    ck_assert(fcntl(ends_of[0], F_GETFD) & FD_CLOEXEC && fcntl(ends_of[1], F_GETFD) & FD_CLOEXEC);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, wait_for, 0, COUNT(ends));
    tcase_add_loop_test(t, not_started, 0, 2);
    tcase_add_test(t, no_descriptor);
    tcase_add_test(t, hangs);
    tcase_add_test(t, stopped);
    tcase_add_test(t, group);
    tcase_add_test(t, ends_by_itself);
    tcase_add_test(t, inherits);
    tcase_add_test(t, pipes_are_ours);
}

UNIT("child", tests)
