/* command: a command line taken apart into verb, argument and ESMTP parameters (RFC 5321 4.1.1).
 *
 * Pure: everything returned points into the line. */
#ifndef POSTERN_COMMAND_H
#define POSTERN_COMMAND_H

#include "base/slice.h"

struct command {
    struct slice verb;     /* up to the first space or tab; may be empty */
    struct slice argument; /* the rest, white space around it removed */
};

/* `line` comes without its line end. */
struct command command_parse(struct slice line);

/* For MAIL and RCPT: takes `keyword` ("FROM:" or "TO:") and spaces behind it off the argument.
 * False where it does not begin so. */
bool command_path(struct slice *argument, const char *keyword);

struct parameter {
    struct slice keyword;
    struct slice value; /* p is NULL where there was no '=' */
};

enum parameter_found { PARAMETER_END, PARAMETER_OK, PARAMETER_BAD };

/* Takes the next parameter (RFC 5321 4.1.2, esmtp-param; UTF-8 in values as RFC 6531 3.3) and the
 * spaces before it off `rest`. PARAMETER_BAD leaves the rest undefined. */
enum parameter_found command_parameter(struct slice *rest, struct parameter *found);

#endif
