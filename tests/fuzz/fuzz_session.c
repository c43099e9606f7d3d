/* A whole session. The first octet of the input tells our settings, the second the pieces in which the
 * client's words arrive; these are the rest.
 *
 * Beside the session runs a client that knows the rules only (RFC 5321, 2920): it reads the replies in
 * order, one to each command, knows from them the session's state and the accepted messages. Exactly these
 * must be in the Maildirs; the log must be whole lines and tell the same numbers. */
#define _GNU_SOURCE
#include "tests/fuzz/fuzz.h"

#include "tests/fuzz/grammar.h"
#include "tests/fuzz/obvious.h"
#include "net/foreign.h"
#include "smtp/parts.h"
#include "smtp/serve.h"
#include "table/cdbmake.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bits of the first octet. */
enum {
    MODE = 3, /* discard, spool, tables, tables without a spool */
    SMALL = 4,
    REJECT_BARE_LF = 8,
    VERBOSE = 16,
    RELAY = 32,
    BROKEN = 64, /* a table or a spool that is none */
    PACKETS = 128
};
enum { DISCARDED, SPOOLED, TABLES, TABLES_ALONE };

enum { SMALL_BYTES = 100, SMALL_HOPS = 1, SMALL_RCPTS = 2, MESSAGES = 64 };

static struct parts parts;
static int input = -1, output = -1, log_fd = -1;
static char folder[] = "/dev/shm/postern-fuzz-XXXXXX";
static const char *const maildirs[] = {"spool", "bob", "carol"};

/* --- made before the first run --- */

static const char *keep(const char *format, ...)
{
    char *text = NULL;
    va_list list;

    va_start(list, format);
    MUST(vasprintf(&text, format, list) >= 0);
    va_end(list);
    return text;
}

static int make_memory(const char *name)
{
    int fd = memfd_create(name, 0);

    MUST(fd >= 0);
    return fd;
}

struct entry {
    const char *key, *value;
};

static const char *make_table(const char *name, const struct entry *e)
{
    static struct cdbmake made[3]; /* the heap of each is never freed */
    static int tables;
    struct cdbmake *making = &made[tables++];
    int fd = make_memory(name);

    MUST(!cdbmake_begin(making, fd));
    for (; e->key; e++)
        MUST(!cdbmake_add(making, slice_of(e->key), slice_of(e->value)));
    MUST(!cdbmake_finish(making, NULL, NULL)); /* no key comes twice */
    return keep("%s=/proc/self/fd/%d", name, fd);
}

static const char *domains, *mailboxes, *badsenders, *broken, *spool;

static void remove_folder(void)
{
    char path[128];

    for (int i = 0; i < 3; i++) {
        static const char *const parts[] = {"/new", "/tmp", "/cur", ""};
        for (int k = 0; k < 4; k++) {
            snprintf(path, sizeof path, "%s/%s%s", folder, maildirs[i], parts[k]);
            rmdir(path);
        }
    }
    rmdir(folder);
}

static void prepare(void)
{
    static const struct entry domain[] = {{"example.com", ""}, {".example.org", ""}, {NULL, NULL}};
    static const struct entry sender[] = {{"bad@example.com", ""}, {".bad.example", ""}, {NULL, NULL}};
    char bob[64], carol[64];
    const struct entry mailbox[] = {{"alice@example.com", ""},
                                    {"bob@example.com", bob},
                                    {"carol@example.com", carol},
                                    {"full@example.com", "452 4.2.2 Mailbox full"},
                                    {"gone@example.com", "550 5.1.1 No longer here"},
                                    {"bye@example.com", "421 4.3.2 Go away"},
                                    {"wrong@example.com", "|program"},
                                    {"@example.org", bob},
                                    {"dead@example.com", "/dev/null/dead/"},
                                    {NULL, NULL}};

    if (input >= 0)
        return;
    MUST(mkdtemp(folder));
    atexit(remove_folder);
    snprintf(bob, sizeof bob, "%s/bob/", folder);
    snprintf(carol, sizeof carol, "%s/carol/", folder);
    input = make_memory("input");
    output = make_memory("output");
    log_fd = make_memory("log");
    domains = make_table("DOMAINS", domain);
    mailboxes = make_table("MAILBOXES", mailbox);
    badsenders = make_table("BADSENDERS", sender);
    broken = keep("BADSENDERS=/proc/self/fd/%d", make_memory("broken"));
    spool = keep("SPOOL=%s/spool", folder);
    setenv("TCPREMOTEIP", "192.0.2.7", 1);
}

/* --- the session --- */

static void complain(void *context, const char *name, const char *value, const char *why)
{
    (void)context;
    (void)value;
    fprintf(stderr, "%s: %s\n", name, why);
    abort();
}

static void configure(struct session *s, unsigned bits)
{
    const char *settings[20];
    int n = 0;

    settings[n++] = "ME=mx.example.com";
    settings[n++] = "EARLYTALK=off"; /* all of the input is there from the start */
    if ((bits & MODE) == DISCARDED)
        settings[n++] = "DISCARD=1";
    if ((bits & MODE) == SPOOLED || (bits & MODE) == TABLES)
        settings[n++] = bits & BROKEN && (bits & MODE) == SPOOLED ? "SPOOL=/dev/null/spool" : spool;
    if ((bits & MODE) >= TABLES) {
        settings[n++] = domains;
        settings[n++] = mailboxes;
        settings[n++] = bits & BROKEN ? broken : badsenders;
    }
    if (bits & SMALL) {
        settings[n++] = "DATABYTES=100";
        settings[n++] = "MAXHOPS=1";
        settings[n++] = "MAXRCPTS=2";
        settings[n++] = "MAXMSGS=2";
        settings[n++] = "MAXERRORS=2";
        settings[n++] = "MAXNOOPS=2";
        settings[n++] = "MAXVRFYS=1";
    }
    if (bits & REJECT_BARE_LF)
        settings[n++] = "BARELF=reject";
    if (bits & VERBOSE)
        settings[n++] = "VERBOSE=1";
    if (bits & RELAY)
        settings[n++] = "RELAYCLIENT=@relay.example";
    settings[n] = NULL;
    MUST(!config_load(&s->config, (char *const *)(uintptr_t)settings, complain, NULL));
}

/* Gives the session its input: a file, or a socket that keeps packets apart. Returns how many octets it
 * can see at most. */
static size_t feed(int *fd, struct slice in, bool packets, uint32_t seed)
{
    int pair[2];
    size_t at = 0;

    if (!packets) {
        MUST(!ftruncate(input, 0) && pwrite(input, in.p, in.n, 0) == (ssize_t)in.n);
        MUST(!lseek(input, 0, SEEK_SET));
        *fd = input;
        return in.n;
    }
    MUST(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
    for (int count = 0; at < in.n; count++) {
        seed = seed * 1103515245 + 12345;
        size_t n = 1 + seed / 65536 % (1 + seed / 256 % 61);
        if (n > in.n - at || count == 100)
            n = in.n - at;
        if (send(pair[1], in.p + at, n, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)n)
            break;
        at += n;
    }
    close(pair[1]);
    *fd = pair[0];
    return at;
}

static void hold_session(int in, unsigned bits)
{
    memset(&parts, 0, sizeof parts);
    struct session *s = parts_join(&parts);
    MUST(!ftruncate(output, 0) && !lseek(output, 0, SEEK_SET));
    MUST(!ftruncate(log_fd, 0) && !lseek(log_fd, 0, SEEK_SET));
    log_init(&s->log, s->log.buffer, log_fd);
    client_find(s->client, in);
    configure(s, bits);
    session_init(s, in, output);
    serve(s);
    if (s->messages_begun)
        spool_abandon(&s->delivery->spool); /* closes the Maildir it keeps open */
    const struct table *tables[] = {&s->door->domains, &s->door->mailboxes, &s->door->badsenders};
    for (int i = 0; i < 3; i++)
        if (tables[i]->fd >= 0)
            close(tables[i]->fd);
}

static struct slice contents(int fd)
{
    off_t n = lseek(fd, 0, SEEK_END);
    char *bytes = malloc((size_t)n + 1);

    MUST(bytes && pread(fd, bytes, (size_t)n, 0) == n);
    return (struct slice){bytes, (size_t)n};
}

/* --- the client --- */

struct client_view {
    struct slice in, out; /* left to say, and to hear */
    unsigned bits;
    bool greeted, open, over;
    bool dead; /* one of the recipients may have an impossible Maildir */
    unsigned recipients;
    unsigned errors;
    unsigned accepted, refused; /* messages after 354 */
    struct message message[MESSAGES];
    unsigned kept;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Takes one line of a reply off the output. Returns its code, and sets *more where others follow. */
static int hear_line(struct client_view *c, bool *more)
{
    const char *lf = memchr(c->out.p, '\n', c->out.n), *p = c->out.p;

    MUST(lf);
    size_t n = (size_t)(lf - p) + 1;
    MUST(n >= 6 && n < 512 && p[n - 2] == '\r');
    MUST(p[0] >= '2' && p[0] <= '5' && is_digit(p[1]) && p[1] <= '5' && is_digit(p[2]));
    MUST(p[3] == ' ' || p[3] == '-');
    for (size_t i = 4; i < n - 2; i++)
        MUST(p[i] >= ' ' && p[i] <= '~');
    *more = p[3] == '-';
    c->out = slice_after(c->out, n);
    return (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
}

/* One reply. */
static int hear(struct client_view *c)
{
    bool more;
    int code = hear_line(c, &more);

    while (more)
        MUST(hear_line(c, &more) == code);
    c->over |= code == 421 || code == 221;
    c->errors += code / 100 == 5;
    return code;
}

static bool says(struct slice line, const char *verb)
{
    size_t n = strlen(verb);
    return line.n >= n && !strncasecmp(line.p, verb, n) &&
           (line.n == n || line.p[n] == ' ' || line.p[n] == '\t');
}

/* True if the message has a fault to refuse it for. */
static bool is_at_fault(const struct client_view *c, const struct message *m)
{
    bool small = c->bits & SMALL;

    return m->has_nul || (m->has_bare_lf && c->bits & REJECT_BARE_LF) || (small && m->size > SMALL_BYTES) ||
           m->hops > (small ? SMALL_HOPS : 100);
}

/* After 354: the message, and the one reply to it. */
static void say_message(struct client_view *c)
{
    struct message m = obvious_message(c->in.p, c->in.n);

    if (!m.ended) { /* the client went away in the middle */
        c->over = true;
        MUST(!c->out.n);
        return;
    }
    c->in = slice_after(c->in, m.taken);
    int code = hear(c);
    if (is_at_fault(c, &m))
        MUST(code == 550 || code == 552 || code == 554 || code == 421);
    else
        MUST(code == (c->dead && code != 250 ? 451 : 250));
    c->accepted += code == 250;
    c->refused += code != 250;
    if (code == 250 && c->kept < MESSAGES)
        c->message[c->kept++] = m;
    else
        free(m.bytes);
}

/* A reply that the state or the line itself rules out. */
static void check_code(const struct client_view *c, struct slice line, int code)
{
    bool mail = says(line, "MAIL"), rcpt = says(line, "RCPT"), data = says(line, "DATA");

    if (line.n > WIRE_LINE)
        MUST(code == 500 || code == 421);
    if (code == 354)
        MUST(data && c->open && c->recipients);
    if (mail && code == 250)
        MUST(c->greeted && !c->open);
    if (rcpt && code == 250)
        MUST(c->open && (!(c->bits & SMALL) || c->recipients < SMALL_RCPTS));
    if ((mail || rcpt || data) && !c->greeted)
        MUST(code == 501 || code == 503 || code == 421 || code == 500);
    if (code == 221)
        MUST(says(line, "QUIT") || foreign_protocol(line));
    if (slice_is(line, "QUIT"))
        MUST(code == 221);
    if (slice_is(line, "RSET") || slice_is(line, "NOOP") || slice_is(line, "EHLO x"))
        MUST(code == 250 || code == 421); /* MAXNOOPS */
    if (slice_is(line, "DATA") && c->open && c->recipients) {
        bool broken_spool = c->bits & BROKEN && (c->bits & MODE) == SPOOLED;
        MUST(broken_spool ? code == 451 : code == 354 || (c->dead && code == 451));
    }
}

static bool mentions(struct slice line, const char *word)
{
    size_t n = strlen(word);

    for (; line.n >= n; line = slice_after(line, 1))
        if (!strncasecmp(line.p, word, n))
            return true;
    return false;
}

/* One command, and the one reply to it. */
static void say_command(struct client_view *c, struct slice line)
{
    int code = hear(c);
    bool greeting = says(line, "HELO") || says(line, "EHLO");

    check_code(c, line, code);
    if (code == 250) {
        c->greeted |= greeting;
        if (greeting || says(line, "RSET"))
            c->open = false;
        c->open |= says(line, "MAIL");
        c->recipients = c->open ? c->recipients + says(line, "RCPT") : 0;
        c->dead = c->recipients && (c->dead || mentions(line, "dead"));
    }
    if (says(line, "DATA") && (code == 354 || code == 451)) {
        if (code == 354)
            say_message(c);
        c->open = c->dead = false;
        c->recipients = 0;
    }
}

static void hold_conversation(struct client_view *c)
{
    MUST(hear(c) == 220);
    while (!c->over) {
        if (c->in.n && foreign_is_binary(*c->in.p)) { /* not waited for until a line is whole */
            MUST(hear(c) == 221);
            break;
        }
        const char *lf = memchr(c->in.p, '\n', c->in.n);
        if (!lf)
            break;
        size_t n = (size_t)(lf - c->in.p);
        struct slice line = {c->in.p, n && lf[-1] == '\r' ? n - 1 : n};
        if (n + 1 > WIRE_LINE)
            line.n = n + 1;
        c->in = slice_after(c->in, n + 1);
        say_command(c, line);
    }
    MUST(!c->out.n); /* one reply to each command, and no more */
    if (c->bits & SMALL)
        MUST(c->errors <= 2 + 1);
}

/* --- its traces: files and log --- */

static bool ends_with(struct slice whole, const struct message *m)
{
    return whole.n >= m->n && !memcmp(whole.p + whole.n - m->n, m->bytes, m->n);
}

/* Header fields of ours, then one of the messages that were accepted. */
static void check_file(const struct client_view *c, struct slice file, const char *name)
{
    const char *size = strstr(name, ",S=");
    bool known = c->kept == MESSAGES;

    MUST(size && strtoull(size + 3, NULL, 10) == file.n);
    MUST(slice_starts(file, "Return-Path: <"));
    for (unsigned i = 0; i < c->kept && !known; i++) {
        if (!ends_with(file, &c->message[i]))
            continue;
        struct slice header = {file.p, file.n - c->message[i].n};
        bool clean = header.n && header.p[header.n - 1] == '\n';
        for (size_t k = 0; k < header.n && clean; k++) {
            unsigned char b = (unsigned char)header.p[k];
            clean = (b >= ' ' && b != 127) || b == '\n' || b == '\t';
        }
        known = clean && obvious_hops(header.p, header.n) >= 1;
    }
    MUST(known);
}

/* Reads and removes all files of one folder. Returns their number. */
static unsigned empty_folder(const struct client_view *c, const char *maildir, const char *part)
{
    char path[512];
    unsigned n = 0;

    snprintf(path, sizeof path, "%s/%s/%s", folder, maildir, part);
    DIR *d = opendir(path);
    if (!d)
        return 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        int fd = openat(dirfd(d), e->d_name, O_RDONLY);
        MUST(fd >= 0);
        struct slice file = contents(fd);
        check_file(c, file, e->d_name);
        drop(file);
        close(fd);
        unlinkat(dirfd(d), e->d_name, 0);
        n++;
    }
    closedir(d);
    return n;
}

static void check_maildirs(const struct client_view *c)
{
    unsigned most = (c->bits & MODE) == DISCARDED ? 0 : (c->bits & MODE) == SPOOLED ? 1 : 3;
    unsigned n = 0;

    for (int i = 0; i < 3; i++) {
        n += empty_folder(c, maildirs[i], "new");
        MUST(!empty_folder(c, maildirs[i], "tmp"));
    }
    MUST(n <= most * c->accepted);
    MUST(!most || n >= c->accepted);
}

static uint64_t number(const struct pair *p)
{
    uint64_t n = 0;

    for (size_t i = 0; i < p->value_len; i++) {
        MUST(is_digit(p->value[i]));
        n = n * 10 + (uint64_t)(p->value[i] - '0');
    }
    return n;
}

/* Every line is one of the grammar, with its event, session and client in front. */
static void check_log(const struct client_view *c, struct slice log, size_t heard, size_t said)
{
    unsigned lines = 0, stored = 0, messages = 0;
    bool closed = false, whole = true;
    uint64_t in = 0;
    const size_t logged = log.n;

    while (log.n) {
        const char *lf = memchr(log.p, '\n', log.n);
        MUST(lf && !closed);
        struct slice line = {log.p, (size_t)(lf - log.p) + 1};
        struct pair p;
        MUST(line.n <= LOG_LINE);
        log = slice_after(log, line.n);
        MUST(grammar_pair(&line, &p) && slice_is(p.key, "event"));
        MUST(lines++ || grammar_is(&p, "event", "connect"));
        closed = grammar_is(&p, "event", "close");
        bool message = grammar_is(&p, "event", "message");
        messages += message;
        MUST(grammar_pair(&line, &p) && slice_is(p.key, "sid"));
        MUST(grammar_pair(&line, &p) && grammar_is(&p, "client", "192.0.2.7"));
        if ((c->bits & MODE) == DISCARDED)
            MUST(grammar_pair(&line, &p) && grammar_is(&p, "mode", "discard"));
        while (line.n) {
            MUST(grammar_pair(&line, &p));
            stored += message && grammar_is(&p, "verdict", "accept");
            if (closed && slice_is(p.key, "messages"))
                MUST(number(&p) == c->accepted);
            if (closed && slice_is(p.key, "errors"))
                MUST(number(&p) <= c->errors + 1);
            if (closed && slice_is(p.key, "in"))
                MUST((in = number(&p)) <= said);
            whole &= !slice_is(p.key, "unlogged");
            if (closed && slice_is(p.key, "out"))
                MUST(number(&p) == heard);
        }
    }
    MUST(closed);
    MUST(c->bits & VERBOSE || logged <= 65536 + 4 * in);
    MUST(!whole || (stored == c->accepted && messages >= c->accepted + c->refused));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct client_view c;
    int fd;

    if (size < 2)
        return 0;
    prepare();
    struct slice text = {(const char *)data + 2, size - 2};
    text.n = feed(&fd, text, data[0] & PACKETS, data[1]);
    hold_session(fd, data[0]);
    if (fd != input)
        close(fd);

    struct slice out = contents(output), log = contents(log_fd);
    c = (struct client_view){.in = text, .out = out, .bits = data[0]};
    hold_conversation(&c);
    check_maildirs(&c);
    check_log(&c, log, out.n, text.n);
    for (unsigned i = 0; i < c.kept; i++)
        free(c.message[i].bytes);
    drop(out);
    drop(log);
    return 0;
}
