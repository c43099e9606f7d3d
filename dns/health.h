/* health: whether a DNS list may be used, judged by its answers about test addresses (RFC 5782 5). Pure.
 *
 * Every list must have one of them, and no list may have the other. */
#ifndef POSTERN_HEALTH_H
#define POSTERN_HEALTH_H

#include "base/ip.h"
#include "dns/finding.h"

/* The addresses: 127.0.0.2 and 127.0.0.1, then both as IPv6 has them. */
enum health_probe { HEALTH_LISTED, HEALTH_UNLISTED, HEALTH_LISTED6, HEALTH_UNLISTED6, HEALTH_PROBES };

/* One list. */
struct health {
    enum finding_state said[HEALTH_PROBES];
};

/* The name that lists are asked about; returns its length. */
size_t health_name(char name[IP_REVERSED], enum health_probe probe);

/* A list without its filter is asked for any answer: each address that it has counts. */
void health_drop_filters(struct dnslists *set);

/* Why the list must not be used, as a word: world, unlisted, or the state of the answer that it owes. NULL:
 * it may be. */
const char *health_fault(const struct health *h);

/* Whether it has IPv6 addresses, too. */
bool health_has_ip6(const struct health *h);

#endif
