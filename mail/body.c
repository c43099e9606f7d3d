#include "mail/body.h"

#include <string.h>

#include <case.h>

void body_init(struct body *b)
{
    memset(b, 0, sizeof *b);
    b->state = BODY_BOL;
    b->in_header = true;
}

static bool is_trace_field(const struct body *b)
{
    static const char received[] = "received:", delivered[] = "delivered-to:";
    const size_t r = sizeof received - 1, d = sizeof delivered - 1;

    return (b->field_len >= r && case_equalb(b->field, r, received)) ||
           (b->field_len == d && case_equalb(b->field, d, delivered));
}

/* The text of this line may still matter. */
static bool watches(const struct body *b)
{
    return b->in_header && (b->field_len < sizeof b->field || b->takes_id);
}

static bool is_message_id(const struct body *b)
{
    static const char name[] = "message-id:";
    const size_t n = sizeof name - 1;

    return b->field_len == n && case_equalb(b->field, n, name);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The value may begin on the next line (RFC 5322 2.2.3); once there is any of it, its line's end ends it. */
static void take_id(struct body *b, char c)
{
    if (c == '\n')
        b->takes_id = !b->id_len;
    else if (!b->field_len && !is_blank(c))
        b->takes_id = false; /* the next field */
    else if (b->id_len < BODY_ID && (b->id_len || !is_blank(c)))
        b->id[b->id_len++] = c;
}

/* One byte of the stored message, seen only for the sake of the header. */
static void watch_header(struct body *b, char c)
{
    if (b->takes_id)
        take_id(b, c);
    if (c == '\n') {
        b->hops += is_trace_field(b);
        if (!b->field_len)
            b->in_header = false;
        b->field_len = 0;
    } else if (b->field_len < sizeof b->field) {
        b->field[b->field_len++] = c;
        b->takes_id |= c == ':' && !b->id_len && is_message_id(b);
    }
}

/* True if any of the 8 bytes is below 14, as CR, LF and NUL are. The caller finds the first such byte in
 * memory order. A word without one can be copied blindly. */
static bool has_low_byte(uint64_t word)
{
    const uint64_t ones = UINT64_MAX / 255;
    return ((word - ones * 14) & ~word & (ones * 128)) != 0;
}

/* Copies text up to the next CR, LF or NUL, or to `end`; never past it. Regions may overlap with
 * out <= in. Returns the new `in`. */
static const char *copy_text(const char *in, const char *end, char **out)
{
    char *o = *out;

    for (;;) {
        while (end - in >= 8) {
            uint64_t word;
            memcpy(&word, in, 8);
            if (has_low_byte(word))
                break;
            memcpy(o, &word, 8);
            in += 8;
            o += 8;
        }
        const char *stop = end - in >= 8 ? in + 8 : end;
        while (in < stop && *in != '\r' && *in != '\n' && *in)
            *o++ = *in++;
        if (in < stop || in == end)
            break;
    }
    *out = o;
    return in;
}

static char *put(struct body *b, char *out, char c)
{
    if (b->in_header)
        watch_header(b, c);
    *out = c;
    return out + 1;
}

size_t body_step(struct body *b, const char *in, size_t n, char *out, size_t *written)
{
    const char *const start = in, *const end = in + n;
    char *o = out;

    while (in < end && b->state != BODY_END) {
        if (b->state == BODY_TEXT && !watches(b) && (in = copy_text(in, end, &o)) == end)
            break;
        char c = *in++;
        if (b->state == BODY_CR || b->state == BODY_DOT_CR) {
            if (c == '\n') {
                if (b->state == BODY_CR)
                    o = put(b, o, '\n');
                b->state = b->state == BODY_CR ? BODY_BOL : BODY_END;
                continue;
            }
            b->size += b->state == BODY_DOT_CR;
            b->state = BODY_TEXT;
            o = put(b, o, '\r'); /* it ended no line: text */
        }
        if (c == '.' && b->state == BODY_BOL) {
            b->state = BODY_DOT; /* stuffing, or the first byte of the end: dropped either way */
            b->size--;
            continue;
        }
        if (c == '\r') {
            b->size -= b->state == BODY_DOT; /* not counted until it is known to be text */
            b->state = b->state == BODY_DOT ? BODY_DOT_CR : BODY_CR;
            continue;
        }
        b->state = BODY_TEXT;
        b->has_bare_lf |= c == '\n';
        b->has_nul |= !c;
        o = put(b, o, c);
    }
    b->size += (uint64_t)(in - start);
    b->size -= b->state == BODY_END && in > start; /* the LF of the end */
    *written = (size_t)(o - out);
    return (size_t)(in - start);
}
