/* tlsconf: the environment of postern-tlsio as one checked structure. postern-tlsio(8) is its manual.
 *
 * A value that cannot be understood is never replaced by a default. Questions for OpenSSL or the file
 * system, such as whether CIPHERS has a cipher, are not asked here. */
#ifndef POSTERN_TLSCONF_H
#define POSTERN_TLSCONF_H

#include <stdint.h>

#include "base/knob.h"

enum tls_min { TLS_MIN_1_2, TLS_MIN_1_3 };

/* Texts are as they stand in the environment, or their defaults; a path that is not set is NULL. */
struct tlsconf {
    const char *certfile, *keyfile, *certdir;
    unsigned tls_min; /* enum tls_min */
    const char *ciphers;
    const char *ccafile;
    const char *session_timeout;
    int64_t patience; /* SESSION_TIMEOUT, in nanoseconds */
};

/* Fills *c from an environment, which must outlive it. The number of complaints. */
int tlsconf_load(struct tlsconf *c, char *const *environment, knob_complaint *complain, void *context);

/* Where the private key is: KEYFILE, or CERTFILE if that is not set. */
const char *tlsconf_keyfile(const struct tlsconf *c);

/* Tells of each knob and its value. */
void tlsconf_each(const struct tlsconf *c, knob_reader *read, void *context);

#endif
