/* dnslist: a DNS list as Postfix's postscreen_dnsbl_sites names it, and the meaning of its answer. Pure. */
#ifndef POSTERN_DNSLIST_H
#define POSTERN_DNSLIST_H

#include "base/slice.h"

enum {
    DNSLIST_MAX = 32,     /* lists in one variable */
    DNSLIST_ZONE = 189,   /* longest zone: with 32 nibbles before it a name is full (RFC 1035 2.3.4) */
    DNSLIST_WEIGHT = 1000 /* highest weight, and lowest below zero */
};

struct dnslist {
    struct slice zone, filter; /* no filter: empty */
    int weight;
};

struct dnslists {
    size_t n;
    struct dnslist list[DNSLIST_MAX];
};

/* Lists are site=filter*weight, separated by commas or white space. A filter is d.d.d.d, each d a number
 * or [n..m;k;...]; without one all answers match. The weight is 1 where it is not given, and may be negative.
 * lists points into `text`. NULL, or why not. */
const char *dnslist_parse(struct slice text, struct dnslists *lists);

enum dnslist_meaning {
    DNSLIST_NOTHING, /* it does not match; or it is 127.0.0.1, which never counts (RFC 5782 2.1) */
    DNSLIST_LISTED,
    DNSLIST_WRONG /* an error code, 127.255.255.x or 127.0.0.255; or not in 127/8, and so no list's answer */
};

/* The meaning of one address of an answer. */
enum dnslist_meaning dnslist_read(const struct dnslist *list, const unsigned char address[4]);

#endif
