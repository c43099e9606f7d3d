#include "net/client.h"

#include "base/digits.h"
#include "mail/address.h"

#include <stdlib.h>

enum { TCPSERVER, SYSTEMD, SERVERS };

/* The variables of each. */
static const struct {
    const char *address, *port;
} servers[] = {[TCPSERVER] = {"TCPREMOTEIP", "TCPREMOTEPORT"}, [SYSTEMD] = {"REMOTE_ADDR", "REMOTE_PORT"}};

const char *client_told(const char **port)
{
    const char *address = NULL;

    *port = NULL;
    for (int i = 0; i < SERVERS && !address; i++) {
        address = getenv(servers[i].address);
        if (address)
            *port = getenv(servers[i].port);
    }
    return address;
}

static struct slice variable(const char *name)
{
    const char *value = getenv(name);
    return value ? slice_of(value) : (struct slice){"", 0};
}

/* A link-local address may come with its interface: fe80::1%eth0. */
static bool scan_scoped(struct slice text, struct ip *ip)
{
    const char *scope = memchr(text.p, '%', text.n);
    if (scope)
        text.n = (size_t)(scope - text.p);
    return ip_scan(text, ip);
}

static bool is_port(struct slice text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
    return text.n <= 5;
}

static void write_text(struct client *c)
{
    if (c->known)
        c->text[ip_fmt(c->text, &c->ip)] = 0;
    else
        strcpy(c->text, "unknown");
}

bool client_is(struct client *c, struct slice address)
{
    c->port = c->local = c->name = (struct slice){"", 0};
    c->known = scan_scoped(address, &c->ip);
    write_text(c);
    return c->known;
}

void client_find(struct client *c, int fd)
{
    unsigned port;
    int i = 0;

    c->port = c->local = c->name = (struct slice){"", 0};
    while (i < SERVERS && !scan_scoped(variable(servers[i].address), &c->ip))
        i++;
    c->known = i < SERVERS || ip_of_peer(fd, &c->ip, &port);
    if (i < SERVERS)
        c->port = variable(servers[i].port);
    else if (c->known)
        c->port = (struct slice){c->port_text, digits_put(c->port_text, port)};
    if (i == TCPSERVER) {
        c->local = variable("TCPLOCALIP");
        c->name = variable("TCPREMOTEHOST");
    }
    if (!is_port(c->port))
        c->port.n = 0;
    if (!address_is_domain(c->name))
        c->name.n = 0;
    write_text(c);
}
