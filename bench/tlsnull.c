/* tlsnull: the smallest SMTP session that becomes TLS, on descriptors 0 and 1, in one process.
 *
 * It sends plain replies up to STARTTLS, unasked, then loads certificate and key (CERTFILE,
 * KEYFILE), shakes hands, and says the rest inside TLS. OpenSSL does nothing that can be left out: it reads
 * no configuration, makes no session tickets, and nothing is taken down at the end. The limit for the CPU of
 * a TLS session. */
#include <openssl/ssl.h>
#include <stdlib.h>
#include <unistd.h>

static char command[512];

static void say(const char *text, size_t n)
{
    if (write(1, text, n) != (ssize_t)n || read(0, command, sizeof command) <= 0)
        _exit(1);
}

static void hear(SSL *ssl)
{
    if (SSL_read(ssl, command, sizeof command) <= 0)
        _exit(1);
}

static void say_inside(SSL *ssl, const char *text, size_t n)
{
    if (SSL_write(ssl, text, (int)n) != (int)n)
        _exit(1);
}

#define SAY(text) say(text, sizeof text - 1)
#define SAY_INSIDE(ssl, text) say_inside(ssl, text, sizeof text - 1)
#define GREETING "250-null.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 26214400\r\n250-SMTPUTF8\r\n"

static SSL *accept_tls(void)
{
    const char *cert = getenv("CERTFILE"), *key = getenv("KEYFILE");

    if (!cert || !key || OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
        _exit(1);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx || SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        _exit(1);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL *ssl = SSL_new(ctx);
    if (!ssl || SSL_set_rfd(ssl, 0) != 1 || SSL_set_wfd(ssl, 1) != 1 || SSL_accept(ssl) != 1)
        _exit(1);
    return ssl;
}

int main(void)
{
    SAY("220 null.example ESMTP Null\r\n");
    SAY(GREETING "250-STARTTLS\r\n250-ENHANCEDSTATUSCODES\r\n250 HELP\r\n");
    if (write(1, "220 2.0.0 Ready\r\n", 17) != 17)
        _exit(1);
    SSL *ssl = accept_tls();
    hear(ssl);
    SAY_INSIDE(ssl, GREETING "250-ENHANCEDSTATUSCODES\r\n250 HELP\r\n");
    hear(ssl);
    SAY_INSIDE(ssl, "221 2.0.0 Bye\r\n");
    SSL_shutdown(ssl);
    _exit(0);
}
