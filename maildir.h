/* maildir: a Maildir held open; made, with the folders that lead to it, where it does not exist. */
#ifndef POSTERN_MAILDIR_H
#define POSTERN_MAILDIR_H

enum { MAILDIR_PATH = 2048 /* octets of a path with its NUL */ };

struct maildir {
    int root, fresh; /* the Maildir, and its new/; both open, or both -1 */
    char path[MAILDIR_PATH];
};

/* Not open. */
void maildir_init(struct maildir *m);

/* Opens the Maildir at `path`; nothing is done where it is open already. What is made is on disk before
 * 0 is returned. -1 with errno: not open. */
int maildir_open(struct maildir *m, const char *path);

/* Keeps errno. Harmless where it is not open. */
void maildir_close(struct maildir *m);

#endif
