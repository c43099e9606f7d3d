/* report: what the application is told of a TLS session, by the names that mod_ssl gives it. */
#ifndef POSTERN_REPORT_H
#define POSTERN_REPORT_H

#include <stddef.h>

#include <openssl/ssl.h>

/* A value is printable ASCII, `?` standing for any other octet, and cut at this length. */
enum { REPORT_VALUE = 512, REPORT_MAX = 4096 };

/* NAME=value NUL ... NUL of a session whose handshake is done. Returns the length. */
size_t report_make(char out[REPORT_MAX], SSL *ssl);

#endif
