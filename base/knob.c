#include "base/knob.h"

#include "mail/address.h"
#include "base/digits.h"
#include "dns/dnslist.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char *scan_text(const struct knob *k, const char *text, void *field)
{
    (void)k;
    for (const char *p = text; *p; p++)
        if (*p < ' ' || *p > '~')
            return "not printable ASCII";
    *(const char **)field = text;
    return NULL;
}

/* Text with tabs between its words, too. */
static const char *scan_words(const struct knob *k, const char *text, void *field)
{
    (void)k;
    for (const char *p = text; *p; p++)
        if ((*p < ' ' && *p != '\t') || *p > '~')
            return "not printable ASCII";
    *(const char **)field = text;
    return NULL;
}

static const char *scan_greeting(const struct knob *k, const char *text, void *field)
{
    if (strlen(text) > 200)
        return "too long";
    return scan_text(k, text, field);
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

static const char *scan_host(const struct knob *k, const char *text, void *field)
{
    (void)k;
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p >= 0x80)
            return "not ASCII";
    if (!address_is_domain(slice_of(text)))
        return "not a host name";
    *(const char **)field = text;
    return NULL;
}

static const char *scan_suffix(const struct knob *k, const char *text, void *field)
{
    if (strlen(text) > ADDRESS_DOMAIN)
        return "too long";
    return scan_text(k, text, field);
}

static const char *show_text(const struct knob *k, const void *field, char *buffer)
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

static const char *show_flag(const struct knob *k, const void *field, char *buffer)
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

static const char *show_number(const struct knob *k, const void *field, char *buffer)
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

static const char *wrong_seconds(const struct knob *k, char buffer[KNOB_WHY])
{
    snprintf(buffer, KNOB_WHY, "not a number of seconds from %llu to %llu, with three decimals at most",
             (unsigned long long)k->low, (unsigned long long)k->high);
    return buffer;
}

static const char *show_seconds(const struct knob *k, const void *field, char *buffer)
{
    (void)k;
    unsigned long long ms = (unsigned long long)*(const int64_t *)field / 1000000;
    size_t n = digits_put(buffer, ms / 1000);
    if (ms % 1000) {
        buffer[n++] = '.';
        n += digits_fmt(buffer + n, (unsigned long)(ms % 1000), 3);
    }
    buffer[n] = 0;
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

static const char *wrong_choice(const struct knob *k, char buffer[KNOB_WHY])
{
    int n = snprintf(buffer, KNOB_WHY, "none of");

    for (unsigned i = 0; k->words[i] && n < KNOB_WHY; i++)
        n += snprintf(buffer + n, (size_t)(KNOB_WHY - n), "%s %s", i ? "," : "",
                      *k->words[i] ? k->words[i] : "\"\"");
    return buffer;
}

static const char *show_choice(const struct knob *k, const void *field, char *buffer)
{
    (void)buffer;
    return k->words[*(const unsigned *)field];
}

/* Pairs zone=name, separated by commas or white space. */
static const char *scan_pairs(const struct knob *k, const char *text, void *field)
{
    for (const char *p = text; *p; p += strspn(p, " ,\t")) {
        size_t n = strcspn(p, " ,\t"), zone = strcspn(p, "= ,\t");
        if (!zone || zone + 1 >= n || p[zone] != '=')
            return "not pairs of zone=name";
        p += n;
    }
    return scan_words(k, text, field);
}

static const char *scan_lists(const struct knob *k, const char *text, void *field)
{
    struct dnslists set;
    const char *why = dnslist_parse(slice_of(text), &set);

    return why ? why : scan_words(k, text, field);
}

static void default_greeting(const struct knob *k, void *field)
{
    *(const char **)field = k->text;
}

static void default_number(const struct knob *k, void *field)
{
    *(uint64_t *)field = k->number;
}

static void default_seconds(const struct knob *k, void *field)
{
    *(int64_t *)field = (int64_t)k->number * 1000000000;
}

static void default_choice(const struct knob *k, void *field)
{
    *(unsigned *)field = (unsigned)k->number;
}

const struct kind knob_host = {scan_host, show_text, NULL, NULL, false};
const struct kind knob_greeting = {scan_greeting, show_text, NULL, default_greeting, false};
const struct kind knob_path = {scan_path, show_text, NULL, NULL, false};
const struct kind knob_suffix = {scan_suffix, show_text, NULL, NULL, false};
const struct kind knob_flag = {scan_flag, show_flag, NULL, NULL, false};
const struct kind knob_number = {scan_number, show_number, wrong_number, default_number, false};
const struct kind knob_seconds = {scan_seconds, show_seconds, wrong_seconds, default_seconds, false};
const struct kind knob_choice = {scan_choice, show_choice, wrong_choice, default_choice, false};
const struct kind knob_pairs = {scan_pairs, show_text, NULL, NULL, true};
const struct kind knob_lists = {scan_lists, show_text, NULL, NULL, true};
