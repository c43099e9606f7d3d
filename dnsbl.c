/* postern-dnsbl: asks the DNS lists about addresses, and tests the lists themselves. postern-dnsbl(8) is its
 * manual. */
#include "base/about.h"
#include "base/exits.h"
#include "base/knob.h"
#include "dns/survey.h"
#include "log/complaint.h"
#include "log/log.h"
#include "base/replace.h"
#include "table/tinycdb.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <case.h>

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
static void wait_for(struct dnsbl *d)
{
    struct pollfd fds[DNSBL_FDS];
    instant until = INT64_MAX;
    size_t n;

    while ((n = dnsbl_prepare(d, fds, &until))) {
        poll(fds, (nfds_t)n, deadline_left_ms(until, deadline_now()));
        dnsbl_take(d, fds, n);
        until = INT64_MAX;
    }
}

/* Some list said something; else the fault is rather with the resolver than with the lists. */
static bool has_answer(const struct dnsbl *d)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->item[i].state != DNSBL_FAILED && d->item[i].state != DNSBL_TIMEOUT)
            return true;
    return !d->n;
}

/* Addresses ------------------------------------------------------------------------------------------ */

static void print_item(const char *client, const struct dnsbl_item *item)
{
    const unsigned char *a = item->answer;
    const struct slice zone = item->list->zone, filter = item->list->filter;
    long long ms = item->took / (SECOND / 1000);

    printf("client=%s set=%s list=%.*s", client, item->is_white ? "RWL" : "DNSBL", (int)zone.n, zone.p);
    if (filter.n)
        printf(" filter=%.*s", (int)filter.n, filter.p);
    printf(" result=%s", dnsbl_word(item->state));
    if (a[0] | a[1] | a[2] | a[3])
        printf(" answer=%d.%d.%d.%d", a[0], a[1], a[2], a[3]);
    if (!item->is_white)
        printf(" weight=%d", item->list->weight);
    printf(" took=%lld.%03lld\n", ms / 1000, ms % 1000);
}

static void print_verdict(struct dnsbl *d, const char *client)
{
    static const char *const words[] = {[DNSBL_OPEN] = "open",
                                        [DNSBL_CLEAN] = "clean",
                                        [DNSBL_LISTED] = "listed",
                                        [DNSBL_WELCOME] = "welcome"};
    int decider = dnsbl_decider(d);
    struct slice text = {"", 0};

    printf("client=%s verdict=%s", client, words[dnsbl_verdict(d)]);
    if (d->n)
        printf(" score=%d threshold=%d", dnsbl_score(d), d->threshold);
    else
        printf(" reason=private");
    if (decider >= 0) {
        const struct slice zone = d->item[decider].list->zone;
        printf(" list=%.*s", (int)zone.n, zone.p);
        dnsbl_ask_text(d, (size_t)decider);
        wait_for(d);
        dnsbl_text(d, &text);
    }
    if (text.n) {
        char quoted[4 * DNSBL_TEXT + 8];
        printf(" text=%.*s", (int)log_quote(quoted, sizeof quoted, text), quoted);
    }
    putchar('\n');
}

static int ask_about(struct dnsbl *d, const struct settings *s, const struct ip *ip)
{
    char client[IP_FMT + 1];

    client[ip_fmt(client, ip)] = 0;
    dnsbl_begin(d, &s->white, &s->black, ip, (int)s->threshold, deadline_after(deadline_now(), s->patience));
    wait_for(d);
    for (size_t i = 0; i < d->n; i++)
        print_item(client, &d->item[i]);
    print_verdict(d, client);
    dnsbl_end(d);
    return !has_answer(d) ? EXIT_TROUBLE : dnsbl_verdict(d) == DNSBL_LISTED ? EXIT_NO : EXIT_OK;
}

static int ask_about_all(struct dnsbl *d, const struct settings *s, char **addresses)
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
        int one = ask_about(d, s, &ip);
        if (one > code)
            code = one;
    }
    return code;
}

/* Lists ---------------------------------------------------------------------------------------------- */

/* What a list must have, and must not (RFC 5782 5). */
enum { LISTED, UNLISTED, LISTED6, UNLISTED6, PROBES };

struct trial {
    struct dnslists white, black;
    enum dnsbl_state state[PROBES][DNSBL_ITEMS];
};

static void probe(struct dnsbl *d, struct trial *t, const struct settings *s, unsigned number)
{
    static const char *const addresses[] = {"127.0.0.2", "127.0.0.1"};
    char name[IP_REVERSED];
    struct ip ip;

    ip_scan(slice_of(addresses[number % 2]), &ip);
    size_t n = number < LISTED6 ? ip_reversed(name, &ip) : ip_nibbles(name, &ip);
    dnsbl_ask(d, &t->white, &t->black, (struct slice){name, n}, 1,
              deadline_after(deadline_now(), s->patience));
    wait_for(d);
    for (size_t i = 0; i < d->n; i++)
        t->state[number][i] = d->item[i].state;
    dnsbl_end(d);
}

/* Why list i must not be used; NULL: it may. */
static const char *fault_of(const struct trial *t, size_t i)
{
    if (t->state[UNLISTED][i] == DNSBL_HIT || t->state[UNLISTED6][i] == DNSBL_HIT)
        return "world";
    for (int k = LISTED; k <= UNLISTED; k++)
        if (t->state[k][i] != DNSBL_HIT && t->state[k][i] != DNSBL_MISS)
            return dnsbl_word(t->state[k][i]);
    return t->state[LISTED][i] == DNSBL_HIT ? NULL : "unlisted";
}

static void print_fault(const struct trial *t, size_t i, struct slice zone, const char *fault)
{
    printf("list=%.*s use=%s", (int)zone.n, zone.p, fault ? "no" : "yes");
    if (fault)
        printf(" reason=%s\n", fault);
    else
        printf(" ipv6=%s\n", t->state[LISTED6][i] == DNSBL_HIT ? "yes" : "no");
}

/* The lists that must not be used, as a table: the zone in lower case, and why. */
static int write_table(const struct dnsbl *d, const struct trial *t, struct replace *file)
{
    struct cdb_make cdb;
    char key[DNSLIST_ZONE];

    if (cdb_make_start(&cdb, file->fd) < 0)
        return -1;
    for (size_t i = 0; i < d->n; i++) {
        const struct slice zone = d->item[i].list->zone;
        const char *fault = fault_of(t, i);
        if (!fault || d->item[i].asked_by != i)
            continue;
        memcpy(key, zone.p, zone.n);
        case_lowerb(key, zone.n);
        if (cdb_make_add(&cdb, key, (unsigned)zone.n, fault, (unsigned)strlen(fault)) < 0)
            return -1;
    }
    if (cdb_make_add(&cdb, "", 0, "lists", 5) < 0) /* see table_is() */
        return -1;
    return cdb_make_finish(&cdb) < 0 ? -1 : replace_commit(file);
}

static bool save(const struct dnsbl *d, const struct trial *t, const char *path)
{
    struct replace file;

    if (replace_begin(&file, path, 0644) == 0 && write_table(d, t, &file) == 0)
        return true;
    fprintf(stderr, "postern-dnsbl: %s: %s\n", file.at, strerror(errno));
    replace_abandon(&file);
    return false;
}

static void drop_filters(struct dnslists *set)
{
    for (size_t i = 0; i < set->n; i++)
        set->list[i].filter.n = 0;
}

/* `path` of the table to write, NULL: none. */
static int test_lists(struct dnsbl *d, const struct settings *s, const char *path)
{
    static struct trial t;
    bool all_good = true;

    t.white = s->white;
    t.black = s->black;
    drop_filters(&t.white);
    drop_filters(&t.black);
    for (unsigned i = 0; i < PROBES; i++) {
        probe(d, &t, s, i);
        if (i == LISTED && !has_answer(d)) {
            fprintf(stderr, "postern-dnsbl: no list answers\n");
            return EXIT_TROUBLE;
        }
    }
    for (size_t i = 0; i < d->n; i++) {
        const char *fault = fault_of(&t, i);
        all_good &= !fault;
        if (d->item[i].asked_by == i)
            print_fault(&t, i, d->item[i].list->zone, fault);
    }
    if (path && !save(d, &t, path))
        return EXIT_TROUBLE;
    return all_good ? EXIT_OK : EXIT_NO;
}

static const char usage[] =
    "usage: postern-dnsbl address ...\n       postern-dnsbl -t\n       postern-dnsbl -c file\n";

int main(int argc, char **argv)
{
    static struct dnsbl d;
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
    code = test ? test_lists(&d, &s, path) : ask_about_all(&d, &s, argv + optind);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "postern-dnsbl: output: %s\n", strerror(errno));
        return EXIT_TROUBLE;
    }
    return code;
}
