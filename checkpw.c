/* postern-checkpw: a checkpassword program over a table of users.
 *
 * postern-checkpw(8) is its manual; the interface is http://cr.yp.to/checkpwd/interface.html
 *
 * An unknown name costs as much as a known one: one computation of crypt(3), by the hash of the table's
 * first user. */
#define _GNU_SOURCE /* explicit_bzero, crypt_r */
#include "base/about.h"
#include "base/exits.h"
#include "base/knob.h"
#include "log/log.h"
#include "table/lookup.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

extern char **environ;

enum { EXIT_MISUSED = 2 }; /* as the interface has it */

enum { CREDENTIALS_FD = 3, CREDENTIALS = 512 };

/* All buffers that hold the password, or results of it. */
static struct secret {
    char data[CREDENTIALS + 1]; /* one more than may come */
    struct crypt_data crypt;
} secret;

struct credentials {
    struct slice user;
    const char *password;
};

static void wipe(void)
{
    explicit_bzero(&secret, sizeof secret);
}

_Noreturn static void leave(int code)
{
    wipe();
    _exit(code);
}

/* No user is named: the name may be a mistyped password. */
_Noreturn static void fail(const char *object, const char *error)
{
    static struct log_buffer buffer;
    struct log log;

    wipe();
    log_init(&log, &buffer, STDERR_FILENO);
    log_event(&log, "checkpw");
    log_string(&log, "object", object);
    log_string(&log, "error", error);
    log_end(&log);
    _exit(EXIT_TROUBLE);
}

/* No other process may look into this one, and it leaves no core. Returns the setting that prog is to have
 * again. */
static struct rlimit hide(void)
{
    struct rlimit before = {0, 0};

    if (getrlimit(RLIMIT_CORE, &before) < 0 ||
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, before.rlim_max}) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
        fail("core", strerror(errno));
    return before;
}

/* Reads all of the descriptor. The number of octets; CREDENTIALS + 1: there are more. */
static size_t read_credentials(void)
{
    size_t n = 0;

    while (n < sizeof secret.data) {
        ssize_t r = read(CREDENTIALS_FD, secret.data + n, sizeof secret.data - n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0 && errno == EBADF)
            leave(EXIT_MISUSED);
        if (r < 0)
            fail("descriptor 3", strerror(errno));
        if (!r)
            break;
        n += (size_t)r;
    }
    close(CREDENTIALS_FD);
    return n;
}

/* user NUL password NUL timestamp NUL, and perhaps more. */
static bool parse(struct slice data, struct credentials *c)
{
    const char *field[3];

    for (int i = 0; i < 3; i++) {
        const char *end = data.n ? memchr(data.p, 0, data.n) : NULL;
        if (!end)
            return false;
        field[i] = data.p;
        data = slice_after(data, (size_t)(end - data.p) + 1);
    }
    c->user = slice_of(field[0]);
    c->password = field[1];
    return true;
}

/* As long as it takes for equal ones. */
static bool is_equal(const char *a, const char *b, size_t n)
{
    volatile unsigned char differ = 0;

    for (size_t i = 0; i < n; i++)
        differ |= (unsigned char)(a[i] ^ b[i]);
    return !differ;
}

/* The one computation. */
static bool is_right(const char *path, const char *password, struct slice hash)
{
    char setting[CRYPT_OUTPUT_SIZE];

    if (!hash.n || hash.n >= sizeof setting || memchr(hash.p, 0, hash.n))
        fail(path, table_error(EPROTO));
    memcpy(setting, hash.p, hash.n);
    setting[hash.n] = 0;
    errno = 0;
    const char *sum = crypt_r(password, setting, &secret.crypt);
    if (sum && *sum != '*')
        return strlen(sum) == hash.n && is_equal(sum, setting, hash.n);
    fail(path, errno == ENOMEM ? strerror(errno) : "Hash not known to crypt(3)");
}

static void refuse(void *context, const char *name, const char *value, const char *why)
{
    (void)context;
    fail(name, *value ? why : "Not set");
}

static const char *find_users(void)
{
    static const struct knob knobs[] = {KNOB_PLAIN("USERS", knob_path, 0)};
    const char *path = NULL;

    knob_load(knobs, 1, &path, environ, refuse, NULL);
    if (!path)
        fail("USERS", "Not set");
    return path;
}

static bool is_acceptable(const char *path, const struct credentials *c)
{
    static struct table_buffer buffer;
    struct table users;
    struct slice key, hash;

    table_init(&users, path, &buffer);
    int is_users = table_is(&users, "users", &hash);
    if (is_users < 0)
        fail(path, table_error(errno));
    if (!is_users)
        fail(path, "Not a table of users");
    int known = lookup_user(&users, c->user, &hash);
    int any = known ? known : table_first(&users, &key, &hash);
    if (any < 0)
        fail(path, table_error(errno));
    if (!any)
        return false; /* the table is empty: there is nobody to be found out */
    bool right = is_right(path, c->password, hash);
    return known && right && *c->password;
}

/* The name as the table has it. */
static void set_user(struct slice name)
{
    char user[ENTRY_USER_NAME + 1];

    for (size_t i = 0; i < name.n; i++)
        user[i] = slice_lower(name.p[i]);
    user[name.n] = 0;
    if (setenv("USER", user, 1) < 0)
        fail("USER", strerror(errno));
}

/* Without credentials the exit code answers a question about the program; with some it must never be 0 for
 * another reason than a right password. */
static int asked(int argc, char **argv)
{
    if (argc != 2 || *argv[1] != '-' || fcntl(CREDENTIALS_FD, F_GETFD) >= 0)
        return -1;
    return about_asked(argc, argv, "usage: postern-checkpw program [argument ...]\n");
}

int main(int argc, char **argv)
{
    int code = asked(argc, argv);
    if (code >= 0)
        return code;
    struct rlimit core = hide();
    struct credentials c;

    size_t n = read_credentials();
    if (n > CREDENTIALS || !parse((struct slice){secret.data, n}, &c))
        leave(EXIT_MISUSED);
    if (!is_acceptable(find_users(), &c))
        leave(EXIT_NO);
    set_user(c.user);
    wipe();
    if (argc < 2)
        _exit(EXIT_OK);
    setrlimit(RLIMIT_CORE, &core);
    execvp(argv[1], argv + 1);
    fail(argv[1], strerror(errno));
}
