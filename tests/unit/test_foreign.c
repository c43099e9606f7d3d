#include "net/foreign.h"
#include "tests/unit/unit.h"

#define BYTES(text)                                                                                          \
    {                                                                                                        \
        text, sizeof(text) - 1                                                                               \
    }

static const struct {
    const char *name;
    struct slice line;
    const char *want; /* NULL: it may be SMTP */
    const char *why;
} lines[] = {
    {"empty", BYTES(""), NULL, "nothing is no protocol"},
    {"get", BYTES("GET / HTTP/1.1"), "http", "RFC 9112 3"},
    {"head", BYTES("HEAD / HTTP/1.0"), "http", "a method"},
    {"post", BYTES("POST /form HTTP/1.1\r\nHost: x\r\n"), "http", "with all that came with it"},
    {"put", BYTES("PUT /x HTTP/1.1"), "http", "a method"},
    {"delete", BYTES("DELETE /x HTTP/1.1"), "http", "a method"},
    {"connect", BYTES("CONNECT mx.example.net:25 HTTP/1.1"), "http", "looking for an open proxy"},
    {"options", BYTES("OPTIONS * HTTP/1.1"), "http", "a method"},
    {"trace", BYTES("TRACE / HTTP/1.1"), "http", "a method"},
    {"patch", BYTES("PATCH / HTTP/1.1"), "http", "RFC 5789"},
    {"http 2", BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "http", "RFC 9113 3.4"},
    {"http 0.9", BYTES("GET /"), "http", "a method and a target are enough"},
    {"lower case", BYTES("get / http/1.1"), "http", "no command of SMTP either"},
    {"only a method", BYTES("GET"), NULL, "a typing error may look so"},
    {"longer word", BYTES("GETTING /"), NULL, "another word"},
    {"not first", BYTES("NOOP GET / HTTP/1.1"), NULL, "a command with an argument"},
    {"space first", BYTES(" GET / HTTP/1.1"), NULL, "no method"},

    {"ssh", BYTES("SSH-2.0-OpenSSH_9.2"), "ssh", "RFC 4253 4.2"},
    {"ssh 1", BYTES("SSH-1.99-x"), "ssh", "RFC 4253 5.1"},
    {"ssh without a hyphen", BYTES("SSH"), NULL, "a word"},

    {"tls 1.0", BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), "tls",
     "a ClientHello of TLS 1.3, too"},
    {"ssl 3", BYTES("\x16\x03\x00"), "tls", "RFC 6101 5.2.1"},
    {"tls, cut", BYTES("\x16"), "binary", "the version is not there yet"},
    {"no version", BYTES("\x16\x02\x01"), "binary", "no TLS"},
    {"ssl 2", BYTES("\x80\x2e\x01\x00\x02"), "binary", "its length comes first"},

    {"rdp",
     BYTES("\x03\x00\x00\x2f\x2a\xe0\x00\x00\x00\x00\x00"
           "Cookie: mstshash=x\r\n"),
     "rdp", "TPKT with a cookie"},
    {"rdp, short", BYTES("\x03\x00"), "rdp", "RFC 1006 6"},
    {"not rdp", BYTES("\x03\x01"), "binary", "no TPKT"},
    {"rdp, cut", BYTES("\x03"), "binary", "nor is this yet"},

    {"nul", BYTES("\0\0\0\0"), "binary", "no text"},
    {"socks 4", BYTES("\x04\x01\x00\x19"), "binary", "no text"},
    {"socks 5", BYTES("\x05\x01\x00"), "binary", "no text"},
    {"escape", BYTES("\x1b[A"), "binary", "an arrow key is no command"},
    {"delete", BYTES("\x7f"), "binary", "a control character"},

    {"helo", BYTES("HELO x"), NULL, "SMTP"},
    {"nul behind", BYTES("HELO\0x"), NULL, "SMTP, if bad"},
    {"utf-8", BYTES("\xc3\xbc"), NULL, "text"},
    {"tab", BYTES("\tHELO"), NULL, "text"},
    {"punctuation", BYTES("~!"), NULL, "text"},
};

START_TEST(protocol)
{
    const char *what = foreign_protocol(lines[_i].line);
    const char *want = lines[_i].want;

    ck_assert_msg(what == want || (what && want && !strcmp(what, want)), "%s: %s: %s", lines[_i].name,
                  what ? what : "none", lines[_i].why);
}
END_TEST

static const struct {
    unsigned char low, high;
    bool want;
    const char *why;
} bytes[] = {
    {0, 8, true, "control characters"},
    {'\t', '\n', false, "white space"},
    {0x0b, 0x0c, true, "page feeds"},
    {'\r', '\r', false, "a line end"},
    {0x0e, 0x1f, true, "control characters"},
    {' ', '~', false, "ASCII"},
    {0x7f, 0x7f, true, "DEL"},
    {0x80, 0xbf, true, "the inside of a UTF-8 character (RFC 3629 4)"},
    {0xc0, 0xc1, true, "never in UTF-8"},
    {0xc2, 0xf4, false, "begins a UTF-8 character"},
    {0xf5, 0xff, true, "never in UTF-8"},
};

START_TEST(binary)
{
    for (unsigned c = bytes[_i].low; c <= bytes[_i].high; c++)
        ck_assert_msg(foreign_is_binary((char)c) == bytes[_i].want, "%02x: %s", c, bytes[_i].why);
}
END_TEST

/* Every byte stands in one row. */
START_TEST(all_bytes)
{
    unsigned next = 0;

    for (int i = 0; i < COUNT(bytes); i++) {
        ck_assert_uint_eq(bytes[i].low, next);
        next = bytes[i].high + 1U;
    }
    ck_assert_uint_eq(next, 256);
}
END_TEST

/* A binary beginning stays binary with any octets behind it: nothing is gained by waiting. */
START_TEST(grows)
{
    struct slice line = lines[_i].line;

    if (!line.n || !foreign_is_binary(*line.p))
        return;
    for (size_t n = 1; n <= line.n; n++)
        ck_assert_msg(foreign_protocol((struct slice){line.p, n}), "%s", lines[_i].name);
}
END_TEST

static void add(TCase *t)
{
    tcase_add_loop_test(t, protocol, 0, COUNT(lines));
    tcase_add_loop_test(t, binary, 0, COUNT(bytes));
    tcase_add_test(t, all_bytes);
    tcase_add_loop_test(t, grows, 0, COUNT(lines));
}

UNIT("foreign", add)
