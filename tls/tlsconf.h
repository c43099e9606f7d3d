/* tlsconf: the environment of postern-tlsio as one checked structure. postern-tlsio(8) is its manual.
 *
 * A value that cannot be understood is never replaced by a default. What only OpenSSL or the file system can
 * judge (whether CIPHERS has a cipher, what the files hold) is not judged here. */
#ifndef POSTERN_TLSCONF_H
#define POSTERN_TLSCONF_H

#include <stdbool.h>
#include <stdint.h>

/* As they stand in the environment, or their defaults; a path that is not set is NULL. */
struct tlsconf {
    const char *certfile, *keyfile, *certdir;
    const char *tls_min;
    const char *ciphers;
    const char *ccafile;
    const char *session_timeout;
    bool only_1_3;    /* what TLS_MIN says */
    int64_t patience; /* what SESSION_TIMEOUT says, in nanoseconds */
};

/* Told of each setting that does not hold: the variable's name; its value, NULL where it is not set; and what
 * that is. */
typedef void tlsconf_complaint(void *context, const char *name, const char *value, const char *why);

/* Fills *c from an environment, which must outlive it. The number of complaints. */
int tlsconf_load(struct tlsconf *c, char *const *environment, tlsconf_complaint *complain, void *context);

/* Where the private key is: KEYFILE, or CERTFILE if that is not set. */
const char *tlsconf_keyfile(const struct tlsconf *c);

/* Told of each knob and its value, NULL where it is unset. */
typedef void tlsconf_reader(void *context, const char *name, const char *value);

void tlsconf_each(const struct tlsconf *c, tlsconf_reader *read, void *context);

#endif
