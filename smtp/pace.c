#include "smtp/pace.h"

#include "smtp/discreet.h"
#include "net/foreign.h"
#include "smtp/listed.h"

#define ERROR_DELAY_MOST (30 * SECOND)
#define FIRST_BYTES (1 * SECOND) /* for input that poll(2) promised */

static void log_early(struct session *s, const char *at, struct slice said)
{
    log_event(&s->log, "early");
    log_string(&s->log, "at", at);
    log_number(&s->log, "bytes", said.n);
    log_bytes(&s->log, "data", session_discreet(s, said));
    log_end(&s->log);
}

/* A client that spoke out of turn gets no mail through: it is a bad sign, and its words may be half of
 * anything. */
static const struct reply *punish(struct session *s, const char *at, struct slice said)
{
    log_early(s, at, said);
    if (s->config.earlytalk == EARLYTALK_LOG)
        return NULL;
    s->turned_away = true;
    return s->config.earlytalk == EARLYTALK_DROP ? &reply_early_drop : &reply_early;
}

/* On a pipe, a file or a terminal there are no turns; but TLS comes through pipes. */
static bool has_turns(const struct session *s)
{
    return s->config.earlytalk != EARLYTALK_OFF && (s->wire.in_is_socket || s->tls);
}

const struct reply *pace_open(struct session *s)
{
    instant due = deadline_after(s->began, s->config.greetdelay);
    struct slice said;

    const enum wire_watch watch = has_turns(s) ? WIRE_WATCH_INPUT : WIRE_WATCH_END;

    if (!s->config.greetdelay && !has_turns(s))
        return NULL;
    enum wire_pause p = listed_pause(s, due, watch);
    if (p == WIRE_DUE && s->config.dnsbl_action == DNSBL_DROP && has_turns(s))
        p = listed_listen(s); /* the banner waits for the verdict */
    if (p != WIRE_TALK)
        return NULL;
    char *bytes;
    if (wire_chunk(&s->wire, deadline_after(deadline_now(), FIRST_BYTES), &bytes, &said.n) < 0)
        return NULL; /* it left */
    said.p = bytes;
    const struct reply *r = pace_foreign(s, said);
    if (!r)
        r = punish(s, "banner", said);
    if (!r)
        listed_pause(s, due, WIRE_WATCH_END);
    return r;
}

const struct reply *pace_turn(struct session *s, const char *command)
{
    const bool paused = s->paused; /* so there may be more input */
    struct slice said;
    char *bytes;

    s->paused = false;
    if (!has_turns(s) || !(wire_is_ahead(&s->wire) || (paused && wire_has_come(&s->wire))) ||
        wire_chunk(&s->wire, deadline_after(deadline_now(), FIRST_BYTES), &bytes, &said.n) < 0)
        return NULL;
    said.p = bytes;
    return punish(s, command, said);
}

static void delay(struct session *s, int64_t length)
{
    if (length <= 0)
        return;
    s->paused = true;
    wire_pause(&s->wire, deadline_after(deadline_now(), length), WIRE_WATCH_END);
}

void pace_error(struct session *s)
{
    int64_t each = s->config.errordelay;
    uint64_t most = each > 0 ? (uint64_t)(ERROR_DELAY_MOST / each) : 0;

    if (each > 0)
        delay(s, s->errors > most ? ERROR_DELAY_MOST : each * (int64_t)s->errors);
}

void pace_recipient(struct session *s)
{
    s->rcpts++;
    if (s->config.tarpitcount && s->rcpts > s->config.tarpitcount)
        delay(s, s->config.tarpitdelay);
}

const struct reply *pace_foreign(struct session *s, struct slice line)
{
    const char *what = foreign_protocol(line);

    if (!what)
        return NULL;
    log_event(&s->log, "foreign");
    log_string(&s->log, "what", what);
    log_number(&s->log, "bytes", line.n);
    log_bytes(&s->log, "data", s->secret_announced ? slice_of("") : discreet_foreign(line));
    log_end(&s->log);
    return &reply_foreign;
}
