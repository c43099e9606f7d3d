#include "table/route.h"

#include <errno.h>

static int take_home(struct address *a, const char *me)
{
    a->domain_len = (unsigned char)strlen(me);
    for (size_t i = 0; i < a->domain_len; i++)
        a->domain[i] = slice_lower(me[i]);
    return 1;
}

int route_domain(struct table *domains, const char *me, struct address *a)
{
    if (!a->domain_len)
        return take_home(a, me);
    return domains->path ? lookup_domain(domains, (struct slice){a->domain, a->domain_len}) : 1;
}

static bool is_postmaster(const struct address *a)
{
    return slice_is((struct slice){a->local, a->local_len}, "postmaster");
}

/* Two spellings of one Maildir: a slash at the end or not, "./" before it or not. */
static bool is_same_path(struct slice a, struct slice b)
{
    while (a.n && a.p[a.n - 1] == '/')
        a.n--;
    while (b.n && b.p[b.n - 1] == '/')
        b.n--;
    if (a.n > 2 && !memcmp(a.p, "./", 2))
        a = slice_after(a, 2);
    if (b.n > 2 && !memcmp(b.p, "./", 2))
        b = slice_after(b, 2);
    return a.n == b.n && !memcmp(a.p, b.p, a.n);
}

/* Follows an entry. */
static enum route obey(struct slice value, const char *spool, const struct address *a)
{
    enum place_kind kind;

    if (place_parse(value, &kind)) {
        errno = EINVAL;
        return ROUTE_NONSENSE;
    }
    if (kind == PLACE_REPLY)
        return is_postmaster(a) ? ROUTE_POSTMASTER : ROUTE_REPLY;
    return kind == PLACE_MAILDIR && !(spool && is_same_path(value, slice_of(spool))) ? ROUTE_MAILDIR
                                                                                     : ROUTE_SPOOL;
}

enum route route_mailbox(struct table *mailboxes, const char *spool, const struct address *a,
                         struct slice *value)
{
    if (!mailboxes->path)
        return ROUTE_SPOOL;
    int r = lookup_mailbox(mailboxes, a, value);
    if (r < 0)
        return ROUTE_TROUBLE;
    if (r)
        return obey(*value, spool, a);
    return is_postmaster(a) ? ROUTE_POSTMASTER : ROUTE_NOBODY;
}
