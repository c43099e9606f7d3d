/* smtpspool: the least a durable receiver of one process per session can do.
 *
 * usage: smtpspool DIR     (one session on descriptors 0 and 1; DIR/tmp and DIR/new exist)
 *
 * It knows a command by its first letter and checks nothing. Each message goes to
 * DIR/tmp as it came on the wire, then: fsync, rename into DIR/new, fsync of DIR/new, 250. The
 * limit for the rate of mail and its CPU. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* input[used..filled) came and was not looked at yet */
static char input[1 << 16];
static size_t used, filled;

static char output[512];
static size_t pending;

static bool write_all(int fd, const char *p, size_t n)
{
    return write(fd, p, n) == (ssize_t)n;
}

/* Replies wait until there is nothing left to answer, so a pipelined group costs one write. */
static bool say(const char *reply)
{
    size_t n = strlen(reply);

    memcpy(output + pending, reply, n);
    pending += n;
    if (used < filled && pending < sizeof output / 2)
        return true;
    n = pending;
    pending = 0;
    return write_all(1, output, n);
}

/* Moves unread input to the front and reads more behind it. */
static bool read_more(void)
{
    memmove(input, input + used, filled - used);
    filled -= used;
    used = 0;
    ssize_t n = read(0, input + filled, sizeof input - filled);
    if (n > 0)
        filled += (size_t)n;
    return n > 0;
}

/* The first letter of the next command, 0 at the end of the input. */
static char next_command(void)
{
    const char *end;

    while (!(end = memchr(input + used, '\n', filled - used)))
        if (!read_more())
            return 0;
    char letter = input[used];
    used = (size_t)(end - input) + 1;
    return letter;
}

/* Copies whole lines to fd until one is a lone dot. A line longer than the buffer is trouble. */
static bool copy_body(int fd)
{
    for (;;) {
        size_t first = used;
        const char *end;

        while ((end = memchr(input + used, '\n', filled - used))) {
            const char *line = input + used;
            size_t n = (size_t)(end - line) + 1;
            if (n == 3 && line[0] == '.' && line[1] == '\r') {
                bool ok = used == first || write_all(fd, input + first, used - first);
                used += n;
                return ok;
            }
            used += n;
        }
        if (used > first && !write_all(fd, input + first, used - first))
            return false;
        if (!read_more())
            return false;
    }
}

static bool store(const char *dir)
{
    static unsigned count;
    static int newdir = -1;
    char tmp[512], new[512];

    if (newdir < 0) {
        snprintf(new, sizeof new, "%s/new", dir);
        newdir = open(new, O_RDONLY | O_DIRECTORY);
        if (newdir < 0)
            return false;
    }
    count++;
    snprintf(tmp, sizeof tmp, "%s/tmp/%d.%u", dir, (int)getpid(), count);
    snprintf(new, sizeof new, "%s/new/%d.%u", dir, (int)getpid(), count);

    int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return false;
    if (!copy_body(fd) || fsync(fd) != 0 || close(fd) != 0)
        return false;
    return rename(tmp, new) == 0 && fsync(newdir) == 0;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 100;

    bool ok = say("220 spool.example ESMTP\r\n");
    while (ok) {
        switch (next_command()) {
        case 0:
            return 1;
        case 'E':
        case 'H':
            ok = say("250-spool.example\r\n250 PIPELINING\r\n");
            break;
        case 'D':
            ok = say("354 go\r\n") && store(argv[1]) && say("250 ok\r\n");
            break;
        case 'Q':
            return !say("221 spool.example\r\n");
        default:
            ok = say("250 ok\r\n");
        }
    }
    return 1;
}
