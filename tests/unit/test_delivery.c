#define _GNU_SOURCE
#include "store/delivery.h"
#include "tests/unit/folder.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct transaction_buffer buffer;
static struct transaction t;
static struct trace trace;
static struct delivery d;
static char found[1 << 16];

static void begin_transaction(void)
{
    struct address a;
    struct slice rest;

    ck_assert(!address_parse(slice_of("<bob@example.org>"), ADDRESS_REVERSE, &a, &rest));
    transaction_begin(&t, &a, false);
}

/* Every test has a working directory of its own below it. */
static void enter(void)
{
    char name[32];

    snprintf(name, sizeof name, "%ld", (long)getpid());
    ck_assert(!mkdir(name, 0700) && !chdir(name));
    signal(SIGPIPE, SIG_IGN);
    transaction_init(&t, &buffer);
    begin_transaction();
    trace = (struct trace){.me = "mx.example.com",
                           .protocol = "SMTP",
                           .session = "1k3",
                           .id = "1k3.1",
                           .mode = "local",
                           .helo = {"h", 1},
                           .transaction = &t};
}

static void add(const char *recipient, const char *place)
{
    ck_assert(transaction_add(&t, slice_of(recipient), slice_of(place)));
}

static instant soon(void)
{
    return deadline_after(deadline_now(), 30 * SECOND);
}

static enum delivery_result deliver(const char *text)
{
    enum delivery_result r = delivery_begin(&d, &trace);

    if (r != DELIVERY_DONE)
        return r;
    delivery_write(&d, "", 0, soon());
    delivery_write(&d, text, strlen(text) / 2, soon());
    delivery_write(&d, text + strlen(text) / 2, strlen(text) - strlen(text) / 2, soon());
    return delivery_commit(&d, soon());
}

/* How many files are in FOLDER; `found` is the content of one of them. */
static int files(const char *path, ino_t *inode)
{
    DIR *dir = opendir(path);
    char name[600];
    struct stat st;
    int n = 0;

    if (!dir)
        return 0;
    for (struct dirent *e; (e = readdir(dir));) {
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        int fd = open(name, O_RDONLY);
        ck_assert(fd >= 0 && !fstat(fd, &st));
        if (S_ISREG(st.st_mode)) {
            ssize_t got = read(fd, found, sizeof found - 1);
            ck_assert(got >= 0);
            found[got] = 0;
            *inode = st.st_ino;
            n++;
        }
        close(fd);
    }
    closedir(dir);
    return n;
}

#define RECEIVED(for_whom)                                                                                   \
    "Received: from h\n\tby mx.example.com with SMTP id 1k3.1" for_whom "; Thu, 1 Jan 1970 00:00:00 +0000\n"
#define ENVELOPE(to)                                                                                         \
    "X-Postern-Client: unknown\nX-Postern-Helo: h\nX-Postern-Session: 1k3\nX-Postern-Mode: local\n"          \
    "X-Postern-From: <bob@example.org>\n" to
#define RETURN "Return-Path: <bob@example.org>\n"

/* Recipients and their places; then the content of the folders a, b and spool (NULL: nothing). */
static const struct {
    const char *name;
    const char *input[7];
    const char *place; /* as the log says it */
    const char *a, *b, *spool, *why;
} maildirs[] = {
    {"spool",
     {"x@y", ""},
     "spool",
     NULL,
     NULL,
     RETURN RECEIVED("\n\tfor <x@y>") ENVELOPE("X-Postern-To: <x@y>\n"),
     "the operator sees the envelope"},
    {"spool, two",
     {"x@y", "", "z@y", ""},
     "spool",
     NULL,
     NULL,
     RETURN RECEIVED("") ENVELOPE("X-Postern-To: <x@y>\nX-Postern-To: <z@y>\n"),
     "one file"},
    {"mailbox",
     {"x@y", "./a/"},
     "maildir",
     RETURN "Delivered-To: x@y\n" RECEIVED("\n\tfor <x@y>"),
     NULL,
     NULL,
     "its owner learns the recipients"},
    {"two mailboxes",
     {"x@y", "./a/", "z@y", "./b/"},
     "maildir",
     RETURN RECEIVED(""),
     RETURN RECEIVED(""),
     NULL,
     "they do not learn of each other"},
    {"two recipients, one mailbox",
     {"x@y", "./a/", "z@y", "./a/"},
     "maildir",
     RETURN RECEIVED(""),
     NULL,
     NULL,
     "one file"},
    {"mailbox and spool",
     {"x@y", "./a/", "z@y", ""},
     "spool,maildir",
     RETURN RECEIVED(""),
     NULL,
     RETURN RECEIVED("") ENVELOPE("X-Postern-To: <z@y>\n"),
     "the other has nothing of spool's header"},
    {"spool first",
     {"x@y", "", "z@y", "./a/", "v@y", "./b/"},
     "spool,maildir",
     RETURN RECEIVED(""),
     RETURN RECEIVED(""),
     RETURN RECEIVED("") ENVELOPE("X-Postern-To: <x@y>\n"),
     "in any order"},
};

static void check_folder(const char *path, const char *header, const char *name)
{
    char want[4096];
    ino_t inode;
    int n = files(path, &inode);

    ck_assert_msg(n == !!header, "%s: %d files in %s", name, n, path);
    if (!header)
        return;
    snprintf(want, sizeof want, "%s\ntext\n", header);
    ck_assert_msg(!strcmp(found, want), "%s: %s:\n%s", name, path, found);
}

START_TEST(maildir)
{
    ino_t a = 0, b = 0;

    for (const char *const *p = maildirs[_i].input; *p; p += 2)
        add(p[0], p[1]);
    delivery_init(&d, "mx.example.com", "./spool/", NULL, false);
    ck_assert_str_eq(delivery_place(&d, &t), maildirs[_i].place);
    ck_assert_int_eq(deliver("\ntext\n"), DELIVERY_DONE);
    ck_assert_msg(d.size == 6 && !d.step && !d.error, "%s: %s", maildirs[_i].name, maildirs[_i].why);
    check_folder("a/new", maildirs[_i].a, maildirs[_i].name);
    check_folder("b/new", maildirs[_i].b, maildirs[_i].name);
    check_folder("spool/new", maildirs[_i].spool, maildirs[_i].name);
    ck_assert(!files("a/tmp", &a) && !files("b/tmp", &a) && !files("spool/tmp", &a));
    if (maildirs[_i].b) {
        ck_assert(files("a/new", &a) && files("b/new", &b));
        ck_assert_msg(a == b, "one write serves both");
    }
    /* The next message of the session. */
    begin_transaction();
    add("x@y", "./a/");
    ck_assert_int_eq(deliver("\nmore\n"), DELIVERY_DONE);
    ck_assert_int_eq(files("a/new", &a), 1 + !!maildirs[_i].a);
}
END_TEST

START_TEST(discarded)
{
    ino_t inode;

    add("x@y", "./a/");
    add("z@y", "");
    delivery_init(&d, "mx.example.com", "./spool/", "./nonexistent", true);
    ck_assert_str_eq(delivery_place(&d, &t), "discard");
    ck_assert_int_eq(deliver("\ntext\n"), DELIVERY_DONE);
    ck_assert(d.size == 6 && !files("a/new", &inode) && !files("spool/new", &inode));
    delivery_abandon(&d);
}
END_TEST

START_TEST(abandoned)
{
    ino_t inode;

    delivery_init(&d, "mx.example.com", "./spool/", NULL, false);
    delivery_abandon(&d);
    add("x@y", "./a/");
    add("z@y", "");
    ck_assert_int_eq(delivery_begin(&d, &trace), DELIVERY_DONE);
    delivery_write(&d, "text", 4, soon());
    delivery_abandon(&d);
    delivery_abandon(&d);
    ck_assert(!files("a/new", &inode) && !files("a/tmp", &inode) && !files("spool/new", &inode));
    ck_assert_int_eq(deliver("\ntext\n"), DELIVERY_DONE);
    ck_assert(files("a/new", &inode) == 1 && files("spool/new", &inode) == 1);
}
END_TEST

static void make_file(const char *name)
{
    int fd = creat(name, 0600);
    ck_assert(fd >= 0);
    close(fd);
}

static void a_is_file(void)
{
    make_file("a");
}

static void spool_is_file(void)
{
    make_file("spool");
}

static void limit_file_size(void)
{
    struct rlimit limit = {1000, 1000};

    signal(SIGXFSZ, SIG_IGN);
    ck_assert(!setrlimit(RLIMIT_FSIZE, &limit));
}

static const struct {
    const char *name;
    void (*input)(void);
    const char *step;
    int error;
    const char *why;
} failures[] = {
    {"no Maildir", a_is_file, "open", ENOTDIR, "known at the beginning"},
    {"write", limit_file_size, "write", EFBIG, "known in the middle"},
    {"no SPOOL", spool_is_file, "commit", ENOTDIR, "known at the end"},
};

START_TEST(failure)
{
    static char text[2000];
    ino_t inode;

    memset(text, 'x', sizeof text);
    add("x@y", "./a/");
    add("z@y", "");
    delivery_init(&d, "mx.example.com", "./spool/", NULL, false);
    failures[_i].input();
    int r = (int)delivery_begin(&d, &trace);
    ck_assert((r == DELIVERY_DONE) == !!strcmp(failures[_i].step, "open"));
    delivery_write(&d, text, sizeof text, soon());
    delivery_write(&d, text, sizeof text, soon());
    bool full = failures[_i].error == EFBIG; /* no room for it, as on a full disk */
    ck_assert_int_eq(delivery_commit(&d, soon()), full ? DELIVERY_FULL : DELIVERY_TROUBLE);
    ck_assert_str_eq(d.step, failures[_i].step);
    ck_assert_msg(d.error == failures[_i].error, "%s: %s: %s", failures[_i].name, failures[_i].why,
                  strerror(d.error));
    ck_assert_msg(d.size == 2 * sizeof text, "the size is known all the same");
    ck_assert(!files("a/new", &inode) && !files("a/tmp", &inode) && !files("spool/new", &inode));
    delivery_abandon(&d);
    begin_transaction();
    add("x@y", "./b/");
    ck_assert_msg(deliver("\ntext\n") == DELIVERY_DONE && !d.step && !d.error, "the next one goes through");
    ck_assert_int_eq(files("b/new", &inode), 1);
}
END_TEST

static const char *make_program(int code)
{
    int fd = open("program", O_WRONLY | O_CREAT | O_TRUNC, 0700);

    ck_assert(fd >= 0);
    dprintf(fd, "#!/bin/sh\ncat >message; cat <&1 >envelope; exit %d\n", code);
    close(fd);
    return "./program";
}

static const struct {
    const char *name;
    int input;
    enum delivery_result want;
    const char *why;
} codes[] = {
    {"queued", 0, DELIVERY_DONE, "qmail-queue(8)"},
    {"below", 10, DELIVERY_TROUBLE, "no code of its"},
    {"address too long", 11, DELIVERY_REFUSED, "11 to 40: never"},
    {"refused", 31, DELIVERY_REFUSED, "11 to 40: never"},
    {"last refusal", 40, DELIVERY_REFUSED, "11 to 40: never"},
    {"above", 41, DELIVERY_TROUBLE, "other codes: try again later"},
    {"out of memory", 51, DELIVERY_TROUBLE, "try again later"},
    {"timeout", 52, DELIVERY_TROUBLE, "try again later"},
    {"disk full", 53, DELIVERY_FULL, "write error"},
    {"unable to read", 54, DELIVERY_TROUBLE, "try again later"},
    {"internal bug", 81, DELIVERY_TROUBLE, "try again later"},
    {"envelope format", 91, DELIVERY_TROUBLE, "try again later"},
    {"temporary", 111, DELIVERY_TROUBLE, "try again later"},
    {"not started", 120, DELIVERY_TROUBLE, "try again later"},
    {"not found", 127, DELIVERY_TROUBLE, "the shell's"},
};

START_TEST(queued)
{
    static const char envelope[] = "Fbob@example.org\0Tx@y\0Tz@y\0";
    ino_t inode;

    add("x@y", "");
    add("z@y", "./a/");
    delivery_init(&d, "mx.example.com", NULL, make_program(codes[_i].input), false);
    ck_assert_str_eq(delivery_place(&d, &t), "queue");
    enum delivery_result r = deliver("\ntext\n");
    ck_assert_msg(r == codes[_i].want && d.exit_code == codes[_i].input, "%s: %s: %d", codes[_i].name,
                  codes[_i].why, (int)r);
    ck_assert(r == DELIVERY_DONE ? !d.step : !strcmp(d.step, "queue"));
    ck_assert_int_eq(files(".", &inode), 3);
    int fd = open("message", O_RDONLY);
    ck_assert(read(fd, found, sizeof found) > 0);
    ck_assert_msg(!memcmp(found, RECEIVED("") "\ntext\n", sizeof RECEIVED("") "\ntext\n" - 1), "%s", found);
    fd = open("envelope", O_RDONLY);
    ck_assert(read(fd, found, sizeof found) == sizeof envelope && !memcmp(found, envelope, sizeof envelope));
    delivery_abandon(&d);
    ck_assert(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}
END_TEST

START_TEST(queue_abandoned)
{
    struct stat st;

    add("x@y", "");
    delivery_init(&d, "mx.example.com", NULL, make_program(0), false);
    ck_assert_int_eq(delivery_begin(&d, &trace), DELIVERY_DONE);
    delivery_write(&d, "text", 4, soon());
    delivery_abandon(&d);
    ck_assert_msg(!stat("envelope", &st) && st.st_size == 0, "nothing is queued");
    ck_assert(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
    ck_assert_int_eq(deliver("\ntext\n"), DELIVERY_DONE);
}
END_TEST

static void tests(TCase *c)
{
    tcase_add_unchecked_fixture(c, make_folder, remove_folder);
    tcase_add_checked_fixture(c, enter, NULL);
    tcase_add_loop_test(c, maildir, 0, COUNT(maildirs));
    tcase_add_test(c, discarded);
    tcase_add_test(c, abandoned);
    tcase_add_loop_test(c, failure, 0, COUNT(failures));
    tcase_add_loop_test(c, queued, 0, COUNT(codes));
    tcase_add_test(c, queue_abandoned);
}

UNIT("delivery", tests)
