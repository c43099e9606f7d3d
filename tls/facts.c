#include "tls/facts.h"

#include "net/ucspitls.h"

#include <string.h>

#include <openssl/x509v3.h>

struct facts {
    char *out;
    size_t n;
};

/* Six pairs at most, so there is always space. */
static void put(struct facts *r, const char *name, const char *value, size_t length)
{
    size_t n = strlen(name);

    memcpy(r->out + r->n, name, n);
    r->n += n;
    r->out[r->n++] = '=';
    for (size_t i = 0; i < length && i < FACTS_VALUE; i++)
        r->out[r->n++] = (char)(value[i] >= ' ' && value[i] <= '~' ? value[i] : '?');
    r->out[r->n++] = 0;
}

static void put_text(struct facts *r, const char *name, const char *value)
{
    put(r, name, value, strlen(value));
}

/* As mod_ssl writes it: RFC 2253, all that is not ASCII escaped. */
static void put_name(struct facts *r, const char *name, const X509_NAME *dn)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    long n = 0;

    if (bio && X509_NAME_print_ex(bio, dn, 0, XN_FLAG_RFC2253) >= 0)
        n = BIO_get_mem_data(bio, &text);
    put(r, name, text, text && n > 0 ? (size_t)n : 0);
    BIO_free(bio);
}

static void put_verdict(struct facts *r, long result)
{
    char text[FACTS_VALUE] = "FAILED:";

    strncat(text, X509_verify_cert_error_string(result), sizeof text - sizeof "FAILED:");
    put_text(r, "SSL_CLIENT_VERIFY", result == X509_V_OK ? "SUCCESS" : text);
}

static void put_client(struct facts *r, SSL *ssl)
{
    const X509 *peer = SSL_get0_peer_certificate(ssl);

    if (!peer) {
        put_text(r, "SSL_CLIENT_VERIFY", "NONE");
        return;
    }
    put_verdict(r, SSL_get_verify_result(ssl));
    put_name(r, "SSL_CLIENT_S_DN", X509_get_subject_name(peer));
    put_name(r, "SSL_CLIENT_I_DN", X509_get_issuer_name(peer));
}

size_t facts_make(char out[FACTS_MAX], SSL *ssl)
{
    struct facts r = {out, 0};
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    put_text(&r, UCSPITLS_PROTOCOL, SSL_get_version(ssl));
    put_text(&r, UCSPITLS_CIPHER, SSL_get_cipher_name(ssl));
    if (name)
        put_text(&r, UCSPITLS_SERVER_NAME, name);
    if (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER)
        put_client(&r, ssl);
    out[r.n++] = 0;
    return r.n;
}
