#include "ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include <fmt.h>

static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool ip_is4(const struct ip *ip)
{
    return !memcmp(ip->b, mapped, sizeof mapped);
}

static void from4(struct ip *ip, const void *four)
{
    memcpy(ip->b, mapped, sizeof mapped);
    memcpy(ip->b + sizeof mapped, four, 4);
}

bool ip_scan(struct slice text, struct ip *ip)
{
    char s[IP_FMT + 1];
    unsigned char raw[16];

    if (text.n >= sizeof s || memchr(text.p, 0, text.n))
        return false;
    memcpy(s, text.p, text.n);
    s[text.n] = 0;
    if (inet_pton(AF_INET, s, raw) == 1)
        from4(ip, raw);
    else if (inet_pton(AF_INET6, s, raw) == 1)
        memcpy(ip->b, raw, sizeof raw);
    else
        return false;
    return true;
}

bool ip_literal_scan(struct slice text, struct ip *ip)
{
    if (text.n < 2 || text.p[0] != '[' || text.p[text.n - 1] != ']')
        return false;
    text = (struct slice){text.p + 1, text.n - 2};
    if (slice_starts(text, "IPv6:"))
        return memchr(text.p + 5, ':', text.n - 5) && ip_scan(slice_after(text, 5), ip);
    return !memchr(text.p, ':', text.n) && ip_scan(text, ip);
}

/* RFC 5952 4: the first of the longest runs of zero groups, of two at least, becomes `::`. libowfat's fmt_ip6
 * takes an address whose last group alone is zero for `::`. */
static size_t fmt6(char *out, const unsigned char b[16])
{
    size_t n = 0, gap = 8, gap_len = 1;

    for (size_t i = 0, run = 0; i < 8; i++) {
        run = b[2 * i] || b[2 * i + 1] ? 0 : run + 1;
        if (run > gap_len) {
            gap = i + 1 - run;
            gap_len = run;
        }
    }
    for (size_t i = 0; i < 8; i++) {
        if (i || i == gap)
            out[n++] = ':';
        if (i != gap) {
            n += fmt_xlong(out + n, (unsigned long)b[2 * i] << 8 | b[2 * i + 1]);
            continue;
        }
        i += gap_len - 1;
        if (i == 7)
            out[n++] = ':';
    }
    return n;
}

size_t ip_fmt(char *out, const struct ip *ip)
{
    if (!ip_is4(ip))
        return fmt6(out, ip->b);
    size_t n = 0;
    for (size_t i = sizeof mapped; i < sizeof ip->b; i++) {
        if (i > sizeof mapped)
            out[n++] = '.';
        n += fmt_ulong(out + n, ip->b[i]);
    }
    return n;
}

size_t ip_literal_fmt(char *out, const struct ip *ip)
{
    size_t n = fmt_str(out, ip_is4(ip) ? "[" : "[IPv6:");
    n += ip_fmt(out + n, ip);
    out[n++] = ']';
    return n;
}

bool ip_of_peer(int fd, struct ip *ip, unsigned *port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } peer;
    socklen_t len = sizeof peer;

    memset(&peer, 0, sizeof peer);
    if (getpeername(fd, &peer.any, &len) < 0)
        return false;
    if (peer.any.sa_family == AF_INET) {
        from4(ip, &peer.v4.sin_addr);
        *port = ntohs(peer.v4.sin_port);
        return true;
    }
    if (peer.any.sa_family == AF_INET6) {
        memcpy(ip->b, &peer.v6.sin6_addr, sizeof ip->b);
        *port = ntohs(peer.v6.sin6_port);
        return true;
    }
    return false;
}
