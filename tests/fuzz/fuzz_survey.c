/* A whole round of questions. The answers are the input's octets, over sockets of our own. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <socket.h>

#include "dns/survey.h"
#include "dns/verdict.h"

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

/* A round -------------------------------------------------------------------------------------------- */

static void check_hit(const unsigned char *a)
{
    MUST(a[0] == 127);
    MUST(!(a[1] == 255 && a[2] == 255));
    MUST(!(a[1] == 0 && a[2] == 0 && (a[3] == 1 || a[3] == 255)));
}

static struct findings all;
static struct survey d;

static size_t turn(void)
{
    struct pollfd fds[SURVEY_FDS];
    instant until = INT64_MAX;
    size_t n = survey_prepare(&d, fds, &until);

    MUST(n <= LISTS + 1 && (!n || until <= d.deadline));
    poll(fds, (nfds_t)n, 0);
    survey_take(&d, fds, n);
    return n;
}

/* Sends the input's octets to one of the sockets, as they are. Or as a packet with the right id and
 * question: then the first four are its flags and counts, and the rest is behind the question. */
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

static void check_state(enum verdict *verdict)
{
    enum verdict now = verdict_of(&all);

    MUST(*verdict == VERDICT_OPEN || now == *verdict);
    *verdict = now;
    for (size_t i = 0; i < all.n; i++)
        if (all.finding[i].state == FINDING_HIT)
            check_hit(all.finding[i].answer);
    int decider = verdict_decider(&all);
    MUST((decider >= 0) == (now == VERDICT_LISTED || now == VERDICT_WELCOME));
    MUST(decider < 0 || all.finding[decider].state == FINDING_HIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dnslists white, black;
    static const struct ip client = {{[10] = 0xff, 0xff, 192, 0, 2, 7}};
    enum verdict verdict = VERDICT_OPEN;
    struct slice text;

    setenv("DNSCACHEIP", "127.0.0.1.127.0.0.2", 1);
    MUST(!dnslist_parse(slice_of("w.x"), &white));
    MUST(!dnslist_parse(slice_of("a.x*2 b.x=127.0.0.[2..9]*-1 c.x A.x=127.0.0.3 w.x=127.0.0.4"), &black));
    wire_count = 0;
    finding_gather(&all, &white, &black, 2);
    survey_begin(&d, &all, &client, deadline_now() + 1000 * SECOND);
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
        if ((how & 0x0e) == 0x0e && verdict_decider(&all) >= 0 && !question_is_out(&d.text_question))
            survey_ask_text(&d, (size_t)verdict_decider(&all));
        if (survey_text(&d, &text))
            MUST(text.n <= SURVEY_TEXT);
    }
    d.deadline = deadline_now();
    turn();
    check_state(&verdict);
    MUST(verdict != VERDICT_OPEN && !turn());
    survey_end(&d);
    for (size_t i = 0; i < wire_count; i++)
        close(wires[i].fd);
    int fd = fcntl(0, F_DUPFD, 3);
    MUST(fd < 64); /* none is left open */
    close(fd);
    return 0;
}
