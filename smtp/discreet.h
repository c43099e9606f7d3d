/* discreet: the part of a client's words that may stand in the log, so that no password does. Pure.
 *
 * Passwords come where nobody expects them: to a mistyped AUTH, behind an AUTH that was refused, from clients
 * of other protocols. Some words announce one: AUTH, PASS, LOGIN, PLAIN, in any case. */
#ifndef POSTERN_DISCREET_H
#define POSTERN_DISCREET_H

#include "base/slice.h"

enum {
    DISCREET_VERB = 16, /* letters of an unknown verb */
    DISCREET_BYTES = 16 /* octets of anything but text: in MQTT the password comes later */
};

/* The part that may be logged is always a first part. */

/* Of a HELO, EHLO, MAIL, RCPT, VRFY or EXPN: discreet_words. Of any other line: the verb, if it is nothing
 * but letters and DISCREET_VERB of them at most. */
struct slice discreet_line(struct slice line);

/* Of several lines: up to the first that may not be logged whole. */
struct slice discreet_text(struct slice text);

/* Up to a word by itself, between blanks, that announces a password. */
struct slice discreet_words(struct slice text);

/* Of another protocol: up to the word that announces a password. Of text only the first line, no query
 * behind a question mark, and nothing behind a colon where an `@` follows; of anything else DISCREET_BYTES.
 */
struct slice discreet_foreign(struct slice text);

/* The line announces a password, also as a part of a word: the next line may be one. */
bool discreet_announces(struct slice line);

#endif
