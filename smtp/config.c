#include "smtp/config.h"

#include "base/knob.h"
#include "table/place.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

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
    return "of no stage: connect, helo, mail, rcpt, data, dot";
}

/* The stage stands before the reply, in the environment. */
static const char *show_refuse(const struct knob *k, const void *field, char *buffer)
{
    const struct config *c = (const struct config *)((const char *)field - k->field);
    const char *reply = *(const char *const *)field;
    (void)buffer;
    return reply ? reply - strlen(stages[c->refuse_stage]) - 1 : NULL;
}

static const struct kind refusal = {scan_refuse, show_refuse, NULL, NULL, false};

static const char *const barelfs[] = {"normalize", "reject", NULL}, *const earlytalks[] = {
                                                                        "drop", "reject", "log", "off", NULL};

static const char *const tls_uses[] = {"-", "", "!", NULL};

/* 1 is what patches of qmail-smtpd say for the empty string. */
static const char *scan_tls_use(const struct knob *k, const char *text, void *field)
{
    return knob_choice.scan(k, strcmp(text, "1") ? text : "", field);
}

static const char *show_tls_use(const struct knob *k, const void *field, char *buffer)
{
    return knob_choice.show(k, field, buffer);
}

static const char *wrong_tls_use(const struct knob *k, char buffer[KNOB_WHY])
{
    return knob_choice.wrong(k, buffer);
}

static void default_tls_use(const struct knob *k, void *field)
{
    knob_choice.set_default(k, field);
}

static const struct kind tls_use = {scan_tls_use, show_tls_use, wrong_tls_use, default_tls_use, false};

#define FIELD(member) offsetof(struct config, member)
#define LIMIT (UINT64_C(1) << 40)

#define PLAIN(name, kind, member)                                                                            \
    {                                                                                                        \
        name, (kind), FIELD(member), 0, 0, 0, NULL, NULL                                                     \
    }
#define NUMBER(name, member, preset, low, high)                                                              \
    {                                                                                                        \
        name, &knob_number, FIELD(member), preset, low, high, NULL, NULL                                     \
    }
#define SECONDS(name, member, preset, low, high)                                                             \
    {                                                                                                        \
        name, &knob_seconds, FIELD(member), preset, low, high, NULL, NULL                                    \
    }
#define CHOICE(name, kind, member, preset, words)                                                            \
    {                                                                                                        \
        name, (kind), FIELD(member), preset, 0, 0, words, NULL                                               \
    }
#define GREETING(name, member, preset)                                                                       \
    {                                                                                                        \
        name, &knob_greeting, FIELD(member), 0, 0, 0, NULL, preset                                           \
    }

/* A new knob is one row here, one field in struct config, one paragraph in postern-smtpd(8). */
static const struct knob knobs[] = {
    PLAIN("ME", &knob_host, me),
    GREETING("SMTPGREETING", greeting, "ESMTP Postern"),
    PLAIN("DOMAINS", &knob_path, domains),
    PLAIN("MAILBOXES", &knob_path, mailboxes),
    PLAIN("BADSENDERS", &knob_path, badsenders),
    PLAIN("RELAYCLIENT", &knob_suffix, relayclient),
    PLAIN("SPOOL", &knob_path, spool),
    PLAIN("DISCARD", &knob_flag, discard),
    PLAIN("QMAILQUEUE", &knob_path, qmailqueue),
    NUMBER("DATABYTES", databytes, 26214400, 0, LIMIT),
    SECONDS("TIMEOUT", timeout, 300, 1, 86400),
    SECONDS("SESSION_TIMEOUT", session_timeout, 3600, 1, 864000),
    NUMBER("MINRATE", minrate, 100, 0, LIMIT),
    NUMBER("MAXERRORS", maxerrors, 10, 0, LIMIT),
    NUMBER("MAXNOOPS", maxnoops, 30, 0, LIMIT),
    NUMBER("MAXVRFYS", maxvrfys, 10, 0, LIMIT),
    NUMBER("MAXRCPTS", maxrcpts, 100, 0, LIMIT),
    NUMBER("MAXMSGS", maxmsgs, 100, 0, LIMIT),
    NUMBER("MAXHOPS", maxhops, 100, 0, LIMIT),
    CHOICE("BARELF", &knob_choice, barelf, BARELF_NORMALIZE, barelfs),
    SECONDS("GREETDELAY", greetdelay, 0, 0, 3600),
    SECONDS("ERRORDELAY", errordelay, 0, 0, 3600),
    NUMBER("TARPITCOUNT", tarpitcount, 0, 0, LIMIT),
    SECONDS("TARPITDELAY", tarpitdelay, 5, 0, 3600),
    CHOICE("EARLYTALK", &knob_choice, earlytalk, EARLYTALK_REJECT, earlytalks),
    CHOICE("UCSPITLS", &tls_use, ucspitls, TLS_NEVER, tls_uses),
    PLAIN("CHECKPASSWORD", &knob_path, checkpassword),
    NUMBER("MAXAUTHS", maxauths, 3, 0, LIMIT),
    PLAIN("AUTH_INSECURE", &knob_flag, auth_insecure),
    PLAIN("AUTH_REQUIRED", &knob_flag, auth_required),
    PLAIN("RWL", &knob_lists, rwl),
    PLAIN("DNSBL", &knob_lists, dnsbl),
    NUMBER("DNSBL_THRESHOLD", dnsbl_threshold, 1, 1, 32000),
    SECONDS("DNSBL_TIMEOUT", dnsbl_timeout, 5, 0, 60),
    CHOICE("DNSBL_ACTION", &knob_choice, dnsbl_action, DNSBL_REJECT, actions),
    PLAIN("DNSBL_SHOW", &knob_pairs, dnsbl_show),
    PLAIN("DNSBL_SICK", &knob_path, dnsbl_sick),
    PLAIN("RBLSMTPD", &knob_suffix, rblsmtpd),
    PLAIN("REFUSE", &refusal, refuse),
    PLAIN("VERBOSE", &knob_flag, verbose),
};

enum { KNOBS = sizeof knobs / sizeof *knobs };

/* The value of `entry` (NAME=value) if it sets `name`. */
static const char *value_of(const char *entry, const char *name)
{
    while (*name && *entry == *name)
        entry++, name++;
    return !*name && *entry == '=' ? entry + 1 : NULL;
}

/* Which knob an entry of the environment sets; KNOBS: none. Most of it is not ours, which the first letter
 * tells. */
static size_t find_knob(const char *entry, const char **value)
{
    for (size_t i = 0; i < KNOBS; i++)
        if (*entry == *knobs[i].name && (*value = value_of(entry, knobs[i].name)))
            return i;
    return KNOBS;
}

/* One pass over the environment. The first of equal names counts. */
static void find_values(char *const *environment, const char *values[KNOBS])
{
    const char *value;

    memset(values, 0, KNOBS * sizeof *values);
    for (; *environment; environment++) {
        size_t i = find_knob(*environment, &value);
        if (i < KNOBS && !values[i])
            values[i] = value;
    }
}

static const char *own_host(struct config_buffer *buffer)
{
    if (gethostname(buffer->hostname, sizeof buffer->hostname) < 0)
        return "";
    buffer->hostname[CONFIG_HOST] = 0;
    return buffer->hostname;
}

static void complain_of(const struct knob *k, const char *value, const char *why, config_complaint *complain,
                        void *context)
{
    char buffer[KNOB_WHY];

    complain(context, k->name, k->kind->private ? NULL : value,
             k->kind->wrong ? k->kind->wrong(k, buffer) : why);
}

int config_load(struct config *c, struct config_buffer *buffer, char *const *environment,
                config_complaint *complain, void *context)
{
    const char *values[KNOBS];
    int bad = 0;

    memset(c, 0, sizeof *c);
    c->refuse_stage = STAGE_NEVER;
    find_values(environment, values);
    for (size_t i = 0; i < KNOBS; i++) {
        const struct knob *k = &knobs[i];
        void *field = (char *)c + k->field;
        const char *value = values[i];
        if (!value && k->kind == &knob_host)
            value = own_host(buffer);
        if (!value && k->kind->set_default)
            k->kind->set_default(k, field);
        const char *why = value ? k->kind->scan(k, value, field) : NULL;
        if (why) {
            complain_of(k, value, why, complain, context);
            bad++;
        }
    }
    if (!c->spool && !c->mailboxes && !c->discard && !c->qmailqueue && !bad) {
        complain(context, "SPOOL", NULL, "no place for mail is set");
        bad++;
    }
    return bad;
}

void config_each(const struct config *c, config_reader *read, void *context)
{
    char buffer[KNOB_FMT];

    for (size_t i = 0; i < KNOBS; i++)
        read(context, knobs[i].name,
             knobs[i].kind->show(&knobs[i], (const char *)c + knobs[i].field, buffer));
}
