#include "maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_DIR = O_RDONLY | O_DIRECTORY | O_CLOEXEC };

void maildir_init(struct maildir *m)
{
    m->root = m->fresh = -1;
}

/* Makes one folder, and its entry in the folder above durable. */
static int make_folder(int parent, const char *name)
{
    if (mkdirat(parent, name, 0700) < 0)
        return errno == EEXIST ? 0 : -1;
    return fsync(parent);
}

/* Makes every folder of `path`, and in the last one tmp, new and cur. */
static int make_maildir(const char *path)
{
    static const char *const parts[] = {"tmp", "new", "cur"};
    char name[MAILDIR_PATH];
    int at = open(*path == '/' ? "/" : ".", OPEN_DIR);

    while (at >= 0 && *path) {
        size_t n = strcspn(path, "/");
        memcpy(name, path, n);
        name[n] = 0;
        path += n + (path[n] == '/');
        if (!n)
            continue;
        int next = make_folder(at, name) < 0 ? -1 : openat(at, name, OPEN_DIR);
        close(at);
        at = next;
    }
    if (at < 0)
        return -1;
    int r = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !r; i++)
        r = make_folder(at, parts[i]);
    close(at);
    return r;
}

void maildir_close(struct maildir *m)
{
    int saved = errno;
    if (m->root >= 0)
        close(m->root);
    if (m->fresh >= 0)
        close(m->fresh);
    m->root = m->fresh = -1;
    errno = saved;
}

static int try_open(struct maildir *m)
{
    m->root = open(m->path, OPEN_DIR);
    if (m->root >= 0) {
        m->fresh = openat(m->root, "new", OPEN_DIR);
        if (m->fresh >= 0 && !faccessat(m->root, "tmp", F_OK, 0))
            return 0;
    }
    maildir_close(m);
    return -1;
}

int maildir_open(struct maildir *m, const char *path)
{
    size_t n = strlen(path);

    if (m->root >= 0 && !strcmp(m->path, path))
        return 0;
    maildir_close(m);
    if (n >= sizeof m->path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(m->path, path, n + 1);
    if (!try_open(m))
        return 0;
    if (errno != ENOENT || make_maildir(path) < 0)
        return -1;
    return try_open(m);
}
