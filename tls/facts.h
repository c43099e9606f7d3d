/* facts: the facts of a TLS session for the application, by mod_ssl's names. */
#ifndef POSTERN_FACTS_H
#define POSTERN_FACTS_H

#include <stddef.h>

#include <openssl/ssl.h>

/* A value is printable ASCII, `?` standing for any other octet, and cut at this length. */
enum { FACTS_VALUE = 512, FACTS_MAX = 4096 };

/* NAME=value NUL ... NUL of a session whose handshake is done. Returns the length. */
size_t facts_make(char out[FACTS_MAX], SSL *ssl);

#endif
