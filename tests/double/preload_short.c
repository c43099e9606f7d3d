/* A writev(2) that writes a little at a time, and is interrupted now and then. Any write may be. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

ssize_t writev(int fd, const struct iovec *v, int parts)
{
    static unsigned calls;
    int i = 0;

    if (++calls % 5 == 0) {
        errno = EINTR;
        return -1;
    }
    while (i < parts - 1 && !v[i].iov_len)
        i++;
    size_t n = v[i].iov_len;
    return write(fd, v[i].iov_base, n < 7 ? n : 7);
}
