#include "table/place.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

const char *place_parse(struct slice value, enum place_kind *kind)
{
    if (value.n > PLACE_MAX)
        return "value too long";
    for (size_t i = 0; i < value.n; i++)
        if ((unsigned char)value.p[i] < ' ' || value.p[i] == 127)
            return "control character in value";
    if (!value.n) {
        *kind = PLACE_SPOOL;
        return NULL;
    }
    if (*value.p == '&')
        return "forwarding is not supported";
    if (*value.p == '|')
        return "delivery to a program is not supported";
    if (is_digit(*value.p)) {
        if (value.n < 5 || (*value.p != '4' && *value.p != '5') || !is_digit(value.p[1]) ||
            value.p[1] > '5' || !is_digit(value.p[2]) || value.p[3] != ' ' || value.p[4] == ' ')
            return "a reply is 4xx or 5xx, a space and text";
        for (size_t i = 4; i < value.n; i++)
            if (value.p[i] > '~' || (unsigned char)value.p[i] >= 0x80)
                return "a reply is ASCII";
        *kind = PLACE_REPLY;
        return NULL;
    }
    if (value.p[value.n - 1] != '/')
        return "a Maildir's path ends in a slash";
    if (*value.p != '/' && *value.p != '.')
        return "a Maildir's path begins with a slash or a dot";
    *kind = PLACE_MAILDIR;
    return NULL;
}
