/* grammar: a strict reader of log lines (log.h): it accepts only the canonical form, and gives back the
 * values. */
#ifndef POSTERN_FUZZ_GRAMMAR_H
#define POSTERN_FUZZ_GRAMMAR_H

#include <string.h>

#include "log/log.h"

struct pair {
    struct slice key;
    char value[LOG_VALUE];
    size_t value_len;
    bool cut; /* there was more of it */
};

static inline int grammar_hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static inline bool grammar_is_bare(unsigned char c)
{
    return c > ' ' && c <= '~' && c != '"' && c != '\\' && c != '=';
}

/* Takes one value off s. */
static inline bool grammar_value(struct slice *s, struct pair *p)
{
    bool needed = false; /* a quoted value must have a reason to be */

    p->value_len = 0;
    p->cut = false;
    if (s->n && *s->p != '"') {
        while (s->n && grammar_is_bare((unsigned char)*s->p) && p->value_len < LOG_VALUE) {
            p->value[p->value_len++] = *s->p;
            *s = slice_after(*s, 1);
        }
        return p->value_len;
    }
    if (!s->n)
        return false;
    for (*s = slice_after(*s, 1); s->n && *s->p != '"';) {
        unsigned char c = (unsigned char)*s->p;
        size_t n = 1;
        if (p->value_len == LOG_VALUE || c < ' ' || c > '~')
            return false;
        if (c == '\\' && s->n >= 2 && (s->p[1] == '"' || s->p[1] == '\\')) {
            c = (unsigned char)s->p[1];
            n = 2;
        } else if (c == '\\') {
            if (s->n < 4 || s->p[1] != 'x' || grammar_hex(s->p[2]) < 0 || grammar_hex(s->p[3]) < 0)
                return false;
            c = (unsigned char)(grammar_hex(s->p[2]) << 4 | grammar_hex(s->p[3]));
            if (c >= ' ' && c <= '~')
                return false;
            n = 4;
        }
        needed |= !grammar_is_bare(c);
        p->value[p->value_len++] = (char)c;
        *s = slice_after(*s, n);
    }
    if (!s->n)
        return false;
    *s = slice_after(*s, 1);
    if (s->n >= 3 && !memcmp(s->p, "...", 3)) {
        *s = slice_after(*s, 3);
        p->cut = true;
    }
    return needed || p->cut || !p->value_len;
}

/* Takes one pair, and the space or newline behind it, off a line that ends in a newline. False: there is
 * none. */
static inline bool grammar_pair(struct slice *line, struct pair *p)
{
    size_t n = 0;

    while (n < line->n && line->p[n] >= 'a' && line->p[n] <= 'z')
        n++;
    if (!n || n == line->n || line->p[n] != '=')
        return false;
    p->key = (struct slice){line->p, n};
    *line = slice_after(*line, n + 1);
    if (!grammar_value(line, p) || !line->n)
        return false;
    bool last = line->n == 1;
    if (*line->p != (last ? '\n' : ' '))
        return false;
    *line = slice_after(*line, 1);
    return true;
}

static inline bool grammar_is(const struct pair *p, const char *key, const char *value)
{
    return slice_is(p->key, key) && p->value_len == strlen(value) && !memcmp(p->value, value, p->value_len);
}

#endif
