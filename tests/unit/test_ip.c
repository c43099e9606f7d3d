#include "base/ip.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* A copy of `n` bytes with nothing behind it, so that a read past the end is seen. */
static struct slice exactly(const char *p, size_t n)
{
    char *copy = malloc(n ? n : 1);
    memcpy(copy, p, n);
    return (struct slice){copy, n};
}

static void discard(struct slice s)
{
    free((void *)(uintptr_t)s.p);
}

static const struct {
    const char *name, *input;
    const char *want; /* as ip_fmt writes it; NULL: no address */
    const char *why;
} scans[] = {
    {"v4", "192.0.2.7", "192.0.2.7", "dotted"},
    {"v4 all zero", "0.0.0.0", "0.0.0.0", "lowest"},
    {"v4 all ones", "255.255.255.255", "255.255.255.255", "highest, 15 octets"},
    {"v4 mapped", "::ffff:192.0.2.7", "192.0.2.7", "a mapped client and a plain one are one client"},
    {"v4 mapped, hex", "::ffff:c000:207", "192.0.2.7", "the same address"},
    {"v6", "2001:db8::7", "2001:db8::7", "RFC 4291 2.2"},
    {"v6 upper case", "2001:DB8::ABCD", "2001:db8::abcd", "RFC 5952 4.3"},
    {"v6 any", "::", "::", "all zero"},
    {"v6 loopback", "::1", "::1", "RFC 4291 2.5.3"},
    {"v6 full", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", "eight groups"},
    {"v6 leading zeros", "0001:0002::0003", "1:2::3", "RFC 5952 4.1"},
    {"v6 longest", "1111:2222:3333:4444:5555:6666:7777:8888", "1111:2222:3333:4444:5555:6666:7777:8888",
     "39 octets"},
    {"v6 longest with v4 tail", "1111:2222:3333:4444:5555:6666:100.100.100.100",
     "1111:2222:3333:4444:5555:6666:6464:6464", "45 octets"},
    {"empty", "", NULL, "nothing there"},
    {"v4 three parts", "192.0.2", NULL, "inet_aton would take it"},
    {"v4 five parts", "192.0.2.7.1", NULL, "too many"},
    {"v4 too big", "192.0.2.256", NULL, "above 255"},
    {"v4 plus", "+1.2.3.4", NULL, "no sign"},
    {"v4 hex", "0x7f.0.0.1", NULL, "inet_aton would take it"},
    {"v4 number", "3221225991", NULL, "inet_aton would take it"},
    {"v4 space before", " 192.0.2.7", NULL, "nothing around it"},
    {"v4 space behind", "192.0.2.7 ", NULL, "nothing around it"},
    {"v4 newline behind", "192.0.2.7\n", NULL, "nothing around it"},
    {"v4 prefix", "192.0.2.0/24", NULL, "no network"},
    {"v4 dot behind", "192.0.2.7.", NULL, "libowfat's scan_ip4 would take it"},
    {"v6 five digits", "12345::1", NULL, "libowfat's scan_ip6 would take it"},
    {"v6 seven groups", "1:2:3:4:5:6:7", NULL, "one is missing"},
    {"v6 nine groups", "1:2:3:4:5:6:7:8:9", NULL, "one too many"},
    {"v6 two gaps", "1::2::3", NULL, "ambiguous"},
    {"v6 three colons", "1:::2", NULL, "no such thing"},
    {"v6 colon before", ":1:2:3:4:5:6:7:8", NULL, "single colon at the edge"},
    {"v6 colon behind", "1:2:3:4:5:6:7:8:", NULL, "single colon at the edge"},
    {"v6 scope", "fe80::1%eth0", NULL, "the interface is no part of the address"},
    {"v6 brackets", "[::1]", NULL, "that is a literal"},
    {"v6 v4 tail too early", "1:2.3.4.5::", NULL, "only at the end"},
    {"a letter", "2001:db8::g", NULL, "not hexadecimal"},
    {"one octet too long", "1111:2222:3333:4444:5555:6666:100.100.100.1000", NULL, "46 octets"},
    {"very long", "0000000000000000000000000000000000000000000000000000000000000000:1", NULL, "bounded copy"},
};

START_TEST(scan)
{
    struct slice text = exactly(scans[_i].input, strlen(scans[_i].input));
    struct ip ip, before;
    char out[IP_FMT + 1];

    memset(&ip, 0x5a, sizeof ip);
    before = ip;
    bool ok = ip_scan(text, &ip);
    ck_assert_msg(ok == !!scans[_i].want, "%s: %s", scans[_i].name, scans[_i].why);
    if (ok) {
        out[ip_fmt(out, &ip)] = 0;
        ck_assert_msg(!strcmp(out, scans[_i].want), "%s: %s: %s", scans[_i].name, scans[_i].why, out);
    } else {
        ck_assert_msg(!memcmp(&ip, &before, sizeof ip), "%s: must be left untouched", scans[_i].name);
    }
    discard(text);
}
END_TEST

START_TEST(scan_nul)
{
    static const char nul[] = "192.0.2.7\0x", early[] = "::1\0";
    struct ip ip;

    ck_assert_msg(!ip_scan((struct slice){nul, sizeof nul - 1}, &ip), "text does not end at a NUL");
    ck_assert_msg(!ip_scan((struct slice){early, 4}, &ip), "nor does one behind it pass");
    ck_assert(ip_scan((struct slice){early, 3}, &ip));
}
END_TEST

static const struct {
    const char *name, *input;
    const char *want; /* as ip_literal_fmt writes it; NULL: no literal */
    const char *why;
} literals[] = {
    {"v4", "[192.0.2.7]", "[192.0.2.7]", "RFC 5321 4.1.3"},
    {"v6", "[IPv6:2001:db8::7]", "[IPv6:2001:db8::7]", "RFC 5321 4.1.3"},
    {"v6 tag's case", "[ipV6:2001:DB8::7]", "[IPv6:2001:db8::7]", "literals in ABNF have no case"},
    {"v6 mapped", "[IPv6:::ffff:192.0.2.7]", "[192.0.2.7]", "IPv6v4-comp; one client"},
    {"v6 any", "[IPv6:::]", "[IPv6:::]", "shortest"},
    {"v6 longest", "[IPv6:1111:2222:3333:4444:5555:6666:100.100.100.100]",
     "[IPv6:1111:2222:3333:4444:5555:6666:6464:6464]", "fits"},
    {"v6 untagged", "[2001:db8::7]", NULL, "the tag is required"},
    {"v4 tagged", "[IPv6:192.0.2.7]", NULL, "not an IPv6 address"},
    {"other tag", "[tag:content]", NULL, "no other tag is standardized"},
    {"empty", "[]", NULL, "nothing inside"},
    {"only tag", "[IPv6:]", NULL, "nothing inside"},
    {"no end", "[192.0.2.7", NULL, "brackets come in pairs"},
    {"no start", "192.0.2.7]", NULL, "brackets come in pairs"},
    {"one bracket", "[", NULL, "too short"},
    {"other bracket", "]", NULL, "too short"},
    {"nothing", "", NULL, "too short"},
    {"bare", "192.0.2.7", NULL, "no brackets"},
    {"space inside", "[ 192.0.2.7 ]", NULL, "nothing around it"},
    {"behind", "[192.0.2.7].", NULL, "nothing around it"},
    {"double", "[[192.0.2.7]]", NULL, "one pair"},
};

START_TEST(literal)
{
    struct slice text = exactly(literals[_i].input, strlen(literals[_i].input));
    struct ip ip;
    char out[IP_LITERAL_FMT + 1];

    bool ok = ip_literal_scan(text, &ip);
    ck_assert_msg(ok == !!literals[_i].want, "%s: %s", literals[_i].name, literals[_i].why);
    if (ok) {
        out[ip_literal_fmt(out, &ip)] = 0;
        ck_assert_msg(!strcmp(out, literals[_i].want), "%s: %s: %s", literals[_i].name, literals[_i].why,
                      out);
    }
    discard(text);
}
END_TEST

static const struct {
    const char *name;
    uint16_t input[8];
    const char *want, *why;
} formats[] = {
    {"no zeros", {0x2001, 0xdb8, 1, 2, 3, 4, 5, 6}, "2001:db8:1:2:3:4:5:6", "nothing to shorten"},
    {"leading zeros",
     {0x2001, 0xdb8, 0xaaaa, 0xbbbb, 0xcccc, 0xdddd, 0xeeee, 1},
     "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1",
     "RFC 5952 4.1"},
    {"lower case", {0xABCD, 0xEF01, 1, 1, 1, 1, 1, 1}, "abcd:ef01:1:1:1:1:1:1", "RFC 5952 4.3"},
    {"single zero", {0x2001, 0xdb8, 0, 1, 1, 1, 1, 1}, "2001:db8:0:1:1:1:1:1", "RFC 5952 4.2.2"},
    {"longest run", {0x2001, 0, 0, 1, 0, 0, 0, 1}, "2001:0:0:1::1", "RFC 5952 4.2.3"},
    {"first of equals", {0x2001, 0xdb8, 0, 0, 1, 0, 0, 1}, "2001:db8::1:0:0:1", "RFC 5952 4.2.3"},
    {"run at the start", {0, 0, 0, 1, 2, 3, 4, 5}, "::1:2:3:4:5", "no colon before"},
    {"run at the end", {1, 2, 3, 4, 5, 0, 0, 0}, "1:2:3:4:5::", "no colon behind"},
    {"zero at the end", {1, 2, 3, 4, 5, 6, 7, 0}, "1:2:3:4:5:6:7:0", "RFC 5952 4.2.2"},
    {"zero at the start", {0, 2, 3, 4, 5, 6, 7, 8}, "0:2:3:4:5:6:7:8", "RFC 5952 4.2.2"},
    {"both edges, end longer", {0, 0, 1, 1, 1, 0, 0, 0}, "0:0:1:1:1::", "RFC 5952 4.2.3"},
    {"all zero", {0, 0, 0, 0, 0, 0, 0, 0}, "::", "as short as can be"},
    {"one", {0, 0, 0, 0, 0, 0, 0, 1}, "::1", "loopback"},
    {"mapped", {0, 0, 0, 0, 0, 0xffff, 0xc000, 0x207}, "192.0.2.7", "IPv4 is dotted"},
    {"nearly mapped", {0, 0, 0, 0, 1, 0xffff, 0xc000, 0x207}, "::1:ffff:c000:207", "not IPv4"},
};

static struct ip of_words(const uint16_t words[8])
{
    struct ip ip;

    for (int i = 0; i < 8; i++) {
        ip.b[2 * i] = (unsigned char)(words[i] >> 8);
        ip.b[2 * i + 1] = (unsigned char)words[i];
    }
    return ip;
}

START_TEST(format)
{
    struct ip ip = of_words(formats[_i].input);
    char out[IP_FMT + 1];

    memset(out, '#', sizeof out);
    size_t n = ip_fmt(out, &ip);
    ck_assert_msg(n == strlen(formats[_i].want) && !memcmp(out, formats[_i].want, n), "%s: %s: %.*s",
                  formats[_i].name, formats[_i].why, (int)n, out);
    ck_assert_msg(out[n] == '#', "%s: nothing behind it is written", formats[_i].name);
    ck_assert(ip_is4(&ip) == !strchr(formats[_i].want, ':'));
}
END_TEST

/* RFC 5952 4 as slowly as it reads. */
static void obvious(char *out, const uint16_t w[8])
{
    int best = -1, longest = 1;

    for (int i = 0; i < 8; i++) {
        int n = 0;
        while (i + n < 8 && !w[i + n])
            n++;
        if (n > longest) {
            longest = n;
            best = i;
        }
    }
    for (int i = 0; i < 8;) {
        if (i == best) {
            out += sprintf(out, "::");
            i += longest;
            continue;
        }
        out += sprintf(out, "%s%x", i && i != best + longest ? ":" : "", (unsigned)w[i]);
        i++;
        if (best < 0)
            longest = -1;
    }
    *out = 0;
}

/* xorshift32: the same numbers everywhere. */
static uint32_t seed;
static uint32_t random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % n;
}

START_TEST(format_random)
{
    seed = 5952;
    for (int i = 0; i < 50000; i++) {
        uint16_t words[8];
        char out[IP_FMT + 1], want[64], theirs[INET6_ADDRSTRLEN];
        struct ip again;

        for (int k = 0; k < 8; k++)
            words[k] = (uint16_t)(random_below(2) ? 0 : random_below(1U << (1 + random_below(16))));
        if (!words[0] && !words[1] && !words[2] && !words[3] && !words[4])
            continue; /* mapped, or compatible, which inet_ntop writes with dots */
        struct ip ip = of_words(words);
        out[ip_fmt(out, &ip)] = 0;
        obvious(want, words);
        ck_assert_str_eq(out, want);
        ck_assert_str_eq(out, inet_ntop(AF_INET6, ip.b, theirs, sizeof theirs));
        ck_assert(ip_scan(slice_of(out), &again) && !memcmp(&ip, &again, sizeof ip));
    }
}
END_TEST

START_TEST(format_random4)
{
    seed = 791;
    for (int i = 0; i < 20000; i++) {
        unsigned char four[4];
        char out[IP_LITERAL_FMT + 1], want[INET_ADDRSTRLEN];
        struct ip ip, again;

        for (int k = 0; k < 4; k++)
            four[k] = (unsigned char)random_below(256);
        inet_ntop(AF_INET, four, want, sizeof want);
        ck_assert(ip_scan(slice_of(want), &ip) && ip_is4(&ip) && !memcmp(ip.b + 12, four, 4));
        out[ip_fmt(out, &ip)] = 0;
        ck_assert_str_eq(out, want);
        size_t n = ip_literal_fmt(out, &ip);
        ck_assert(ip_literal_scan((struct slice){out, n}, &again) && !memcmp(&ip, &again, sizeof ip));
    }
}
END_TEST

/* Good texts with a few octets changed, taken out or put in. */
START_TEST(scan_random)
{
    static const char *const good[] = {"192.0.2.7", "::ffff:1.2.3.4", "2001:db8::7", "1:2:3:4:5:6:7:8"};
    static const char octets[] = "0129afAFg:.%/ -";
    int accepted = 0;

    seed = 4291;
    for (int i = 0; i < 50000; i++) {
        char text[64];
        unsigned char raw[16];
        struct ip ip;

        strcpy(text, good[random_below(COUNT(good))]);
        for (uint32_t changes = random_below(3) + 1; changes; changes--) {
            size_t n = strlen(text), at = random_below((uint32_t)n);
            switch (random_below(3)) {
            case 0:
                text[at] = octets[random_below(sizeof octets - 1)];
                break;
            case 1:
                memmove(text + at, text + at + 1, n - at);
                break;
            default:
                memmove(text + at + 1, text + at, n - at + 1);
                text[at] = octets[random_below(sizeof octets - 1)];
            }
        }
        struct slice exact = exactly(text, strlen(text));
        bool ok = ip_scan(exact, &ip);
        discard(exact);
        if (inet_pton(AF_INET6, text, raw) == 1)
            ck_assert_msg(ok && !memcmp(ip.b, raw, 16), "%s", text);
        else if (inet_pton(AF_INET, text, raw) == 1)
            ck_assert_msg(ok && ip_is4(&ip) && !memcmp(ip.b + 12, raw, 4), "%s", text);
        else
            ck_assert_msg(!ok, "%s", text);
        accepted += ok;
    }
    ck_assert_msg(accepted > 5000 && accepted < 45000, "%d: the inputs are of both kinds", accepted);
}
END_TEST

static const struct {
    const char *name, *listen, *connect, *want, *why;
} peers[] = {
    {"v4", "127.0.0.1", "127.0.0.1", "127.0.0.1", "its address"},
    {"v6", "::1", "::1", "::1", "its address"},
    {"mapped", "::", "127.0.0.1", "127.0.0.1", "a socket of both families tells it as mapped"},
};

static socklen_t fill_address(struct sockaddr_storage *buffer, const char *text, in_port_t port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)buffer;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)buffer;

    memset(buffer, 0, sizeof *buffer);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = port;
        return sizeof *v4;
    }
    ck_assert(inet_pton(AF_INET6, text, &v6->sin6_addr) == 1);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = port;
    return sizeof *v6;
}

static in_port_t port_of(int fd)
{
    struct sockaddr_storage buffer;
    socklen_t n = sizeof buffer;

    ck_assert(!getsockname(fd, (struct sockaddr *)&buffer, &n));
    return buffer.ss_family == AF_INET ? ((struct sockaddr_in *)&buffer)->sin_port
                                       : ((struct sockaddr_in6 *)&buffer)->sin6_port;
}

START_TEST(peer)
{
    struct sockaddr_storage buffer;
    const char *const host = peers[_i].listen;
    int no = 0;
    socklen_t n = fill_address(&buffer, host, 0);
    int server = socket(buffer.ss_family, SOCK_STREAM, 0);

    if (server >= 0 && buffer.ss_family == AF_INET6)
        setsockopt(server, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (server < 0 || bind(server, (struct sockaddr *)&buffer, n) < 0) {
        ck_assert_msg(buffer.ss_family == AF_INET6, "only IPv6 may be missing on this machine");
        return;
    }
    ck_assert(!listen(server, 1));
    n = fill_address(&buffer, peers[_i].connect, port_of(server));
    int client = socket(buffer.ss_family, SOCK_STREAM, 0);
    ck_assert(!connect(client, (struct sockaddr *)&buffer, n));
    int fd = accept(server, NULL, NULL);
    ck_assert(fd >= 0);

    struct ip ip;
    unsigned port;
    char out[IP_FMT + 1];
    ck_assert_msg(ip_of_peer(fd, &ip, &port), "%s: %s", peers[_i].name, peers[_i].why);
    out[ip_fmt(out, &ip)] = 0;
    ck_assert_msg(!strcmp(out, peers[_i].want), "%s: %s: %s", peers[_i].name, peers[_i].why, out);
    ck_assert_uint_eq(port, ntohs(port_of(client)));
    ck_assert_msg(!ip_of_peer(server, &ip, &port), "a socket that listens has no peer");
}
END_TEST

START_TEST(no_peer)
{
    int fds[2];
    struct ip ip;
    unsigned port;

    ck_assert(!pipe(fds));
    ck_assert_msg(!ip_of_peer(fds[0], &ip, &port), "a pipe is no socket");
    ck_assert(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    ck_assert_msg(!ip_of_peer(fds[0], &ip, &port), "a local socket has no address");
    ck_assert_msg(!ip_of_peer(-1, &ip, &port), "no descriptor at all");
}
END_TEST

static struct ip address_of(const char *text)
{
    struct ip ip;
    ck_assert_msg(ip_scan(slice_of(text), &ip), "%s", text);
    return ip;
}

static const struct {
    const char *name, *input, *want, *why;
} names[] = {
    {"v4", "192.0.2.7", "7.2.0.192", "RFC 5782 2.1"},
    {"v4 longest", "255.254.253.252", "252.253.254.255", "15 octets"},
    {"v4 mapped", "::ffff:1.2.3.4", "4.3.2.1", "the same address"},
    {"v6", "2001:db8:1:2:3:4:567:89ab", "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2",
     "RFC 5782 2.4: the example's address"},
    {"v6 any", "::", "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0", "32 nibbles"},
};

START_TEST(reversed)
{
    struct ip ip = address_of(names[_i].input);
    char out[IP_REVERSED + 1];

    memset(out, '#', sizeof out);
    size_t n = ip_reversed(out, &ip);
    ck_assert_msg(n == strlen(names[_i].want) && !memcmp(out, names[_i].want, n), "%s: %s: %.*s",
                  names[_i].name, names[_i].why, (int)n, out);
    ck_assert_msg(out[n] == '#', "%s: nothing behind it is written", names[_i].name);
}
END_TEST

/* RFC 5782 5: IPv6 lists are tested with ::FFFF:7F00:2, which is 127.0.0.2 to all others. */
START_TEST(nibbles)
{
    struct ip ip = address_of("::ffff:127.0.0.2");
    char out[IP_REVERSED + 1];

    out[ip_nibbles(out, &ip)] = 0;
    ck_assert_str_eq(out, "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0");
    out[ip_reversed(out, &ip)] = 0;
    ck_assert_str_eq(out, "2.0.0.127");
}
END_TEST

static const struct {
    const char *below, *first, *last,
        *above; /* the addresses at the edges; NULL: there is none, or it is private, too */
    const char *why;
} nets[] = {
    {NULL, "0.0.0.0", "0.255.255.255", "1.0.0.0", "RFC 1122 3.2.1.3: this network"},
    {"9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0", "RFC 1918"},
    {"100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0", "RFC 6598: shared"},
    {"126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0", "loopback"},
    {"169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0", "RFC 3927: link-local"},
    {"172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0", "RFC 1918"},
    {"192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0", "RFC 1918"},
    {NULL, "::", "::1", "::2", "unspecified, loopback"},
    {"fbff:ffff::", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe00::", "RFC 4193: unique local"},
    {"fe7f:ffff::", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL, "RFC 4291 2.5.6: link-local"},
    {NULL, "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ff00::", "RFC 3879: site-local, once"},
    {"::fffe:10.0.0.1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "2001:db8::1", "mapped IPv4 is IPv4"},
    {"8.8.8.8", "192.168.1.1", "10.1.1.1", "192.0.2.7", "the rest is not"},
};

START_TEST(private)
{
    const char *const text[] = {nets[_i].below, nets[_i].first, nets[_i].last, nets[_i].above};

    for (int i = 0; i < 4; i++) {
        if (!text[i])
            continue;
        struct ip ip = address_of(text[i]);
        ck_assert_msg(ip_is_private(&ip) == (i == 1 || i == 2), "%s: %s", text[i], nets[_i].why);
    }
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, scan, 0, COUNT(scans));
    tcase_add_test(t, scan_nul);
    tcase_add_loop_test(t, literal, 0, COUNT(literals));
    tcase_add_loop_test(t, format, 0, COUNT(formats));
    tcase_add_test(t, format_random);
    tcase_add_test(t, format_random4);
    tcase_add_test(t, scan_random);
    tcase_add_loop_test(t, peer, 0, COUNT(peers));
    tcase_add_test(t, no_peer);
    tcase_add_loop_test(t, reversed, 0, COUNT(names));
    tcase_add_test(t, nibbles);
    tcase_add_loop_test(t, private, 0, COUNT(nets));
}

UNIT("ip", tests)
