/* route: where a recipient's mail goes, by the tables of domains and mailboxes (postern-tables(5)). */
#ifndef POSTERN_ROUTE_H
#define POSTERN_ROUTE_H

#include "table/lookup.h"

enum route {
    ROUTE_TROUBLE = -2, /* the table cannot be asked: errno */
    ROUTE_NONSENSE,     /* the entry has no meaning: errno is EINVAL */
    ROUTE_SPOOL,        /* SPOOL: the entry says nothing else, or there is no table */
    ROUTE_POSTMASTER,   /* SPOOL, though there is no entry, or a reply: a postmaster is never refused */
    ROUTE_MAILDIR,      /* a Maildir of its own */
    ROUTE_REPLY,        /* nowhere: a scripted reply */
    ROUTE_NOBODY        /* nowhere: no such mailbox */
};

/* 1 where the recipient's domain is local: one that the table has, any where there is no table, and none, as
 * a bare postmaster has it (RFC 5321 4.5.1), which becomes `me`. 0 where it is not; -1 trouble with errno. */
int route_domain(struct table *domains, const char *me, struct address *a);

/* For a recipient in a local domain. *value is the Maildir or the reply, until the next lookup. A Maildir
 * that is `spool` by another spelling is SPOOL; spool may be NULL. */
enum route route_mailbox(struct table *mailboxes, const char *spool, const struct address *a,
                         struct slice *value);

#endif
