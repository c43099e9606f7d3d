/* spool: one message on its way into Maildirs: begin, write, commit or abandon.
 *
 * Durable when commit returns 0: for every Maildir the file, and its entry in new/, are on disk. The order of
 * the steps is the proof:
 *
 *     open in tmp/, write; into tmp/ of every other Maildir a link, or a copy with fsync; fsync;
 *     rename to each new/; fsync of each new/
 *
 * All that can be known to fail, fails before the first rename: no Maildir, no space, no descriptor (a
 * commit holds two for each copy). Until then nothing stands in any new/. When a rename or a later fsync
 * fails, commit fails, and takes the message back from every new/ in which it still is, without opening
 * anything. A copy that a reader has moved away by then, or that a crash brings back, stays: the client sends
 * the message again, and a second one arrives. So a message may arrive twice, but is never lost. */
#ifndef POSTERN_SPOOL_H
#define POSTERN_SPOOL_H

#include <stdint.h>
#include <sys/types.h>

#include "store/maildir.h"
#include "base/slice.h"

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
    struct spool_held {
        int tmp, fresh; /* -1: another path has led to this Maildir before */
        dev_t device;
        ino_t inode;
    } held; /* of its Maildir, while a commit lasts */
};

void spool_init(struct spool *s, const char *host);

/* These three return 0, or -1 with errno; after a failure all that is left to do is spool_abandon. */

/* Starts a message in the Maildir at `path`. `header` must stay as it is until the message is committed. */
int spool_begin(struct spool *s, const char *path, struct slice header);

int spool_write(struct spool *s, const char *bytes, size_t n);

/* Delivers the message to its own Maildir and to each of `copies`. Two paths may be one Maildir: it gets the
 * message once, with the header of the first. */
int spool_commit(struct spool *s, struct spool_copy *copies, size_t n);

/* Takes an uncommitted message back. Harmless where there is none. */
void spool_abandon(struct spool *s);

#endif
