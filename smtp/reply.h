/* reply: every reply of a session, with its code, its text and the stable word for it in the log.
 *
 * RFC 5321 4.2, RFC 2034, RFC 3463; postern-log(5) has the words. */
#ifndef POSTERN_REPLY_H
#define POSTERN_REPLY_H

#include "base/slice.h"

struct reply {
    /* Code, enhanced code and text, no line end; lines of a longer one are joined by CRLF. */
    const char *text;
    const char *reason; /* NULL: nothing was refused */
};

/* accept, tempfail or reject, by the first digit. */
const char *reply_verdict(const struct reply *r);

/* 421, 521 and 221 close the connection. */
bool reply_closes(const struct reply *r);

static inline bool reply_is_error(const struct reply *r)
{
    return *r->text == '5';
}

#endif

/* Every reply, one row each: its name, its reason, its text. Here a row declares its reply. reply.c
 * defines REPLY and REASON otherwise and includes this once more, so a new reply is one row. */
#ifndef REPLY
#define REPLY(name, reason, text) extern const struct reply name
#define REASON(name, word) extern const char name[]
#endif

/* Positive replies. */
REPLY(reply_ok, NULL, "250 2.0.0 Ok");
REPLY(reply_sender_ok, NULL, "250 2.1.0 Sender ok");
REPLY(reply_recipient_ok, NULL, "250 2.1.5 Recipient ok");
REPLY(reply_go_ahead, NULL, "354 End data with <CR><LF>.<CR><LF>");
REPLY(reply_bye, NULL, "221 2.0.0 Bye");
REPLY(reply_vrfy, NULL, "252 2.5.2 Send some mail and see");
REPLY(reply_tls_ready, NULL, "220 2.0.0 Ready to start TLS");
REPLY(reply_auth_ok, NULL, "235 2.7.0 Authenticated");
REPLY(reply_auth_go_on, NULL, "334 ");
REPLY(reply_auth_user, NULL, "334 VXNlcm5hbWU6");     /* "Username:" in base64 */
REPLY(reply_auth_password, NULL, "334 UGFzc3dvcmQ6"); /* "Password:" */

/* The command itself. */
REPLY(reply_too_long, "line-too-long", "500 5.5.2 Line too long");
REPLY(reply_unknown, "unknown-command", "500 5.5.2 Unknown command");
REPLY(reply_unimplemented, "not-implemented", "502 5.5.1 Command not implemented");
REPLY(reply_argument, "argument", "501 5.5.4 Argument missing or malformed");
REPLY(reply_no_argument, "argument", "501 5.5.4 No argument allowed");
REPLY(reply_bad_parameter, "parameter", "501 5.5.4 Bad parameter value");
REPLY(reply_unknown_parameter, "parameter", "555 5.5.4 Unknown parameter");
REPLY(reply_hello_first, "sequence", "503 5.5.1 Say HELO or EHLO first");
REPLY(reply_nested_mail, "sequence", "503 5.5.1 A transaction is open already");
REPLY(reply_mail_first, "sequence", "503 5.5.1 Say MAIL first");
REPLY(reply_no_recipients, "no-recipients", "554 5.5.1 No valid recipients");

/* Sender and recipient. */
REPLY(reply_bad_sender, "syntax", "501 5.1.7 Bad sender address");
REPLY(reply_bad_recipient, "syntax", "501 5.1.3 Bad recipient address");
REPLY(reply_bad_mailbox, "syntax", "501 5.1.3 Bad address");
REPLY(reply_needs_smtputf8, "smtputf8", "553 5.6.7 Address needs SMTPUTF8");
REPLY(reply_refused_sender, "badsender", "553 5.1.8 Sender refused");
REPLY(reply_not_local, "notlocal", "550 5.7.1 No mail for this domain here");
REPLY(reply_no_mailbox, "nouser", "550 5.1.1 No such mailbox");
REPLY(reply_too_many_recipients, "recipients", "452 4.5.3 Too many recipients");

/* The message. */
REPLY(reply_too_big, "toobig", "552 5.3.4 Message too big");
REPLY(reply_far_too_big, "toobig", "552 5.3.4 Message far too big");
REPLY(reply_nul, "nul", "550 5.6.0 Message holds a NUL byte");
REPLY(reply_bare_lf, "barelf", "550 5.5.2 Message holds a bare LF");
REPLY(reply_hops, "hops", "554 5.4.6 Too many hops, this may be a mail loop");
REPLY(reply_queue_refused, "queue", "554 5.3.0 Message refused");

/* Our own trouble. */
REPLY(reply_lookup, "lookup", "451 4.3.0 Temporary lookup failure");
REPLY(reply_no_place, "noplace", "451 4.3.5 No place for this recipient's mail");
REPLY(reply_full, "full", "452 4.3.1 Out of space");
REPLY(reply_storage, "storage", "451 4.3.0 Temporary storage failure");

/* At the door. */
REPLY(reply_turned_away, "turned-away", "503 5.5.1 No mail is taken in this session");
REPLY(reply_early, "early", "554 5.5.0 Wait for your turn");
REPLY(reply_early_drop, "early", "521 5.5.0 Wait for your turn");
REPLY(reply_foreign, "foreign", "221 2.7.0 This is SMTP");

/* TLS and authentication. */
REPLY(reply_tls_again, "sequence", "503 5.5.1 TLS is on already");
REPLY(reply_tls_first, "tls-required", "530 5.7.0 Must issue a STARTTLS command first");
REPLY(reply_tls_trouble, "tls", "454 4.7.0 TLS not available due to temporary reason");
REPLY(reply_injection, "injection", "521 5.5.0 Nothing may come behind STARTTLS");
REPLY(reply_auth, "auth-probe", "502 5.5.1 No authentication here");
REPLY(reply_auth_insecure, "auth-insecure", "538 5.7.11 Encryption required for authentication");
REPLY(reply_auth_first, "auth-required", "530 5.7.0 Authentication required");
REPLY(reply_auth_again, "sequence", "503 5.5.1 Authenticated already");
REPLY(reply_auth_mechanism, "auth-mechanism", "504 5.5.4 Unknown authentication mechanism");
REPLY(reply_auth_malformed, "auth-malformed", "501 5.5.2 Authentication malformed");
REPLY(reply_auth_too_long, "auth-malformed", "500 5.5.6 Authentication too long");
REPLY(reply_auth_cancelled, "auth-cancelled", "501 5.7.0 Authentication cancelled");
REPLY(reply_auth_failed, "auth-failed", "535 5.7.8 Authentication failed");
REPLY(reply_auth_trouble, "auth-trouble", "454 4.7.0 Temporary authentication failure");

/* Enough. */
REPLY(reply_errors, "errors", "421 4.7.0 Too many errors");
REPLY(reply_noops, "noops", "421 4.7.0 Too many commands without a message");
REPLY(reply_vrfys, "vrfys", "421 4.7.0 Too many VRFYs");
REPLY(reply_auths, "auths", "421 4.7.0 Too many failed authentications");
REPLY(reply_messages, "messages", "421 4.7.0 Too many messages");
REPLY(reply_timeout, "timeout", "421 4.4.2 Timeout");
REPLY(reply_slow, "slow", "421 4.4.2 Message comes too slowly");
REPLY(reply_shutdown, "shutdown", "421 4.3.2 Shutting down");
REPLY(reply_config, "config", "421 4.3.5 Misconfigured");

/* The reasons of replies that have a text of the operator's, or of a DNS list: see session_text. */
REASON(reason_scripted, "scripted");
REASON(reason_rblsmtpd, "rblsmtpd");
REASON(reason_refuse, "refuse");
REASON(reason_listed, "listed");

/* Why a session ended where no reply tells. */
REASON(end_quit, "quit");
REASON(end_eof, "eof");
REASON(end_lost, "lost");
REASON(end_handshake, "handshake");

#undef REPLY
#undef REASON
