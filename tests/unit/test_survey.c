/* The room without a network: the sockets that <dns.h> opens are ends of socket pairs, and we hold the
 * others. */
#include "dns/survey.h"
#include "dns/verdict.h"
#include "tests/unit/packet.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <socket.h>

/* A network of our own ------------------------------------------------------------------------------- */

enum { WIRES = 256 };

static struct wire {
    int fd; /* our end */
    bool is_tcp;
    unsigned port; /* of the other */
} wires[WIRES];
static size_t wire_count;

static int open_wire(int type)
{
    int fds[2];

    ck_assert(wire_count < WIRES);
    ck_assert(!socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, fds));
    wires[wire_count++] = (struct wire){.fd = fds[1], .is_tcp = type == SOCK_STREAM};
    return fds[0];
}

int socket_udp6(void)
{
    return open_wire(SOCK_DGRAM);
}

int socket_tcp6(void)
{
    return open_wire(SOCK_STREAM);
}

int socket_bind6(int s, const char *ip, uint16 port, uint32 scope)
{
    (void)s;
    (void)ip;
    (void)scope;
    wires[wire_count - 1].port = port;
    return 0;
}

/* As Linux has it: TCP never connects at once. */
int socket_connect6(int s, const char *ip, uint16 port, uint32 scope)
{
    (void)s;
    (void)ip;
    (void)scope;
    ck_assert_int_eq(port, 53);
    errno = EINPROGRESS;
    return wires[wire_count - 1].is_tcp ? -1 : 0;
}

struct query {
    unsigned char packet[PACKET];
    size_t n, question_end;
    char name[256];
    unsigned type;
};

static void read_name(struct query *q)
{
    size_t at = 12, n = 0;

    while (q->packet[at]) {
        memcpy(q->name + n, q->packet + at + 1, q->packet[at]);
        n += q->packet[at];
        q->name[n++] = '.';
        at += 1U + q->packet[at];
    }
    q->name[n ? n - 1 : 0] = 0;
    q->type = q->packet[at + 2];
    q->question_end = at + 5;
}

/* The last question there. */
static struct query read_query(const struct wire *w)
{
    static struct query q;
    ssize_t n = recv(w->fd, q.packet, sizeof q.packet, 0);

    ck_assert_msg(n > 16, "no question");
    q.n = (size_t)n;
    if (w->is_tcp) {
        ck_assert_uint_eq((unsigned)q.packet[0] << 8 | q.packet[1], q.n - 2);
        q.n -= 2;
        memmove(q.packet, q.packet + 2, q.n);
    }
    ck_assert_msg(q.packet[2] == 1 && !q.packet[3], "recursion is desired");
    read_name(&q);
    ck_assert_uint_eq(q.n, q.question_end);
    return q;
}

/* The answer to it. */
static size_t answer(const struct query *q, const char *addresses, unsigned code, unsigned char *out)
{
    memcpy(out, q->packet, q->question_end);
    return packet_answer(out, q->question_end, addresses, code);
}

static void put(const struct wire *w, const void *bytes, size_t n)
{
    ck_assert_int_eq(send(w->fd, bytes, n, MSG_NOSIGNAL), (ssize_t)n);
}

static void put_answer(const struct wire *w, const struct query *q, const char *addresses, unsigned code)
{
    unsigned char packet[PACKET];
    put(w, packet, answer(q, addresses, code, packet));
}

static struct findings all;
static struct survey d;

/* One round of the loop, without waiting. Returns how many descriptors there were. */
static size_t turn(void)
{
    struct pollfd fds[SURVEY_FDS];
    instant until = INT64_MAX;
    size_t n = survey_prepare(&d, fds, &until);

    ck_assert(n <= SURVEY_FDS);
    ck_assert(!n || until <= d.deadline);
    poll(fds, (nfds_t)n, 0);
    survey_take(&d, fds, n);
    return n;
}

static struct dnslists set_of(const char *text)
{
    struct dnslists set;
    const char *why = dnslist_parse(slice_of(text), &set);

    ck_assert_msg(!why, "%s: %s", text, why);
    return set;
}

static struct dnslists whites, blacks;

static void begin(const char *client, const char *white, const char *black, int threshold)
{
    struct ip ip;

    setenv("DNSCACHEIP", "127.0.0.1", 1);
    whites = set_of(white);
    blacks = set_of(black);
    ck_assert(!client || ip_scan(slice_of(client), &ip));
    wire_count = 0;
    finding_gather(&all, &whites, &blacks, threshold);
    survey_begin(&d, &all, client ? &ip : NULL, deadline_now() + 100 * SECOND);
}

/* Each step: a list's letter, and + listed, - not listed, ! trouble. Behind it the verdict: ? open, c clean,
 * l listed, w welcome. The first letter of all is the verdict before any answer. test_verdict has more. */
static const struct {
    const char *name, *white, *black;
    int threshold;
    const char *steps;
    int score;
    const char *decider, *why;
} rounds[] = {
    {"no lists", "", "", 1, "c", 0, NULL, "nothing to wait for"},
    {"listed", "", "a", 1, "? a+l", 1, "a", "one hit"},
    {"not listed", "", "a", 1, "? a-c", 0, NULL, "one miss"},
    {"trouble", "", "a", 1, "? a!c", 0, NULL, "trouble is not listed"},
    {"out of order", "", "a b c", 1, "? c-? a-? b+l", 1, "b", "any order"},
    {"never enough", "", "a b", 3, "c", 0, NULL, "known before anything is asked"},
    {"negative undoes", "", "a b*-1", 1, "? a+? b+c", 0, NULL, "b did undo it"},
    {"white hit after a black one", "w", "a", 1, "? a+? w+w", 1, "w", "passes all"},
    {"white trouble", "w", "a", 1, "? w!? a+l", 1, "a", "trouble is not listed"},
    {"one zone, two filters", "", "a=127.0.0.2 a=127.0.0.3*2", 1, "? a+l", 1, "a", "one answer for both"},
    {"one zone, both match", "", "a A=127.0.0.2*2", 3, "? a+l", 3, "A", "both weights; zones have no case"},
    {"one zone, white and black", "a=127.0.0.9", "a", 1, "? a+l", 1, "a", "one answer for both"},
};

static char verdict_letter(void)
{
    static const char letters[] = {
        [VERDICT_OPEN] = '?', [VERDICT_CLEAN] = 'c', [VERDICT_LISTED] = 'l', [VERDICT_WELCOME] = 'w'};
    return letters[verdict_of(&all)];
}

struct asked {
    const struct wire *wire;
    struct query q;
};

/* Reads all questions that are there. */
static size_t read_all(struct asked *asked, size_t space)
{
    size_t n = 0;
    unsigned char peek[1];

    for (size_t i = 0; i < wire_count; i++)
        if (recv(wires[i].fd, peek, 1, MSG_PEEK) == 1) {
            ck_assert(n < space);
            asked[n].wire = &wires[i];
            asked[n++].q = read_query(&wires[i]);
        }
    return n;
}

static struct asked *find_asked(struct asked *asked, size_t n, char letter)
{
    for (size_t i = 0; i < n; i++)
        if (asked[i].q.name[strlen(asked[i].q.name) - 1] == letter)
            return &asked[i];
    ck_abort_msg("%c was not asked", letter);
    return NULL;
}

START_TEST(whole_round)
{
    static struct asked asked[FINDING_MAX];
    const char *p = rounds[_i].steps;

    begin("192.0.2.7", rounds[_i].white, rounds[_i].black, rounds[_i].threshold);
    size_t n = read_all(asked, FINDING_MAX);
    ck_assert_msg(verdict_letter() == *p, "%s: %s: %c at first", rounds[_i].name, rounds[_i].why,
                  verdict_letter());
    for (p++; *p; p += 4) {
        struct asked *one = find_asked(asked, n, p[1]);
        put_answer(one->wire, &one->q, p[2] == '+' ? "127.0.0.2" : "", p[2] == '-' ? 3 : p[2] == '!' ? 2 : 0);
        turn();
        if (p[2] == '!') { /* it is asked a second time */
            struct asked again;
            ck_assert_uint_eq(read_all(&again, 1), 1);
            ck_assert_str_eq(again.q.name, one->q.name);
            put_answer(again.wire, &again.q, "", 2);
            turn();
        }
        ck_assert_msg(verdict_letter() == p[3], "%s: %s: %c after %.3s", rounds[_i].name, rounds[_i].why,
                      verdict_letter(), p);
    }
    int decider = verdict_decider(&all);
    ck_assert_msg(verdict_score(&all) == rounds[_i].score, "%s: score %d", rounds[_i].name,
                  verdict_score(&all));
    if (rounds[_i].decider)
        ck_assert_msg(decider >= 0 && *all.finding[decider].list->zone.p == *rounds[_i].decider,
                      "%s: %s: decider %d", rounds[_i].name, rounds[_i].why, decider);
    else
        ck_assert_int_eq(decider, -1);
    survey_end(&d);
    ck_assert_uint_eq(turn(), 0);
    ck_assert_msg(verdict_letter() == p[-1], "%s: stays after the end", rounds[_i].name);
}
END_TEST

/* Questions ------------------------------------------------------------------------------------------ */

static const struct {
    const char *name, *client, *want, *why;
} names[] = {
    {"v4", "192.0.2.7", "7.2.0.192.bl.example", "RFC 5782 2.1"},
    {"v4 mapped", "::ffff:192.0.2.7", "7.2.0.192.bl.example", "IPv4 before every use"},
    {"v6", "2001:db8:1:2:3:4:567:89ab",
     "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.example",
     "RFC 5782 2.4: nibbles, still A"},
    {"private", "10.1.2.3", NULL, "never asked about"},
    {"loopback", "127.0.0.1", NULL, "never asked about"},
    {"loopback 6", "::1", NULL, "never asked about"},
    {"link-local", "fe80::1", NULL, "never asked about"},
    {"unknown", NULL, NULL, "nothing to ask"},
};

START_TEST(question)
{
    begin(names[_i].client, "", "bl.example", 1);
    if (names[_i].want) {
        struct query q = read_query(&wires[0]);
        ck_assert_msg(!strcmp(q.name, names[_i].want) && q.type == 1, "%s: %s: %s", names[_i].name,
                      names[_i].why, q.name);
        ck_assert_uint_eq(wire_count, 1);
    } else {
        ck_assert_msg(!wire_count && verdict_of(&all) == VERDICT_CLEAN && !all.n, "%s: %s", names[_i].name,
                      names[_i].why);
        ck_assert_uint_eq(turn(), 0);
    }
    survey_end(&d);
}
END_TEST

/* The longest zone is still a name with the longest address before it. */
START_TEST(question_longest)
{
    char zone[DNSLIST_ZONE + 2];

    memset(zone, 'a', sizeof zone);
    for (int i = 60; i < DNSLIST_ZONE; i += 60)
        zone[i] = '.';
    zone[DNSLIST_ZONE] = 0;
    begin("2001:db8::7", "", zone, 1);
    ck_assert_uint_eq(strlen(read_query(&wires[0]).name), IP_REVERSED + 1 + DNSLIST_ZONE);
    survey_end(&d);
    struct dnslists set;
    zone[DNSLIST_ZONE] = 'a';
    zone[DNSLIST_ZONE + 1] = 0;
    ck_assert(dnslist_parse(slice_of(zone), &set));
}
END_TEST

static int open_descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* All at once, and nothing is left behind. */
START_TEST(many)
{
    static struct asked asked[FINDING_MAX];
    char white[1024] = "", black[1024] = "";
    int before = open_descriptors();

    for (int i = 0; i < DNSLIST_MAX; i++) {
        sprintf(white + strlen(white), "w%d.x ", i);
        sprintf(black + strlen(black), "b%d.x ", i);
    }
    begin("192.0.2.7", white, black, 1);
    size_t n = read_all(asked, FINDING_MAX);
    ck_assert_uint_eq(n, FINDING_MAX);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            ck_assert_str_ne(asked[i].q.name, asked[k].q.name);
    for (size_t i = 0; i < n; i += 2)
        put_answer(asked[i].wire, &asked[i].q, "", 3);
    ck_assert_uint_eq(turn(), FINDING_MAX);
    ck_assert_uint_eq(turn(), FINDING_MAX / 2);
    survey_end(&d);
    for (size_t i = 0; i < wire_count; i++)
        close(wires[i].fd);
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

/* libowfat's questions without a seed. */
enum { UNSEEDED_ID = 0xeebc, UNSEEDED_PORT = 64715 };

START_TEST(ids_and_ports)
{
    static struct asked asked[8];

    begin("192.0.2.7", "", "a b c d e f g h", 1);
    ck_assert_uint_eq(read_all(asked, 8), 8);
    ck_assert_msg(((unsigned)asked[0].q.packet[0] << 8 | asked[0].q.packet[1]) != UNSEEDED_ID ||
                      asked[0].wire->port != UNSEEDED_PORT,
                  "not seeded");
    unsigned equal = 0;
    for (int i = 1; i < 8; i++)
        equal +=
            !memcmp(asked[i].q.packet, asked[0].q.packet, 2) || asked[i].wire->port == asked[0].wire->port;
    ck_assert_msg(equal < 3, "%u of 7 are as the first", equal);
    survey_end(&d);
}
END_TEST

/* Only the answer to our question counts, even behind others. */
static const struct {
    const char *name;
    size_t at;
    unsigned char flip;
} spoofs[] = {
    {"id, first octet", 0, 1}, {"id, second octet", 1, 0x80}, {"no question", 5, 1}, {"two questions", 5, 3},
    {"name", 13, 1},           {"name, last label", 23, 2},   {"type", 26, 16 ^ 1},  {"class", 28, 2},
};

START_TEST(spoofed)
{
    unsigned char packet[PACKET];

    begin("192.0.2.7", "", "x", 1);
    struct query q = read_query(&wires[0]);
    size_t n = answer(&q, "127.0.0.2", 0, packet);
    ck_assert_uint_eq(q.question_end, 29);
    packet[spoofs[_i].at] ^= spoofs[_i].flip;
    put(&wires[0], packet, n);
    turn();
    ck_assert_msg(verdict_of(&all) == VERDICT_OPEN, "%s", spoofs[_i].name);
    put(&wires[0], packet, 11); /* too short for a header */
    turn();
    ck_assert_msg(verdict_of(&all) == VERDICT_OPEN, "%s", spoofs[_i].name);
    ck_assert_uint_eq(wire_count, 1);
    put_answer(&wires[0], &q, "", 3);
    turn();
    ck_assert(all.finding[0].state == FINDING_MISS);
    survey_end(&d);
}
END_TEST

/* Asks over UDP, is sent to TCP, and returns the question there. */
static struct query go_to_tcp(void)
{
    unsigned char packet[PACKET];

    begin("192.0.2.7", "", "x y", 2);
    struct query q = read_query(&wires[0]);
    size_t n = answer(&q, "", 0, packet);
    packet[2] |= 2;
    put(&wires[0], packet, n);
    turn();
    ck_assert_uint_eq(wire_count, 3);
    ck_assert(wires[2].is_tcp);
    turn(); /* it is connected */
    turn(); /* and asks */
    struct query again = read_query(&wires[2]);
    ck_assert_str_eq(again.name, q.name);
    return again;
}

START_TEST(tcp)
{
    unsigned char packet[PACKET];
    struct query q = go_to_tcp();
    size_t n = answer(&q, "127.0.0.2", 0, packet + 2);

    packet[0] = (unsigned char)(n >> 8);
    packet[1] = (unsigned char)n;
    for (size_t i = 0; i < n + 2; i++) { /* octet by octet */
        ck_assert(all.finding[0].state == FINDING_ASKED);
        put(&wires[2], packet + i, 1);
        turn();
    }
    ck_assert(all.finding[0].state == FINDING_HIT && all.finding[1].state == FINDING_ASKED);
    survey_end(&d);
}
END_TEST

/* A part of an answer does not count, even where its address is there. */
START_TEST(tcp_part)
{
    unsigned char packet[PACKET];
    struct query q = go_to_tcp();
    size_t n = answer(&q, "127.0.0.2", 0, packet + 2);

    packet[0] = (unsigned char)((n + 1) >> 8);
    packet[1] = (unsigned char)(n + 1);
    put(&wires[2], packet, n + 2);
    for (int i = 0; i < 4; i++)
        turn();
    ck_assert(d.question[0].tx.packet && all.finding[0].state == FINDING_ASKED);
    d.deadline = deadline_now();
    turn();
    ck_assert(all.finding[0].state == FINDING_TIMEOUT && all.finding[1].state == FINDING_TIMEOUT);
    ck_assert(verdict_of(&all) == VERDICT_CLEAN);
    ck_assert_uint_eq(turn(), 0);
    survey_end(&d);
}
END_TEST

START_TEST(tcp_closed)
{
    go_to_tcp();
    close(wires[2].fd);
    turn();
    ck_assert(all.finding[0].state == FINDING_FAILED);
    survey_end(&d);
}
END_TEST

/* Answers that have come by the deadline are taken, the rest is given up, and none of it lasts longer. */
START_TEST(deadline)
{
    struct pollfd fds[SURVEY_FDS];
    instant until = INT64_MAX;

    begin("192.0.2.7", "", "x y", 2);
    ck_assert_uint_eq(survey_prepare(&d, fds, &until), 2);
    instant retry = until - deadline_now();
    ck_assert_msg(retry > SECOND && retry <= 3 * SECOND, "<dns.h> asks again after three seconds");
    until = 7;
    survey_prepare(&d, fds, &until);
    ck_assert_msg(until == 7, "the caller's own deadline stays");
    d.deadline = deadline_now();
    until = INT64_MAX;
    survey_prepare(&d, fds, &until);
    ck_assert(until == d.deadline);

    struct query q = read_query(&wires[0]);
    put_answer(&wires[0], &q, "127.0.0.2", 0);
    turn();
    ck_assert(all.finding[0].state == FINDING_HIT && all.finding[1].state == FINDING_TIMEOUT);
    ck_assert(all.finding[1].took >= 0 && all.finding[0].took >= 0);
    ck_assert_uint_eq(turn(), 0);
    survey_end(&d);
}
END_TEST

START_TEST(text)
{
    unsigned char packet[PACKET];
    struct slice said;

    begin("192.0.2.7", "", "x y", 1);
    struct query q = read_query(&wires[0]);
    put_answer(&wires[0], &q, "127.0.0.2", 0);
    turn();
    ck_assert(verdict_of(&all) == VERDICT_LISTED && verdict_decider(&all) == 0);
    ck_assert(survey_text(&d, &said) && !said.n);
    survey_ask_text(&d, 0);
    ck_assert(!survey_text(&d, &said));
    struct query t = read_query(&wires[2]);
    ck_assert_str_eq(t.name, q.name);
    ck_assert_uint_eq(t.type, 16);
    size_t n = packet_put_text(packet, answer(&t, "", 0, packet), "because");
    put(&wires[2], packet, n);
    ck_assert_uint_eq(turn(), 2);
    ck_assert(survey_text(&d, &said) && slice_is(said, "because"));
    survey_end(&d);
    ck_assert(survey_text(&d, &said) && slice_is(said, "because"));
}
END_TEST

START_TEST(text_in_vain)
{
    struct slice said;

    begin("192.0.2.7", "", "x", 1);
    struct query q = read_query(&wires[0]);
    put_answer(&wires[0], &q, "127.0.0.2", 0);
    turn();
    survey_ask_text(&d, 0);
    d.deadline = deadline_now();
    turn();
    ck_assert(survey_text(&d, &said) && !said.n);
    ck_assert(all.finding[0].state == FINDING_HIT);
    survey_end(&d);
}
END_TEST

/* The lists have used up all their time: a silent one keeps us to the end of it. */
START_TEST(text_after_the_deadline)
{
    unsigned char packet[PACKET];
    struct slice said;

    begin("192.0.2.7", "", "x", 1);
    struct query q = read_query(&wires[0]);
    put_answer(&wires[0], &q, "127.0.0.2", 0);
    turn();
    d.deadline = deadline_now();
    survey_ask_text(&d, 0);
    turn();
    ck_assert_msg(!survey_text(&d, &said), "it is still waited for");
    struct query t = read_query(&wires[1]);
    put(&wires[1], packet, packet_put_text(packet, answer(&t, "", 0, packet), "because"));
    turn();
    ck_assert(survey_text(&d, &said) && slice_is(said, "because"));
    survey_end(&d);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, whole_round, 0, COUNT(rounds));
    tcase_add_loop_test(t, question, 0, COUNT(names));
    tcase_add_test(t, question_longest);
    tcase_add_test(t, many);
    tcase_add_test(t, ids_and_ports);
    tcase_add_loop_test(t, spoofed, 0, COUNT(spoofs));
    tcase_add_test(t, tcp);
    tcase_add_test(t, tcp_part);
    tcase_add_test(t, tcp_closed);
    tcase_add_test(t, deadline);
    tcase_add_test(t, text);
    tcase_add_test(t, text_in_vain);
    tcase_add_test(t, text_after_the_deadline);
}

UNIT("survey", tests)
