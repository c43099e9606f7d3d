#include "log/log.h"

#include "base/digits.h"

#include <unistd.h>

void log_init(struct log *l, struct log_buffer *buffer, int fd)
{
    l->buffer = buffer;
    l->fd = fd;
    l->prefix_len = l->len = 0;
    l->heard = NULL;
    l->spent = l->left_out = 0;
}

void log_bound(struct log *l, const uint64_t *heard)
{
    l->heard = heard;
}

static bool is_bare(struct slice value, size_t most)
{
    if (!value.n || value.n > most)
        return false;
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (c < '!' || c > '~' || c == '"' || c == '\\' || c == '=')
            return false;
    }
    return true;
}

static size_t escape(char *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";

    if (c == '"' || c == '\\') {
        out[0] = '\\';
        out[1] = (char)c;
        return 2;
    }
    if (c >= ' ' && c <= '~') {
        out[0] = (char)c;
        return 1;
    }
    out[0] = '\\';
    out[1] = 'x';
    out[2] = hex[c >> 4];
    out[3] = hex[c & 15];
    return 4;
}

static size_t put_in_quotes(char *out, size_t space, struct slice value, size_t most)
{
    static const char cut[] = "\"...";
    const size_t longest = 4, tail = sizeof cut - 1;
    size_t n = 0, i;

    if (space < 1 + longest + tail)
        return 0;
    out[n++] = '"';
    for (i = 0; i < value.n && i < most && n + longest + tail <= space; i++)
        n += escape(out + n, (unsigned char)value.p[i]);
    size_t end = i < value.n ? tail : 1;
    memcpy(out + n, cut, end);
    return n + end;
}

static size_t quote(char *out, size_t space, struct slice value, size_t most)
{
    if (!is_bare(value, most))
        return put_in_quotes(out, space, value, most);
    if (value.n > space)
        return 0;
    memcpy(out, value.p, value.n);
    return value.n;
}

size_t log_in_quotes(char *out, size_t space, struct slice value)
{
    return put_in_quotes(out, space, value, LOG_VALUE);
}

size_t log_quote(char *out, size_t space, struct slice value)
{
    return quote(out, space, value, LOG_VALUE);
}

/* Appends ` key=value`, or nothing where it does not fit. Returns the new length. */
static size_t put_pair(char *buf, size_t len, size_t space, const char *key, struct slice value, size_t most)
{
    size_t k = strlen(key), n = len;

    if (n + k + 2 > space)
        return len;
    buf[n++] = ' ';
    memcpy(buf + n, key, k);
    n += k;
    buf[n++] = '=';
    size_t v = quote(buf + n, space - n, value, most);
    return v ? n + v : len;
}

void log_common(struct log *l, const char *key, struct slice value)
{
    l->prefix_len = put_pair(l->prefix, l->prefix_len, sizeof l->prefix, key, value, LOG_VALUE);
}

static void append(struct log *l, struct slice bytes)
{
    memcpy(l->buffer->line + l->len, bytes.p, bytes.n);
    l->len += bytes.n;
}

void log_event(struct log *l, const char *event)
{
    l->len = 0;
    append(l, slice_of("event="));
    append(l, slice_of(event));
    append(l, (struct slice){l->prefix, l->prefix_len});
}

void log_some(struct log *l, const char *key, struct slice value, size_t most)
{
    l->len = put_pair(l->buffer->line, l->len, sizeof l->buffer->line - 1, key, value, most);
}

void log_bytes(struct log *l, const char *key, struct slice value)
{
    log_some(l, key, value, LOG_VALUE);
}

void log_string(struct log *l, const char *key, const char *value)
{
    log_bytes(l, key, slice_of(value));
}

void log_number(struct log *l, const char *key, uint64_t value)
{
    char text[DIGITS];
    log_bytes(l, key, (struct slice){text, digits_put(text, value)});
}

void log_signed(struct log *l, const char *key, int64_t value)
{
    char text[1 + DIGITS] = "-";
    size_t sign = value < 0;
    uint64_t size = sign ? -(uint64_t)value : (uint64_t)value;
    log_bytes(l, key, (struct slice){text, sign + digits_put(text + sign, size)});
}

void log_seconds(struct log *l, const char *key, int64_t nanoseconds)
{
    char text[DIGITS + 1];
    uint64_t ms = nanoseconds < 0 ? 0 : (uint64_t)nanoseconds / 1000000;
    log_bytes(l, key, (struct slice){text, digits_seconds(text, ms)});
}

void log_end(struct log *l)
{
    uint64_t sum = l->spent + l->len + 1 + LOG_STAMP;

    if (l->heard && sum > LOG_FREE + LOG_FACTOR * *l->heard) {
        l->left_out++;
        return;
    }
    l->spent = sum;
    log_end_always(l);
}

void log_end_always(struct log *l)
{
    l->buffer->line[l->len++] = '\n';
    ssize_t ignored = write(l->fd, l->buffer->line, l->len);
    (void)ignored;
}
