/* sasl: a client's words in AUTH: base64, and the message of PLAIN (RFC 4648, RFC 4616). Pure. */
#ifndef POSTERN_SASL_H
#define POSTERN_SASL_H

#include "base/slice.h"

enum {
    SASL_TEXT = 4096,   /* octets of base64 that are read at most */
    SASL_MESSAGE = 3072 /* octets that they can stand for */
};

/* Decodes base64, with its padding. False where it is anything else, or too long. */
bool sasl_decode(struct slice text, char out[SASL_MESSAGE], size_t *n);

/* Takes a message of PLAIN apart: the identity to act as, the one that is proved, the password. False
 * where one of the three is missing. */
bool sasl_plain(struct slice message, struct slice *authzid, struct slice *authcid, struct slice *password);

#endif
