/* maildir: a Maildir held open; made, with the folders that lead to it, where it does not exist. */
#ifndef POSTERN_MAILDIR_H
#define POSTERN_MAILDIR_H

#include <sys/types.h>

enum { MAILDIR_PATH = 2048 /* octets of a path with its NUL */ };

struct maildir {
    int tmp, fresh; /* its tmp/ and its new/; both open, or both -1 */
    dev_t device;   /* of new/, with its inode: which Maildir this is, whatever its path says */
    ino_t inode;
    char path[MAILDIR_PATH + 4]; /* and a part's name while that is opened */
};

/* Not open. */
void maildir_init(struct maildir *m);

/* Opens the Maildir at `path`; nothing is done where it is open already. All folders that this program
 * makes, in this process or an earlier one, are on disk before 0 is returned; those of another program are as
 * safe as it left them. -1 with errno: not open. */
int maildir_open(struct maildir *m, const char *path);

/* Keeps errno. Harmless where it is not open. */
void maildir_close(struct maildir *m);

#endif
