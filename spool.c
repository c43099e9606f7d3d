/* postern-spool: qmail-queue's interface in front of Maildirs: a message on descriptor 0, its envelope on 1.
 * postern-spool(8) is its manual.
 *
 * No Maildir is touched before both have come to their ends and every recipient has a place. */
#define _XOPEN_SOURCE 700 /* SIGXFSZ */
#include "base/about.h"
#include "base/await.h"
#include "base/knob.h"
#include "log/log.h"
#include "net/host.h"
#include "store/delivery.h"
#include "store/intake.h"
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

enum { ID = 2 * FMT_ULONG };

#define PATIENCE (24 * 3600 * SECOND) /* until message and envelope have come, as in qmail-queue */

struct settings {
    const char *me;
    const char *domains, *mailboxes, *spool; /* paths; NULL: not set */
};

/* The first recipient that has no place, and why. */
struct refusal {
    int code;           /* 0: there is none */
    const char *object; /* the table or variable at fault; NULL: none is */
    struct slice error;
    size_t to_len;
    char to[INTAKE_ADDRESS];
};

static struct {
    struct settings settings;
    struct log log;
    struct log_buffer log_buffer;
    struct intake intake;
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

/* Envelope --------------------------------------------------------------------------------------------- */

/* A sender that is no address, as that of qmail's double bounces, is nobody: no mail can go there. */
static void take_sender(void *context, struct slice text)
{
    struct address a;

    (void)context;
    if (!text.n || address_parse_queued(text, job.settings.me, &a))
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
    case ROUTE_NONSENSE:
        refuse_lookup(to, &job.mailboxes);
    }
}

/* Of those that have no place the first decides. An address without a domain is a mailbox of this host. */
static void take_recipient(void *context, struct slice to)
{
    struct address a;

    (void)context;
    if (job.refusal.code)
        return;
    const char *why = address_parse_queued(to, job.settings.me, &a);
    int local = why ? 0 : !memchr(to.p, '@', to.n) ? 1 : route_domain(&job.domains, job.settings.me, &a);
    if (local > 0)
        route(to, &a);
    else if (local < 0)
        refuse_lookup(to, &job.domains);
    else
        refuse(to, EXIT_NEVER, NULL, slice_of(why ? why : "no mail for this domain here"));
}

/* Input ------------------------------------------------------------------------------------------------ */

/* The code and text of each result; without a text errno tells. */
static const struct {
    int code;
    const char *error;
} faults[] = {
    [INTAKE_CUT_OFF] = {EXIT_READ, "cut off"},
    [INTAKE_LATE] = {EXIT_LATE, NULL},
    [INTAKE_STOPPED] = {EXIT_NOT_NOW, "SIGTERM"},
    [INTAKE_UNREADABLE] = {EXIT_READ, NULL},
    [INTAKE_UNHELD] = {EXIT_WRITE, NULL},
    [INTAKE_LONG] = {EXIT_LONG, "address too long"},
    [INTAKE_NO_SENDER] = {EXIT_ENVELOPE, "no sender"},
    [INTAKE_NO_RECIPIENT] = {EXIT_ENVELOPE, "no recipient where one must be"},
    [INTAKE_NO_RECIPIENTS] = {EXIT_ENVELOPE, "no recipients"},
};

static void check(enum intake_result r, const char *object)
{
    if (r == INTAKE_DONE)
        return;
    const char *error = faults[r].error;
    leave(faults[r].code, r == INTAKE_UNHELD ? "/tmp" : object, slice_of(error ? error : strerror(errno)));
}

/* All of the envelope is read, so that no caller meets a closed pipe. */
static void take(void)
{
    struct intake *in = &job.intake;

    intake_init(in, deadline_after(deadline_now(), PATIENCE));
    hold_init(&job.message);
    check(intake_message(in, 0, &job.message), "message");
    check(intake_envelope(in, 1, take_sender, take_recipient, NULL), "envelope");
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
    table_init(&job.domains, s->domains, &job.table_buffer[0]);
    table_init(&job.mailboxes, s->mailboxes, &job.table_buffer[1]);
    transaction_init(&job.transaction, &job.transaction_buffer);
    take();
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
