#include "dns/verdict.h"

int verdict_score(const struct findings *all)
{
    int score = 0;

    for (size_t i = 0; i < all->n; i++)
        if (all->finding[i].state == FINDING_HIT && !all->finding[i].is_white)
            score += all->finding[i].list->weight;
    return score;
}

enum verdict verdict_of(const struct findings *all)
{
    int least = verdict_score(all), most = least;
    bool may_be_welcome = false;

    for (size_t i = 0; i < all->n; i++) {
        const struct finding *f = &all->finding[i];
        if (f->is_white && f->state == FINDING_HIT)
            return VERDICT_WELCOME;
        if (f->state != FINDING_ASKED)
            continue;
        if (f->is_white)
            may_be_welcome = true;
        else
            *(f->list->weight < 0 ? &least : &most) += f->list->weight;
    }
    if (may_be_welcome)
        return VERDICT_OPEN;
    return least >= all->threshold ? VERDICT_LISTED : most < all->threshold ? VERDICT_CLEAN : VERDICT_OPEN;
}

bool verdict_may_be_listed(const struct findings *all)
{
    int most = verdict_score(all);

    for (size_t i = 0; i < all->n; i++) {
        const struct finding *f = &all->finding[i];
        if (f->is_white && f->state == FINDING_HIT)
            return false;
        if (f->state == FINDING_ASKED && !f->is_white && f->list->weight > 0)
            most += f->list->weight;
    }
    return most >= all->threshold;
}

int verdict_decider(const struct findings *all)
{
    const enum verdict verdict = verdict_of(all);
    int best = -1;

    if (verdict != VERDICT_WELCOME && verdict != VERDICT_LISTED)
        return -1;
    for (size_t i = 0; i < all->n; i++) {
        const struct finding *f = &all->finding[i];
        if (f->state != FINDING_HIT || f->is_white != (verdict == VERDICT_WELCOME))
            continue;
        if (best < 0 || (!f->is_white && f->list->weight > all->finding[best].list->weight))
            best = (int)i;
    }
    return best;
}
