/* packet: answers of a name server, made for tests: a question's octets, and records behind them. */
#ifndef POSTERN_TESTS_PACKET_H
#define POSTERN_TESTS_PACKET_H

#include <stdio.h>
#include <string.h>

enum { PACKET = 2048 };

/* A record's head: the name is that of the question. */
static inline size_t packet_put(unsigned char *packet, size_t n, unsigned char type, unsigned char class)
{
    const unsigned char head[] = {0xc0, 12, 0, type, 0, class, 0, 0, 14, 16};

    memcpy(packet + n, head, sizeof head);
    packet[7]++;
    return n + sizeof head;
}

/* The n octets of a question and its head become an answer with these addresses, or this code of failure. */
static inline size_t packet_answer(unsigned char *packet, size_t n, const char *addresses, unsigned code)
{
    unsigned a[4];
    int got;

    memset(packet + 6, 0, 6);
    packet[2] = 0x81;
    packet[3] = (unsigned char)(0x80 | code);
    for (; sscanf(addresses, "%u.%u.%u.%u%n", a, a + 1, a + 2, a + 3, &got) == 4; addresses += got) {
        n = packet_put(packet, n, 1, 1);
        packet[n++] = 0;
        packet[n++] = 4;
        for (int i = 0; i < 4; i++)
            packet[n++] = (unsigned char)a[i];
    }
    return n;
}

/* The same to a question about 2.x. */
static inline size_t packet_make(unsigned char *packet, const char *addresses, unsigned code)
{
    static const unsigned char question[] = {1, 2, 1,   0, 0,   1, 0, 0, 0, 0, 0,
                                             0, 1, '2', 1, 'x', 0, 0, 1, 0, 1};

    memcpy(packet, question, sizeof question);
    return packet_answer(packet, sizeof question, addresses, code);
}

/* One TXT record more; \1 stands between its strings. */
static inline size_t packet_put_text(unsigned char *packet, size_t n, const char *text)
{
    n = packet_put(packet, n, 16, 1);
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
    return n;
}

#endif
