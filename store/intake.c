#include "store/intake.h"

#include "base/await.h"

#include <errno.h>
#include <unistd.h>

void intake_init(struct intake *in, instant until)
{
    in->until = until;
}

static void begin(struct intake *in, int fd)
{
    in->fd = fd;
    in->at = in->n = 0;
}

/* The next block; of no byte at the end. SIGTERM ends the reads of a socket: that is no end. */
static enum intake_result fill(struct intake *in)
{
    struct pollfd p = {.fd = in->fd, .events = POLLIN};
    ssize_t r = -1;

    while (r < 0) {
        if (await_stopped())
            return INTAKE_STOPPED;
        if (!await_any(&p, 1, in->until)) {
            errno = ETIMEDOUT;
            return INTAKE_LATE;
        }
        if (!p.revents)
            continue;
        r = read(in->fd, in->block, sizeof in->block);
        if (r < 0 && errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)
            return INTAKE_UNREADABLE;
    }
    in->at = 0;
    in->n = (size_t)r;
    return !r && await_stopped() ? INTAKE_STOPPED : INTAKE_DONE;
}

enum intake_result intake_message(struct intake *in, int fd, struct hold *message)
{
    enum intake_result r;

    begin(in, fd);
    while (!(r = fill(in)) && in->n)
        if (hold_write(message, in->block, in->n) < 0)
            return INTAKE_UNHELD;
    return r;
}

/* The next byte of an envelope. */
static enum intake_result next(struct intake *in, char *c)
{
    if (in->at == in->n) {
        enum intake_result r = fill(in);
        if (r || !in->n)
            return r ? r : INTAKE_CUT_OFF;
    }
    *c = in->block[in->at++];
    return INTAKE_DONE;
}

/* The octets between a letter and a NUL. */
static enum intake_result read_address(struct intake *in, struct slice *address)
{
    enum intake_result r;
    size_t n = 0;
    char c;

    while (!(r = next(in, &c)) && c) {
        if (n == INTAKE_ADDRESS)
            return INTAKE_LONG;
        in->address[n++] = c;
    }
    *address = (struct slice){in->address, n};
    return r;
}

static enum intake_result read_recipients(struct intake *in, intake_ear *recipient, void *context)
{
    enum intake_result r;
    struct slice address;
    bool any = false;
    char c;

    for (; !(r = next(in, &c)) && c; any = true) {
        if (c != 'T')
            return INTAKE_NO_RECIPIENT;
        if ((r = read_address(in, &address)))
            return r;
        if (!address.n)
            return INTAKE_NO_RECIPIENT;
        recipient(context, address);
    }
    return r || any ? r : INTAKE_NO_RECIPIENTS;
}

enum intake_result intake_envelope(struct intake *in, int fd, intake_ear *sender, intake_ear *recipient,
                                   void *context)
{
    struct slice address;
    char c;

    begin(in, fd);
    enum intake_result r = next(in, &c);
    if (r)
        return r;
    if (c != 'F')
        return INTAKE_NO_SENDER;
    if ((r = read_address(in, &address)))
        return r;
    sender(context, address);
    return read_recipients(in, recipient, context);
}
