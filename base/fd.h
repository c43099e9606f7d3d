/* fd: a descriptor closed on the way out, where errno must stay. */
#ifndef POSTERN_FD_H
#define POSTERN_FD_H

/* Closes it, if there is one (fd >= 0). errno stays as it was. */
void fd_close(int fd);

#endif
