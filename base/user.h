/* user: the user that a process started as root becomes. */
#ifndef POSTERN_USER_H
#define POSTERN_USER_H

#include <sys/types.h>

enum { USER_GROUPS = 64 }; /* of a user at most */

struct user {
    const char *name; /* as it was given; NULL: nobody else, and all calls do nothing */
    uid_t uid;
    gid_t gid, groups[USER_GROUPS];
    int ngroups;
};

/* All return 0, or -1 with errno. */

/* A name, with the groups of that user; or uid:gid, which spares the search, and has no further groups.
 * EINVAL: there is none of this name. The text is kept. */
int user_find(struct user *u, const char *text);

/* For good. */
int user_become(const struct user *u);

/* For the rights of files, and back. */
int user_borrow(const struct user *u);
int user_return(const struct user *u);

#endif
