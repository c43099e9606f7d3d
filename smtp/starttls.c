#include "smtp/starttls.h"

#include "net/ucspitls.h"

#include <errno.h>

bool starttls_is_offered(const struct session *s)
{
    return !s->tls && s->config.ucspitls != TLS_NEVER && s->ucspitls->control >= 0;
}

/* TLS that cannot be had is our own trouble: the mail may come later. */
const struct reply *starttls_demand(const struct session *s)
{
    if (s->tls || s->config.ucspitls != TLS_DEMANDED)
        return NULL;
    return starttls_is_offered(s) ? &reply_tls_first : &reply_tls_trouble;
}

void starttls_log(struct session *s)
{
    log_event(&s->log, "tls");
    session_log_security(s);
    if (*s->tls_facts->server_name)
        log_string(&s->log, "name", s->tls_facts->server_name);
    log_end(&s->log);
}

/* From here on the connection belongs to TLS: nothing more may be said in plain text. */
static void give_up(struct session *s)
{
    session_log_trouble(s, "tls", UCSPITLS_CONTROL, errno, 0);
    s->wire.end = WIRE_LOST;
    s->ended = end_handshake;
    s->closing = true;
}

const struct reply *starttls_command(struct session *s, struct slice argument)
{
    (void)argument;
    if (!starttls_is_offered(s))
        return s->tls ? &reply_tls_again : &reply_unimplemented;
    if (wire_is_ahead(&s->wire)) /* it was said before TLS, and would be obeyed as if behind it */
        return &reply_injection;
    if (!ucspitls_is_alive(s->ucspitls)) {
        session_log_trouble(s, "tls", UCSPITLS_CONTROL, EPIPE, 0);
        return &reply_tls_trouble;
    }
    session_reply(s, &reply_tls_ready);
    wire_flush(&s->wire);
    instant until = deadline_earlier(deadline_after(deadline_now(), UCSPITLS_PATIENCE), s->wire.limit);
    if (s->wire.end == WIRE_LOST)
        return NULL;
    if (ucspitls_start(s->ucspitls, until, s->tls_facts) < 0 || ucspitls_switch(s->ucspitls) < 0) {
        give_up(s);
        return NULL;
    }
    wire_change(&s->wire, 0, 1);
    s->tls = true;
    session_restart(s);
    starttls_log(s);
    return NULL;
}
