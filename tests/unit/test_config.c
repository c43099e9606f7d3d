#define _GNU_SOURCE
#include "smtp/config.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define X16 "xxxxxxxxxxxxxxxx"
#define X64 X16 X16 X16 X16
#define X256 X64 X64 X64 X64
#define X2048 X256 X256 X256 X256 X256 X256 X256 X256

static struct config c;
static char complaints[4096];

static const char *bad_value; /* of the last complaint */
static char reason[256];

static void remember(void *context, const char *name, const char *value, const char *why)
{
    ck_assert_ptr_eq(context, complaints);
    ck_assert(*name && *why);
    bad_value = value;
    snprintf(reason, sizeof reason, "%s", why);
    strcat(complaints, name);
    strcat(complaints, ":");
}

/* The words of config_each about one knob. */
struct asked {
    const char *name;
    bool set;
    int times;
    char value[4096];
};

static void read_knob(void *context, const char *name, const char *value)
{
    struct asked *a = context;

    if (strcmp(a->name, name))
        return;
    a->times++;
    a->set = value;
    snprintf(a->value, sizeof a->value, "%s", value ? value : "");
}

static struct asked ask(const char *name)
{
    struct asked a = {.name = name};
    config_each(&c, read_knob, &a);
    return a;
}

static int load(const char *first, const char *second, const char *third)
{
    char *environment[4];
    int n = 0;

    if (first)
        environment[n++] = (char *)(uintptr_t)first;
    if (second)
        environment[n++] = (char *)(uintptr_t)second;
    if (third)
        environment[n++] = (char *)(uintptr_t)third;
    environment[n] = NULL;
    *complaints = 0;
    memset(&c, 0x5a, sizeof c);
    return config_load(&c, environment, remember, complaints);
}

/* The defaults. NULL: unset. */
static const struct {
    const char *name, *want;
} presets[] = {
    {"SMTPGREETING", "ESMTP Postern"},
    {"DOMAINS", NULL},
    {"MAILBOXES", NULL},
    {"BADSENDERS", NULL},
    {"RELAYCLIENT", NULL},
    {"SPOOL", "./m/"},
    {"DISCARD", NULL},
    {"QMAILQUEUE", NULL},
    {"DATABYTES", "26214400"},
    {"TIMEOUT", "300"},
    {"SESSION_TIMEOUT", "3600"},
    {"MINRATE", "100"},
    {"MAXERRORS", "10"},
    {"MAXNOOPS", "30"},
    {"MAXVRFYS", "10"},
    {"MAXRCPTS", "100"},
    {"MAXMSGS", "100"},
    {"MAXHOPS", "100"},
    {"BARELF", "normalize"},
    {"UCSPITLS", "-"},
    {"CHECKPASSWORD", NULL},
    {"MAXAUTHS", "3"},
    {"AUTH_INSECURE", NULL},
    {"AUTH_REQUIRED", NULL},
    {"VERBOSE", NULL},
};

START_TEST(preset)
{
    const char *want = presets[_i].want;

    ck_assert_msg(!load("SPOOL=./m/", NULL, NULL), "%s", complaints);
    struct asked a = ask(presets[_i].name);
    ck_assert_msg(a.times == 1, "%s is told once", presets[_i].name);
    ck_assert_msg(a.set == !!want && (!want || !strcmp(a.value, want)), "%s=%s", presets[_i].name, a.value);
}
END_TEST

START_TEST(own_name)
{
    char host[256];

    ck_assert(!gethostname(host, sizeof host));
    load("SPOOL=./m/", NULL, NULL);
    if (!*complaints)
        ck_assert_str_eq(c.me, host);
    else
        ck_assert_msg(!strcmp(complaints, "ME:"), "where the machine's name is no host name");
}
END_TEST

/* One setting beside SPOOL (which comes last, so that a row may set it itself). Want: the knob as it is told,
 * or NULL for a complaint naming it. */
static const struct {
    const char *name, *input, *want, *why;
} settings[] = {
    {"ME", "ME=mx.example.com", "mx.example.com", "a host name"},
    {"ME", "ME=[192.0.2.1]", "[192.0.2.1]", "an address literal"},
    {"ME", "ME=", NULL, "RFC 5321 4.2: the banner begins with a name"},
    {"ME", "ME=mx example", NULL, "no host name"},
    {"ME", "ME=mx.example.com\n", NULL, "it stands in replies"},
    {"ME", "ME=m\xc3\xbcller.example", NULL, "replies are ASCII"},
    {"ME", "ME=a/b", NULL, "it stands in file names"},
    {"SMTPGREETING", "SMTPGREETING=Hello World", "Hello World", "text"},
    {"SMTPGREETING", "SMTPGREETING=", "", "text may be empty"},
    {"SMTPGREETING", "SMTPGREETING=a\r\n250 b", NULL, "no second line"},
    {"SMTPGREETING", "SMTPGREETING=\xe9", NULL, "replies are ASCII"},
    {"SMTPGREETING", "SMTPGREETING=" X64 X64 X64 "xxxxxxxx", X64 X64 X64 "xxxxxxxx", "200 octets"},
    {"SMTPGREETING", "SMTPGREETING=" X64 X64 X64 "xxxxxxxxx", NULL, "a reply line has 512"},
    {"DOMAINS", "DOMAINS=cdb/domains.cdb", "cdb/domains.cdb", "a path"},
    {"DOMAINS", "DOMAINS=", NULL, "set, but empty"},
    {"MAILBOXES", "MAILBOXES=/x y", "/x y", "a path"},
    {"BADSENDERS", "BADSENDERS=x", "x", "a path"},
    {"SPOOL", "SPOOL=/var/mail/", "/var/mail/", "a path"},
    {"SPOOL", "SPOOL=", NULL, "set, but empty"},
    {"SPOOL", "SPOOL=/" X2048, NULL, "longer than any"},
    {"QMAILQUEUE", "QMAILQUEUE=/bin/true", "/bin/true", "a path"},
    {"RELAYCLIENT", "RELAYCLIENT=", "", "set: any recipient; nothing appended"},
    {"RELAYCLIENT", "RELAYCLIENT=@relay.example", "@relay.example", "appended"},
    {"RELAYCLIENT", "RELAYCLIENT=a\nb", NULL, "it stands in headers"},
    {"RELAYCLIENT", "RELAYCLIENT=" X256, NULL, "longer than a domain"},
    {"DISCARD", "DISCARD=1", "1", "on"},
    {"DISCARD", "DISCARD=yes", "1", "on"},
    {"DISCARD", "DISCARD=", "1", "set"},
    {"DISCARD", "DISCARD=0", "(unset)", "off"},
    {"DISCARD", "DISCARD=no", "(unset)", "off"},
    {"DISCARD", "DISCARD=true", NULL, "no silent default"},
    {"VERBOSE", "VERBOSE=1", "1", "on"},
    {"VERBOSE", "VERBOSE=2", NULL, "no levels"},
    {"BARELF", "BARELF=reject", "reject", "a choice"},
    {"BARELF", "BARELF=normalize", "normalize", "a choice"},
    {"BARELF", "BARELF=Reject", NULL, "as it is written"},
    {"BARELF", "BARELF=", NULL, "no silent default"},
    {"DATABYTES", "DATABYTES=0", "0", "no limit"},
    {"DATABYTES", "DATABYTES=1", "1", "a number"},
    {"DATABYTES", "DATABYTES=1099511627776", "1099511627776", "2^40"},
    {"DATABYTES", "DATABYTES=1099511627777", NULL, "above 2^40"},
    {"DATABYTES", "DATABYTES=99999999999999999999", NULL, "above 2^64"},
    {"DATABYTES", "DATABYTES=10M", NULL, "no units"},
    {"DATABYTES", "DATABYTES=-1", NULL, "no sign"},
    {"DATABYTES", "DATABYTES= 1", NULL, "digits only"},
    {"DATABYTES", "DATABYTES=", NULL, "no silent default"},
    {"DATABYTES", "DATABYTES=1e6", NULL, "digits only"},
    {"TIMEOUT", "TIMEOUT=1", "1", "lowest"},
    {"TIMEOUT", "TIMEOUT=0", NULL, "no session would live"},
    {"TIMEOUT", "TIMEOUT=0.999", NULL, "below a second"},
    {"TIMEOUT", "TIMEOUT=1.5", "1.500", "fractions allowed"},
    {"TIMEOUT", "TIMEOUT=1.05", "1.050", "fractions allowed"},
    {"TIMEOUT", "TIMEOUT=1.005", "1.005", "milliseconds"},
    {"TIMEOUT", "TIMEOUT=1.0005", NULL, "finer than a millisecond"},
    {"TIMEOUT", "TIMEOUT=1.", NULL, "a digit is missing"},
    {"TIMEOUT", "TIMEOUT=.5", NULL, "a digit is missing"},
    {"TIMEOUT", "TIMEOUT=1.5.5", NULL, "one dot"},
    {"TIMEOUT", "TIMEOUT=1,5", NULL, "a dot"},
    {"TIMEOUT", "TIMEOUT=86400", "86400", "a day"},
    {"TIMEOUT", "TIMEOUT=86400.001", NULL, "more than a day"},
    {"TIMEOUT", "TIMEOUT=18446744073709551615", NULL, "would overflow"},
    {"TIMEOUT", "TIMEOUT=5m", NULL, "no units"},
    {"SESSION_TIMEOUT", "SESSION_TIMEOUT=7200", "7200", "not TIMEOUT"},
    {"MINRATE", "MINRATE=0", "0", "no limit"},
    {"MAXERRORS", "MAXERRORS=3", "3", "a number"},
    {"MAXNOOPS", "MAXNOOPS=4", "4", "a number"},
    {"MAXVRFYS", "MAXVRFYS=5", "5", "a number"},
    {"MAXRCPTS", "MAXRCPTS=6", "6", "a number"},
    {"MAXMSGS", "MAXMSGS=7", "7", "a number"},
    {"MAXHOPS", "MAXHOPS=8", "8", "a number"},
    {"UCSPITLS", "UCSPITLS=", "", "offered"},
    {"UCSPITLS", "UCSPITLS=!", "!", "demanded"},
    {"UCSPITLS", "UCSPITLS=-", "-", "never"},
    {"UCSPITLS", "UCSPITLS=1", "", "offered, as patches of qmail-smtpd have it"},
    {"UCSPITLS", "UCSPITLS=2", NULL, "no such choice"},
    {"CHECKPASSWORD", "CHECKPASSWORD=/bin/checkpassword", "/bin/checkpassword", "a path"},
    {"CHECKPASSWORD", "CHECKPASSWORD=", NULL, "set, but empty"},
    {"MAXAUTHS", "MAXAUTHS=9", "9", "a number"},
    {"AUTH_INSECURE", "AUTH_INSECURE=1", "1", "on"},
    {"AUTH_REQUIRED", "AUTH_REQUIRED=", "1", "set"},
    {"AUTH_REQUIRED", "AUTH_REQUIRED=always", NULL, "no silent default"},
};

START_TEST(setting)
{
    const char *name = settings[_i].name, *want = settings[_i].want;
    char wanted[64];

    snprintf(wanted, sizeof wanted, "%s:", name);
    int bad = load(settings[_i].input, "ME=here.example", "SPOOL=./m/");
    if (!want) {
        ck_assert_msg(bad == 1 && !strcmp(complaints, wanted), "%s: %s: %s", settings[_i].input,
                      settings[_i].why, complaints);
        return;
    }
    ck_assert_msg(!bad, "%s: %s: %s", settings[_i].input, settings[_i].why, complaints);
    struct asked a = ask(name);
    ck_assert_msg(a.times == 1 && !strcmp(a.set ? a.value : "(unset)", want), "%s: %s: %s",
                  settings[_i].input, settings[_i].why, a.value);
}
END_TEST

/* A told value can be set again and is told the same. */
START_TEST(told_again)
{
    const char *name = settings[_i].name;
    char again[8192];

    if (!settings[_i].want || load(settings[_i].input, "ME=here.example", "SPOOL=./m/"))
        return;
    struct asked a = ask(name);
    if (!a.set)
        return;
    snprintf(again, sizeof again, "%s=%s", name, a.value);
    ck_assert(!load(again, "ME=here.example", "SPOOL=./m/"));
    struct asked b = ask(name);
    ck_assert_msg(b.set && !strcmp(a.value, b.value), "%s: %s", again, b.value);
}
END_TEST

START_TEST(names)
{
    ck_assert(!load("SPOOLX=/x/", "SPOO=/y/", "SPOOL=./m/"));
    ck_assert_str_eq(c.spool, "./m/");
    ck_assert_msg(!load("SPOOL", "=SPOOL", "SPOOL=./m/"), "entries without a name or a value are not ours");
    ck_assert_str_eq(c.spool, "./m/");
    ck_assert_msg(!load("spool=/x/", "SPOOL=./m/=1", NULL), "names have a case");
    ck_assert_str_eq(c.spool, "./m/=1");
    ck_assert(!load("SPOOL=./first/", "SPOOL=./second/", NULL));
    ck_assert_msg(!strcmp(c.spool, "./first/"), "as getenv has it");
}
END_TEST

static const struct {
    const char *name, *input;
    bool want;
    const char *why;
} places[] = {
    {"none", NULL, false, "mail has to go somewhere"},
    {"SPOOL", "SPOOL=./m/", true, "a place"},
    {"MAILBOXES", "MAILBOXES=x", true, "each has its own place"},
    {"DISCARD", "DISCARD=1", true, "nowhere is a place"},
    {"DISCARD off", "DISCARD=0", false, "not set"},
    {"QMAILQUEUE", "QMAILQUEUE=/x", true, "a place"},
    {"DOMAINS", "DOMAINS=x", false, "says nothing of places"},
};

START_TEST(place)
{
    int bad = load("ME=here.example", places[_i].input, NULL);
    ck_assert_msg(!bad == places[_i].want, "%s: %s: %s", places[_i].name, places[_i].why, complaints);
    if (bad)
        ck_assert_str_eq(complaints, "SPOOL:");
}
END_TEST

START_TEST(all_complaints)
{
    ck_assert_msg(load("TIMEOUT=x", "MAXRCPTS=y", "BARELF=z") == 3, "%s", complaints);
    ck_assert_str_eq(complaints, "TIMEOUT:MAXRCPTS:BARELF:");
}
END_TEST

/* A complaint has the value, and the allowed ones. */
static const struct {
    const char *input;
    const char *value; /* NULL: not told */
    const char *want;
} said[] = {
    {"EARLYTALK=rejct", "rejct", "none of drop, reject, log, off"},
    {"UCSPITLS=maybe", "maybe", "none of -, \"\", !"},
    {"DNSBL_ACTION=", "", "none of drop, reject, tempfail, store, log"},
    {"DATABYTES=10M", "10M", "not a number from 0 to 1099511627776"},
    {"DATABYTES=99999999999999", "99999999999999", "not a number from 0 to 1099511627776"},
    {"DNSBL_THRESHOLD=0", "0", "not a number from 1 to 32000"},
    {"TIMEOUT=0", "0", "not a number of seconds from 1 to 86400, with three decimals at most"},
    {"TIMEOUT=5m", "5m", "not a number of seconds from 1 to 86400, with three decimals at most"},
    {"TIMEOUT=1.0001", "1.0001", "not a number of seconds from 1 to 86400, with three decimals at most"},
    {"VERBOSE=2", "2", "neither 1 nor 0"},
    {"ME=a b", "a b", "not a host name"},
    {"BADSENDERS=", "", "empty"},
    {"REFUSE=never 550 no", "never 550 no", "of no stage: connect, helo, mail, rcpt, data, dot"},
    {"REFUSE=data", "data", "not a stage and a reply"},
    {"REFUSE=data 250 ok", "data 250 ok", "not a 4xx or 5xx reply"},
    {"DNSBL=secret-key..zone.example", NULL, "bad zone"},
    {"DNSBL_SHOW=secret-key.zone.example", NULL, "not pairs of zone=name"},
};

START_TEST(reasons)
{
    ck_assert(load(said[_i].input, "ME=here.example", "SPOOL=./m/") == 1);
    ck_assert_msg(!strcmp(reason, said[_i].want), "%s: %s", said[_i].input, reason);
    if (said[_i].value)
        ck_assert_msg(bad_value && !strcmp(bad_value, said[_i].value), "%s", said[_i].input);
    else
        ck_assert_msg(!bad_value, "%s: a zone may hold a key", said[_i].input);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, preset, 0, COUNT(presets));
    tcase_add_test(t, own_name);
    tcase_add_loop_test(t, setting, 0, COUNT(settings));
    tcase_add_loop_test(t, told_again, 0, COUNT(settings));
    tcase_add_test(t, names);
    tcase_add_loop_test(t, place, 0, COUNT(places));
    tcase_add_test(t, all_complaints);
    tcase_add_loop_test(t, reasons, 0, COUNT(said));
}

UNIT("config", tests)
