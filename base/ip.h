/* ip: an IP address, text to 16 bytes and back.
 *
 * Both families are held as IPv6; IPv4 is the mapped ::ffff:a.b.c.d (RFC 4291 2.5.5.2), so that
 * a mapped client and a plain one are the same client everywhere. */
#ifndef POSTERN_IP_H
#define POSTERN_IP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

struct ip {
    unsigned char b[16];
};

enum {
    IP_FMT = 46,         /* longest text of ip_fmt */
    IP_LITERAL_FMT = 53, /* longest text of ip_literal_fmt */
    IP_REVERSED = 63     /* longest text of ip_reversed */
};

/* Strict text form, as inet_pton(3) has it. True, or false and *ip untouched. */
bool ip_scan(struct slice text, struct ip *ip);

/* An address literal with its brackets, [192.0.2.7] or [IPv6:2001:db8::7] (RFC 5321 4.1.3). */
bool ip_literal_scan(struct slice text, struct ip *ip);

bool ip_is4(const struct ip *ip);

/* Canonical text (RFC 5952; IPv4 dotted), no NUL; returns its length, IP_FMT at most. */
size_t ip_fmt(char *out, const struct ip *ip);

/* The same as an address literal with brackets (RFC 5321 4.1.3). */
size_t ip_literal_fmt(char *out, const struct ip *ip);

/* The name of the address in DNS lists, without the list's zone, no NUL: 7.2.0.192, or the 32 nibbles of
 * an IPv6 address (RFC 5782 2.1, 2.4). Returns its length, IP_REVERSED at most. */
size_t ip_reversed(char *out, const struct ip *ip);

/* As nibbles, whatever the family: 63 octets. */
size_t ip_nibbles(char *out, const struct ip *ip);

/* No address of a host elsewhere in the internet: private use, shared (RFC 6598), loopback, link-local, "this
 * network", and what IPv6 has of these. */
bool ip_is_private(const struct ip *ip);

/* The peer of a connected internet socket and its port. False where `fd` is no such thing. */
bool ip_of_peer(int fd, struct ip *ip, unsigned *port);

#endif
