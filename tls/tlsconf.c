#include "tls/tlsconf.h"

#include "base/deadline.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

struct knob {
    const char *name;
    size_t field;       /* offset in struct tlsconf */
    const char *preset; /* the default, as it would be written; NULL: unset */
    const char *(*check)(struct tlsconf *c, const char *text); /* NULL, or why not */
};

static const char *check_path(struct tlsconf *c, const char *text)
{
    (void)c;
    if (!*text)
        return "empty";
    return strlen(text) < PATH_MAX / 2 ? NULL : "too long";
}

static const char *check_ciphers(struct tlsconf *c, const char *text)
{
    (void)c;
    if (!*text)
        return "empty";
    for (const char *p = text; *p; p++)
        if (*p < ' ' || *p > '~')
            return "not printable ASCII";
    return NULL;
}

static const char *check_version(struct tlsconf *c, const char *text)
{
    c->only_1_3 = !strcmp(text, "1.3");
    return c->only_1_3 || !strcmp(text, "1.2") ? NULL : "neither 1.2 nor 1.3";
}

/* One to seven digits, which is enough, up to `end`. */
static bool scan_digits(const char *text, const char *end, int64_t *number)
{
    *number = 0;
    if (text == end || end - text > 7)
        return false;
    for (; text < end; text++) {
        if (*text < '0' || *text > '9')
            return false;
        *number = *number * 10 + (*text - '0');
    }
    return true;
}

/* The same values as postern-smtpd takes: seconds with at most three decimals, from 1 to 864000. */
static const char *check_timeout(struct tlsconf *c, const char *text)
{
    static const char wrong[] = "not a number of seconds from 1 to 864000, with three decimals at most";
    const char *end = text + strlen(text), *dot = strchr(text, '.');
    int64_t seconds, part = 0;

    if (!scan_digits(text, dot ? dot : end, &seconds))
        return wrong;
    if (dot && (end - dot > 4 || !scan_digits(dot + 1, end, &part)))
        return wrong;
    for (ptrdiff_t n = dot ? end - dot - 1 : 3; n < 3; n++)
        part *= 10;
    int64_t ms = seconds * 1000 + part;
    if (ms < 1000 || ms > INT64_C(864000000))
        return wrong;
    c->patience = ms * (SECOND / 1000);
    return NULL;
}

#define FIELD(member) offsetof(struct tlsconf, member)

/* Of TLS 1.2 only ephemeral keys and known servers; CBC comes last, for mail servers that have nothing newer.
 */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!AESCCM"

static const struct knob knobs[] = {
    {"CERTFILE", FIELD(certfile), NULL, check_path},
    {"KEYFILE", FIELD(keyfile), NULL, check_path},
    {"CERTDIR", FIELD(certdir), NULL, check_path},
    {"TLS_MIN", FIELD(tls_min), "1.2", check_version},
    {"CIPHERS", FIELD(ciphers), CIPHERS, check_ciphers},
    {"CCAFILE", FIELD(ccafile), NULL, check_path},
    {"SESSION_TIMEOUT", FIELD(session_timeout), "3600", check_timeout},
};

enum { KNOBS = sizeof knobs / sizeof *knobs };

static const char **field_of(struct tlsconf *c, const struct knob *k)
{
    return (const char **)((char *)c + k->field);
}

/* The first of equal names counts, as for getenv(3). */
static const char *value_of(char *const *environment, const char *name)
{
    size_t n = strlen(name);

    for (; *environment; environment++)
        if (!strncmp(*environment, name, n) && (*environment)[n] == '=')
            return *environment + n + 1;
    return NULL;
}

int tlsconf_load(struct tlsconf *c, char *const *environment, tlsconf_complaint *complain, void *context)
{
    int bad = 0;

    memset(c, 0, sizeof *c);
    for (const struct knob *k = knobs; k < knobs + KNOBS; k++) {
        const char *set = value_of(environment, k->name), *value = set ? set : k->preset;
        const char *why = value ? k->check(c, value) : NULL;
        if (why) {
            complain(context, k->name, value, why);
            bad++;
        } else {
            *field_of(c, k) = value;
        }
    }
    if (!c->certfile && !bad) {
        complain(context, "CERTFILE", NULL, "not set");
        bad++;
    }
    return bad;
}

const char *tlsconf_keyfile(const struct tlsconf *c)
{
    return c->keyfile ? c->keyfile : c->certfile;
}

void tlsconf_each(const struct tlsconf *c, tlsconf_reader *read, void *context)
{
    for (const struct knob *k = knobs; k < knobs + KNOBS; k++)
        read(context, k->name, *(const char *const *)((const char *)c + k->field));
}
