#include "dns/survey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <case.h>

const char *dnsbl_word(enum dnsbl_state state)
{
    static const char *const words[] = {
        [DNSBL_ASKED] = "asked", [DNSBL_MISS] = "miss",     [DNSBL_HIT] = "hit",
        [DNSBL_ERROR] = "error", [DNSBL_FAILED] = "failed", [DNSBL_TIMEOUT] = "timeout",
    };
    return words[state];
}

/* Answers -------------------------------------------------------------------------------------------- */

/* Where we are in the answer section of a packet. */
struct reader {
    const char *packet;
    unsigned n, at;
    unsigned left; /* records */
    bool exists;   /* the name does */
};

static unsigned number16(const char *p)
{
    return (unsigned)(unsigned char)p[0] << 8 | (unsigned char)p[1];
}

static bool read_header(struct reader *r, const char *packet, size_t n)
{
    char head[12];

    *r = (struct reader){.packet = packet, .n = (unsigned)n};
    if (!(r->at = dns_packet_copy(packet, r->n, 0, head, sizeof head)))
        return false;
    r->exists = (head[3] & 15) == 0;
    r->left = number16(head + 6);
    if (!(r->at = dns_packet_skipname(packet, r->n, r->at)))
        return false;
    r->at += 4;
    return true;
}

/* The data of the next record of this type. 1, 0 there is none any more, -1 the packet is broken. */
static int next_record(struct reader *r, const char type[2], struct slice *data)
{
    char head[10];

    for (; r->left; r->left--) {
        if (!(r->at = dns_packet_skipname(r->packet, r->n, r->at)) ||
            !(r->at = dns_packet_copy(r->packet, r->n, r->at, head, sizeof head)))
            return -1;
        unsigned length = number16(head + 8);
        if (length > r->n - r->at)
            return -1;
        *data = (struct slice){r->packet + r->at, length};
        r->at += length;
        if (!memcmp(head, type, 2) && !memcmp(head + 2, DNS_C_IN, 2)) {
            r->left--;
            return 1;
        }
    }
    return 0;
}

enum dnsbl_state dnsbl_judge(const struct dnslist *list, const char *packet, size_t n,
                             unsigned char answer[4])
{
    enum dnsbl_state state = DNSBL_MISS;
    struct reader r;
    struct slice data;
    int found;

    memset(answer, 0, 4);
    if (!read_header(&r, packet, n))
        return DNSBL_FAILED;
    if (!r.exists)
        return DNSBL_MISS;
    for (bool first = true; (found = next_record(&r, DNS_T_A, &data)) > 0; first = false) {
        const unsigned char *a = (const unsigned char *)data.p;
        if (data.n != 4)
            return DNSBL_FAILED;
        enum dnslist_meaning meaning = dnslist_read(list, a);
        if (first || meaning == DNSLIST_LISTED || (meaning == DNSLIST_WRONG && state == DNSBL_MISS))
            memcpy(answer, a, 4);
        if (meaning == DNSLIST_LISTED)
            return DNSBL_HIT;
        if (meaning == DNSLIST_WRONG)
            state = DNSBL_ERROR;
    }
    return found < 0 ? DNSBL_FAILED : state;
}

size_t dnsbl_read_text(char out[DNSBL_TEXT], const char *packet, size_t n)
{
    struct reader r;
    struct slice data;
    size_t length = 0;

    if (!read_header(&r, packet, n) || next_record(&r, DNS_T_TXT, &data) <= 0)
        return 0;
    while (data.n) { /* strings, each with its length before it (RFC 1035 3.3.14) */
        size_t left = (unsigned char)*data.p;
        for (data = slice_after(data, 1); left && data.n; left--, data = slice_after(data, 1)) {
            if (length == DNSBL_TEXT)
                return length;
            out[length++] = *data.p < ' ' || *data.p > '~' ? '?' : *data.p;
        }
    }
    return length;
}

/* Questions ------------------------------------------------------------------------------------------ */

/* Ids and ports that cannot be guessed: without a seed libowfat's are always the same. */
static bool seed(void)
{
    static bool seeded;
    char noise[128];

    if (!seeded && getrandom(noise, sizeof noise, 0) == sizeof noise) {
        dns_random_init(noise);
        seeded = true;
    }
    return seeded;
}

/* False where it could not be sent. */
static bool ask(struct dnsbl *d, struct dns_transmit *tx, struct slice zone, const char type[2])
{
    static const char any[16];
    char text[IP_REVERSED + 1 + DNSLIST_ZONE], *name = NULL;
    size_t n = d->name_len;

    memset(tx, 0, sizeof *tx);
    memcpy(text, d->name, n);
    text[n++] = '.';
    memcpy(text + n, zone.p, zone.n);
    bool sent = dns_domain_fromdot(&name, text, n + zone.n) &&
                !dns_transmit_start(tx, d->servers, 1, name, type, any);
    dns_domain_free(&name);
    return sent;
}

/* What the question of item i, and so of all with its zone, came to: this trouble; or, where that is
 * DNSBL_ASKED, what the packet says. There may be a part of a packet when there is trouble. */
static void settle(struct dnsbl *d, size_t i, enum dnsbl_state trouble, instant now)
{
    struct dns_transmit *tx = &d->item[i].tx;

    for (size_t k = i; k < d->n; k++) {
        struct dnsbl_item *item = &d->item[k];
        if (item->asked_by != i)
            continue;
        item->state = trouble ? trouble : dnsbl_judge(item->list, tx->packet, tx->packetlen, item->answer);
        item->took = now - d->begun;
    }
    dns_transmit_free(tx);
}

static size_t find_zone(const struct dnsbl *d, struct slice zone)
{
    size_t i = 0;

    while (i < d->n &&
           (d->item[i].list->zone.n != zone.n || !case_equalb(d->item[i].list->zone.p, zone.n, zone.p)))
        i++;
    return i;
}

static void add_lists(struct dnsbl *d, const struct dnslists *set, bool is_white)
{
    for (size_t i = 0; i < set->n; i++) {
        struct dnsbl_item *item = &d->item[d->n];
        item->list = &set->list[i];
        item->is_white = is_white;
        item->state = DNSBL_ASKED;
        item->took = 0;
        memset(item->answer, 0, sizeof item->answer);
        item->asked_by = find_zone(d, item->list->zone);
        d->n++;
    }
}

static void send_all(struct dnsbl *d)
{
    bool ready = seed() && !dns_resolvconfip(d->servers);

    for (size_t i = 0; i < d->n; i++) {
        struct dnsbl_item *item = &d->item[i];
        if (item->asked_by != i)
            continue;
        memset(&item->tx, 0, sizeof item->tx);
        if (!ready || !ask(d, &item->tx, item->list->zone, DNS_T_A))
            settle(d, i, DNSBL_FAILED, d->begun);
    }
}

void dnsbl_ask(struct dnsbl *d, const struct dnslists *white, const struct dnslists *black, struct slice name,
               int threshold, instant deadline)
{
    d->n = d->text_len = 0;
    d->threshold = threshold;
    d->begun = deadline_now();
    d->deadline = deadline;
    memset(&d->text_tx, 0, sizeof d->text_tx);
    d->name_len = name.n;
    memcpy(d->name, name.p, name.n);
    add_lists(d, white, true);
    add_lists(d, black, false);
    send_all(d);
}

void dnsbl_begin(struct dnsbl *d, const struct dnslists *white, const struct dnslists *black,
                 const struct ip *client, int threshold, instant deadline)
{
    static const struct dnslists none;
    char name[IP_REVERSED];

    if (client && !ip_is_private(client))
        dnsbl_ask(d, white, black, (struct slice){name, ip_reversed(name, client)}, threshold, deadline);
    else
        dnsbl_ask(d, &none, &none, (struct slice){"", 0}, threshold, deadline);
}

/* The transmission of item i if it is out; that of the text is behind the last. */
static struct dns_transmit *is_out(struct dnsbl *d, size_t i)
{
    struct dns_transmit *tx = i < d->n ? &d->item[i].tx : &d->text_tx;
    return (i == d->n || d->item[i].asked_by == i) && tx->s1 ? tx : NULL;
}

/* <dns.h> waits by the wall clock. */
static instant of_wall(const struct taia *at, const struct taia *wall, instant now)
{
    struct taia left;

    if (taia_less(at, wall))
        return now;
    taia_sub(&left, at, wall);
    return deadline_after(now, (int64_t)left.sec.x * SECOND + (int64_t)left.nano);
}

size_t dnsbl_prepare(struct dnsbl *d, struct pollfd *fds, instant *until)
{
    struct dns_transmit *tx;
    struct taia wall, retry;
    size_t n = 0;

    taia_now(&wall);
    taia_uint(&retry, 3600);
    taia_add(&retry, &retry, &wall);
    for (size_t i = 0; i <= d->n; i++)
        if ((tx = is_out(d, i))) {
            dns_transmit_io(tx, &fds[n], &retry);
            fds[n++].revents = 0;
        }
    if (n) {
        *until = deadline_earlier(*until, d->deadline);
        *until = deadline_earlier(*until, of_wall(&retry, &wall, deadline_now()));
    }
    return n;
}

/* As dns_transmit_get, but -1 already where every server was asked, and the first of them has failed again:
 * after that <dns.h> would sit out its long second wait. */
static int step(struct dns_transmit *tx, const struct pollfd *fd, const struct taia *wall)
{
    const unsigned loop = tx->udploop, server = tx->curserver;
    const bool is_udp = tx->tcpstate == 0;
    int r = dns_transmit_get(tx, fd, wall);

    if (r == 0 && is_udp && tx->udploop == loop && tx->curserver == server &&
        (errno == EAGAIN || errno == ECONNREFUSED))
        return -1;
    return r;
}

static void settle_text(struct dnsbl *d, enum dnsbl_state trouble)
{
    if (!trouble)
        d->text_len = dnsbl_read_text(d->text, d->text_tx.packet, d->text_tx.packetlen);
    dns_transmit_free(&d->text_tx);
}

void dnsbl_take(struct dnsbl *d, const struct pollfd *fds, size_t n)
{
    struct dns_transmit *tx;
    struct taia wall;
    instant now = deadline_now();

    taia_now(&wall);
    for (size_t i = 0, k = 0; i <= d->n; i++) {
        if (!(tx = is_out(d, i)))
            continue;
        int r = k < n ? step(tx, &fds[k++], &wall) : 0;
        if (!r && now < d->deadline)
            continue;
        enum dnsbl_state trouble = r > 0 ? DNSBL_ASKED : r < 0 ? DNSBL_FAILED : DNSBL_TIMEOUT;
        if (i < d->n)
            settle(d, i, trouble, now);
        else
            settle_text(d, trouble);
    }
}

/* Verdict -------------------------------------------------------------------------------------------- */

int dnsbl_score(const struct dnsbl *d)
{
    int score = 0;

    for (size_t i = 0; i < d->n; i++)
        if (d->item[i].state == DNSBL_HIT && !d->item[i].is_white)
            score += d->item[i].list->weight;
    return score;
}

enum dnsbl_verdict dnsbl_verdict(const struct dnsbl *d)
{
    int least = dnsbl_score(d), most = least;
    bool may_be_welcome = false;

    for (size_t i = 0; i < d->n; i++) {
        const struct dnsbl_item *item = &d->item[i];
        if (item->is_white && item->state == DNSBL_HIT)
            return DNSBL_WELCOME;
        if (item->state != DNSBL_ASKED)
            continue;
        if (item->is_white)
            may_be_welcome = true;
        else
            *(item->list->weight < 0 ? &least : &most) += item->list->weight;
    }
    if (may_be_welcome)
        return DNSBL_OPEN;
    return least >= d->threshold ? DNSBL_LISTED : most < d->threshold ? DNSBL_CLEAN : DNSBL_OPEN;
}

bool dnsbl_may_be_listed(const struct dnsbl *d)
{
    int most = dnsbl_score(d);

    for (size_t i = 0; i < d->n; i++) {
        const struct dnsbl_item *item = &d->item[i];
        if (item->is_white && item->state == DNSBL_HIT)
            return false;
        if (item->state == DNSBL_ASKED && !item->is_white && item->list->weight > 0)
            most += item->list->weight;
    }
    return most >= d->threshold;
}

int dnsbl_decider(const struct dnsbl *d)
{
    const enum dnsbl_verdict verdict = dnsbl_verdict(d);
    int best = -1;

    if (verdict != DNSBL_WELCOME && verdict != DNSBL_LISTED)
        return -1;
    for (size_t i = 0; i < d->n; i++) {
        const struct dnsbl_item *item = &d->item[i];
        if (item->state != DNSBL_HIT || item->is_white != (verdict == DNSBL_WELCOME))
            continue;
        if (best < 0 || (!item->is_white && item->list->weight > d->item[best].list->weight))
            best = (int)i;
    }
    return best;
}

void dnsbl_ask_text(struct dnsbl *d, size_t which)
{
    ask(d, &d->text_tx, d->item[which].list->zone, DNS_T_TXT);
}

bool dnsbl_text(const struct dnsbl *d, struct slice *text)
{
    if (d->text_tx.s1)
        return false;
    *text = (struct slice){d->text, d->text_len};
    return true;
}

void dnsbl_end(struct dnsbl *d)
{
    for (size_t i = 0; i <= d->n; i++) {
        struct dns_transmit *tx = is_out(d, i);
        if (tx)
            dns_transmit_free(tx);
    }
}
