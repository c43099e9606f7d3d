/* postern-cdb: compiles a text table into a constant database. postern-cdb(8) and postern-tables(5)
 * are its manuals.
 *
 * Every line is checked before anything is replaced: the target is the old file, or the whole new one. */
#define _XOPEN_SOURCE 700 /* SIGXFSZ */
#include "base/about.h"
#include "base/exits.h"
#include "table/cdbmake.h"
#include "table/entry.h"
#include "base/lines.h"
#include "base/replace.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static_assert(ENTRY_KEY - CDBMAKE_KEY <= 0, "the longest key");

/* Two records with one key, by where they are in the file. */
struct repeat {
    uint32_t again, first;
};

/* A record, and on which line it was. */
struct mark {
    uint32_t at, line;
};

struct compiler {
    enum entry_kind kind;
    const char *kind_name;
    const char *source;
    int in;
    struct stat st; /* of the source */
    struct replace target;
    struct cdbmake cdb;
    struct lines lines;
    uint32_t line;
    unsigned long errors;
    struct repeat *repeats;
    size_t count, buffer;
    struct mark *marks; /* of all the records in repeats; those before `marked` have their line */
    size_t marked;
    uint32_t at; /* of the next record */
};

/* Trouble with the machine, not with the table: nothing is left behind. */
static void die(struct compiler *c, const char *what)
{
    fprintf(stderr, "postern-cdb: %s: %s\n", what, strerror(errno));
    replace_abandon(&c->target);
    exit(EXIT_TROUBLE);
}

static void complain(struct compiler *c, uint32_t line, const char *format, ...)
{
    va_list list;

    fprintf(stderr, "%s:%lu: ", c->source, (unsigned long)line);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    c->errors++;
}

static void put_record(struct compiler *c, struct slice key, struct slice value)
{
    if (cdbmake_add(&c->cdb, key, value) < 0)
        die(c, c->target.at);
}

/* The first reading of the source. */
static void add(struct compiler *c, const struct entry *e)
{
    put_record(c, (struct slice){e->key, e->key_len}, e->value);
}

/* Reads the whole source; `take` is given each line's entry. */
static void read_source(struct compiler *c, void (*take)(struct compiler *c, const struct entry *e))
{
    struct entry e;
    struct slice line;
    bool whole;
    int r;

    if (lseek(c->in, 0, SEEK_SET) < 0)
        die(c, c->source);
    lines_begin(&c->lines, c->in);
    for (c->line = 1; (r = lines_next(&c->lines, &line, &whole)) > 0; c->line++) {
        e.key_len = 0;
        const char *why = whole ? entry_read(c->kind, line, &e) : "line too long";
        if (!why && e.key_len)
            take(c, &e);
        else if (why && take == add) /* it is enough to say it once */
            complain(c, c->line, "%s", why);
    }
    if (r < 0)
        die(c, c->source);
}

static int put_repeat(void *context, uint32_t first, uint32_t again)
{
    struct compiler *c = context;

    if (c->count == c->buffer) {
        c->buffer = c->buffer ? c->buffer * 2 : 64;
        struct repeat *more = realloc(c->repeats, c->buffer * sizeof *more);
        if (!more)
            return -1;
        c->repeats = more;
    }
    c->repeats[c->count++] = (struct repeat){again, first};
    return 0;
}

static int by_first_number(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

/* The second reading of the source: records come at the same places again. */
static void number_mark(struct compiler *c, const struct entry *e)
{
    for (; c->marked < c->count * 2 && c->marks[c->marked].at == c->at; c->marked++)
        c->marks[c->marked].line = c->line;
    c->at += 8 + (uint32_t)e->key_len + (uint32_t)e->value.n;
}

static unsigned long line_of(const struct compiler *c, uint32_t at)
{
    const struct mark *m = bsearch(&at, c->marks, c->count * 2, sizeof *m, by_first_number);
    return m ? m->line : 0;
}

static void complain_of_repeats(struct compiler *c)
{
    char key[CDBMAKE_KEY];

    if (!c->count)
        return;
    if (!(c->marks = malloc(c->count * 2 * sizeof *c->marks)))
        die(c, "memory");
    for (size_t i = 0; i < c->count; i++) {
        c->marks[2 * i].at = c->repeats[i].first;
        c->marks[2 * i + 1].at = c->repeats[i].again;
    }
    qsort(c->marks, c->count * 2, sizeof *c->marks, by_first_number);
    qsort(c->repeats, c->count, sizeof *c->repeats, by_first_number);
    c->at = CDBMAKE_START;
    read_source(c, number_mark);
    for (size_t i = 0; i < c->count; i++) {
        const struct repeat *r = &c->repeats[i];
        int n = cdbmake_key(&c->cdb, r->again, key);
        if (n < 0)
            die(c, c->target.at);
        complain(c, (uint32_t)line_of(c, r->again), "%.*s is on line %lu already", n, key,
                 line_of(c, r->first));
    }
}

/* A pipe can be read once only, and we may have to look twice: it is kept in a file without a name. */
static int copy_pipe(struct compiler *c)
{
    FILE *copy = tmpfile();
    char block[65536];
    ssize_t n = 0;

    while (copy && ((n = read(c->in, block, sizeof block)) > 0 || (n < 0 && errno == EINTR)))
        if (n > 0 && fwrite(block, 1, (size_t)n, copy) != (size_t)n)
            die(c, "temporary file");
    if (!copy || n < 0 || fflush(copy))
        die(c, copy && n < 0 ? c->source : "temporary file");
    return fileno(copy);
}

static void open_source(struct compiler *c)
{
    c->in = open(c->source, O_RDONLY);
    if (c->in < 0 || fstat(c->in, &c->st) < 0)
        die(c, c->source);
    if (!S_ISREG(c->st.st_mode))
        c->in = copy_pipe(c);
}

/* The table may be read by whom its source may be; a group that we may not give it to counts as others. What
 * came through a pipe has no rights to copy: users have secrets, other tables have the umask's. */
static int set_rights(struct compiler *c)
{
    mode_t mode = c->st.st_mode & 0666;
    struct stat now;

    if (!S_ISREG(c->st.st_mode))
        return 0;
    if (fstat(c->target.fd, &now) < 0)
        return -1;
    if (now.st_gid != c->st.st_gid && fchown(c->target.fd, (uid_t)-1, c->st.st_gid) < 0)
        mode = (mode & ~(mode_t)070) | (mode & 070 & (mode & 7) << 3);
    return fchmod(c->target.fd, mode);
}

/* A slip of the hand, and the text would be gone. */
static bool is_source(const struct compiler *c, const char *target)
{
    struct stat st;

    return !stat(target, &st) && S_ISREG(st.st_mode) && st.st_dev == c->st.st_dev &&
           st.st_ino == c->st.st_ino;
}

static int compile(struct compiler *c, const char *target)
{
    c->target.fd = -1;
    if (replace_begin(&c->target, target, c->kind == ENTRY_USER ? 0600 : 0644) < 0 ||
        cdbmake_begin(&c->cdb, c->target.fd) < 0)
        die(c, c->target.at);
    open_source(c);
    if (is_source(c, target)) {
        fprintf(stderr, "postern-cdb: %s: the source cannot be the target\n", target);
        replace_abandon(&c->target);
        return EXIT_WRONG;
    }
    if (set_rights(c) < 0)
        die(c, c->target.at);
    read_source(c, add);
    put_record(c, slice_of(""), slice_of(c->kind_name)); /* no entry has an empty key; see table_is() */
    if (cdbmake_finish(&c->cdb, put_repeat, c) < 0)
        die(c, c->target.at);
    complain_of_repeats(c);
    if (c->errors) {
        fprintf(stderr, "postern-cdb: %s is left as it was\n", target);
        replace_abandon(&c->target);
        return EXIT_WRONG;
    }
    if (replace_commit(&c->target) < 0)
        die(c, c->target.at);
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    static const char usage[] = "usage: postern-cdb domains|mailboxes|badsenders|users source target\n";
    static struct compiler c;

    signal(SIGXFSZ, SIG_IGN); /* a limit of the file's size is an error like others */
    if (argc == 4 && entry_kind(argv[1], &c.kind)) {
        c.kind_name = argv[1];
        c.source = argv[2];
        return compile(&c, argv[3]);
    }
    int code = about_asked(argc, argv, usage);
    return code < 0 ? about_misuse(usage) : code;
}
