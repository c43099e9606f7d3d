#include "table/compiler.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static_assert(ENTRY_KEY - CDBMAKE_KEY <= 0, "the longest key");

/* Two records with one key, by where they are in the file. */
struct compiler_repeat {
    uint32_t again, first;
};

/* A record, and on which line it was. */
struct compiler_mark {
    uint32_t at, line;
};

/* Trouble that was with this. */
static int fail(struct compiler *c, const char *at)
{
    c->at = at;
    return -1;
}

static void complain(struct compiler *c, uint32_t line, const char *text)
{
    c->wrong = true;
    c->complaint(c->context, line, text);
}

static int put_record(struct compiler *c, struct slice key, struct slice value)
{
    return cdbmake_add(&c->cdb, key, value) < 0 ? fail(c, c->target.at) : 0;
}

/* The first reading of the source. */
static int add(struct compiler *c, const struct entry *e)
{
    return put_record(c, (struct slice){e->key, e->key_len}, e->value);
}

/* Reads the whole source; `take` is given each line's entry. */
static int read_source(struct compiler *c, int (*take)(struct compiler *c, const struct entry *e))
{
    struct entry e;
    struct slice line;
    bool whole;
    int r;

    if (lseek(c->in, 0, SEEK_SET) < 0)
        return fail(c, c->source);
    lines_begin(&c->lines, c->in);
    for (c->line = 1; (r = lines_next(&c->lines, &line, &whole)) > 0; c->line++) {
        e.key_len = 0;
        const char *why = whole ? entry_read(c->kind, line, &e) : "line too long";
        if (why && take == add) /* it is enough to say it once */
            complain(c, c->line, why);
        if (!why && e.key_len && take(c, &e) < 0)
            return -1;
    }
    return r < 0 ? fail(c, c->source) : 0;
}

static int put_repeat(void *context, uint32_t first, uint32_t again)
{
    struct compiler *c = context;

    if (c->count == c->space) {
        c->space = c->space ? c->space * 2 : 64;
        struct compiler_repeat *more = realloc(c->repeats, c->space * sizeof *more);
        if (!more)
            return -1;
        c->repeats = more;
    }
    c->repeats[c->count++] = (struct compiler_repeat){again, first};
    return 0;
}

static int by_first_number(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

/* The second reading of the source: records come at the same places again. */
static int number_mark(struct compiler *c, const struct entry *e)
{
    for (; c->marked < c->count * 2 && c->marks[c->marked].at == c->place; c->marked++)
        c->marks[c->marked].line = c->line;
    c->place += 8 + (uint32_t)e->key_len + (uint32_t)e->value.n;
    return 0;
}

static uint32_t line_of(const struct compiler *c, uint32_t at)
{
    const struct compiler_mark *m = bsearch(&at, c->marks, c->count * 2, sizeof *m, by_first_number);
    return m ? m->line : 0;
}

/* Finds the lines of all repeats. */
static int number_repeats(struct compiler *c)
{
    if (!(c->marks = malloc(c->count * 2 * sizeof *c->marks)))
        return fail(c, "memory");
    for (size_t i = 0; i < c->count; i++) {
        c->marks[2 * i].at = c->repeats[i].first;
        c->marks[2 * i + 1].at = c->repeats[i].again;
    }
    qsort(c->marks, c->count * 2, sizeof *c->marks, by_first_number);
    qsort(c->repeats, c->count, sizeof *c->repeats, by_first_number);
    c->place = CDBMAKE_START;
    return read_source(c, number_mark);
}

static int complain_of_repeats(struct compiler *c)
{
    char key[CDBMAKE_KEY], text[CDBMAKE_KEY + 64];

    if (c->count && number_repeats(c) < 0)
        return -1;
    for (size_t i = 0; i < c->count; i++) {
        const struct compiler_repeat *r = &c->repeats[i];
        int n = cdbmake_key(&c->cdb, r->again, key);
        if (n < 0)
            return fail(c, c->target.at);
        snprintf(text, sizeof text, "%.*s is on line %lu already", n, key,
                 (unsigned long)line_of(c, r->first));
        complain(c, line_of(c, r->again), text);
    }
    return 0;
}

/* A pipe can be read once only, and we may have to look twice. */
static int copy_pipe(struct compiler *c)
{
    FILE *copy = tmpfile();
    char block[65536];
    ssize_t n = 0;

    while (copy && ((n = read(c->in, block, sizeof block)) > 0 || (n < 0 && errno == EINTR)))
        if (n > 0 && fwrite(block, 1, (size_t)n, copy) != (size_t)n)
            return fail(c, "temporary file");
    if (!copy || n < 0 || fflush(copy))
        return fail(c, copy && n < 0 ? c->source : "temporary file");
    c->in = fileno(copy);
    return 0;
}

static int open_source(struct compiler *c)
{
    c->in = open(c->source, O_RDONLY);
    if (c->in < 0 || fstat(c->in, &c->st) < 0)
        return fail(c, c->source);
    return S_ISREG(c->st.st_mode) ? 0 : copy_pipe(c);
}

/* A group that we may not give the table to counts as others. A pipe has no rights to copy: a table of
 * users is for its owner only, others have the umask's. */
static int set_rights(struct compiler *c)
{
    mode_t mode = c->st.st_mode & 0666;
    struct stat now;

    if (!S_ISREG(c->st.st_mode))
        return 0;
    if (fstat(c->target.fd, &now) < 0)
        return fail(c, c->target.at);
    if (now.st_gid != c->st.st_gid && fchown(c->target.fd, (uid_t)-1, c->st.st_gid) < 0)
        mode = (mode & ~(mode_t)070) | (mode & 070 & (mode & 7) << 3);
    return fchmod(c->target.fd, mode) < 0 ? fail(c, c->target.at) : 0;
}

/* One slip of the hand would replace the text. */
static bool is_source(const struct compiler *c, const char *target)
{
    struct stat st;

    return !stat(target, &st) && S_ISREG(st.st_mode) && st.st_dev == c->st.st_dev &&
           st.st_ino == c->st.st_ino;
}

static int begin(struct compiler *c, const char *target)
{
    c->target.fd = -1;
    if (replace_begin(&c->target, target, c->kind == ENTRY_USER ? 0600 : 0644) < 0 ||
        cdbmake_begin(&c->cdb, c->target.fd) < 0)
        return fail(c, c->target.at);
    return open_source(c);
}

static int write_records(struct compiler *c)
{
    if (set_rights(c) < 0 || read_source(c, add) < 0 ||
        put_record(c, slice_of(""), slice_of(entry_name(c->kind))) < 0) /* see table_is() */
        return -1;
    if (cdbmake_finish(&c->cdb, put_repeat, c) < 0)
        return fail(c, c->target.at);
    return complain_of_repeats(c);
}

static enum compiler_end compile(struct compiler *c, const char *target)
{
    if (begin(c, target) < 0)
        return COMPILER_TROUBLE;
    if (is_source(c, target))
        return COMPILER_ITSELF;
    if (write_records(c) < 0)
        return COMPILER_TROUBLE;
    if (c->wrong)
        return COMPILER_WRONG;
    if (replace_commit(&c->target) == 0)
        return COMPILER_DONE;
    fail(c, c->target.at);
    return COMPILER_TROUBLE;
}

enum compiler_end compiler_run(struct compiler *c, enum entry_kind kind, const char *source,
                               const char *target)
{
    c->kind = kind;
    c->source = source;
    enum compiler_end end = compile(c, target);
    int saved = errno;
    replace_abandon(&c->target);
    errno = saved;
    return end;
}
