/* postern-spool: qmail-queue's interface in front of Maildirs: a message on descriptor 0, its envelope on 1.
 * postern-spool(8) is its manual.
 *
 * No Maildir is touched before both have come to their ends and every recipient has a place. */
#define _XOPEN_SOURCE 700 /* SIGXFSZ */
#include "base/about.h"
#include "base/await.h"
#include "base/hold.h"
#include "base/knob.h"
#include "log/log.h"
#include "mail/host.h"
#include "store/delivery.h"
#include "table/route.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <fmt.h>

extern char **environ;

/* Those of qmail-queue(8): with one from 11 to 40 the caller gives up, with another one it tries again. */
enum {
    EXIT_STORED = 0,
    EXIT_LONG = 11,
    EXIT_NEVER = 31,
    EXIT_LATE = 52,
    EXIT_WRITE = 53,
    EXIT_READ = 54,
    EXIT_CONFIG = 55,
    EXIT_MAILDIR = 62,
    EXIT_NOT_NOW = 71,
    EXIT_ENVELOPE = 91
};

enum {
    ADDRESS_MOST = ADDRESS_PATH - 2, /* octets of an address in an envelope, which has no brackets */
    ID = 2 * FMT_ULONG
};

#define PATIENCE (24 * 3600 * SECOND) /* until message and envelope have come, as in qmail-queue */

struct settings {
    const char *me;
    const char *domains, *mailboxes, *spool; /* paths; NULL: not set */
};

/* A descriptor that is read from front to end. */
struct input {
    int fd;
    const char *name;
    size_t at, n; /* of the block: what was taken, and what came */
    char block[HOLD_BLOCK];
};

/* The first recipient that has no place, and why. */
struct refusal {
    int code;           /* 0: there is none */
    const char *object; /* the table or variable at fault; NULL: none is */
    struct slice error;
    size_t to_len;
    char to[ADDRESS_MOST];
};

static struct {
    struct settings settings;
    struct log log;
    struct log_buffer log_buffer;
    instant until;
    struct input input;
    struct hold message;
    struct refusal refusal;
    struct table domains, mailboxes;
    struct table_buffer table_buffer[2];
    struct transaction transaction;
    struct transaction_buffer transaction_buffer;
    struct delivery delivery;
} job;

static void log_path(const char *key, struct slice path)
{
    char text[ADDRESS_FMT + 2] = "<";

    memcpy(text + 1, path.p, path.n);
    text[1 + path.n] = '>';
    log_bytes(&job.log, key, (struct slice){text, path.n + 2});
}

/* Nothing is stored. `object` may be NULL. */
_Noreturn static void leave(int code, const char *object, struct slice error)
{
    log_event(&job.log, "spool");
    log_number(&job.log, "exit", (uint64_t)code);
    if (job.transaction.open)
        log_path("from", transaction_sender(&job.transaction));
    if (job.refusal.to_len)
        log_path("to", (struct slice){job.refusal.to, job.refusal.to_len});
    if (object)
        log_string(&job.log, "object", object);
    log_bytes(&job.log, "error", error);
    log_end(&job.log);
    exit(code);
}

_Noreturn static void fail(int code, const char *object, int error)
{
    leave(code, object, slice_of(strerror(error)));
}

/* Settings --------------------------------------------------------------------------------------------- */

#define FIELD(member) offsetof(struct settings, member)

static const struct knob knobs[] = {
    KNOB_PLAIN("ME", host_kind, FIELD(me)),
    KNOB_PLAIN("DOMAINS", knob_path, FIELD(domains)),
    KNOB_PLAIN("MAILBOXES", knob_path, FIELD(mailboxes)),
    KNOB_PLAIN("SPOOL", knob_path, FIELD(spool)),
};

static void complain(void *context, const char *name, const char *value, const char *why)
{
    (void)context;
    (void)value;
    leave(EXIT_CONFIG, name, slice_of(why));
}

static void load(struct settings *s)
{
    knob_load(knobs, sizeof knobs / sizeof *knobs, s, environ, complain, NULL);
    if (!s->spool && !s->mailboxes)
        leave(EXIT_CONFIG, "SPOOL", slice_of("no place for mail is set"));
}

/* Input ------------------------------------------------------------------------------------------------ */

static struct input *open_input(int fd, const char *name)
{
    job.input.fd = fd;
    job.input.name = name;
    job.input.at = job.input.n = 0;
    return &job.input;
}

/* The next block. False at the end: after SIGTERM that of a message may be none, but then the envelope is not
 * read. */
static bool fill(struct input *in)
{
    struct pollfd p = {.fd = in->fd, .events = POLLIN};
    ssize_t r = -1;

    while (r < 0) {
        if (await_stopped())
            leave(EXIT_NOT_NOW, in->name, slice_of("SIGTERM"));
        if (!await_any(&p, 1, job.until))
            fail(EXIT_LATE, in->name, ETIMEDOUT);
        if (!p.revents)
            continue;
        r = read(in->fd, in->block, sizeof in->block);
        if (r < 0 && errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)
            fail(EXIT_READ, in->name, errno);
    }
    in->at = 0;
    in->n = (size_t)r;
    return r > 0;
}

static char next(struct input *in)
{
    if (in->at == in->n && !fill(in))
        leave(EXIT_READ, in->name, slice_of("cut off"));
    return in->block[in->at++];
}

static void read_message(void)
{
    struct input *in = open_input(0, "message");

    hold_init(&job.message);
    while (fill(in))
        if (hold_write(&job.message, in->block, in->n) < 0)
            fail(EXIT_WRITE, "/tmp", errno);
}

/* What stands between a letter and a NUL. */
static struct slice read_address(struct input *in, char text[ADDRESS_MOST])
{
    size_t n = 0;
    char c;

    while ((c = next(in))) {
        if (n == ADDRESS_MOST)
            leave(EXIT_LONG, in->name, slice_of("address too long"));
        text[n++] = c;
    }
    return (struct slice){text, n};
}

/* Envelope --------------------------------------------------------------------------------------------- */

static size_t quote_local(char *out, struct slice local)
{
    size_t n = 0;

    out[n++] = '"';
    for (size_t i = 0; i < local.n; i++) {
        if (local.p[i] == '"' || local.p[i] == '\\')
            out[n++] = '\\';
        out[n++] = local.p[i];
    }
    out[n++] = '"';
    return n;
}

/* An address of an envelope. qmail's programs leave out the quotes of a local part; without a domain, *home,
 * it is a mailbox of this host. NULL, or why it is none. */
static const char *parse(struct slice text, struct address *a, bool *home)
{
    char quoted[3 * ADDRESS_PATH];
    struct slice rest;
    size_t at = text.n;

    while (at && text.p[at - 1] != '@')
        at--;
    *home = !at;
    if (!address_parse(text, ADDRESS_MAILBOX, a, &rest) && !rest.n)
        return NULL;
    struct slice local = {text.p, at ? at - 1 : text.n},
                 domain = at ? slice_after(text, at) : slice_of(job.settings.me);
    if (!local.n)
        return "bad local part";
    size_t n = quote_local(quoted, local);
    quoted[n++] = '@';
    memcpy(quoted + n, domain.p, domain.n);
    const char *why = address_parse((struct slice){quoted, n + domain.n}, ADDRESS_MAILBOX, a, &rest);
    return !why && rest.n ? "bad domain" : why;
}

/* A sender that is no address, as that of qmail's double bounces, is nobody: no mail can go there. */
static void take_sender(struct slice text)
{
    struct address a;
    bool home;

    if (!text.n || parse(text, &a, &home))
        a.local_len = a.domain_len = 0;
    transaction_begin(&job.transaction, &a, false);
}

static void refuse(struct slice to, int code, const char *object, struct slice error)
{
    struct refusal *r = &job.refusal;

    r->code = code;
    r->object = object;
    r->error = error;
    r->to_len = to.n;
    memcpy(r->to, to.p, to.n);
}

static void refuse_lookup(struct slice to, const struct table *t)
{
    refuse(to, EXIT_CONFIG, t->path, slice_of(table_error(errno)));
}

/* The recipient's mail goes to the Maildir `place`, or if that is empty to SPOOL. */
static void add(struct slice to, const struct address *a, struct slice place)
{
    char text[ADDRESS_FMT];
    struct slice recipient = {text, address_fmt(text, a)};

    if (!place.n && !job.settings.spool)
        refuse(to, EXIT_CONFIG, "SPOOL", slice_of("no place for this recipient's mail"));
    else if (!transaction_add(&job.transaction, recipient, place))
        refuse(to, EXIT_NEVER, NULL, slice_of("too many recipients"));
}

/* By the table of mailboxes. */
static void route(struct slice to, const struct address *a)
{
    struct slice value;

    switch (route_mailbox(&job.mailboxes, job.settings.spool, a, &value)) {
    case ROUTE_SPOOL:
    case ROUTE_POSTMASTER:
        add(to, a, slice_of(""));
        return;
    case ROUTE_MAILDIR:
        add(to, a, value);
        return;
    case ROUTE_REPLY:
        refuse(to, *value.p == '4' ? EXIT_NOT_NOW : EXIT_NEVER, NULL, value);
        return;
    case ROUTE_NOBODY:
        refuse(to, EXIT_NEVER, NULL, slice_of("no such mailbox"));
        return;
    case ROUTE_TROUBLE:
        refuse_lookup(to, &job.mailboxes);
    }
}

static void take_recipient(struct slice to)
{
    struct address a;
    bool home;
    const char *why = parse(to, &a, &home);
    int local = why ? 0 : home ? 1 : route_domain(&job.domains, job.settings.me, &a);

    if (local > 0)
        route(to, &a);
    else if (local < 0)
        refuse_lookup(to, &job.domains);
    else
        refuse(to, EXIT_NEVER, NULL, slice_of(why ? why : "no mail for this domain here"));
}

/* F sender NUL, T recipient NUL for each, NUL. All of it is read, so that no caller meets a closed pipe. */
static void read_envelope(void)
{
    struct input *in = open_input(1, "envelope");
    char text[ADDRESS_MOST];
    bool any = false;

    if (next(in) != 'F')
        leave(EXIT_ENVELOPE, in->name, slice_of("no sender"));
    take_sender(read_address(in, text));
    for (char c; (c = next(in)); any = true) {
        struct slice to = c == 'T' ? read_address(in, text) : (struct slice){NULL, 0};
        if (!to.n)
            leave(EXIT_ENVELOPE, in->name, slice_of("no recipient where one must be"));
        if (!job.refusal.code)
            take_recipient(to);
    }
    if (!any)
        leave(EXIT_ENVELOPE, in->name, slice_of("no recipients"));
    if (job.refusal.code)
        leave(job.refusal.code, job.refusal.object, job.refusal.error);
}

/* Storage ---------------------------------------------------------------------------------------------- */

/* Seconds since 1970 and the process, as in the names of files. */
static void make_id(char id[ID])
{
    id += fmt_ulong(id, (unsigned long)(deadline_wall() / SECOND));
    *id++ = '.';
    id[fmt_ulong(id, (unsigned long)getpid())] = 0;
}

static void write_message(struct delivery *d)
{
    struct slice piece;
    uint64_t at = 0;
    int r;

    while ((r = hold_read(&job.message, at, &piece)) > 0) {
        delivery_write(d, piece.p, piece.n, 0);
        at += piece.n;
    }
    if (r == 0)
        return;
    int error = errno;
    delivery_abandon(d);
    fail(EXIT_READ, "/tmp", error);
}

/* Nobody asks for SIGTERM in here: once begun it comes to its end. */
static void store(const struct settings *s)
{
    struct delivery *d = &job.delivery;
    char id[ID];
    struct trace trace = {
        .me = s->me,
        .uid = getuid(),
        .id = id,
        .mode = s->domains || s->mailboxes ? "local" : "collector",
        .transaction = &job.transaction,
        .now = (time_t)(deadline_wall() / SECOND),
    };

    make_id(id);
    delivery_init(d, s->me, s->spool, NULL, false);
    if (delivery_begin(d, &trace) == DELIVERY_DONE)
        write_message(d);
    enum delivery_result result = delivery_commit(d, 0);
    if (result == DELIVERY_DONE)
        return;
    bool unopened = result != DELIVERY_FULL && !strcmp(d->step, "open");
    fail(unopened ? EXIT_MAILDIR : EXIT_WRITE, d->spool.at, d->error);
}

/* The file of a large message must not be taken for the envelope. */
static void check_envelope(void)
{
    if (fcntl(1, F_GETFD) < 0)
        fail(EXIT_READ, "envelope", errno);
}

static int run(void)
{
    struct settings *s = &job.settings;

    signal(SIGXFSZ, SIG_IGN); /* a limit of the file's size is an error like others */
    await_init(0);
    log_init(&job.log, &job.log_buffer, 2);
    check_envelope();
    load(s);
    job.until = deadline_after(deadline_now(), PATIENCE);
    table_init(&job.domains, s->domains, &job.table_buffer[0]);
    table_init(&job.mailboxes, s->mailboxes, &job.table_buffer[1]);
    transaction_init(&job.transaction, &job.transaction_buffer);
    read_message();
    read_envelope();
    store(s);
    return EXIT_STORED;
}

int main(int argc, char **argv)
{
    static const char usage[] = "usage: postern-spool <message 1<envelope\n";

    if (argc == 1)
        return run();
    int code = about_asked(argc, argv, usage);
    return code < 0 ? about_misuse(usage) : code;
}
