#include "tls/cert.h"

#include "tls/tlserr.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/decodererr.h>
#include <openssl/err.h>
#include <openssl/pem.h>

enum { FILE_MAX = 1 << 20 }; /* octets of a file of certificates at most */

/* Opens an ordinary file of a sane size: nothing that could keep us reading, or waiting. NULL: *why. */
static BIO *open_pem(const char *path, const char **why)
{
    struct stat st;
    BIO *bio = NULL;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

    if (!file || fstat(fd, &st) < 0)
        *why = strerror(errno);
    else if (!S_ISREG(st.st_mode))
        *why = "not a regular file";
    else if (st.st_size > FILE_MAX)
        *why = "too long";
    else if (!(bio = BIO_new_fp(file, BIO_CLOSE)))
        *why = tlserr_take();
    if (!bio && file)
        fclose(file);
    else if (!bio && fd >= 0)
        close(fd);
    return bio;
}

/* The oldest error says that the file holds nothing of this kind. */
static bool has_none(void)
{
    unsigned long code = ERR_peek_error();

    return (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE) ||
           (ERR_GET_LIB(code) == ERR_LIB_OSSL_DECODER && ERR_GET_REASON(code) == ERR_R_UNSUPPORTED);
}

/* Nobody is there to type one. */
static int no_password(char *buffer, int size, int for_writing, void *asked)
{
    (void)buffer;
    (void)size;
    (void)for_writing;
    *(bool *)asked = true;
    return -1;
}

/* The certificates behind the leaf. NULL, or why not. */
static const char *read_chain(struct cert *c, BIO *bio)
{
    X509 *next;
    bool asked = false;

    c->chain = sk_X509_new_null();
    while (c->chain && (next = PEM_read_bio_X509(bio, NULL, no_password, &asked)))
        if (!sk_X509_push(c->chain, next)) {
            X509_free(next);
            return "out of memory";
        }
    if (!has_none())
        return tlserr_take();
    ERR_clear_error();
    return NULL;
}

static const char *read_certificates(struct cert *c, const char *path)
{
    const char *why = NULL;
    bool asked = false;
    BIO *bio = open_pem(path, &why);

    if (!bio)
        return why;
    c->leaf = PEM_read_bio_X509(bio, NULL, no_password, &asked);
    if (c->leaf)
        why = read_chain(c, bio);
    else
        why = has_none() ? "no certificate in PEM format" : tlserr_take();
    BIO_free(bio);
    return why;
}

static const char *read_key(struct cert *c, const char *path)
{
    const char *why = NULL;
    bool asked = false;
    BIO *bio = open_pem(path, &why);

    if (!bio)
        return why;
    c->key = PEM_read_bio_PrivateKey(bio, NULL, no_password, &asked);
    if (!c->key && asked)
        why = "encrypted with a password";
    else if (!c->key)
        why = has_none() ? "no private key in PEM format" : tlserr_take();
    BIO_free(bio);
    return why;
}

int cert_load(struct cert *c, const char *certfile, const char *keyfile, cert_complaint *complain,
              void *context)
{
    memset(c, 0, sizeof *c);
    ERR_clear_error();
    const char *bad_certificate = read_certificates(c, certfile);
    if (bad_certificate)
        complain(context, "certificate", certfile, bad_certificate);
    ERR_clear_error();
    if (bad_certificate && !c->leaf && !strcmp(certfile, keyfile))
        return -1; /* one file, one complaint */
    const char *bad_key = read_key(c, keyfile);
    if (!bad_key && c->leaf && !(c->matches = X509_check_private_key(c->leaf, c->key) == 1))
        bad_key = "does not match the certificate";
    if (bad_key)
        complain(context, "key", keyfile, bad_key);
    ERR_clear_error();
    return bad_certificate || bad_key ? -1 : 0;
}

void cert_free(struct cert *c)
{
    X509_free(c->leaf);
    sk_X509_pop_free(c->chain, X509_free);
    EVP_PKEY_free(c->key);
}

const char *cert_date_fault(const struct cert *c)
{
    if (X509_cmp_current_time(X509_get0_notAfter(c->leaf)) < 0)
        return "expired";
    return X509_cmp_current_time(X509_get0_notBefore(c->leaf)) > 0 ? "not yet valid" : NULL;
}
