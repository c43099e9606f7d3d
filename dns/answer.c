#include "dns/answer.h"

#include <dns.h>

static unsigned number16(const char *p)
{
    return (unsigned)(unsigned char)p[0] << 8 | (unsigned char)p[1];
}

/* Goes on behind the n bytes that it copies, and behind a name; false where the packet ends before. */
static bool take_bytes(struct answer *a, char *bytes, unsigned n)
{
    return (a->at = dns_packet_copy(a->packet.p, (unsigned)a->packet.n, a->at, bytes, n));
}

static bool skip_name(struct answer *a)
{
    return (a->at = dns_packet_skipname(a->packet.p, (unsigned)a->packet.n, a->at));
}

bool answer_begin(struct answer *a, struct slice packet)
{
    char head[12];

    *a = (struct answer){.packet = packet};
    if (!take_bytes(a, head, sizeof head))
        return false;
    a->exists = (head[3] & 15) == 0;
    a->left = number16(head + 6);
    if (!skip_name(a))
        return false;
    a->at += 4;
    return true;
}

int answer_next(struct answer *a, enum answer_type type, struct slice *data)
{
    char head[10];

    for (; a->left; a->left--) {
        if (!skip_name(a) || !take_bytes(a, head, sizeof head))
            return -1;
        unsigned length = number16(head + 8);
        if (length > a->packet.n - a->at)
            return -1;
        *data = (struct slice){a->packet.p + a->at, length};
        a->at += length;
        if (number16(head) == type && !memcmp(head + 2, DNS_C_IN, 2)) {
            a->left--;
            return 1;
        }
    }
    return 0;
}

size_t answer_text(struct slice packet, char *out, size_t space)
{
    struct answer a;
    struct slice data;
    size_t length = 0;

    if (!answer_begin(&a, packet) || answer_next(&a, ANSWER_TXT, &data) <= 0)
        return 0;
    while (data.n) { /* strings, each with its length before it (RFC 1035 3.3.14) */
        size_t left = (unsigned char)*data.p;
        for (data = slice_after(data, 1); left && data.n; left--, data = slice_after(data, 1)) {
            if (length == space)
                return length;
            out[length++] = *data.p < ' ' || *data.p > '~' ? '?' : *data.p;
        }
    }
    return length;
}
