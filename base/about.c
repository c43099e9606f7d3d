#include "base/about.h"

#include "base/exits.h"

#include <stdio.h>
#include <string.h>

int about_asked(int argc, char *const *argv, const char *usage)
{
    const char *word = argc == 2 ? argv[1] : "", *text = NULL;

    if (!strcmp(word, "--version"))
        text = "postern " ABOUT_VERSION "\n";
    else if (!strcmp(word, "-h") || !strcmp(word, "--help"))
        text = usage;
    if (!text)
        return -1;
    return dprintf(1, "%s", text) < 0 ? EXIT_TROUBLE : EXIT_OK;
}

int about_misuse(const char *usage)
{
    dprintf(2, "%s", usage);
    return EXIT_WRONG;
}
