/* tlscheck: `postern-tlsio -n`: the configuration in effect, and whether every certificate would serve. */
#ifndef POSTERN_TLSCHECK_H
#define POSTERN_TLSCHECK_H

/* Prints on descriptor 1, complains on 2. The exit code: 0, 100, or 111 where the output cannot be written.
 */
int tlscheck(char *const *environment);

#endif
