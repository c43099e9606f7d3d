#include "store/spool.h"

#include "base/deadline.h"
#include "base/digits.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <fmt.h>

void spool_init(struct spool *s, const char *host)
{
    s->host = host;
    s->count = 0;
    s->fd = -1;
    maildir_init(&s->maildir);
}

/* seconds.MmicrosPpid_n.host, as Maildir readers know it; an octet that a file name cannot hold, or that
 * ends its base, is written in octal. */
static void name_message(struct spool *s)
{
    const uint64_t now = (uint64_t)deadline_wall() / 1000; /* microseconds */
    char *p = s->base;

    p += fmt_ulonglong(p, now / 1000000);
    p += fmt_str(p, ".M");
    p += digits_fmt(p, (unsigned long)(now % 1000000), 6);
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

/* BASE,S=SIZE: the name in new/. */
static const char *name_fresh(char buffer[SPOOL_NAME + 24], const struct spool *s, uint64_t size)
{
    size_t n = fmt_str(buffer, s->base);

    n += fmt_str(buffer + n, ",S=");
    n += fmt_ulonglong(buffer + n, size);
    buffer[n] = 0;
    return buffer;
}

static int open_file(const struct spool *s, int tmp)
{
    return openat(tmp, s->base, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
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
    s->fd = open_file(s, s->maildir.tmp);
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

/* The text of the message behind another header. */
static int copy_text(const struct spool *s, int fd, struct slice header)
{
    char block[8192];
    struct iovec v = {(char *)header.p, header.n};

    if (write_all(fd, &v, 1) < 0)
        return -1;
    for (uint64_t at = s->header.n; at < s->size; at += v.iov_len) {
        ssize_t got = pread(s->fd, block, sizeof block, (off_t)at);
        if (got <= 0) {
            errno = got ? errno : EIO;
            return -1;
        }
        struct iovec left = v = (struct iovec){block, (size_t)got};
        if (write_all(fd, &left, 1) < 0)
            return -1;
    }
    return 0;
}

/* A file of its own for a copy: another header, or a Maildir on another filesystem. */
static int write_copy(const struct spool *s, const struct spool_copy *copy)
{
    int fd = open_file(s, copy->held.tmp);

    if (fd < 0)
        return -1;
    int r = copy_text(s, fd, copy->header.n ? copy->header : s->header);
    if (!r)
        r = fsync(fd);
    int saved = errno;
    close(fd);
    if (r)
        unlinkat(copy->held.tmp, s->base, 0);
    errno = saved;
    return r;
}

/* A link to the message's file. The owner of the Maildir may have put another file under this name by now,
 * which nobody else is to get. So the file behind the link counts, not the name it was made from. */
static bool link_copy(const struct spool *s, const struct spool_copy *copy)
{
    struct stat ours, linked;

    if (linkat(s->maildir.tmp, s->base, copy->held.tmp, s->base, 0) < 0)
        return false;
    if (!fstat(s->fd, &ours) && !fstatat(copy->held.tmp, s->base, &linked, AT_SYMLINK_NOFOLLOW) &&
        ours.st_dev == linked.st_dev && ours.st_ino == linked.st_ino)
        return true;
    unlinkat(copy->held.tmp, s->base, 0);
    return false;
}

static void let_go(struct spool_copy *copy)
{
    if (copy->held.fresh < 0)
        return;
    fd_close(copy->held.tmp);
    fd_close(copy->held.fresh);
    copy->held.tmp = copy->held.fresh = -1;
}

/* The message's own Maildir is this one, too, or that of a copy before it is. */
static bool has_had_it(const struct spool *s, const struct spool_copy *copies, size_t i)
{
    const struct spool_held *held = &copies[i].held;
    bool found = s->maildir.device == held->device && s->maildir.inode == held->inode;

    while (!found && i--)
        found = copies[i].held.device == held->device && copies[i].held.inode == held->inode;
    return found;
}

/* Puts copy `i`, behind those that are there, into the tmp/ of its Maildir. */
static int prepare_copy(const struct spool *s, struct spool_copy *copies, size_t i)
{
    struct spool_copy *copy = &copies[i];
    struct maildir m;

    maildir_init(&m);
    if (maildir_open(&m, copy->maildir) < 0)
        return -1;
    copy->held = (struct spool_held){m.tmp, m.fresh, m.device, m.inode};
    if (has_had_it(s, copies, i)) {
        let_go(copy);
        return 0;
    }
    if ((!copy->header.n && link_copy(s, copy)) || !write_copy(s, copy))
        return 0;
    let_go(copy);
    return -1;
}

/* From tmp/ to new/. The owner of a Maildir can put another file under this name into its tmp/ before, and
 * into its new/ after: that is her own mail, and nobody else's. */
static int show(const struct spool *s, int tmp, int fresh, uint64_t size)
{
    char name[SPOOL_NAME + 24];
    return renameat(tmp, s->base, fresh, name_fresh(name, s, size));
}

static uint64_t size_of(const struct spool *s, const struct spool_copy *copy)
{
    return copy->header.n ? s->size - s->header.n + copy->header.n : s->size;
}

static int prepare_all(struct spool *s, struct spool_copy *copies, size_t n, size_t *ready)
{
    for (; *ready < n; ++*ready) {
        s->at = copies[*ready].maildir;
        if (prepare_copy(s, copies, *ready) < 0)
            return -1;
    }
    s->at = s->maildir.path;
    return fsync(s->fd);
}

static int show_all(struct spool *s, const struct spool_copy *copies, size_t n)
{
    for (const struct spool_copy *c = copies; c < copies + n; c++) {
        s->at = c->maildir;
        if (c->held.fresh >= 0 && show(s, c->held.tmp, c->held.fresh, size_of(s, c)) < 0)
            return -1;
    }
    s->at = s->maildir.path;
    return show(s, s->maildir.tmp, s->maildir.fresh, s->size);
}

static int sync_all(struct spool *s, const struct spool_copy *copies, size_t n)
{
    for (const struct spool_copy *c = copies; c < copies + n; c++) {
        s->at = c->maildir;
        if (c->held.fresh >= 0 && fsync(c->held.fresh) < 0)
            return -1;
    }
    s->at = s->maildir.path;
    return fsync(s->maildir.fresh);
}

/* Nothing is opened for it, so it works where descriptors have run out. */
static void take_back(const struct spool *s, int tmp, int fresh, uint64_t size)
{
    char name[SPOOL_NAME + 24];

    unlinkat(fresh, name_fresh(name, s, size), 0);
    unlinkat(tmp, s->base, 0);
}

int spool_commit(struct spool *s, struct spool_copy *copies, size_t n)
{
    size_t ready = 0;

    if (!s->size && spool_write(s, "", 0) < 0)
        return -1;
    bool failed =
        prepare_all(s, copies, n, &ready) < 0 || show_all(s, copies, n) < 0 || sync_all(s, copies, n) < 0;
    int saved = errno;
    if (failed)
        take_back(s, s->maildir.tmp, s->maildir.fresh, s->size);
    for (struct spool_copy *c = copies; c < copies + ready; c++) {
        if (failed && c->held.fresh >= 0)
            take_back(s, c->held.tmp, c->held.fresh, size_of(s, c));
        let_go(c);
    }
    close(s->fd);
    s->fd = -1;
    errno = saved;
    return failed ? -1 : 0;
}

void spool_abandon(struct spool *s)
{
    int saved = errno;

    if (s->fd >= 0) {
        close(s->fd);
        s->fd = -1;
        unlinkat(s->maildir.tmp, s->base, 0);
    }
    maildir_close(&s->maildir); /* look anew next time */
    errno = saved;
}
