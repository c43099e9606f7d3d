/* pwhash: the hashes of crypt(3) that a table of users takes, by how they look (crypt(5)). Pure.
 *
 * Nothing is hashed here. Hashes that are cheap to guess are refused: an account of a mail server is a spam
 * cannon. */
#ifndef POSTERN_PWHASH_H
#define POSTERN_PWHASH_H

#include "base/slice.h"

enum { PWHASH_MAX = 383 }; /* octets of a hash: CRYPT_OUTPUT_SIZE without its NUL */

/* Takes off the prefix that Dovecot's doveadm pw(1) puts before a hash of crypt(3), such as
 * {SHA512-CRYPT}. NULL, or why there is no such hash behind it. */
const char *pwhash_unwrap(struct slice *text);

/* NULL when `text` is a whole hash of yescrypt, gost-yescrypt, scrypt, bcrypt, SHA-512 or SHA-256; else why
 * not. */
const char *pwhash_check(struct slice text);

#endif
