#include "smtp/data.h"

#include "mail/body.h"
#include "smtp/door.h"
#include "smtp/listed.h"

#include <assert.h>
#include <time.h>

#include <fmt.h>

static_assert((int)WIRE_HEADROOM >= (int)BODY_HEADROOM, "the body is converted in place");

enum { LISTED_MOST = 900 }; /* octets of the field that names the lists: a line has 998 (RFC 5322 2.1.1) */

/* A message that is too big is read to its end, so that the client hears why; up to here. */
#define EXCESS (UINT64_C(64) << 20)
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

/* What the message is refused for as far as it is known now. NULL: nothing. */
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

/* Takes the message off the wire. True at its end, with *fault what it is refused for (NULL: nothing);
 * false where the end never came or is not waited for: *fault is the last reply (NULL: nobody is there). */
static bool receive(struct session *s, struct body *b, instant start, const struct reply **fault)
{
    char *bytes;
    size_t n, made;

    *fault = NULL;
    while (b->state != BODY_END) {
        instant rate = rate_limit(&s->config, start, b->size);
        if (wire_chunk(&s->wire, rate, &bytes, &n) < 0) {
            *fault = connection_fault(s, rate);
            return false;
        }
        char *out = bytes - BODY_HEADROOM;
        size_t taken = body_step(b, bytes, n, out, &made);
        const struct reply *found = find_fault(&s->config, b);
        if (found && !*fault)
            delivery_abandon(&s->delivery);
        else if (!found)
            delivery_write(&s->delivery, out, made, queue_limit(s));
        *fault = found;
        wire_take(&s->wire, taken);
        if (found == &reply_far_too_big)
            return false;
    }
    return true;
}

static const struct reply *accepted(struct session *s, const char *id)
{
    size_t n = fmt_str(s->text, "250 2.0.0 Ok ");

    n += fmt_str(s->text + n, id);
    return session_text(s, n, NULL);
}

static const struct reply *delivery_reply(struct session *s, enum delivery_result result, const char *id)
{
    const struct delivery *d = &s->delivery;

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

static void log_message(struct session *s, const char *id, const struct body *b, instant start,
                        const struct reply *r)
{
    const struct transaction *t = &s->transaction;

    log_event(&s->log, "message");
    log_string(&s->log, "id", id);
    log_number(&s->log, "size", b->size);
    log_number(&s->log, "nrcpt", t->recipients);
    if (b->id_len)
        log_bytes(&s->log, "msgid", (struct slice){b->id, b->id_len});
    log_string(&s->log, "place", delivery_place(&s->delivery, t));
    log_seconds(&s->log, "took", deadline_now() - start);
    session_log_security(s);
    if (r)
        session_log_reply(s, r);
    else
        log_string(&s->log, "verdict", "lost");
    log_end(&s->log);
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

/* The message is stored; only then REFUSE=dot says no. */
static const struct reply *commit(struct session *s, const char *id)
{
    struct visit visit = {0};
    const struct reply *r = delivery_reply(s, delivery_commit(&s->delivery, queue_limit(s)), id);

    if (r->reason)
        return r;
    s->messages_kept++;
    const struct reply *refusal = door_ask(s, STAGE_DOT, &visit);
    return refusal ? refusal : accepted(s, id);
}

const struct reply *data_command(struct session *s, struct slice argument)
{
    const struct config *c = &s->config;
    struct transaction *t = &s->transaction;
    char id[SESSION_ID + 1 + FMT_ULONG];
    char listed[LISTED_MOST];
    struct body body;
    const struct reply *r;

    (void)argument;
    if (!s->messages_begun)
        delivery_init(&s->delivery, c->me, c->spool, c->qmailqueue, c->discard);
    make_id(s, id);
    struct trace trace = {
        .me = c->me,
        .protocol = protocol(s),
        .tls = s->tls ? s->tls_facts.protocol : NULL,
        .cipher = s->tls_facts.cipher,
        .user = {s->user, s->user_len},
        .session = s->id,
        .id = id,
        .mode = c->relayclient               ? "relay"
                : c->domains || c->mailboxes ? "local"
                                             : "collector",
        .client = s->client.known ? &s->client.ip : NULL,
        .client_name = s->client.name,
        .helo = session_helo(s),
        .lists = {listed, listed_hits(s, listed, sizeof listed)},
        .transaction = t,
        .now = (time_t)(deadline_wall() / SECOND),
    };
    instant start = deadline_now();
    enum delivery_result result = delivery_begin(&s->delivery, &trace);
    body_init(&body);
    if (result != DELIVERY_DONE) {
        r = delivery_reply(s, result, id);
    } else {
        session_reply(s, &reply_go_ahead);
        s->closing = !receive(s, &body, start, &r);
        if (s->closing && r)
            s->ended = r->reason;
        if (s->closing || r)
            delivery_abandon(&s->delivery);
        else
            r = commit(s, id);
    }
    log_message(s, id, &body, start, r);
    s->messages += r && !r->reason;
    if (body.state == BODY_END)
        s->noops = 0;
    transaction_reset(t);
    return r;
}
