/* spool: one message on its way into Maildirs: begin, write, commit or abandon.
 *
 * Durable when commit returns 0: for every Maildir the file, and its entry in new/, are on disk. Until
 * then nothing stands in new/, and nothing is left there when commit fails. The order of the steps is the
 * proof:
 *
 *     open in tmp/, write, fsync, link into the other Maildirs, rename to new/, fsync of each new/ */
#ifndef POSTERN_SPOOL_H
#define POSTERN_SPOOL_H

#include <stdint.h>
#include <sys/types.h>

#include "maildir.h"
#include "slice.h"

enum {
    SPOOL_NAME = 256, /* a message's file name with its NUL */
    SPOOL_HOST = 128  /* octets of the host's name that go into it */
};

struct spool {
    const char *host;       /* for file names; a domain or address literal */
    pid_t process;          /* this one */
    unsigned count;         /* messages it began */
    struct maildir maildir; /* the message's own, kept open for the next message */
    const char *at;         /* path of the Maildir that is being worked on, or that failed */
    int fd;                 /* the file in tmp/; -1: none */
    struct slice header;    /* what stands atop the message */
    uint64_t size;          /* bytes in the file */
    char base[SPOOL_NAME];  /* the file's name but for its size */
};

/* A further copy: the very same file where `header` is empty, else the message behind this header. */
struct spool_copy {
    const char *maildir;
    struct slice header;
};

void spool_init(struct spool *s, const char *host);

/* These three return 0, or -1 with errno; after a failure all that is left to do is spool_abandon. */

/* Starts a message in the Maildir at `path`. `header` must stay as it is until the message is committed. */
int spool_begin(struct spool *s, const char *path, struct slice header);

int spool_write(struct spool *s, const char *bytes, size_t n);

/* Delivers the message to its own Maildir and to each of `copies`. */
int spool_commit(struct spool *s, const struct spool_copy *copies, size_t n);

/* Takes back what is not committed. Harmless where nothing is. */
void spool_abandon(struct spool *s);

#endif
