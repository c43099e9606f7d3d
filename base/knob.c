#include "base/knob.h"

#include "base/digits.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char *scan_text(const struct knob *k, const char *text, void *field)
{
    size_t n = strlen(text);

    if (n < k->low)
        return "empty";
    if (n > k->high)
        return "too long";
    for (const char *p = text; *p; p++)
        if (*p < ' ' || *p > '~')
            return "not printable ASCII";
    *(const char **)field = text;
    return NULL;
}

static const char *scan_path(const struct knob *k, const char *text, void *field)
{
    (void)k;
    if (!*text)
        return "empty";
    if (strlen(text) >= PATH_MAX / 2)
        return "too long";
    *(const char **)field = text;
    return NULL;
}

const char *knob_show_text(const struct knob *k, const void *field, char buffer[KNOB_FMT])
{
    (void)k;
    (void)buffer;
    return *(const char *const *)field;
}

static const char *scan_flag(const struct knob *k, const char *text, void *field)
{
    (void)k;
    bool off = !strcmp(text, "0") || !strcmp(text, "no");
    if (!off && *text && strcmp(text, "1") && strcmp(text, "yes"))
        return "neither 1 nor 0";
    *(bool *)field = !off;
    return NULL;
}

static const char *show_flag(const struct knob *k, const void *field, char buffer[KNOB_FMT])
{
    (void)k;
    (void)buffer;
    return *(const bool *)field ? "1" : NULL;
}

static const char *scan_number(const struct knob *k, const char *text, void *field)
{
    unsigned long long n;

    if (!digits_scan(slice_of(text), &n))
        return "no number";
    if (n < k->low || n > k->high)
        return "out of range";
    *(uint64_t *)field = n;
    return NULL;
}

static const char *wrong_number(const struct knob *k, char buffer[KNOB_WHY])
{
    snprintf(buffer, KNOB_WHY, "not a number from %llu to %llu", (unsigned long long)k->low,
             (unsigned long long)k->high);
    return buffer;
}

static const char *show_number(const struct knob *k, const void *field, char buffer[KNOB_FMT])
{
    (void)k;
    buffer[digits_put(buffer, *(const uint64_t *)field)] = 0;
    return buffer;
}

/* Seconds with at most three decimals. */
static const char *scan_seconds(const struct knob *k, const char *text, void *field)
{
    struct slice whole = slice_of(text), part = {"0", 1};
    unsigned long long s, ms;
    const char *dot = strchr(text, '.');

    if (dot) {
        whole.n = (size_t)(dot - text);
        part = slice_of(dot + 1);
    }
    if (!digits_scan(whole, &s) || !digits_scan(part, &ms) || part.n > 3)
        return "no number";
    for (size_t n = part.n; n < 3; n++)
        ms *= 10;
    if (s > k->high || (s == k->high && ms) || s * 1000 + ms < k->low * 1000)
        return "out of range";
    *(int64_t *)field = (int64_t)(s * 1000 + ms) * 1000000;
    return NULL;
}

const char *knob_wrong_seconds(const struct knob *k, char buffer[KNOB_WHY])
{
    snprintf(buffer, KNOB_WHY, "not a number of seconds from %llu to %llu, with three decimals at most",
             (unsigned long long)k->low, (unsigned long long)k->high);
    return buffer;
}

static const char *show_seconds(const struct knob *k, const void *field, char buffer[KNOB_FMT])
{
    (void)k;
    uint64_t ms = (uint64_t) * (const int64_t *)field / 1000000;
    buffer[ms % 1000 ? digits_seconds(buffer, ms) : digits_put(buffer, ms / 1000)] = 0;
    return buffer;
}

static const char *scan_choice(const struct knob *k, const char *text, void *field)
{
    for (unsigned i = 0; k->words[i]; i++)
        if (!strcmp(text, k->words[i])) {
            *(unsigned *)field = i;
            return NULL;
        }
    return "no such choice";
}

const char *knob_wrong_choice(const struct knob *k, char buffer[KNOB_WHY])
{
    int n = snprintf(buffer, KNOB_WHY, "none of");

    for (unsigned i = 0; k->words[i] && n < KNOB_WHY; i++)
        n += snprintf(buffer + n, (size_t)(KNOB_WHY - n), "%s %s", i ? "," : "",
                      *k->words[i] ? k->words[i] : "\"\"");
    return buffer;
}

const char *knob_show_choice(const struct knob *k, const void *field, char buffer[KNOB_FMT])
{
    (void)buffer;
    return k->words[*(const unsigned *)field];
}

const char *knob_preset_text(const struct knob *k, void *field)
{
    (void)field;
    return k->text;
}

static const char *preset_number(const struct knob *k, void *field)
{
    *(uint64_t *)field = k->number;
    return NULL;
}

static const char *preset_seconds(const struct knob *k, void *field)
{
    *(int64_t *)field = (int64_t)k->number * 1000000000;
    return NULL;
}

const char *knob_preset_choice(const struct knob *k, void *field)
{
    *(unsigned *)field = (unsigned)k->number;
    return NULL;
}

const struct kind knob_path = {scan_path, knob_show_text, NULL, NULL, false};
const struct kind knob_text = {scan_text, knob_show_text, NULL, knob_preset_text, false};
const struct kind knob_flag = {scan_flag, show_flag, NULL, NULL, false};
const struct kind knob_number = {scan_number, show_number, wrong_number, preset_number, false};
const struct kind knob_seconds = {scan_seconds, show_seconds, knob_wrong_seconds, preset_seconds, false};
const struct kind knob_choice = {scan_choice, knob_show_choice, knob_wrong_choice, knob_preset_choice, false};

/* The value of `entry` (NAME=value) if it sets `name`. */
static const char *value_in(const char *entry, const char *name)
{
    while (*name && *entry == *name)
        entry++, name++;
    return !*name && *entry == '=' ? entry + 1 : NULL;
}

static const char *value_of(char *const *environment, const char *name)
{
    const char *entry, *value;

    while ((entry = *environment++))
        if (*entry == *name && (value = value_in(entry, name)))
            return value;
    return NULL;
}

static uint32_t initial(const char *text)
{
    return UINT32_C(1) << (*text & 31);
}

/* Most knobs are not set, and most of these have an initial that nothing in the environment has. */
static uint32_t initials_of(char *const *environment)
{
    uint32_t all = 0;

    for (; *environment; environment++)
        all |= initial(*environment);
    return all;
}

static void complain_of(const struct knob *k, const char *value, const char *why, knob_complaint *complain,
                        void *context)
{
    char buffer[KNOB_WHY];

    complain(context, k->name, k->kind->private ? NULL : value,
             k->kind->wrong ? k->kind->wrong(k, buffer) : why);
}

int knob_load(const struct knob *rows, size_t n, void *fields, char *const *environment,
              knob_complaint *complain, void *context)
{
    const uint32_t initials = initials_of(environment);
    int bad = 0;

    for (const struct knob *k = rows; k < rows + n; k++) {
        void *field = (char *)fields + k->field;
        const char *value = initials & initial(k->name) ? value_of(environment, k->name) : NULL;
        if (!value && k->kind->preset)
            value = k->kind->preset(k, field);
        const char *why = value ? k->kind->scan(k, value, field) : NULL;
        if (why) {
            complain_of(k, value, why, complain, context);
            bad++;
        }
    }
    return bad;
}

void knob_each(const struct knob *rows, size_t n, const void *fields, knob_reader *read, void *context)
{
    char buffer[KNOB_FMT];

    for (const struct knob *k = rows; k < rows + n; k++)
        read(context, k->name, k->kind->show(k, (const char *)fields + k->field, buffer));
}
