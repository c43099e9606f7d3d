/* client: the client's address and name, as the server in front of us tells them.
 *
 * TCPREMOTEIP (tcpserver), else REMOTE_ADDR (systemd), else getpeername(2), else unknown: a
 * terminal, a pipe, a local socket. It has no libowfat in it: postern-tls and postern-tlsio ask, too. */
#ifndef POSTERN_CLIENT_H
#define POSTERN_CLIENT_H

#include "base/ip.h"

struct client {
    bool known;
    struct ip ip;
    char text[IP_FMT + 1]; /* the address, or "unknown"; NUL-terminated */
    struct slice port;     /* decimal; empty where not known */
    struct slice local;    /* our own address; empty where not known */
    struct slice name;     /* TCPREMOTEHOST; empty where not known or no host name */
    char port_text[8];
};

/* The address, and its port, as the server in front of us tells them, not looked at. NULL: it does not. */
const char *client_told(const char **port);

/* `fd` is asked only where the environment says nothing. */
void client_find(struct client *c, int fd);

/* The client is the one with this address, and nothing else is known of it. False where it is none. */
bool client_is(struct client *c, struct slice address);

#endif
