#include "config.h"

#include "digits.h"
#include "address.h"
#include "command.h"
#include "dnslist.h"
#include "place.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <fmt.h>

enum { VALUE_FMT = 64 };

struct knob;

/* How a kind of value is read (NULL, or why not) and shown (NULL: unset). */
struct kind {
    const char *(*scan)(const struct knob *k, const char *text, void *field);
    const char *(*show)(const struct knob *k, const void *field, char *room);
};

struct knob {
    const char *name;
    const struct kind *kind;
    size_t field;             /* offset in struct config */
    const char *preset;       /* the default, as it would be written; NULL: unset */
    uint64_t low, high;       /* of numbers; of times, in seconds */
    const char *const *words; /* of choices, in the order of their enum, NULL behind them */
};

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

static const char *show_text(const struct knob *k, const void *field, char *room)
{
    (void)k;
    (void)room;
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

static const char *show_flag(const struct knob *k, const void *field, char *room)
{
    (void)k;
    (void)room;
    return *(const bool *)field ? "1" : NULL;
}

static const char *scan_number(const struct knob *k, const char *text, void *field)
{
    unsigned long long n;

    if (!command_number(slice_of(text), &n))
        return "not a number";
    if (n < k->low || n > k->high)
        return "out of range";
    *(uint64_t *)field = n;
    return NULL;
}

static const char *show_number(const struct knob *k, const void *field, char *room)
{
    (void)k;
    room[fmt_ulonglong(room, *(const uint64_t *)field)] = 0;
    return room;
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
    if (!command_number(whole, &s) || !command_number(part, &ms) || part.n > 3)
        return "not a number of seconds";
    for (size_t n = part.n; n < 3; n++)
        ms *= 10;
    if (s > k->high || (s == k->high && ms) || s * 1000 + ms < k->low * 1000)
        return "out of range";
    *(int64_t *)field = (int64_t)(s * 1000 + ms) * 1000000;
    return NULL;
}

static const char *show_seconds(const struct knob *k, const void *field, char *room)
{
    (void)k;
    unsigned long long ms = (unsigned long long)*(const int64_t *)field / 1000000;
    size_t n = fmt_ulonglong(room, ms / 1000);
    if (ms % 1000) {
        room[n++] = '.';
        n += digits_fmt(room + n, (unsigned long)(ms % 1000), 3);
    }
    room[n] = 0;
    return room;
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

static const char *show_choice(const struct knob *k, const void *field, char *room)
{
    (void)room;
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

static const char *const stages[] = {"connect", "helo", "mail", "rcpt", "data", "dot", NULL};

const char *config_stage(enum stage stage)
{
    return stages[stage];
}

static const char *const actions[] = {"drop", "reject", "tempfail", "store", "log", NULL};

const char *config_action(unsigned action)
{
    return actions[action];
}

/* A stage, a space, and a reply: "data 421 4.3.2 Try another server". */
static const char *scan_refuse(const struct knob *k, const char *text, void *field)
{
    struct config *c = (struct config *)((char *)field - k->field);
    struct slice stage = {text, strcspn(text, " ")};
    enum place_kind kind;

    if (!text[stage.n])
        return "not a stage and a reply";
    const char *reply = text + stage.n + 1;
    if (place_parse(slice_of(reply), &kind) || kind != PLACE_REPLY)
        return "not a 4xx or 5xx reply";
    for (unsigned i = 0; stages[i]; i++)
        if (slice_is(stage, stages[i])) {
            c->refuse_stage = (enum stage)i;
            *(const char **)field = reply;
            return NULL;
        }
    return "no such stage";
}

/* The stage stands before the reply, in the environment. */
static const char *show_refuse(const struct knob *k, const void *field, char *room)
{
    const struct config *c = (const struct config *)((const char *)field - k->field);
    const char *reply = *(const char *const *)field;
    (void)room;
    return reply ? reply - strlen(stages[c->refuse_stage]) - 1 : NULL;
}

static const struct kind host = {scan_host, show_text}, greeting = {scan_greeting, show_text},
                         path = {scan_path, show_text}, suffix = {scan_suffix, show_text},
                         flag = {scan_flag, show_flag}, number = {scan_number, show_number},
                         seconds = {scan_seconds, show_seconds}, choice = {scan_choice, show_choice},
                         refusal = {scan_refuse, show_refuse}, pairs = {scan_pairs, show_text},
                         lists = {scan_lists, show_text};

static const char *const barelfs[] = {"normalize", "reject", NULL}, *const earlytalks[] = {
                                                                        "drop", "reject", "log", "off", NULL};

#define FIELD(member) offsetof(struct config, member)
#define LIMIT (UINT64_C(1) << 40)

/* A new knob is one row here, one field in struct config, one paragraph in postern-smtpd(8). */
static const struct knob knobs[] = {
    {"ME", &host, FIELD(me), NULL, 0, 0, NULL},
    {"SMTPGREETING", &greeting, FIELD(greeting), "ESMTP Postern", 0, 0, NULL},
    {"DOMAINS", &path, FIELD(domains), NULL, 0, 0, NULL},
    {"MAILBOXES", &path, FIELD(mailboxes), NULL, 0, 0, NULL},
    {"BADSENDERS", &path, FIELD(badsenders), NULL, 0, 0, NULL},
    {"RELAYCLIENT", &suffix, FIELD(relayclient), NULL, 0, 0, NULL},
    {"SPOOL", &path, FIELD(spool), NULL, 0, 0, NULL},
    {"DISCARD", &flag, FIELD(discard), "0", 0, 0, NULL},
    {"QMAILQUEUE", &path, FIELD(qmailqueue), NULL, 0, 0, NULL},
    {"DATABYTES", &number, FIELD(databytes), "26214400", 0, LIMIT, NULL},
    {"TIMEOUT", &seconds, FIELD(timeout), "300", 1, 86400, NULL},
    {"SESSION_TIMEOUT", &seconds, FIELD(session_timeout), "3600", 1, 864000, NULL},
    {"MINRATE", &number, FIELD(minrate), "100", 0, LIMIT, NULL},
    {"MAXERRORS", &number, FIELD(maxerrors), "10", 0, LIMIT, NULL},
    {"MAXNOOPS", &number, FIELD(maxnoops), "30", 0, LIMIT, NULL},
    {"MAXVRFYS", &number, FIELD(maxvrfys), "10", 0, LIMIT, NULL},
    {"MAXRCPTS", &number, FIELD(maxrcpts), "100", 0, LIMIT, NULL},
    {"MAXMSGS", &number, FIELD(maxmsgs), "100", 0, LIMIT, NULL},
    {"MAXHOPS", &number, FIELD(maxhops), "100", 0, LIMIT, NULL},
    {"BARELF", &choice, FIELD(barelf), "normalize", 0, 0, barelfs},
    {"GREETDELAY", &seconds, FIELD(greetdelay), "0", 0, 3600, NULL},
    {"ERRORDELAY", &seconds, FIELD(errordelay), "0", 0, 3600, NULL},
    {"TARPITCOUNT", &number, FIELD(tarpitcount), "0", 0, LIMIT, NULL},
    {"TARPITDELAY", &seconds, FIELD(tarpitdelay), "5", 0, 3600, NULL},
    {"EARLYTALK", &choice, FIELD(earlytalk), "reject", 0, 0, earlytalks},
    {"RWL", &lists, FIELD(rwl), NULL, 0, 0, NULL},
    {"DNSBL", &lists, FIELD(dnsbl), NULL, 0, 0, NULL},
    {"DNSBL_THRESHOLD", &number, FIELD(dnsbl_threshold), "1", 1, 32000, NULL},
    {"DNSBL_TIMEOUT", &seconds, FIELD(dnsbl_timeout), "5", 0, 60, NULL},
    {"DNSBL_ACTION", &choice, FIELD(dnsbl_action), "reject", 0, 0, actions},
    {"DNSBL_SHOW", &pairs, FIELD(dnsbl_show), NULL, 0, 0, NULL},
    {"DNSBL_SICK", &path, FIELD(dnsbl_sick), NULL, 0, 0, NULL},
    {"RBLSMTPD", &suffix, FIELD(rblsmtpd), NULL, 0, 0, NULL},
    {"REFUSE", &refusal, FIELD(refuse), NULL, 0, 0, NULL},
    {"VERBOSE", &flag, FIELD(verbose), "0", 0, 0, NULL},
};

enum { KNOBS = sizeof knobs / sizeof *knobs };

/* The value of `entry` (NAME=value) if it sets `name`. */
static const char *value_of(const char *entry, const char *name)
{
    while (*name && *entry == *name)
        entry++, name++;
    return !*name && *entry == '=' ? entry + 1 : NULL;
}

/* One pass over the environment: most of it is not ours. The first of equal names counts. */
static void find_values(char *const *environment, const char *values[KNOBS])
{
    memset(values, 0, KNOBS * sizeof *values);
    for (; *environment; environment++)
        for (size_t i = 0; i < KNOBS; i++) {
            const char *value = value_of(*environment, knobs[i].name);
            if (!value)
                continue;
            if (!values[i])
                values[i] = value;
            break;
        }
}

static const char *own_host(struct config_room *room)
{
    if (gethostname(room->hostname, sizeof room->hostname) < 0)
        return "";
    room->hostname[CONFIG_HOST] = 0;
    return room->hostname;
}

int config_load(struct config *c, struct config_room *room, char *const *environment,
                config_complaint *complain, void *context)
{
    const char *values[KNOBS];
    int bad = 0;

    memset(c, 0, sizeof *c);
    c->refuse_stage = STAGE_NEVER;
    find_values(environment, values);
    for (size_t i = 0; i < KNOBS; i++) {
        const char *value = values[i] ? values[i] : knobs[i].preset;
        if (!value && knobs[i].kind == &host)
            value = own_host(room);
        if (!value)
            continue;
        const char *why = knobs[i].kind->scan(&knobs[i], value, (char *)c + knobs[i].field);
        if (why) {
            complain(context, knobs[i].name, why);
            bad++;
        }
    }
    if (!c->spool && !c->mailboxes && !c->discard && !c->qmailqueue && !bad) {
        complain(context, "SPOOL", "no place for mail is set");
        bad++;
    }
    return bad;
}

void config_each(const struct config *c, config_reader *read, void *context)
{
    char room[VALUE_FMT];

    for (size_t i = 0; i < KNOBS; i++)
        read(context, knobs[i].name, knobs[i].kind->show(&knobs[i], (const char *)c + knobs[i].field, room));
}
