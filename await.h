/* await: a wait that SIGTERM ends, with no moment at which the signal is missed. */
#ifndef POSTERN_AWAIT_H
#define POSTERN_AWAIT_H

#include <poll.h>
#include <stdbool.h>

#include "deadline.h"

/* From now on SIGTERM comes within waits only; SIGPIPE is ignored. Once. */
void await_init(void);

/* SIGTERM came since this was last asked. */
bool await_stopped(void);

/* Until one of them is ready, as poll(2) has it, a signal came, or it is `until`. False: it is. */
bool await_any(struct pollfd *p, nfds_t n, instant until);

#endif
