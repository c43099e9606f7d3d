#include "serve.h"

#include "auth.h"
#include "command.h"
#include "content.h"
#include "discreet.h"
#include "door.h"
#include "envelope.h"
#include "lists.h"
#include "pace.h"
#include "starttls.h"

#include <fmt.h>

enum {
    OVERSHOOT = 1000, /* 4xx replies to RCPT in a session that are no errors: a client may try all it has */
    LOGGED_HELO = 64, /* octets of the HELO name in the line of a command */
    LOGGED_FROM = 128 /* of the sender in that of a recipient */
};

static const struct reply *in_text(struct session *s, size_t n)
{
    s->text[n] = 0;
    s->dynamic = (struct reply){s->text, NULL};
    return &s->dynamic;
}

static const struct reply *helo(struct session *s, struct slice argument)
{
    session_greet(s, argument, false);
    size_t n = fmt_str(s->text, "250 ");
    n += fmt_str(s->text + n, s->config.me);
    return in_text(s, n);
}

static const struct reply *ehlo(struct session *s, struct slice argument)
{
    session_greet(s, argument, true);
    size_t n = fmt_str(s->text, "250-");
    n += fmt_str(s->text + n, s->config.me);
    n += fmt_str(s->text + n, "\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE ");
    n += fmt_ulonglong(s->text + n, s->config.databytes);
    if (!s->config.qmailqueue)
        n += fmt_str(s->text + n, "\r\n250-SMTPUTF8");
    if (starttls_is_offered(s))
        n += fmt_str(s->text + n, "\r\n250-STARTTLS");
    if (auth_is_offered(s))
        n += fmt_str(s->text + n, "\r\n250-AUTH PLAIN LOGIN");
    n += fmt_str(s->text + n, "\r\n250-ENHANCEDSTATUSCODES\r\n250 HELP");
    return in_text(s, n);
}

static const struct reply *rset(struct session *s, struct slice argument)
{
    (void)argument;
    transaction_reset(&s->transaction);
    return &reply_ok;
}

static const struct reply *noop(struct session *s, struct slice argument)
{
    (void)s;
    (void)argument;
    return &reply_ok;
}

static const struct reply *quit(struct session *s, struct slice argument)
{
    (void)argument;
    s->ended = "quit";
    return &reply_bye;
}

static bool too_many_vrfys(struct session *s)
{
    s->vrfys++;
    return s->config.maxvrfys && s->vrfys > s->config.maxvrfys;
}

/* An atom, or a string in quotes, which must be closed. */
static bool is_string(struct slice s)
{
    if (*s.p != '"')
        return true;
    for (size_t i = 1; i < s.n; i++)
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"')
            return i + 1 == s.n;
    return false;
}

/* A mailbox, in brackets or not, or a user's name (RFC 5321 3.5.1). */
static const struct reply *vrfy(struct session *s, struct slice argument)
{
    struct address a;

    if (too_many_vrfys(s))
        return &reply_vrfys;
    bool is_name = !memchr(argument.p, '@', argument.n) && *argument.p != '<';
    if (is_name ? !is_string(argument) : address_parse(argument, ADDRESS_FORWARD, &a, &argument) != NULL)
        return &reply_bad_mailbox;
    return &reply_vrfy;
}

static const struct reply *expn(struct session *s, struct slice argument)
{
    (void)argument;
    return too_many_vrfys(s) ? &reply_vrfys : &reply_unimplemented;
}

/* Names what can be had here and now. */
static const struct reply *help(struct session *s, struct slice argument)
{
    (void)argument;
    size_t n = fmt_str(s->text, "214 2.0.0 HELO EHLO");
    if (starttls_is_offered(s))
        n += fmt_str(s->text + n, " STARTTLS");
    if (auth_is_offered(s))
        n += fmt_str(s->text + n, " AUTH");
    n += fmt_str(s->text + n, " MAIL RCPT DATA RSET NOOP QUIT VRFY HELP");
    return in_text(s, n);
}

static const struct reply *unimplemented(struct session *s, struct slice argument)
{
    (void)s;
    (void)argument;
    return &reply_unimplemented;
}

enum state { ANY, GREETED, CLEAR, OPEN, READY };
enum argument { NONE, OPTIONAL, NEEDED };

struct verb {
    const char *name;
    const struct reply *(*run)(struct session *s, struct slice argument);
    enum state state;
    enum argument argument;
    unsigned flags;
    enum stage stage; /* of the checks made before it is run */
};

/* Flags of a verb. */
enum {
    TURN = 1,  /* the client must wait for the reply */
    PLAIN = 2, /* it may be said before a TLS that is demanded (RFC 3207 4) */
    IDLE = 4   /* by itself it moves no mail: MAXNOOPS bounds it */
};

static const struct reply *check_state(const struct session *s, enum state needed)
{
    const struct transaction *t = &s->transaction;

    if (needed != ANY && !s->greeted)
        return &reply_hello_first;
    if (needed == CLEAR && t->open)
        return &reply_nested_mail;
    if ((needed == OPEN || needed == READY) && !t->open)
        return &reply_mail_first;
    return needed == READY && !t->recipients ? &reply_no_recipients : NULL;
}

static const struct reply *check_argument(enum argument wanted, struct slice argument)
{
    if (wanted == NONE && argument.n)
        return &reply_no_argument;
    return wanted == NEEDED && !argument.n ? &reply_argument : NULL;
}

/* What the log may tell of a command's name: one that is none may be a password, or be written together with
 * one. */
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

/* Of the recipients too many for a transaction one says it all. */
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
    bool mail = v && v->run == envelope_mail, rcpt = v && v->run == envelope_rcpt;

    if ((!r->reason && !rcpt) || is_said_already(s, r))
        return;
    log_event(&s->log, mail ? "mail" : rcpt ? "rcpt" : "command");
    bool greeting = v && v->stage == STAGE_HELO;
    log_some(&s->log, "helo", discreet_words(greeting ? c.argument : session_helo(s)), LOGGED_HELO);
    if (mail || rcpt)
        log_path(s, rcpt, c.argument, run);
    else
        log_bytes(&s->log, "verb", known_verb(s, v, c.verb));
    if (s->tried_len)
        log_bytes(&s->log, "user", (struct slice){s->user, s->tried_len});
    session_log_reply(s, r);
    log_end(&s->log);
}

/* A recipient that is to come again later is no error, unless there is no end of them. */
static bool is_error(struct session *s, const struct verb *v, const struct reply *r)
{
    if (v && v->run == envelope_rcpt && *r->text == '4')
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

/* Commands that bring no message, since the last one. NULL: it may be one more. */
static const struct reply *count_idle(struct session *s, const struct verb *v)
{
    if (!(v->flags & IDLE))
        return NULL;
    s->noops++;
    return s->config.maxnoops && s->noops > s->config.maxnoops ? &reply_noops : NULL;
}

static const struct verb *find_verb(struct slice name);

/* All that is asked before a command is run. NULL: it may be. */
static const struct reply *check_command(struct session *s, const struct verb *v, struct slice argument)
{
    struct visit visit = {0};
    const struct reply *r;

    if (s->turned_away && v->run != quit)
        return &reply_turned_away;
    if (!(v->flags & PLAIN) && (r = starttls_demand(s)))
        return r;
    if ((r = check_state(s, v->state)) || (r = check_argument(v->argument, argument)))
        return r;
    if (v->flags & TURN && (r = pace_turn(s, v->name)))
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
    const struct verb *v = find_verb(c.verb);
    const struct reply *r;

    if (!v && (r = pace_foreign(s, line))) {
        session_reply(s, r);
        return;
    }
    bool auth = v && v->run == auth_command, secret = v ? auth : discreet_announces(line);
    s->tried_len = 0;
    s->secret_announced |= auth; /* if refused, too: its answers may be on the way */
    r = v ? check_command(s, v, c.argument) : &reply_unknown;
    bool run = v && !r;
    if (run)
        r = v->run(s, c.argument);
    if (!r)
        return; /* the client is gone */
    r = count_error(s, v, r);
    if (!run || v->run != content_data) { /* that one logs its message itself, and what it said holds */
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
        s->ended = "eof";
        break;
    default:
        s->ended = "lost";
    }
}

/* What VERBOSE shows of a line: never a password. */
static void log_input(struct session *s, struct slice line)
{
    bool known = find_verb(command_parse(line).verb) != NULL;

    log_event(&s->log, "in");
    log_bytes(&s->log, "data", known ? discreet_line(line) : session_discreet(s, line));
    log_end_always(&s->log);
}

static void log_connect(struct session *s)
{
    log_event(&s->log, "connect");
    if (s->client.port.n)
        log_bytes(&s->log, "port", s->client.port);
    if (s->client.local.n)
        log_bytes(&s->log, "local", s->client.local);
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

    lists_begin(s);
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
    session_reply(s, in_text(s, n));
}

void serve(struct session *s)
{
    struct slice line;

    auth_begin(s);
    log_connect(s);
    if (s->tls)
        starttls_log(s);
    greet_client(s);
    while (!s->closing) {
        lists_listen(s);
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
        s->ended = s->wire.end == WIRE_EOF ? "eof" : "lost";
    if (!strcmp(s->ended, "quit") && !wire_is_ahead(&s->wire))
        wire_flush(&s->wire);
    else
        wire_linger(&s->wire);
    lists_close(s);
    log_close(s);
}

/* A new command is one function above and one row here. */
static const struct verb verbs[] = {
    {"HELO", helo, ANY, NEEDED, TURN | PLAIN | IDLE, STAGE_HELO},
    {"EHLO", ehlo, ANY, NEEDED, TURN | PLAIN | IDLE, STAGE_HELO},
    {"MAIL", envelope_mail, CLEAR, NEEDED, IDLE, STAGE_NEVER},
    {"RCPT", envelope_rcpt, OPEN, NEEDED, 0, STAGE_NEVER},
    {"DATA", content_data, READY, NONE, TURN, STAGE_DATA},
    {"RSET", rset, ANY, NONE, IDLE, STAGE_NEVER},
    {"NOOP", noop, ANY, OPTIONAL, PLAIN | IDLE, STAGE_NEVER},
    {"QUIT", quit, ANY, NONE, PLAIN, STAGE_NEVER},
    {"VRFY", vrfy, ANY, NEEDED, 0, STAGE_NEVER},
    {"EXPN", expn, ANY, NEEDED, 0, STAGE_NEVER},
    {"HELP", help, ANY, OPTIONAL, IDLE, STAGE_NEVER},
    {"AUTH", auth_command, ANY, OPTIONAL, 0, STAGE_NEVER},
    {"STARTTLS", starttls_command, ANY, NONE, PLAIN, STAGE_NEVER},
    {"BDAT", unimplemented, ANY, OPTIONAL, 0, STAGE_NEVER},
    {"ETRN", unimplemented, ANY, OPTIONAL, 0, STAGE_NEVER},
    {"TURN", unimplemented, ANY, OPTIONAL, 0, STAGE_NEVER},
    {"SEND", unimplemented, ANY, OPTIONAL, 0, STAGE_NEVER},
    {"SOML", unimplemented, ANY, OPTIONAL, 0, STAGE_NEVER},
    {"SAML", unimplemented, ANY, OPTIONAL, 0, STAGE_NEVER},
};

static const struct verb *find_verb(struct slice name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (slice_is(name, verbs[i].name))
            return &verbs[i];
    return NULL;
}
