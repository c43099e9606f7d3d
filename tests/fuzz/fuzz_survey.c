/* The syntax of lists; an answer by itself; or a whole round of questions whose answers come over sockets of
 * our own, and are what the input says. The first octet says which. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <socket.h>

#include "dns/survey.h"

/* Sockets: <dns.h> holds one end, we the other ------------------------------------------------------- */

enum { WIRES = 512, LISTS = 6 };

static struct wire {
    int fd;
    bool is_tcp;
} wires[WIRES];
static size_t wire_count;

static int open_wire(int type)
{
    int fds[2];

    if (wire_count == WIRES)
        return -1;
    MUST(!socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, fds));
    wires[wire_count++] = (struct wire){fds[1], type == SOCK_STREAM};
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
    (void)s, (void)ip, (void)port, (void)scope;
    return 0;
}

/* As Linux has it: TCP never connects at once. Where it does, <dns.h> goes on with a position it has not set.
 */
int socket_connect6(int s, const char *ip, uint16 port, uint32 scope)
{
    (void)s, (void)ip, (void)port, (void)scope;
    errno = EINPROGRESS;
    return wires[wire_count - 1].is_tcp ? -1 : 0;
}

/* Lists ---------------------------------------------------------------------------------------------- */

static bool is_within(struct slice part, struct slice whole)
{
    return !part.n || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

/* What was understood, written down again, means the same. */
static void check_again(const struct dnslist *list)
{
    char text[8192];
    struct dnslists set;
    int n = snprintf(text, sizeof text, "%.*s%s%.*s*%d", (int)list->zone.n, list->zone.p,
                     list->filter.n ? "=" : "", (int)list->filter.n, list->filter.n ? list->filter.p : "",
                     list->weight);

    MUST(n > 0 && (size_t)n < sizeof text);
    MUST(!dnslist_parse((struct slice){text, (size_t)n}, &set) && set.n == 1);
    MUST(is_same(set.list[0].zone, list->zone) && set.list[0].weight == list->weight);
    MUST(set.list[0].filter.n == list->filter.n);
}

static void check_lists(struct slice text)
{
    static struct dnslists set;

    if (dnslist_parse(text, &set))
        return;
    MUST(set.n <= DNSLIST_MAX);
    for (size_t i = 0; i < set.n; i++) {
        const struct dnslist *list = &set.list[i];
        MUST(is_within(list->zone, text) && is_within(list->filter, text));
        MUST(list->zone.n && list->zone.n <= DNSLIST_ZONE);
        MUST(list->weight >= -DNSLIST_WEIGHT && list->weight <= DNSLIST_WEIGHT);
        check_again(list);
    }
}

/* Answers -------------------------------------------------------------------------------------------- */

static void check_hit(const unsigned char *a)
{
    MUST(a[0] == 127);
    MUST(!(a[1] == 255 && a[2] == 255));
    MUST(!(a[1] == 0 && a[2] == 0 && (a[3] == 1 || a[3] == 255)));
}

static void check_answer(struct slice packet)
{
    struct dnslists set;
    unsigned char address[4];
    char text[DNSBL_TEXT];

    MUST(!dnslist_parse(slice_of("a.x b.x=127.[0..3].[0;7..255].[1..9;255]"), &set));
    for (size_t i = 0; i < set.n; i++) {
        enum dnsbl_state state = dnsbl_judge(&set.list[i], packet.p, packet.n, address);
        MUST(state != DNSBL_ASKED && state != DNSBL_TIMEOUT);
        if (state == DNSBL_HIT)
            check_hit(address);
        MUST(state != DNSBL_HIT || !i ||
             (address[1] <= 3 && address[3] && (address[3] <= 9 || address[3] == 255)));
    }
    size_t n = dnsbl_read_text(text, packet.p, packet.n);
    MUST(n <= DNSBL_TEXT);
    for (size_t i = 0; i < n; i++)
        MUST(text[i] >= ' ' && text[i] <= '~');
}

/* A round -------------------------------------------------------------------------------------------- */

static struct dnsbl d;

static size_t turn(void)
{
    struct pollfd fds[DNSBL_FDS];
    instant until = INT64_MAX;
    size_t n = dnsbl_prepare(&d, fds, &until);

    MUST(n <= LISTS + 1 && (!n || until <= d.deadline));
    poll(fds, (nfds_t)n, 0);
    dnsbl_take(&d, fds, n);
    return n;
}

/* Sends the input's octets to one of the sockets: as they are; or the first four as what the header says, the
 * rest as what stands behind the id and the question, which are as they must be. */
static void answer(const struct wire *w, bool fits, struct slice in)
{
    char packet[1024];
    size_t before = w->is_tcp ? 2 : 0, n = 2; /* the length comes first, and is sent over TCP */

    if (fits && in.n >= 4) {
        ssize_t asked = recv(w->fd, packet + 2 - before, 512, MSG_PEEK);
        n = asked > 0 ? (size_t)asked + 2 - before : 2;
        if (n >= 14) {
            memcpy(packet + 4, in.p, 2);
            memcpy(packet + 8, in.p + 2, 2);
            in = slice_after(in, 4);
        }
    }
    memcpy(packet + n, in.p, in.n);
    n += in.n;
    packet[0] = (char)((n - 2) >> 8);
    packet[1] = (char)(n - 2);
    send(w->fd, packet + 2 - before, n - 2 + before, MSG_NOSIGNAL);
}

static void check_state(enum dnsbl_verdict *verdict)
{
    enum dnsbl_verdict now = dnsbl_verdict(&d);

    MUST(*verdict == DNSBL_OPEN || now == *verdict);
    *verdict = now;
    for (size_t i = 0; i < d.n; i++)
        if (d.item[i].state == DNSBL_HIT)
            check_hit(d.item[i].answer);
    int decider = dnsbl_decider(&d);
    MUST((decider >= 0) == (now == DNSBL_LISTED || now == DNSBL_WELCOME));
    MUST(decider < 0 || d.item[decider].state == DNSBL_HIT);
}

static void check_round(const uint8_t *data, size_t size)
{
    static struct dnslists white, black;
    static const struct ip client = {{[10] = 0xff, 0xff, 192, 0, 2, 7}};
    enum dnsbl_verdict verdict = DNSBL_OPEN;
    struct slice text;

    setenv("DNSCACHEIP", "127.0.0.1.127.0.0.2", 1);
    MUST(!dnslist_parse(slice_of("w.x"), &white));
    MUST(!dnslist_parse(slice_of("a.x*2 b.x=127.0.0.[2..9]*-1 c.x A.x=127.0.0.3 w.x=127.0.0.4"), &black));
    wire_count = 0;
    dnsbl_begin(&d, &white, &black, &client, 2, deadline_now() + 1000 * SECOND);
    check_state(&verdict);
    for (int round = 0; round < 64 && size >= 3; round++) {
        unsigned how = data[0];
        size_t n = data[2] < size - 3 ? data[2] : size - 3;
        answer(&wires[data[1] % wire_count], how & 1, (struct slice){(const char *)data + 3, n});
        data += 3 + n;
        size -= 3 + n;
        if ((how & 0xf0) == 0x70)
            d.deadline = deadline_now();
        turn();
        check_state(&verdict);
        if ((how & 0x0e) == 0x0e && dnsbl_decider(&d) >= 0 && !d.text_tx.s1)
            dnsbl_ask_text(&d, (size_t)dnsbl_decider(&d));
        if (dnsbl_text(&d, &text))
            MUST(text.n <= DNSBL_TEXT);
    }
    d.deadline = deadline_now();
    turn();
    check_state(&verdict);
    MUST(verdict != DNSBL_OPEN && !turn());
    dnsbl_end(&d);
    for (size_t i = 0; i < wire_count; i++)
        close(wires[i].fd);
    int fd = fcntl(0, F_DUPFD, 3);
    MUST(fd < 64); /* none is left open */
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    if (data[0] % 4 >= 2) {
        check_round(data + 1, size - 1);
        return 0;
    }
    struct slice rest = copy_of(data + 1, size - 1);
    if (data[0] % 4)
        check_answer(rest);
    else
        check_lists(rest);
    drop(rest);
    return 0;
}
