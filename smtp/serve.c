#include "smtp/serve.h"

#include "net/client.h"
#include "smtp/auth.h"
#include "smtp/command.h"
#include "smtp/discreet.h"
#include "smtp/door.h"
#include "smtp/listed.h"
#include "smtp/pace.h"
#include "smtp/starttls.h"
#include "smtp/verbs.h"

#include <fmt.h>

enum {
    OVERSHOOT = 1000, /* 4xx replies to RCPT in a session that are no errors: a client may try all it has */
    LOGGED_HELO = 64, /* octets of the HELO name in the line of a command */
    LOGGED_FROM = 128 /* of the sender in that of a recipient */
};

static const struct reply *check_state(const struct session *s, enum verb_state needed)
{
    const struct transaction *t = &s->transaction;

    if (needed != VERB_ANY && !s->greeted)
        return &reply_hello_first;
    if (needed == VERB_CLEAR && t->open)
        return &reply_nested_mail;
    if ((needed == VERB_OPEN || needed == VERB_READY) && !t->open)
        return &reply_mail_first;
    return needed == VERB_READY && !t->recipients ? &reply_no_recipients : NULL;
}

static const struct reply *check_argument(enum verb_argument wanted, struct slice argument)
{
    if (wanted == VERB_NONE && argument.n)
        return &reply_no_argument;
    return wanted == VERB_NEEDED && !argument.n ? &reply_argument : NULL;
}

/* The part of a command's name that may be logged: an unknown name may be a password, or be written
 * together with one. */
static struct slice known_verb(const struct session *s, const struct verb *v, struct slice verb)
{
    return v ? slice_of(v->name) : session_discreet(s, verb);
}

/* The commands that name a sender or a recipient. Where one was not run, its argument is logged as it came.
 */
static void log_path(struct session *s, bool rcpt, struct slice argument, bool run)
{
    struct slice from = {s->from, s->from_len}, to = {s->to, s->to_len};

    if (!rcpt) {
        log_bytes(&s->log, "from", discreet_words(run ? from : argument));
        return;
    }
    log_some(&s->log, "from", discreet_words(from), LOGGED_FROM);
    log_bytes(&s->log, "to", discreet_words(run ? to : argument));
}

/* One line tells of all recipients too many for a transaction. */
static bool is_said_already(struct session *s, const struct reply *r)
{
    if (r != &reply_too_many_recipients || !s->excess++)
        return false;
    s->log.left_out++;
    return true;
}

/* Every RCPT, and any other command that was refused. */
static void log_command(struct session *s, const struct verb *v, struct command c, bool run,
                        const struct reply *r)
{
    enum verb_event event = v ? v->event : VERB_COMMAND;

    if ((!r->reason && event != VERB_RCPT) || is_said_already(s, r))
        return;
    log_event(&s->log, event == VERB_MAIL ? "mail" : event == VERB_RCPT ? "rcpt" : "command");
    bool greeting = v && v->stage == STAGE_HELO;
    log_some(&s->log, "helo", discreet_words(greeting ? c.argument : session_helo(s)), LOGGED_HELO);
    if (event != VERB_COMMAND)
        log_path(s, event == VERB_RCPT, c.argument, run);
    else
        log_bytes(&s->log, "verb", known_verb(s, v, c.verb));
    if (s->tried_len)
        log_bytes(&s->log, "user", (struct slice){s->user, s->tried_len});
    session_log_reply(s, r);
    log_end(&s->log);
}

/* A recipient that is to come again later is no error, until there are OVERSHOOT of them. */
static bool is_error(struct session *s, const struct verb *v, const struct reply *r)
{
    if (v && v->event == VERB_RCPT && *r->text == '4')
        return ++s->deferred > OVERSHOOT;
    return reply_is_error(r);
}

/* An error costs time, and there may be only so many. */
static const struct reply *count_error(struct session *s, const struct verb *v, const struct reply *r)
{
    if (!is_error(s, v, r))
        return r;
    s->errors++;
    pace_error(s);
    return s->config.maxerrors && s->errors > s->config.maxerrors ? &reply_errors : r;
}

/* Counts commands since the last message that bring none. NULL: it may be one more. */
static const struct reply *count_idle(struct session *s, const struct verb *v)
{
    if (!(v->flags & VERB_IDLE))
        return NULL;
    s->noops++;
    return s->config.maxnoops && s->noops > s->config.maxnoops ? &reply_noops : NULL;
}

/* All checks before a command is run. NULL: it may be. */
static const struct reply *check_command(struct session *s, const struct verb *v, struct slice argument)
{
    struct visit visit = {0};
    const struct reply *r;

    if (s->turned_away && !(v->flags & VERB_LAST))
        return &reply_turned_away;
    if (!(v->flags & VERB_PLAIN) && (r = starttls_demand(s)))
        return r;
    if ((r = check_state(s, v->state)) || (r = check_argument(v->argument, argument)))
        return r;
    if (v->flags & VERB_TURN && (r = pace_turn(s, v->name)))
        return r;
    if ((r = count_idle(s, v)))
        return r;
    return v->stage == STAGE_NEVER ? NULL : door_ask(s, v->stage, &visit);
}

/* The reply that takes any other's place when time is up, or we are to end. NULL: neither. */
static const struct reply *over(const struct session *s)
{
    return s->wire.end == WIRE_TIMEOUT   ? &reply_timeout
           : s->wire.end == WIRE_STOPPED ? &reply_shutdown
                                         : NULL;
}

static void obey(struct session *s, struct slice line)
{
    struct command c = command_parse(line);
    const struct verb *v = verbs_find(c.verb);
    const struct reply *r;

    if (!v && (r = pace_foreign(s, line))) {
        session_reply(s, r);
        return;
    }
    bool auth = v && v->flags & VERB_SECRET, secret = v ? auth : discreet_announces(line);
    s->tried_len = 0;
    s->secret_announced |= auth; /* if refused, too: its answers may be on the way */
    r = v ? check_command(s, v, c.argument) : &reply_unknown;
    bool run = v && !r;
    if (run)
        r = v->run(s, c.argument);
    if (!r)
        return; /* the client is gone */
    r = count_error(s, v, r);
    if (!run || !(v->flags & VERB_LOGGED)) { /* its own verdict on the message holds */
        r = over(s) ? over(s) : r;
        log_command(s, v, c, run, r);
    }
    s->secret_announced |= secret;
    if (auth || (!v && s->secret_announced))
        wire_forget(&s->wire);
    session_reply(s, r);
}

static void refuse_long_line(struct session *s)
{
    const struct reply *r = count_error(s, NULL, &reply_too_long);

    r = over(s) ? over(s) : r;
    log_command(s, NULL, (struct command){{"", 0}, {"", 0}}, false, r);
    wire_forget(&s->wire); /* it may have been an AUTH */
    session_reply(s, r);
}

/* The last reply to a client that is there, but cannot go on. */
static void end_by_wire(struct session *s)
{
    switch (s->wire.end) {
    case WIRE_TIMEOUT:
    case WIRE_STOPPED:
        session_reply(s, over(s));
        break;
    case WIRE_EOF:
        s->ended = end_eof;
        break;
    default:
        s->ended = end_lost;
    }
}

/* VERBOSE shows a line, but never a password. */
static void log_input(struct session *s, struct slice line)
{
    bool known = verbs_find(command_parse(line).verb) != NULL;

    log_event(&s->log, "in");
    log_bytes(&s->log, "data", known ? discreet_line(line) : session_discreet(s, line));
    log_end_always(&s->log);
}

static void log_connect(struct session *s)
{
    log_event(&s->log, "connect");
    if (s->client->port.n)
        log_bytes(&s->log, "port", s->client->port);
    if (s->client->local.n)
        log_bytes(&s->log, "local", s->client->local);
    log_end(&s->log);
}

static void log_close(struct session *s)
{
    log_event(&s->log, "close");
    log_string(&s->log, "reason", s->ended);
    log_number(&s->log, "messages", s->messages);
    log_number(&s->log, "errors", s->errors);
    log_number(&s->log, "in", s->wire.bytes_in);
    log_number(&s->log, "out", s->wire.bytes_out);
    log_seconds(&s->log, "took", deadline_now() - s->began);
    if (s->log.left_out)
        log_number(&s->log, "unlogged", s->log.left_out);
    log_end_always(&s->log);
}

static void greet_client(struct session *s)
{
    struct visit visit = {0};

    listed_begin(s);
    const struct reply *r = pace_open(s);

    if (!r)
        r = over(s);
    if (!r && (r = door_ask(s, STAGE_CONNECT, &visit))) {
        log_event(&s->log, "banner");
        session_log_reply(s, r);
        log_end(&s->log);
    }
    if (r) { /* RFC 5321 3.1: it may still say QUIT */
        s->turned_away = true;
        session_reply(s, r);
        return;
    }
    size_t n = fmt_str(s->text, "220 ");
    n += fmt_str(s->text + n, s->config.me);
    s->text[n++] = ' ';
    n += fmt_str(s->text + n, s->config.greeting);
    session_reply(s, session_text(s, n, NULL));
}

void serve(struct session *s)
{
    struct slice line;

    auth_begin(s);
    door_begin(s);
    log_connect(s);
    if (s->tls)
        starttls_log(s);
    greet_client(s);
    while (!s->closing) {
        listed_listen(s);
        int r = wire_line(&s->wire, &line);
        if (r < 0) {
            end_by_wire(s);
            break;
        }
        if (!r) {
            refuse_long_line(s);
            continue;
        }
        if (s->config.verbose)
            log_input(s, line);
        obey(s, line);
    }
    if (!s->ended)
        s->ended = s->wire.end == WIRE_EOF ? end_eof : end_lost;
    if (s->ended == end_quit && !wire_is_ahead(&s->wire))
        wire_flush(&s->wire);
    else
        wire_linger(&s->wire);
    listed_close(s);
    log_close(s);
}
