#define _XOPEN_SOURCE 700 /* S_ISVTX */
#include "store/maildir.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder that was made and is not on disk yet looks like any other, to a second process and to a later
 * session. So new/ is made with a mark, the sticky bit, which mkdir(2) of Linux sets in the same step:
 *
 *     make the folders that lead there, cur/, new/ with the mark; fsync new/'s folder and all above it;
 *     make tmp/; take the mark away
 *
 * Where tmp/ is missing, or new/ has the mark, nobody delivers: a process that finds it so does all of this
 * again. Making a folder that is there already is no error, and fsync does not ask which process made it. The
 * steps behind the fsync come only when all before it is on disk. So with tmp/ there and new/ without the
 * mark all is on disk, but for folders of another program. A crash may take tmp/ away, which harms no
 * message. The mark is for a Maildir that has tmp/ and lacks new/. A crash that brings it back costs the next
 * session those fsyncs. */
enum { OPEN_DIR = O_RDONLY | O_DIRECTORY | O_CLOEXEC, MARK = S_ISVTX };

/* As this program makes it. With rights for others it was set for these. */
static bool is_marked(const struct stat *st)
{
    return (st->st_mode & (MARK | S_IRWXG | S_IRWXO)) == MARK;
}

void maildir_init(struct maildir *m)
{
    m->tmp = m->fresh = -1;
}

void maildir_close(struct maildir *m)
{
    fd_close(m->tmp);
    fd_close(m->fresh);
    m->tmp = m->fresh = -1;
}

static int make_folder(int parent, const char *name, mode_t mode)
{
    return mkdirat(parent, name, mode) < 0 && errno != EEXIST ? -1 : 0;
}

/* Makes every folder of `path`, and in the last one cur and new; opens the last one. */
static int make_folders(const char *path)
{
    char name[MAILDIR_PATH];
    int at = openat(AT_FDCWD, *path == '/' ? "/" : ".", OPEN_DIR);

    while (at >= 0 && *path) {
        size_t n = strcspn(path, "/");
        memcpy(name, path, n);
        name[n] = 0;
        path += n + (path[n] == '/');
        if (!n)
            continue;
        int next = make_folder(at, name, 0700) < 0 ? -1 : openat(at, name, OPEN_DIR);
        fd_close(at);
        at = next;
    }
    if (at < 0 || (!make_folder(at, "cur", 0700) && !make_folder(at, "new", 0700 | MARK)))
        return at;
    fd_close(at);
    return -1;
}

static int is_same(int a, int b)
{
    struct stat x, y;
    return fstat(a, &x) || fstat(b, &y) ? -1 : x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Brings the entries of a folder and of all above it to disk: by `..`, for a path may lead through
 * symbolic links. EINVAL is the answer of a filesystem in which nothing can be made. This program made
 * nothing in a folder that it may not read, nor above it. */
static int sync_upwards(int folder)
{
    int at = openat(folder, ".", OPEN_DIR), top = at < 0 ? -1 : 0;

    while (!top) {
        int above = fsync(at) < 0 && errno != EINVAL ? -2 : openat(at, "..", OPEN_DIR);
        if (above >= 0)
            top = is_same(at, above);
        else
            top = above == -1 && errno == EACCES ? 1 : -1;
        fd_close(at);
        at = above;
    }
    fd_close(at);
    return top > 0 ? 0 : -1;
}

/* Where the mark cannot be taken away, the next session brings all to disk once more. A symbolic link may
 * lead to a folder of another owner. */
static void take_mark_away(int folder)
{
    struct stat st;
    int fd = openat(folder, "new", OPEN_DIR | O_NOFOLLOW);

    if (fd >= 0 && !fstat(fd, &st) && is_marked(&st))
        fchmod(fd, st.st_mode & 07777 & ~(mode_t)MARK);
    fd_close(fd);
}

static int make_maildir(const char *path)
{
    int folder = make_folders(path);

    if (folder < 0)
        return -1;
    int r = sync_upwards(folder) < 0 || make_folder(folder, "tmp", 0700) < 0 ? -1 : 0;
    if (!r)
        take_mark_away(folder);
    fd_close(folder);
    return r;
}

static int open_tmp(struct maildir *m)
{
    size_t n = strlen(m->path);

    memcpy(m->path + n, "/tmp", 5);
    int fd = openat(AT_FDCWD, m->path, OPEN_DIR | O_NOFOLLOW); /* musl's open() sets CLOEXEC once more */
    m->path[n] = 0;
    return fd;
}

/* new/ is opened beside tmp/, and neither is a symbolic link. Otherwise the owner of one Maildir could
 * lead the message in her tmp/ into another Maildir. */
static int try_open(struct maildir *m, bool marked_too)
{
    struct stat st;

    m->tmp = open_tmp(m);
    if (m->tmp >= 0)
        m->fresh = openat(m->tmp, "../new", OPEN_DIR | O_NOFOLLOW);
    if (m->fresh >= 0 && !fstat(m->fresh, &st)) {
        m->device = st.st_dev;
        m->inode = st.st_ino;
        if (marked_too || !is_marked(&st))
            return 0;
        errno = ENOENT;
    }
    maildir_close(m);
    return -1;
}

int maildir_open(struct maildir *m, const char *path)
{
    size_t n = strlen(path);

    if (m->fresh >= 0 && !strcmp(m->path, path))
        return 0;
    maildir_close(m);
    if (!n || n >= MAILDIR_PATH) {
        errno = n ? ENAMETOOLONG : ENOENT;
        return -1;
    }
    memcpy(m->path, path, n + 1);
    if (!try_open(m, false))
        return 0;
    if (errno != ENOENT)
        return -1;
    int why = make_maildir(path) < 0 ? errno : 0;
    /* This program has made nothing below a folder that it may not read: a marked Maildir there is whole.
     */
    if ((!why || why == EACCES) && !try_open(m, true))
        return 0;
    errno = why ? why : errno;
    return -1;
}
