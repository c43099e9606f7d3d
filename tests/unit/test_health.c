#include "dns/health.h"
#include "tests/unit/unit.h"

/* The list's answers for 127.0.0.2, for 127.0.0.1, and for both as IPv6: + listed, - not, ! it failed, e
 * its error code, . no answer in time. */
static const struct {
    const char *name, *said;
    const char *want; /* NULL: it may be used */
    bool has_ip6;
    const char *why;
} lists[] = {
    {"good", "+-+-", NULL, true, "as RFC 5782 has it"},
    {"without IPv6", "+---", NULL, false, "it may have none"},
    {"IPv6 in trouble", "+-!.", NULL, false, "it may have none"},
    {"the world", "++--", "world", false, "each client would be listed"},
    {"the world of IPv6", "+-++", "world", true, "each client would be"},
    {"the world, and the rest is lost", "!+..", "world", false, "that is the worst"},
    {"dead", "----", "unlisted", false, "it has nobody"},
    {"dead, IPv6 left", "--+-", "unlisted", true, "127.0.0.2 it must have"},
    {"error code", "ee--", "error", false, "it does not answer us"},
    {"silent", "..--", "timeout", false, "no answer"},
    {"failing", "!!!!", "failed", false, "no answer"},
    {"half an answer", "+.--", "timeout", false, "nobody knows if it lists the world"},
    {"two troubles", "!e--", "failed", false, "the first is told"},
};

START_TEST(fault)
{
    static const struct {
        char letter;
        enum finding_state state;
    } states[] = {{'+', FINDING_HIT},
                  {'-', FINDING_MISS},
                  {'!', FINDING_FAILED},
                  {'e', FINDING_ERROR},
                  {'.', FINDING_TIMEOUT}};
    struct health h;

    for (int i = 0; i < HEALTH_PROBES; i++)
        for (int k = 0; k < COUNT(states); k++)
            if (states[k].letter == lists[_i].said[i])
                h.said[i] = states[k].state;
    const char *got = health_fault(&h);
    ck_assert_msg(!got == !lists[_i].want && (!got || !strcmp(got, lists[_i].want)), "%s: %s: %s",
                  lists[_i].name, lists[_i].why, got ? got : "may be used");
    ck_assert_msg(health_has_ip6(&h) == lists[_i].has_ip6, "%s", lists[_i].name);
}
END_TEST

#define MAPPED "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0"

static const char *const names[HEALTH_PROBES] = {
    [HEALTH_LISTED] = "2.0.0.127",
    [HEALTH_UNLISTED] = "1.0.0.127",
    [HEALTH_LISTED6] = "2.0.0.0.0.0.f.7.f.f.f.f." MAPPED,
    [HEALTH_UNLISTED6] = "1.0.0.0.0.0.f.7.f.f.f.f." MAPPED,
};

START_TEST(name)
{
    char got[IP_REVERSED];
    size_t n = health_name(got, (enum health_probe)_i);

    ck_assert_msg(slice_is((struct slice){got, n}, names[_i]), "%.*s", (int)n, got);
}
END_TEST

START_TEST(filters)
{
    struct dnslists set;

    ck_assert(!dnslist_parse(slice_of("a=127.0.0.3 b*2"), &set));
    health_drop_filters(&set);
    ck_assert(set.n == 2 && set.list[1].weight == 2);
    ck_assert(dnslist_read(&set.list[0], (const unsigned char *)"\177\0\0\2") == DNSLIST_LISTED);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, fault, 0, COUNT(lists));
    tcase_add_loop_test(t, name, 0, HEALTH_PROBES);
    tcase_add_test(t, filters);
}

UNIT("health", tests)
