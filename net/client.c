#include "net/client.h"

#include "mail/address.h"

#include <stdlib.h>

#include <fmt.h>

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
    c->text[c->known ? ip_fmt(c->text, &c->ip) : fmt_str(c->text, "unknown")] = 0;
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

    c->port = c->local = c->name = (struct slice){"", 0};
    c->known = true;
    if (scan_scoped(variable("TCPREMOTEIP"), &c->ip)) {
        c->port = variable("TCPREMOTEPORT");
        c->local = variable("TCPLOCALIP");
        c->name = variable("TCPREMOTEHOST");
    } else if (scan_scoped(variable("REMOTE_ADDR"), &c->ip)) {
        c->port = variable("REMOTE_PORT");
    } else if (ip_of_peer(fd, &c->ip, &port)) {
        c->port = (struct slice){c->port_text, fmt_ulong(c->port_text, port)};
    } else {
        c->known = false;
    }
    if (!is_port(c->port))
        c->port.n = 0;
    if (!address_is_domain(c->name))
        c->name.n = 0;
    write_text(c);
}
