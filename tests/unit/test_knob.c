#include "base/knob.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

enum { MOST = 8 };

struct settings {
    const char *path, *text, *must, *key, *made;
    bool flag;
    uint64_t number;
    int64_t seconds;
    unsigned choice;
};

/* A kind whose default is read as if it were set; and one whose value is not for complaints. */
static const char *scan_short(const struct knob *k, const char *text, void *field)
{
    (void)k;
    if (strlen(text) > MOST)
        return "not short";
    *(const char **)field = text;
    return NULL;
}

static const char *preset_made;

static const char *make(const struct knob *k, void *field)
{
    (void)k;
    (void)field;
    return preset_made;
}

static const struct kind made = {scan_short, knob_show_text, NULL, make, false};
static const struct kind key = {scan_short, knob_show_text, NULL, NULL, true};

static const char *const words[] = {"red", "", "green", NULL};

#define FIELD(member) offsetof(struct settings, member)

static const struct knob knobs[] = {
    KNOB_PLAIN("PATH", knob_path, FIELD(path)),
    KNOB_TEXT("TEXT", knob_text, FIELD(text), "so", 0, MOST),
    KNOB_TEXT("MUST", knob_text, FIELD(must), NULL, 1, MOST),
    KNOB_PLAIN("KEY", key, FIELD(key)),
    KNOB_PLAIN("MADE", made, FIELD(made)),
    KNOB_PLAIN("FLAG", knob_flag, FIELD(flag)),
    KNOB_NUMBER("NUMBER", FIELD(number), 7, 2, 1000),
    KNOB_SECONDS("SECONDS", FIELD(seconds), 5, 1, 60),
    KNOB_CHOICE("CHOICE", knob_choice, FIELD(choice), 2, words),
};

static struct settings s;
static char said[512], shown[512];

static void note(void *context, const char *name, const char *value, const char *why)
{
    ck_assert_ptr_eq(context, said);
    size_t n = strlen(said);
    snprintf(said + n, sizeof said - n, "%s=%s %s;", name, value ? value : "(private)", why);
}

static void show(void *context, const char *name, const char *value)
{
    ck_assert_ptr_eq(context, shown);
    size_t n = strlen(shown);
    snprintf(shown + n, sizeof shown - n, "%s%s%s ", name, value ? "=" : "", value ? value : "");
}

static int load(const char *const *settings)
{
    char *environment[MOST + 1];
    size_t n = 0;

    for (; n < MOST && settings[n]; n++)
        environment[n] = (char *)(uintptr_t)settings[n];
    environment[n] = NULL;
    memset(&s, 0, sizeof s);
    *said = *shown = 0;
    int bad = knob_load(knobs, COUNT(knobs), &s, environment, note, said);
    knob_each(knobs, COUNT(knobs), &s, show, shown);
    return bad;
}

/* Want: all knobs as they are told. */
static const struct {
    const char *name, *input[MOST], *want, *why;
} rows[] = {
    {"nothing", {NULL}, "PATH TEXT=so MUST KEY MADE FLAG NUMBER=7 SECONDS=5 CHOICE=green ", "the defaults"},
    {"all",
     {"PATH=/x", "TEXT=", "MUST=m", "KEY=k", "MADE=a", "FLAG=", "NUMBER=2", "SECONDS=1.05"},
     "PATH=/x TEXT= MUST=m KEY=k MADE=a FLAG=1 NUMBER=2 SECONDS=1.050 CHOICE=green ",
     "each kind"},
    {"first",
     {"NUMBER=3", "NUMBER=4", "CHOICE="},
     "PATH TEXT=so MUST KEY MADE FLAG NUMBER=3 SECONDS=5 CHOICE= ",
     "of equal names the first counts, as for getenv(3)"},
    {"others",
     {"", "=", "NUMBER", "NUMBERS=3", "NUMBE=3", "number=3", "NIL=0", "\xff=1"},
     "PATH TEXT=so MUST KEY MADE FLAG NUMBER=7 SECONDS=5 CHOICE=green ",
     "they only look like settings"},
    {"beside others",
     {"NUMB=1", "NUMBERX=1", "NUMBER=1000", "CHOICE=red"},
     "PATH TEXT=so MUST KEY MADE FLAG NUMBER=1000 SECONDS=5 CHOICE=red ",
     "the same initial"},
};

START_TEST(is_read)
{
    ck_assert_msg(!load(rows[_i].input), "%s: %s", rows[_i].name, said);
    ck_assert_msg(!strcmp(shown, rows[_i].want), "%s: %s: %s", rows[_i].name, rows[_i].why, shown);
}
END_TEST

static const struct {
    const char *input[MOST], *want;
} wrong[] = {
    {{"PATH="}, "PATH= empty;"},
    {{"TEXT=123456789"}, "TEXT=123456789 too long;"},
    {{"TEXT=\t"}, "TEXT=\t not printable ASCII;"},
    {{"MUST="}, "MUST= empty;"},
    {{"KEY=123456789"}, "KEY=(private) not short;"},
    {{"FLAG=2"}, "FLAG=2 neither 1 nor 0;"},
    {{"NUMBER=1"}, "NUMBER=1 not a number from 2 to 1000;"},
    {{"NUMBER=1001"}, "NUMBER=1001 not a number from 2 to 1000;"},
    {{"SECONDS=60.001"}, "SECONDS=60.001 not a number of seconds from 1 to 60, with three decimals at most;"},
    {{"SECONDS=1.0001"}, "SECONDS=1.0001 not a number of seconds from 1 to 60, with three decimals at most;"},
    {{"CHOICE=blue"}, "CHOICE=blue none of red, \"\", green;"},
    {{"CHOICE=x", "PATH=", "PATH=/good"}, "PATH= empty;CHOICE=x none of red, \"\", green;"},
};

START_TEST(is_told)
{
    int bad = load(wrong[_i].input);
    ck_assert_msg(!strcmp(said, wrong[_i].want), "%s", said);
    ck_assert_int_eq(bad, wrong[_i].input[1] ? 2 : 1);
    ck_assert_msg(!s.path && !s.must && !s.key && !s.flag && !s.number == !strncmp(said, "NUMBER", 6),
                  "a value that does not hold leaves the field as it was, and is no default");
}
END_TEST

/* As a machine's own name is. */
START_TEST(a_default_is_read)
{
    preset_made = "mine";
    ck_assert(!load((const char *[]){NULL}));
    ck_assert_str_eq(s.made, "mine");
    ck_assert(!load((const char *[]){"MADE=yours", NULL}));
    ck_assert_str_eq(s.made, "yours");
    preset_made = "much too long";
    ck_assert_int_eq(load((const char *[]){NULL}), 1);
    ck_assert_str_eq(said, "MADE=much too long not short;");
    ck_assert(!s.made);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, is_read, 0, COUNT(rows));
    tcase_add_loop_test(t, is_told, 0, COUNT(wrong));
    tcase_add_test(t, a_default_is_read);
}

UNIT("knob", tests)
