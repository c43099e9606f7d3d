#include "base/ip.h"

#include "base/digits.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const char hex[] = "0123456789abcdef";

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

/* One to four hexadecimal digits. */
static size_t put_group(char *out, unsigned group)
{
    size_t n = 0;

    for (int shift = 12; shift >= 0; shift -= 4)
        if (group >> shift || !shift)
            out[n++] = hex[group >> shift & 15];
    return n;
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
            n += put_group(out + n, (unsigned)b[2 * i] << 8 | b[2 * i + 1]);
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
        n += digits_put(out + n, ip->b[i]);
    }
    return n;
}

size_t ip_literal_fmt(char *out, const struct ip *ip)
{
    static const char tag[] = "[IPv6:";
    size_t n = ip_is4(ip) ? 1 : sizeof tag - 1;

    memcpy(out, tag, n);
    n += ip_fmt(out + n, ip);
    out[n++] = ']';
    return n;
}

size_t ip_nibbles(char *out, const struct ip *ip)
{
    size_t n = 0;

    for (size_t i = sizeof ip->b; i--;) {
        out[n++] = hex[ip->b[i] & 15];
        out[n++] = '.';
        out[n++] = hex[ip->b[i] >> 4];
        if (i)
            out[n++] = '.';
    }
    return n;
}

size_t ip_reversed(char *out, const struct ip *ip)
{
    size_t n = 0;

    if (!ip_is4(ip))
        return ip_nibbles(out, ip);
    for (size_t i = sizeof ip->b; i-- > sizeof mapped;) {
        n += digits_put(out + n, ip->b[i]);
        if (i > sizeof mapped)
            out[n++] = '.';
    }
    return n;
}

static bool is_in(const unsigned char *address, const unsigned char *net, unsigned bits)
{
    unsigned whole = bits / 8, mask = 0xff00U >> bits % 8 & 0xff;

    return !memcmp(address, net, whole) && (address[whole] & mask) == (net[whole] & mask);
}

bool ip_is_private(const struct ip *ip)
{
    static const struct net {
        unsigned char net[16];
        unsigned bits; /* fewer than the address has */
    } nets4[] = {{{0}, 8},         {{10}, 8},       {{100, 64}, 10}, {{127}, 8},
                 {{169, 254}, 16}, {{172, 16}, 12}, {{192, 168}, 16}},
      nets6[] = {{{0}, 127}, {{0xfc}, 7}, {{0xfe, 0x80}, 10}, {{0xfe, 0xc0}, 10}};
    bool is4 = ip_is4(ip);
    const struct net *nets = is4 ? nets4 : nets6;
    size_t n = is4 ? sizeof nets4 / sizeof *nets4 : sizeof nets6 / sizeof *nets6;

    for (size_t i = 0; i < n; i++)
        if (is_in(is4 ? ip->b + sizeof mapped : ip->b, nets[i].net, nets[i].bits))
            return true;
    return false;
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
