/* trace: the header fields put on top of a message (RFC 5321 4.4). Pure: facts in, bytes out. */
#ifndef POSTERN_TRACE_H
#define POSTERN_TRACE_H

#include <sys/types.h>
#include <time.h>

#include "base/ip.h"
#include "mail/transaction.h"

enum {
    TRACE_HELO = 255, /* octets of a HELO name that are kept */
    TRACE_USER = 256, /* and of a user's name */
    /* space for all fields of any transaction */
    TRACE_BUFFER = TRANSACTION_ARENA + 8192
};

struct trace {
    const char *me;
    const char *protocol;     /* SMTP, ESMTPSA, UTF8SMTP and so on (RFC 3848, RFC 6531); NULL: it came from a
                                 program of this host: there is no session, client nor TLS */
    uid_t uid;                /* of that program */
    const char *tls, *cipher; /* names; NULL: no TLS */
    struct slice user;        /* that authenticated; empty: none did */
    const char *session, *id; /* of the session; of this message */
    const char *mode;         /* collector, local, relay */
    const struct ip *client;  /* NULL: not known */
    struct slice client_name; /* its host name; empty: not known */
    struct slice helo;
    struct slice lists; /* that have the client; empty: none */
    const struct transaction *transaction;
    time_t now;
};

/* Each writes one or more fields and returns their length. */

size_t trace_return_path(char *out, const struct trace *t);

/* X-Postern-Listed, where a list has the client. */
size_t trace_listed(char *out, const struct trace *t);

/* For a mailbox of its own: Return-Path, and Delivered-To where the message is for one recipient only;
 * recipients must not learn of each other. */
size_t trace_mailbox(char *out, const struct trace *t);

/* Received: with `for` where there is one recipient only. */
size_t trace_received(char *out, const struct trace *t);

/* For the operator's SPOOL: the envelope and the client's facts, as X-Postern- fields. */
size_t trace_envelope(char *out, const struct trace *t);

#endif
