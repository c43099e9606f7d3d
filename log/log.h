/* log: the grammar of the log. One event, one line, one write(2); postern-log(5) is its manual.
 *
 * key=value pairs with one space between. A value stands bare when it is one or more of [!-~] without
 * quote, backslash and equals sign; else in double quotes, with \" \\ and \xHH for every byte
 * that is not printable ASCII. A value longer than LOG_VALUE bytes is cut, quoted, and followed by `...`. No
 * line is longer than LOG_LINE bytes, so that lines of many processes never mix in one pipe.
 *
 * A client can be kept from filling the log: see log_bound. */
#ifndef POSTERN_LOG_H
#define POSTERN_LOG_H

#include <stdint.h>

#include "base/deadline.h"
#include "base/slice.h"

enum { LOG_LINE = 1408, LOG_VALUE = 256, LOG_PREFIX = 128 };

enum { LOG_QUOTED = 2 + 4 * LOG_VALUE + 4 }; /* space for a value that log_quote or log_in_quotes writes */

/* Of a bounded log: octets for nothing, then so many for each octet heard; a line counts LOG_STAMP octets
 * more than it has, for the time that multilog puts in front. */
enum { LOG_FREE = 60 * 1024, LOG_FACTOR = 4, LOG_STAMP = 32 };

struct log_buffer {
    char line[LOG_LINE];
};

struct log {
    int fd;
    size_t prefix_len, len;
    const uint64_t *heard;     /* octets of the client; NULL: the log is not bounded */
    uint64_t spent, left_out;  /* octets of a bounded log; lines that it had no space for */
    struct log_buffer *buffer; /* where a line is put together */
    char prefix[LOG_PREFIX];   /* the pairs of every line behind its event: " sid=... client=..." */
};

/* Lines go to `fd`. Until log_common they begin with their event alone. */
void log_init(struct log *l, struct log_buffer *buffer, int fd);

/* From now on every line has this pair behind its event; too long a pair is left out. */
void log_common(struct log *l, const char *key, struct slice value);

/* From now on a line that the client's octets do not pay for is left out, and counted. */
void log_bound(struct log *l, const uint64_t *heard);

/* A line is begun, filled and ended. */
void log_event(struct log *l, const char *event);
void log_bytes(struct log *l, const char *key, struct slice value);
/* Cut to `most` octets, LOG_VALUE at most. */
void log_some(struct log *l, const char *key, struct slice value, size_t most);
void log_string(struct log *l, const char *key, const char *value);
void log_number(struct log *l, const char *key, uint64_t value);
void log_signed(struct log *l, const char *key, int64_t value);
/* Seconds with three decimals. */
void log_seconds(struct log *l, const char *key, int64_t nanoseconds);
/* A log that cannot be written is no reason to refuse mail: failure is ignored. */
void log_end(struct log *l);
/* The same for a line that no bound leaves out, nor counts. */
void log_end_always(struct log *l);

/* The value as it stands in a line; at most `space` bytes are written. Returns the length, or 0
 * where it does not fit. */
size_t log_quote(char *out, size_t space, struct slice value);

/* The same, in quotes always. */
size_t log_in_quotes(char *out, size_t space, struct slice value);

#endif
