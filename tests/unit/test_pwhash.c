#include "table/pwhash.h"
#include "tests/unit/unit.h"

/* Real ones, of "secret", in libxcrypt's spelling. */
#define YESCRYPT                                                                                             \
    "$y$j75$k2XAnEHBqQ1Ct2aMXFKNa/HAmA1BpMnBsYHMWB4NZN4$HDtJcZhEDN4lYyPsFs6qifx7sabk8w1.1PAkGR8ixD6"
#define GOST "$gy$j75$k2XAnEHBqQ1Ct2aMXFKNa/HAmA1BpMnBsYHMWB4NZN4$wQ1Nq/4QB56Jl/pbLpHISikj8f6KCgYZgaHVNv6zTC6"
#define SCRYPT                                                                                               \
    "$7$BU..../....k2XAnEHBqQ1Ct2aMXFKNa/HAmA1BpMnBsYHMWB4NZN4$9xFFQ/"                                       \
    "ehzI.fiqOb0dOIHQ7OAxLb1VFQEblfTlG8eHA"
#define SUM512 "iHrwyiyKiHg2YYwyBUuMGKxA1KEcXtz5/1GeBzr0MS1P/uuE3hZ0bFaooxSWrUiR3AnSTuj.ImcGKhyGcmwS5."
#define SUM256 "jgOl0V/Vic8BJZ4wBDLE5hPwrxO8FWvvQqq4b1wm6k0"
#define BCRYPT "KBCwKxOzLha2MUDgW0PjXe/hE/UCO9qF89dOydoHjSwxcHev5LRn."
#define WEAK "weak hash: take one of SHA-512, bcrypt or yescrypt"
#define A16 "aaaaaaaaaaaaaaaa"
#define A96 A16 A16 A16 A16 A16 A16

static const struct {
    const char *name, *input;
    const char *want; /* NULL: good */
    const char *why;
} rows[] = {
    {"yescrypt", YESCRYPT, NULL, "Debian's own"},
    {"gost-yescrypt", GOST, NULL, "libxcrypt knows it"},
    {"scrypt", SCRYPT, NULL, "libxcrypt knows it"},
    {"SHA-512", "$6$k2XAnEHBqQ1Ct2aM$" SUM512, NULL, "openssl passwd -6"},
    {"SHA-512 with rounds", "$6$rounds=1000$k2XAnEHBqQ1Ct2aM$" SUM512, NULL, "mkpasswd -R"},
    {"SHA-512 with a short salt", "$6$a$" SUM512, NULL, "the format has it"},
    {"SHA-512 with an odd salt", "$6$a!b~=\"$" SUM512, NULL, "crypt(5) has these, too"},
    {"SHA-256", "$5$k2XAnEHBqQ1Ct2aM$" SUM256, NULL, "openssl passwd -5"},
    {"SHA-256 with rounds", "$5$rounds=999999999$k2XAnEHBqQ1Ct2aM$" SUM256, NULL, "the most"},
    {"bcrypt", "$2b$04$" BCRYPT, NULL, "htpasswd -B"},
    {"bcrypt of htpasswd", "$2y$05$" BCRYPT, NULL, "htpasswd -B"},
    {"bcrypt of old", "$2a$31$" BCRYPT, NULL, "the most"},

    {"empty", "", "no hash", "nobody is let in without a password"},
    {"star", "*", "locked, no hash", "as /etc/passwd has it"},
    {"exclamation mark", "!", "locked, no hash", "as /etc/shadow has it"},
    {"locked", "!" YESCRYPT, "locked, no hash", "usermod -L"},
    {"locked twice", "!!", "locked, no hash", "as others have it"},
    {"failure of crypt(3)", "*0", "locked, no hash", "made by a program that does not look"},
    {"password", "secret", "not a hash of crypt(3)", "it would stand in a file"},
    {"x", "x", "not a hash of crypt(3)", "/etc/passwd: elsewhere"},
    {"dollar", "$", "not a hash of crypt(3)", "no method"},
    {"no method", "$$abc$def", "not a hash of crypt(3)", "no method"},
    {"unknown method", "$99$abc$" SUM256, "not a hash of crypt(3)", "no method"},
    {"scheme", "{SHA512-CRYPT}$6$a$" SUM512, "not a hash of crypt(3)", "Dovecot's; the rest would do"},
    {"{SHA}", "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "not a hash of crypt(3)", "no salt, one round"},
    {"method alone", "$6$", "hash is not whole", "a setting"},
    {"salt alone", "$6$abc", "hash is not whole", "a setting"},
    {"salt and dollar", "$6$abc$", "hash is not whole", "a setting"},

    {"DES", "kl.bVxHBAClgE", WEAK, "8 characters, 56 bits"},
    {"BSDi's DES", "_J9..k2XAYfyaWNeEMnc", WEAK, "56 bits a block"},
    {"MD5", "$1$k2XAnEHB$rbDfQq368qWY4bas.D3Ac0", WEAK, "1000 rounds of MD5"},
    {"Apache's MD5", "$apr1$k2XAnEHB$rbDfQq368qWY4bas.D3Ac0", WEAK, "htpasswd's default"},
    {"NT", "$3$$878d8014606cda29677a44efa1353fc7", WEAK, "no salt, one round"},
    {"Sun's MD5", "$md5,rounds=45105$mA1BpMnB$$kpigs33xa/yO4/1LaCp2b/", WEAK, "MD5"},
    {"Sun's MD5, no rounds", "$md5$mA1BpMnB$$kpigs33xa/yO4/1LaCp2b/", WEAK, "MD5"},
    {"SHA-1", "$sha1$17$qI1BtUnBX7KMaJ4Nm21ApEnAsQXBW3KCZFqM$IUbDcCadbndmFjX63/8K82EUyIHD", WEAK, "SHA-1"},
    {"bcrypt with the bug", "$2x$05$" BCRYPT, WEAK, "loses bits of letters that are not ASCII"},

    {"SHA-512 cut", "$6$abc$iHrwyiyKiHg2", "hash is not whole", "pasted in part"},
    {"SHA-512 and more", "$6$abc$" SUM512 "x", "hash is not whole", "glued"},
    {"SHA-512 of SHA-256", "$6$abc$" SUM256, "hash is not whole", "the other's length"},
    {"SHA-256 of SHA-512", "$5$abc$" SUM512, "hash is not whole", "the other's length"},
    {"SHA-512, no salt", "$6$$" SUM512, "hash is not whole", "crypt(5)"},
    {"SHA-512, long salt", "$6$k2XAnEHBqQ1Ct2aMx$" SUM512, "hash is not whole", "crypt(3) would cut it"},
    {"SHA-512, colon in salt", "$6$a:b$" SUM512, "hash is not whole", "no field of shadow"},
    {"SHA-512, control", "$6$a\x01$" SUM512, "hash is not whole", "no text"},
    {"SHA-512, no ASCII", "$6$\xc3\xbc$" SUM512, "hash is not whole", "no text"},
    {"SHA-512, bad letter", "$6$abc$=" SUM256 SUM256, "hash is not whole", "no base 64 of crypt(3)"},
    {"rounds, none", "$6$rounds=$abc$" SUM512, "hash is not whole", "no number"},
    {"rounds, few", "$6$rounds=9$abc$" SUM512, "hash is not whole", "crypt(5) has two digits at least"},
    {"rounds, zero first", "$6$rounds=01000$abc$" SUM512, "hash is not whole", "crypt(3) refuses it"},
    {"rounds, too many", "$6$rounds=1000000000$abc$" SUM512, "hash is not whole", "crypt(3) refuses it"},
    {"rounds, no number", "$6$rounds=1x00$abc$" SUM512, "hash is not whole", "no number"},
    {"rounds alone", "$6$rounds=", "hash is not whole", "nothing behind"},
    {"bcrypt cut", "$2b$04$KBCwKx", "hash is not whole", "pasted in part"},
    {"bcrypt and more", "$2b$04$" BCRYPT "x", "hash is not whole", "glued"},
    {"bcrypt, cheap", "$2b$03$" BCRYPT, "hash is not whole", "crypt(3) refuses it"},
    {"bcrypt, dear", "$2b$32$" BCRYPT, "hash is not whole", "crypt(3) refuses it"},
    {"bcrypt, one digit", "$2b$4$" BCRYPT, "hash is not whole", "crypt(3) refuses it"},
    {"bcrypt, no cost", "$2b$" BCRYPT, "hash is not whole", "crypt(3) refuses it"},
    {"yescrypt cut", "$y$j75$k2XAnEHBqQ1Ct2aMX", "hash is not whole", "pasted in part"},
    {"yescrypt, no parameters", "$y$$abc$" SUM256, "hash is not whole", "crypt(5)"},
    {"yescrypt, long salt", "$y$j75$" A96 "$" SUM256, "hash is not whole", "crypt(5)"},
    {"scrypt cut", "$7$BU..../....k2XAnEHB", "hash is not whole", "pasted in part"},
    {"scrypt, no salt", "$7$BU..../...$" SUM256, "hash is not whole", "parameters are eleven letters"},
    {"scrypt, long salt", "$7$" A96 "xx$" SUM256, "hash is not whole", "crypt(5)"},
    {"long", "$6$" A96 A96 A96 A96, "hash too long", "longer than crypt(3) makes"},
};

/* In a buffer of just its size, so that a sanitizer sees a step too far. */
static const char *check(const char *text, size_t n)
{
    char *exact = malloc(n ? n : 1);

    memcpy(exact, text, n);
    const char *why = pwhash_check((struct slice){exact, n});
    free(exact);
    return why;
}

START_TEST(row)
{
    const char *why = check(rows[_i].input, strlen(rows[_i].input));

    if (rows[_i].want)
        ck_assert_msg(why && !strcmp(why, rows[_i].want), "%s: %s: %s", rows[_i].name, rows[_i].why,
                      why ? why : "taken");
    else
        ck_assert_msg(!why, "%s: %s: %s", rows[_i].name, rows[_i].why, why ? why : "");
}
END_TEST

/* No hash is good without its last letter, with one more, or with another NUL in it. */
START_TEST(whole)
{
    const char *text = rows[_i].input;
    char copy[PWHASH_MAX + 1];
    size_t n = strlen(text);

    if (rows[_i].want)
        return;
    for (size_t k = 0; k < n; k++) {
        ck_assert_msg(check(text, k), "%s: %zu of %zu", rows[_i].name, k, n);
        memcpy(copy, text, n + 1);
        copy[k] = 0;
        ck_assert_msg(check(copy, n), "%s: NUL at %zu", rows[_i].name, k);
    }
    ck_assert_msg(check(text, n + 1), "%s: NUL behind", rows[_i].name);
}
END_TEST

#define FOREIGN "a scheme that is none of crypt(3): doveadm pw -s SHA512-CRYPT makes one"

static const struct {
    const char *name, *input;
    const char *want; /* the rest; or why not */
    bool good;
    const char *why;
} wrapped[] = {
    {"no scheme", "$6$a$b", "$6$a$b", true, "as it is"},
    {"nothing", "", "", true, "as it is"},
    {"CRYPT", "{CRYPT}$2y$05$" BCRYPT, "$2y$05$" BCRYPT, true, "any hash of crypt(3)"},
    {"SHA-512", "{SHA512-CRYPT}$6$a$" SUM512, "$6$a$" SUM512, true, "doveadm pw -s SHA512-CRYPT"},
    {"SHA-256", "{SHA256-CRYPT}$5$a$" SUM256, "$5$a$" SUM256, true, "doveadm pw -s SHA256-CRYPT"},
    {"bcrypt", "{BLF-CRYPT}$2y$05$" BCRYPT, "$2y$05$" BCRYPT, true, "doveadm pw -s BLF-CRYPT"},
    {"case", "{sha512-crypt}$6$a$" SUM512, "$6$a$" SUM512, true, "Dovecot ignores it"},
    {"weak", "{MD5-CRYPT}$1$k2XAnEHB$x", "$1$k2XAnEHB$x", true, "the rest is judged as ever"},
    {"weak, other name", "{MD5}$1$k2XAnEHB$x", "$1$k2XAnEHB$x", true, "the rest is judged as ever"},
    {"twice", "{CRYPT}{CRYPT}$6$a", "{CRYPT}$6$a", true, "one is taken off"},
    {"in the clear", "{PLAIN}secret", FOREIGN, false, "it would stand in a file"},
    {"SSHA512", "{SSHA512}abc=", FOREIGN, false, "one round"},
    {"ARGON2ID", "{ARGON2ID}$argon2id$v=19$m=65536", FOREIGN, false, "crypt(3) knows none"},
    {"other encoding", "{CRYPT.b64}JDYk", FOREIGN, false, "it would have to be decoded"},
    {"brace alone", "{", FOREIGN, false, "cut"},
    {"not closed", "{CRYPT$6$a", FOREIGN, false, "cut"},
};

START_TEST(unwrap)
{
    size_t n = strlen(wrapped[_i].input);
    char *exact = malloc(n ? n : 1);
    struct slice text = {exact, n};

    memcpy(exact, wrapped[_i].input, n);
    const char *why = pwhash_unwrap(&text);
    ck_assert_msg(!why == wrapped[_i].good, "%s: %s", wrapped[_i].name, wrapped[_i].why);
    if (why)
        ck_assert_str_eq(why, wrapped[_i].want);
    else
        ck_assert(text.n == strlen(wrapped[_i].want) && !memcmp(text.p, wrapped[_i].want, text.n));
    free(exact);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_loop_test(t, row, 0, COUNT(rows));
    tcase_add_loop_test(t, unwrap, 0, COUNT(wrapped));
    tcase_add_loop_test(t, whole, 0, COUNT(rows));
}

UNIT("pwhash", tests)
