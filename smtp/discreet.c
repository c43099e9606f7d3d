#include "smtp/discreet.h"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The length of an announcing word at the start of `s`; 0: there is none. */
static size_t announcement(struct slice s)
{
    static const char *const words[] = {"AUTH", "PASS", "LOGIN", "PLAIN"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (slice_starts(s, words[i]))
            return strlen(words[i]);
    return 0;
}

struct slice discreet_words(struct slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        size_t n = i == 0 || is_blank(text.p[i - 1]) ? announcement(slice_after(text, i)) : 0;
        if (n && (i + n == text.n || is_blank(text.p[i + n])))
            return (struct slice){text.p, i + n};
    }
    return text;
}

bool discreet_announces(struct slice line)
{
    for (size_t i = 0; i < line.n; i++)
        if (announcement(slice_after(line, i)))
            return true;
    return false;
}

static bool is_shown(struct slice verb)
{
    static const char *const verbs[] = {"HELO", "EHLO", "MAIL", "RCPT", "VRFY", "EXPN"};

    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (slice_is(verb, verbs[i]))
            return true;
    return false;
}

struct slice discreet_line(struct slice line)
{
    struct slice verb = line;

    for (verb.n = 0; verb.n < line.n && !is_blank(line.p[verb.n]);)
        verb.n++;
    if (is_shown(verb))
        return discreet_words(line);
    for (size_t i = 0; i < verb.n; i++)
        if (i == DISCREET_VERB || !is_letter(verb.p[i]))
            verb.n = 0;
    return verb;
}

struct slice discreet_text(struct slice text)
{
    size_t n = 0;

    while (n < text.n) {
        struct slice line = slice_after(text, n);
        const char *lf = memchr(line.p, '\n', line.n);
        size_t end = lf ? (size_t)(lf - line.p) + 1 : line.n;
        size_t length = end - (lf != NULL);
        if (length && line.p[length - 1] == '\r')
            length--;
        line.n = length;
        size_t shown = discreet_line(line).n;
        if (shown < length)
            return (struct slice){text.p, n + shown};
        n += end;
    }
    return text;
}

static bool is_end(char c)
{
    return c == '\r' || c == '\n' || c == '?';
}

struct slice discreet_foreign(struct slice text)
{
    const bool has_lines = text.n && is_letter(*text.p);
    size_t n = 0, word, host = text.n; /* may begin there: http://user:password@host */

    if (!has_lines && text.n > DISCREET_BYTES)
        text.n = DISCREET_BYTES;
    while (host && text.p[host - 1] != '@')
        host--;
    for (; n < text.n && !(has_lines && (is_end(text.p[n]) || (n < host && text.p[n] == ':'))); n++)
        if ((word = announcement(slice_after(text, n))))
            return (struct slice){text.p, n + word};
    return (struct slice){text.p, n};
}
