/* wire: the client's connection: bounded lines in, buffered bytes out, every wait under a deadline.
 *
 * The only room that reads from, writes to, or waits for the client. The two descriptors are sockets, pipes,
 * terminals or files; they are shared with other processes and stay blocking. */
#ifndef POSTERN_WIRE_H
#define POSTERN_WIRE_H

#include <poll.h>
#include <stdint.h>

#include "base/deadline.h"
#include "base/slice.h"

enum {
    WIRE_LINE = 4096,  /* octets of a command line with its line end */
    WIRE_HEADROOM = 1, /* free bytes in front of a chunk */
    WIRE_IN = 65536,   /* so much of a message is read at once */
    WIRE_OUT = 2560    /* replies of a pipelined group that go out in one write */
};

/* Why nothing more can be read. The first reason stays, but WIRE_LOST replaces any. */
enum wire_end {
    WIRE_OPEN,
    WIRE_EOF,     /* the client closed */
    WIRE_LOST,    /* the connection broke, or cannot be written to */
    WIRE_TIMEOUT, /* the client was too slow */
    WIRE_STOPPED  /* wire_stop was called: we are to end */
};

/* Apart from the rest: large, and mostly touched at its beginning only. Output stands behind the input that
 * was read: it is sent before anything more is read. */
struct wire_buffer {
    char bytes[WIRE_HEADROOM + WIRE_IN + WIRE_OUT];
};

struct wire {
    int in, out;
    bool in_is_socket, out_is_socket;
    enum wire_end end;
    int64_t patience; /* nanoseconds for a line, for a chunk, for a write */
    instant limit;    /* of the whole session */
    char *next;       /* input not taken yet: [next, next + have) */
    char *said;       /* output not sent yet: [said, said + out_len) */
    size_t have, out_len;
    size_t touched; /* of the buffer: no input was ever read to what lies behind */
    uint64_t bytes_in, bytes_out;
    struct wire_buffer *buffer;
};

void wire_init(struct wire *w, struct wire_buffer *buffer, int in, int out, int64_t patience, instant limit);

/* What ended a pause. */
enum wire_pause {
    WIRE_DUE,   /* the time is over */
    WIRE_TALK,  /* the client said something */
    WIRE_OTHER, /* one of the other descriptors is ready */
    WIRE_GONE   /* the client left, we are to end, or the session's time is over */
};

/* The connection goes on with these descriptors. Input from the old ones is dropped. */
void wire_change(struct wire *w, int in, int out);

/* Input that was read, but not asked for yet: the client speaks ahead. */
static inline bool wire_is_ahead(const struct wire *w)
{
    return w->have > 0;
}

/* The client's part in the end of a pause. */
enum wire_watch {
    WIRE_WATCH_NOTHING, /* not even that it left */
    WIRE_WATCH_END,     /* that it left */
    WIRE_WATCH_INPUT    /* that, or that there is input */
};

/* Input has come that was not read yet. Never waits. */
bool wire_has_come(const struct wire *w);

/* Sends all output, and waits: until `until` or the session's limit, until the watched event comes, or we
 * are to end. Nothing is read. */
enum wire_pause wire_pause(struct wire *w, instant until, enum wire_watch watch);

/* The same, or until one of the `n` others behind fds[0] is ready; fds[0] is the client's. As for poll(2). */
enum wire_pause wire_pause_with(struct wire *w, instant until, enum wire_watch watch, struct pollfd *fds,
                                size_t n);

/* The next command line without its line end (CRLF, or LF alone), valid until the next call. If the first
 * byte cannot start text, the bytes that have come are returned at once: a line end may never come. 1 for a
 * line; 0 for one that was longer than WIRE_LINE, all of it dropped; -1 with w->end set. Flushes the output
 * before it waits. */
int wire_line(struct wire *w, struct slice *line);

/* Whatever input there is, at least one byte, waiting until `limit` and no longer than `patience` and the
 * session allow. The bytes may be changed in place, and WIRE_HEADROOM bytes before them are free. Flushes
 * before it waits. -1 with w->end set. */
int wire_chunk(struct wire *w, instant limit, char **bytes, size_t *n);

/* The first `n` bytes of the last chunk are done with. */
void wire_take(struct wire *w, size_t n);

/* The bytes taken were secret: none of them stays in the buffer. */
void wire_forget(struct wire *w);

/* Appends to the output, writing only when the buffer is full. Nothing happens once the
 * connection is lost. */
void wire_put(struct wire *w, const char *bytes, size_t n);
void wire_flush(struct wire *w);

/* Flushes, says that no more will come, and reads what the client still has in flight for a short while:
 * closing over unread input would reset the connection and take the last reply with it. */
void wire_linger(struct wire *w);

/* Makes SIGTERM end the session at its next wait, or in the midst of one, with WIRE_STOPPED. A write to a
 * connection or log that is gone, and one past the limit of a file's size, is an error, not a signal. */
void wire_catch_signals(int in);

#endif
