#include "smtp/listed.h"

#include "dns/survey.h"
#include "dns/verdict.h"
#include "net/client.h"
#include "table/sicklist.h"

#include <errno.h>

#include <case.h>
#include <fmt.h>

enum {
    LISTED_NAME = 190, /* octets of a list's name in a reply */
    LISTED_HIT = 24    /* space for one answer, its equals sign and comma */
};

static bool is_open(const struct session *s)
{
    return s->lists_asked && verdict_of(s->listed->findings) == VERDICT_OPEN;
}

/* A white list alone can change nothing for a client that no other list has. */
static bool is_undecided(const struct session *s)
{
    return is_open(s) && verdict_may_be_listed(s->listed->findings);
}

/* A list's name for clients: its zone may hold a key. DNSBL_SHOW has pairs zone=name. */
static struct slice shown_name(const struct session *s, struct slice zone)
{
    struct slice rest = s->config.dnsbl_show ? slice_of(s->config.dnsbl_show) : (struct slice){"", 0};

    while (rest.n) {
        size_t n = strcspn(rest.p, " ,\t");
        const char *equals = memchr(rest.p, '=', n);
        if (equals && (size_t)(equals - rest.p) == zone.n && case_equalb(rest.p, zone.n, zone.p))
            return (struct slice){equals + 1, n - zone.n - 1};
        rest = slice_after(rest, n + (n < rest.n));
    }
    return zone;
}

/* Leaves out the lists that postern-dnsbl -c found to be no good. */
static void leave_out_sick(struct session *s, struct dnslists *set)
{
    struct table *sick = &s->listed->sick;
    size_t kept = 0;

    for (size_t i = 0; i < set->n; i++) {
        int r = sick->path ? sicklist_find(sick, set->list[i].zone) : 0;
        if (r < 0) {
            session_log_lookup(s, sick, errno);
            sick->path = NULL; /* once is enough */
        }
        if (r <= 0)
            set->list[kept++] = set->list[i];
    }
    set->n = kept;
}

/* Where there is no text, `set` stays untouched. */
static const struct dnslists *read_set(struct session *s, const char *text, struct dnslists *set)
{
    static const struct dnslists none;

    if (!text)
        return &none;
    dnslist_parse(slice_of(text), set); /* config has seen that it is well formed */
    if (s->config.dnsbl_sick)
        leave_out_sick(s, set);
    return set;
}

void listed_begin(struct session *s)
{
    const struct config *c = &s->config;
    struct listed *l = s->listed;

    if (!(c->rwl || c->dnsbl) || c->rblsmtpd)
        return;
    table_init(&l->sick, c->dnsbl_sick, l->sick.buffer);
    const struct dnslists *white = read_set(s, c->rwl, l->white), *black = read_set(s, c->dnsbl, l->black);
    finding_gather(l->findings, white, black, (int)c->dnsbl_threshold);
    survey_begin(l->survey, l->findings, s->client->known ? &s->client->ip : NULL,
                 deadline_after(deadline_now(), c->dnsbl_timeout));
    s->lists_asked = true;
}

/* Takes answers until the verdict is known: WIRE_OTHER, or until something else ends the pause. */
static enum wire_pause take_answers(struct session *s, instant until, enum wire_watch watch)
{
    struct survey *d = s->listed->survey;
    struct pollfd fds[1 + SURVEY_FDS];

    while (is_open(s)) {
        instant next = until;
        size_t n = survey_prepare(d, fds + 1, &next);
        enum wire_pause p = wire_pause_with(&s->wire, next, watch, fds, n);
        if (p == WIRE_TALK || p == WIRE_GONE)
            return p;
        survey_take(d, fds + 1, n);
        if (p == WIRE_DUE && until <= next)
            return p;
    }
    return WIRE_OTHER;
}

enum wire_pause listed_pause(struct session *s, instant until, enum wire_watch watch)
{
    enum wire_pause p = take_answers(s, until, watch);

    if (p != WIRE_OTHER || (s->lists_asked && verdict_of(s->listed->findings) == VERDICT_WELCOME))
        return p;
    return wire_pause(&s->wire, until, watch);
}

enum wire_pause listed_listen(struct session *s)
{
    if (!is_open(s) || wire_is_ahead(&s->wire))
        return WIRE_OTHER;
    return take_answers(s, INT64_MAX, WIRE_WATCH_INPUT);
}

/* Dotted, as in 127.0.0.4. */
static size_t put_answer(char *out, const struct finding *item)
{
    size_t n = 0;

    for (size_t i = 0; i < sizeof item->answer; i++) {
        n += fmt_str(out + n, i ? "." : "");
        n += fmt_ulong(out + n, item->answer[i]);
    }
    return n;
}

static void log_item(struct session *s, const struct finding *item, int score)
{
    char answer[LISTED_HIT];

    log_event(&s->log, "dnsbl");
    log_bytes(&s->log, "list", shown_name(s, item->list->zone));
    if (item->state == FINDING_HIT || item->state == FINDING_ERROR) {
        log_bytes(&s->log, "answer", (struct slice){answer, put_answer(answer, item)});
    }
    if (item->state != FINDING_HIT) {
        log_string(&s->log, "trouble", finding_word(item->state));
    } else if (item->is_white) {
        log_string(&s->log, "kind", "white");
    } else {
        log_signed(&s->log, "weight", item->list->weight);
        log_signed(&s->log, "score", score);
    }
    log_end(&s->log);
}

/* Once, when the verdict is known. */
static void log_verdict(struct session *s)
{
    struct listed *l = s->listed;
    int score = 0, which = verdict_decider(l->findings);

    for (size_t i = 0; i < l->findings->n; i++) {
        const struct finding *item = &l->findings->finding[i];
        if (item->state == FINDING_MISS || item->state == FINDING_ASKED)
            continue;
        if (item->state == FINDING_HIT && !item->is_white)
            score += item->list->weight;
        log_item(s, item, score);
    }
    if (verdict_of(l->findings) != VERDICT_LISTED)
        return;
    log_event(&s->log, "listed");
    log_bytes(&s->log, "list", shown_name(s, l->findings->finding[which].list->zone));
    log_signed(&s->log, "score", score);
    log_number(&s->log, "threshold", s->config.dnsbl_threshold);
    log_string(&s->log, "action", config_action(s->config.dnsbl_action));
    if (s->config.dnsbl_action == DNSBL_LOG)
        log_string(&s->log, "would", "reject");
    log_end(&s->log);
}

/* Reads answers until the verdict is known, or with `text` until the text is. The client may leave
 * meanwhile: it may have sent all it wanted. */
static void await(struct session *s, bool text)
{
    struct listed *l = s->listed;
    struct pollfd fds[1 + SURVEY_FDS];
    struct slice ignored;

    s->paused = true;
    while (text ? !survey_text(l->survey, &ignored) : is_undecided(s)) {
        instant next = INT64_MAX;
        size_t n = survey_prepare(l->survey, fds + 1, &next);
        if (wire_pause_with(&s->wire, next, WIRE_WATCH_NOTHING, fds, n) == WIRE_GONE)
            return;
        survey_take(l->survey, fds + 1, n);
    }
}

/* The list's text names the zone that is not to be shown. */
static bool tells(struct slice text, struct slice zone, struct slice shown)
{
    if (shown.p == zone.p)
        return false;
    for (; text.n >= zone.n; text = slice_after(text, 1))
        if (case_equalb(text.p, zone.n, zone.p))
            return true;
    return false;
}

/* CODE Client [ADDRESS] is listed by NAME: TEXT. Never over 512 octets, whatever the list says. */
static void write_refusal(struct session *s, const char *code)
{
    struct listed *l = s->listed;
    int which = verdict_decider(l->findings);
    struct slice text = {"", 0}, name = shown_name(s, l->findings->finding[which].list->zone);
    size_t n = fmt_str(l->reply, code);

    n += fmt_str(l->reply + n, " Client ");
    n += ip_literal_fmt(l->reply + n, &s->client->ip);
    n += fmt_str(l->reply + n, " is listed by ");
    n += fmt_copybytes(l->reply + n, name.p, name.n < LISTED_NAME ? name.n : LISTED_NAME);
    survey_ask_text(l->survey, (size_t)which);
    await(s, true);
    if (survey_text(l->survey, &text) && text.n &&
        !tells(text, l->findings->finding[which].list->zone, name)) {
        n += fmt_str(l->reply + n, ": ");
        n += fmt_copybytes(l->reply + n, text.p, text.n);
    }
    l->reply_len = n;
}

/* The verdict is heard once; its consequence stays. */
static void hear(struct session *s)
{
    static const char *const codes[] = {
        [DNSBL_DROP] = "521 5.7.1", [DNSBL_REJECT] = "550 5.7.1", [DNSBL_TEMPFAIL] = "451 4.7.1",
        [DNSBL_STORE] = NULL,       [DNSBL_LOG] = NULL,
    };
    struct listed *l = s->listed;
    const char *code = codes[s->config.dnsbl_action];

    await(s, false);
    if (is_undecided(s))
        return; /* the session is over */
    l->heard = true;
    log_verdict(s);
    if (code && verdict_of(l->findings) == VERDICT_LISTED)
        write_refusal(s, code);
    survey_end(l->survey);
}

const struct reply *listed_refusal(struct session *s, enum stage stage, const char **rule)
{
    static const enum stage stages[] = {
        [DNSBL_DROP] = STAGE_CONNECT, [DNSBL_REJECT] = STAGE_RCPT, [DNSBL_TEMPFAIL] = STAGE_RCPT,
        [DNSBL_STORE] = STAGE_DATA,   [DNSBL_LOG] = STAGE_RCPT,
    };
    static const char *const rules[] = {[VERDICT_OPEN] = "not listed",
                                        [VERDICT_CLEAN] = "not listed",
                                        [VERDICT_LISTED] = "listed",
                                        [VERDICT_WELCOME] = "in RWL"};
    struct listed *l = s->listed;

    if (!s->lists_asked || stages[s->config.dnsbl_action] != stage)
        return NULL;
    if (!l->heard)
        hear(s);
    if (!l->heard)
        return deadline_now() < s->wire.limit ? &reply_shutdown : &reply_timeout;
    *rule = rules[verdict_of(l->findings)];
    memcpy(s->text, l->reply, l->reply_len);
    return l->reply_len ? session_text(s, l->reply_len, reason_listed) : NULL;
}

size_t listed_hits(const struct session *s, char *out, size_t space)
{
    const struct listed *l = s->listed;
    size_t n = 0;

    for (size_t i = 0; s->lists_asked && l->heard && i < l->findings->n; i++) {
        const struct finding *item = &l->findings->finding[i];
        struct slice name = shown_name(s, item->list->zone);
        if (item->state != FINDING_HIT || space - n < name.n + LISTED_HIT)
            continue;
        n += fmt_str(out + n, n ? ", " : "");
        n += fmt_copybytes(out + n, name.p, name.n);
        out[n++] = '=';
        n += put_answer(out + n, item);
    }
    return n;
}

void listed_close(struct session *s)
{
    if (!s->lists_asked || s->listed->heard || is_open(s))
        return;
    log_verdict(s);
    survey_end(s->listed->survey);
}
