/* ucspitls: the UCSPI-TLS protocol, as the program that asks for TLS speaks it (ucspi-tls(2) of ucspi-ssl).
 *
 * The server in front of us offers three descriptors. We write a byte to the first, a socket, and it starts
 * TLS on the connection; when the handshake is done it tells the agreement there, as NAME=value strings, each
 * ending in a NUL, and an empty one. From then on the other two descriptors are the connection. It has no
 * libowfat in it: the gate itself is such a program, where TLS comes first. */
#ifndef POSTERN_UCSPITLS_H
#define POSTERN_UCSPITLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/deadline.h"

/* The server gives a client this long for its handshake; the program that waits for it has a little
 * longer. */
#define UCSPITLS_HANDSHAKE (30 * SECOND)
#define UCSPITLS_PATIENCE (40 * SECOND)

/* Names: of the descriptors, in the environment; of the facts, in the answer and in the environment of a
 * program that has TLS from its start. */
#define UCSPITLS_CONTROL "SSLCTLFD"
#define UCSPITLS_READ "SSLREADFD"
#define UCSPITLS_WRITE "SSLWRITEFD"
#define UCSPITLS_PROTOCOL "SSL_PROTOCOL"
#define UCSPITLS_CIPHER "SSL_CIPHER"
#define UCSPITLS_SERVER_NAME "SSL_TLS_SNI_SERVERNAME"

enum {
    UCSPITLS_NAME = 64,         /* space for the name of a protocol version or a cipher, with its NUL */
    UCSPITLS_HOST = 256,        /* space for a host name, with its NUL */
    UCSPITLS_LONGEST = 1 << 18, /* octets of a whole answer: some tell of all certificates */
    UCSPITLS_ENTRY = 320        /* octets of a string we care about; longer ones are not ours */
};

/* The agreement: C strings of [0-9A-Za-z._:+-], other bytes became underscores; empty: not told. */
struct ucspitls_facts {
    char protocol[UCSPITLS_NAME], cipher[UCSPITLS_NAME];
    char server_name[UCSPITLS_HOST]; /* that the client asked for */
};

struct ucspitls {
    int control, read, write; /* control < 0: none is offered */
};

/* An answer on its way. All zero: nothing of it has come. */
struct ucspitls_answer {
    bool done, bad;
    size_t seen, entry_len;
    char entry[UCSPITLS_ENTRY];
};

/* The descriptors of SSLCTLFD, SSLREADFD and SSLWRITEFD; programs that we start will not have them. False
 * where there are none. */
bool ucspitls_find(struct ucspitls *u);

/* TLS was there before us, as its server's environment tells (SSL_PROTOCOL, SSL_CIPHER). */
bool ucspitls_is_on(struct ucspitls_facts *facts);

/* The server is still there to be asked. */
bool ucspitls_is_alive(const struct ucspitls *u);

/* Asks for TLS, and waits for the answer. 0, or -1 with errno: ETIMEDOUT, EINTR where a signal came, EPROTO
 * for an answer that is none, ECONNRESET where the server ended: the handshake failed. */
int ucspitls_start(const struct ucspitls *u, instant until, struct ucspitls_facts *facts);

/* The second half of ucspitls_start, for a program that did not have to ask. */
int ucspitls_hear(const struct ucspitls *u, instant until, struct ucspitls_facts *facts);

/* The connection's descriptors become 0 and 1, the three are closed. 0, or -1 with errno. */
int ucspitls_switch(struct ucspitls *u);

/* Takes the next bytes of an answer. Returns how many of them belong to it: all, but at its end. */
size_t ucspitls_feed(struct ucspitls_answer *a, const char *bytes, size_t n, struct ucspitls_facts *facts);

#endif
