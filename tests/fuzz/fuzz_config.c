/* The environment of postern-smtpd, its entries separated by NUL. An accepted value keeps its bounds;
 * told, and set again, it is the same. Of a refused one the complaint names a variable of the environment. */
#include "tests/fuzz/fuzz.h"

#include "smtp/config.h"
#include "table/place.h"
#include "base/spelling.h"

#include <ctype.h>

enum { ENTRIES = 48, NAMES = 64 };

struct told {
    size_t n;
    const char *name[NAMES];
    char *value[NAMES]; /* NULL: unset */
};

static int complaints;

static void complain(void *context, const char *name, const char *value, const char *why)
{
    char *const *environment = context;
    size_t n = strlen(name);
    bool is_there = !value;

    MUST(n && *why && strlen(why) < 200);
    for (const char *p = why; *p; p++)
        MUST(*p >= ' ' && *p <= '~');
    for (; *environment; environment++)
        is_there |=
            !strncmp(*environment, name, n) && (*environment)[n] == '=' && *environment + n + 1 == value;
    MUST(is_there || !strcmp(name, "ME")); /* ME may be this machine's own name */
    complaints++;
}

static void take_down(void *context, const char *name, const char *value)
{
    struct told *t = context;

    MUST(t->n < NAMES);
    t->name[t->n] = name;
    t->value[t->n] = NULL;
    if (value) {
        size_t n = strlen(value) + 1;
        MUST(t->value[t->n] = malloc(n));
        memcpy(t->value[t->n], value, n);
    }
    t->n++;
}

static void forget(struct told *t)
{
    while (t->n)
        free(t->value[--t->n]);
}

static void check_bounds(const struct config *c)
{
    const int64_t second = 1000000000;
    enum place_kind kind;

    MUST(c->me && *c->me && strlen(c->me) <= 255 && strlen(c->greeting) <= 200);
    MUST(c->timeout >= second && c->timeout <= 86400 * second);
    MUST(c->session_timeout >= second && c->session_timeout <= 864000 * second);
    MUST(c->greetdelay >= 0 && c->errordelay >= 0 && c->tarpitdelay >= 0);
    MUST(c->barelf <= BARELF_REJECT && c->earlytalk <= EARLYTALK_OFF && c->ucspitls <= TLS_DEMANDED);
    MUST(c->dnsbl_action <= DNSBL_LOG && c->dnsbl_threshold >= 1 && c->dnsbl_threshold <= 32000);
    MUST(!c->refuse || (!place_parse(slice_of(c->refuse), &kind) && kind == PLACE_REPLY));
    MUST(c->refuse ? c->refuse_stage < STAGE_NEVER : c->refuse_stage == STAGE_NEVER);
    MUST(c->spool || c->mailboxes || c->discard || c->qmailqueue);
}

/* The told values, set again, are told again. */
static void check_again(const struct told *t)
{
    struct told again = {0};
    struct config c;
    char *environment[NAMES + 1];
    size_t n = 0;

    for (size_t i = 0; i < t->n; i++)
        if (t->value[i]) {
            size_t size = strlen(t->name[i]) + strlen(t->value[i]) + 2;
            MUST(environment[n] = malloc(size));
            snprintf(environment[n++], size, "%s=%s", t->name[i], t->value[i]);
        }
    environment[n] = NULL;
    MUST(!config_load(&c, environment, complain, environment));
    config_each(&c, take_down, &again);
    MUST(again.n == t->n);
    for (size_t i = 0; i < t->n; i++) {
        MUST(!strcmp(again.name[i], t->name[i]) && !again.value[i] == !t->value[i]);
        MUST(!t->value[i] || !strcmp(again.value[i], t->value[i]));
    }
    forget(&again);
    while (n)
        free(environment[--n]);
}

/* Names of one length are near in both directions, or in neither. */
static void check_spelling(const char *name, const char *meant)
{
    bool near = spelling_is_near(name, meant);

    MUST(!near || strcmp(name, meant) != 0);
    if (strlen(name) == strlen(meant))
        MUST(near == spelling_is_near(meant, name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct told told = {0};
    struct config c;
    char *environment[ENTRIES + 1];
    struct slice copies[ENTRIES];
    size_t n = 0;

    for (size_t at = 0; at < size && n < ENTRIES;) {
        const uint8_t *end = memchr(data + at, 0, size - at);
        size_t length = end ? (size_t)(end - data) - at : size - at;
        copies[n] = copy_of(data + at, length + 1 > size - at ? length : length + 1);
        if (!end) { /* the last one has no NUL yet */
            drop(copies[n]);
            char *whole = calloc(1, length + 1);
            MUST(whole);
            memcpy(whole, data + at, length);
            copies[n] = (struct slice){whole, length + 1};
        }
        environment[n] = (char *)(uintptr_t)copies[n].p;
        n++;
        at += length + 1;
    }
    environment[n] = NULL;
    complaints = 0;
    int bad = config_load(&c, environment, complain, environment);
    MUST(bad == complaints);
    config_each(&c, take_down, &told); /* also where it was not accepted */
    if (!bad) {
        check_bounds(&c);
        check_again(&told);
    }
    if (n >= 2)
        check_spelling(environment[0], environment[1]);
    forget(&told);
    while (n)
        drop(copies[--n]);
    return 0;
}
