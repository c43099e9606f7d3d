/* A line of a table's source; the first octet picks the table. White space, comments and case do not
 * change its meaning, and the lookups' own keys find it. */
#include "tests/fuzz/fuzz.h"

#include "table/entry.h"
#include "table/place.h"
#include "table/pwhash.h"

#include <ctype.h>

static const enum entry_kind kinds[] = {ENTRY_DOMAIN, ENTRY_MAILBOX, ENTRY_SENDER, ENTRY_USER};

static bool is_equal(const struct entry *a, const struct entry *b)
{
    return is_same((struct slice){a->key, a->key_len}, (struct slice){b->key, b->key_len}) &&
           (!a->key_len || is_same(a->value, b->value));
}

static void check_again(enum entry_kind kind, const char *before, struct slice line, const char *behind,
                        const struct entry *want)
{
    size_t n = strlen(before), k = strlen(behind);
    char *text = malloc(n + line.n + k + 1);
    struct entry e;

    memcpy(text, before, n);
    memcpy(text + n, line.p, line.n);
    memcpy(text + n + line.n, behind, k);
    MUST(!entry_read(kind, (struct slice){text, n + line.n + k}, &e) && is_equal(&e, want));
    free(text);
}

/* Both forms of a line mean the same; no octet of the hash may be missing. */
static void check_user(struct slice line, const struct entry *e)
{
    char text[ENTRY_KEY + 1 + PWHASH_MAX];
    size_t n = e->key_len;

    MUST(n <= ENTRY_USER_NAME && e->value.n <= PWHASH_MAX);
    memcpy(text, e->key, n);
    for (const char *space = " \t:"; *space; space++) {
        text[n] = *space;
        memcpy(text + n + 1, e->value.p, e->value.n);
        check_again(ENTRY_USER, "", (struct slice){text, n + 1 + e->value.n}, "", e);
    }
    MUST(memchr(line.p, '$', line.n) && *e->value.p == '$');
}

static void check_entry(enum entry_kind kind, struct slice line, const struct entry *e)
{
    struct slice key = {e->key, e->key_len};
    enum place_kind place;

    MUST(key.n <= ENTRY_KEY);
    while (line.n && strchr(" \t\r\n", line.p[line.n - 1]) && line.p[line.n - 1])
        line.n--;
    check_again(kind, " \t", line, "", e);
    check_again(kind, "", line, " \t\r\n", e);
    if (!key.n)
        return;
    for (size_t i = 0; i < key.n; i++)
        MUST((unsigned char)key.p[i] >= ' ' && key.p[i] != 127 && !isupper((unsigned char)key.p[i]));
    MUST(!e->value.n || (e->value.p >= line.p && e->value.p + e->value.n <= line.p + line.n));
    MUST(kind == ENTRY_USER ? !pwhash_check(e->value) : !place_parse(e->value, &place));
    if (!e->value.n || kind == ENTRY_USER)
        check_again(kind, "", line, " # comment", e);
    if (kind != ENTRY_MAILBOX && kind != ENTRY_USER)
        MUST(!e->value.n);
    if (kind == ENTRY_USER)
        check_user(line, e);
    if (kind == ENTRY_DOMAIN)
        check_again(kind, "", key, "", e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct entry e;

    if (!size)
        return 0;
    enum entry_kind kind = kinds[data[0] % 4];
    struct slice line = copy_of(data + 1, size - 1);
    const char *why = entry_read(kind, line, &e);
    if (why)
        MUST(*why);
    else
        check_entry(kind, line, &e);
    drop(line);
    return 0;
}
