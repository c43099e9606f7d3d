#include "envelope.h"

#include "command.h"

#include <errno.h>

/* A table that cannot be asked is our trouble, never an answer. */
static const struct reply *lookup_trouble(struct session *s, const struct table *t)
{
    session_log_trouble(s, "lookup", t->path, errno, 0);
    return &reply_lookup;
}

/* SIZE, BODY and SMTPUTF8 (RFC 1870, 6152, 6531). */
static const struct reply *mail_parameter(struct session *s, const struct parameter *p, bool *smtputf8)
{
    unsigned long long size;

    if (slice_is(p->keyword, "SIZE")) {
        if (!p->value.p || !command_number(p->value, &size))
            return &reply_bad_parameter;
        return s->config.databytes && size > s->config.databytes ? &reply_too_big : NULL;
    }
    if (slice_is(p->keyword, "BODY")) {
        bool known = p->value.p && (slice_is(p->value, "7BIT") || slice_is(p->value, "8BITMIME"));
        return known ? NULL : &reply_bad_parameter;
    }
    if (slice_is(p->keyword, "SMTPUTF8") && !s->config.qmailqueue) {
        *smtputf8 = true;
        return p->value.p ? &reply_bad_parameter : NULL;
    }
    return &reply_unknown_parameter;
}

const struct reply *envelope_mail(struct session *s, struct slice argument)
{
    struct address sender;
    struct parameter p;
    enum parameter_found found;
    bool smtputf8 = false;

    bool has_path = command_path(&argument, "FROM:");
    s->from_len = session_keep_path(s->from, argument, NULL);
    if (s->config.maxmsgs && s->messages >= s->config.maxmsgs)
        return &reply_messages;
    if (!has_path)
        return &reply_argument;
    if (address_parse(argument, ADDRESS_REVERSE, &sender, &argument))
        return &reply_bad_sender;
    s->from_len = session_keep_path(s->from, argument, &sender);
    while ((found = command_parameter(&argument, &p)) == PARAMETER_OK) {
        const struct reply *r = mail_parameter(s, &p, &smtputf8);
        if (r)
            return r;
    }
    if (found == PARAMETER_BAD)
        return &reply_bad_parameter;
    if (sender.utf8 && !smtputf8)
        return &reply_needs_smtputf8;
    if (s->config.badsenders) {
        int r = table_sender(&s->badsenders, &sender);
        if (r)
            return r < 0 ? lookup_trouble(s, &s->badsenders) : &reply_refused_sender;
    }
    transaction_begin(&s->transaction, &sender, smtputf8);
    return &reply_sender_ok;
}

static bool is_postmaster(const struct address *a)
{
    return slice_is((struct slice){a->local, a->local_len}, "postmaster");
}

/* Two spellings of one Maildir: a slash at the end or not, "./" before it or not. */
static bool is_same_path(struct slice a, struct slice b)
{
    while (a.n && a.p[a.n - 1] == '/')
        a.n--;
    while (b.n && b.p[b.n - 1] == '/')
        b.n--;
    if (a.n > 2 && !memcmp(a.p, "./", 2))
        a = slice_after(a, 2);
    if (b.n > 2 && !memcmp(b.p, "./", 2))
        b = slice_after(b, 2);
    return a.n == b.n && !memcmp(a.p, b.p, a.n);
}

/* What a mailbox's entry says. */
static const struct reply *obey_entry(struct session *s, struct slice value, struct slice *place)
{
    enum place_kind kind;

    if (place_parse(value, &kind)) {
        errno = EINVAL;
        return lookup_trouble(s, &s->mailboxes);
    }
    if (kind == PLACE_REPLY) {
        memcpy(s->text, value.p, value.n);
        s->text[value.n] = 0;
        s->dynamic = (struct reply){s->text, "scripted"};
        return &s->dynamic;
    }
    if (kind == PLACE_MAILDIR && (!s->config.spool || !is_same_path(value, slice_of(s->config.spool))))
        *place = value;
    return NULL;
}

/* Decides on a recipient. NULL with *place set where its mail is taken, else the refusal. */
static const struct reply *find_place(struct session *s, struct address *a, struct slice *place)
{
    const struct config *c = &s->config;
    bool any = c->relayclient || !a->domain_len; /* a bare postmaster is ours anyway */

    if (!a->domain_len) {
        a->domain_len = (unsigned char)strlen(c->me);
        memcpy(a->domain, c->me, a->domain_len);
        case_lowerb(a->domain, a->domain_len);
    }
    if (c->domains && !any) {
        int r = table_domain(&s->domains, (struct slice){a->domain, a->domain_len});
        if (r <= 0)
            return r ? lookup_trouble(s, &s->domains) : &reply_not_local;
    }
    *place = (struct slice){"", 0};
    if (c->mailboxes) {
        struct slice value;
        int r = table_mailbox(&s->mailboxes, a, &value);
        if (r < 0)
            return lookup_trouble(s, &s->mailboxes);
        if (r) {
            const struct reply *refusal = obey_entry(s, value, place);
            if (refusal && (refusal == &reply_lookup || !is_postmaster(a)))
                return refusal; /* a catch-all does not refuse postmaster (RFC 5321 4.5.1) */
        } else if (!any && !is_postmaster(a)) {
            return &reply_no_mailbox;
        }
    }
    bool takes_all = c->spool || c->discard || c->qmailqueue;
    return place->n || takes_all ? NULL : &reply_no_place;
}

const struct reply *envelope_rcpt(struct session *s, struct slice argument)
{
    struct transaction *t = &s->transaction;
    struct address a;
    struct parameter p;
    struct slice place;
    char text[TRANSACTION_ADDRESS];

    bool has_path = command_path(&argument, "TO:");
    s->to_len = session_keep_path(s->to, argument, NULL);
    if (!has_path)
        return &reply_argument;
    if (address_parse(argument, ADDRESS_FORWARD, &a, &argument))
        return &reply_bad_recipient;
    s->to_len = session_keep_path(s->to, argument, &a);
    if (command_parameter(&argument, &p) != PARAMETER_END)
        return &reply_unknown_parameter;
    if (a.utf8 && !t->smtputf8)
        return &reply_needs_smtputf8;
    if (s->config.maxrcpts && t->recipients >= s->config.maxrcpts)
        return &reply_too_many_recipients;

    struct slice recipient = {text, address_fmt(text, &a)};
    const struct reply *refusal = find_place(s, &a, &place);
    if (refusal)
        return refusal;
    if (s->config.relayclient) {
        struct slice suffix = slice_of(s->config.relayclient);
        memcpy(text + recipient.n, suffix.p, suffix.n);
        recipient.n += suffix.n;
    }
    return transaction_add(t, recipient, place) ? &reply_recipient_ok : &reply_too_many_recipients;
}
