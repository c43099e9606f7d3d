/* folder: a working directory for one test program, gone behind it: unchecked fixtures of its test case. */
#ifndef POSTERN_TESTS_FOLDER_H
#define POSTERN_TESTS_FOLDER_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/postern-test-XXXXXX";

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static void make_folder(void)
{
    if (!mkdtemp(folder) || chdir(folder) < 0)
        abort();
}

static void remove_folder(void)
{
    if (chdir("/") < 0 || nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS) < 0)
        abort();
}

#endif
