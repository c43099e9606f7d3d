/* Prints the vocabulary that the documents and the tests must know, one line each, its parts separated by
 * tabs:
 *
 *     reply   NAME REASON TEXT   (REASON is empty where nothing is refused)
 *     reason  NAME WORD          (of replies whose text is made up; of ends, named end_...)
 *     verb    NAME */
#include <stdio.h>

#include "smtp/verbs.c" /* for its table */

int main(void)
{
#define REPLY(name, reason, text) printf("reply\t%s\t%s\t%s\n", #name, (reason) ? (reason) : "", text)
#define REASON(name, word) printf("reason\t%s\t%s\n", #name, word)
#include "smtp/reply.h"
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        printf("verb\t%s\n", verbs[i].name);
    return 0;
}
