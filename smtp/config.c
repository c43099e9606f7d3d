#include "smtp/config.h"

#include "dns/dnslist.h"
#include "mail/address.h"
#include "net/host.h"
#include "table/place.h"

#include <stddef.h>
#include <string.h>

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

static struct config *config_of(const struct knob *k, void *field)
{
    return (struct config *)((char *)field - k->field);
}

/* Printable text with tabs between its words, too. */
static const char *scan_words(const char *text, void *field)
{
    for (const char *p = text; *p; p++)
        if ((*p < ' ' && *p != '\t') || *p > '~')
            return "not printable ASCII";
    *(const char **)field = text;
    return NULL;
}

/* Pairs zone=name, separated by commas or white space. */
static const char *scan_pairs(const struct knob *k, const char *text, void *field)
{
    (void)k;
    for (const char *p = text; *p; p += strspn(p, " ,\t")) {
        size_t n = strcspn(p, " ,\t"), zone = strcspn(p, "= ,\t");
        if (!zone || zone + 1 >= n || p[zone] != '=')
            return "not pairs of zone=name";
        p += n;
    }
    return scan_words(text, field);
}

static const struct kind pairs = {scan_pairs, knob_show_text, NULL, NULL, true};

static const char *scan_lists(const struct knob *k, const char *text, void *field)
{
    struct dnslists set;
    const char *why = dnslist_parse(slice_of(text), &set);

    (void)k;
    return why ? why : scan_words(text, field);
}

static const struct kind lists = {scan_lists, knob_show_text, NULL, NULL, true};

/* A stage, a space, and a reply: "data 421 4.3.2 Try another server". */
static const char *scan_refuse(const struct knob *k, const char *text, void *field)
{
    struct slice stage = {text, strcspn(text, " ")};
    enum place_kind kind;

    if (!text[stage.n])
        return "not a stage and a reply";
    const char *reply = text + stage.n + 1;
    if (place_parse(slice_of(reply), &kind) || kind != PLACE_REPLY)
        return "not a 4xx or 5xx reply";
    for (unsigned i = 0; stages[i]; i++)
        if (slice_is(stage, stages[i])) {
            config_of(k, field)->refuse_stage = (enum stage)i;
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

static const char *const barelfs[] = {"normalize", "reject", NULL};
static const char *const earlytalks[] = {"drop", "reject", "log", "off", NULL};
static const char *const tls_uses[] = {"-", "", "!", NULL};

/* 1 is what patches of qmail-smtpd say for the empty string. */
static const char *scan_tls_use(const struct knob *k, const char *text, void *field)
{
    return knob_choice.scan(k, strcmp(text, "1") ? text : "", field);
}

static const struct kind tls_use = {scan_tls_use, knob_show_choice, knob_wrong_choice, knob_preset_choice,
                                    false};

#define FIELD(member) offsetof(struct config, member)
#define LIMIT (UINT64_C(1) << 40)

enum { GREETING = 200 }; /* octets at most */

/* A new knob is one row here, one field in struct config, one paragraph in postern-smtpd(8). */
static const struct knob knobs[] = {
    KNOB_PLAIN("ME", host_kind, FIELD(me)),
    KNOB_TEXT("SMTPGREETING", knob_text, FIELD(greeting), "ESMTP Postern", 0, GREETING),
    KNOB_PLAIN("DOMAINS", knob_path, FIELD(domains)),
    KNOB_PLAIN("MAILBOXES", knob_path, FIELD(mailboxes)),
    KNOB_PLAIN("BADSENDERS", knob_path, FIELD(badsenders)),
    KNOB_TEXT("RELAYCLIENT", knob_text, FIELD(relayclient), NULL, 0, ADDRESS_DOMAIN),
    KNOB_PLAIN("SPOOL", knob_path, FIELD(spool)),
    KNOB_PLAIN("DISCARD", knob_flag, FIELD(discard)),
    KNOB_PLAIN("QMAILQUEUE", knob_path, FIELD(qmailqueue)),
    KNOB_NUMBER("DATABYTES", FIELD(databytes), 26214400, 0, LIMIT),
    KNOB_SECONDS("TIMEOUT", FIELD(timeout), 300, 1, 86400),
    KNOB_SECONDS("SESSION_TIMEOUT", FIELD(session_timeout), 3600, 1, 864000),
    KNOB_NUMBER("MINRATE", FIELD(minrate), 100, 0, LIMIT),
    KNOB_NUMBER("MAXERRORS", FIELD(maxerrors), 10, 0, LIMIT),
    KNOB_NUMBER("MAXNOOPS", FIELD(maxnoops), 30, 0, LIMIT),
    KNOB_NUMBER("MAXVRFYS", FIELD(maxvrfys), 10, 0, LIMIT),
    KNOB_NUMBER("MAXRCPTS", FIELD(maxrcpts), 100, 0, LIMIT),
    KNOB_NUMBER("MAXMSGS", FIELD(maxmsgs), 100, 0, LIMIT),
    KNOB_NUMBER("MAXHOPS", FIELD(maxhops), 100, 0, LIMIT),
    KNOB_CHOICE("BARELF", knob_choice, FIELD(barelf), BARELF_NORMALIZE, barelfs),
    KNOB_SECONDS("GREETDELAY", FIELD(greetdelay), 0, 0, 3600),
    KNOB_SECONDS("ERRORDELAY", FIELD(errordelay), 0, 0, 3600),
    KNOB_NUMBER("TARPITCOUNT", FIELD(tarpitcount), 0, 0, LIMIT),
    KNOB_SECONDS("TARPITDELAY", FIELD(tarpitdelay), 5, 0, 3600),
    KNOB_CHOICE("EARLYTALK", knob_choice, FIELD(earlytalk), EARLYTALK_REJECT, earlytalks),
    KNOB_CHOICE("UCSPITLS", tls_use, FIELD(ucspitls), TLS_NEVER, tls_uses),
    KNOB_PLAIN("CHECKPASSWORD", knob_path, FIELD(checkpassword)),
    KNOB_NUMBER("MAXAUTHS", FIELD(maxauths), 3, 0, LIMIT),
    KNOB_PLAIN("AUTH_INSECURE", knob_flag, FIELD(auth_insecure)),
    KNOB_PLAIN("AUTH_REQUIRED", knob_flag, FIELD(auth_required)),
    KNOB_PLAIN("RWL", lists, FIELD(rwl)),
    KNOB_PLAIN("DNSBL", lists, FIELD(dnsbl)),
    KNOB_NUMBER("DNSBL_THRESHOLD", FIELD(dnsbl_threshold), 1, 1, 32000),
    KNOB_SECONDS("DNSBL_TIMEOUT", FIELD(dnsbl_timeout), 5, 0, 60),
    KNOB_CHOICE("DNSBL_ACTION", knob_choice, FIELD(dnsbl_action), DNSBL_REJECT, actions),
    KNOB_PLAIN("DNSBL_SHOW", pairs, FIELD(dnsbl_show)),
    KNOB_PLAIN("DNSBL_SICK", knob_path, FIELD(dnsbl_sick)),
    KNOB_TEXT("RBLSMTPD", knob_text, FIELD(rblsmtpd), NULL, 0, ADDRESS_DOMAIN),
    KNOB_PLAIN("REFUSE", refusal, FIELD(refuse)),
    KNOB_PLAIN("VERBOSE", knob_flag, FIELD(verbose)),
};

enum { KNOBS = sizeof knobs / sizeof *knobs };

int config_load(struct config *c, char *const *environment, knob_complaint *complain, void *context)
{
    memset(c, 0, sizeof *c);
    c->refuse_stage = STAGE_NEVER;
    int bad = knob_load(knobs, KNOBS, c, environment, complain, context);
    if (!c->spool && !c->mailboxes && !c->discard && !c->qmailqueue && !bad) {
        complain(context, "SPOOL", NULL, "no place for mail is set");
        bad++;
    }
    return bad;
}

void config_each(const struct config *c, knob_reader *read, void *context)
{
    knob_each(knobs, KNOBS, c, read, context);
}
