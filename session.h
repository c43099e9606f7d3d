/* session: what is known of one client's session, and how that is logged. */
#ifndef POSTERN_SESSION_H
#define POSTERN_SESSION_H

#include "client.h"
#include "config.h"
#include "delivery.h"
#include "log.h"
#include "reply.h"
#include "table.h"
#include "trace.h"
#include "transaction.h"
#include "wire.h"

enum { SESSION_ID = 24, SESSION_TEXT = 1024, SESSION_PATH = ADDRESS_FMT + 2 };

struct session {
    struct config config;
    struct client client;
    struct log log;
    struct wire wire;
    struct table domains, mailboxes, badsenders;
    struct transaction transaction;
    struct delivery delivery;

    instant began;
    bool greeted, esmtp; /* HELO or EHLO was said; it was EHLO */
    bool closing;        /* the reply that was sent is the last one */
    const char *ended;   /* why, for the log; NULL: not yet */
    size_t helo_len, from_len, to_len;
    uint64_t errors, noops, vrfys;
    uint64_t messages, messages_begun; /* accepted; for which DATA was said */
    struct reply dynamic;              /* a reply whose text is in text[] */
    char id[SESSION_ID];
    char helo[TRACE_HELO];
    char from[SESSION_PATH], to[SESSION_PATH]; /* of the last MAIL and RCPT, as they are logged */
    char text[SESSION_TEXT];
};

/* A fresh session on descriptors in and out, with s->config, s->client and s->log in place. */
void session_init(struct session *s, int in, int out);

/* Sends one reply. After one that closes there must be no other. */
void session_reply(struct session *s, const struct reply *r);

/* The pairs that say what became of something: verdict, reason and reply. */
void session_log_reply(struct session *s, const struct reply *r);

/* Logs a failure of our own: what was done, to what, errno and exit code (0: none). */
void session_log_trouble(struct session *s, const char *step, const char *object, int error, int exit_code);

/* Keeps a path for the log: `a` where it could be read, else the argument as it came. Returns the length. */
size_t session_keep_path(char room[SESSION_PATH], struct slice argument, const struct address *a);

static inline struct slice session_helo(const struct session *s)
{
    return (struct slice){s->helo, s->helo_len};
}

#endif
