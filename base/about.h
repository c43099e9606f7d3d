/* about: the words of every program about itself: version and usage. */
#ifndef POSTERN_ABOUT_H
#define POSTERN_ABOUT_H

/* The one place that has it; the first line of CHANGES says the same. */
#define ABOUT_VERSION "0.1"

/* Answers --version, -h or --help on descriptor 1, where that is the only argument. The exit code, 0 or
 * 111; -1 where none of them was asked for. `usage` has whole lines. */
int about_asked(int argc, char *const *argv, const char *usage);

/* Wrong use: tells the right one on descriptor 2. The exit code, 100. */
int about_misuse(const char *usage);

#endif
