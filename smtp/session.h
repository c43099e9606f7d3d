/* session: all facts of one client's session, and how they are logged. */
#ifndef POSTERN_SESSION_H
#define POSTERN_SESSION_H

#include "log/log.h"
#include "mail/transaction.h"
#include "net/wire.h"
#include "smtp/config.h"
#include "smtp/reply.h"

enum {
    SESSION_ID = 24,
    SESSION_TEXT = 512, /* a reply with its NUL */
    SESSION_HELO = 255, /* octets of a HELO name that are kept */
    SESSION_USER = 256, /* and of a user's name */
    SESSION_PATH = ADDRESS_FMT + 2
};

/* What every handler needs. What is large, or needed by few, stands apart (see parts.h): a room that uses it
 * includes its header. */
struct session {
    instant began;
    bool greeted, esmtp;                         /* HELO or EHLO was said; it was EHLO */
    bool closing;                                /* the reply that was sent is the last one */
    bool turned_away;                            /* nothing but QUIT is left to this client */
    bool paused;                                 /* we made the client wait since its last turn */
    bool lists_asked;                            /* DNS lists were; s->listed is in use */
    bool tls;                                    /* the connection is encrypted; s->tls_facts tells how */
    bool relay_granted;                          /* RELAYCLIENT holds because the client authenticated */
    bool secret_announced;                       /* a password may come, where a command would be expected */
    const char *ended;                           /* a reason, or why (end_quit); NULL: not yet */
    uint64_t errors, noops, vrfys, rcpts, auths; /* auths: those that failed */
    uint64_t deferred, excess;                   /* RCPTs answered 4xx; too many of this transaction */
    uint64_t messages, messages_begun;           /* accepted; for which DATA was said */
    uint64_t messages_kept;                      /* stored, though REFUSE=dot may have said no */
    struct wire wire;
    struct log log;
    struct transaction transaction;
    struct config config;
    char id[SESSION_ID];
    size_t helo_len, from_len, to_len;
    size_t user_len;      /* 0: not authenticated */
    size_t tried_len;     /* of the name in `user` that AUTH has just refused; 0: none */
    struct reply dynamic; /* the last one of session_text */

    char *text;      /* SESSION_TEXT octets */
    char *helo;      /* SESSION_HELO */
    char *user;      /* SESSION_USER */
    char *from, *to; /* SESSION_PATH: of the last MAIL and RCPT, as they are logged */
    struct client *client;
    struct ucspitls *ucspitls;
    struct ucspitls_facts *tls_facts;
    struct door *door;
    struct listed *listed;     /* where there are any */
    struct delivery *delivery; /* from the first message on */
};

struct table;

/* A fresh session on descriptors in and out: joined (parts.h), with its configuration, client and log. */
void session_init(struct session *s, int in, int out);

/* The client said HELO, or EHLO. */
void session_greet(struct session *s, struct slice name, bool esmtp);

/* Forgets all that the client said, but not its misbehaviour: it begins anew (RFC 3207 4.2). */
void session_restart(struct session *s);

/* A reply whose text is the first `n` octets of s->text. */
const struct reply *session_text(struct session *s, size_t n, const char *reason);

/* Sends one reply. After one that closes there must be no other. */
void session_reply(struct session *s, const struct reply *r);

/* Logs the outcome in three pairs: verdict, reason and reply. */
void session_log_reply(struct session *s, const struct reply *r);

/* Logs a failure of our own: the step, its object, errno and exit code (0: none). */
void session_log_trouble(struct session *s, const char *step, const char *object, int error, int exit_code);

/* The same where a table could not be asked. */
void session_log_lookup(struct session *s, const struct table *t, int error);

/* Keeps a path for the log: `a` where it could be read, else the argument as it came. Returns the length. */
size_t session_keep_path(char buffer[SESSION_PATH], struct slice argument, const struct address *a);

/* The part that may be logged of a line that is no known command, or of several: see discreet. Nothing once a
 * password was announced: any line may be one. */
struct slice session_discreet(const struct session *s, struct slice said);

/* Logs TLS with its cipher, and the user, where there are any. */
void session_log_security(struct session *s);

/* The client proved to be a user. */
static inline bool session_is_authenticated(const struct session *s)
{
    return s->user_len > 0;
}

static inline struct slice session_helo(const struct session *s)
{
    return (struct slice){s->helo, s->helo_len};
}

#endif
