#include "net/client.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define D63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const char *const names[] = {"TCPREMOTEIP", "TCPREMOTEPORT", "TCPREMOTEHOST",
                                    "TCPLOCALIP",  "REMOTE_ADDR",   "REMOTE_PORT"};

/* Input: values of the variables above, in that order; NULL: unset. Want: text port name local. */
static const struct {
    const char *name;
    const char *input[6];
    const char *want, *why;
} environments[] = {
    {"tcpserver",
     {"192.0.2.7", "52344", "a.example", "198.51.100.25"},
     "192.0.2.7 52344 a.example 198.51.100.25",
     "all it tells"},
    {"tcpserver -H",
     {"192.0.2.7", "52344", NULL, "198.51.100.25"},
     "192.0.2.7 52344  198.51.100.25",
     "no name"},
    {"empty name", {"192.0.2.7", "52344", "", NULL}, "192.0.2.7 52344  ", "no name"},
    {"systemd", {NULL, NULL, NULL, NULL, "192.0.2.7", "52344"}, "192.0.2.7 52344  ", "REMOTE_ADDR"},
    {"both", {"192.0.2.7", "1", NULL, NULL, "192.0.2.8", "2"}, "192.0.2.7 1  ", "tcpserver's first"},
    {"unreadable, then systemd",
     {"nonsense", "1", "a.example", "198.51.100.25", "192.0.2.8", "2"},
     "192.0.2.8 2  ",
     "name and port of the unreadable one go with it"},
    {"empty, then systemd", {"", NULL, NULL, NULL, "192.0.2.8", "2"}, "192.0.2.8 2  ", "empty is no address"},
    {"mapped", {NULL, NULL, NULL, NULL, "::ffff:192.0.2.7", "52344"}, "192.0.2.7 52344  ", "it is IPv4"},
    {"IPv6", {"2001:DB8:0::7", "1"}, "2001:db8::7 1  ", "in canonical form"},
    {"link-local", {"fe80::1%eth0", "1"}, "fe80::1 1  ", "the interface is left out"},
    {"port too long", {"192.0.2.7", "123456"}, "192.0.2.7   ", "no port"},
    {"port no number", {"192.0.2.7", "52\n44"}, "192.0.2.7   ", "no port"},
    {"bad name", {"192.0.2.7", "1", "a b\nReceived: x"}, "192.0.2.7 1  ", "it would stand in a header"},
    {"name in brackets", {"192.0.2.7", "1", "x) (y"}, "192.0.2.7 1  ", "it would stand in a comment"},
    {"long name", {"192.0.2.7", "1", D63 "." D63 "." D63 "." D63 ".a"}, "192.0.2.7 1  ", "256 octets"},
    {"nobody", {NULL}, "unknown   ", "a pipe"},
    {"port alone", {NULL, "52344", "a.example"}, "unknown   ", "of whom?"},
    {"nonsense", {"1.2.3", NULL, NULL, NULL, "1.2.3.4.5"}, "unknown   ", "not readable"},
};

static struct client c;

static const char *all(void)
{
    static char text[1024];
    snprintf(text, sizeof text, "%s %.*s %.*s %.*s", c.text, (int)c.port.n, c.port.p, (int)c.name.n, c.name.p,
             (int)c.local.n, c.local.p);
    return text;
}

static void set_environment(const char *const *values)
{
    for (int i = 0; i < COUNT(names); i++)
        if (!values || !values[i])
            unsetenv(names[i]);
        else
            setenv(names[i], values[i], 1);
}

START_TEST(environment)
{
    int fds[2];

    set_environment(environments[_i].input);
    ck_assert(!pipe(fds));
    memset(&c, 0x5a, sizeof c);
    client_find(&c, fds[0]);
    ck_assert_msg(!strcmp(all(), environments[_i].want), "%s: %s: %s", environments[_i].name,
                  environments[_i].why, all());
    ck_assert(c.known == !!strncmp(c.text, "unknown", 7));
}
END_TEST

/* A connected pair of loopback sockets. */
static void make_pair(int pair[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int server = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert(!bind(server, (struct sockaddr *)&a, n) && !listen(server, 1));
    ck_assert(!getsockname(server, (struct sockaddr *)&a, &n));
    pair[1] = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert(!connect(pair[1], (struct sockaddr *)&a, n));
    pair[0] = accept(server, NULL, NULL);
    ck_assert(pair[0] >= 0);
    close(server);
}

START_TEST(peer)
{
    struct sockaddr_in a;
    socklen_t n = sizeof a;
    char want[64];
    int pair[2];

    make_pair(pair);
    ck_assert(!getsockname(pair[1], (struct sockaddr *)&a, &n));
    snprintf(want, sizeof want, "127.0.0.1 %u  ", ntohs(a.sin_port));
    set_environment(NULL);
    client_find(&c, pair[0]);
    ck_assert_str_eq(all(), want);
    ck_assert(c.known && ip_is4(&c.ip));
}
END_TEST

START_TEST(peer_not_asked)
{
    static const char *const said[] = {"192.0.2.7", "1", NULL, NULL, NULL, NULL};
    int pair[2];

    make_pair(pair);
    set_environment(said);
    client_find(&c, pair[0]);
    ck_assert_msg(!strcmp(all(), "192.0.2.7 1  "), "a proxy in front may know better: %s", all());
}
END_TEST

/* As it stands there: the caller only passes it on. */
static const struct {
    const char *input[6], *address, *port;
} told[] = {
    {{"192.0.2.7", "1", NULL, NULL, "192.0.2.8", "2"}, "192.0.2.7", "1"},
    {{NULL, "1", NULL, NULL, "192.0.2.8", "2"}, "192.0.2.8", "2"},
    {{"", NULL, NULL, NULL, "192.0.2.8", "2"}, "", NULL},
    {{"a b", "c d"}, "a b", "c d"},
    {{NULL, "1", NULL, NULL, NULL, "2"}, NULL, NULL},
};

START_TEST(as_told)
{
    const char *port, *address;

    set_environment(told[_i].input);
    address = client_told(&port);
    ck_assert_pstr_eq(address, told[_i].address);
    ck_assert_pstr_eq(port, told[_i].port);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, as_told, 0, COUNT(told));
    tcase_add_loop_test(t, environment, 0, COUNT(environments));
    tcase_add_test(t, peer);
    tcase_add_test(t, peer_not_asked);
}

UNIT("client", tests)
