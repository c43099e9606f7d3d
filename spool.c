#include "spool.h"

#include "digits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <fmt.h>

void spool_init(struct spool *s, const char *host)
{
    s->host = host;
    s->count = 0;
    s->fd = -1;
    maildir_init(&s->maildir);
}

/* seconds.MmicrosPpid_n.host, as Maildir readers know it; what could not stand in a file
 * name, or ends one, is written in octal. */
static void name_message(struct spool *s)
{
    struct timespec t;
    char *p = s->base;

    clock_gettime(CLOCK_REALTIME, &t);
    p += fmt_ulonglong(p, (unsigned long long)t.tv_sec);
    p += fmt_str(p, ".M");
    p += digits_fmt(p, (unsigned long)t.tv_nsec / 1000, 6);
    p += fmt_str(p, "P");
    p += fmt_ulong(p, (unsigned long)s->process);
    p += fmt_str(p, "_");
    p += fmt_ulong(p, s->count);
    p += fmt_str(p, ".");
    for (size_t i = 0; i < SPOOL_HOST && s->host[i]; i++)
        if (s->host[i] == ':')
            p += fmt_str(p, "\\072");
        else
            *p++ = s->host[i];
    *p = 0;
}

/* FOLDER/BASE, or with a size FOLDER/BASE,S=SIZE. */
static const char *name_in(char *room, const char *folder, const struct spool *s, const uint64_t *size)
{
    size_t n = fmt_str(room, folder);
    n += fmt_str(room + n, s->base);
    if (size) {
        n += fmt_str(room + n, ",S=");
        n += fmt_ulonglong(room + n, *size);
    }
    room[n] = 0;
    return room;
}

static int open_tmp(const struct spool *s, int root)
{
    char tmp[SPOOL_NAME + 8];
    return openat(root, name_in(tmp, "tmp/", s, NULL), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

int spool_begin(struct spool *s, const char *path, struct slice header)
{
    s->at = path;
    if (maildir_open(&s->maildir, path) < 0)
        return -1;
    if (!s->count++)
        s->process = getpid();
    s->header = header;
    s->size = 0;
    name_message(s);
    s->fd = open_tmp(s, s->maildir.root);
    return s->fd < 0 ? -1 : 0;
}

static int write_all(int fd, struct iovec *v, int parts)
{
    while (parts) {
        ssize_t r = writev(fd, v, parts);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -1;
        while (parts && (size_t)r >= v->iov_len) {
            r -= (ssize_t)v->iov_len;
            v++, parts--;
        }
        if (parts) {
            v->iov_base = (char *)v->iov_base + r;
            v->iov_len -= (size_t)r;
        }
    }
    return 0;
}

int spool_write(struct spool *s, const char *bytes, size_t n)
{
    struct iovec v[2] = {{(char *)s->header.p, s->header.n}, {(char *)bytes, n}};
    bool first = !s->size;

    s->size += n + (first ? s->header.n : 0);
    return first ? write_all(s->fd, v, 2) : write_all(s->fd, v + 1, 1);
}

/* A file of its own for a copy: another header, or a Maildir on another filesystem. */
static int write_copy(const struct spool *s, const struct maildir *m, struct slice header, uint64_t *size)
{
    char block[8192], tmp[SPOOL_NAME + 8], fresh[SPOOL_NAME + 40];
    uint64_t at = s->header.n;
    struct iovec v = {(char *)header.p, header.n};
    int fd = open_tmp(s, m->root);

    if (fd < 0)
        return -1;
    int r = write_all(fd, &v, 1);
    while (!r && at < s->size) {
        ssize_t got = pread(s->fd, block, sizeof block, (off_t)at);
        if (got <= 0) {
            r = -1;
            break;
        }
        v = (struct iovec){block, (size_t)got};
        r = write_all(fd, &v, 1);
        at += (uint64_t)got;
    }
    *size = s->size - s->header.n + header.n;
    if (!r && !(r = fsync(fd)))
        r = renameat(m->root, name_in(tmp, "tmp/", s, NULL), m->root, name_in(fresh, "new/", s, size));
    int saved = errno;
    if (r)
        unlinkat(m->root, name_in(tmp, "tmp/", s, NULL), 0);
    close(fd);
    errno = saved;
    return r;
}

static bool is_same(int a, int b)
{
    struct stat x, y;
    return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* The message under this name, or a stranger's. */
static bool is_our_file(const struct spool *s, int root, const char *name)
{
    int fd = openat(root, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool ours = fd >= 0 && is_same(fd, s->fd);

    if (fd >= 0)
        close(fd);
    return ours;
}

/* The Maildir has had the message by another path: the message's own, or one of the first `done` copies. */
static bool has_had_it(const struct spool *s, const struct maildir *m, const struct spool_copy *copies,
                       size_t done)
{
    struct stat x, y;

    if (is_same(m->fresh, s->maildir.fresh))
        return true;
    for (size_t i = 0; i < done; i++)
        if (!fstat(m->root, &x) && !stat(copies[i].maildir, &y) && x.st_dev == y.st_dev &&
            x.st_ino == y.st_ino)
            return true;
    return false;
}

/* The copy behind the first `done`, durable when 0 is returned. Two paths may be one Maildir: it gets the
 * message once. */
static int deliver_copy(const struct spool *s, const struct spool_copy *copies, size_t done)
{
    const struct spool_copy *copy = &copies[done];
    struct maildir m;
    char tmp[SPOOL_NAME + 8], fresh[SPOOL_NAME + 40];
    uint64_t size = s->size;
    int r = -1;

    maildir_init(&m);
    if (maildir_open(&m, copy->maildir) < 0)
        return -1;
    if (copy->header.n ? has_had_it(s, &m, copies, done) : is_same(m.fresh, s->maildir.fresh)) {
        maildir_close(&m);
        return 0;
    }
    if (!copy->header.n) {
        r = linkat(s->maildir.root, name_in(tmp, "tmp/", s, NULL), m.root, name_in(fresh, "new/", s, &size),
                   0);
        if (r && errno == EEXIST && is_our_file(s, m.root, fresh))
            r = 0;
    }
    if (r)
        r = write_copy(s, &m, copy->header.n ? copy->header : s->header, &size);
    if (!r && (r = fsync(m.fresh))) {
        int saved = errno;
        unlinkat(m.root, name_in(fresh, "new/", s, &size), 0);
        errno = saved;
    }
    maildir_close(&m);
    return r;
}

/* The copy was delivered, but the message as a whole was not. */
static void take_back(const struct spool *s, const struct spool_copy *copy)
{
    struct maildir m;
    char fresh[SPOOL_NAME + 40];
    uint64_t size = s->size - (copy->header.n ? s->header.n - copy->header.n : 0);

    maildir_init(&m);
    if (maildir_open(&m, copy->maildir) < 0)
        return;
    unlinkat(m.root, name_in(fresh, "new/", s, &size), 0);
    maildir_close(&m);
}

int spool_commit(struct spool *s, const struct spool_copy *copies, size_t n)
{
    char tmp[SPOOL_NAME + 8], fresh[SPOOL_NAME + 40];
    const int root = s->maildir.root;
    size_t done = 0;

    if (!s->size && spool_write(s, "", 0) < 0)
        return -1;
    int r = fsync(s->fd);
    while (!r && done < n) {
        s->at = copies[done].maildir;
        if (!(r = deliver_copy(s, copies, done)))
            done++;
    }
    if (!r)
        s->at = s->maildir.path;
    if (!r)
        r = renameat(root, name_in(tmp, "tmp/", s, NULL), root, name_in(fresh, "new/", s, &s->size));
    if (!r && (r = fsync(s->maildir.fresh)))
        unlinkat(root, fresh, 0);
    if (r) {
        int saved = errno;
        while (done)
            take_back(s, &copies[--done]);
        errno = saved;
        return -1;
    }
    close(s->fd);
    s->fd = -1;
    return 0;
}

void spool_abandon(struct spool *s)
{
    char tmp[SPOOL_NAME + 8];
    int saved = errno;

    if (s->fd >= 0) {
        close(s->fd);
        s->fd = -1;
        unlinkat(s->maildir.root, name_in(tmp, "tmp/", s, NULL), 0);
    }
    maildir_close(&s->maildir); /* whatever went wrong, look anew next time */
    errno = saved;
}
