#include "store/delivery.h"

#include <errno.h>

void delivery_init(struct delivery *d, const char *host, const char *spool_path, const char *qmailqueue,
                   bool discard)
{
    d->spool_path = spool_path;
    d->qmailqueue = qmailqueue;
    d->discard = discard;
    d->queue.program.pid = 0;
    spool_init(&d->spool, host);
}

static bool has_spool(const struct transaction *t)
{
    for (size_t i = 0; i < t->places; i++)
        if (!*transaction_place(t, i))
            return true;
    return false;
}

const char *delivery_place(const struct delivery *d, const struct transaction *t)
{
    if (d->discard)
        return "discard";
    if (d->qmailqueue)
        return "queue";
    if (!has_spool(t))
        return "maildir";
    return t->places > 1 ? "spool,maildir" : "spool";
}

static enum delivery_result fail(struct delivery *d, const char *step)
{
    if (!d->step) {
        d->step = step;
        d->error = errno;
        delivery_abandon(d);
    }
    return d->error == ENOSPC || d->error == EDQUOT || d->error == EFBIG ? DELIVERY_FULL : DELIVERY_TROUBLE;
}

/* One file serves all Maildirs of the message but SPOOL, whose header says more. */
static enum delivery_result begin_spool(struct delivery *d, const struct trace *trace)
{
    const struct transaction *t = trace->transaction;
    const bool to_spool = has_spool(t);
    const char *first = NULL;
    char *at = d->header;
    struct slice header = {at, 0};

    for (size_t i = 0; i < t->places; i++) {
        if (!*transaction_place(t, i))
            continue;
        if (first)
            d->copy[d->copies++] = (struct spool_copy){.maildir = transaction_place(t, i)};
        else
            first = transaction_place(t, i);
    }
    if (first) {
        at += trace_mailbox(at, trace);
        at += trace_received(at, trace);
        at += trace_listed(at, trace);
        header.n = (size_t)(at - d->header);
    }
    if (to_spool) {
        struct slice fuller = {at, 0};
        at += trace_return_path(at, trace);
        at += trace_received(at, trace);
        at += trace_listed(at, trace);
        at += trace_envelope(at, trace);
        fuller.n = (size_t)(at - fuller.p);
        if (first) {
            d->copy[d->copies++] = (struct spool_copy){.maildir = d->spool_path, .header = fuller};
        } else {
            first = d->spool_path;
            header = fuller;
        }
    }
    return spool_begin(&d->spool, first, header) < 0 ? fail(d, "open") : DELIVERY_DONE;
}

enum delivery_result delivery_begin(struct delivery *d, const struct trace *trace)
{
    d->step = NULL;
    d->error = d->exit_code = 0;
    d->size = 0;
    d->copies = 0;
    d->transaction = trace->transaction;
    if (d->discard)
        return DELIVERY_DONE;
    if (!d->qmailqueue)
        return begin_spool(d, trace);
    if (qqueue_begin(&d->queue, d->qmailqueue) < 0)
        return fail(d, "fork");
    size_t n = trace_received(d->header, trace);
    n += trace_listed(d->header + n, trace);
    /* It fits in any pipe. EPIPE: the exit code tells. */
    if (qqueue_write(&d->queue, d->header, n, INT64_MAX) < 0 && errno != EPIPE)
        return fail(d, "queue-write");
    return DELIVERY_DONE;
}

void delivery_write(struct delivery *d, const char *bytes, size_t n, instant until)
{
    d->size += n;
    if (d->discard || d->step || !n)
        return;
    if (!d->qmailqueue) {
        if (spool_write(&d->spool, bytes, n) < 0)
            fail(d, "write");
    } else if (qqueue_write(&d->queue, bytes, n, until) < 0 && errno != EPIPE) {
        fail(d, "queue-write"); /* EPIPE: it has seen enough; its exit code tells */
    }
}

/* The codes of qmail-queue(8). */
static enum delivery_result commit_queue(struct delivery *d, instant until)
{
    d->exit_code = qqueue_commit(&d->queue, d->transaction, until);
    if (!d->exit_code)
        return DELIVERY_DONE;
    d->step = "queue";
    d->error = d->exit_code < 0 ? errno : 0;
    if (d->exit_code >= 11 && d->exit_code <= 40)
        return DELIVERY_REFUSED;
    return d->exit_code == 53 ? DELIVERY_FULL : DELIVERY_TROUBLE;
}

enum delivery_result delivery_commit(struct delivery *d, instant until)
{
    if (d->step)
        return fail(d, d->step);
    if (d->discard)
        return DELIVERY_DONE;
    if (d->qmailqueue)
        return commit_queue(d, until);
    return spool_commit(&d->spool, d->copy, d->copies) < 0 ? fail(d, "commit") : DELIVERY_DONE;
}

void delivery_abandon(struct delivery *d)
{
    spool_abandon(&d->spool);
    qqueue_abandon(&d->queue);
}
