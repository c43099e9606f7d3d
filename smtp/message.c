#include "smtp/message.h"

#include "net/client.h"
#include "net/ucspitls.h"
#include "smtp/door.h"
#include "smtp/listed.h"
#include "store/delivery.h"

#include <assert.h>
#include <time.h>

#include <fmt.h>

static_assert((int)WIRE_HEADROOM >= (int)BODY_HEADROOM, "the body is converted in place");
static_assert((int)SESSION_HELO <= (int)TRACE_HELO, "a header has room for it");
static_assert((int)SESSION_USER <= (int)TRACE_USER, "and for that");
static_assert((int)MESSAGE_ID >= (int)SESSION_ID + 1 + (int)FMT_ULONG, "a number behind the session's id");

enum { LISTED_MOST = 900 }; /* octets of the field that names the lists: a line has 998 (RFC 5322 2.1.1) */

/* So much more than DATABYTES is read, so that the client hears why its message is refused. */
#define EXCESS (UINT64_C(64) << 20)

/* A slow start is no slow message. */
#define MINRATE_GRACE (30 * SECOND)

/* Until when the next byte must come to keep MINRATE up. */
static instant rate_limit(const struct config *c, instant start, uint64_t bytes)
{
    if (!c->minrate)
        return INT64_MAX;
    uint64_t seconds = bytes / c->minrate;
    if (seconds > (uint64_t)(INT64_MAX / SECOND) - 1)
        return INT64_MAX;
    int64_t earned = (int64_t)seconds * SECOND;
    return deadline_after(start, earned > MINRATE_GRACE ? earned : MINRATE_GRACE);
}

static const struct reply *accepted(struct session *s, const char *id)
{
    size_t n = fmt_str(s->text, "250 2.0.0 Ok ");

    n += fmt_str(s->text + n, id);
    return session_text(s, n, NULL);
}

static const struct reply *delivery_reply(struct session *s, enum delivery_result result, const char *id)
{
    const struct delivery *d = s->delivery;

    if (result == DELIVERY_DONE)
        return accepted(s, id);
    session_log_trouble(s, d->step, d->qmailqueue ? d->qmailqueue : d->spool.at, d->error, d->exit_code);
    switch (result) {
    case DELIVERY_FULL:
        return &reply_full;
    case DELIVERY_REFUSED:
        return &reply_queue_refused;
    default:
        return &reply_storage;
    }
}

static void log_message(struct session *s, const struct message *m, const struct reply *r)
{
    const struct transaction *t = &s->transaction;
    const struct body *b = &m->body;

    log_event(&s->log, "message");
    log_string(&s->log, "id", m->id);
    log_number(&s->log, "size", b->size);
    log_number(&s->log, "nrcpt", t->recipients);
    if (b->id_len)
        log_bytes(&s->log, "msgid", (struct slice){b->id, b->id_len});
    log_string(&s->log, "place", delivery_place(s->delivery, t));
    log_seconds(&s->log, "took", deadline_now() - m->began);
    session_log_security(s);
    if (r)
        session_log_reply(s, r);
    else
        log_string(&s->log, "verdict", "lost");
    log_end(&s->log);
}

/* Its reply is known. */
static const struct reply *end(struct session *s, const struct message *m, const struct reply *r)
{
    log_message(s, m, r);
    s->messages += r && !r->reason;
    if (m->body.state == BODY_END)
        s->noops = 0;
    transaction_reset(&s->transaction);
    return r;
}

/* The transmission type (RFC 3848, RFC 6531 4.3). */
static const char *protocol(const struct session *s)
{
    static const char *const esmtp[] = {"ESMTP", "ESMTPA", "ESMTPS", "ESMTPSA"};
    static const char *const utf8[] = {"UTF8SMTP", "UTF8SMTPA", "UTF8SMTPS", "UTF8SMTPSA"};
    unsigned kind = (s->tls ? 2U : 0U) + (session_is_authenticated(s) ? 1U : 0U);

    return s->transaction.smtputf8 ? utf8[kind] : s->esmtp ? esmtp[kind] : "SMTP";
}

/* SESSION.N, N counting from 1. */
static void make_id(struct session *s, char *id)
{
    id += fmt_str(id, s->id);
    *id++ = '.';
    id[fmt_ulonglong(id, ++s->messages_begun)] = 0;
}

const struct reply *message_begin(struct session *s, struct message *m)
{
    const struct config *c = &s->config;
    char listed[LISTED_MOST];

    if (!s->messages_begun)
        delivery_init(s->delivery, c->me, c->spool, c->qmailqueue, c->discard);
    make_id(s, m->id);
    struct trace trace = {
        .me = c->me,
        .protocol = protocol(s),
        .tls = s->tls ? s->tls_facts->protocol : NULL,
        .cipher = s->tls_facts->cipher,
        .user = {s->user, s->user_len},
        .session = s->id,
        .id = m->id,
        .mode = c->relayclient               ? "relay"
                : c->domains || c->mailboxes ? "local"
                                             : "collector",
        .client = s->client->known ? &s->client->ip : NULL,
        .client_name = s->client->name,
        .helo = session_helo(s),
        .lists = {listed, listed_hits(s, listed, sizeof listed)},
        .transaction = &s->transaction,
        .now = (time_t)(deadline_wall() / SECOND),
    };
    m->began = deadline_now();
    m->fault = NULL;
    body_init(&m->body);
    enum delivery_result result = delivery_begin(s->delivery, &trace);
    return result == DELIVERY_DONE ? NULL : end(s, m, delivery_reply(s, result, m->id));
}

/* The fault known by now for which the message is refused. NULL: none. */
static const struct reply *find_fault(const struct config *c, const struct body *b)
{
    if (c->databytes && b->size > c->databytes)
        return b->size - c->databytes > EXCESS ? &reply_far_too_big : &reply_too_big;
    if (b->has_nul)
        return &reply_nul;
    if (b->has_bare_lf && c->barelf == BARELF_REJECT)
        return &reply_bare_lf;
    if (c->maxhops && b->hops > c->maxhops)
        return &reply_hops;
    return NULL;
}

static const struct reply *connection_fault(struct session *s, instant rate)
{
    switch (s->wire.end) {
    case WIRE_TIMEOUT:
        return deadline_now() >= rate ? &reply_slow : &reply_timeout;
    case WIRE_STOPPED:
        return &reply_shutdown;
    default:
        return NULL;
    }
}

/* Until when a queue program must have moved on. */
static instant queue_limit(const struct session *s)
{
    return s->config.qmailqueue ? deadline_after(deadline_now(), s->config.timeout) : 0;
}

bool message_read(struct session *s, struct message *m)
{
    instant rate = rate_limit(&s->config, m->began, m->body.size);
    char *bytes;
    size_t n, made;

    if (wire_chunk(&s->wire, rate, &bytes, &n) < 0) {
        m->fault = connection_fault(s, rate);
        return false;
    }
    char *out = bytes - BODY_HEADROOM;
    size_t taken = body_step(&m->body, bytes, n, out, &made);
    const struct reply *found = find_fault(&s->config, &m->body);
    if (found && !m->fault)
        delivery_abandon(s->delivery);
    else if (!found)
        delivery_write(s->delivery, out, made, queue_limit(s));
    m->fault = found;
    wire_take(&s->wire, taken);
    return found != &reply_far_too_big;
}

/* The message is stored; only then REFUSE=dot says no. */
static const struct reply *commit(struct session *s, const char *id)
{
    struct visit visit = {0};
    const struct reply *r = delivery_reply(s, delivery_commit(s->delivery, queue_limit(s)), id);

    if (r->reason)
        return r;
    s->messages_kept++;
    const struct reply *refusal = door_ask(s, STAGE_DOT, &visit);
    return refusal ? refusal : accepted(s, id);
}

const struct reply *message_finish(struct session *s, struct message *m, bool whole)
{
    if (whole && !m->fault)
        return end(s, m, commit(s, m->id));
    delivery_abandon(s->delivery);
    return end(s, m, m->fault);
}
