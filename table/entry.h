/* entry: a line of a table's source, taken apart into key and value (postern-tables(5)). Pure. */
#ifndef POSTERN_ENTRY_H
#define POSTERN_ENTRY_H

#include "mail/address.h"

enum { ENTRY_KEY = ADDRESS_FMT, ENTRY_USER_NAME = 255 };

enum entry_kind { ENTRY_DOMAIN, ENTRY_MAILBOX, ENTRY_SENDER, ENTRY_USER };

struct entry {
    char key[ENTRY_KEY]; /* as lookups ask for it */
    size_t key_len;      /* 0: the line is empty, or a comment */
    struct slice value;  /* in the line */
};

/* The kind by its name: domains, mailboxes, badsenders, users. */
bool entry_kind(const char *name, enum entry_kind *kind);

/* The name of the kind. */
const char *entry_name(enum entry_kind kind);

/* NULL, or why the line is wrong. It may have its line end still. */
const char *entry_read(enum entry_kind kind, struct slice line, struct entry *e);

#endif
