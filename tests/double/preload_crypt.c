/* Notes each crypt(3) with its setting, and the end of the program, in the file that NOTES names; and with
 * each, how often the memory holds a text. SOUGHT has that text with every octet one higher, so that it is
 * not found itself. */
#define _GNU_SOURCE
#include <crypt.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_sought(const char *p, const char *sought)
{
    while (*sought && (char)(*p + 1) == *sought)
        p++, sought++;
    return !*sought;
}

static int count(const char *sought)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512], rights[8];
    unsigned long from, to;
    int found = 0;

    while (maps && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || strncmp(rights, "rw", 2) != 0)
            continue;
        for (const char *p = (const char *)from; p + strlen(sought) <= (const char *)to; p++)
            found += is_sought(p, sought);
    }
    if (!maps)
        abort();
    fclose(maps);
    return found;
}

static void note(const char *what, const char *setting)
{
    const char *path = getenv("NOTES"), *sought = getenv("SOUGHT");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;

    if (fd < 0)
        abort();
    dprintf(fd, "%s %d %s\n", what, sought ? count(sought) : 0, setting);
    close(fd);
}

#define REAL(name) (*(void **)&real = dlsym(RTLD_NEXT, name))

char *crypt_r(const char *password, const char *setting, struct crypt_data *data)
{
    char *(*real)(const char *, const char *, struct crypt_data *);

    REAL("crypt_r");
    note("crypt", setting);
    return real(password, setting, data);
}

char *crypt(const char *password, const char *setting)
{
    char *(*real)(const char *, const char *);

    REAL("crypt");
    note("crypt", setting);
    return real(password, setting);
}

int execvp(const char *file, char *const argv[])
{
    int (*real)(const char *, char *const[]);

    REAL("execvp");
    note("exec", file);
    unsetenv("LD_PRELOAD");
    return real(file, argv);
}

void _exit(int code)
{
    void (*real)(int) __attribute__((noreturn));

    REAL("_exit");
    note("exit", "");
    real(code);
}
