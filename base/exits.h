/* exits: the exit codes of programs. */
#ifndef POSTERN_EXITS_H
#define POSTERN_EXITS_H

/* Done; the answer is no, for programs that are asked; wrong use or configuration; trouble: try later. A
 * session that ended is done, however its client behaved. */
enum { EXIT_OK = 0, EXIT_NO = 1, EXIT_WRONG = 100, EXIT_TROUBLE = 111 };

#endif
