#include "net/ucspitls.h"

#include "base/await.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A descriptor that is open, above 2, by its number in the environment. Else -1. */
static int find_descriptor(const char *name)
{
    const char *text = getenv(name);
    int fd = 0;

    if (!text || !*text || strlen(text) > 6)
        return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        fd = fd * 10 + (*text - '0');
    }
    return fd > 2 && !fcntl(fd, F_SETFD, FD_CLOEXEC) ? fd : -1;
}

bool ucspitls_find(struct ucspitls *u)
{
    u->control = find_descriptor(UCSPITLS_CONTROL);
    if (u->control < 0)
        return false;
    u->read = find_descriptor(UCSPITLS_READ);
    u->write = find_descriptor(UCSPITLS_WRITE);
    if (u->read < 0 || u->write < 0)
        u->control = -1;
    return u->control >= 0;
}

static bool is_plain(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c && strchr("._:+-", c));
}

/* Keeps the part of a value that fits. */
static void keep(char *out, size_t space, const char *value, size_t n)
{
    if (n > space - 1)
        n = space - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = is_plain(value[i]) ? value[i] : '_';
    out[n] = 0;
}

/* An entry NAME=value that has this name. */
static bool is_named(const char *entry, size_t n, const char *name, size_t *value)
{
    *value = strlen(name) + 1;
    return n >= *value && !memcmp(entry, name, *value - 1) && entry[*value - 1] == '=';
}

static void read_entry(const char *entry, size_t n, struct ucspitls_facts *facts)
{
    size_t at;

    if (is_named(entry, n, UCSPITLS_PROTOCOL, &at))
        keep(facts->protocol, sizeof facts->protocol, entry + at, n - at);
    else if (is_named(entry, n, UCSPITLS_CIPHER, &at))
        keep(facts->cipher, sizeof facts->cipher, entry + at, n - at);
    else if (is_named(entry, n, UCSPITLS_SERVER_NAME, &at))
        keep(facts->server_name, sizeof facts->server_name, entry + at, n - at);
}

bool ucspitls_is_on(struct ucspitls_facts *facts)
{
    const char *protocol = getenv(UCSPITLS_PROTOCOL);

    if (!protocol)
        return false;
    const char *cipher = getenv(UCSPITLS_CIPHER), *name = getenv(UCSPITLS_SERVER_NAME);
    keep(facts->protocol, sizeof facts->protocol, protocol, strlen(protocol));
    keep(facts->cipher, sizeof facts->cipher, cipher ? cipher : "", cipher ? strlen(cipher) : 0);
    keep(facts->server_name, sizeof facts->server_name, name ? name : "", name ? strlen(name) : 0);
    return true;
}

size_t ucspitls_feed(struct ucspitls_answer *a, const char *bytes, size_t n, struct ucspitls_facts *facts)
{
    size_t i = 0;

    while (i < n && !a->done && !a->bad) {
        char c = bytes[i++];
        a->bad = ++a->seen > UCSPITLS_LONGEST;
        if (c && a->entry_len < sizeof a->entry)
            a->entry[a->entry_len] = c;
        if (c) {
            a->entry_len++; /* also of values that are not kept */
            continue;
        }
        a->done = !a->entry_len;
        if (a->entry_len <= sizeof a->entry)
            read_entry(a->entry, a->entry_len, facts);
        a->entry_len = 0;
    }
    return i;
}

bool ucspitls_is_alive(const struct ucspitls *u)
{
    char c;
    ssize_t r = recv(u->control, &c, 1, MSG_PEEK | MSG_DONTWAIT);
    return r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK); /* and it has nothing to say yet */
}

static int fail(int why)
{
    errno = why;
    return -1;
}

int ucspitls_hear(const struct ucspitls *u, instant until, struct ucspitls_facts *facts)
{
    struct ucspitls_answer answer = {0};
    char bytes[1024];

    memset(facts, 0, sizeof *facts);
    while (!answer.done) {
        struct pollfd p = {.fd = u->control, .events = POLLIN};
        if (deadline_now() >= until)
            return fail(ETIMEDOUT);
        if (await_stopped())
            return fail(EINTR);
        if (await_poll(&p, 1, until) < 0)
            return -1;
        /* All three descriptors may be one: bytes behind the answer must stay. */
        ssize_t r = p.revents ? recv(u->control, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT) : 0;
        if (!p.revents || (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)))
            continue;
        if (r <= 0)
            return fail(r ? errno : ECONNRESET);
        size_t taken = ucspitls_feed(&answer, bytes, (size_t)r, facts);
        if (answer.bad)
            return fail(EPROTO);
        if (recv(u->control, bytes, taken, 0) != (ssize_t)taken)
            return fail(EPROTO);
    }
    return 0;
}

int ucspitls_start(const struct ucspitls *u, instant until, struct ucspitls_facts *facts)
{
    return send(u->control, "Y", 1, MSG_NOSIGNAL) == 1 ? ucspitls_hear(u, until, facts) : -1;
}

int ucspitls_switch(struct ucspitls *u)
{
    int r = dup2(u->read, 0) < 0 || dup2(u->write, 1) < 0 ? -1 : 0;

    close(u->control); /* a second close of one descriptor does nothing */
    close(u->read);
    close(u->write);
    u->control = -1;
    return r;
}
