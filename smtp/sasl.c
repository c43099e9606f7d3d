#define _DEFAULT_SOURCE /* explicit_bzero */
#include "smtp/sasl.h"

#include <textcode.h>

/* A group of four stands for three octets, less one for each of two equals signs at its end. */
static size_t padding(struct slice text)
{
    if (!text.n || text.p[text.n - 1] != '=')
        return 0;
    return text.p[text.n - 2] == '=' ? 2 : 1;
}

/* libowfat's reader takes a C string, and forgives padding that is missing and octets left over: so we
 * check both. */
bool sasl_decode(struct slice text, char out[SASL_MESSAGE], size_t *n)
{
    char copy[SASL_TEXT + 1];

    if (text.n > SASL_TEXT || text.n % 4)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    *n = 0;
    size_t taken = text.n ? scan_base64(copy, out, n) : 0;
    explicit_bzero(copy, text.n);
    return taken == text.n && *n == text.n / 4 * 3 - padding(text);
}

static bool take_field(struct slice *rest, struct slice *field)
{
    const char *nul = memchr(rest->p, 0, rest->n);

    if (!nul)
        return false;
    *field = (struct slice){rest->p, (size_t)(nul - rest->p)};
    *rest = slice_after(*rest, field->n + 1);
    return true;
}

bool sasl_plain(struct slice message, struct slice *authzid, struct slice *authcid, struct slice *password)
{
    if (!take_field(&message, authzid) || !take_field(&message, authcid))
        return false;
    *password = message;
    return !memchr(message.p, 0, message.n);
}
