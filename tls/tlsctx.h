/* tlsctx: the configuration as OpenSSL's server context, in which the client's server name picks the pair. */
#ifndef POSTERN_TLSCTX_H
#define POSTERN_TLSCTX_H

#include "tls/cert.h"
#include "tls/tlsconf.h"

enum { TLSCTX_NAME = 253, TLSCTX_PATH = 4096 };

struct tlsctx {
    const struct tlsconf *conf;
    cert_complaint *complain; /* steps: config, certificate, key, ca */
    void *context;
    SSL_CTX *ctx;
};

/* Makes the context, for a configuration that outlives it. 0, or -1 after a complaint; a pair that is only
 * out of date is complained of and served. */
int tlsctx_init(struct tlsctx *t, const struct tlsconf *conf, cert_complaint *complain, void *context);
void tlsctx_free(struct tlsctx *t);

/* A server name that may be looked for below CERTDIR, in `out` in lower case: a host name, never a path. */
bool tlsctx_name(char out[TLSCTX_NAME + 1], const char *name);

/* Where the pair for a checked name is; false: the path would be too long. */
struct tlsctx_pair {
    char certfile[TLSCTX_PATH], keyfile[TLSCTX_PATH];
};
bool tlsctx_pair(struct tlsctx_pair *p, const char *certdir, const char *name);

#endif
