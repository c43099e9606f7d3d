/* fd: descriptors: written to as a whole, closed on the way out. */
#ifndef POSTERN_FD_H
#define POSTERN_FD_H

#include <stddef.h>

/* Writes all of it, to a file or a pipe that blocks. 0, or -1 with errno; then a part of it may be written.
 */
int fd_write(int fd, const void *bytes, size_t n);

/* Closes it, if there is one (fd >= 0). errno stays as it was. */
void fd_close(int fd);

#endif
