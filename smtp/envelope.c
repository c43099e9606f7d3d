#include "smtp/envelope.h"

#include "base/digits.h"
#include "smtp/command.h"
#include "smtp/door.h"
#include "smtp/pace.h"

#include <limits.h>

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

static bool is_number(struct slice text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
    return text.n > 0;
}

/* RFC 1870. A number too large to count is too big, not wrong. */
static const struct reply *take_size(const struct session *s, struct slice value)
{
    unsigned long long size;

    if (!is_number(value))
        return &reply_bad_parameter;
    while (value.n > 1 && *value.p == '0')
        value = slice_after(value, 1);
    if (!digits_scan(value, &size))
        size = ULLONG_MAX;
    return s->config.databytes && size > s->config.databytes ? &reply_too_big : NULL;
}

/* RFC 6152 */
static const struct reply *take_body(const struct session *s, struct slice value)
{
    (void)s;
    return slice_is(value, "7BIT") || slice_is(value, "8BITMIME") ? NULL : &reply_bad_parameter;
}

/* RFC 6531 */
static const struct reply *take_smtputf8(const struct session *s, struct slice value)
{
    if (s->config.qmailqueue)
        return &reply_unknown_parameter;
    return value.p ? &reply_bad_parameter : NULL;
}

/* RFC 4954. It is checked, and not believed. */
static const struct reply *take_auth(const struct session *s, struct slice value)
{
    if (!s->config.checkpassword)
        return &reply_unknown_parameter;
    return is_xtext(value) ? NULL : &reply_bad_parameter;
}

enum { SIZE, BODY, SMTPUTF8, AUTH, PARAMETERS };

/* A further parameter of MAIL is one function above and one row here. */
static const struct {
    const char *keyword;
    const struct reply *(*take)(const struct session *s, struct slice value); /* value.p NULL: no `=` */
} parameters[PARAMETERS] = {
    [SIZE] = {"SIZE", take_size},
    [BODY] = {"BODY", take_body},
    [SMTPUTF8] = {"SMTPUTF8", take_smtputf8},
    [AUTH] = {"AUTH", take_auth},
};

/* Each may stand once (RFC 5321 4.1.1.11). `said` has a bit for each that did. */
static const struct reply *mail_parameter(const struct session *s, const struct parameter *p, unsigned *said)
{
    for (unsigned i = 0; i < PARAMETERS; i++) {
        if (!slice_is(p->keyword, parameters[i].keyword))
            continue;
        const struct reply *r = parameters[i].take(s, p->value);
        if (!r && *said & 1U << i)
            return &reply_bad_parameter;
        *said |= 1U << i;
        return r;
    }
    return &reply_unknown_parameter;
}

const struct reply *envelope_mail(struct session *s, struct slice argument)
{
    struct address sender;
    struct parameter p;
    enum parameter_found found;
    unsigned said = 0;

    bool has_path = command_path(&argument, "FROM:");
    s->from_len = session_keep_path(s->from, argument, NULL);
    if (!has_path)
        return &reply_argument;
    if (address_parse(argument, ADDRESS_REVERSE, &sender, &argument))
        return &reply_bad_sender;
    s->from_len = session_keep_path(s->from, argument, &sender);
    while ((found = command_parameter(&argument, &p)) == PARAMETER_OK) {
        const struct reply *r = mail_parameter(s, &p, &said);
        if (r)
            return r;
    }
    if (found == PARAMETER_BAD)
        return &reply_bad_parameter;
    const bool smtputf8 = said & 1U << SMTPUTF8;
    if (sender.utf8 && !smtputf8)
        return &reply_needs_smtputf8;
    const struct reply *refusal = door_ask(s, STAGE_MAIL, &(struct visit){.sender = &sender});
    if (refusal)
        return refusal;
    transaction_begin(&s->transaction, &sender, smtputf8);
    s->excess = 0;
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
