/* The order of flushing, and the leavings where a step fails: the system's calls are ours here. */
#include "base/replace.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char steps[64]; /* f a file is flushed, r renamed, d a folder is flushed */
static char failing;   /* the step that fails; 0: none */

static int step(char name)
{
    size_t n = strlen(steps);
    steps[n] = name;
    steps[n + 1] = 0;
    if (name != failing)
        return 0;
    errno = EIO;
    return -1;
}

int fsync(int fd)
{
    struct stat st;
    ck_assert(!fstat(fd, &st));
    return step(S_ISDIR(st.st_mode) ? 'd' : 'f');
}

int rename(const char *from, const char *to)
{
    return step('r') ? -1 : renameat(AT_FDCWD, from, AT_FDCWD, to);
}

static char folder[] = "/tmp/postern-replace-XXXXXX";

static void set_up(void)
{
    ck_assert(mkdtemp(folder) && !chdir(folder));
    int fd = open("target", O_WRONLY | O_CREAT | O_EXCL, 0600);
    ck_assert(fd >= 0 && write(fd, "old", 3) == 3);
    close(fd);
    steps[0] = failing = 0;
}

static void tear_down(void)
{
    unlink("target");
    ck_assert(!chdir("/") && !rmdir(folder));
}

static void check_target(const char *want)
{
    char is[16];
    int files = 0, fd = open("target", O_RDONLY);
    ssize_t n = read(fd, is, sizeof is);

    close(fd);
    ck_assert(n == (ssize_t)strlen(want) && !memcmp(is, want, strlen(want)));
    DIR *dir = opendir(".");
    for (struct dirent *e; (e = readdir(dir));)
        files += *e->d_name != '.';
    closedir(dir);
    ck_assert_msg(files == 1, "nothing beside the target");
}

static const struct {
    const char *name, *target;
    char failing;
    const char *steps, *left, *at, *why;
} commits[] = {
    {"all well", "target", 0, "frd", "new", NULL, "the file before its name, the name before we say so"},
    {"relative folder", "./target", 0, "frd", "new", NULL, "the same"},
    {"file is not flushed", "target", 'f', "f", "old", "target", "it never gets the name"},
    {"no rename", "target", 'r', "fr", "old", "target", "it never gets the name"},
    {"folder is not flushed", "target", 'd', "frd", "new", "./", "the folder is named"},
    {"named folder is not flushed", "../%s/target", 'd', "frd", "new", "../%s/", "the folder is named"},
};

START_TEST(commit)
{
    struct replace r;
    char target[128], at[128];

    snprintf(target, sizeof target, commits[_i].target, strrchr(folder, '/') + 1);
    ck_assert(!replace_begin(&r, target, 0644));
    ck_assert(write(r.fd, "new", 3) == 3);
    failing = commits[_i].failing;
    int failed = replace_commit(&r);
    ck_assert_msg(!failed == !failing && (!failed || errno == EIO), "%s: %s", commits[_i].name,
                  commits[_i].why);
    ck_assert_msg(!strcmp(steps, commits[_i].steps), "%s: %s: %s", commits[_i].name, commits[_i].why, steps);
    if (commits[_i].at) {
        snprintf(at, sizeof at, commits[_i].at, strrchr(folder, '/') + 1);
        ck_assert_str_eq(r.at, at);
    }
    check_target(commits[_i].left);
    replace_abandon(&r);
    check_target(commits[_i].left);
}
END_TEST

START_TEST(abandon)
{
    struct replace r;

    ck_assert(!replace_begin(&r, "target", 0600));
    replace_abandon(&r);
    replace_abandon(&r);
    ck_assert_str_eq(steps, "");
    check_target("old");
}
END_TEST

START_TEST(begin_fails)
{
    char path[PATH_MAX];
    struct replace r;

    ck_assert(replace_begin(&r, "none/target", 0644) == -1 && errno == ENOENT &&
              strstr(r.at, "none/target.tmp."));
    memset(path, 'x', sizeof path);
    path[sizeof path - 1] = 0;
    ck_assert(replace_begin(&r, path, 0644) == -1 && errno == ENAMETOOLONG && r.at == path);
    replace_abandon(&r);
    check_target("old");
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, commit, 0, COUNT(commits));
    tcase_add_test(t, abandon);
    tcase_add_test(t, begin_fails);
}

UNIT("replace", tests)
