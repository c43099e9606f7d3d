#define _DEFAULT_SOURCE /* explicit_bzero */
#include "smtp/auth.h"

#include "smtp/checkpassword.h"
#include "smtp/pace.h"
#include "smtp/sasl.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

enum { TRIED_MOST = 64 }; /* octets of a name that is logged */

#define CHECK_TIME (30 * SECOND) /* for the program, if TIMEOUT is not less */

/* One attempt. All of it is wiped at the end. */
struct attempt {
    const struct reply *failure; /* of one that cannot be right; NULL: the client is gone */
    struct slice user, password; /* in the buffers */
    char first[SASL_MESSAGE], second[SASL_MESSAGE];
};

bool auth_is_offered(const struct session *s)
{
    return s->config.checkpassword && (s->tls || s->config.auth_insecure) && !session_is_authenticated(s);
}

void auth_begin(const struct session *s)
{
    if (s->config.checkpassword)
        prctl(PR_SET_DUMPABLE, 0);
}

static bool fail(struct attempt *a, const struct reply *why)
{
    a->failure = why;
    return false;
}

static bool decode(struct attempt *a, struct slice text, char buffer[SASL_MESSAGE], struct slice *message)
{
    message->p = buffer;
    if (slice_is(text, "*"))
        return fail(a, &reply_auth_cancelled);
    if (text.n > SASL_TEXT)
        return fail(a, &reply_auth_too_long);
    return sasl_decode(text, buffer, &message->n) || fail(a, &reply_auth_malformed);
}

/* The client's answer to a challenge. */
static bool ask(struct session *s, const struct reply *challenge, struct attempt *a,
                char buffer[SASL_MESSAGE], struct slice *message)
{
    struct slice line;

    session_reply(s, challenge);
    int r = wire_line(&s->wire, &line);
    if (r < 0)
        return fail(a, NULL);
    return r ? decode(a, line, buffer, message) : fail(a, &reply_auth_too_long);
}

/* The response that came with the command, where `=` stands for an empty one; else the answer to a
 * challenge. */
static bool begin(struct session *s, struct slice initial, const struct reply *challenge, struct attempt *a,
                  struct slice *message)
{
    if (!initial.n)
        return ask(s, challenge, a, a->first, message);
    if (slice_is(initial, "="))
        initial.n = 0;
    return decode(a, initial, a->first, message);
}

static bool plain(struct session *s, struct slice initial, struct attempt *a)
{
    struct slice message, authzid;

    if (!begin(s, initial, &reply_auth_go_on, a, &message))
        return false;
    if (!sasl_plain(message, &authzid, &a->user, &a->password))
        return fail(a, &reply_auth_malformed);
    /* Nobody may act as somebody else. */
    bool same = authzid.n == a->user.n && !memcmp(authzid.p, a->user.p, authzid.n);
    return !authzid.n || same || fail(a, &reply_auth_failed);
}

static bool login(struct session *s, struct slice initial, struct attempt *a)
{
    return begin(s, initial, &reply_auth_user, a, &a->user) &&
           ask(s, &reply_auth_password, a, a->second, &a->password);
}

static const struct mechanism {
    const char *name;
    bool (*run)(struct session *s, struct slice initial, struct attempt *a);
} mechanisms[] = {{"PLAIN", plain}, {"LOGIN", login}};

static const struct mechanism *find_mechanism(struct slice name)
{
    for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++)
        if (slice_is(name, mechanisms[i].name))
            return &mechanisms[i];
    return NULL;
}

static void accept_user(struct session *s, const struct mechanism *m, struct slice user)
{
    s->user_len = user.n < SESSION_USER ? user.n : SESSION_USER;
    memcpy(s->user, user.p, s->user_len);
    if (!s->config.relayclient) {
        s->config.relayclient = "";
        s->relay_granted = true;
    }
    log_event(&s->log, "auth");
    log_string(&s->log, "mechanism", m->name);
    session_log_security(s);
    log_end(&s->log);
}

/* For the log: the name whose password was wrong, cut short where it can be no name. Some clients send
 * name and password as one: with a NUL between, as in AUTH PLAIN, or a colon, as in HTTP. The log gets the
 * part before either. */
static void note_failure(struct session *s, struct slice user)
{
    static const char behind[] = " \t\r\n:"; /* and NUL */
    size_t n = 0;

    while (n < user.n && n < TRIED_MOST && !memchr(behind, user.p[n], sizeof behind))
        n++;
    s->tried_len = n;
    memcpy(s->user, user.p, n);
}

static const struct reply *check(struct session *s, const struct mechanism *m, const struct attempt *a)
{
    int64_t patience = s->config.timeout < CHECK_TIME ? s->config.timeout : CHECK_TIME;
    int exit_code;
    enum checkpassword_result r = checkpassword_ask(s->config.checkpassword, a->user, a->password,
                                                    deadline_after(deadline_now(), patience), &exit_code);

    if (r == CHECKPASSWORD_RIGHT) {
        accept_user(s, m, a->user);
        return &reply_auth_ok;
    }
    if (r == CHECKPASSWORD_WRONG)
        return &reply_auth_failed;
    if (r == CHECKPASSWORD_STOPPED)
        return &reply_shutdown;
    session_log_trouble(s, "checkpassword", s->config.checkpassword, errno, exit_code);
    return &reply_auth_trouble;
}

/* NULL: it may be tried. */
static const struct reply *check_state(struct session *s)
{
    if (!s->config.checkpassword)
        return &reply_auth;
    if (!s->tls && !s->config.auth_insecure)
        return &reply_auth_insecure;
    if (session_is_authenticated(s))
        return &reply_auth_again;
    if (!s->greeted)
        return &reply_hello_first;
    if (s->transaction.open)
        return &reply_nested_mail;
    if (s->config.maxauths && s->auths >= s->config.maxauths)
        return &reply_auths;
    return pace_turn(s, "AUTH");
}

static const struct reply *authenticate(struct session *s, struct slice argument)
{
    struct attempt a;
    struct slice name = argument, initial;

    for (name.n = 0; name.n < argument.n && argument.p[name.n] != ' ' && argument.p[name.n] != '\t';)
        name.n++;
    initial = slice_after(argument, name.n < argument.n ? name.n + 1 : name.n);
    const struct mechanism *m = find_mechanism(name);
    if (!m)
        return name.n ? &reply_auth_mechanism : &reply_argument;
    a.user = (struct slice){"", 0};
    const struct reply *r = m->run(s, initial, &a) ? check(s, m, &a) : a.failure;
    if (r == &reply_auth_failed || r == &reply_auth_trouble)
        note_failure(s, a.user);
    explicit_bzero(&a, sizeof a);
    return r;
}

const struct reply *auth_command(struct session *s, struct slice argument)
{
    const struct reply *r = check_state(s);

    if (!r)
        r = authenticate(s, argument);
    s->auths += r == &reply_auth_failed || r == &reply_auth_trouble;
    return r;
}
