#include "base/spelling.h"
#include "tests/unit/unit.h"

#include <string.h>

static const struct {
    const char *name, *input, *meant;
    bool want;
    const char *why;
} pairs[] = {
    {"itself", "DATABYTES", "DATABYTES", false, "it is right"},
    {"other letter", "DATABYTEZ", "DATABYTES", true, "a slip"},
    {"letter less", "DATABYTE", "DATABYTES", true, "a slip"},
    {"first letter less", "ATABYTES", "DATABYTES", true, "a slip"},
    {"letter more", "DATA_BYTES", "DATABYTES", true, "a slip"},
    {"letter more at the end", "DATABYTESS", "DATABYTES", true, "a slip"},
    {"exchanged", "DATABYETS", "DATABYTES", true, "one slip"},
    {"two slips", "DATTABYTEZ", "DATABYTES", true, "in a long name"},
    {"three slips", "DTTABYTEZ", "DATABYTES", true, "two: replaced, replaced"},
    {"four slips", "DTTBBYTEZ", "DATABYTES", false, "another word"},
    {"case", "databytes", "DATABYTES", true, "names have a case"},
    {"case and a slip", "Databyte", "DATABYTES", true, "names have a case"},
    {"short, case", "me", "ME", true, "names have a case"},
    {"short", "MX", "ME", false, "any two letters are near"},
    {"short and more", "HOME", "ME", false, "another word"},
    {"three letters", "PWD", "RWL", false, "another word"},
    {"three letters and more", "RWLS", "RWL", false, "it takes little"},
    {"middling", "SPOL", "SPOOL", true, "a slip"},
    {"middling, exchanged", "SOPOL", "SPOOL", true, "a slip"},
    {"middling, two slips", "SHELL", "SPOOL", false, "another word"},
    {"the shell's", "TMOUT", "TIMEOUT", false, "another variable"},
    {"nothing", "", "ME", false, "no name"},
    {"nothing meant", "ME", "", false, "no name"},
    {"longest", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEX", true, "32"},
    {"too long", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF", false, "33"},
    {"not ASCII", "SPOOL\xff", "SPOOL", true, "octets"},
};

START_TEST(near)
{
    ck_assert_msg(spelling_is_near(pairs[_i].input, pairs[_i].meant) == pairs[_i].want, "%s: %s",
                  pairs[_i].name, pairs[_i].why);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, near, 0, COUNT(pairs));
}

UNIT("spelling", tests)
