/* A hash as it stands in a table of users. A hash that is taken has a method of crypt(5) that we name, and
 * is whole: without its last letter, or with one more, it is refused. */
#include "tests/fuzz/fuzz.h"

#include "table/pwhash.h"

static bool is_taken(const char *bytes, size_t n)
{
    struct slice exact = copy_of(bytes, n);
    const char *why = pwhash_check(exact);

    MUST(!why || *why);
    drop(exact);
    return !why;
}

static void check_taken(struct slice hash)
{
    static const char *const methods[] = {"$y$", "$gy$", "$7$", "$6$", "$5$", "$2b$", "$2y$", "$2a$"};
    char longer[PWHASH_MAX + 1];
    bool named = false;

    MUST(hash.n && hash.n <= PWHASH_MAX);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        named |= hash.n > strlen(methods[i]) && !memcmp(hash.p, methods[i], strlen(methods[i]));
    MUST(named);
    for (size_t i = 0; i < hash.n; i++)
        MUST(hash.p[i] >= '!' && hash.p[i] <= '~' && hash.p[i] != ':');
    MUST(!is_taken(hash.p, hash.n - 1));
    memcpy(longer, hash.p, hash.n);
    for (const char *more = "./09azAZ$ "; *more; more++) {
        longer[hash.n] = *more;
        MUST(!is_taken(longer, hash.n + 1));
    }
}

/* Behind a scheme of Dovecot's it is the same hash. */
static void check_wrapped(struct slice hash)
{
    static const char *const schemes[] = {"{CRYPT}", "{SHA512-CRYPT}", "{SHA256-CRYPT}", "{blf-crypt}"};
    char text[16 + PWHASH_MAX];

    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t n = strlen(schemes[i]);
        memcpy(text, schemes[i], n);
        memcpy(text + n, hash.p, hash.n);
        struct slice wrapped = {text, n + hash.n};
        MUST(!pwhash_unwrap(&wrapped) && is_same(wrapped, hash));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice whole = copy_of(data, size), hash = whole;
    const char *why = pwhash_unwrap(&hash);

    if (why)
        MUST(*why && size && *data == '{' && hash.p == whole.p);
    MUST(hash.p >= whole.p && hash.p + hash.n == whole.p + whole.n);
    if (!why && is_taken(hash.p, hash.n)) {
        check_taken(hash);
        check_wrapped(hash);
    }
    drop(whole);
    return 0;
}
