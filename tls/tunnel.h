/* tunnel: a client's encrypted bytes to an application's plain ones and back, from the handshake to the end.
 *
 * Descriptors 0 and 1 are the network. await_init must have been called. */
#ifndef POSTERN_TUNNEL_H
#define POSTERN_TUNNEL_H

#include "base/deadline.h"
#include "log/log.h"

#include <stdbool.h>

#include <openssl/ssl.h>

enum { TUNNEL_BUFFER = 65536 };

struct tunnel_buffer {
    size_t at, n; /* the octets left are at .. n */
    char bytes[TUNNEL_BUFFER];
};

struct tunnel {
    SSL *ssl;
    int from, to; /* from the application, and to it; -1: closed */
    struct log *log;
    struct tunnel_buffer up, down; /* to the application, to the network */
    int64_t patience;              /* nanoseconds without a byte either way */
    instant end;                   /* no later than this: SIGTERM came, or the application has ended */
    uint64_t carried;              /* octets */
    short recv_waits, send_waits;  /* events of poll(2) on the network; 0: worth a try */
    bool from_waits, to_waits;     /* likewise, on the application's pipes */
    bool ended;                    /* the application says no more, though not all may have been read */
    bool client_ended;             /* no more will come from the network */
    bool lost;                     /* nor can anything be sent there */
    const char *cut_step;          /* the step that failed, and why: not logged yet; NULL: none */
    char cut_why[80];
    instant parting; /* until then the application may end by itself, and that is no news */
};

/* Over zeroed memory. Makes the four descriptors non-blocking. -1 with errno. */
int tunnel_init(struct tunnel *t, SSL *ssl, int from, int to, struct log *log, int64_t patience);

/* As the server, in 30 s at most. False: it failed, which is logged; tunnel_abandon must follow. */
bool tunnel_handshake(struct tunnel *t);

/* Closes the application's pipes, and gives the client 2 s to read why. */
void tunnel_abandon(struct tunnel *t);

/* Until the application ends, or the client does and the application after it. */
void tunnel_carry(struct tunnel *t);

#endif
