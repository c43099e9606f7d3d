/* knob: the kinds of values that a variable of the environment may have: how each is read, and shown. */
#ifndef POSTERN_KNOB_H
#define POSTERN_KNOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KNOB_FMT = 64, /* room for a value that is shown */
    KNOB_WHY = 160 /* and for what would be right */
};

struct knob;

/* How a kind of value is read (NULL, or why not: what the value is) and shown (NULL: unset). */
struct kind {
    const char *(*scan)(const struct knob *k, const char *text, void *field);
    const char *(*show)(const struct knob *k, const void *field, char *room);
    const char *(*wrong)(const struct knob *k,
                         char room[KNOB_WHY]); /* a better answer than scan's; or NULL */
    bool private;                              /* the value may hold a key, and is not for complaints */
};

struct knob {
    const char *name;
    const struct kind *kind;
    size_t field;             /* offset of its field */
    const char *preset;       /* the default, as it would be written; NULL: unset */
    uint64_t low, high;       /* of numbers; of times, in seconds */
    const char *const *words; /* of choices, in the order of their enum, NULL behind them */
};

/* host: const char *, a domain or address literal. greeting, suffix: const char *, printable text of some
 * length; path: const char *. flag: bool. number: uint64_t. seconds: int64_t, nanoseconds. choice: unsigned.
 * pairs, lists: const char *, zone=name and DNS lists. */
extern const struct kind knob_host, knob_greeting, knob_path, knob_suffix, knob_flag, knob_number,
    knob_seconds, knob_choice, knob_pairs, knob_lists;

#endif
