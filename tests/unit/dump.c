/* Prints the vocabulary that the documents and the tests must know, one line each, its parts separated by
 * tabs:
 *
 *     reply   NAME  REASON  TEXT   (REASON is empty where nothing is refused)
 *     reason  NAME  REASON         (of replies whose text is made up; of ends, named end_...)
 *     verb    NAME */
#include <stdio.h>

#include "smtp/verbs.c" /* for its table */

static void dump(const char *kind, const char *name, const char *reason, const char *text)
{
    printf("%s\t%s\t%s\t%s\n", kind, name, reason ? reason : "", text);
}

int main(void)
{
#define REPLY(name, reason, text) dump("reply", #name, reason, text)
#define REASON(name, word) dump("reason", #name, word, "")
#include "smtp/reply.h"
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        dump("verb", verbs[i].name, NULL, "");
    return 0;
}
