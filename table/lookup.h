/* lookup: the operator's word on a domain, a mailbox, a sender or a user (postern-tables(5)).
 *
 * All return as table_find does: 1 found, 0 not, -1 trouble with errno. */
#ifndef POSTERN_LOOKUP_H
#define POSTERN_LOOKUP_H

#include "table/entry.h"
#include "table/table.h"

/* `domain`, in lower case, has an entry, or is or lies below one that begins with a dot. */
int lookup_domain(struct table *t, struct slice domain);

/* The mailbox itself, then the one without its +detail, then the domain's catch-all. */
int lookup_mailbox(struct table *t, const struct address *a, struct slice *value);

/* The sender, its domain, or a domain above it is listed. */
int lookup_sender(struct table *t, const struct address *a);

/* The user by this name, in any case, of ENTRY_USER_NAME octets at most: the hash of the password. */
int lookup_user(struct table *t, struct slice name, struct slice *hash);

#endif
