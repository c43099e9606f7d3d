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

enum { TABLE_START = 2048 }; /* of the records in a cdb */

/* One line of the source as it goes into the database. */
struct entry {
    char key[ADDRESS_FMT];
    size_t key_len;
    struct slice value;
};

/* Two records with one key, by where they are in the file. */
struct repeat {
    uint32_t again, first;
};

/* A record, and on which line it was. */
struct mark {
    uint32_t at, line;
};

struct compiler {
    const char *source, *target;
    char tmp[PATH_MAX];
    FILE *in;
    int out; /* -1: none */
    struct cdb_make cdb;
    uint32_t line;
    unsigned long errors;
    struct repeat *repeats;
    size_t count, room;
    struct mark *marks; /* of all the records in repeats; those before `marked` have their line */
    size_t marked;
    uint32_t at; /* of the next record */
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

/* The first reading of the source. */
static void add(struct compiler *c, const struct entry *e)
{
    if (cdb_make_add(&c->cdb, e->key, (unsigned)e->key_len, e->value.p, (unsigned)e->value.n) < 0)
        die(c, c->tmp);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Leading and trailing white space, comments and empty lines go. */
static bool is_entry(struct slice *line)
{
    while (line->n && is_space(line->p[line->n - 1]))
        line->n--;
    while (line->n && is_space(*line->p))
        *line = slice_after(*line, 1);
    return line->n && *line->p != '#';
}

/* Reads the whole source; `take` is given each line's entry. */
static void read_source(struct compiler *c, reader *read,
                        void (*take)(struct compiler *c, const struct entry *e))
{
    struct entry e;
    char *text = NULL;
    size_t room = 0;
    ssize_t n;

    rewind(c->in);
    for (c->line = 1; (n = getline(&text, &room, c->in)) >= 0; c->line++) {
        struct slice line = {text, (size_t)n};
        if (!is_entry(&line))
            continue;
        const char *why = read(line, &e);
        if (!why)
            take(c, &e);
        else if (take == add) /* it is enough to say it once */
            complain(c, c->line, "%s", why);
    }
    if (ferror(c->in))
        die(c, c->source);
    free(text);
}

static void read_back(struct compiler *c, void *room, size_t n, uint32_t at)
{
    if (pread(c->out, room, n, (off_t)at) != (ssize_t)n)
        die(c, c->tmp);
}

/* The key of the record at `at`; its length. */
static size_t read_key(struct compiler *c, uint32_t at, char key[ADDRESS_FMT])
{
    unsigned char head[8];

    read_back(c, head, sizeof head, at);
    size_t n = cdb_unpack(head);
    read_back(c, key, n < ADDRESS_FMT ? n : ADDRESS_FMT, at + 8);
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
    char key[ADDRESS_FMT], same[ADDRESS_FMT];
    size_t n = read_key(c, one, key);

    return read_key(c, other, same) == n && !memcmp(key, same, n);
}

/* Equal keys stand in one run of slots without a gap: that is how a lookup finds them. So the finished
 * file tells of them, and no list of what was read is kept. */
static void check_slots(struct compiler *c, const unsigned char *slots, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t one = cdb_unpack(slots + i * 8 + 4), j = i, other;
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
        uint32_t count = cdb_unpack(toc + i + 4);
        unsigned char *slots = malloc(count ? (size_t)count * 8 : 1);
        if (!slots)
            die(c, "memory");
        read_back(c, slots, (size_t)count * 8, cdb_unpack(toc + i));
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

static void complain_of_repeats(struct compiler *c, reader *read)
{
    char key[ADDRESS_FMT];

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
    read_source(c, read, number_mark);
    for (size_t i = 0; i < c->count; i++) {
        const struct repeat *r = &c->repeats[i];
        size_t n = read_key(c, r->again, key);
        complain(c, (uint32_t)line_of(c, r->again), "%.*s is on line %lu already", (int)n, key,
                 line_of(c, r->first));
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
    read_source(c, read, add);
    if (cdb_make_finish(&c->cdb) < 0)
        die(c, c->tmp);
    complain_of_repeats(c, read);
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
