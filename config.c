#include "config.h"

#include "knob.h"
#include "place.h"

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
static const char *show_refuse(const struct knob *k, const void *field, char *room)
{
    const struct config *c = (const struct config *)((const char *)field - k->field);
    const char *reply = *(const char *const *)field;
    (void)room;
    return reply ? reply - strlen(stages[c->refuse_stage]) - 1 : NULL;
}

static const struct kind refusal = {scan_refuse, show_refuse, NULL, false};

static const char *const barelfs[] = {"normalize", "reject", NULL}, *const earlytalks[] = {
                                                                        "drop", "reject", "log", "off", NULL};

static const char *const tls_uses[] = {"-", "", "!", NULL};

/* 1 is what patches of qmail-smtpd say for the empty string. */
static const char *scan_tls_use(const struct knob *k, const char *text, void *field)
{
    return knob_choice.scan(k, strcmp(text, "1") ? text : "", field);
}

static const char *show_tls_use(const struct knob *k, const void *field, char *room)
{
    return knob_choice.show(k, field, room);
}

static const struct kind tls_use = {scan_tls_use, show_tls_use};

#define FIELD(member) offsetof(struct config, member)
#define LIMIT (UINT64_C(1) << 40)

/* A new knob is one row here, one field in struct config, one paragraph in postern-smtpd(8). */
static const struct knob knobs[] = {
    {"ME", &knob_host, FIELD(me), NULL, 0, 0, NULL},
    {"SMTPGREETING", &knob_greeting, FIELD(greeting), "ESMTP Postern", 0, 0, NULL},
    {"DOMAINS", &knob_path, FIELD(domains), NULL, 0, 0, NULL},
    {"MAILBOXES", &knob_path, FIELD(mailboxes), NULL, 0, 0, NULL},
    {"BADSENDERS", &knob_path, FIELD(badsenders), NULL, 0, 0, NULL},
    {"RELAYCLIENT", &knob_suffix, FIELD(relayclient), NULL, 0, 0, NULL},
    {"SPOOL", &knob_path, FIELD(spool), NULL, 0, 0, NULL},
    {"DISCARD", &knob_flag, FIELD(discard), "0", 0, 0, NULL},
    {"QMAILQUEUE", &knob_path, FIELD(qmailqueue), NULL, 0, 0, NULL},
    {"DATABYTES", &knob_number, FIELD(databytes), "26214400", 0, LIMIT, NULL},
    {"TIMEOUT", &knob_seconds, FIELD(timeout), "300", 1, 86400, NULL},
    {"SESSION_TIMEOUT", &knob_seconds, FIELD(session_timeout), "3600", 1, 864000, NULL},
    {"MINRATE", &knob_number, FIELD(minrate), "100", 0, LIMIT, NULL},
    {"MAXERRORS", &knob_number, FIELD(maxerrors), "10", 0, LIMIT, NULL},
    {"MAXNOOPS", &knob_number, FIELD(maxnoops), "30", 0, LIMIT, NULL},
    {"MAXVRFYS", &knob_number, FIELD(maxvrfys), "10", 0, LIMIT, NULL},
    {"MAXRCPTS", &knob_number, FIELD(maxrcpts), "100", 0, LIMIT, NULL},
    {"MAXMSGS", &knob_number, FIELD(maxmsgs), "100", 0, LIMIT, NULL},
    {"MAXHOPS", &knob_number, FIELD(maxhops), "100", 0, LIMIT, NULL},
    {"BARELF", &knob_choice, FIELD(barelf), "normalize", 0, 0, barelfs},
    {"GREETDELAY", &knob_seconds, FIELD(greetdelay), "0", 0, 3600, NULL},
    {"ERRORDELAY", &knob_seconds, FIELD(errordelay), "0", 0, 3600, NULL},
    {"TARPITCOUNT", &knob_number, FIELD(tarpitcount), "0", 0, LIMIT, NULL},
    {"TARPITDELAY", &knob_seconds, FIELD(tarpitdelay), "5", 0, 3600, NULL},
    {"EARLYTALK", &knob_choice, FIELD(earlytalk), "reject", 0, 0, earlytalks},
    {"UCSPITLS", &tls_use, FIELD(ucspitls), "-", 0, 0, tls_uses},
    {"CHECKPASSWORD", &knob_path, FIELD(checkpassword), NULL, 0, 0, NULL},
    {"MAXAUTHS", &knob_number, FIELD(maxauths), "3", 0, LIMIT, NULL},
    {"AUTH_INSECURE", &knob_flag, FIELD(auth_insecure), "0", 0, 0, NULL},
    {"AUTH_REQUIRED", &knob_flag, FIELD(auth_required), "0", 0, 0, NULL},
    {"RWL", &knob_lists, FIELD(rwl), NULL, 0, 0, NULL},
    {"DNSBL", &knob_lists, FIELD(dnsbl), NULL, 0, 0, NULL},
    {"DNSBL_THRESHOLD", &knob_number, FIELD(dnsbl_threshold), "1", 1, 32000, NULL},
    {"DNSBL_TIMEOUT", &knob_seconds, FIELD(dnsbl_timeout), "5", 0, 60, NULL},
    {"DNSBL_ACTION", &knob_choice, FIELD(dnsbl_action), "reject", 0, 0, actions},
    {"DNSBL_SHOW", &knob_pairs, FIELD(dnsbl_show), NULL, 0, 0, NULL},
    {"DNSBL_SICK", &knob_path, FIELD(dnsbl_sick), NULL, 0, 0, NULL},
    {"RBLSMTPD", &knob_suffix, FIELD(rblsmtpd), NULL, 0, 0, NULL},
    {"REFUSE", &refusal, FIELD(refuse), NULL, 0, 0, NULL},
    {"VERBOSE", &knob_flag, FIELD(verbose), "0", 0, 0, NULL},
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

static void complain_of(const struct knob *k, const char *value, const char *why, config_complaint *complain,
                        void *context)
{
    char room[KNOB_WHY];

    complain(context, k->name, k->kind->private ? NULL : value,
             k->kind->wrong ? k->kind->wrong(k, room) : why);
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
        if (!value && knobs[i].kind == &knob_host)
            value = own_host(room);
        if (!value)
            continue;
        const char *why = knobs[i].kind->scan(&knobs[i], value, (char *)c + knobs[i].field);
        if (why) {
            complain_of(&knobs[i], value, why, complain, context);
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
    char room[KNOB_FMT];

    for (size_t i = 0; i < KNOBS; i++)
        read(context, knobs[i].name, knobs[i].kind->show(&knobs[i], (const char *)c + knobs[i].field, room));
}
