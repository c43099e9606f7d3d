/* checkpassword: a name and a password handed to another program by the checkpassword interface.
 *
 * The program reads them on descriptor 3 and says by its exit code whether they belong together. */
#ifndef POSTERN_CHECKPASSWORD_H
#define POSTERN_CHECKPASSWORD_H

#include "base/deadline.h"
#include "base/slice.h"

enum { CHECKPASSWORD_MOST = 512 }; /* octets of name, password and timestamp, with their NULs */

enum checkpassword_result {
    CHECKPASSWORD_RIGHT,
    CHECKPASSWORD_WRONG,
    CHECKPASSWORD_STOPPED, /* SIGTERM came, and no verdict soon after it */
    CHECKPASSWORD_TROUBLE  /* with errno, or *exit_code of a program that says so */
};

/* Starts `program /bin/true`, so that exit code 0 is its yes, and gives it until `until`. An empty name or
 * password, one with a NUL, or one too long for the interface is wrong without being asked. */
enum checkpassword_result checkpassword_ask(const char *program, struct slice user, struct slice password,
                                            instant until, int *exit_code);

#endif
