#include "mail/transaction.h"

/* The arena holds for each recipient its length, the number of its place, and its bytes. A new place
 * stands before its first recipient, with length 0 as its mark, and a NUL behind it. */
struct entry {
    uint16_t length, place;
};

void transaction_init(struct transaction *t, struct transaction_buffer *buffer)
{
    t->buffer = buffer;
    transaction_reset(t);
}

void transaction_reset(struct transaction *t)
{
    t->open = t->smtputf8 = false;
    t->recipients = 0;
    t->used = t->places = t->sender_len = 0;
}

void transaction_begin(struct transaction *t, const struct address *sender, bool smtputf8)
{
    transaction_reset(t);
    t->open = true;
    t->smtputf8 = smtputf8;
    t->sender_len = address_fmt(t->buffer->sender, sender);
}

const char *transaction_place(const struct transaction *t, size_t i)
{
    return t->buffer->arena + (i ? t->buffer->place[i] : sizeof(struct entry));
}

static size_t find_place(const struct transaction *t, struct slice place)
{
    size_t i = 0;
    while (i < t->places &&
           (strlen(transaction_place(t, i)) != place.n || memcmp(transaction_place(t, i), place.p, place.n)))
        i++;
    return i;
}

bool transaction_add(struct transaction *t, struct slice recipient, struct slice place)
{
    size_t which = find_place(t, place), need = recipient.n + TRANSACTION_ENTRY;
    bool is_new = which == t->places;

    if (is_new)
        need += place.n + TRANSACTION_ENTRY;
    if (which == TRANSACTION_PLACES || need > sizeof t->buffer->arena - t->used || !recipient.n ||
        recipient.n > UINT16_MAX || place.n > UINT16_MAX)
        return false;
    if (is_new) {
        struct entry e = {0, (uint16_t)place.n};
        char *at = t->buffer->arena + t->used;
        memcpy(at, &e, sizeof e);
        memcpy(at + sizeof e, place.p, place.n);
        at[sizeof e + place.n] = 0;
        if (t->places++)
            t->buffer->place[which] = (uint32_t)(t->used + sizeof e);
        t->used += place.n + TRANSACTION_ENTRY;
    }
    struct entry e = {(uint16_t)recipient.n, (uint16_t)which};
    memcpy(t->buffer->arena + t->used, &e, sizeof e);
    memcpy(t->buffer->arena + t->used + sizeof e, recipient.p, recipient.n);
    t->used += recipient.n + TRANSACTION_ENTRY;
    t->recipients++;
    return true;
}

bool transaction_next(const struct transaction *t, size_t *at, struct slice *recipient, const char **place)
{
    struct entry e;

    while (*at < t->used) {
        const char *p = t->buffer->arena + *at;
        memcpy(&e, p, sizeof e);
        *at += TRANSACTION_ENTRY + (size_t)(e.length ? e.length : e.place);
        if (!e.length)
            continue;
        *recipient = (struct slice){p + sizeof e, e.length};
        *place = transaction_place(t, e.place);
        return true;
    }
    return false;
}
