#include "table/entry.h"

#include "table/place.h"
#include "table/pwhash.h"

#include <case.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void trim(struct slice *line)
{
    while (line->n && is_space(line->p[line->n - 1]))
        line->n--;
    while (line->n && is_space(*line->p))
        *line = slice_after(*line, 1);
}

/* White space and a comment, or nothing. */
static bool is_over(struct slice rest)
{
    size_t n = 0;
    while (n < rest.n && (rest.p[n] == ' ' || rest.p[n] == '\t'))
        n++;
    return n == rest.n || (n && rest.p[n] == '#');
}

/* Takes the first word off the line. */
static struct slice take_word(struct slice *line)
{
    struct slice word = *line;
    size_t n = 0;

    while (n < line->n && line->p[n] != ' ' && line->p[n] != '\t')
        n++;
    word.n = n;
    *line = slice_after(*line, n);
    return word;
}

static const char *put_domain(struct entry *e, const char *prefix, struct slice domain)
{
    size_t n = strlen(prefix);

    if (!address_is_domain(domain))
        return "bad domain";
    memcpy(e->key, prefix, n);
    memcpy(e->key + n, domain.p, domain.n);
    e->key_len = n + domain.n;
    case_lowerb(e->key, e->key_len);
    return NULL;
}

/* example.com, or .example.com for all that is below it, too. */
static const char *read_domain(struct slice line, struct entry *e)
{
    struct slice word = take_word(&line);
    const char *why =
        word.n && *word.p == '.' ? put_domain(e, ".", slice_after(word, 1)) : put_domain(e, "", word);

    e->value = (struct slice){"", 0};
    return why ? why : is_over(line) ? NULL : "more than a domain";
}

static const char *put_address(struct slice *line, struct entry *e)
{
    struct address a;

    if (line->n > 1 && !memcmp(line->p, "*@", 2))
        return "an asterisk is no pattern: all of a domain is @ and its name";
    const char *why = address_parse(*line, ADDRESS_MAILBOX, &a, line);

    if (!why)
        e->key_len = address_key(e->key, &a);
    return why;
}

/* user@example.com or @example.com, and its place. */
static const char *read_mailbox(struct slice line, struct entry *e)
{
    enum place_kind kind;
    const char *why;
    bool catch_all = *line.p == '@';

    if (catch_all) {
        line = slice_after(line, 1);
        why = put_domain(e, "@", take_word(&line));
    } else {
        why = put_address(&line, e);
    }
    if (!why && e->key_len && *e->key == '@' && !catch_all)
        why = "empty local part"; /* it would be taken for a catch-all */
    if (why)
        return why;
    if (is_over(line))
        line.n = 0;
    while (line.n && (*line.p == ' ' || *line.p == '\t'))
        line = slice_after(line, 1);
    e->value = line;
    return place_parse(line, &kind);
}

/* user@example.com, @example.com, example.com, .example.com */
static const char *read_sender(struct slice line, struct entry *e)
{
    struct slice rest = line, word = take_word(&rest);
    const char *why;

    if (*word.p == '@')
        return read_domain(slice_after(line, 1), e);
    if (!memchr(word.p, '@', word.n) && *word.p != '"')
        return read_domain(line, e);
    e->value = (struct slice){"", 0};
    why = put_address(&line, e);
    return why ? why : is_over(line) ? NULL : "more than an address";
}

/* The length of a user's name at the start of s, which a space or a colon ends. */
static size_t scan_user(struct slice s)
{
    size_t n = 0, step;

    for (; n < s.n; n += step) {
        step = s.p[n] > ' ' && s.p[n] <= '~' && s.p[n] != ':' ? 1 : address_utf8(slice_after(s, n));
        if (!step)
            break;
    }
    return n;
}

/* name hash, or name:hash as htpasswd and shadow have it. */
static const char *read_user(struct slice line, struct entry *e)
{
    size_t n = scan_user(line);
    bool colon = n < line.n && line.p[n] == ':';

    if (!n || n > ENTRY_USER_NAME || (n < line.n && !colon && line.p[n] != ' ' && line.p[n] != '\t'))
        return "bad name";
    memcpy(e->key, line.p, n);
    case_lowerb(e->key, n);
    e->key_len = n;
    line = slice_after(line, n + colon);
    if (is_over(line))
        line.n = 0;
    while (!colon && line.n && (*line.p == ' ' || *line.p == '\t'))
        line = slice_after(line, 1);
    e->value = take_word(&line);
    if (colon && memchr(e->value.p, ':', e->value.n))
        return "more than a name and a hash";
    const char *why = pwhash_unwrap(&e->value);
    if (!why)
        why = pwhash_check(e->value);
    return why ? why : is_over(line) ? NULL : "more than a name and a hash";
}

static const struct {
    const char *name;
    const char *(*read)(struct slice line, struct entry *e);
} kinds[] = {
    [ENTRY_DOMAIN] = {"domains", read_domain},
    [ENTRY_MAILBOX] = {"mailboxes", read_mailbox},
    [ENTRY_SENDER] = {"badsenders", read_sender},
    [ENTRY_USER] = {"users", read_user},
};

bool entry_kind(const char *name, enum entry_kind *kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(name, kinds[i].name)) {
            *kind = (enum entry_kind)i;
            return true;
        }
    return false;
}

const char *entry_name(enum entry_kind kind)
{
    return kinds[kind].name;
}

const char *entry_read(enum entry_kind kind, struct slice line, struct entry *e)
{
    e->key_len = 0;
    trim(&line);
    return !line.n || *line.p == '#' ? NULL : kinds[kind].read(line, e);
}
