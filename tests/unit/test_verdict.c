#include "dns/verdict.h"
#include "tests/unit/unit.h"

static struct dnslists set_of(const char *text)
{
    struct dnslists set;
    const char *why = dnslist_parse(slice_of(text), &set);

    ck_assert_msg(!why, "%s: %s", text, why);
    return set;
}

/* Each step: a list's letter, and + listed, - not listed, ! trouble. Behind it the verdict: ? open, c clean,
 * l listed, w welcome. The first letter of all is the verdict before any answer. */
static const struct {
    const char *name, *white, *black;
    int threshold;
    const char *steps;
    int score;
    const char *decider, *why;
} verdicts[] = {
    {"no lists", "", "", 1, "c", 0, NULL, "nothing to wait for"},
    {"listed", "", "a", 1, "? a+l", 1, "a", "one hit"},
    {"not listed", "", "a", 1, "? a-c", 0, NULL, "one miss"},
    {"trouble", "", "a", 1, "? a!c", 0, NULL, "trouble is not listed"},
    {"first of two", "", "a b", 1, "? a+l", 1, "a", "the other cannot change it"},
    {"second of two", "", "a b", 1, "? a-? b+l", 1, "b", "all are needed"},
    {"out of order", "", "a b c", 1, "? c-? a-? b+l", 1, "b", "any order"},
    {"two needed", "", "a b c", 2, "? a+? b-? c+l", 2, "a", "the first of equals"},
    {"two needed, early", "", "a b c", 2, "? a+? c+l", 2, "a", "b cannot change it"},
    {"clean early", "", "a b c", 2, "? a-? b-c", 0, NULL, "c alone is too light"},
    {"never enough", "", "a b", 3, "c", 0, NULL, "known before anything is asked"},
    {"heaviest decides", "", "a b*3 c*3", 6, "? a+? c+? b+l", 7, "b", "most weight, first of equals"},
    {"negative holds back", "", "a b*-1", 1, "? a+? b-l", 1, "a", "b could still undo it"},
    {"negative undoes", "", "a b*-1", 1, "? a+? b+c", 0, NULL, "b did undo it"},
    {"negative first", "", "a b*-1", 1, "? b+c", -1, NULL, "a alone is too light"},
    {"negative too light", "", "a*5 b*-2", 3, "? a+l", 5, "a", "b cannot undo it"},
    {"negative in trouble", "", "a b*-1", 1, "? a+? b!l", 1, "a", "trouble is not listed"},
    {"zero", "", "a*0 b", 1, "? b-c", 0, NULL, "a has no say"},
    {"white hit", "w", "a", 1, "? w+w", 0, "w", "passes all"},
    {"white hit after a black one", "w", "a", 1, "? a+? w+w", 1, "w", "passes all"},
    {"white miss", "w", "a", 1, "? a+? w-l", 1, "a", "all white ones are waited for"},
    {"white trouble", "w", "a", 1, "? w!? a+l", 1, "a", "trouble is not listed"},
    {"white only", "v w", "", 1, "? w-? v-c", 0, NULL, "no more to come"},
    {"white weight", "w*-3", "a", 1, "? w+w", 0, "w", "has no meaning"},
    {"one zone, two filters", "", "a=127.0.0.2 a=127.0.0.3*2", 1, "? a+l", 1, "a", "one answer for both"},
    {"one zone, both match", "", "a A=127.0.0.2*2", 3, "? a+l", 3, "A", "both weights; zones have no case"},
    {"one zone, white and black", "a=127.0.0.9", "a", 1, "? a+l", 1, "a", "one answer for both"},
};

static struct findings all;

static char letter(void)
{
    static const char letters[] = {
        [VERDICT_OPEN] = '?', [VERDICT_CLEAN] = 'c', [VERDICT_LISTED] = 'l', [VERDICT_WELCOME] = 'w'};
    return letters[verdict_of(&all)];
}

/* The list of this letter answers, for all findings that have its zone. */
static void say(char zone, char what)
{
    static const unsigned char listed[] = {127, 0, 0, 2};

    for (size_t i = 0; i < all.n; i++) {
        struct finding *f = &all.finding[i];
        if (*all.finding[f->asked_by].list->zone.p != zone)
            continue;
        f->state = what == '!'                                                      ? FINDING_FAILED
                   : what == '+' && dnslist_read(f->list, listed) == DNSLIST_LISTED ? FINDING_HIT
                                                                                    : FINDING_MISS;
    }
}

/* Whether some answer that is out may still make it listed: tried with all of them, listed or not. */
static bool can_be_listed(size_t from)
{
    for (; from < all.n && all.finding[from].state != FINDING_ASKED; from++)
        ;
    if (from == all.n)
        return verdict_of(&all) == VERDICT_LISTED;
    bool can = false;
    for (int hit = 0; hit < 2; hit++) {
        all.finding[from].state = hit ? FINDING_HIT : FINDING_MISS;
        can |= can_be_listed(from + 1);
    }
    all.finding[from].state = FINDING_ASKED;
    return can;
}

START_TEST(verdict)
{
    struct dnslists white = set_of(verdicts[_i].white), black = set_of(verdicts[_i].black);
    const char *p = verdicts[_i].steps;

    finding_gather(&all, &white, &black, verdicts[_i].threshold);
    ck_assert_msg(letter() == *p, "%s: %s: %c at first", verdicts[_i].name, verdicts[_i].why, letter());
    for (p++; *p; p += 4) {
        say(p[1], p[2]);
        ck_assert_msg(letter() == p[3], "%s: %s: %c after %.3s", verdicts[_i].name, verdicts[_i].why,
                      letter(), p);
        ck_assert_msg(verdict_may_be_listed(&all) == can_be_listed(0), "%s: listed after %.3s",
                      verdicts[_i].name, p);
    }
    int decider = verdict_decider(&all);
    ck_assert_msg(verdict_score(&all) == verdicts[_i].score, "%s: score %d", verdicts[_i].name,
                  verdict_score(&all));
    if (verdicts[_i].decider)
        ck_assert_msg(decider >= 0 && *all.finding[decider].list->zone.p == *verdicts[_i].decider,
                      "%s: %s: decider %d", verdicts[_i].name, verdicts[_i].why, decider);
    else
        ck_assert_int_eq(decider, -1);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, verdict, 0, COUNT(verdicts));
}

UNIT("verdict", tests)
