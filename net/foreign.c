#include "net/foreign.h"

bool foreign_is_binary(char first)
{
    unsigned char c = (unsigned char)first;
    return (c < ' ' && c != '\t' && c != '\r' && c != '\n') || (c > '~' && c < 0xc2) || c > 0xf4;
}

/* A request line of RFC 9112 3: a method, then a target. */
static bool is_http(struct slice line)
{
    static const char *const methods[] = {"GET ",     "HEAD ",    "POST ",  "PUT ",   "DELETE ",
                                          "CONNECT ", "OPTIONS ", "TRACE ", "PATCH ", "PRI * "};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (slice_starts(line, methods[i]))
            return true;
    return false;
}

const char *foreign_protocol(struct slice line)
{
    static const char rdp[] = {3, 0}; /* TPKT, version 3 (RFC 1006 6) */

    if (!line.n)
        return NULL;
    if (is_http(line))
        return "http";
    if (slice_starts(line, "SSH-"))
        return "ssh";
    if (line.n >= 2 && line.p[0] == 0x16 && line.p[1] == 3) /* a TLS handshake record (RFC 8446 5.1) */
        return "tls";
    if (line.n >= sizeof rdp && !memcmp(line.p, rdp, sizeof rdp))
        return "rdp";
    return foreign_is_binary(line.p[0]) ? "binary" : NULL;
}
