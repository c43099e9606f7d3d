/* await: a wait that SIGTERM ends, with no moment at which the signal is missed. */
#ifndef POSTERN_AWAIT_H
#define POSTERN_AWAIT_H

#include <poll.h>
#include <stdbool.h>

#include "base/deadline.h"

/* SIGTERM is noted from now on; SIGPIPE is ignored. Once. With reader -1 SIGTERM comes within waits, and when
 * await_stopped is asked. Else it comes at any time, and where `reader` is a socket, it ends reads of it: the
 * one that waits, and any later one. */
void await_init(int reader);

/* SIGTERM came. */
bool await_stopped(void);

/* As poll(2), until `until`. A signal ends the wait, also a SIGTERM that came since await_stopped was last
 * asked. */
int await_poll(struct pollfd *p, nfds_t n, instant until);

/* Until one of them is ready, a signal came, or it is `until`. False: it is. */
bool await_any(struct pollfd *p, nfds_t n, instant until);

/* Until a child has ended, with SIGCHLD blocked, SIGTERM came, or it is `until`. False: it is. */
bool await_child(instant until);

#endif
