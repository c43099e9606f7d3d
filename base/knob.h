/* knob: settings: variables of the environment, read into the fields of a structure, and shown.
 *
 * A program has a table of knobs, one row for each variable. Which values one may have is its kind: plain
 * kinds are here, others are made where they are needed. */
#ifndef POSTERN_KNOB_H
#define POSTERN_KNOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KNOB_NAME = 16, /* octets of a name with its NUL */
    KNOB_FMT = 64,  /* space for a value that is shown */
    KNOB_WHY = 160  /* and for the words that tell what would be right */
};

struct knob;

/* Every session sets some forty defaults, so most of these are values, and no texts to read. */
struct kind {
    /* Reads a text into the field, which may keep it. NULL, or the fault of the value. */
    const char *(*scan)(const struct knob *k, const char *text, void *field);
    /* The value as a text, in the buffer or elsewhere; NULL: unset. */
    const char *(*show)(const struct knob *k, const void *field, char buffer[KNOB_FMT]);
    /* A better answer than scan's; or NULL. */
    const char *(*wrong)(const struct knob *k, char buffer[KNOB_WHY]);
    /* Sets the default, or returns it as a text to be read; NULL: the default is all zero. */
    const char *(*preset)(const struct knob *k, void *field);
    bool private; /* the value may hold a key, and is not for complaints */
};

struct knob {
    char name[KNOB_NAME];
    const struct kind *kind;
    size_t field;             /* offset of its field */
    uint64_t number;          /* the default of a number; of a time, in seconds; of a choice, its index */
    uint64_t low, high;       /* of numbers; of times, in seconds; of texts, their octets, low 0 or 1 */
    const char *const *words; /* of choices, in the order of their enum, NULL behind them */
    const char *text;         /* the default as a text; NULL: unset */
};

/* path, text (printable ASCII): const char *. flag: bool. number: uint64_t. seconds: int64_t, nanoseconds.
 * choice: unsigned. Of a value that does not hold they leave the field as it was. */
extern const struct kind knob_path, knob_text, knob_flag, knob_number, knob_seconds, knob_choice;

/* Rows: `field` is an offset. */
#define KNOB_PLAIN(name, kind, field)                                                                        \
    {                                                                                                        \
        name, &(kind), field, 0, 0, 0, NULL, NULL                                                            \
    }
#define KNOB_TEXT(name, kind, field, preset, low, high)                                                      \
    {                                                                                                        \
        name, &(kind), field, 0, low, high, NULL, preset                                                     \
    }
#define KNOB_NUMBER(name, field, preset, low, high)                                                          \
    {                                                                                                        \
        name, &knob_number, field, preset, low, high, NULL, NULL                                             \
    }
#define KNOB_SECONDS(name, field, preset, low, high)                                                         \
    {                                                                                                        \
        name, &knob_seconds, field, preset, low, high, NULL, NULL                                            \
    }
#define KNOB_CHOICE(name, kind, field, preset, words)                                                        \
    {                                                                                                        \
        name, &(kind), field, preset, 0, 0, words, NULL                                                      \
    }

/* Parts for other kinds. */
const char *knob_show_text(const struct knob *k, const void *field, char buffer[KNOB_FMT]);
const char *knob_preset_text(const struct knob *k, void *field);
const char *knob_wrong_seconds(const struct knob *k, char buffer[KNOB_WHY]);
const char *knob_show_choice(const struct knob *k, const void *field, char buffer[KNOB_FMT]);
const char *knob_wrong_choice(const struct knob *k, char buffer[KNOB_WHY]);
const char *knob_preset_choice(const struct knob *k, void *field);

/* Told of each setting that does not hold: the variable's name; its value, NULL where it is not set or not
 * to be shown; and its fault, as in "not a host name". */
typedef void knob_complaint(void *context, const char *name, const char *value, const char *why);

/* Fills the fields, all zero before, of a table's `n` rows from an environment, which must outlive them. The
 * first of equal names counts. The number of complaints. */
int knob_load(const struct knob *rows, size_t n, void *fields, char *const *environment,
              knob_complaint *complain, void *context);

/* Told of each knob and its value as text, NULL where it is unset. */
typedef void knob_reader(void *context, const char *name, const char *value);

void knob_each(const struct knob *rows, size_t n, const void *fields, knob_reader *read, void *context);

#endif
