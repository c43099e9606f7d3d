/* intake: the qmail-queue interface (qmail-queue(8)) as the program that is asked.
 *
 * A message comes on one descriptor, its envelope on another. */
#ifndef POSTERN_INTAKE_H
#define POSTERN_INTAKE_H

#include "base/deadline.h"
#include "base/hold.h"
#include "mail/address.h"

enum { INTAKE_ADDRESS = ADDRESS_PATH - 2 /* octets of an address, which has no brackets here */ };

enum intake_result {
    INTAKE_DONE,
    INTAKE_CUT_OFF,       /* the envelope ended before its last NUL */
    INTAKE_LATE,          /* the time was over: errno is ETIMEDOUT */
    INTAKE_STOPPED,       /* SIGTERM came: there may be more than was read */
    INTAKE_UNREADABLE,    /* errno */
    INTAKE_UNHELD,        /* there is no room for the message: errno */
    INTAKE_LONG,          /* an address with more octets than INTAKE_ADDRESS */
    INTAKE_NO_SENDER,     /* the envelope does not begin with one */
    INTAKE_NO_RECIPIENT,  /* there is another thing where one must be */
    INTAKE_NO_RECIPIENTS, /* not one, in an envelope that is sound else */
};

struct intake {
    instant until; /* for both */
    int fd;
    size_t at, n; /* of the block: octets taken, and octets there */
    char block[HOLD_BLOCK];
    char address[INTAKE_ADDRESS];
};

/* Both have until then to come. await_init must have been called. */
void intake_init(struct intake *in, instant until);

/* All that comes on `fd`, to its end, into `message`. */
enum intake_result intake_message(struct intake *in, int fd, struct hold *message);

/* Told of one address, which is valid until it returns. */
typedef void intake_ear(void *context, struct slice address);

/* From `fd`: F sender NUL, T recipient NUL for each, NUL, and not a byte more is waited for. Ears are told as
 * the addresses come, before it is known how the envelope ends: of a sender that may be empty, then of
 * recipients that are not. */
enum intake_result intake_envelope(struct intake *in, int fd, intake_ear *sender, intake_ear *recipient,
                                   void *context);

#endif
