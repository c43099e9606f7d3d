/* postern-cdb: compiles a text table into a constant database. postern-cdb(8) and postern-tables(5)
 * are its manuals.
 *
 * Every line is checked before anything is replaced: the target is the old file, or the whole new one. */
#include "address.h"
#include "place.h"
#include "tinycdb.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_WRONG = 100, EXIT_TROUBLE = 111 };

/* One line of the source as it goes into the database. */
struct entry {
    char key[ADDRESS_FMT];
    size_t key_len;
    struct slice value;
};

/* Where a key has been put, to find the same one again. */
struct seen {
    uint32_t hash, at, line;
};

struct compiler {
    const char *source, *target;
    char tmp[PATH_MAX];
    FILE *in;
    int out; /* -1: none */
    struct cdb_make cdb;
    struct seen *seen;
    size_t count, room;
    uint32_t line;
    unsigned long errors;
};

typedef const char *reader(struct slice line, struct entry *e);

/* Trouble with the machine, not with the table: nothing is left behind. */
static void die(struct compiler *c, const char *what)
{
    fprintf(stderr, "postern-cdb: %s: %s\n", what, strerror(errno));
    if (c->out >= 0)
        unlink(c->tmp);
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

/* White space and a comment, or nothing. */
static bool is_over(struct slice rest)
{
    size_t n = 0;
    while (n < rest.n && (rest.p[n] == ' ' || rest.p[n] == '\t'))
        n++;
    return n == rest.n || (n && rest.p[n] == '#');
}

/* Takes the first word off the line. */
static struct slice take_word(struct slice *line)
{
    struct slice word = *line;
    size_t n = 0;

    while (n < line->n && line->p[n] != ' ' && line->p[n] != '\t')
        n++;
    word.n = n;
    *line = slice_after(*line, n);
    return word;
}

static const char *put_domain(struct entry *e, const char *prefix, struct slice domain)
{
    size_t n = strlen(prefix);

    if (!address_is_domain(domain))
        return "bad domain";
    memcpy(e->key, prefix, n);
    memcpy(e->key + n, domain.p, domain.n);
    e->key_len = n + domain.n;
    case_lowerb(e->key, e->key_len);
    return NULL;
}

/* example.com, or .example.com for all that is below it, too. */
static const char *read_domain(struct slice line, struct entry *e)
{
    struct slice word = take_word(&line);
    const char *why = *word.p == '.' ? put_domain(e, ".", slice_after(word, 1)) : put_domain(e, "", word);

    e->value = (struct slice){"", 0};
    return why ? why : is_over(line) ? NULL : "more than a domain";
}

static const char *put_address(struct slice *line, struct entry *e)
{
    struct address a;
    const char *why = address_parse(*line, ADDRESS_MAILBOX, &a, line);

    if (!why)
        e->key_len = address_key(e->key, &a);
    return why;
}

/* user@example.com or @example.com, and its place. */
static const char *read_mailbox(struct slice line, struct entry *e)
{
    enum place_kind kind;
    const char *why;

    if (*line.p == '@') {
        line = slice_after(line, 1);
        why = put_domain(e, "@", take_word(&line));
    } else {
        why = put_address(&line, e);
    }
    if (why)
        return why;
    if (is_over(line))
        line.n = 0;
    while (line.n && (*line.p == ' ' || *line.p == '\t'))
        line = slice_after(line, 1);
    e->value = line;
    return place_parse(line, &kind);
}

/* user@example.com, @example.com, example.com, .example.com */
static const char *read_sender(struct slice line, struct entry *e)
{
    struct slice rest = line, word = take_word(&rest);
    const char *why;

    if (*word.p == '@')
        return read_domain(slice_after(line, 1), e);
    if (!memchr(word.p, '@', word.n) && *word.p != '"')
        return read_domain(line, e);
    e->value = (struct slice){"", 0};
    why = put_address(&line, e);
    return why ? why : is_over(line) ? NULL : "more than an address";
}

static void remember(struct compiler *c, const struct entry *e, uint32_t at)
{
    if (c->count == c->room) {
        c->room = c->room ? c->room * 2 : 1024;
        struct seen *more = realloc(c->seen, c->room * sizeof *more);
        if (!more)
            die(c, "memory");
        c->seen = more;
    }
    c->seen[c->count++] = (struct seen){cdb_hash(e->key, (unsigned)e->key_len), at, c->line};
}

static void add(struct compiler *c, const struct entry *e)
{
    uint32_t at = c->cdb.cdb_dpos;

    if (cdb_make_add(&c->cdb, e->key, (unsigned)e->key_len, e->value.p, (unsigned)e->value.n) < 0)
        die(c, c->tmp);
    remember(c, e, at);
}

/* Leading and trailing white space, a CR at the end, comments and empty lines go. */
static void read_line(struct compiler *c, reader *read, struct slice line)
{
    struct entry e;
    const char *why;

    while (line.n && strchr(" \t\r\n", line.p[line.n - 1]) && line.p[line.n - 1])
        line.n--;
    while (line.n && (*line.p == ' ' || *line.p == '\t'))
        line = slice_after(line, 1);
    if (!line.n || *line.p == '#')
        return;
    if ((why = read(line, &e)))
        complain(c, c->line, "%s", why);
    else if (!c->errors)
        add(c, &e);
}

static void read_source(struct compiler *c, reader *read)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;

    while ((n = getline(&line, &room, c->in)) >= 0) {
        c->line++;
        read_line(c, read, (struct slice){line, (size_t)n});
    }
    if (ferror(c->in))
        die(c, c->source);
    free(line);
}

static int by_hash_and_line(const void *left, const void *right)
{
    const struct seen *a = left, *b = right;

    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    return a->line < b->line ? -1 : a->line > b->line;
}

static int by_line(const void *left, const void *right)
{
    const struct seen *a = left, *b = right;
    return a->line < b->line ? -1 : a->line > b->line;
}

/* The key that was written at `at`; its length. */
static size_t read_key(struct compiler *c, uint32_t at, char key[ADDRESS_FMT])
{
    unsigned char head[8];

    if (pread(c->out, head, 8, (off_t)at) != 8)
        die(c, c->tmp);
    size_t n = cdb_unpack(head);
    if (n > ADDRESS_FMT || pread(c->out, key, n, (off_t)at + 8) != (ssize_t)n)
        die(c, c->tmp);
    return n;
}

/* Turns the list into that of the entries whose key came before: `at` stays, `hash` becomes the
 * line where it came first. */
static void keep_duplicates(struct compiler *c)
{
    char key[ADDRESS_FMT], other[ADDRESS_FMT];
    size_t found = 0;

    qsort(c->seen, c->count, sizeof *c->seen, by_hash_and_line);
    for (size_t start = 0, i = 1; i < c->count; i++) {
        if (c->seen[i].hash != c->seen[i - 1].hash) {
            start = i;
            continue;
        }
        size_t n = read_key(c, c->seen[i].at, key);
        for (size_t j = start; j < i; j++)
            if (read_key(c, c->seen[j].at, other) == n && !memcmp(key, other, n)) {
                c->seen[found++] = (struct seen){c->seen[j].line, c->seen[i].at, c->seen[i].line};
                break;
            }
    }
    c->count = found;
}

static void complain_of_duplicates(struct compiler *c)
{
    char key[ADDRESS_FMT];

    keep_duplicates(c);
    qsort(c->seen, c->count, sizeof *c->seen, by_line);
    for (size_t i = 0; i < c->count; i++) {
        size_t n = read_key(c, c->seen[i].at, key);
        complain(c, c->seen[i].line, "%.*s is on line %lu already", (int)n, key,
                 (unsigned long)c->seen[i].hash);
    }
}

/* The entry of the new file's name is on disk before we say that all is well. */
static void sync_folder(struct compiler *c)
{
    const char *slash = strrchr(c->target, '/');
    size_t n = slash ? (size_t)(slash - c->target) + 1 : 0;
    char folder[PATH_MAX];

    memcpy(folder, n ? c->target : "./", n ? n : 2);
    folder[n ? n : 2] = 0;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        die(c, folder);
    close(fd);
}

static int compile(struct compiler *c, reader *read)
{
    if (!(c->in = fopen(c->source, "r")))
        die(c, c->source);
    int n = snprintf(c->tmp, sizeof c->tmp, "%s.tmp.%lu", c->target, (unsigned long)getpid());
    if (n < 0 || (size_t)n >= sizeof c->tmp) {
        errno = ENAMETOOLONG;
        die(c, c->target);
    }
    if ((c->out = open(c->tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) < 0)
        die(c, c->tmp);
    if (cdb_make_start(&c->cdb, c->out) < 0)
        die(c, c->tmp);
    read_source(c, read);
    if (cdb_make_finish(&c->cdb) < 0)
        die(c, c->tmp);
    complain_of_duplicates(c);
    if (c->errors) {
        fprintf(stderr, "postern-cdb: %s is left as it was\n", c->target);
        unlink(c->tmp);
        return EXIT_WRONG;
    }
    if (fsync(c->out) < 0 || rename(c->tmp, c->target) < 0)
        die(c, c->target);
    c->out = -1;
    sync_folder(c);
    return EXIT_OK;
}

static const struct {
    const char *kind;
    reader *read;
} readers[] = {
    {"domains", read_domain},
    {"mailboxes", read_mailbox},
    {"badsenders", read_sender},
};

int main(int argc, char **argv)
{
    static struct compiler c;

    if (argc == 4)
        for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
            if (!strcmp(argv[1], readers[i].kind)) {
                c.source = argv[2];
                c.target = argv[3];
                c.out = -1;
                return compile(&c, readers[i].read);
            }
    fprintf(stderr, "usage: postern-cdb domains|mailboxes|badsenders source target\n");
    return EXIT_WRONG;
}
