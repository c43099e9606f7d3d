/* delivery: where an accepted message goes: Maildirs, a qmail-queue program, or nowhere. */
#ifndef POSTERN_DELIVERY_H
#define POSTERN_DELIVERY_H

#include "store/qqueue.h"
#include "store/spool.h"
#include "mail/trace.h"

enum delivery_result {
    DELIVERY_DONE,    /* and safe */
    DELIVERY_FULL,    /* no space, or over quota */
    DELIVERY_TROUBLE, /* any other trouble of ours; try again later */
    DELIVERY_REFUSED  /* the queue program says it never will */
};

struct delivery {
    /* set once for the session */
    const char *spool_path; /* Maildir of recipients without a place of their own; NULL: none */
    const char *qmailqueue; /* program; NULL: none */
    bool discard;

    const char *step; /* the one that failed; NULL: none did */
    int error;        /* its errno, or 0 */
    int exit_code;    /* of the queue program */
    uint64_t size;    /* bytes of the message, without our header */
    const struct transaction *transaction;
    struct spool spool;
    struct qqueue queue;
    size_t copies;
    char header[TRACE_BUFFER];
    struct spool_copy copy[TRANSACTION_PLACES];
};

void delivery_init(struct delivery *d, const char *host, const char *spool_path, const char *qmailqueue,
                   bool discard);

/* Where the mail goes, as the log says it: discard, queue, spool, maildir, or both. */
const char *delivery_place(const struct delivery *d, const struct transaction *t);

/* Opens what the message needs. It is DELIVERY_DONE, or it was abandoned. */
enum delivery_result delivery_begin(struct delivery *d, const struct trace *trace);

/* After a failure the message is abandoned; writing on is harmless, and commit tells the result. */
void delivery_write(struct delivery *d, const char *bytes, size_t n, instant until);

enum delivery_result delivery_commit(struct delivery *d, instant until);

/* The message will not be. Harmless after a failure. */
void delivery_abandon(struct delivery *d);

#endif
