/* Small shell programs stand for checkpassword's. */
#define _GNU_SOURCE
#include "smtp/checkpassword.h"
#include "tests/unit/folder.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MS (SECOND / 1000)
#define S(text)                                                                                              \
    {                                                                                                        \
        text, sizeof(text) - 1                                                                               \
    }

static char found[4096];

static const char *make_program(const char *script, mode_t mode)
{
    int fd = open("program", O_WRONLY | O_CREAT | O_TRUNC, 0700);

    ck_assert(fd >= 0 && dprintf(fd, "#!/bin/sh\n%s\n", script) > 0 && !fchmod(fd, mode));
    close(fd);
    return "./program";
}

static size_t read_file(const char *name)
{
    int fd = open(name, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, found, sizeof found - 1);

    ck_assert_msg(n >= 0, "%s: %s", name, strerror(errno));
    close(fd);
    found[n] = 0;
    return (size_t)n;
}

static void enter(void)
{
    char name[32];

    snprintf(name, sizeof name, "%ld", (long)getpid());
    ck_assert(!mkdir(name, 0700) && !chdir(name));
    signal(SIGPIPE, SIG_IGN);
}

static int lowest_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY);

    close(fd);
    return fd;
}

static instant in(int64_t ms)
{
    return deadline_after(deadline_now(), ms * MS);
}

static enum checkpassword_result ask(const char *program, struct slice user, struct slice password, int *code)
{
    *code = 4711;
    return checkpassword_ask(program, user, password, in(60000), code);
}

static const struct {
    const char *name, *script;
    mode_t mode;
    enum checkpassword_result want;
    int error, code;
    const char *why;
} programs[] = {
    {"right", "exec \"$@\"", 0700, CHECKPASSWORD_RIGHT, 0, 0, "it runs the program that it is told"},
    {"right, read", "cat <&3 >/dev/null; exec \"$@\"", 0700, CHECKPASSWORD_RIGHT, 0, 0, "likewise"},
    {"wrong", "exit 1", 0700, CHECKPASSWORD_WRONG, 0, 0, "not acceptable"},
    {"misused", "exit 2", 0700, CHECKPASSWORD_TROUBLE, 0, 2, "called wrongly"},
    {"trouble", "exit 111", 0700, CHECKPASSWORD_TROUBLE, 0, 111, "temporary"},
    {"unknown", "exit 255", 0700, CHECKPASSWORD_TROUBLE, 0, 255, "is no verdict"},
    {"crash", "kill -11 $$", 0700, CHECKPASSWORD_TROUBLE, EIO, 0, "is no verdict"},
    {"deaf", "exec 3<&-; exit 1", 0700, CHECKPASSWORD_WRONG, 0, 0, "it need not read"},
    {"not executable", "exit 0", 0600, CHECKPASSWORD_TROUBLE, 0, 120, "it could not be started"},
};

START_TEST(verdict)
{
    int code;
    const char *program = make_program(programs[_i].script, programs[_i].mode);
    int before = lowest_descriptor();
    enum checkpassword_result r =
        ask(program, (struct slice)S("alice"), (struct slice)S("wonderland"), &code);
    int error = errno;

    ck_assert_msg(r == programs[_i].want, "%s: %s: %d", programs[_i].name, programs[_i].why, (int)r);
    if (r == CHECKPASSWORD_TROUBLE)
        ck_assert_msg(error == programs[_i].error, "%s: %s", programs[_i].name, strerror(error));
    ck_assert_msg(code == programs[_i].code, "%s: %d", programs[_i].name, code);
    ck_assert_int_eq(lowest_descriptor(), before);
}
END_TEST

START_TEST(missing)
{
    int code;

    ck_assert(ask("./nowhere", (struct slice)S("a"), (struct slice)S("b"), &code) == CHECKPASSWORD_TROUBLE);
    ck_assert_int_eq(code, 120);
}
END_TEST

START_TEST(hangs)
{
    int code;
    const char *program = make_program("echo $$ >pid; exec sleep 1000 <&3", 0700);
    instant until = in(100);

    ck_assert(checkpassword_ask(program, (struct slice)S("a"), (struct slice)S("b"), until, &code) ==
              CHECKPASSWORD_TROUBLE);
    ck_assert_msg(errno == ETIMEDOUT && deadline_now() >= until, "not before its time");
    read_file("pid");
    ck_assert_msg(kill((pid_t)atol(found), 0) < 0 && errno == ESRCH, "and nothing is left of it");
}
END_TEST

/* It finds the question on 3, whole. Its output goes nowhere. It is told to run /bin/true, and inherits
 * nothing. */
START_TEST(question)
{
    static const char script[] =
        "cat <&3 >asked; printf '%s\\n' \"$@\" >arguments; ls /proc/self/fd >fds\n"
        "links=$(readlink /proc/$$/fd/0 /proc/$$/fd/1); echo \"$links\" >links; cat >heard; echo said\n"
        "exec \"$@\"";
    static const char want[] = "al\xffice\0won der\nland\0\0";
    int code;

    ck_assert(ask(make_program(script, 0700), (struct slice)S("al\xffice"), (struct slice)S("won der\nland"),
                  &code) == CHECKPASSWORD_RIGHT);
    ck_assert(read_file("asked") == sizeof want - 1 && !memcmp(found, want, sizeof want - 1));
    read_file("arguments");
    ck_assert_str_eq(found, "/bin/true\n");
    read_file("links");
    ck_assert_str_eq(found, "/dev/null\n/dev/null\n");
    ck_assert(!read_file("heard"));
    read_file("fds");
    ck_assert_msg(!strstr(found, "5"), "0 to 3, and one of ls: %s", found);
}
END_TEST

static const char xs[1000] = {[0 ... 999] = 'x'};

/* These are never asked: they are wrong for any program. */
static const struct {
    const char *name;
    struct slice user, password;
    enum checkpassword_result want;
    const char *why;
} questions[] = {
    {"usual", S("alice"), S("x"), CHECKPASSWORD_RIGHT, "the program's verdict"},
    {"no user", S(""), S("x"), CHECKPASSWORD_WRONG, "nobody"},
    {"no password", S("alice"), S(""), CHECKPASSWORD_WRONG, "it would prove nothing"},
    {"neither", S(""), S(""), CHECKPASSWORD_WRONG, "nobody"},
    {"NUL in the name", S("ali\0ce"), S("x"), CHECKPASSWORD_WRONG, "would be another name and password"},
    {"NUL in the password", S("alice"), S("x\0y"), CHECKPASSWORD_WRONG, "would be another password"},
    {"NUL at the end", S("alice"), S("x\0"), CHECKPASSWORD_WRONG, "would be another password"},
    {"longest", S("alice"), {xs, 504}, CHECKPASSWORD_RIGHT, "512 octets with three NULs"},
    {"too long", S("alice"), {xs, 505}, CHECKPASSWORD_WRONG, "513"},
    {"longest name", {xs, 508}, S("x"), CHECKPASSWORD_RIGHT, "512"},
    {"too long a name", {xs, 509}, S("x"), CHECKPASSWORD_WRONG, "513"},
    {"far too long", {xs, 1000}, {xs, 1000}, CHECKPASSWORD_WRONG, "2003"},
};

START_TEST(limits)
{
    int code;
    const char *program = make_program("cat <&3 >asked; exit 0", 0700);
    enum checkpassword_result r = ask(program, questions[_i].user, questions[_i].password, &code);

    ck_assert_msg(r == questions[_i].want, "%s: %s: %d", questions[_i].name, questions[_i].why, (int)r);
    ck_assert_msg(!access("asked", F_OK) == (r == CHECKPASSWORD_RIGHT), "%s: asked or not",
                  questions[_i].name);
    if (r == CHECKPASSWORD_RIGHT)
        ck_assert(read_file("asked") == questions[_i].user.n + questions[_i].password.n + 3);
}
END_TEST

/* Even where the pipe's end has the number that another descriptor should get. */
START_TEST(few_descriptors)
{
    int code;
    const char *program = make_program("cat <&3 >asked; exec \"$@\"", 0700);

    for (int fd = 2 + _i; fd < 20; fd++)
        close(fd);
    enum checkpassword_result r =
        checkpassword_ask(program, (struct slice)S("a"), (struct slice)S("b"), in(60000), &code);
    _exit(r == CHECKPASSWORD_RIGHT && read_file("asked") == 5 ? 0 : 1);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_unchecked_fixture(t, make_folder, remove_folder);
    tcase_add_checked_fixture(t, enter, NULL);
    tcase_add_loop_test(t, verdict, 0, COUNT(programs));
    tcase_add_test(t, missing);
    tcase_add_test(t, hangs);
    tcase_add_test(t, question);
    tcase_add_loop_test(t, limits, 0, COUNT(questions));
    tcase_add_loop_exit_test(t, few_descriptors, 0, 0, 2);
}

UNIT("checkpassword", tests)
