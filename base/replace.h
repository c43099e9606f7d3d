/* replace: a file replaced as a whole: written beside it, flushed, renamed.
 *
 * A reader of the target has the whole old file or the whole new one, at any time and after a crash. */
#ifndef POSTERN_REPLACE_H
#define POSTERN_REPLACE_H

#include <limits.h>
#include <sys/types.h>

struct replace {
    const char *target;
    const char *at;     /* the file of the last call: to be named where that failed */
    char tmp[PATH_MAX]; /* target.tmp.pid, then the target's folder */
    int fd;             /* the new file, to be read and written; -1: none */
};

/* Opens an empty file beside `target`, which must outlive it, with the rights `mode` less the umask's. 0, or
 * -1 with errno. */
int replace_begin(struct replace *r, const char *target, mode_t mode);

/* The new file takes the target's name. 0, or -1 with errno: then the target is as it was, unless `at` is its
 * folder, which could not be flushed. */
int replace_commit(struct replace *r);

/* Leaves the target as it was, and nothing beside it. After a commit, even a failed one, it does nothing. */
void replace_abandon(struct replace *r);

#endif
