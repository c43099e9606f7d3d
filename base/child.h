/* child: another program, started with some of our descriptors and waited for under a deadline. */
#ifndef POSTERN_CHILD_H
#define POSTERN_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/deadline.h"

enum { CHILD_NOT_STARTED = 120 }; /* exit code where the program could not be run */

struct child {
    pid_t pid; /* 0: none is running */
};

/* Ours, above 2, is the program's `as`. An `as` must be no other mapping's `ours`. */
struct child_fd {
    int ours, as;
};

/* A pipe of which the program inherits neither end but by a mapping. 0, or -1 with errno. */
int child_pipe(int ends[2]);

/* Starts argv[0], a path, in a process group of its own, with signals as a shell would give it, and with no
 * descriptors of ours but 0 to 2 and the mapped ones. 0, or -1 with errno. From then on SIGCHLD is blocked.
 */
int child_start(struct child *c, char *const argv[], const struct child_fd *fds, size_t n);

/* True when it has ended by `until`, and after SIGTERM within `grace` nanoseconds; its status is as
 * waitpid(2) has it. */
bool child_wait(struct child *c, int *status, instant until, int64_t grace);

/* For a program that has nothing more to read: it has 2 s to end by itself, then its process group is killed.
 */
void child_end(struct child *c);

#endif
