/* The environment of postern-tlsio, its entries separated by NUL: each value is the first of its name, or
 * the default. A value out of bounds is told. */
#include "tests/fuzz/fuzz.h"

#include "tls/tlsconf.h"

enum { ENTRIES = 24 };

static int complaints;

static void complain(void *context, const char *name, const char *value, const char *why)
{
    (void)context;
    MUST(*name && *why && (value || !strcmp(name, "CERTFILE")));
    complaints++;
}

/* As getenv(3) has it. */
static const char *first_of(char *const *environment, const char *name)
{
    size_t n = strlen(name);

    for (; *environment; environment++)
        if (!strncmp(*environment, name, n) && (*environment)[n] == '=')
            return *environment + n + 1;
    return NULL;
}

static void check_value(void *context, const char *name, const char *value)
{
    const char *set = first_of(context, name);

    if (set)
        MUST(value && !strcmp(value, set));
    else
        MUST(!value || !strcmp(name, "TLS_MIN") || !strcmp(name, "CIPHERS") ||
             !strcmp(name, "SESSION_TIMEOUT"));
    for (const char *p = value; p && *p && !strcmp(name, "CIPHERS"); p++)
        MUST(*p >= ' ' && *p <= '~');
}

static void check_accepted(const struct tlsconf *c, char **environment)
{
    const char *version = first_of(environment, "TLS_MIN"),
               *seconds = first_of(environment, "SESSION_TIMEOUT");

    tlsconf_each(c, check_value, environment);
    MUST(c->certfile && *c->certfile && *tlsconf_keyfile(c));
    MUST((c->tls_min == TLS_MIN_1_3) == (version && !strcmp(version, "1.3")));
    MUST(c->patience >= INT64_C(1000000000) && c->patience <= INT64_C(864000000000000));
    double want = seconds ? strtod(seconds, NULL) : 3600; /* exact enough for milliseconds */
    double got = (double)c->patience / 1e9;
    MUST(got - want < 0.0001 && want - got < 0.0001);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *environment[ENTRIES + 1], *all = calloc(1, size + 1);
    struct tlsconf c;
    size_t n = 0;

    MUST(all);
    if (size)
        memcpy(all, data, size);
    for (char *p = all; p < all + size && n < ENTRIES; p += strlen(p) + 1)
        environment[n++] = p;
    environment[n] = NULL;
    complaints = 0;
    int bad = tlsconf_load(&c, environment, complain, NULL);
    MUST(bad == complaints);
    if (!bad)
        check_accepted(&c, environment);
    free(all);
    return 0;
}
