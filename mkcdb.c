/* postern-cdb: compiles a text table into a constant database. postern-cdb(8) and postern-tables(5)
 * are its manuals.
 *
 * Every line is checked before anything is replaced: the target is the old file, or the whole new one. */
#define _XOPEN_SOURCE 700 /* SIGXFSZ */
#include "about.h"
#include "entry.h"
#include "replace.h"
#include "tinycdb.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_WRONG = 100, EXIT_TROUBLE = 111 };

enum { TABLE_START = 2048 }; /* of the records in a cdb */

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
    FILE *in;
    struct stat st; /* of the source */
    struct replace target;
    struct cdb_make cdb;
    uint32_t line;
    unsigned long errors;
    struct repeat *repeats;
    size_t count, room;
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
    if (cdb_make_add(&c->cdb, key.p, (unsigned)key.n, value.p, (unsigned)value.n) < 0)
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
    char *text = NULL;
    size_t room = 0;
    ssize_t n;

    rewind(c->in);
    for (c->line = 1; (n = getline(&text, &room, c->in)) >= 0; c->line++) {
        struct slice line = {text, (size_t)n};
        const char *why = entry_read(c->kind, line, &e);
        if (!why && e.key_len)
            take(c, &e);
        else if (why && take == add) /* it is enough to say it once */
            complain(c, c->line, "%s", why);
    }
    if (ferror(c->in))
        die(c, c->source);
    free(text);
}

static void read_back(struct compiler *c, void *room, size_t n, uint32_t at)
{
    if (pread(c->target.fd, room, n, (off_t)at) != (ssize_t)n)
        die(c, c->target.at);
}

/* The key of the record at `at`; its length. */
static size_t read_key(struct compiler *c, uint32_t at, char key[ENTRY_KEY])
{
    unsigned char head[8];

    read_back(c, head, sizeof head, at);
    size_t n = cdb_unpack(head);
    read_back(c, key, n < ENTRY_KEY ? n : ENTRY_KEY, at + 8);
    return n;
}

static void put_repeat(struct compiler *c, uint32_t one, uint32_t other)
{
    if (c->count == c->room) {
        c->room = c->room ? c->room * 2 : 64;
        struct repeat *more = realloc(c->repeats, c->room * sizeof *more);
        if (!more)
            die(c, "memory");
        c->repeats = more;
    }
    c->repeats[c->count++] = one < other ? (struct repeat){other, one} : (struct repeat){one, other};
}

static bool is_same_key(struct compiler *c, uint32_t one, uint32_t other)
{
    char key[ENTRY_KEY], same[ENTRY_KEY];
    size_t n = read_key(c, one, key);

    return read_key(c, other, same) == n && !memcmp(key, same, n);
}

/* Equal keys stand in one run of slots without a gap: that is how a lookup finds them. So the finished
 * file tells of them, and no list of what was read is kept. */
static void check_slots(struct compiler *c, const unsigned char *slots, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t one = cdb_unpack(slots + i * 8 + 4), other;
        size_t j = i;
        while (one && (j = (j + 1) % count) != i && (other = cdb_unpack(slots + j * 8 + 4))) {
            if (memcmp(slots + i * 8, slots + j * 8, 4) || !is_same_key(c, one, other))
                continue;
            put_repeat(c, one, other);
            break;
        }
    }
}

static void find_repeats(struct compiler *c)
{
    unsigned char toc[TABLE_START];

    read_back(c, toc, sizeof toc, 0);
    for (size_t i = 0; i < sizeof toc; i += 8) {
        size_t count = cdb_unpack(toc + i + 4);
        unsigned char *slots = malloc(count ? count * 8 : 1);
        if (!slots)
            die(c, "memory");
        read_back(c, slots, count * 8, cdb_unpack(toc + i));
        check_slots(c, slots, count);
        free(slots);
    }
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
    char key[ENTRY_KEY];

    find_repeats(c);
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
    c->at = TABLE_START;
    read_source(c, number_mark);
    for (size_t i = 0; i < c->count; i++) {
        const struct repeat *r = &c->repeats[i];
        size_t n = read_key(c, r->again, key);
        complain(c, (uint32_t)line_of(c, r->again), "%.*s is on line %lu already", (int)n, key,
                 line_of(c, r->first));
    }
}

/* A pipe can be read once only, and we may have to look twice: it is kept in a file without a name. */
static FILE *copy_pipe(struct compiler *c)
{
    FILE *copy = tmpfile();
    char block[4096];
    size_t n;

    while (copy && (n = fread(block, 1, sizeof block, c->in)))
        if (fwrite(block, 1, n, copy) != n)
            die(c, "temporary file");
    if (!copy || ferror(c->in) || fflush(copy))
        die(c, copy ? c->source : "temporary file");
    return copy;
}

static void open_source(struct compiler *c)
{
    static char block[65536]; /* musl reads 1024 bytes at a time by itself */

    if (!(c->in = fopen(c->source, "r")) || fstat(fileno(c->in), &c->st) < 0)
        die(c, c->source);
    setvbuf(c->in, block, _IOFBF, sizeof block);
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

static int compile(struct compiler *c, const char *target)
{
    c->target.fd = -1;
    if (replace_begin(&c->target, target, c->kind == ENTRY_USER ? 0600 : 0644) < 0 ||
        cdb_make_start(&c->cdb, c->target.fd) < 0)
        die(c, c->target.at);
    open_source(c);
    if (set_rights(c) < 0)
        die(c, c->target.at);
    read_source(c, add);
    put_record(c, slice_of(""), slice_of(c->kind_name)); /* no entry has an empty key; see table_is() */
    if (cdb_make_finish(&c->cdb) < 0)
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
