/* empty: a program that does nothing.
 *
 * Under tcpserver it shows the cost of starting a process before a word of SMTP is spoken:
 * built static with musl and dynamic with the system's C library. */
int main(void)
{
    return 0;
}
