#define _DEFAULT_SOURCE /* getgrouplist, setgroups */
#include "base/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

static bool scan_id(const char *text, char **end, uint32_t *id)
{
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long n = strtoul(text, end, 10);
    *id = (uint32_t)n;
    return !errno && n < UINT32_MAX; /* that one stands for none */
}

static bool scan_ids(struct user *u, const char *text)
{
    char *end;
    uint32_t uid, gid;

    if (!scan_id(text, &end, &uid) || *end != ':' || !scan_id(end + 1, &end, &gid) || *end)
        return false;
    *u = (struct user){.name = text, .uid = uid, .gid = gid, .ngroups = 1, .groups = {gid}};
    return true;
}

int user_find(struct user *u, const char *text)
{
    if (scan_ids(u, text))
        return 0;
    errno = 0;
    const struct passwd *p = getpwnam(text);
    if (!p) {
        errno = errno ? errno : EINVAL;
        return -1;
    }
    *u = (struct user){.name = text, .uid = p->pw_uid, .gid = p->pw_gid, .ngroups = USER_GROUPS};
    if (getgrouplist(text, u->gid, u->groups, &u->ngroups) >= 0)
        return 0;
    errno = E2BIG;
    return -1;
}

static int set_groups(const struct user *u)
{
    return setgroups((size_t)u->ngroups, u->groups);
}

int user_become(const struct user *u)
{
    return u->name && (set_groups(u) < 0 || setgid(u->gid) < 0 || setuid(u->uid) < 0) ? -1 : 0;
}

int user_borrow(const struct user *u)
{
    return u->name && (set_groups(u) < 0 || setegid(u->gid) < 0 || seteuid(u->uid) < 0) ? -1 : 0;
}

int user_return(const struct user *u)
{
    return u->name && (seteuid(0) < 0 || setegid(0) < 0) ? -1 : 0;
}
