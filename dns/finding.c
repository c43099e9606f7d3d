#include "dns/finding.h"

#include "dns/answer.h"

#include <case.h>

const char *finding_word(enum finding_state state)
{
    static const char *const words[] = {
        [FINDING_ASKED] = "asked", [FINDING_MISS] = "miss",     [FINDING_HIT] = "hit",
        [FINDING_ERROR] = "error", [FINDING_FAILED] = "failed", [FINDING_TIMEOUT] = "timeout",
    };
    return words[state];
}

enum finding_state finding_judge(const struct dnslist *list, struct slice packet, unsigned char answer[4])
{
    enum finding_state state = FINDING_MISS;
    struct answer records;
    struct slice data;
    int found;

    memset(answer, 0, 4);
    if (!answer_begin(&records, packet))
        return FINDING_FAILED;
    if (!records.exists)
        return FINDING_MISS;
    for (bool first = true; (found = answer_next(&records, ANSWER_A, &data)) > 0; first = false) {
        const unsigned char *a = (const unsigned char *)data.p;
        if (data.n != 4)
            return FINDING_FAILED;
        enum dnslist_meaning meaning = dnslist_read(list, a);
        if (first || meaning == DNSLIST_LISTED || (meaning == DNSLIST_WRONG && state == FINDING_MISS))
            memcpy(answer, a, 4);
        if (meaning == DNSLIST_LISTED)
            return FINDING_HIT;
        if (meaning == DNSLIST_WRONG)
            state = FINDING_ERROR;
    }
    return found < 0 ? FINDING_FAILED : state;
}

static size_t find_zone(const struct findings *all, struct slice zone)
{
    size_t i = 0;

    while (i < all->n && (all->finding[i].list->zone.n != zone.n ||
                          !case_equalb(all->finding[i].list->zone.p, zone.n, zone.p)))
        i++;
    return i;
}

static void add_lists(struct findings *all, const struct dnslists *set, bool is_white)
{
    for (size_t i = 0; i < set->n; i++) {
        const struct dnslist *list = &set->list[i];
        all->finding[all->n] = (struct finding){.list = list,
                                                .is_white = is_white,
                                                .state = FINDING_ASKED,
                                                .asked_by = (unsigned char)find_zone(all, list->zone)};
        all->n++;
    }
}

void finding_gather(struct findings *all, const struct dnslists *white, const struct dnslists *black,
                    int threshold)
{
    all->n = 0;
    all->threshold = threshold;
    add_lists(all, white, true);
    add_lists(all, black, false);
}
