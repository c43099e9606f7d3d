#include "table/sicklist.h"

#include "dns/dnslist.h"

#include <errno.h>

#include <case.h>

/* Keys are in lower case. */
static struct slice key_of(char key[DNSLIST_ZONE], struct slice zone)
{
    memcpy(key, zone.p, zone.n);
    case_lowerb(key, zone.n);
    return (struct slice){key, zone.n};
}

int sicklist_begin(struct sicklist *s, const char *path)
{
    return replace_begin(&s->file, path, 0644) < 0 ? -1 : cdbmake_begin(&s->cdb, s->file.fd);
}

int sicklist_add(struct sicklist *s, struct slice zone, const char *fault)
{
    char key[DNSLIST_ZONE];

    return cdbmake_add(&s->cdb, key_of(key, zone), slice_of(fault));
}

/* No list is written twice. */
static int refuse_repeat(void *context, uint32_t first, uint32_t again)
{
    (void)context, (void)first, (void)again;
    errno = EEXIST;
    return -1;
}

int sicklist_commit(struct sicklist *s)
{
    if (cdbmake_add(&s->cdb, slice_of(""), slice_of("lists")) < 0) /* see table_is() */
        return -1;
    return cdbmake_finish(&s->cdb, refuse_repeat, NULL) < 0 ? -1 : replace_commit(&s->file);
}

void sicklist_abandon(struct sicklist *s)
{
    replace_abandon(&s->file);
}

int sicklist_find(struct table *t, struct slice zone)
{
    char key[DNSLIST_ZONE];
    struct slice value;

    return table_find(t, key_of(key, zone), &value);
}
