/* sock2file: the least work that takes a large message from a socket to a file.
 *
 * usage: sock2file FILE FLAGS     (one session on descriptors 0 and 1)
 *
 * Everything before DATA is answered unread. Then bytes go to FILE as they come, the dots still
 * doubled and the final dot included. FLAGS:
 *   c  copy only
 *   s  also look for every line end and the byte behind it, as unstuffing must
 *   y  fsync before the message is acknowledged
 * `sy` is the limit for the speed of a body. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define say(text) (write(1, text, sizeof text - 1) == (ssize_t)(sizeof text - 1))

static char chunk[1 << 16];
static volatile unsigned long dotted; /* so that the compiler keeps the scan */

/* Lines in chunk[0..n) that begin with a dot, but for the first. */
static unsigned long dotted_lines(size_t n)
{
    const char *end = chunk + n, *p = chunk;
    unsigned long count = 0;

    while ((p = memchr(p, '\n', (size_t)(end - p))) && ++p < end)
        if (*p == '.')
            count++;
    return count;
}

/* The last five bytes of the stream, however the reads have cut it. */
static void keep_tail(char tail[5], size_t n)
{
    if (n >= 5) {
        memcpy(tail, chunk + n - 5, 5);
    } else {
        memmove(tail, tail + n, 5 - n);
        memcpy(tail + 5 - n, chunk, n);
    }
}

static int copy_body(int fd, int scan)
{
    char tail[5] = "\0\0\0\r\n"; /* as the line end of DATA left it */

    while (memcmp(tail, "\r\n.\r\n", 5) != 0) {
        ssize_t n = read(0, chunk, sizeof chunk);
        if (n <= 0)
            return 0;
        if (scan)
            dotted += dotted_lines((size_t)n);
        if (write(fd, chunk, (size_t)n) != n)
            return 0;
        keep_tail(tail, (size_t)n);
    }
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 100;

    if (!say("220 copy.example ESMTP\r\n"))
        return 1;
    for (;;) {
        if (read(0, chunk, 512) <= 0)
            return 1;
        if (chunk[0] == 'D')
            break;
        if (!say("250 ok\r\n"))
            return 1;
    }

    int fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || !say("354 go\r\n"))
        return 1;
    if (!copy_body(fd, strchr(argv[2], 's') != NULL))
        return 1;
    if (strchr(argv[2], 'y') && fsync(fd) != 0)
        return 1;
    if (!say("250 ok\r\n") || read(0, chunk, 512) <= 0)
        return 1;
    return !say("221 copy.example\r\n");
}
