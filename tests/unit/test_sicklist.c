#define _XOPEN_SOURCE 700 /* nftw(3) */
#include "table/sicklist.h"
#include "dns/dnslist.h"
#include "tests/unit/folder.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

static struct sicklist sick;
static struct table_buffer buffer;
static struct table t;

static void open_it(void)
{
    table_init(&t, "sick.cdb", &buffer);
}

static void write_one(const char *zone, const char *fault)
{
    ck_assert(!sicklist_begin(&sick, "sick.cdb") && !sicklist_add(&sick, slice_of(zone), fault));
    ck_assert(!sicklist_commit(&sick));
    open_it();
}

START_TEST(round_trip)
{
    struct slice value;

    write_one("Key.BL.example", "world");
    ck_assert(sicklist_find(&t, slice_of("key.bl.EXAMPLE")) == 1 &&
              sicklist_find(&t, slice_of("KEY.bl.example")) == 1);
    ck_assert_msg(sicklist_find(&t, slice_of("bl.example")) == 0, "a zone is a whole one");
    ck_assert(table_find(&t, slice_of("key.bl.example"), &value) == 1 && slice_is(value, "world"));
    ck_assert_msg(table_is(&t, "lists", &value) == 1 && slice_is(value, "lists"), "it tells its kind");
    ck_assert_int_eq(table_check(&t), 2);
}
END_TEST

/* No list is sick: the table is there, and empty. */
START_TEST(none)
{
    ck_assert(!sicklist_begin(&sick, "sick.cdb") && !sicklist_commit(&sick));
    open_it();
    ck_assert(sicklist_find(&t, slice_of("bl.example")) == 0 && table_check(&t) == 1);
}
END_TEST

START_TEST(longest)
{
    char zone[DNSLIST_ZONE + 1];

    memset(zone, 'Z', DNSLIST_ZONE);
    zone[DNSLIST_ZONE] = 0;
    write_one(zone, "unlisted");
    ck_assert(sicklist_find(&t, slice_of(zone)) == 1);
}
END_TEST

START_TEST(left)
{
    static struct sicklist other; /* its heap is never freed */

    write_one("a.example", "failed");
    ck_assert(!sicklist_begin(&other, "sick.cdb") && !sicklist_add(&other, slice_of("b.example"), "failed"));
    sicklist_abandon(&other);
    open_it();
    ck_assert(sicklist_find(&t, slice_of("a.example")) == 1 && sicklist_find(&t, slice_of("b.example")) == 0);
    ck_assert_msg(access(other.file.tmp, F_OK) < 0, "nothing is left beside it");
}
END_TEST

START_TEST(twice)
{
    ck_assert(!sicklist_begin(&sick, "sick.cdb") && !sicklist_add(&sick, slice_of("a.example"), "failed"));
    ck_assert(!sicklist_add(&sick, slice_of("A.example"), "world"));
    errno = 0;
    ck_assert_msg(sicklist_commit(&sick) == -1 && errno == EEXIST, "one list has one fault");
    sicklist_abandon(&sick);
}
END_TEST

START_TEST(trouble)
{
    errno = 0;
    ck_assert(sicklist_begin(&sick, "nowhere/sick.cdb") == -1 && errno == ENOENT);
    sicklist_abandon(&sick);
    table_init(&t, "nowhere/sick.cdb", &buffer);
    ck_assert_msg(sicklist_find(&t, slice_of("a.example")) == -1 && errno == ENOENT, "no answer");
}
END_TEST

static void tests(TCase *c)
{
    tcase_add_unchecked_fixture(c, make_folder, remove_folder);
    tcase_add_test(c, round_trip);
    tcase_add_test(c, none);
    tcase_add_test(c, longest);
    tcase_add_test(c, left);
    tcase_add_test(c, twice);
    tcase_add_test(c, trouble);
}

UNIT("sicklist", tests)
