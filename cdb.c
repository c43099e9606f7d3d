/* postern-cdb: compiles a text table into a constant database.
 *
 * Its manuals are postern-cdb(8) and postern-tables(5). */
#define _XOPEN_SOURCE 700 /* SIGXFSZ */
#include "base/about.h"
#include "base/exits.h"
#include "table/compiler.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

static void complain(void *context, uint32_t line, const char *text)
{
    const struct compiler *c = context;

    fprintf(stderr, "%s:%lu: %s\n", c->source, (unsigned long)line, text);
}

static int compile(enum entry_kind kind, const char *source, const char *target)
{
    static struct compiler c;

    c.complaint = complain;
    c.context = &c;
    switch (compiler_run(&c, kind, source, target)) {
    case COMPILER_DONE:
        return EXIT_OK;
    case COMPILER_WRONG:
        fprintf(stderr, "postern-cdb: %s is left as it was\n", target);
        return EXIT_WRONG;
    case COMPILER_ITSELF:
        fprintf(stderr, "postern-cdb: %s: the source cannot be the target\n", target);
        return EXIT_WRONG;
    case COMPILER_TROUBLE:
        break;
    }
    fprintf(stderr, "postern-cdb: %s: %s\n", c.at, strerror(errno));
    return EXIT_TROUBLE;
}

int main(int argc, char **argv)
{
    static const char usage[] = "usage: postern-cdb domains|mailboxes|badsenders|users source target\n";
    enum entry_kind kind;

    signal(SIGXFSZ, SIG_IGN); /* a limit of the file's size is an error like others */
    if (argc == 4 && entry_kind(argv[1], &kind))
        return compile(kind, argv[2], argv[3]);
    int code = about_asked(argc, argv, usage);
    return code < 0 ? about_misuse(usage) : code;
}
