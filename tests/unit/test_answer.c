#include "dns/answer.h"
#include "tests/unit/packet.h"
#include "tests/unit/unit.h"

enum { SPACE = 200 };

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

START_TEST(read_text)
{
    unsigned char packet[PACKET];
    char out[SPACE];
    size_t n = packet_make(packet, "", 0);

    for (int i = 0; i < 3 && texts[_i].records[i]; i++)
        n = packet_put_text(packet, n, texts[_i].records[i]);
    size_t length = answer_text((struct slice){(char *)packet, n}, out, sizeof out);
    ck_assert_msg(length == strlen(texts[_i].want) && !memcmp(out, texts[_i].want, length), "%s: %s: %.*s",
                  texts[_i].name, texts[_i].why, (int)length, out);
}
END_TEST

/* A string that says it is longer than its record ends with the record. */
START_TEST(read_text_short)
{
    unsigned char packet[PACKET];
    char out[SPACE];
    size_t n = packet_put_text(packet, packet_make(packet, "", 0), "hello");

    packet[n - 6] = 200;
    char *copy = malloc(n);
    memcpy(copy, packet, n);
    ck_assert_uint_eq(answer_text((struct slice){copy, n}, out, sizeof out), 5);
    free(copy);
    for (size_t i = 0; i < n; i++) {
        copy = malloc(i ? i : 1);
        memcpy(copy, packet, i);
        ck_assert_uint_eq(answer_text((struct slice){copy, i}, out, sizeof out), 0);
        free(copy);
    }
}
END_TEST

/* Records of another type or class are passed over, wherever they stand. */
START_TEST(next)
{
    unsigned char packet[PACKET];
    struct answer a;
    struct slice data;
    size_t n = packet_make(packet, "127.0.0.2", 0);

    n = packet_put_text(packet, n, "between");
    n = packet_put(packet, n, 1, 3); /* CH: no address of ours */
    memcpy(packet + n, "\0\4abcd", 6);
    n = packet_put(packet, n + 6, 1, 1);
    memcpy(packet + n, "\0\4\177\0\0\3", 6);
    n += 6;
    ck_assert(answer_begin(&a, (struct slice){(char *)packet, n}) && a.exists && a.left == 4);
    ck_assert(answer_next(&a, ANSWER_A, &data) == 1 && data.n == 4 && !memcmp(data.p, "\177\0\0\2", 4));
    ck_assert(answer_next(&a, ANSWER_A, &data) == 1 && data.n == 4 && !memcmp(data.p, "\177\0\0\3", 4));
    ck_assert(answer_next(&a, ANSWER_A, &data) == 0 && answer_next(&a, ANSWER_A, &data) == 0);
}
END_TEST

/* More records announced than there are; and a code of failure. */
START_TEST(broken)
{
    unsigned char packet[PACKET];
    struct answer a;
    struct slice data;
    size_t n = packet_make(packet, "127.0.0.2", 3);

    packet[7]++;
    ck_assert(answer_begin(&a, (struct slice){(char *)packet, n}) && !a.exists);
    ck_assert(answer_next(&a, ANSWER_A, &data) == 1 && answer_next(&a, ANSWER_A, &data) == -1);
    for (size_t i = 0; i < 17; i++) {
        char *copy = malloc(i ? i : 1);
        memcpy(copy, packet, i);
        ck_assert_msg(!answer_begin(&a, (struct slice){copy, i}), "%zu octets: no name is over", i);
        free(copy);
    }
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, read_text, 0, COUNT(texts));
    tcase_add_test(t, read_text_short);
    tcase_add_test(t, next);
    tcase_add_test(t, broken);
}

UNIT("answer", tests)
