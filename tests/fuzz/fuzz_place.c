/* The place of a mailbox's mail, compared with the plainest reading of postern-tables(5). */
#include "tests/fuzz/fuzz.h"

#include "table/place.h"

static bool is_text(struct slice s, unsigned char most)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || (unsigned char)s.p[i] > most || s.p[i] == 127)
            return false;
    return true;
}

static bool is_between(struct slice s, size_t i, char low, char high)
{
    return s.n > i && s.p[i] >= low && s.p[i] <= high;
}

static bool is_reply(struct slice s)
{
    return is_between(s, 0, '4', '5') && is_between(s, 1, '0', '5') && is_between(s, 2, '0', '9') &&
           s.n > 4 && s.p[3] == ' ' && s.p[4] != ' ' && is_text(s, '~');
}

static bool is_maildir(struct slice s)
{
    return s.n && s.p[s.n - 1] == '/' && (*s.p == '/' || *s.p == '.');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice value = copy_of(data, size);
    enum place_kind kind;
    const char *why = place_parse(value, &kind);

    MUST(!why || *why);
    bool fits = value.n <= PLACE_MAX && is_text(value, 255);
    bool is_place = fits && (!value.n || is_reply(value) || is_maildir(value));
    MUST(!why == is_place);
    if (!why)
        MUST(kind == (!value.n ? PLACE_SPOOL : is_reply(value) ? PLACE_REPLY : PLACE_MAILDIR));
    drop(value);
    return 0;
}
