#define _GNU_SOURCE
#include "store/spool.h"
#include "tests/unit/folder.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char other[] = "/dev/shm/postern-spool-XXXXXX";
static struct spool s;

#define COPY(path, top, octets)                                                                              \
    {                                                                                                        \
        .maildir = (path), .header = {(top), (octets) }                                                      \
    }

/* Every test has a working directory of its own below it. */
static void enter(void)
{
    char name[32];

    snprintf(name, sizeof name, "%ld", (long)getpid());
    ck_assert(!mkdir(name, 0700) && !chdir(name));
    spool_init(&s, "mx.example.com");
}

/* Returns the number of entries; *name is one of them. -1: there is no such folder. */
static int entries(const char *path, char name[256])
{
    DIR *d = opendir(path);
    int n = 0;

    if (!d)
        return -1;
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') {
            strcpy(name, e->d_name);
            n++;
        }
    closedir(d);
    return n;
}

static int count(const char *maildir, const char *part)
{
    char path[4096], name[256];
    snprintf(path, sizeof path, "%s/%s", maildir, part);
    return entries(path, name);
}

static char *only_file(const char *maildir)
{
    static char path[8192];
    char new[4096], name[256];

    snprintf(new, sizeof new, "%s/new", maildir);
    ck_assert_msg(entries(new, name) == 1, "one file in %s", new);
    snprintf(path, sizeof path, "%s/%s", new, name);
    return path;
}

static struct stat stat_of(const char *path)
{
    struct stat st;
    ck_assert_msg(!stat(path, &st), "%s", path);
    return st;
}

static void check_content(const char *maildir, const char *want)
{
    static char text[1 << 20];
    const char *path = only_file(maildir);
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);

    close(fd);
    ck_assert_msg((size_t)n == strlen(want) && !memcmp(text, want, (size_t)n), "%s: %.*s", maildir,
                  n < 200 ? (int)n : 200, text);
    const char *size = strstr(path, ",S=");
    ck_assert_msg(size && strtoll(size + 3, NULL, 10) == n, "%s: its size stands in its name: %s", maildir,
                  path);
    ck_assert_msg(!count(maildir, "tmp"), "%s: nothing is left in tmp", maildir);
}

static void check_empty(const char *maildir)
{
    ck_assert_msg(count(maildir, "new") <= 0, "%s: nothing in new", maildir);
    ck_assert_msg(count(maildir, "tmp") <= 0, "%s: nothing in tmp", maildir);
}

static void deliver(const char *maildir, const char *header, const char *text, struct spool_copy *copies,
                    size_t n)
{
    ck_assert_msg(!spool_begin(&s, maildir, slice_of(header)), "begin: %s", strerror(errno));
    ck_assert_msg(!spool_write(&s, text, strlen(text)), "write: %s", strerror(errno));
    ck_assert_msg(!spool_commit(&s, copies, n), "commit: %s", strerror(errno));
    ck_assert_int_eq(s.fd, -1);
}

START_TEST(one)
{
    deliver("./m/", "A: b\n", "\ntext\n", NULL, 0);
    check_content("m", "A: b\n\ntext\n");
    ck_assert_int_eq(count("m", "tmp"), 0);
    ck_assert_int_eq(count("m", "cur"), 0);
    struct stat st = stat_of(only_file("m"));
    ck_assert_msg(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0600, "the file is its owner's");
    ck_assert_uint_eq(st.st_nlink, 1);
    ck_assert_msg((stat_of("m").st_mode & 07777) == 0700, "the Maildir is its owner's");
    ck_assert((stat_of("m/new").st_mode & 07777) == 0700 && (stat_of("m/tmp").st_mode & 07777) == 0700);
}
END_TEST

START_TEST(modes)
{
    umask(0);
    deliver("./m/", "", "x", NULL, 0);
    ck_assert_msg((stat_of(only_file("m")).st_mode & 07777) == 0600, "with any umask");
    ck_assert((stat_of("m").st_mode & 07777) == 0700);
}
END_TEST

static const struct {
    const char *name, *header;
    const char *input[4];
    const char *want, *why;
} contents[] = {
    {"in one", "A: b\n", {"\ntext\n"}, "A: b\n\ntext\n", "header, then text"},
    {"in pieces", "A: b\n", {"\n", "te", "xt\n"}, "A: b\n\ntext\n", "in order"},
    {"empty", "A: b\n", {NULL}, "A: b\n", "the header alone"},
    {"empty pieces", "A: b\n", {"", "", "x"}, "A: b\nx", "the header once"},
    {"no header", "", {"text\n"}, "text\n", "as it came"},
    {"no header, empty pieces", "", {"", "x", ""}, "x", "as it came"},
    {"nothing at all", "", {NULL}, "", "an empty file"},
};

START_TEST(content)
{
    ck_assert(!spool_begin(&s, "m", slice_of(contents[_i].header)));
    for (const char *const *p = contents[_i].input; *p; p++)
        ck_assert(!spool_write(&s, *p, strlen(*p)));
    ck_assert_msg(count("m", "new") == 0, "nothing stands in new before its time");
    ck_assert(!spool_commit(&s, NULL, 0));
    check_content("m", contents[_i].want);
}
END_TEST

START_TEST(large)
{
    static char text[700001], want[700010];

    memset(text, 'x', sizeof text - 1);
    for (size_t i = 0; i < sizeof text - 1; i += 70)
        text[i] = '\n';
    deliver("m", "A: b\n", text, (struct spool_copy[]){COPY("c/", "C: d\n\n", 6)}, 1);
    strcpy(stpcpy(want, "A: b\n"), text);
    check_content("m", want);
    strcpy(stpcpy(want, "C: d\n\n"), text);
    check_content("c", want);
}
END_TEST

static const struct {
    const char *name, *input, *want, *why;
} hosts[] = {
    {"name", "mx.example.com", "mx\\.example\\.com", "as it is"},
    {"literal", "[192.0.2.1]", "\\[192\\.0\\.2\\.1]", "as it is"},
    {"IPv6", "[IPv6:2001:db8::7]", "\\[IPv6\\\\0722001\\\\072db8\\\\072\\\\0727]",
     "a colon begins a Maildir's flags"},
    {"longest", "[IPv6:1111:2222:3333:4444:5555:6666:7777:8888]", "\\[IPv6(\\\\072[1-8]{4}){8}]", "fits"},
    {"very long",
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbb",
     "a{128}", "cut to SPOOL_HOST"},
};

START_TEST(names)
{
    char pattern[300];
    regex_t regex;

    spool_init(&s, hosts[_i].input);
    deliver("m", "A: b\n", "x", NULL, 0);
    snprintf(pattern, sizeof pattern, "^m/new/[0-9]{10,}\\.M[0-9]{6}P%ld_1\\.%s,S=6$", (long)getpid(),
             hosts[_i].want);
    ck_assert(!regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB));
    ck_assert_msg(!regexec(&regex, only_file("m"), 0, NULL, 0), "%s: %s: %s", hosts[_i].name, hosts[_i].why,
                  only_file("m"));
    regfree(&regex);
}
END_TEST

START_TEST(many_messages)
{
    for (int i = 0; i < 50; i++)
        deliver(i % 5 == 4 ? "./n/" : "./m/", "", "x", NULL, 0);
    ck_assert_msg(count("m", "new") == 40 && count("n", "new") == 10, "no name is used twice");
    ck_assert(count("m", "tmp") == 0 && count("n", "tmp") == 0);
}
END_TEST

START_TEST(missing_folders)
{
    char path[256];

    ck_assert(getcwd(path, sizeof path - 16));
    strcat(path, "/abs/x/y/");
    deliver("./a/b//c/Maildir/", "", "1", NULL, 0);
    check_content("a/b/c/Maildir", "1");
    deliver(path, "", "2", NULL, 0);
    check_content("abs/x/y", "2");
    deliver("plain", "", "3", NULL, 0);
    check_content("plain", "3");
    deliver("m", "", "4", (struct spool_copy[]){COPY("./deep/er/", "", 0)}, 1);
    check_content("deep/er", "4");
    ck_assert_msg(count("a/b/c/Maildir", "cur") == 0 && count("deep/er", "cur") == 0, "cur, too");
}
END_TEST

/* A Maildir of which some parts are there. */
static const struct {
    const char *name;
    const char *input[3];
    const char *why;
} parts[] = {
    {"none", {NULL}, "all are made"},
    {"tmp", {"m/tmp"}, "new is made"},
    {"new", {"m/new"}, "tmp is made"},
    {"tmp and new", {"m/tmp", "m/new"}, "that is enough"},
};

START_TEST(missing_parts)
{
    ck_assert(!mkdir("m", 0755));
    for (const char *const *p = parts[_i].input; *p; p++)
        ck_assert(!mkdir(*p, 0750));
    deliver("m", "", "x", NULL, 0);
    check_content("m", "x");
    ck_assert_msg((stat_of("m").st_mode & 07777) == 0755, "an old folder keeps its mode");
}
END_TEST

START_TEST(long_path)
{
    char path[MAILDIR_PATH + 1];

    memset(path, 'p', sizeof path);
    for (size_t i = 200; i < sizeof path; i += 200)
        path[i] = '/';
    path[MAILDIR_PATH - 1] = 0;
    deliver(path, "", "x", NULL, 0);
    check_content(path, "x");
    path[MAILDIR_PATH - 1] = 'p';
    path[MAILDIR_PATH] = 0;
    ck_assert(spool_begin(&s, path, slice_of("")) == -1 && errno == ENAMETOOLONG);
}
END_TEST

START_TEST(links)
{
    struct spool_copy copies[] = {COPY("./b/", "", 0), COPY("./c/", NULL, 0)};

    deliver("./a/", "H\n", "text\n", copies, 2);
    ino_t inode = stat_of(only_file("a")).st_ino;
    ck_assert_msg(stat_of(only_file("b")).st_ino == inode && stat_of(only_file("c")).st_ino == inode,
                  "one file serves all");
    ck_assert_uint_eq(stat_of(only_file("a")).st_nlink, 3);
    check_content("a", "H\ntext\n");
    check_content("b", "H\ntext\n");
    ck_assert(count("a", "tmp") == 0 && count("b", "tmp") == 0 && count("c", "tmp") == 0);
}
END_TEST

START_TEST(other_header)
{
    struct spool_copy copies[] = {COPY("./b/", "Longer: header\n", 15), COPY("./c/", "", 0),
                                  COPY("./d/", "S\n", 2)};

    deliver("./a/", "Mine: x\n", "text\n", copies, 3);
    check_content("a", "Mine: x\ntext\n");
    check_content("b", "Longer: header\ntext\n");
    check_content("c", "Mine: x\ntext\n");
    check_content("d", "S\ntext\n");
    ck_assert(stat_of(only_file("b")).st_nlink == 1 && stat_of(only_file("a")).st_nlink == 2);
    ck_assert((stat_of(only_file("b")).st_mode & 07777) == 0600);
    ck_assert(count("b", "tmp") == 0 && count("d", "tmp") == 0);
}
END_TEST

START_TEST(empty_message_with_copies)
{
    struct spool_copy copies[] = {COPY("./b/", "B\n", 2), COPY("./c/", "", 0)};

    ck_assert(!spool_begin(&s, "./a/", slice_of("A\n")) && !spool_commit(&s, copies, 2));
    check_content("a", "A\n");
    check_content("b", "B\n");
    check_content("c", "A\n");
}
END_TEST

START_TEST(other_filesystem)
{
    struct stat st;

    if (stat("/dev/shm", &st) < 0 || st.st_dev == stat_of(".").st_dev || !mkdtemp(other))
        return; /* this machine has but one */
    struct spool_copy copies[] = {COPY(other, "", 0), COPY("./b/", "", 0)};
    ck_assert(!spool_begin(&s, "./a/", slice_of("H\n")) && !spool_write(&s, "text\n", 5));
    int r = spool_commit(&s, copies, 2);
    bool whole = count(other, "new") == 1 && count(other, "tmp") == 0;
    if (whole) {
        check_content(other, "H\ntext\n");
        ck_assert(stat_of(only_file(other)).st_nlink == 1);
    }
    /* And where the message as a whole fails, that copy goes, too. */
    ck_assert(!spool_begin(&s, "./a/", slice_of("H\n")) && !spool_write(&s, "more\n", 5));
    copies[1].maildir = "./a/new/file";
    close(creat("./a/new/file", 0600));
    int failed = spool_commit(&s, copies, 2);
    spool_abandon(&s);
    int left = count(other, "new");
    nftw(other, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    ck_assert_int_eq(r, 0);
    ck_assert_msg(whole, "copied where a link is impossible");
    ck_assert_msg(failed == -1 && left == 1, "%d files", left);
    check_content("b", "H\ntext\n");
}
END_TEST

/* Names of one Maildir that do not look the same: one message is delivered, once, and nothing is left behind.
 */
static const struct {
    const char *name;
    const char *input[3];
    const char *why;
} aliases[] = {
    {"slash", {"./m//"}, "the message's own"},
    {"up and down", {"./m/../m/"}, "the message's own"},
    {"a link", {"./link/"}, "the message's own"},
    {"both copies", {"./c/", "./c//"}, "one copy twice"},
    {"all", {"./m//", "./link/"}, "the message's own twice"},
};

START_TEST(same_maildir)
{
    struct spool_copy copies[3];
    char path[4096], name[256];
    size_t n = 0;

    ck_assert(!symlink("m", "link"));
    for (; aliases[_i].input[n]; n++)
        copies[n] = (struct spool_copy)COPY(aliases[_i].input[n], "", 0);
    ck_assert(!spool_begin(&s, "./m/", slice_of("H\n")) && !spool_write(&s, "x", 1));
    ck_assert_msg(!spool_commit(&s, copies, n), "%s: %s: %s", aliases[_i].name, aliases[_i].why,
                  strerror(errno));
    check_content("m", "H\nx");
    snprintf(path, sizeof path, "%s/new", copies[0].maildir);
    ck_assert(entries(path, name) == 1);
}
END_TEST

START_TEST(same_maildir_other_header)
{
    struct spool_copy copies[] = {COPY("./m//", "Other\n", 6), COPY("./m/./", "", 0)};

    deliver("./m/", "H\n", "x", copies, 2);
    check_content("m", "H\nx");
}
END_TEST

START_TEST(abandoned)
{
    spool_abandon(&s);
    ck_assert(!spool_begin(&s, "m", slice_of("H\n")));
    spool_abandon(&s);
    spool_abandon(&s);
    check_empty("m");
    ck_assert(!spool_begin(&s, "m", slice_of("H\n")) && !spool_write(&s, "x", 1));
    ck_assert_int_eq(count("m", "tmp"), 1);
    errno = ENOSPC;
    spool_abandon(&s);
    ck_assert_msg(errno == ENOSPC, "the reason is still to be told");
    check_empty("m");
    deliver("m", "H\n", "y", NULL, 0);
    spool_abandon(&s);
    check_content("m", "H\ny");
    ck_assert_int_eq(count("m", "tmp"), 0);
}
END_TEST

/* Maildirs are looked up anew after trouble, and when their name changes. */
START_TEST(maildir_kept_open)
{
    deliver("m", "", "1", NULL, 0);
    int kept = s.maildir.fresh;
    ck_assert(kept >= 0);
    deliver("m", "", "2", NULL, 0);
    ck_assert_msg(s.maildir.fresh == kept, "open for the next message");
    ck_assert(!rename("m", "old"));
    deliver("n", "", "3", NULL, 0);
    deliver("m", "", "4", NULL, 0);
    check_content("n", "3");
    check_content("m", "4");
    ck_assert_int_eq(count("old", "new"), 2);
}
END_TEST

/* A sticky bit on new/ may be another's: it is no reason to refuse mail, and this program takes only its
 * own away. */
static const struct {
    mode_t above, fresh, left;
    const char *why;
} sticky[] = {
    {0700, 01700, 0700, "as this program makes it: brought to disk, then taken away"},
    {0700, 03700, 02700, "its group stays that of its folder"},
    {0700, 01770, 01770, "set for others"},
    {0700, 03777, 03777, "set for others"},
    {0300, 01700, 01700, "this program made nothing below a folder that it may not read"},
};

START_TEST(sticky_new)
{
    const char *const made[] = {"a", "a/m", "a/m/tmp", "a/m/new"};

    for (size_t i = 0; i < COUNT(made); i++)
        ck_assert(!mkdir(made[i], 0700));
    ck_assert(!chmod("a/m/new", sticky[_i].fresh) && !chmod("a", sticky[_i].above));
    if (!geteuid()) /* no folder's mode stops it */
        for (size_t i = 0; i < COUNT(made); i++)
            ck_assert(!chown(made[i], 65534, 65534) && !chmod(".", 0755));
    if (!geteuid())
        ck_assert(!chmod("a/m/new", sticky[_i].fresh) && !setgid(65534) && !setuid(65534));
    deliver("a/m", "", "x", NULL, 0);
    ck_assert(!chmod("a", 0700));
    ck_assert_msg((stat_of("a/m/new").st_mode & 07777) == sticky[_i].left, "%s", sticky[_i].why);
    check_content("a/m", "x");
}
END_TEST

/* --- failures --- */

static void make_file(const char *path)
{
    int fd = creat(path, 0600);
    ck_assert(fd >= 0);
    close(fd);
}

static void m_is_file(void)
{
    make_file("m");
}

static void m_below_file(void)
{
    make_file("f");
    ck_assert(!symlink("f/m", "m"));
}

static void m_dangles(void)
{
    ck_assert(!symlink("nowhere", "m"));
}

static void m_tmp_is_file(void)
{
    ck_assert(!mkdir("m", 0700) && !mkdir("m/new", 0700));
    make_file("m/tmp");
}

static void m_new_is_file(void)
{
    ck_assert(!mkdir("m", 0700) && !mkdir("m/tmp", 0700));
    make_file("m/new");
}

/* Another user's Maildir, into which this one leads. */
static void make_v(void)
{
    ck_assert(!mkdir("m", 0700) && !mkdir("v", 0700) && !mkdir("v/tmp", 0700) && !mkdir("v/new", 0700));
}

static void m_tmp_is_link(void)
{
    make_v();
    ck_assert(!mkdir("m/new", 0700) && !symlink("../v/tmp", "m/tmp"));
}

static void m_new_is_link(void)
{
    make_v();
    ck_assert(!mkdir("m/tmp", 0700) && !symlink("../v/new", "m/new"));
}

static void c_is_file(void)
{
    make_file("c");
}

static void c_new_is_file(void)
{
    ck_assert(!mkdir("c", 0700) && !mkdir("c/tmp", 0700));
    make_file("c/new");
}

static void c_tmp_is_file(void)
{
    ck_assert(!mkdir("c", 0700) && !mkdir("c/new", 0700));
    make_file("c/tmp");
}

static void limit_file_size(void)
{
    struct rlimit limit = {20000, 20000};

    signal(SIGXFSZ, SIG_IGN);
    ck_assert(!setrlimit(RLIMIT_FSIZE, &limit));
}

static void remove_new(void)
{
    ck_assert(!rmdir("m/new"));
}

static void limit_files(void)
{
    struct rlimit limit;

    ck_assert(!getrlimit(RLIMIT_NOFILE, &limit));
    int next = open("/dev/null", O_RDONLY);
    close(next);
    limit.rlim_cur = (rlim_t)next;
    ck_assert(!setrlimit(RLIMIT_NOFILE, &limit));
}

enum step { BEGIN, WRITE, COMMIT };

static const struct {
    const char *name;
    void (*before)(void);        /* before anything else */
    void (*before_commit)(void); /* when all is written */
    size_t size, header;         /* of the message; of the other header of copy c */
    enum step step;              /* the one that must fail */
    int want;                    /* errno */
    const char *why;
} failures[] = {
    {"a file", m_is_file, NULL, 10, 0, BEGIN, ENOTDIR, "no Maildir"},
    {"below a file", m_below_file, NULL, 10, 0, BEGIN, ENOTDIR, "cannot be made"},
    {"dangling", m_dangles, NULL, 10, 0, BEGIN, ENOENT, "cannot be made"},
    {"tmp a file", m_tmp_is_file, NULL, 10, 0, BEGIN, ENOTDIR, "no Maildir"},
    {"new a file", m_new_is_file, NULL, 10, 0, BEGIN, ENOTDIR, "no Maildir"},
    {"tmp a link", m_tmp_is_link, NULL, 10, 0, BEGIN, ENOTDIR, "it leads into another Maildir"},
    {"new a link", m_new_is_link, NULL, 10, 0, BEGIN, ENOTDIR, "it leads into another Maildir"},
    {"no descriptors", limit_files, NULL, 10, 0, BEGIN, EMFILE, "cannot be opened"},
    {"full", limit_file_size, NULL, 30000, 0, WRITE, EFBIG, "half a message is none"},
    {"full at commit", NULL, NULL, 0, 0, COMMIT, EFBIG, "a header alone is written there"},
    {"new is gone", NULL, remove_new, 10, 0, COMMIT, ENOENT, "the copies are taken back"},
    {"copy a file", c_is_file, NULL, 10, 0, COMMIT, ENOTDIR, "no Maildir"},
    {"copy's new a file", c_new_is_file, NULL, 10, 0, COMMIT, ENOTDIR, "no Maildir"},
    {"copy's tmp a file", c_tmp_is_file, NULL, 10, 5, COMMIT, ENOTDIR, "no Maildir"},
    {"copy full", limit_file_size, NULL, 15000, 6000, COMMIT, EFBIG, "half a copy is none"},
    {"copy's header full", limit_file_size, NULL, 10, 25000, COMMIT, EFBIG, "half a copy is none"},
    {"copies and no descriptors", NULL, limit_files, 10, 0, COMMIT, EMFILE, "cannot be opened"},
    {"new is gone, other header", NULL, remove_new, 10, 7, COMMIT, ENOENT, "the copies are taken back"},
    {"new is gone, shorter header", NULL, remove_new, 10, 2, COMMIT, ENOENT, "the copies are taken back"},
};

START_TEST(failure)
{
    static char text[30000], header[25000], own[20001];
    struct spool_copy copies[] = {COPY("./b/", "", 0), COPY("./c/", header, failures[_i].header),
                                  COPY("./d/", "", 0)};
    enum step step = failures[_i].step;
    struct slice first = {"Own\n", 4};

    memset(text, 't', sizeof text);
    memset(header, 'h', sizeof header);
    if (!failures[_i].size) {
        limit_file_size();
        first = (struct slice){own, sizeof own};
    }
    if (failures[_i].before)
        failures[_i].before();
    int r = spool_begin(&s, "./m/", first);
    ck_assert_msg((r < 0) == (step == BEGIN), "%s: begin: %s", failures[_i].name, strerror(errno));
    if (step != BEGIN && failures[_i].size) {
        r = spool_write(&s, text, failures[_i].size);
        ck_assert_msg((r < 0) == (step == WRITE), "%s: write: %s", failures[_i].name, strerror(errno));
    }
    if (step == COMMIT) {
        if (failures[_i].before_commit)
            failures[_i].before_commit();
        r = spool_commit(&s, copies, 3);
        ck_assert_msg(r < 0, "%s: commit", failures[_i].name);
    }
    ck_assert_msg(errno == failures[_i].want, "%s: %s: %s", failures[_i].name, failures[_i].why,
                  strerror(errno));
    for (int i = 0; i < 4; i++) {
        char maildir[] = {"mbcd"[i], 0};
        ck_assert_msg(count(maildir, "new") <= 0, "%s: nothing in %s/new", failures[_i].name, maildir);
    }
    spool_abandon(&s);
    struct rlimit files = {1024, 1024};
    setrlimit(RLIMIT_NOFILE, &files);
    for (int i = 0; i < 4; i++) {
        char maildir[] = {"mbcd"[i], 0};
        ck_assert_msg(count(maildir, "new") <= 0 && count(maildir, "tmp") <= 0, "%s: nothing in %s",
                      failures[_i].name, maildir);
    }
    deliver("./next/", "H\n", "x", (struct spool_copy[]){COPY("./b/", "", 0)}, 1);
    check_content("next", "H\nx");
    check_content("b", "H\nx");
    if (failures[_i].before_commit == remove_new) {
        deliver("./m/", "H\n", "y", NULL, 0);
        check_content("m", "H\ny");
    }
}
END_TEST

/* Faults that stop the last copy; with a header of its own that copy is written, not linked. */
static const struct {
    const char *name;
    void (*input)(void);
    size_t header;
    int want;
    const char *why;
} late_failures[] = {
    {"no Maildir", c_is_file, 0, ENOTDIR, "known before the first copy is shown"},
    {"no new", c_new_is_file, 0, ENOTDIR, "known before the first copy is shown"},
    {"full", limit_file_size, 25000, EFBIG, "known before the first copy is shown"},
};

/* Waits in every new/ for files to appear. */
static int watch(void)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    deliver("./m/", "", "1", (struct spool_copy[]){COPY("./b/", "", 0), COPY("./d/", "", 0)}, 2);
    for (const char *const *p = (const char *[]){"m/new", "b/new", "d/new", NULL}; *p; p++)
        ck_assert(inotify_add_watch(fd, *p, IN_CREATE | IN_MOVED_TO) >= 0);
    return fd;
}

static void check_unseen(int watcher)
{
    char event[4096];
    ck_assert_msg(read(watcher, event, sizeof event) < 0 && errno == EAGAIN, "a reader has seen it");
    ck_assert(count("m", "new") == 1 && count("b", "new") == 1 && count("d", "new") == 1);
    ck_assert(count("m", "tmp") == 0 && count("b", "tmp") == 0 && count("d", "tmp") == 0);
}

START_TEST(nothing_seen)
{
    static char header[25000];
    struct spool_copy copies[] = {COPY("./b/", "", 0), COPY("./d/", "D\n", 2),
                                  COPY("./c/", header, late_failures[_i].header)};
    int watcher = watch();

    memset(header, 'h', sizeof header);
    late_failures[_i].input();
    ck_assert(!spool_begin(&s, "./m/", slice_of("H\n")) && !spool_write(&s, "text\n", 5));
    int r = spool_commit(&s, copies, 3);
    ck_assert_msg(r < 0 && errno == late_failures[_i].want, "%s: %s: %s", late_failures[_i].name,
                  late_failures[_i].why, strerror(errno));
    spool_abandon(&s);
    check_unseen(watcher);
}
END_TEST

/* With any number of descriptors left, it is all or nothing. */
START_TEST(few_descriptors)
{
    struct spool_copy copies[] = {COPY("./b/", "", 0), COPY("./d/", "D\n", 2)};
    int watcher = watch(), refused = 0;

    for (rlim_t more = 0;; more++) {
        struct rlimit limit = {1024, 1024};
        ck_assert(!setrlimit(RLIMIT_NOFILE, &limit));
        ck_assert(!spool_begin(&s, "./m/", slice_of("H\n")) && !spool_write(&s, "text\n", 5));
        limit.rlim_cur = (rlim_t)s.fd + 1 + more;
        ck_assert(!setrlimit(RLIMIT_NOFILE, &limit));
        if (!spool_commit(&s, copies, 2))
            break;
        ck_assert_msg(errno == EMFILE, "%s", strerror(errno));
        spool_abandon(&s);
        check_unseen(watcher);
        refused++;
    }
    ck_assert_int_eq(refused, 5); /* two for each Maildir, one for the file that is written */
    ck_assert(count("m", "new") == 2 && count("b", "new") == 2 && count("d", "new") == 2);
}
END_TEST

static char mine[64];

static void put_file(const char *name)
{
    int fd = creat(name, 0600);
    ck_assert(fd >= 0 && write(fd, "hers\n", 5) == 5 && !close(fd));
}

static void put_link(const char *name)
{
    ck_assert(!symlink("/etc/passwd", name));
}

static void put_folder(const char *name)
{
    ck_assert(!mkdir(name, 0700));
}

static void put_pipe(const char *name)
{
    ck_assert(!mkfifo(name, 0600));
}

static void put_other_link(const char *name)
{
    put_file("hers");
    ck_assert(!link("hers", name));
}

/* The owner of the first Maildir puts this in the place of the message, before it is delivered. */
static const struct {
    const char *name;
    void (*input)(const char *name);
    const char *why;
} replacements[] = {
    {"file", put_file, "hers"},           {"symbolic link", put_link, "anybody's"},
    {"folder", put_folder, "hers"},       {"pipe", put_pipe, "it would never end"},
    {"link", put_other_link, "her file"},
};

START_TEST(replaced_in_tmp)
{
    struct spool_copy copies[] = {COPY("./b/", "", 0), COPY("./c/", "C\n", 2)};
    char name[256];

    ck_assert(!spool_begin(&s, "./m/", slice_of("H\n")) && !spool_write(&s, "text\n", 5));
    ck_assert_int_eq(entries("m/tmp", name), 1);
    snprintf(mine, sizeof mine, "m/tmp/%.50s", name);
    ck_assert(!unlink(mine));
    replacements[_i].input(mine);
    ck_assert_msg(!spool_commit(&s, copies, 2), "%s: %s", replacements[_i].name, strerror(errno));
    check_content("b", "H\ntext\n");
    check_content("c", "C\ntext\n");
    struct stat st;
    ck_assert_msg(!lstat(only_file("b"), &st) && S_ISREG(st.st_mode) && st.st_nlink == 1, "%s: %s",
                  replacements[_i].name, replacements[_i].why);
}
END_TEST

/* The folder that is brought to disk is the one that has got the name. */
START_TEST(replaced_new)
{
    deliver("./m/", "", "1", NULL, 0);
    ck_assert(!spool_begin(&s, "./m/", slice_of("")) && !spool_write(&s, "2", 1));
    ck_assert(!rename("m/new", "m/old") && !mkdir("m/new", 0700));
    ck_assert(!spool_commit(&s, NULL, 0));
    ck_assert_int_eq(count("m", "old"), 2);
    ck_assert_int_eq(count("m", "new"), 0);
}
END_TEST

/* No descriptor is left open, however it ends. */
START_TEST(descriptors)
{
    struct spool_copy copies[] = {COPY("./b/", "", 0), COPY("./c/", "C\n", 2)};

    deliver("./a/", "H\n", "x", copies, 2);
    spool_abandon(&s);
    int lowest = open("/dev/null", O_RDONLY);
    close(lowest);
    make_file("f");
    for (int i = 0; i < 20; i++) {
        copies[1].maildir = i % 2 ? "./f/" : "./c/";
        ck_assert(!spool_begin(&s, i % 3 ? "./a/" : "./e/", slice_of("H\n")));
        ck_assert(spool_commit(&s, copies, 2) == -(i % 2));
        spool_abandon(&s);
        ck_assert(spool_begin(&s, "./f/", slice_of("H\n")) == -1);
        spool_abandon(&s);
    }
    int now = open("/dev/null", O_RDONLY);
    ck_assert_int_eq(now, lowest);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_unchecked_fixture(t, make_folder, remove_folder);
    tcase_add_checked_fixture(t, enter, NULL);
    tcase_add_test(t, one);
    tcase_add_test(t, modes);
    tcase_add_loop_test(t, content, 0, COUNT(contents));
    tcase_add_test(t, large);
    tcase_add_loop_test(t, names, 0, COUNT(hosts));
    tcase_add_test(t, many_messages);
    tcase_add_test(t, missing_folders);
    tcase_add_loop_test(t, missing_parts, 0, COUNT(parts));
    tcase_add_test(t, long_path);
    tcase_add_test(t, links);
    tcase_add_test(t, other_header);
    tcase_add_test(t, empty_message_with_copies);
    tcase_add_test(t, other_filesystem);
    tcase_add_loop_test(t, same_maildir, 0, COUNT(aliases));
    tcase_add_test(t, same_maildir_other_header);
    tcase_add_test(t, abandoned);
    tcase_add_test(t, maildir_kept_open);
    tcase_add_loop_test(t, sticky_new, 0, COUNT(sticky));
    tcase_add_loop_test(t, failure, 0, COUNT(failures));
    tcase_add_loop_test(t, nothing_seen, 0, COUNT(late_failures));
    tcase_add_test(t, few_descriptors);
    tcase_add_loop_test(t, replaced_in_tmp, 0, COUNT(replacements));
    tcase_add_test(t, replaced_new);
    tcase_add_test(t, descriptors);
}

UNIT("spool", tests)
