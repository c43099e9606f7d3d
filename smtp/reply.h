/* reply: the vocabulary of the session: every refusal with its code, its text and the stable
 * word for it in the log (RFC 5321 4.2, RFC 2034, RFC 3463; postern-log(5)). */
#ifndef POSTERN_REPLY_H
#define POSTERN_REPLY_H

#include "base/slice.h"

struct reply {
    const char
        *text; /* code, enhanced code and text, no line end; lines of a longer one are joined by CRLF */
    const char *reason; /* NULL: nothing was refused */
};

#define REPLY(name) extern const struct reply name
REPLY(reply_ok);
REPLY(reply_sender_ok);
REPLY(reply_recipient_ok);
REPLY(reply_go_ahead);
REPLY(reply_bye);
REPLY(reply_vrfy);

REPLY(reply_tls_ready);
REPLY(reply_auth_ok);
REPLY(reply_auth_go_on);
REPLY(reply_auth_user);
REPLY(reply_auth_password);

REPLY(reply_too_long);
REPLY(reply_unknown);
REPLY(reply_unimplemented);
REPLY(reply_argument);
REPLY(reply_no_argument);
REPLY(reply_bad_parameter);
REPLY(reply_unknown_parameter);
REPLY(reply_hello_first);
REPLY(reply_nested_mail);
REPLY(reply_mail_first);
REPLY(reply_no_recipients);

REPLY(reply_bad_sender);
REPLY(reply_bad_recipient);
REPLY(reply_bad_mailbox);
REPLY(reply_needs_smtputf8);
REPLY(reply_refused_sender);
REPLY(reply_not_local);
REPLY(reply_no_mailbox);
REPLY(reply_too_many_recipients);

REPLY(reply_too_big);
REPLY(reply_far_too_big);
REPLY(reply_nul);
REPLY(reply_bare_lf);
REPLY(reply_hops);
REPLY(reply_queue_refused);

REPLY(reply_lookup);
REPLY(reply_no_place);
REPLY(reply_full);
REPLY(reply_storage);

REPLY(reply_turned_away);
REPLY(reply_early);
REPLY(reply_early_drop);
REPLY(reply_foreign);

REPLY(reply_tls_again);
REPLY(reply_tls_first);
REPLY(reply_tls_trouble);
REPLY(reply_injection);
REPLY(reply_auth);
REPLY(reply_auth_insecure);
REPLY(reply_auth_first);
REPLY(reply_auth_again);
REPLY(reply_auth_mechanism);
REPLY(reply_auth_malformed);
REPLY(reply_auth_too_long);
REPLY(reply_auth_cancelled);
REPLY(reply_auth_failed);
REPLY(reply_auth_trouble);

REPLY(reply_errors);
REPLY(reply_noops);
REPLY(reply_vrfys);
REPLY(reply_auths);
REPLY(reply_messages);
REPLY(reply_timeout);
REPLY(reply_slow);
REPLY(reply_shutdown);
REPLY(reply_config);
#undef REPLY

/* accept, tempfail or reject, by the first digit. */
const char *reply_verdict(const struct reply *r);

/* 421, 521 and 221 close the connection. */
bool reply_closes(const struct reply *r);

static inline bool reply_is_error(const struct reply *r)
{
    return *r->text == '5';
}

#endif
