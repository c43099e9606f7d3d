#include "table/pwhash.h"

static bool is_base64(char c)
{
    return (c >= '.' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t count(struct slice s, bool (*fits)(char c))
{
    size_t n = 0;

    while (n < s.n && fits(s.p[n]))
        n++;
    return n;
}

static bool take(struct slice *s, char c)
{
    if (!s->n || *s->p != c)
        return false;
    *s = slice_after(*s, 1);
    return true;
}

/* Takes `least` to `most` characters that fit. */
static bool take_some(struct slice *s, size_t least, size_t most, bool (*fits)(char c))
{
    size_t n = count(*s, fits);

    *s = slice_after(*s, n);
    return n >= least && n <= most;
}

/* The last field. */
static bool is_sum(struct slice s, size_t length)
{
    return s.n == length && count(s, is_base64) == length;
}

/* [rounds=N$]salt$sum */
static bool is_sha(struct slice s, size_t sum)
{
    static const char option[] = "rounds=";
    const size_t n = sizeof option - 1;

    if (s.n > n && !memcmp(s.p, option, n)) {
        s = slice_after(s, n);
        if (*s.p == '0' || !take_some(&s, 2, 9, is_digit) || !take(&s, '$'))
            return false;
    }
    const char *end = s.n ? memchr(s.p, '$', s.n) : NULL;
    size_t salt = end ? (size_t)(end - s.p) : 0;
    for (size_t i = 0; i < salt; i++)
        if (s.p[i] < '!' || s.p[i] > '~' || s.p[i] == ':')
            return false;
    return salt >= 1 && salt <= 16 && is_sum(slice_after(s, salt + 1), sum);
}

static bool is_sha256(struct slice s)
{
    return is_sha(s, 43);
}

static bool is_sha512(struct slice s)
{
    return is_sha(s, 86);
}

/* cost$salt-and-sum; from 2^4 to 2^31 rounds. */
static bool is_bcrypt(struct slice s)
{
    struct slice cost = s;

    if (!take_some(&s, 2, 2, is_digit) || !take(&s, '$') || !is_sum(s, 53))
        return false;
    int n = (cost.p[0] - '0') * 10 + cost.p[1] - '0';
    return n >= 4 && n <= 31;
}

/* parameters$salt$sum */
static bool is_yescrypt(struct slice s)
{
    return take_some(&s, 1, 64, is_base64) && take(&s, '$') && take_some(&s, 0, 86, is_base64) &&
           take(&s, '$') && is_sum(s, 43);
}

/* parameters-and-salt$sum */
static bool is_scrypt(struct slice s)
{
    return take_some(&s, 11, 97, is_base64) && take(&s, '$') && is_sum(s, 43);
}

static const struct {
    const char *prefix;
    bool (*is_whole)(struct slice rest); /* NULL: the method is weak */
} methods[] = {
    {"$y$", is_yescrypt}, {"$gy$", is_yescrypt}, {"$7$", is_scrypt},  {"$6$", is_sha512}, {"$5$", is_sha256},
    {"$2b$", is_bcrypt},  {"$2y$", is_bcrypt},   {"$2a$", is_bcrypt}, {"$2x$", NULL},     {"$1$", NULL},
    {"$apr1$", NULL},     {"$3$", NULL},         {"$md5$", NULL},     {"$md5,", NULL},    {"$sha1$", NULL},
};

/* Two letters of salt and the sum, as DES has it, or its extension by BSDi. */
static bool is_des(struct slice s)
{
    return is_sum(s, 13) || (s.n == 20 && *s.p == '_' && is_sum(slice_after(s, 1), 19));
}

static const char weak[] = "weak hash: take one of SHA-512, bcrypt or yescrypt";

const char *pwhash_unwrap(struct slice *text)
{
    static const char *const crypts[] = {"{CRYPT}",     "{SHA512-CRYPT}", "{SHA256-CRYPT}", "{BLF-CRYPT}",
                                         "{DES-CRYPT}", "{MD5-CRYPT}",    "{MD5}"};

    if (!text->n || *text->p != '{')
        return NULL;
    for (size_t i = 0; i < sizeof crypts / sizeof *crypts; i++)
        if (slice_starts(*text, crypts[i])) {
            *text = slice_after(*text, strlen(crypts[i]));
            return NULL;
        }
    return "a scheme that is none of crypt(3): doveadm pw -s SHA512-CRYPT makes one";
}

const char *pwhash_check(struct slice text)
{
    if (!text.n)
        return "no hash";
    if (*text.p == '*' || *text.p == '!')
        return "locked, no hash";
    if (text.n > PWHASH_MAX)
        return "hash too long";
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        size_t n = strlen(methods[i].prefix);
        if (text.n < n || memcmp(text.p, methods[i].prefix, n) != 0)
            continue;
        if (!methods[i].is_whole)
            return weak;
        return methods[i].is_whole(slice_after(text, n)) ? NULL : "hash is not whole";
    }
    return is_des(text) ? weak : "not a hash of crypt(3)";
}
