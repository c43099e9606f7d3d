#include "smtp/session.h"

#include "net/client.h"
#include "net/ucspitls.h"
#include "smtp/discreet.h"
#include "table/table.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

/* Seconds since 1970 and the process id, in base 36: short, and unique on this host. */
static void make_id(char id[SESSION_ID])
{
    char digits[16];
    size_t n = 0;
    uint64_t number = (uint64_t)(deadline_wall() / SECOND) << 22 | (uint64_t)(getpid() & 0x3fffff);
    for (; number; number /= 36)
        digits[n++] = "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36];
    while (n)
        *id++ = digits[--n];
    *id = 0;
}

void session_init(struct session *s, int in, int out)
{
    const struct config *c = &s->config;

    s->began = deadline_now();
    wire_init(&s->wire, s->wire.buffer, in, out, c->timeout, deadline_after(s->began, c->session_timeout));
    transaction_init(&s->transaction, s->transaction.buffer);
    s->greeted = s->esmtp = s->closing = s->turned_away = s->paused = s->lists_asked = s->secret_announced =
        false;
    s->relay_granted = false;
    s->ended = NULL;
    s->helo_len = s->from_len = s->to_len = s->user_len = 0;
    s->auths = s->deferred = s->excess = 0;
    s->tried_len = 0;
    s->tls = !ucspitls_find(s->ucspitls) && ucspitls_is_on(s->tls_facts);
    s->errors = s->noops = s->vrfys = s->rcpts = s->messages = s->messages_begun = s->messages_kept = 0;
    make_id(s->id);
    log_bound(&s->log, &s->wire.bytes_in);
    log_common(&s->log, "sid", slice_of(s->id));
    log_common(&s->log, "client", slice_of(s->client->text));
    if (c->discard)
        log_common(&s->log, "mode", slice_of("discard"));
}

void session_greet(struct session *s, struct slice name, bool esmtp)
{
    s->helo_len = name.n < SESSION_HELO ? name.n : SESSION_HELO;
    memcpy(s->helo, name.p, s->helo_len);
    s->greeted = true;
    s->esmtp = esmtp;
    transaction_reset(&s->transaction);
}

void session_restart(struct session *s)
{
    s->greeted = s->esmtp = s->paused = false;
    s->helo_len = s->from_len = s->to_len = s->user_len = 0;
    if (s->relay_granted)
        s->config.relayclient = NULL;
    s->relay_granted = false;
    transaction_reset(&s->transaction);
}

const struct reply *session_text(struct session *s, size_t n, const char *reason)
{
    s->text[n] = 0;
    s->dynamic = (struct reply){s->text, reason};
    return &s->dynamic;
}

void session_reply(struct session *s, const struct reply *r)
{
    wire_put(&s->wire, r->text, strlen(r->text));
    wire_put(&s->wire, "\r\n", 2);
    if (reply_closes(r)) {
        s->closing = true;
        if (!s->ended)
            s->ended = r->reason;
    }
    if (s->config.verbose) {
        log_event(&s->log, "out");
        log_string(&s->log, "data", r->text);
        log_end_always(&s->log);
    }
}

void session_log_reply(struct session *s, const struct reply *r)
{
    log_string(&s->log, "verdict", reply_verdict(r));
    if (r->reason) {
        log_string(&s->log, "reason", r->reason);
        log_string(&s->log, "reply", r->text);
    }
}

void session_log_security(struct session *s)
{
    if (s->tls) {
        log_string(&s->log, "tls", s->tls_facts->protocol);
        log_string(&s->log, "cipher", s->tls_facts->cipher);
    }
    if (session_is_authenticated(s))
        log_bytes(&s->log, "user", (struct slice){s->user, s->user_len});
}

struct slice session_discreet(const struct session *s, struct slice said)
{
    return s->secret_announced ? (struct slice){"", 0} : discreet_text(said);
}

static void begin_trouble(struct session *s, const char *step, const char *object)
{
    log_event(&s->log, "trouble");
    log_string(&s->log, "step", step);
    log_string(&s->log, "object", object);
}

void session_log_lookup(struct session *s, const struct table *t, int error)
{
    begin_trouble(s, "lookup", t->path);
    log_string(&s->log, "error", table_error(error));
    log_end(&s->log);
}

void session_log_trouble(struct session *s, const char *step, const char *object, int error, int exit_code)
{
    begin_trouble(s, step, object);
    if (error)
        log_string(&s->log, "error", strerror(error));
    if (exit_code > 0)
        log_number(&s->log, "exit", (uint64_t)exit_code);
    log_end(&s->log);
}

static_assert(SESSION_PATH - LOG_VALUE > 0, "the log marks what was cut");

size_t session_keep_path(char buffer[SESSION_PATH], struct slice argument, const struct address *a)
{
    if (!a) {
        size_t n = argument.n < SESSION_PATH ? argument.n : SESSION_PATH;
        memcpy(buffer, argument.p, n);
        return n;
    }
    buffer[0] = '<';
    size_t n = 1 + address_fmt(buffer + 1, a);
    buffer[n] = '>';
    return n + 1;
}
