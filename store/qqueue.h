/* qqueue: a message handed to another program by the interface of qmail-queue(8).
 *
 * The program reads the message on descriptor 0 and its envelope on descriptor 1, and tells by its exit code
 * what became of the message. */
#ifndef POSTERN_QQUEUE_H
#define POSTERN_QQUEUE_H

#include "base/child.h"
#include "base/deadline.h"
#include "mail/transaction.h"

struct qqueue {
    struct child program;
    int message, envelope; /* our ends of the pipes */
    bool deaf;             /* it did not read all of it */
};

/* All return 0, or -1 with errno: ETIMEDOUT, or EINTR where SIGTERM came and the program did not follow soon.
 */

/* Starts `program`. */
int qqueue_begin(struct qqueue *q, const char *program);

/* A program that does not read by `until` is trouble. */
int qqueue_write(struct qqueue *q, const char *bytes, size_t n, instant until);

/* Hands over the envelope and waits for the program's verdict: its exit code, 0 where the mail is queued.
 * -1: it crashed, hung, or claims success without having read all. */
int qqueue_commit(struct qqueue *q, const struct transaction *t, instant until);

/* Ends the program without an envelope: it queues nothing. */
void qqueue_abandon(struct qqueue *q);

#endif
