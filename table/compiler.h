/* compiler: the source of a table to a finished constant database (postern-tables(5)).
 *
 * Every line is checked before anything is replaced: the target is the old file, or the whole new one. */
#ifndef POSTERN_COMPILER_H
#define POSTERN_COMPILER_H

#include <sys/stat.h>

#include "base/lines.h"
#include "base/replace.h"
#include "table/cdbmake.h"
#include "table/entry.h"

/* Told of each line that is wrong, first of those that cannot be read, then of those whose key was there
 * already. */
typedef void compiler_complaint(void *context, uint32_t line, const char *text);

/* All zero but for the complaint and its context, which the caller sets. */
struct compiler {
    compiler_complaint *complaint;
    void *context;
    const char *at; /* the object of the trouble: a file, or another thing needed */
    enum entry_kind kind;
    const char *source;
    int in;
    struct stat st; /* of the source */
    struct replace target;
    struct cdbmake cdb;
    struct lines lines;
    uint32_t line;
    bool wrong; /* there was a complaint */
    struct compiler_repeat *repeats;
    size_t count, space;
    struct compiler_mark *marks; /* of all the records in repeats; those before `marked` have their line */
    size_t marked;
    uint32_t place; /* of the next record */
};

enum compiler_end {
    COMPILER_DONE,
    COMPILER_WRONG,  /* there were complaints; the target is as it was */
    COMPILER_ITSELF, /* the source is the target, and is left alone */
    COMPILER_TROUBLE /* with the machine, not with the table: `at` and errno tell; nothing is left behind */
};

/* The readers of the table are those of its source. A source from a pipe is kept in a file without a name,
 * as it may have to be read twice. Memory is never freed: a process compiles one table. */
enum compiler_end compiler_run(struct compiler *c, enum entry_kind kind, const char *source,
                               const char *target);

#endif
