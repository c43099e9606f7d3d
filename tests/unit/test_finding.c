#include "dns/finding.h"
#include "tests/unit/packet.h"
#include "tests/unit/unit.h"

static struct dnslists set_of(const char *text)
{
    struct dnslists set;
    const char *why = dnslist_parse(slice_of(text), &set);

    ck_assert_msg(!why, "%s: %s", text, why);
    return set;
}

static const struct {
    const char *name, *list, *answers;
    unsigned code;
    enum finding_state want;
    const char *answer, *why;
} judged[] = {
    {"listed", "x", "127.0.0.2", 0, FINDING_HIT, "127.0.0.2", "any in 127/8"},
    {"far in", "x", "127.9.8.7", 0, FINDING_HIT, "127.9.8.7", "any in 127/8"},
    {"no records", "x", "", 0, FINDING_MISS, "0.0.0.0", "the name exists, but has no address"},
    {"no name", "x", "", 3, FINDING_MISS, "0.0.0.0", "NXDOMAIN"},
    {"no name, with an address", "x", "127.0.0.2", 3, FINDING_MISS, "0.0.0.0",
     "NXDOMAIN says it is not there"},
    {"127.0.0.1", "x", "127.0.0.1", 0, FINDING_MISS, "127.0.0.1", "RFC 5782 2.1: never"},
    {"error code", "x", "127.255.255.254", 0, FINDING_ERROR, "127.255.255.254",
     "asked by way of a public resolver"},
    {"lowest error code", "x", "127.255.255.0", 0, FINDING_ERROR, "127.255.255.0", "all of them"},
    {"not yet an error code", "x", "127.255.254.255", 0, FINDING_HIT, "127.255.254.255",
     "127.255.255.0/24 only"},
    {"dnswl's error code", "x", "127.0.0.255", 0, FINDING_ERROR, "127.0.0.255", "over quota"},
    {"no list's answer", "x", "192.0.2.2", 0, FINDING_ERROR, "192.0.2.2", "a parked domain lists the world"},
    {"126", "x", "126.0.0.2", 0, FINDING_ERROR, "126.0.0.2", "not 127/8"},
    {"128", "x", "128.0.0.2", 0, FINDING_ERROR, "128.0.0.2", "not 127/8"},
    {"filter matches", "x=127.0.0.[2..4]", "127.0.0.4", 0, FINDING_HIT, "127.0.0.4", "in the range"},
    {"filter does not", "x=127.0.0.[2..4]", "127.0.0.5", 0, FINDING_MISS, "127.0.0.5", "above the range"},
    {"filter, second octet", "x=127.[1..2].0.3", "127.0.0.3", 0, FINDING_MISS, "127.0.0.3",
     "every octet is looked at"},
    {"filter, third octet", "x=127.0.[1;3].3", "127.0.2.3", 0, FINDING_MISS, "127.0.2.3",
     "every octet is looked at"},
    {"filter around an error code", "x=127.[0..255].[0..255].[0..255]", "127.255.255.252", 0, FINDING_ERROR,
     "127.255.255.252", "no filter makes it count"},
    {"filter around 127.0.0.1", "x=127.0.0.[1..9]", "127.0.0.1", 0, FINDING_MISS, "127.0.0.1", "nor this"},
    {"several", "x=127.0.0.4", "127.0.0.2 127.0.0.4 127.0.0.10", 0, FINDING_HIT, "127.0.0.4",
     "the one that matches"},
    {"several, none matches", "x=127.0.0.5", "127.0.0.2 127.0.0.4", 0, FINDING_MISS, "127.0.0.2",
     "the first is told"},
    {"error and listing", "x", "127.255.255.254 127.0.0.2", 0, FINDING_HIT, "127.0.0.2", "a listing is one"},
    {"127.0.0.1 and error", "x", "127.0.0.1 127.255.255.255", 0, FINDING_ERROR, "127.255.255.255",
     "the error is told"},
};

START_TEST(judge)
{
    unsigned char packet[PACKET], address[4];
    struct dnslists set = set_of(judged[_i].list);
    char text[16];

    size_t n = packet_make(packet, judged[_i].answers, judged[_i].code);
    enum finding_state state = finding_judge(&set.list[0], (struct slice){(char *)packet, n}, address);
    ck_assert_msg(state == judged[_i].want, "%s: %s: %s", judged[_i].name, judged[_i].why,
                  finding_word(state));
    sprintf(text, "%d.%d.%d.%d", address[0], address[1], address[2], address[3]);
    ck_assert_msg(!strcmp(text, judged[_i].answer), "%s: %s: %s", judged[_i].name, judged[_i].why, text);
}
END_TEST

/* Cut anywhere, it says nothing; each copy is as long as it is said to be. */
START_TEST(judge_cut)
{
    unsigned char packet[PACKET], address[4];
    struct dnslists set = set_of("x=127.0.0.4");
    size_t n = packet_make(packet, "127.0.0.2 127.0.0.4", 0);

    for (size_t i = 0; i <= n; i++) {
        char *copy = malloc(i ? i : 1);
        memcpy(copy, packet, i);
        enum finding_state state = finding_judge(&set.list[0], (struct slice){copy, i}, address);
        ck_assert_msg(state == (i < n ? FINDING_FAILED : FINDING_HIT), "%zu of %zu: %s", i, n,
                      finding_word(state));
        free(copy);
    }
}
END_TEST

/* Records that are not addresses of the internet do not count. */
START_TEST(judge_others)
{
    static const struct {
        size_t at;
        unsigned char to;
        enum finding_state want;
    } changes[] = {{24, 5, FINDING_MISS}, {26, 3, FINDING_MISS}, {32, 3, FINDING_FAILED}};
    struct dnslists set = set_of("x");

    for (int i = 0; i < COUNT(changes); i++) {
        unsigned char packet[PACKET], address[4];
        size_t n = packet_make(packet, "127.0.0.2", 0);
        packet[changes[i].at] = changes[i].to;
        if (changes[i].at == 32)
            n--;
        ck_assert_msg(finding_judge(&set.list[0], (struct slice){(char *)packet, n}, address) ==
                          changes[i].want,
                      "change %d", i);
    }
}
END_TEST

/* White lists first; a zone is asked once, in any case of its letters and in either set. */
START_TEST(gather)
{
    static const struct {
        const char *zone;
        bool is_white;
        int weight;
        size_t asked_by;
    } want[] = {{"w", true, 1, 0},   {"a", true, 1, 1},  {"a", false, 2, 1}, {"b", false, 1, 3},
                {"A", false, -1, 1}, {"B", false, 1, 3}, {"ab", false, 1, 6}};
    struct dnslists white = set_of("w a=127.0.0.9"), black = set_of("a*2 b A=127.0.0.2*-1 B ab");
    static struct findings all;

    for (int again = 0; again < 2; again++) {
        memset(&all, 0xff, sizeof all);
        finding_gather(&all, &white, &black, 7);
        ck_assert(all.n == 7 && all.threshold == 7);
        for (size_t i = 0; i < all.n; i++) {
            const struct finding *f = &all.finding[i];
            ck_assert_msg(f->list->zone.n == strlen(want[i].zone) &&
                              !memcmp(f->list->zone.p, want[i].zone, f->list->zone.n) &&
                              f->is_white == want[i].is_white && f->list->weight == want[i].weight &&
                              f->asked_by == want[i].asked_by,
                          "%s", want[i].zone);
            ck_assert(f->state == FINDING_ASKED && !f->took && !memcmp(f->answer, "\0\0\0", 4));
        }
    }
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, judge, 0, COUNT(judged));
    tcase_add_test(t, judge_cut);
    tcase_add_test(t, judge_others);
    tcase_add_test(t, gather);
}

UNIT("finding", tests)
