/* The room without a network: the sockets that <dns.h> opens are ends of socket pairs, and we hold the
 * others. */
#include "dns/survey.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <socket.h>

/* A network of our own ------------------------------------------------------------------------------- */

enum { WIRES = 256, PACKET = 2048 };

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

/* What was last asked there. */
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

/* An answer with these addresses, or this code of failure. */
static size_t answer(const struct query *q, const char *addresses, unsigned code, unsigned char *out)
{
    size_t n = q->question_end, skip = 0;
    unsigned a[4];
    int got;

    memcpy(out, q->packet, n);
    memset(out + 6, 0, 6);
    out[2] = 0x81;
    out[3] = (unsigned char)(0x80 | code);
    for (; sscanf(addresses + skip, "%u.%u.%u.%u%n", a, a + 1, a + 2, a + 3, &got) == 4;
         skip += (size_t)got) {
        static const unsigned char head[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4};
        memcpy(out + n, head, sizeof head);
        n += sizeof head;
        for (int i = 0; i < 4; i++)
            out[n++] = (unsigned char)a[i];
        out[7]++;
    }
    return n;
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

static struct dnsbl d;

/* One round of the loop, which does not wait. How many descriptors there were. */
static size_t turn(void)
{
    struct pollfd fds[DNSBL_FDS];
    instant until = INT64_MAX;
    size_t n = dnsbl_prepare(&d, fds, &until);

    ck_assert(n <= DNSBL_FDS);
    ck_assert(!n || until <= d.deadline);
    poll(fds, (nfds_t)n, 0);
    dnsbl_take(&d, fds, n);
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
    dnsbl_begin(&d, &whites, &blacks, client ? &ip : NULL, threshold, deadline_now() + 100 * SECOND);
}

/* Answers -------------------------------------------------------------------------------------------- */

static const struct {
    const char *name, *list, *answers;
    unsigned code;
    enum dnsbl_state want;
    const char *answer, *why;
} judged[] = {
    {"listed", "x", "127.0.0.2", 0, DNSBL_HIT, "127.0.0.2", "any in 127/8"},
    {"far in", "x", "127.9.8.7", 0, DNSBL_HIT, "127.9.8.7", "any in 127/8"},
    {"no records", "x", "", 0, DNSBL_MISS, "0.0.0.0", "the name exists, but has no address"},
    {"no name", "x", "", 3, DNSBL_MISS, "0.0.0.0", "NXDOMAIN"},
    {"no name, with an address", "x", "127.0.0.2", 3, DNSBL_MISS, "0.0.0.0", "NXDOMAIN says it is not there"},
    {"127.0.0.1", "x", "127.0.0.1", 0, DNSBL_MISS, "127.0.0.1", "RFC 5782 2.1: never"},
    {"error code", "x", "127.255.255.254", 0, DNSBL_ERROR, "127.255.255.254",
     "asked by way of a public resolver"},
    {"lowest error code", "x", "127.255.255.0", 0, DNSBL_ERROR, "127.255.255.0", "all of them"},
    {"not yet an error code", "x", "127.255.254.255", 0, DNSBL_HIT, "127.255.254.255",
     "127.255.255.0/24 only"},
    {"dnswl's error code", "x", "127.0.0.255", 0, DNSBL_ERROR, "127.0.0.255", "over quota"},
    {"no list's answer", "x", "192.0.2.2", 0, DNSBL_ERROR, "192.0.2.2", "a parked domain lists the world"},
    {"126", "x", "126.0.0.2", 0, DNSBL_ERROR, "126.0.0.2", "not 127/8"},
    {"128", "x", "128.0.0.2", 0, DNSBL_ERROR, "128.0.0.2", "not 127/8"},
    {"filter matches", "x=127.0.0.[2..4]", "127.0.0.4", 0, DNSBL_HIT, "127.0.0.4", "in the range"},
    {"filter does not", "x=127.0.0.[2..4]", "127.0.0.5", 0, DNSBL_MISS, "127.0.0.5", "above the range"},
    {"filter, second octet", "x=127.[1..2].0.3", "127.0.0.3", 0, DNSBL_MISS, "127.0.0.3",
     "every octet is looked at"},
    {"filter, third octet", "x=127.0.[1;3].3", "127.0.2.3", 0, DNSBL_MISS, "127.0.2.3",
     "every octet is looked at"},
    {"filter around an error code", "x=127.[0..255].[0..255].[0..255]", "127.255.255.252", 0, DNSBL_ERROR,
     "127.255.255.252", "no filter makes it count"},
    {"filter around 127.0.0.1", "x=127.0.0.[1..9]", "127.0.0.1", 0, DNSBL_MISS, "127.0.0.1", "nor this"},
    {"several", "x=127.0.0.4", "127.0.0.2 127.0.0.4 127.0.0.10", 0, DNSBL_HIT, "127.0.0.4",
     "the one that matches"},
    {"several, none matches", "x=127.0.0.5", "127.0.0.2 127.0.0.4", 0, DNSBL_MISS, "127.0.0.2",
     "the first is told"},
    {"error and listing", "x", "127.255.255.254 127.0.0.2", 0, DNSBL_HIT, "127.0.0.2", "a listing is one"},
    {"127.0.0.1 and error", "x", "127.0.0.1 127.255.255.255", 0, DNSBL_ERROR, "127.255.255.255",
     "the error is told"},
};

static size_t make_answer(const char *addresses, unsigned code, unsigned char *out)
{
    struct query q = {.packet = {1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, '2', 1, 'x', 0, 0, 1, 0, 1},
                      .question_end = 21};
    return answer(&q, addresses, code, out);
}

START_TEST(judge)
{
    unsigned char packet[PACKET], address[4];
    struct dnslists set = set_of(judged[_i].list);
    char text[16];

    size_t n = make_answer(judged[_i].answers, judged[_i].code, packet);
    enum dnsbl_state state = dnsbl_judge(&set.list[0], (char *)packet, n, address);
    ck_assert_msg(state == judged[_i].want, "%s: %s: %s", judged[_i].name, judged[_i].why, dnsbl_word(state));
    sprintf(text, "%d.%d.%d.%d", address[0], address[1], address[2], address[3]);
    ck_assert_msg(!strcmp(text, judged[_i].answer), "%s: %s: %s", judged[_i].name, judged[_i].why, text);
}
END_TEST

/* Cut anywhere, it says nothing; each copy is as long as it is said to be. */
START_TEST(judge_cut)
{
    unsigned char packet[PACKET], address[4];
    struct dnslists set = set_of("x=127.0.0.4");
    size_t n = make_answer("127.0.0.2 127.0.0.4", 0, packet);

    for (size_t i = 0; i <= n; i++) {
        char *copy = malloc(i ? i : 1);
        memcpy(copy, packet, i);
        enum dnsbl_state state = dnsbl_judge(&set.list[0], copy, i, address);
        ck_assert_msg(state == (i < n ? DNSBL_FAILED : DNSBL_HIT), "%zu of %zu: %s", i, n, dnsbl_word(state));
        free(copy);
    }
}
END_TEST

/* Records that are not addresses of the internet do not count. */
START_TEST(judge_others)
{
    static const struct {
        size_t at;
        unsigned char to;
        enum dnsbl_state want;
    } changes[] = {{24, 5, DNSBL_MISS}, {26, 3, DNSBL_MISS}, {32, 3, DNSBL_FAILED}};
    struct dnslists set = set_of("x");

    for (int i = 0; i < COUNT(changes); i++) {
        unsigned char packet[PACKET], address[4];
        size_t n = make_answer("127.0.0.2", 0, packet);
        packet[changes[i].at] = changes[i].to;
        if (changes[i].at == 32)
            n--;
        ck_assert_msg(dnsbl_judge(&set.list[0], (char *)packet, n, address) == changes[i].want, "change %d",
                      i);
    }
}
END_TEST

#define TEXT10 "0123456789"
#define TEXT100 TEXT10 TEXT10 TEXT10 TEXT10 TEXT10 TEXT10 TEXT10 TEXT10 TEXT10 TEXT10

static const struct {
    const char *name;
    const char *records[3]; /* each: its strings, with \1 between them */
    const char *want, *why;
} texts[] = {
    {"one string",
     {"Listed, see https://bl.example/?ip=192.0.2.7"},
     "Listed, see https://bl.example/?ip=192.0.2.7",
     "as it is"},
    {"two strings", {"Listed, \1see below"}, "Listed, see below", "a record's strings are one text"},
    {"two records", {"first", "second"}, "first", "the first is enough"},
    {"none", {NULL}, "", "no record"},
    {"empty", {""}, "", "nothing said"},
    {"controls",
     {"a\r\n250 ok\t\033[0m\x7f\xc3\xbc"},
     "a??250 ok??[0m???",
     "nothing that could be taken for more"},
    {"long",
     {TEXT100 "\1" TEXT100 "\1"
              "x"},
     TEXT100 TEXT100,
     "capped"},
};

static size_t put_text(unsigned char *packet, size_t n, const char *text)
{
    static const unsigned char head[] = {0xc0, 12, 0, 16, 0, 1, 0, 0, 14, 16};
    memcpy(packet + n, head, sizeof head);
    n += sizeof head;
    size_t length_at = n;
    n += 2;
    for (;;) {
        size_t part = strcspn(text, "\1");
        packet[n++] = (unsigned char)part;
        memcpy(packet + n, text, part);
        n += part;
        text += part;
        if (!*text++)
            break;
    }
    packet[length_at] = (unsigned char)((n - length_at - 2) >> 8);
    packet[length_at + 1] = (unsigned char)(n - length_at - 2);
    packet[7]++;
    return n;
}

START_TEST(read_text)
{
    unsigned char packet[PACKET];
    char out[DNSBL_TEXT];
    size_t n = make_answer("", 0, packet);

    for (int i = 0; i < 3 && texts[_i].records[i]; i++)
        n = put_text(packet, n, texts[_i].records[i]);
    size_t length = dnsbl_read_text(out, (char *)packet, n);
    ck_assert_msg(length == strlen(texts[_i].want) && !memcmp(out, texts[_i].want, length), "%s: %s: %.*s",
                  texts[_i].name, texts[_i].why, (int)length, out);
}
END_TEST

/* A string that says it is longer than its record ends with the record. */
START_TEST(read_text_short)
{
    unsigned char packet[PACKET];
    char out[DNSBL_TEXT];
    size_t n = put_text(packet, make_answer("", 0, packet), "hello");

    packet[n - 6] = 200;
    char *copy = malloc(n);
    memcpy(copy, packet, n);
    ck_assert_uint_eq(dnsbl_read_text(out, copy, n), 5);
    free(copy);
    for (size_t i = 0; i < n; i++) {
        copy = malloc(i ? i : 1);
        memcpy(copy, packet, i);
        ck_assert_uint_eq(dnsbl_read_text(out, copy, i), 0);
        free(copy);
    }
}
END_TEST

/* Verdict -------------------------------------------------------------------------------------------- */

/* Each step: a list's letter, and + listed, - not listed, ! trouble. Behind it the verdict: ? open, c clean,
 * l listed, w welcome. The first letter of all is the verdict before any answer. */
static const struct {
    const char *name, *white, *black;
    int threshold;
    const char *steps;
    int score;
    const char *decider, *why;
} verdicts[] = {
    {"no lists", "", "", 1, "c", 0, NULL, "nothing to wait for"},
    {"listed", "", "a", 1, "? a+l", 1, "a", "one hit"},
    {"not listed", "", "a", 1, "? a-c", 0, NULL, "one miss"},
    {"trouble", "", "a", 1, "? a!c", 0, NULL, "trouble is not listed"},
    {"first of two", "", "a b", 1, "? a+l", 1, "a", "the other cannot change it"},
    {"second of two", "", "a b", 1, "? a-? b+l", 1, "b", "all are needed"},
    {"out of order", "", "a b c", 1, "? c-? a-? b+l", 1, "b", "any order"},
    {"two needed", "", "a b c", 2, "? a+? b-? c+l", 2, "a", "the first of equals"},
    {"two needed, early", "", "a b c", 2, "? a+? c+l", 2, "a", "b cannot change it"},
    {"clean early", "", "a b c", 2, "? a-? b-c", 0, NULL, "c alone is too light"},
    {"never enough", "", "a b", 3, "c", 0, NULL, "known before anything is asked"},
    {"heaviest decides", "", "a b*3 c*3", 6, "? a+? c+? b+l", 7, "b", "most weight, first of equals"},
    {"negative holds back", "", "a b*-1", 1, "? a+? b-l", 1, "a", "b could still undo it"},
    {"negative undoes", "", "a b*-1", 1, "? a+? b+c", 0, NULL, "b did undo it"},
    {"negative first", "", "a b*-1", 1, "? b+c", -1, NULL, "a alone is too light"},
    {"negative too light", "", "a*5 b*-2", 3, "? a+l", 5, "a", "b cannot undo it"},
    {"negative in trouble", "", "a b*-1", 1, "? a+? b!l", 1, "a", "trouble is not listed"},
    {"zero", "", "a*0 b", 1, "? b-c", 0, NULL, "a has no say"},
    {"white hit", "w", "a", 1, "? w+w", 0, "w", "passes all"},
    {"white hit after a black one", "w", "a", 1, "? a+? w+w", 1, "w", "passes all"},
    {"white miss", "w", "a", 1, "? a+? w-l", 1, "a", "all white ones are waited for"},
    {"white trouble", "w", "a", 1, "? w!? a+l", 1, "a", "trouble is not listed"},
    {"white only", "v w", "", 1, "? w-? v-c", 0, NULL, "no more to come"},
    {"white weight", "w*-3", "a", 1, "? w+w", 0, "w", "has no meaning"},
    {"one zone, two filters", "", "a=127.0.0.2 a=127.0.0.3*2", 1, "? a+l", 1, "a", "one answer for both"},
    {"one zone, both match", "", "a A=127.0.0.2*2", 3, "? a+l", 3, "A", "both weights; zones have no case"},
    {"one zone, white and black", "a=127.0.0.9", "a", 1, "? a+l", 1, "a", "one answer for both"},
};

static char verdict_letter(void)
{
    static const char letters[] = {
        [DNSBL_OPEN] = '?', [DNSBL_CLEAN] = 'c', [DNSBL_LISTED] = 'l', [DNSBL_WELCOME] = 'w'};
    return letters[dnsbl_verdict(&d)];
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

START_TEST(verdict)
{
    static struct asked asked[DNSBL_ITEMS];
    const char *p = verdicts[_i].steps;

    begin("192.0.2.7", verdicts[_i].white, verdicts[_i].black, verdicts[_i].threshold);
    size_t n = read_all(asked, DNSBL_ITEMS);
    ck_assert_msg(verdict_letter() == *p, "%s: %s: %c at first", verdicts[_i].name, verdicts[_i].why,
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
        ck_assert_msg(verdict_letter() == p[3], "%s: %s: %c after %.3s", verdicts[_i].name, verdicts[_i].why,
                      verdict_letter(), p);
    }
    int decider = dnsbl_decider(&d);
    ck_assert_msg(dnsbl_score(&d) == verdicts[_i].score, "%s: score %d", verdicts[_i].name, dnsbl_score(&d));
    if (verdicts[_i].decider)
        ck_assert_msg(decider >= 0 && *d.item[decider].list->zone.p == *verdicts[_i].decider,
                      "%s: %s: decider %d", verdicts[_i].name, verdicts[_i].why, decider);
    else
        ck_assert_int_eq(decider, -1);
    dnsbl_end(&d);
    ck_assert_uint_eq(turn(), 0);
    ck_assert_msg(verdict_letter() == p[-1], "%s: stays after the end", verdicts[_i].name);
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
        ck_assert_msg(!wire_count && dnsbl_verdict(&d) == DNSBL_CLEAN && !d.n, "%s: %s", names[_i].name,
                      names[_i].why);
        ck_assert_uint_eq(turn(), 0);
    }
    dnsbl_end(&d);
}
END_TEST

/* The longest zone with the longest name before it is a name still. */
START_TEST(question_longest)
{
    char zone[DNSLIST_ZONE + 2];

    memset(zone, 'a', sizeof zone);
    for (int i = 60; i < DNSLIST_ZONE; i += 60)
        zone[i] = '.';
    zone[DNSLIST_ZONE] = 0;
    begin("2001:db8::7", "", zone, 1);
    ck_assert_uint_eq(strlen(read_query(&wires[0]).name), IP_REVERSED + 1 + DNSLIST_ZONE);
    dnsbl_end(&d);
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
    static struct asked asked[DNSBL_ITEMS];
    char white[1024] = "", black[1024] = "";
    int before = open_descriptors();

    for (int i = 0; i < DNSLIST_MAX; i++) {
        sprintf(white + strlen(white), "w%d.x ", i);
        sprintf(black + strlen(black), "b%d.x ", i);
    }
    begin("192.0.2.7", white, black, 1);
    size_t n = read_all(asked, DNSBL_ITEMS);
    ck_assert_uint_eq(n, DNSBL_ITEMS);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            ck_assert_str_ne(asked[i].q.name, asked[k].q.name);
    for (size_t i = 0; i < n; i += 2)
        put_answer(asked[i].wire, &asked[i].q, "", 3);
    ck_assert_uint_eq(turn(), DNSBL_ITEMS);
    ck_assert_uint_eq(turn(), DNSBL_ITEMS / 2);
    dnsbl_end(&d);
    for (size_t i = 0; i < wire_count; i++)
        close(wires[i].fd);
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

/* What libowfat asks without a seed. */
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
    dnsbl_end(&d);
}
END_TEST

/* What is not the answer to our question is no answer; the right one behind it is. */
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
    ck_assert_msg(dnsbl_verdict(&d) == DNSBL_OPEN, "%s", spoofs[_i].name);
    put(&wires[0], packet, 11); /* too short for a header */
    turn();
    ck_assert_msg(dnsbl_verdict(&d) == DNSBL_OPEN, "%s", spoofs[_i].name);
    ck_assert_uint_eq(wire_count, 1);
    put_answer(&wires[0], &q, "", 3);
    turn();
    ck_assert(d.item[0].state == DNSBL_MISS);
    dnsbl_end(&d);
}
END_TEST

/* Asks over UDP, is sent to TCP, and returns what was asked there. */
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
        ck_assert(d.item[0].state == DNSBL_ASKED);
        put(&wires[2], packet + i, 1);
        turn();
    }
    ck_assert(d.item[0].state == DNSBL_HIT && d.item[1].state == DNSBL_ASKED);
    dnsbl_end(&d);
}
END_TEST

/* A part of an answer is none, even where it would do. */
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
    ck_assert(d.item[0].tx.packet && d.item[0].state == DNSBL_ASKED);
    d.deadline = deadline_now();
    turn();
    ck_assert(d.item[0].state == DNSBL_TIMEOUT && d.item[1].state == DNSBL_TIMEOUT);
    ck_assert(dnsbl_verdict(&d) == DNSBL_CLEAN);
    ck_assert_uint_eq(turn(), 0);
    dnsbl_end(&d);
}
END_TEST

START_TEST(tcp_closed)
{
    go_to_tcp();
    close(wires[2].fd);
    turn();
    ck_assert(d.item[0].state == DNSBL_FAILED);
    dnsbl_end(&d);
}
END_TEST

/* What has come by the deadline is taken, the rest is given up, and none of it lasts longer. */
START_TEST(deadline)
{
    struct pollfd fds[DNSBL_FDS];
    instant until = INT64_MAX;

    begin("192.0.2.7", "", "x y", 2);
    ck_assert_uint_eq(dnsbl_prepare(&d, fds, &until), 2);
    instant retry = until - deadline_now();
    ck_assert_msg(retry > SECOND && retry <= 3 * SECOND, "<dns.h> asks again after three seconds");
    until = 7;
    dnsbl_prepare(&d, fds, &until);
    ck_assert_msg(until == 7, "the caller's own deadline stays");
    d.deadline = deadline_now();
    until = INT64_MAX;
    dnsbl_prepare(&d, fds, &until);
    ck_assert(until == d.deadline);

    struct query q = read_query(&wires[0]);
    put_answer(&wires[0], &q, "127.0.0.2", 0);
    turn();
    ck_assert(d.item[0].state == DNSBL_HIT && d.item[1].state == DNSBL_TIMEOUT);
    ck_assert(d.item[1].took >= 0 && d.item[0].took >= 0);
    ck_assert_uint_eq(turn(), 0);
    dnsbl_end(&d);
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
    ck_assert(dnsbl_verdict(&d) == DNSBL_LISTED && dnsbl_decider(&d) == 0);
    ck_assert(dnsbl_text(&d, &said) && !said.n);
    dnsbl_ask_text(&d, 0);
    ck_assert(!dnsbl_text(&d, &said));
    struct query t = read_query(&wires[2]);
    ck_assert_str_eq(t.name, q.name);
    ck_assert_uint_eq(t.type, 16);
    size_t n = put_text(packet, answer(&t, "", 0, packet), "because");
    put(&wires[2], packet, n);
    ck_assert_uint_eq(turn(), 2);
    ck_assert(dnsbl_text(&d, &said) && slice_is(said, "because"));
    dnsbl_end(&d);
    ck_assert(dnsbl_text(&d, &said) && slice_is(said, "because"));
}
END_TEST

START_TEST(text_in_vain)
{
    struct slice said;

    begin("192.0.2.7", "", "x", 1);
    struct query q = read_query(&wires[0]);
    put_answer(&wires[0], &q, "127.0.0.2", 0);
    turn();
    dnsbl_ask_text(&d, 0);
    d.deadline = deadline_now();
    turn();
    ck_assert(dnsbl_text(&d, &said) && !said.n);
    ck_assert(d.item[0].state == DNSBL_HIT);
    dnsbl_end(&d);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, judge, 0, COUNT(judged));
    tcase_add_test(t, judge_cut);
    tcase_add_test(t, judge_others);
    tcase_add_loop_test(t, read_text, 0, COUNT(texts));
    tcase_add_test(t, read_text_short);
    tcase_add_loop_test(t, verdict, 0, COUNT(verdicts));
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
}

UNIT("survey", tests)
