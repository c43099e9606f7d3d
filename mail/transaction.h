/* transaction: the envelope of one message: who it is from, whom it is for, and where that goes.
 *
 * All of it lies in one fixed arena: no client can make it grow. */
#ifndef POSTERN_TRANSACTION_H
#define POSTERN_TRANSACTION_H

#include "mail/address.h"

#include <stdint.h>

enum {
    TRANSACTION_ARENA = 256 * 1024, /* bytes for all recipients and places */
    TRANSACTION_PLACES = 400,       /* different Maildirs of one message: each takes two descriptors of
                                       the 1024 that a process commonly has */
    TRANSACTION_ENTRY = 24,         /* counted for a recipient beside its own bytes: so header lines for
                                     * all of them fit in as many bytes as the arena */
    TRANSACTION_ADDRESS = ADDRESS_FMT + ADDRESS_DOMAIN /* a recipient with RELAYCLIENT behind it */
};

/* Apart from the rest, so that a session without a message never touches it; one with few recipients and one
 * place touches the beginning only. */
struct transaction_buffer {
    char sender[ADDRESS_FMT]; /* as address_fmt has it */
    char arena[TRANSACTION_ARENA];
    uint32_t place[TRANSACTION_PLACES]; /* where each begins in the arena, but for the first: always at its
                                           front */
};

struct transaction {
    bool open;                       /* MAIL was accepted */
    bool smtputf8;                   /* and said so */
    unsigned recipients;             /* accepted */
    size_t sender_len, places, used; /* of what is in the buffer */
    struct transaction_buffer *buffer;
};

void transaction_init(struct transaction *t, struct transaction_buffer *buffer);

/* No transaction. */
void transaction_reset(struct transaction *t);

void transaction_begin(struct transaction *t, const struct address *sender, bool smtputf8);

/* Adds a recipient whose mail goes to the Maildir `place` (empty: to SPOOL). False when there is no space
 * for it. */
bool transaction_add(struct transaction *t, struct slice recipient, struct slice place);

/* The recipients in the order they came: start with *at == 0; false at the end. */
bool transaction_next(const struct transaction *t, size_t *at, struct slice *recipient, const char **place);

/* One of the t->places Maildirs, a C string. */
const char *transaction_place(const struct transaction *t, size_t i);

/* Empty for the null reverse-path. */
static inline struct slice transaction_sender(const struct transaction *t)
{
    return (struct slice){t->buffer->sender, t->sender_len};
}

#endif
