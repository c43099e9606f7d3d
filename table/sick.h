/* sick: the table of DNS lists that must not be used, as postern-dnsbl writes it and a session asks it. */
#ifndef POSTERN_SICK_H
#define POSTERN_SICK_H

#include "base/replace.h"
#include "table/cdbmake.h"
#include "table/table.h"

/* The table on its way. */
struct sick {
    struct replace file; /* `at` names it in a message */
    struct cdbmake cdb;
};

/* All three: 0, or -1 with errno, and sick_abandon is to be called. `path` must outlive it. */
int sick_begin(struct sick *s, const char *path);

/* A list by its zone, each once, and why it must not be used. */
int sick_add(struct sick *s, struct slice zone, const char *fault);

/* The table replaces the one that was there. */
int sick_commit(struct sick *s);

/* Leaves the table that was there. */
void sick_abandon(struct sick *s);

/* The list with this zone, in any case, must not be used. As other lookups: 1, 0, or -1 with errno. */
int sick_find(struct table *t, struct slice zone);

#endif
