#include "mail/transaction.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

static struct transaction_buffer buffer;
static struct transaction t;

static void begin(const char *sender)
{
    struct address a;
    struct slice rest;

    ck_assert(!address_parse(slice_of(sender), ADDRESS_REVERSE, &a, &rest));
    transaction_init(&t, &buffer);
    transaction_begin(&t, &a, false);
}

static bool equals(struct slice s, const char *text)
{
    return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

static const struct {
    const char *name, *input, *want, *why;
} senders[] = {
    {"plain", "<bob@Example.com>", "bob@example.com", "as address_fmt has it"},
    {"null", "<>", "", "empty"},
    {"quoted", "<\"a b\"@c>", "\"a b\"@c", "fit for a header"},
    {"route", "<@x:bob@c>", "bob@c", "dropped"},
};

START_TEST(sender)
{
    memset(&t, 0x5a, sizeof t);
    transaction_init(&t, &buffer);
    ck_assert(!t.open && !t.recipients && !transaction_sender(&t).n);
    begin(senders[_i].input);
    ck_assert(t.open && !t.smtputf8 && !t.recipients && !t.places);
    ck_assert_msg(equals(transaction_sender(&t), senders[_i].want), "%s: %s", senders[_i].name,
                  senders[_i].why);
    transaction_reset(&t);
    ck_assert(!t.open && !transaction_sender(&t).n);
}
END_TEST

/* Recipients and places as they are added: "recipient place ...", `-` for the empty place. */
static const struct {
    const char *name;
    const char *input[12];
    size_t want; /* places */
    const char *why;
} lists[] = {
    {"none", {NULL}, 0, "DATA is refused"},
    {"one", {"a@b", ""}, 1, "the empty place is one"},
    {"two to one place", {"a@b", "", "c@d", ""}, 1, "a place is kept once"},
    {"two places", {"a@b", "./a/", "c@d", "./c/"}, 2, "in the order they came"},
    {"back again", {"a@b", "./a/", "c@d", "./c/", "e@f", "./a/"}, 2, "found again"},
    {"prefix", {"a@b", "./a/", "c@d", "./a/b/", "e@f", "./"}, 3, "all of it is compared"},
    {"empty between", {"a@b", "./a/", "c@d", "", "e@f", "./a/", "g@h", ""}, 2, "found again"},
    {"twice the same", {"a@b", "./a/", "a@b", "./a/"}, 1, "RFC 5321 allows it"},
    {"one octet", {"a", "x"}, 1, "short ones"},
};

static void check_order(const char *const *input)
{
    struct slice recipient;
    const char *place;
    size_t at = 0;

    for (; *input; input += 2) {
        ck_assert(transaction_next(&t, &at, &recipient, &place));
        ck_assert(equals(recipient, input[0]));
        ck_assert_str_eq(place, input[1]);
    }
    ck_assert(!transaction_next(&t, &at, &recipient, &place));
    ck_assert_msg(!transaction_next(&t, &at, &recipient, &place), "the end stays the end");
}

START_TEST(recipients)
{
    unsigned n = 0;

    begin("<>");
    for (const char *const *p = lists[_i].input; *p; p += 2, n++)
        ck_assert(transaction_add(&t, slice_of(p[0]), slice_of(p[1])));
    ck_assert_msg(t.recipients == n, "%s: recipients", lists[_i].name);
    ck_assert_msg(t.places == lists[_i].want, "%s: %s", lists[_i].name, lists[_i].why);
    check_order(lists[_i].input);
    check_order(lists[_i].input);
}
END_TEST

/* Fills it, then everything is still there. `own` recipients to a place of their own each. */
static unsigned fill(size_t length, bool own)
{
    char text[1024], place[64];
    unsigned n = 0;

    memset(text, 'r', sizeof text);
    for (;; n++) {
        snprintf(place, sizeof place, own ? "./place%u/" : "./", n);
        memcpy(text, &n, sizeof n < length ? sizeof n : length);
        if (!transaction_add(&t, (struct slice){text, length}, slice_of(place)))
            return n;
        ck_assert_uint_lt(n, TRANSACTION_ARENA);
    }
}

static const struct {
    const char *name;
    size_t input;
    bool own;
    unsigned at_least, at_most;
    const char *why;
} full[] = {
    {"shortest", 1, false, TRANSACTION_ARENA / 25 - 2, TRANSACTION_ARENA / 25, "an entry costs 24"},
    {"usual", 40, false, TRANSACTION_ARENA / 64 - 2, TRANSACTION_ARENA / 64, "an entry costs 24"},
    {"longest", TRANSACTION_ADDRESS, false, TRANSACTION_ARENA / (TRANSACTION_ADDRESS + 24) - 1,
     TRANSACTION_ARENA / (TRANSACTION_ADDRESS + 24), "with RELAYCLIENT behind it"},
    {"places", 8, true, TRANSACTION_PLACES, TRANSACTION_PLACES, "their number is bounded"},
    {"places and long", TRANSACTION_ADDRESS, true, 300, TRANSACTION_PLACES, "the arena is full first"},
};

START_TEST(limits)
{
    struct slice recipient;
    const char *place;
    size_t at = 0, sum = 0;
    unsigned i = 0;

    begin("<>");
    unsigned n = fill(full[_i].input, full[_i].own);
    ck_assert_msg(n >= full[_i].at_least && n <= full[_i].at_most && n == t.recipients, "%s: %s: %u",
                  full[_i].name, full[_i].why, n);
    while (transaction_next(&t, &at, &recipient, &place)) {
        char want[64];
        snprintf(want, sizeof want, full[_i].own ? "./place%u/" : "./", i);
        ck_assert(recipient.n == full[_i].input && !strcmp(place, want));
        ck_assert(!memcmp(recipient.p, &i, sizeof i < recipient.n ? sizeof i : recipient.n));
        sum += recipient.n + TRANSACTION_ENTRY;
        i++;
    }
    ck_assert_uint_eq(i, n);
    ck_assert_uint_le(sum, TRANSACTION_ARENA);
    transaction_reset(&t);
    ck_assert_msg(transaction_add(&t, slice_of("a@b"), slice_of("")), "room again");
}
END_TEST

/* Where a new place has no room, a recipient with an old place may still have it. */
START_TEST(full_of_places)
{
    begin("<>");
    ck_assert_uint_eq(fill(8, true), TRANSACTION_PLACES);
    ck_assert(!transaction_add(&t, slice_of("new@b"), slice_of("./new/")));
    ck_assert(transaction_add(&t, slice_of("old@b"), slice_of("./place7/")));
    ck_assert_uint_eq(t.recipients, TRANSACTION_PLACES + 1);
}
END_TEST

START_TEST(refused)
{
    static char huge[70000];

    begin("<>");
    ck_assert_msg(!transaction_add(&t, slice_of(""), slice_of("./a/")), "a recipient is someone");
    memset(huge, 'x', sizeof huge);
    ck_assert_msg(!transaction_add(&t, (struct slice){huge, 65536}, slice_of("./a/")), "16 bits");
    ck_assert_msg(!transaction_add(&t, slice_of("a@b"), (struct slice){huge, 65536}), "16 bits");
    ck_assert_msg(t.recipients == 0 && t.places == 0 && t.used == 0, "nothing is left of them");
    ck_assert(transaction_add(&t, (struct slice){huge, 65535}, slice_of("./a/")));
}
END_TEST

static void tests(TCase *c)
{
    tcase_add_loop_test(c, sender, 0, COUNT(senders));
    tcase_add_loop_test(c, recipients, 0, COUNT(lists));
    tcase_add_loop_test(c, limits, 0, COUNT(full));
    tcase_add_test(c, full_of_places);
    tcase_add_test(c, refused);
}

UNIT("transaction", tests)
