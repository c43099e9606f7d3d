/* A client's words in AUTH: base64 compared with the plainest decoder, the message of PLAIN with one that
 * counts. */
#include "tests/fuzz/fuzz.h"

#include "smtp/sasl.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* RFC 4648 4: bit by bit. The last sign's spare bits may be anything (3.5). */
static bool obvious_decode(struct slice text, char *out, size_t *n)
{
    size_t signs = text.n, bits = 0;
    unsigned value = 0;

    *n = 0;
    if (text.n > SASL_TEXT || text.n % 4)
        return false;
    while (signs && text.n - signs < 2 && text.p[signs - 1] == '=')
        signs--;
    for (size_t i = 0; i < signs; i++) {
        const char *sign = memchr(alphabet, text.p[i], 64);
        if (!sign)
            return false;
        value = (value << 6 | (unsigned)(sign - alphabet)) & 0xffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[(*n)++] = (char)(value >> bits & 0xff);
        }
    }
    return true;
}

static struct slice encode(struct slice bytes)
{
    char *out = malloc(bytes.n / 3 * 4 + 4);
    size_t n = 0;

    MUST(out);
    for (size_t i = 0; i < bytes.n; i += 3) {
        unsigned value = 0;
        size_t left = bytes.n - i < 3 ? bytes.n - i : 3;
        for (size_t k = 0; k < 3; k++)
            value = value << 8 | (k < left ? (unsigned char)bytes.p[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            out[n++] = k <= left ? alphabet[value >> (18 - 6 * k) & 63] : '=';
    }
    return (struct slice){out, n};
}

static void check_text(struct slice text)
{
    static char got[SASL_MESSAGE + 1], want[SASL_MESSAGE + 3];
    size_t n = 4711, m;

    got[SASL_MESSAGE] = 'x';
    bool good = sasl_decode(text, got, &n);
    MUST(good == obvious_decode(text, want, &m));
    MUST(!good || (n == m && !memcmp(got, want, n)));
    MUST(got[SASL_MESSAGE] == 'x');
}

static void check_message(struct slice message)
{
    struct slice parts[3];
    size_t nuls = 0;

    for (size_t i = 0; i < message.n; i++)
        nuls += !message.p[i];
    MUST(sasl_plain(message, &parts[0], &parts[1], &parts[2]) == (nuls == 2));
    if (nuls != 2)
        return;
    const char *at = message.p;
    for (int i = 0; i < 3; i++) {
        MUST(parts[i].p == at && !memchr(at, 0, parts[i].n));
        at += parts[i].n + 1;
    }
    MUST(at == message.p + message.n + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = copy_of(data, size), text = encode(in);

    check_text(in);
    check_text(text);
    check_message(in);
    drop(in);
    drop(text);
    return 0;
}
