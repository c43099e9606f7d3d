#include "smtp/verbs.h"

#include "smtp/auth.h"
#include "smtp/data.h"
#include "smtp/envelope.h"
#include "smtp/starttls.h"

#include <fmt.h>

static const struct reply *helo(struct session *s, struct slice argument)
{
    session_greet(s, argument, false);
    size_t n = fmt_str(s->text, "250 ");
    n += fmt_str(s->text + n, s->config.me);
    return session_text(s, n, NULL);
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
    return session_text(s, n, NULL);
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
    s->ended = end_quit;
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

/* Names the commands that can be said here and now. */
static const struct reply *help(struct session *s, struct slice argument)
{
    (void)argument;
    size_t n = fmt_str(s->text, "214 2.0.0 HELO EHLO");
    if (starttls_is_offered(s))
        n += fmt_str(s->text + n, " STARTTLS");
    if (auth_is_offered(s))
        n += fmt_str(s->text + n, " AUTH");
    n += fmt_str(s->text + n, " MAIL RCPT DATA RSET NOOP QUIT VRFY HELP");
    return session_text(s, n, NULL);
}

static const struct reply *unimplemented(struct session *s, struct slice argument)
{
    (void)s;
    (void)argument;
    return &reply_unimplemented;
}

/* A new command is one function above and one row here. */
static const struct verb verbs[] = {
    {"HELO", helo, VERB_ANY, VERB_NEEDED, VERB_TURN | VERB_PLAIN | VERB_IDLE, VERB_COMMAND, STAGE_HELO},
    {"EHLO", ehlo, VERB_ANY, VERB_NEEDED, VERB_TURN | VERB_PLAIN | VERB_IDLE, VERB_COMMAND, STAGE_HELO},
    {"MAIL", envelope_mail, VERB_CLEAR, VERB_NEEDED, VERB_IDLE, VERB_MAIL, STAGE_NEVER},
    {"RCPT", envelope_rcpt, VERB_OPEN, VERB_NEEDED, 0, VERB_RCPT, STAGE_NEVER},
    {"DATA", data_command, VERB_READY, VERB_NONE, VERB_TURN | VERB_LOGGED, VERB_COMMAND, STAGE_DATA},
    {"RSET", rset, VERB_ANY, VERB_NONE, VERB_IDLE, VERB_COMMAND, STAGE_NEVER},
    {"NOOP", noop, VERB_ANY, VERB_OPTIONAL, VERB_PLAIN | VERB_IDLE, VERB_COMMAND, STAGE_NEVER},
    {"QUIT", quit, VERB_ANY, VERB_NONE, VERB_PLAIN | VERB_LAST, VERB_COMMAND, STAGE_NEVER},
    {"VRFY", vrfy, VERB_ANY, VERB_NEEDED, 0, VERB_COMMAND, STAGE_NEVER},
    {"EXPN", expn, VERB_ANY, VERB_NEEDED, 0, VERB_COMMAND, STAGE_NEVER},
    {"HELP", help, VERB_ANY, VERB_OPTIONAL, VERB_IDLE, VERB_COMMAND, STAGE_NEVER},
    {"AUTH", auth_command, VERB_ANY, VERB_OPTIONAL, VERB_SECRET, VERB_COMMAND, STAGE_NEVER},
    {"STARTTLS", starttls_command, VERB_ANY, VERB_NONE, VERB_PLAIN, VERB_COMMAND, STAGE_NEVER},
    {"BDAT", unimplemented, VERB_ANY, VERB_OPTIONAL, 0, VERB_COMMAND, STAGE_NEVER},
    {"ETRN", unimplemented, VERB_ANY, VERB_OPTIONAL, 0, VERB_COMMAND, STAGE_NEVER},
    {"TURN", unimplemented, VERB_ANY, VERB_OPTIONAL, 0, VERB_COMMAND, STAGE_NEVER},
    {"SEND", unimplemented, VERB_ANY, VERB_OPTIONAL, 0, VERB_COMMAND, STAGE_NEVER},
    {"SOML", unimplemented, VERB_ANY, VERB_OPTIONAL, 0, VERB_COMMAND, STAGE_NEVER},
    {"SAML", unimplemented, VERB_ANY, VERB_OPTIONAL, 0, VERB_COMMAND, STAGE_NEVER},
};

const struct verb *verbs_find(struct slice name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (slice_is(name, verbs[i].name))
            return &verbs[i];
    return NULL;
}
