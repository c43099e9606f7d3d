#include "base/replace.h"

#include "base/digits.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int replace_begin(struct replace *r, const char *target, mode_t mode)
{
    static const char suffix[] = ".tmp.";
    size_t n = strlen(target);

    r->target = r->at = target;
    r->fd = -1;
    if (n + sizeof suffix + DIGITS >= sizeof r->tmp) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(r->tmp, target, n);
    memcpy(r->tmp + n, suffix, sizeof suffix - 1);
    n += sizeof suffix - 1;
    r->tmp[n + digits_put(r->tmp + n, (uint64_t)getpid())] = 0;
    r->at = r->tmp;
    r->fd = open(r->tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    return r->fd < 0 ? -1 : 0;
}

/* The entry of the new file's name is on disk, too. */
static int sync_folder(struct replace *r)
{
    const char *slash = strrchr(r->target, '/');
    size_t n = slash ? (size_t)(slash - r->target) + 1 : 0;

    memcpy(r->tmp, n ? r->target : "./", n ? n : 2);
    r->tmp[n ? n : 2] = 0;
    r->at = r->tmp;
    int fd = open(r->tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int failed = fsync(fd);
    fd_close(fd);
    return failed;
}

int replace_commit(struct replace *r)
{
    r->at = r->target;
    if (fsync(r->fd) < 0 || rename(r->tmp, r->target) < 0) {
        int saved = errno;
        replace_abandon(r);
        errno = saved;
        return -1;
    }
    close(r->fd);
    r->fd = -1;
    return sync_folder(r);
}

void replace_abandon(struct replace *r)
{
    if (r->fd < 0)
        return;
    unlink(r->tmp);
    close(r->fd);
    r->fd = -1;
}
