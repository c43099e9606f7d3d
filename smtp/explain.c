#include "smtp/explain.h"

#include "base/about.h"
#include "base/exits.h"
#include "base/spelling.h"
#include "log/complaint.h"
#include "net/host.h"
#include "net/client.h"
#include "smtp/door.h"
#include "smtp/listed.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { NAME = 64 };

static void warn(const char *name, const char *why)
{
    dprintf(2, "postern-smtpd: warning: %s: %s\n", name, why);
}

/* Variables of the other programs. */
static const char *const known[] = {"CERTFILE", "KEYFILE", "CERTDIR", "TLS_MIN",
                                    "CIPHERS",  "CCAFILE", "USERS"};

/* A variable of the environment, and the knob that its name looks like. */
struct misspelt {
    char name[NAME];
    const char *meant; /* NULL: none; the name itself: it is known */
};

static void compare(void *context, const char *name, const char *value)
{
    struct misspelt *m = context;
    (void)value;

    if (!strcmp(m->name, name) || (!m->meant && spelling_is_near(m->name, name)))
        m->meant = name;
}

static void check_name(const struct config *c, const char *variable)
{
    struct misspelt m = {.meant = NULL};
    char why[2 * NAME];
    size_t n = strcspn(variable, "=");

    if (n >= sizeof m.name)
        return;
    memcpy(m.name, variable, n);
    if (!strcmp(m.name, "USER"))
        return; /* every environment has it, and it looks like USERS */
    config_each(c, compare, &m);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        compare(&m, known[i], NULL);
    if (!m.meant || !strcmp(m.meant, m.name))
        return;
    snprintf(why, sizeof why, "no variable of ours; is %s meant?", m.meant);
    warn(m.name, why);
}

/* Settings that a session begins with, though they hardly do what was meant. A localhost that was set was
 * meant: it is for tests. */
static bool has_no_dot(const struct session *s)
{
    const char *me = s->config.me;

    return *me != '[' && !strchr(me, '.') && (host_is_own(me) || strcmp(me, "localhost") != 0);
}

static bool has_no_place(const struct config *c)
{
    return !c->spool && !c->qmailqueue && !c->discard;
}

static bool relays_nowhere(const struct session *s)
{
    return s->config.relayclient && has_no_place(&s->config);
}

static bool submits_nowhere(const struct session *s)
{
    return s->config.checkpassword && !s->config.relayclient && has_no_place(&s->config);
}

static bool queues_nowhere(const struct session *s)
{
    return s->config.qmailqueue && access(s->config.qmailqueue, X_OK) < 0;
}

static bool asks_nobody(const struct session *s)
{
    return s->config.checkpassword && access(s->config.checkpassword, X_OK) < 0;
}

static bool lets_nobody_in(const struct session *s)
{
    return s->config.auth_required && !s->config.checkpassword && !s->config.relayclient;
}

#define NOWHERE "mail for other hosts is refused with 451: neither QMAILQUEUE nor SPOOL nor DISCARD is set"
#define NO_PROGRAM "there is no such program that can be run: "

static const struct {
    const char *name;
    bool (*holds)(const struct session *s);
    const char *why;
} warnings[] = {
    {"ME", has_no_dot, "no dot in this host's name, which the banner says and other hosts may refuse"},
    {"RELAYCLIENT", relays_nowhere, NOWHERE},
    {"CHECKPASSWORD", submits_nowhere, NOWHERE},
    {"QMAILQUEUE", queues_nowhere, NO_PROGRAM "mail is refused with 451"},
    {"CHECKPASSWORD", asks_nobody, NO_PROGRAM "nobody can log in"},
    {"AUTH_REQUIRED", lets_nobody_in, "all mail is refused with 530: CHECKPASSWORD is not set"},
};

static void print_knob(void *context, const char *name, const char *value)
{
    bool *lost = context;
    int n = value ? dprintf(1, "%s=%s\n", name, value) : dprintf(1, "#%s\n", name);
    *lost |= n < 0;
}

static int complain_of_table(const char *name, const char *path, const char *why)
{
    dprintf(2, "postern-smtpd: %s: %s: %s\n", name, path, why);
    return EXIT_TROUBLE;
}

/* Reads one table and tells how many entries it has. 0, or EXIT_TROUBLE. */
static int check_table(struct session *s, const char *name, const char *kind, const char *path)
{
    struct table t;
    struct slice named;
    char word[NAME], why[2 * NAME];

    if (!path)
        return 0;
    table_init(&t, path, s->door->domains.buffer);
    int64_t n = table_check(&t);
    int is_kind = n < 0 ? -1 : table_is(&t, kind, &named);
    if (is_kind < 0)
        return complain_of_table(name, path, table_error(errno));
    if (!is_kind && !named.n)
        return complain_of_table(name, path, "a table of another program's: compile it with postern-cdb");
    if (!is_kind) {
        snprintf(why, sizeof why, "a table of %.*s, not of %s", (int)log_quote(word, sizeof word, named),
                 word, kind);
        return complain_of_table(name, path, why);
    }
    n -= named.n > 0; /* the record that names the kind */
    return dprintf(1, "# %s: %lld entries\n", name, (long long)n) < 0 ? EXIT_TROUBLE : 0;
}

static int check_tables(struct session *s)
{
    const struct config *c = &s->config;

    return check_table(s, "DOMAINS", "domains", c->domains) |
           check_table(s, "MAILBOXES", "mailboxes", c->mailboxes) |
           check_table(s, "BADSENDERS", "badsenders", c->badsenders) |
           check_table(s, "DNSBL_SICK", "lists", c->dnsbl_sick);
}

int explain_settings(struct session *s, char *const *environment)
{
    bool lost = false;

    int bad = config_load(&s->config, environment, complaint_tell, "postern-smtpd");
    for (char *const *variable = environment; *variable; variable++)
        check_name(&s->config, *variable);
    if (bad)
        return EXIT_WRONG;
    for (size_t i = 0; i < sizeof warnings / sizeof *warnings; i++)
        if (warnings[i].holds(s))
            warn(warnings[i].name, warnings[i].why);
    lost |= dprintf(1, "# postern " ABOUT_VERSION "\n") < 0;
    config_each(&s->config, print_knob, &lost);
    int r = check_tables(s);
    return lost ? EXIT_TROUBLE : r;
}

/* The door --------------------------------------------------------------------------------------------- */

enum { WHY_ACCEPT = 0, WHY_REFUSE = 1, WHY_DEFER = 2 };

static void tell(void *context, const char *check, const struct visit *v, const struct reply *refusal)
{
    (void)context;
    dprintf(1, "%-8s %-10s %s%s%s\n", config_stage(v->stage), check, v->rule ? v->rule : "-",
            refusal ? ": " : "", refusal ? refusal->text : "");
}

static int wrong(const char *what, const char *argument)
{
    dprintf(2, "postern-smtpd: %s: %s\n", argument, what);
    return EXIT_WRONG;
}

/* An address with or without brackets; `<>` or nothing is the null reverse-path. */
static bool read_path(const char *text, enum address_kind kind, struct address *a)
{
    struct slice rest;
    return !address_parse(*text ? slice_of(text) : slice_of("<>"), kind, a, &rest) && !rest.n;
}

int explain_door(struct session *s, char *const *environment, char *const arguments[4])
{
    struct address sender, recipient;
    struct visit v = {.sender = &sender, .recipient = &recipient};

    log_init(&s->log, s->log.buffer, 2);
    if (config_load(&s->config, environment, complaint_tell, "postern-smtpd"))
        return EXIT_WRONG;
    if (!client_is(s->client, slice_of(arguments[0])))
        return wrong("no IP address", arguments[0]);
    if (!read_path(arguments[2], ADDRESS_REVERSE, &sender))
        return wrong("no sender", arguments[2]);
    if (!read_path(arguments[3], ADDRESS_FORWARD, &recipient))
        return wrong("no recipient", arguments[3]);
    session_init(s, 0, 1);
    session_greet(s, slice_of(arguments[1]), true);

    door_begin(s);
    listed_begin(s);
    const struct reply *refusal = door_explain(s, &v, tell, NULL);
    if (!refusal) {
        dprintf(1, "accept\n");
        return WHY_ACCEPT;
    }
    dprintf(1, "%s: %s\n", reply_verdict(refusal), refusal->reason);
    return reply_is_error(refusal) ? WHY_REFUSE : WHY_DEFER;
}
