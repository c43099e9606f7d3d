#include "envelope.h"

#include "command.h"
#include "door.h"
#include "pace.h"

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

/* RFC 3461 4: printable but + and =, or + and two hexadecimal digits. */
static bool is_xtext(struct slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c < '!' || c > '~' || c == '=')
            return false;
        if (c == '+' && (text.n - i < 3 || !is_hex(text.p[i + 1]) || !is_hex(text.p[i + 2])))
            return false;
    }
    return text.n > 0;
}

/* SIZE, BODY, SMTPUTF8 and AUTH (RFC 1870, 6152, 6531, 4954). */
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
    if (slice_is(p->keyword, "AUTH") && s->config.checkpassword) /* read, but nobody is trusted with it */
        return p->value.p && is_xtext(p->value) ? NULL : &reply_bad_parameter;
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
    const struct reply *refusal = door_ask(s, STAGE_MAIL, &(struct visit){.sender = &sender});
    if (refusal)
        return refusal;
    transaction_begin(&s->transaction, &sender, smtputf8);
    return &reply_sender_ok;
}

const struct reply *envelope_rcpt(struct session *s, struct slice argument)
{
    struct transaction *t = &s->transaction;
    struct address a;
    struct parameter p;
    struct visit visit = {.recipient = &a, .place = {"", 0}};
    char text[TRANSACTION_ADDRESS];

    pace_recipient(s);
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

    struct slice recipient = {text, address_fmt(text, &a)};
    const struct reply *refusal = door_ask(s, STAGE_RCPT, &visit);
    if (refusal)
        return refusal;
    if (s->config.relayclient) {
        struct slice suffix = slice_of(s->config.relayclient);
        memcpy(text + recipient.n, suffix.p, suffix.n);
        recipient.n += suffix.n;
    }
    return transaction_add(t, recipient, visit.place) ? &reply_recipient_ok : &reply_too_many_recipients;
}
