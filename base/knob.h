/* knob: the kinds of values that a variable of the environment may have: how each is read, and shown. */
#ifndef POSTERN_KNOB_H
#define POSTERN_KNOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KNOB_NAME = 16, /* octets of a name with its NUL */
    KNOB_FMT = 64,  /* room for a value that is shown */
    KNOB_WHY = 160  /* and for what would be right */
};

struct knob;

/* How a kind of value is read (NULL, or why not: what the value is) and shown (NULL: unset). Every session
 * sets some forty defaults, so these are values, and no texts to read. */
struct kind {
    const char *(*scan)(const struct knob *k, const char *text, void *field);
    const char *(*show)(const struct knob *k, const void *field, char *buffer);
    const char *(*wrong)(const struct knob *k,
                         char buffer[KNOB_WHY]);            /* a better answer than scan's; or NULL */
    void (*set_default)(const struct knob *k, void *field); /* NULL: all zero */
    bool private; /* the value may hold a key, and is not for complaints */
};

struct knob {
    char name[KNOB_NAME];
    const struct kind *kind;
    size_t field;             /* offset of its field */
    uint64_t number;          /* the default of a number; of a time, in seconds; of a choice, its index */
    uint64_t low, high;       /* of numbers; of times, in seconds */
    const char *const *words; /* of choices, in the order of their enum, NULL behind them */
    const char *text;         /* the default of a greeting */
};

/* host: const char *, a domain or address literal. greeting, suffix: const char *, printable text of some
 * length; path: const char *. flag: bool. number: uint64_t. seconds: int64_t, nanoseconds. choice: unsigned.
 * pairs, lists: const char *, zone=name and DNS lists. */
extern const struct kind knob_host, knob_greeting, knob_path, knob_suffix, knob_flag, knob_number,
    knob_seconds, knob_choice, knob_pairs, knob_lists;

#endif
