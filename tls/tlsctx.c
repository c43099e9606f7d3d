#include "tls/tlsctx.h"

#include "base/slice.h"
#include "tls/tlserr.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>

static int refuse(const struct tlsctx *t, const char *step, const char *object, const char *why)
{
    t->complain(t->context, step, object, why ? why : "no memory");
    return -1;
}

bool tlsctx_name(char out[TLSCTX_NAME + 1], const char *name)
{
    size_t n = strlen(name);

    if (!n || n > TLSCTX_NAME || *name == '.' || strstr(name, ".."))
        return false;
    for (size_t i = 0; i <= n; i++) {
        char c = out[i] = slice_lower(name[i]);
        if (c && c != '.' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z'))
            return false;
    }
    return true;
}

static bool put_path(char out[TLSCTX_PATH], const char *certdir, const char *name, const char *file)
{
    int n = snprintf(out, TLSCTX_PATH, "%s/%s/%s", certdir, name, file);
    return n > 0 && n < TLSCTX_PATH;
}

bool tlsctx_pair(struct tlsctx_pair *p, const char *certdir, const char *name)
{
    return put_path(p->certfile, certdir, name, "fullchain.pem") &&
           put_path(p->keyfile, certdir, name, "privkey.pem");
}

static void tell_dates(const struct tlsctx *t, const struct cert *c, const char *path)
{
    const char *fault = cert_date_fault(c);
    if (fault)
        t->complain(t->context, "certificate", path, fault);
}

/* The default pair, in place of one that OpenSSL would not have (too short a key, say). */
static void use_default_again(const struct tlsctx *t, SSL *ssl)
{
    STACK_OF(X509) *chain = NULL;

    SSL_CTX_get0_chain_certs(t->ctx, &chain);
    SSL_use_cert_and_key(ssl, SSL_CTX_get0_certificate(t->ctx), SSL_CTX_get0_privatekey(t->ctx), chain, 1);
}

/* The pair for the server name, in place of the default. */
static void use_pair(const struct tlsctx *t, SSL *ssl, const struct tlsctx_pair *p)
{
    struct cert c;

    if (cert_load(&c, p->certfile, p->keyfile, t->complain, t->context) == 0) {
        tell_dates(t, &c, p->certfile);
        /* The default pair goes: were its key of another kind, it would still be offered. */
        SSL_certs_clear(ssl);
        if (SSL_use_cert_and_key(ssl, c.leaf, c.key, c.chain, 1) != 1) {
            refuse(t, "certificate", p->certfile, tlserr_take());
            use_default_again(t, ssl);
        }
    }
    cert_free(&c);
    ERR_clear_error();
}

static int on_server_name(SSL *ssl, int *alert, void *context)
{
    const struct tlsctx *t = context;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    char lower[TLSCTX_NAME + 1];
    struct tlsctx_pair p;

    (void)alert;
    if (!name || !tlsctx_name(lower, name) || !tlsctx_pair(&p, t->conf->certdir, lower))
        return SSL_TLSEXT_ERR_OK;
    /* Looked for only when asked for. A missing pair is no fault: most names have none of their own. */
    if (access(p.certfile, F_OK) == 0)
        use_pair(t, ssl, &p);
    else if (errno != ENOENT && errno != ENOTDIR)
        t->complain(t->context, "certificate", p.certfile, strerror(errno));
    return SSL_TLSEXT_ERR_OK;
}

/* A client certificate is never a reason to refuse: the application is told the verdict on it. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

static int ask_for_client_certificate(struct tlsctx *t)
{
    const char *path = t->conf->ccafile;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(path);

    if (!names || SSL_CTX_load_verify_file(t->ctx, path) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return refuse(t, "ca", path, tlserr_take());
    }
    SSL_CTX_set_client_CA_list(t->ctx, names);
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, on_verify);
    return 0;
}

static int use_certdir(struct tlsctx *t)
{
    struct stat st;

    if (stat(t->conf->certdir, &st) < 0)
        return refuse(t, "config", "CERTDIR", strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return refuse(t, "config", "CERTDIR", strerror(ENOTDIR));
    SSL_CTX_set_tlsext_servername_callback(t->ctx, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(t->ctx, t);
    return 0;
}

static int use_default_pair(struct tlsctx *t)
{
    struct cert c;
    const char *path = t->conf->certfile;
    int r = cert_load(&c, path, tlsconf_keyfile(t->conf), t->complain, t->context);

    if (r == 0) {
        tell_dates(t, &c, path);
        if (SSL_CTX_use_cert_and_key(t->ctx, c.leaf, c.key, c.chain, 1) != 1)
            r = refuse(t, "certificate", path, tlserr_take());
    }
    cert_free(&c);
    return r;
}

enum { READ_AHEAD = 65536 }; /* four full records in one read(2) */

static void set_protocol(struct tlsctx *t)
{
    SSL_CTX_set_min_proto_version(t->ctx, t->conf->tls_min == TLS_MIN_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                    SSL_OP_CLEANSE_PLAINTEXT);
    /* A session is a process of its own: there is nobody to resume one with. */
    SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(t->ctx, 0);
    SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* SSL_read comes back after records without data, too, so that no client keeps us within it past a
     * deadline. */
    SSL_CTX_clear_mode(t->ctx, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_read_ahead(t->ctx, 1);
    SSL_CTX_set_default_read_buffer_len(t->ctx, READ_AHEAD);
}

int tlsctx_init(struct tlsctx *t, const struct tlsconf *conf, cert_complaint *complain, void *context)
{
    *t = (struct tlsctx){.conf = conf, .complain = complain, .context = context};
    ERR_clear_error();
    t->ctx = SSL_CTX_new(TLS_server_method());
    if (!t->ctx)
        return refuse(t, "config", "OpenSSL", tlserr_take());
    set_protocol(t);
    if (SSL_CTX_set_cipher_list(t->ctx, conf->ciphers) != 1)
        return refuse(t, "config", "CIPHERS", tlserr_take());
    if (conf->certdir && use_certdir(t) < 0)
        return -1;
    if (conf->ccafile && ask_for_client_certificate(t) < 0)
        return -1;
    return use_default_pair(t);
}

void tlsctx_free(struct tlsctx *t)
{
    SSL_CTX_free(t->ctx);
}
