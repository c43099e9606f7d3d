/* sicklist: the table of DNS lists that must not be used, as postern-dnsbl writes it and a session asks it.
 */
#ifndef POSTERN_SICKLIST_H
#define POSTERN_SICKLIST_H

#include "base/replace.h"
#include "table/cdbmake.h"
#include "table/table.h"

/* The table on its way. */
struct sicklist {
    struct replace file; /* `at` names it in a message */
    struct cdbmake cdb;
};

/* All three: 0, or -1 with errno, and then sicklist_abandon is to be called. `path` must outlive it. Its
 * memory is never freed: a process makes one. */
int sicklist_begin(struct sicklist *s, const char *path);

/* A list by its zone, each once, and why it must not be used. */
int sicklist_add(struct sicklist *s, struct slice zone, const char *fault);

/* The table replaces the one that was there. */
int sicklist_commit(struct sicklist *s);

/* Leaves the table that was there. */
void sicklist_abandon(struct sicklist *s);

/* The list with this zone, in any case, must not be used. As other lookups: 1, 0, or -1 with errno. */
int sicklist_find(struct table *t, struct slice zone);

#endif
