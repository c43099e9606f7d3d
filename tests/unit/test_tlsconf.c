#include "tls/tlsconf.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static char said[256];

static char value_said[128];

static void note(void *context, const char *name, const char *value, const char *why)
{
    (void)context;
    snprintf(value_said, sizeof value_said, "%s", value ? value : "(none)");
    size_t n = strlen(said);
    snprintf(said + n, sizeof said - n, "%s: %s;", name, why);
}

#define NO_SECONDS "SESSION_TIMEOUT: not a number of seconds from 1 to 864000, with three decimals at most;"

static const struct row {
    const char *name, *setting, *want, *why;
} rows[] = {
    {"good", "CERTFILE=/c", "", "all others have defaults"},
    {"empty path", "CERTFILE=", "CERTFILE: empty;", "an empty path is a mistake, never the default"},
    {"empty key", "KEYFILE=", "KEYFILE: empty;", "likewise"},
    {"empty folder", "CERTDIR=", "CERTDIR: empty;", "likewise"},
    {"empty authorities", "CCAFILE=", "CCAFILE: empty;", "likewise"},
    {"1.3", "TLS_MIN=1.3", "", "one of two"},
    {"1.1", "TLS_MIN=1.1", "TLS_MIN: neither 1.2 nor 1.3;", "never older"},
    {"no version", "TLS_MIN=", "TLS_MIN: neither 1.2 nor 1.3;", "empty is not the default"},
    {"long version", "TLS_MIN=1.3 ", "TLS_MIN: neither 1.2 nor 1.3;", "exactly"},
    {"no ciphers", "CIPHERS=", "CIPHERS: empty;", "OpenSSL would take this for no TLS 1.2"},
    {"odd ciphers", "CIPHERS=HIGH\n", "CIPHERS: not printable ASCII;", "goes into the output of -n"},
    {"one second", "SESSION_TIMEOUT=1", "", "the least of postern-smtpd"},
    {"most", "SESSION_TIMEOUT=864000", "", "and the most"},
    {"most, decimals", "SESSION_TIMEOUT=864000.000", "", "the same"},
    {"too many", "SESSION_TIMEOUT=864000.001", NO_SECONDS, "above"},
    {"too few", "SESSION_TIMEOUT=0.999", NO_SECONDS, "below"},
    {"decimals", "SESSION_TIMEOUT=1.5", "", "as postern-smtpd has them"},
    {"zeros", "SESSION_TIMEOUT=0000000060", "", "likewise"},
    {"four decimals", "SESSION_TIMEOUT=1.5000", NO_SECONDS, "three at most"},
    {"dot alone", "SESSION_TIMEOUT=1.", NO_SECONDS, "no digits behind it"},
    {"dot first", "SESSION_TIMEOUT=.5", NO_SECONDS, "none before it"},
    {"two dots", "SESSION_TIMEOUT=1.5.5", NO_SECONDS, "no number"},
    {"sign", "SESSION_TIMEOUT=-5", NO_SECONDS, "no number"},
    {"unit", "SESSION_TIMEOUT=5s", NO_SECONDS, "no number"},
    {"no number", "SESSION_TIMEOUT=", NO_SECONDS, "empty"},
    {"huge", "SESSION_TIMEOUT=99999999999999999999", NO_SECONDS, "no overflow"},
};

START_TEST(a_setting)
{
    const struct row *r = &rows[_i];
    char setting[128];
    struct tlsconf c;

    snprintf(setting, sizeof setting, "%s", r->setting);
    char *environment[] = {setting, (char[]){"CERTFILE=/cert"}, NULL};
    said[0] = 0;
    int bad = tlsconf_load(&c, environment, note, NULL);
    ck_assert_msg(!strcmp(said, r->want), "%s: %s (%s)", r->name, said, r->why);
    ck_assert_int_eq(bad, *r->want ? 1 : 0);
    if (bad)
        ck_assert_msg(!strcmp(value_said, strchr(r->setting, '=') + 1), "%s: its value", r->name);
}
END_TEST

START_TEST(defaults)
{
    char *environment[] = {(char[]){"CERTFILE=/cert"}, (char[]){"CERTFILE=/other"}, (char[]){"TLS_MINI=9"},
                           NULL};
    struct tlsconf c;

    ck_assert_int_eq(tlsconf_load(&c, environment, note, NULL), 0);
    ck_assert_str_eq(c.certfile, "/cert");
    ck_assert_str_eq(tlsconf_keyfile(&c), "/cert");
    ck_assert(!c.keyfile && !c.certdir && !c.ccafile && c.tls_min == TLS_MIN_1_2);
    ck_assert_int_eq(c.patience, INT64_C(3600000000000));
}
END_TEST

START_TEST(values)
{
    char *environment[] = {(char[]){"CERTFILE=/c"}, (char[]){"KEYFILE=/k"}, (char[]){"TLS_MIN=1.3"},
                           (char[]){"SESSION_TIMEOUT=7.25"}, NULL};
    struct tlsconf c;

    ck_assert_int_eq(tlsconf_load(&c, environment, note, NULL), 0);
    ck_assert_str_eq(tlsconf_keyfile(&c), "/k");
    ck_assert(c.tls_min == TLS_MIN_1_3);
    ck_assert_int_eq(c.patience, INT64_C(7250000000));
}
END_TEST

START_TEST(no_certificate)
{
    char *environment[] = {(char[]){"KEYFILE=/k"}, NULL};
    struct tlsconf c;

    said[0] = 0;
    ck_assert_int_eq(tlsconf_load(&c, environment, note, NULL), 1);
    ck_assert_str_eq(said, "CERTFILE: not set;");
    ck_assert_str_eq(value_said, "(none)");
}
END_TEST

static void add(TCase *t)
{
    tcase_add_loop_test(t, a_setting, 0, COUNT(rows));
    tcase_add_test(t, defaults);
    tcase_add_test(t, values);
    tcase_add_test(t, no_certificate);
}

UNIT("tlsconf", add)
