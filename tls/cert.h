/* cert: a certificate with its chain and its private key, as PEM files hold them. */
#ifndef POSTERN_CERT_H
#define POSTERN_CERT_H

#include <stdbool.h>

#include <openssl/ssl.h>

/* Told of a fault: "certificate" or "key", the file, and why. */
typedef void cert_complaint(void *context, const char *step, const char *path, const char *why);

/* A part that could not be read is NULL. */
struct cert {
    X509 *leaf;
    STACK_OF(X509) * chain; /* the certificates behind the leaf, in the file's order */
    EVP_PKEY *key;
    bool matches; /* the key is the leaf's */
};

/* Reads the pair; the two paths may be one. A key under a password is not asked for but complained of.
 * 0: all is there and fits together; -1 after a complaint. Either way cert_free must follow. */
int cert_load(struct cert *c, const char *certfile, const char *keyfile, cert_complaint *complain,
              void *context);
void cert_free(struct cert *c);

/* "expired", "not yet valid", or NULL. Of the leaf, which must be there. */
const char *cert_date_fault(const struct cert *c);

#endif
