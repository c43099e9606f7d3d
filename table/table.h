/* table: a constant database, as a file: opened, checked, asked for a key (postern-tables(5)).
 *
 * Read with pread(2), never mapped: a lookup touches two blocks of a file of any size. A table is
 * opened when first asked, and the same file serves the whole session; it is replaced by rename only. */
#ifndef POSTERN_TABLE_H
#define POSTERN_TABLE_H

#include <stdint.h>

#include "mail/address.h"
#include "table/place.h"

enum {
    TABLE_TOC = 2048,                          /* the first bytes of a cdb: 256 hash tables' places */
    TABLE_RECORD = 8 + ADDRESS_FMT + PLACE_MAX /* longest record ours have */
};

/* The memory of an open table; apart, so that a session without a lookup never touches it. */
struct table_buffer {
    unsigned char toc[TABLE_TOC];
    unsigned char record[TABLE_RECORD];
};

struct table {
    const char *path; /* NULL: not configured */
    int fd;           /* -1: not opened yet */
    uint32_t data_end;
    struct table_buffer *buffer;
};

void table_init(struct table *t, const char *path, struct table_buffer *buffer);

/* All that ask it: 1 found, 0 not, -1 trouble with errno (the file is missing, EPROTO: it is no
 * whole cdb). Trouble must never be taken for an answer (it is 451 to the client). */

/* `key` as it stands. The value is valid until the next lookup. */
int table_find(struct table *t, struct slice key, struct slice *value);

/* The record that stands first in the file; 0 when there is none but the one that names the kind. */
int table_first(struct table *t, struct slice *key, struct slice *value);

/* A record with an empty key, the last one, names the kind of table: domains, mailboxes, badsenders, users;
 * lists, for those of postern-dnsbl. Older tables and those of other compilers have none. 1: it is `kind`, or
 * nothing is said (then *named is empty); 0: it is another, *named; -1 trouble. */
int table_is(struct table *t, const char *kind, struct slice *named);

/* The words for errno of a table that could not be asked. */
const char *table_error(int error);

/* Reads the whole table, its records from the first to the last and then its slots: a lookup finds every
 * record that is there. The number of records, or -1. Values are not judged. */
int64_t table_check(struct table *t);

#endif
