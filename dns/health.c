#include "dns/health.h"

size_t health_name(char name[IP_REVERSED], enum health_probe probe)
{
    const bool is_listed = probe == HEALTH_LISTED || probe == HEALTH_LISTED6;
    struct ip ip;

    ip_scan(slice_of(is_listed ? "127.0.0.2" : "127.0.0.1"), &ip);
    return probe < HEALTH_LISTED6 ? ip_reversed(name, &ip) : ip_nibbles(name, &ip);
}

void health_drop_filters(struct dnslists *set)
{
    for (size_t i = 0; i < set->n; i++)
        set->list[i].filter.n = 0;
}

const char *health_fault(const struct health *h)
{
    if (h->said[HEALTH_UNLISTED] == FINDING_HIT || h->said[HEALTH_UNLISTED6] == FINDING_HIT)
        return "world";
    for (int k = HEALTH_LISTED; k <= HEALTH_UNLISTED; k++)
        if (h->said[k] != FINDING_HIT && h->said[k] != FINDING_MISS)
            return finding_word(h->said[k]);
    return h->said[HEALTH_LISTED] == FINDING_HIT ? NULL : "unlisted";
}

bool health_has_ip6(const struct health *h)
{
    return h->said[HEALTH_LISTED6] == FINDING_HIT;
}
