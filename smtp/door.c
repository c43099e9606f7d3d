#include "smtp/door.h"

#include "smtp/listed.h"
#include "table/route.h"

#include <errno.h>

#include <fmt.h>

void door_begin(struct session *s)
{
    struct door *d = s->door;

    table_init(&d->domains, s->config.domains, d->domains.buffer);
    table_init(&d->mailboxes, s->config.mailboxes, d->mailboxes.buffer);
    table_init(&d->badsenders, s->config.badsenders, d->badsenders.buffer);
}

/* A table that cannot be asked is our trouble, never an answer. */
static const struct reply *lookup_trouble(struct session *s, const struct table *t)
{
    session_log_lookup(s, t, errno);
    return &reply_lookup;
}

static const struct reply *check_messages(struct session *s, struct visit *v)
{
    (void)v;
    return s->config.maxmsgs && s->messages_kept >= s->config.maxmsgs ? &reply_messages : NULL;
}

static const struct reply *check_user(struct session *s, struct visit *v)
{
    if (!s->config.auth_required)
        return NULL;
    v->rule = s->config.relayclient ? "RELAYCLIENT" : "nobody authenticated";
    return s->config.relayclient ? NULL : &reply_auth_first;
}

static const struct reply *check_sender(struct session *s, struct visit *v)
{
    if (!s->config.badsenders)
        return NULL;
    int r = lookup_sender(&s->door->badsenders, v->sender);
    v->rule = r > 0 ? "listed" : "not listed";
    if (r < 0)
        return lookup_trouble(s, &s->door->badsenders);
    return r ? &reply_refused_sender : NULL;
}

static const struct reply *check_recipients(struct session *s, struct visit *v)
{
    (void)v;
    bool full = s->config.maxrcpts && s->transaction.recipients >= s->config.maxrcpts;
    return full ? &reply_too_many_recipients : NULL;
}

/* A postmaster without a domain is ours (RFC 5321 4.5.1). */
static const struct reply *check_domain(struct session *s, struct visit *v)
{
    const struct config *c = &s->config;
    bool home = !v->recipient->domain_len;

    if (!home && c->relayclient) {
        v->rule = "RELAYCLIENT";
        return NULL;
    }
    int r = route_domain(&s->door->domains, c->me, v->recipient);
    if (home)
        v->rule = "postmaster of this host";
    else if (c->domains)
        v->rule = r > 0 ? "local" : "not local";
    if (r < 0)
        return lookup_trouble(s, &s->door->domains);
    return r ? NULL : &reply_not_local;
}

/* No such mailbox, unless somebody may send anywhere. */
static const struct reply *check_relay(struct session *s, struct visit *v)
{
    v->rule = s->config.relayclient ? "RELAYCLIENT" : "not found";
    return s->config.relayclient ? NULL : &reply_no_mailbox;
}

static const struct reply *check_mailbox(struct session *s, struct visit *v)
{
    struct slice value;

    if (!s->config.mailboxes)
        return NULL;
    v->rule = "found";
    switch (route_mailbox(&s->door->mailboxes, s->config.spool, v->recipient, &value)) {
    case ROUTE_SPOOL:
        return NULL;
    case ROUTE_MAILDIR:
        v->place = value;
        return NULL;
    case ROUTE_POSTMASTER:
        v->rule = "postmaster is never refused";
        return NULL;
    case ROUTE_REPLY:
        memcpy(s->text, value.p, value.n);
        return session_text(s, value.n, reason_scripted);
    case ROUTE_NOBODY:
        return check_relay(s, v);
    case ROUTE_TROUBLE:
        v->rule = "not found";
        break;
    case ROUTE_NONSENSE:
        break;
    }
    return lookup_trouble(s, &s->door->mailboxes);
}

static const struct reply *check_place(struct session *s, struct visit *v)
{
    const struct config *c = &s->config;

    v->rule = v->place.n      ? "a Maildir of its own"
              : c->discard    ? "DISCARD"
              : c->qmailqueue ? "QMAILQUEUE"
                              : "SPOOL";
    return v->place.n || c->spool || c->discard || c->qmailqueue ? NULL : &reply_no_place;
}

/* As rblsmtpd(1) has it: empty lets in, text refuses for now, text behind a hyphen for good. */
static const struct reply *check_rblsmtpd(struct session *s, struct visit *v)
{
    const char *text = s->config.rblsmtpd;

    if (!text)
        return NULL;
    v->rule = *text ? "set" : "empty: let in";
    if (!*text)
        return NULL;
    size_t n = fmt_str(s->text, *text == '-' ? "553 5.7.1 " : "451 4.7.1 ");
    n += fmt_str(s->text + n, text + (*text == '-'));
    return session_text(s, n, reason_rblsmtpd);
}

/* DNSBL has a row at each stage where one of its actions is due. */
static const struct reply *check_lists(struct session *s, struct visit *v)
{
    if (session_is_authenticated(s)) {
        v->rule = "authenticated";
        return NULL;
    }
    return listed_refusal(s, v->stage, &v->rule);
}

/* REFUSE has a row at the end of each stage. */
static const struct reply *check_refuse(struct session *s, struct visit *v)
{
    if (s->config.refuse_stage != v->stage)
        return NULL;
    v->rule = "set for this stage";
    return session_text(s, fmt_str(s->text, s->config.refuse), reason_refuse);
}

/* In this order. A row's comment tells its refusals. A new check is one function above and one row here. */
static const struct check {
    enum stage stage;
    const char *name;
    const struct reply *(*ask)(struct session *s, struct visit *v);
} checks[] = {
    {STAGE_CONNECT, "REFUSE", check_refuse},    /* all */
    {STAGE_CONNECT, "DNSBL", check_lists},      /* a client that is listed (drop) */
    {STAGE_HELO, "REFUSE", check_refuse},       /* all */
    {STAGE_MAIL, "AUTH_REQUIRED", check_user},  /* a client that did not log in */
    {STAGE_MAIL, "MAXMSGS", check_messages},    /* one message more */
    {STAGE_MAIL, "BADSENDERS", check_sender},   /* a sender that is in the table */
    {STAGE_MAIL, "REFUSE", check_refuse},       /* all */
    {STAGE_RCPT, "MAXRCPTS", check_recipients}, /* one recipient more */
    {STAGE_RCPT, "DOMAINS", check_domain},      /* a domain that is not ours */
    {STAGE_RCPT, "MAILBOXES", check_mailbox},   /* a mailbox that is none, or has a reply of its own */
    {STAGE_RCPT, "place", check_place},         /* mail that has no place to go */
    {STAGE_RCPT, "REFUSE", check_refuse},       /* all */
    {STAGE_RCPT, "RBLSMTPD", check_rblsmtpd},   /* a client that tcprules names */
    {STAGE_RCPT, "DNSBL", check_lists},         /* a client that is listed (reject, tempfail) */
    {STAGE_DATA, "REFUSE", check_refuse},       /* all */
    {STAGE_DATA, "DNSBL", check_lists},         /* nothing: the verdict is heard for the header (store) */
    {STAGE_DOT, "REFUSE", check_refuse},        /* all, once the message is stored */
};

enum { CHECKS = sizeof checks / sizeof *checks };

const struct reply *door_ask(struct session *s, enum stage stage, struct visit *v)
{
    const struct reply *refusal = NULL;

    v->stage = stage;
    for (size_t i = 0; i < CHECKS && !refusal; i++)
        if (checks[i].stage == stage)
            refusal = checks[i].ask(s, v);
    return refusal;
}

const struct reply *door_explain(struct session *s, struct visit *v, door_witness *tell, void *context)
{
    const struct reply *refusal = NULL;

    for (size_t i = 0; i < CHECKS && !refusal; i++) {
        v->rule = NULL;
        v->stage = checks[i].stage;
        refusal = checks[i].ask(s, v);
        tell(context, checks[i].name, v, refusal);
    }
    return refusal;
}
