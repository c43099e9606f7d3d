#include "smtp/discreet.h"
#include "tests/unit/unit.h"

#define LINE(text, want, why)                                                                                \
    {                                                                                                        \
        text, sizeof(text) - 1, want, why                                                                    \
    }

struct row {
    const char *said;
    size_t n;
    const char *want, *why;
};

static void check(struct slice got, const struct row *row)
{
    ck_assert_msg(got.p == row->said, "%s: not a first part", row->why);
    ck_assert_msg(got.n == strlen(row->want) && !memcmp(got.p, row->want, got.n), "%s: \"%.*s\" of \"%s\"",
                  row->why, (int)got.n, got.p, row->said);
}

static const struct row lines[] = {
    LINE("", "", "nothing"),
    LINE("EHLO mx.example.com", "EHLO mx.example.com", "a name"),
    LINE("mail from:<plain@login.example> SIZE=10", "mail from:<plain@login.example> SIZE=10",
         "parts of an address"),
    LINE("MAIL FROM:<a@b> AUTH=c@d", "MAIL FROM:<a@b> AUTH=c@d", "a parameter, no secret (RFC 4954)"),
    LINE("RCPT TO:<pass@example.com>", "RCPT TO:<pass@example.com>", "a mailbox"),
    LINE("VRFY login", "VRFY login", "nothing behind it"),
    LINE("EHLO AUTH PLAIN AGFiYw==", "EHLO AUTH", "pasted together"),
    LINE("HELO\tlogin\tsecret", "HELO\tlogin", "tabs are blanks"),
    LINE("EXPN a plain secret", "EXPN a plain", "further on"),
    LINE("AUTH PLAIN AGFiYw==", "AUTH", "the command itself"),
    LINE("AUHT PLAIN AGFiYw==", "AUHT", "mistyped"),
    LINE("NOOP AUTH PLAIN AGFiYw==", "NOOP", "an argument that nobody needs"),
    LINE("RSET secret", "RSET", "likewise"),
    LINE("LOGIN alice secret", "LOGIN", "of IMAP"),
    LINE("PASS secret", "PASS", "of POP3"),
    LINE("abcdefghijklmnop x", "abcdefghijklmnop", "sixteen letters"),
    LINE("abcdefghijklmnopq", "", "one more: no verb"),
    LINE("a1 LOGIN alice secret", "", "a tag of IMAP"),
    LINE("c2VjcmV0", "", "a digit: base64"),
    LINE("AUTH:secret", "", "a colon"),
    LINE(" AUTH secret", "", "no verb"),
    LINE("AUTH\0secret", "", "a NUL is no letter"),
    LINE("\xff\xfe", "", "no text"),
};

START_TEST(line)
{
    check(discreet_line((struct slice){lines[_i].said, lines[_i].n}), &lines[_i]);
}
END_TEST

static const struct row texts[] = {
    LINE("EHLO x\r\nMAIL FROM:<a@b>\r\nDATA\r\n", "EHLO x\r\nMAIL FROM:<a@b>\r\nDATA\r\n", "all of it"),
    LINE("EHLO x\r\n\r\nQUIT", "EHLO x\r\n\r\nQUIT", "an empty line"),
    LINE("EHLO x\r\nAUTH LOGIN\r\nYQ==\r\n", "EHLO x\r\nAUTH", "ends where a line does not"),
    LINE("USER alice\r\nPASS secret\r\n", "USER", "of POP3"),
    LINE("DATA\r\nSubject: hello\r\n", "DATA\r\n", "a message is none of ours"),
    LINE("EHLO x\nsecret words\n", "EHLO x\nsecret", "bare LF; a word of letters may be a verb"),
    LINE("EHLO x\r\nhunter2\r\n", "EHLO x\r\n", "but this cannot"),
    LINE("EHLO x\r", "EHLO x\r", "cut in a line end"),
};

START_TEST(text)
{
    check(discreet_text((struct slice){texts[_i].said, texts[_i].n}), &texts[_i]);
}
END_TEST

static const struct row foreigners[] = {
    LINE("GET / HTTP/1.1\r\nAuthorization: Basic YQ==\r\n", "GET / HTTP/1.1", "the first line"),
    LINE("GET /a?token=secret HTTP/1.1", "GET /a", "no query"),
    LINE("POST /login HTTP/1.1", "POST /login", "up to the word"),
    LINE("GET /xlogin/secret HTTP/1.1", "GET /xlogin", "within another"),
    LINE("SSH-2.0-x\r\n", "SSH-2.0-x", "a banner"),
    LINE("\x16\x03\x01\n?", "\x16\x03\x01\n?", "bytes have no lines"),
    LINE("\x16\x03passsecret", "\x16\x03pass", "but words"),
    LINE("GET http://alice:secret@a.example/ HTTP/1.1", "GET http", "a name and a password before a host's"),
    LINE("CONNECT alice:secret@a.example:80 HTTP/1.1", "CONNECT alice", "likewise"),
    LINE("CONNECT mx.example.com:25 HTTP/1.1", "CONNECT mx.example.com:25 HTTP/1.1", "a port"),
    LINE("\x10\x1f\1\4MQTT\4\xc2\1\x3c\1\1\1\5alice\1\6secret", "\x10\x1f\1\4MQTT\4\xc2\1\x3c\1\1\1\5",
         "octets that are no text, with a name and a password"),
};

START_TEST(foreign)
{
    check(discreet_foreign((struct slice){foreigners[_i].said, foreigners[_i].n}), &foreigners[_i]);
}
END_TEST

static const struct {
    const char *line;
    bool want;
} announcing[] = {
    {"AUTH PLAIN", true},   {"auht login x", true}, {"AUTHPLAIN", true}, {"PASSWORD x", true},
    {"a1 login b c", true}, {"USER alice", false},  {"", false},         {"FOO", false},
    {"PLAI", false},        {"PAS S", false},
};

START_TEST(announces)
{
    ck_assert_int_eq(discreet_announces(slice_of(announcing[_i].line)), announcing[_i].want);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, line, 0, COUNT(lines));
    tcase_add_loop_test(t, text, 0, COUNT(texts));
    tcase_add_loop_test(t, foreign, 0, COUNT(foreigners));
    tcase_add_loop_test(t, announces, 0, COUNT(announcing));
}

UNIT("discreet", tests)
