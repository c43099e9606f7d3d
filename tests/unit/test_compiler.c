/* The compiler's complaints to its caller; test_cdb has the rules for a table's source. */
#define _XOPEN_SOURCE 700 /* nftw(3) */
#include "table/compiler.h"
#include "table/table.h"
#include "tests/unit/folder.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

static struct compiler c;
static char told[256];

static void tell(void *context, uint32_t line, const char *text)
{
    size_t n = strlen(told);

    ck_assert_ptr_eq(context, told);
    snprintf(told + n, sizeof told - n, "%lu %s;", (unsigned long)line, text);
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    ck_assert(f && fputs(text, f) >= 0 && !fclose(f));
}

static enum compiler_end run(const char *source, const char *target)
{
    memset(&c, 0, sizeof c);
    c.complaint = tell;
    c.context = told;
    *told = 0;
    errno = 0;
    return compiler_run(&c, ENTRY_DOMAIN, source, target);
}

static int64_t records(void)
{
    static struct table_buffer buffer;
    struct table t;

    table_init(&t, "target.cdb", &buffer);
    return table_check(&t);
}

static const struct {
    const char *name, *source;
    const char *want; /* complaints */
    const char *why;
} sources[] = {
    {"nothing", "", "", "a table without entries"},
    {"two", "a.example\n\n# remark\nb.example\n", "", "sound"},
    {"wrong", "a.example\n-\nb.example\n..\n", "2 bad domain;4 bad domain;", "each line is told"},
    {"repeated", "\na.example\nb.example\nA.example\nb.example\na.example\n",
     "4 a.example is on line 2 already;5 b.example is on line 3 already;6 a.example is on line 2 already;",
     "in the order of their lines, of the first of equals"},
    {"wrong and repeated", "a.example\na.example\n-\n", "3 bad domain;2 a.example is on line 1 already;",
     "a wrong line is told once, repeats last"},
};

START_TEST(complaints)
{
    put("target.cdb", "old");
    put("source", sources[_i].source);
    enum compiler_end end = run("source", "target.cdb");
    ck_assert_msg(!strcmp(told, sources[_i].want), "%s: %s: %s", sources[_i].name, sources[_i].why, told);
    ck_assert_msg(end == (*told ? COMPILER_WRONG : COMPILER_DONE), "%s", sources[_i].name);
    ck_assert_msg(records() == (*told ? -1
                                : _i  ? 3
                                      : 1),
                  "%s: and one that names the kind", sources[_i].name);
    ck_assert_msg(access(c.target.tmp, F_OK) < 0 || !strcmp(c.target.tmp, "./"), "nothing is left beside it");
}
END_TEST

START_TEST(itself)
{
    put("source", "a.example\n");
    ck_assert(!symlink("source", "link"));
    ck_assert(run("source", "link") == COMPILER_ITSELF && !*told);
    ck_assert(run("link", "source") == COMPILER_ITSELF && !*told);
    ck_assert(run("source", "target.cdb") == COMPILER_DONE && records() == 2);
}
END_TEST

static const struct {
    const char *name, *source, *target;
    const char *at; /* NULL: the file beside the target */
    int want;       /* errno */
} troubles[] = {
    {"no source", "nowhere", "target.cdb", "nowhere", ENOENT},
    {"a folder", ".", "target.cdb", ".", EISDIR},
    {"no folder for it", "source", "nowhere/target.cdb", NULL, ENOENT},
    {"nothing is right", "nowhere", "nowhere/target.cdb", NULL, ENOENT},
};

START_TEST(trouble)
{
    put("source", "a.example\n");
    put("target.cdb", "old");
    ck_assert(run(troubles[_i].source, troubles[_i].target) == COMPILER_TROUBLE && !*told);
    int error = errno;
    ck_assert_msg(error == troubles[_i].want, "%s: %s", troubles[_i].name, strerror(error));
    ck_assert_str_eq(c.at, troubles[_i].at ? troubles[_i].at : c.target.tmp);
    ck_assert_msg(records() == -1 && access(c.target.tmp, F_OK) < 0, "%s: all is as it was",
                  troubles[_i].name);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_unchecked_fixture(t, make_folder, remove_folder);
    tcase_add_loop_test(t, complaints, 0, COUNT(sources));
    tcase_add_test(t, itself);
    tcase_add_loop_test(t, trouble, 0, COUNT(troubles));
}

UNIT("compiler", tests)
