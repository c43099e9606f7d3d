#include "base/fd.h"

#include <errno.h>
#include <unistd.h>

int fd_write(int fd, const void *bytes, size_t n)
{
    for (const char *p = bytes; n;) {
        ssize_t r = write(fd, p, n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -1;
        p += r;
        n -= (size_t)r;
    }
    return 0;
}

void fd_close(int fd)
{
    int saved = errno;

    if (fd >= 0)
        close(fd);
    errno = saved;
}
