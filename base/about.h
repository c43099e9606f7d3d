/* about: what every program says of itself: version and usage. */
#ifndef POSTERN_ABOUT_H
#define POSTERN_ABOUT_H

/* The one place that has it; the first line of CHANGES says the same. */
#define ABOUT_VERSION "0.1"

/* Where the only argument is --version, or -h or --help, that is answered on descriptor 1. The exit code, 0
 * or 111; -1 where nothing of the kind was asked. `usage` has whole lines. */
int about_asked(int argc, char *const *argv, const char *usage);

/* Wrong use: says how it is right on descriptor 2. The exit code, 100. */
int about_misuse(const char *usage);

#endif
