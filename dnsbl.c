/* postern-dnsbl: asks the DNS lists about addresses, and tests the lists themselves.
 *
 * postern-dnsbl(8) is its manual. */
#include "base/about.h"
#include "base/exits.h"
#include "base/knob.h"
#include "dns/health.h"
#include "dns/survey.h"
#include "dns/verdict.h"
#include "log/complaint.h"
#include "log/log.h"
#include "table/sicklist.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern char **environ;

struct settings {
    struct dnslists white, black;
    uint64_t threshold;
    int64_t patience; /* nanoseconds for all lists together */
};

static const char *scan_lists(const struct knob *k, const char *text, void *field)
{
    (void)k;
    return dnslist_parse(slice_of(text), field);
}

static const struct kind lists = {scan_lists, NULL, NULL, NULL, true};

#define FIELD(member) offsetof(struct settings, member)

static const struct knob knobs[] = {
    KNOB_PLAIN("RWL", lists, FIELD(white)),
    KNOB_PLAIN("DNSBL", lists, FIELD(black)),
    KNOB_NUMBER("DNSBL_THRESHOLD", FIELD(threshold), 1, 1, DNSLIST_MAX *DNSLIST_WEIGHT),
    KNOB_SECONDS("DNSBL_TIMEOUT", FIELD(patience), 5, 0, 60),
};

static bool load(struct settings *s)
{
    if (knob_load(knobs, sizeof knobs / sizeof *knobs, s, environ, complaint_tell, "postern-dnsbl"))
        return false;
    if (s->white.n || s->black.n)
        return true;
    fprintf(stderr, "postern-dnsbl: neither DNSBL nor RWL names a list\n");
    return false;
}

/* Until nothing is out any more. */
static void wait_for(struct survey *survey)
{
    struct pollfd fds[SURVEY_FDS];
    instant until = INT64_MAX;
    size_t n;

    while ((n = survey_prepare(survey, fds, &until))) {
        poll(fds, (nfds_t)n, deadline_left_ms(until, deadline_now()));
        survey_take(survey, fds, n);
        until = INT64_MAX;
    }
}

/* Some list said something; else the fault is rather with the resolver than with the lists. */
static bool has_answer(const struct findings *all)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->finding[i].state != FINDING_FAILED && all->finding[i].state != FINDING_TIMEOUT)
            return true;
    return !all->n;
}

/* Addresses ------------------------------------------------------------------------------------------ */

static void print_finding(const char *client, const struct finding *f)
{
    const unsigned char *a = f->answer;
    const struct slice zone = f->list->zone, filter = f->list->filter;
    long long ms = f->took / (SECOND / 1000);

    printf("client=%s set=%s list=%.*s", client, f->is_white ? "RWL" : "DNSBL", (int)zone.n, zone.p);
    if (filter.n)
        printf(" filter=%.*s", (int)filter.n, filter.p);
    printf(" result=%s", finding_word(f->state));
    if (a[0] | a[1] | a[2] | a[3])
        printf(" answer=%d.%d.%d.%d", a[0], a[1], a[2], a[3]);
    if (!f->is_white)
        printf(" weight=%d", f->list->weight);
    printf(" took=%lld.%03lld\n", ms / 1000, ms % 1000);
}

/* Where a list decided, it is asked for its text first. */
static void print_verdict(struct survey *survey, const char *client)
{
    static const char *const words[] = {[VERDICT_OPEN] = "open",
                                        [VERDICT_CLEAN] = "clean",
                                        [VERDICT_LISTED] = "listed",
                                        [VERDICT_WELCOME] = "welcome"};
    const struct findings *all = survey->findings;
    int decider = verdict_decider(all);
    struct slice text = {"", 0};

    printf("client=%s verdict=%s", client, words[verdict_of(all)]);
    if (all->n)
        printf(" score=%d threshold=%d", verdict_score(all), all->threshold);
    else
        printf(" reason=private");
    if (decider >= 0) {
        const struct slice zone = all->finding[decider].list->zone;
        printf(" list=%.*s", (int)zone.n, zone.p);
        survey_ask_text(survey, (size_t)decider);
        wait_for(survey);
        survey_text(survey, &text);
    }
    if (text.n) {
        char quoted[4 * SURVEY_TEXT + 8];
        printf(" text=%.*s", (int)log_quote(quoted, sizeof quoted, text), quoted);
    }
    putchar('\n');
}

static int ask_about(const struct settings *s, const struct ip *ip)
{
    static struct survey survey;
    static struct findings all;
    char client[IP_FMT + 1];

    client[ip_fmt(client, ip)] = 0;
    finding_gather(&all, &s->white, &s->black, (int)s->threshold);
    survey_begin(&survey, &all, ip, deadline_after(deadline_now(), s->patience));
    wait_for(&survey);
    for (size_t i = 0; i < all.n; i++)
        print_finding(client, &all.finding[i]);
    print_verdict(&survey, client);
    survey_end(&survey);
    return !has_answer(&all) ? EXIT_TROUBLE : verdict_of(&all) == VERDICT_LISTED ? EXIT_NO : EXIT_OK;
}

static int ask_about_all(const struct settings *s, char **addresses)
{
    struct ip ip;
    int code = EXIT_OK;

    for (char **p = addresses; *p; p++)
        if (!ip_scan(slice_of(*p), &ip)) {
            fprintf(stderr, "postern-dnsbl: %s: not an address\n", *p);
            return EXIT_WRONG;
        }
    for (char **p = addresses; *p; p++) {
        ip_scan(slice_of(*p), &ip);
        int one = ask_about(s, &ip);
        if (one > code)
            code = one;
    }
    return code;
}

/* Lists ---------------------------------------------------------------------------------------------- */

static void probe(struct findings *all, struct health *health, enum health_probe number,
                  const struct settings *s)
{
    static struct survey survey;
    char name[IP_REVERSED];

    finding_gather(all, &s->white, &s->black, (int)s->threshold);
    survey_ask(&survey, all, (struct slice){name, health_name(name, number)},
               deadline_after(deadline_now(), s->patience));
    wait_for(&survey);
    survey_end(&survey);
    for (size_t i = 0; i < all->n; i++)
        health[i].said[number] = all->finding[i].state;
}

static void print_health(struct slice zone, const struct health *h)
{
    const char *fault = health_fault(h);

    printf("list=%.*s use=%s", (int)zone.n, zone.p, fault ? "no" : "yes");
    if (fault)
        printf(" reason=%s\n", fault);
    else
        printf(" ipv6=%s\n", health_has_ip6(h) ? "yes" : "no");
}

/* The lists that must not be used, as a table. */
static int write_table(struct sicklist *table, const struct findings *all, const struct health *health,
                       const char *path)
{
    if (sicklist_begin(table, path) < 0)
        return -1;
    for (size_t i = 0; i < all->n; i++) {
        const char *fault = health_fault(&health[i]);
        if (fault && all->finding[i].asked_by == i &&
            sicklist_add(table, all->finding[i].list->zone, fault) < 0)
            return -1;
    }
    return sicklist_commit(table);
}

static bool save(const struct findings *all, const struct health *health, const char *path)
{
    static struct sicklist table;

    if (write_table(&table, all, health, path) == 0)
        return true;
    fprintf(stderr, "postern-dnsbl: %s: %s\n", table.file.at, strerror(errno));
    sicklist_abandon(&table);
    return false;
}

/* `path` of the table to write, NULL: none. */
static int test_lists(struct settings *s, const char *path)
{
    static struct findings all;
    static struct health health[FINDING_MAX];
    bool all_good = true;

    health_drop_filters(&s->white);
    health_drop_filters(&s->black);
    for (int i = 0; i < HEALTH_PROBES; i++) {
        probe(&all, health, (enum health_probe)i, s);
        if (i == HEALTH_LISTED && !has_answer(&all)) {
            fprintf(stderr, "postern-dnsbl: no list answers\n");
            return EXIT_TROUBLE;
        }
    }
    for (size_t i = 0; i < all.n; i++) {
        all_good &= !health_fault(&health[i]);
        if (all.finding[i].asked_by == i)
            print_health(all.finding[i].list->zone, &health[i]);
    }
    if (path && !save(&all, health, path))
        return EXIT_TROUBLE;
    return all_good ? EXIT_OK : EXIT_NO;
}

static const char usage[] =
    "usage: postern-dnsbl address ...\n       postern-dnsbl -t\n       postern-dnsbl -c file\n";

int main(int argc, char **argv)
{
    static struct settings s;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    const char *path = NULL;
    bool test = false;
    int option, code = about_asked(argc, argv, usage);

    if (code >= 0)
        return code;
    while ((option = getopt(argc, argv, "tc:")) != -1) {
        if (option == '?')
            return about_misuse(usage);
        test = true;
        if (option == 'c')
            path = optarg;
    }
    if (test == (optind < argc))
        return about_misuse(usage);
    sigaction(SIGPIPE, &ignore, NULL);
    if (!load(&s))
        return EXIT_WRONG;
    code = test ? test_lists(&s, path) : ask_about_all(&s, argv + optind);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "postern-dnsbl: output: %s\n", strerror(errno));
        return EXIT_TROUBLE;
    }
    return code;
}
