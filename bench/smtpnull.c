/* smtpnull: the smallest SMTP session there can be, on descriptors 0 and 1.
 *
 * Banner, one read, the answer to EHLO, one read, the answer to QUIT: it understands nothing and
 * stores nothing. The limit for the CPU of a session and for the memory of an idle one. */
#include <unistd.h>

#define say(text) (write(1, text, sizeof text - 1) == (ssize_t)(sizeof text - 1))

int main(void)
{
    char command[512];

    if (!say("220 null.example ESMTP\r\n"))
        return 1;
    if (read(0, command, sizeof command) <= 0)
        return 1;
    if (!say("250-null.example\r\n250 PIPELINING\r\n"))
        return 1;
    if (read(0, command, sizeof command) <= 0)
        return 1;
    return !say("221 null.example\r\n");
}
