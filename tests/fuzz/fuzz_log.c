/* Lines of the log: a value that goes in comes out again, in any line. The first octet tells the space;
 * the rest is cut at each 0xff into the values. */
#define _GNU_SOURCE
#include "tests/fuzz/fuzz.h"

#include "tests/fuzz/grammar.h"

#include <sys/mman.h>
#include <unistd.h>

/* A value quoted in `space` bytes, read again, is the same, or the start of it and marked as cut. */
static void check_quote(struct slice value, size_t space)
{
    struct pair p;

    char *text = malloc(space ? space : 1);
    MUST(text);
    size_t n = log_quote(text, space, value);
    MUST(n <= space);
    if (space >= 4 * LOG_VALUE + 16)
        MUST(n);
    if (n) {
        struct slice s = {text, n};
        MUST(grammar_value(&s, &p) && !s.n);
        MUST(p.value_len <= value.n && !memcmp(p.value, value.p, p.value_len));
        MUST(p.cut == (p.value_len < value.n));
        if (space >= 4 * LOG_VALUE + 16)
            MUST(p.value_len == (value.n < LOG_VALUE ? value.n : LOG_VALUE));
    }
    free(text);
}

static int memory = -1;

static size_t read_back(char *line, size_t space)
{
    ssize_t n = pread(memory, line, space, 0);

    MUST(n > 0 && !ftruncate(memory, 0) && !lseek(memory, 0, SEEK_SET));
    return (size_t)n;
}

/* A line of all values, each behind a key of its own. Values that do not fit are left out; every cut is
 * marked. */
static void check_line(const struct slice *values, int count, struct slice common)
{
    static struct log_buffer buffer;
    static char line[LOG_LINE + 1];
    struct log l;
    struct pair p;
    int next = 0;
    char key[] = "k_";

    log_init(&l, &buffer, memory);
    log_common(&l, "common", common);
    log_event(&l, "event");
    for (int i = 0; i < count; i++) {
        key[1] = (char)('a' + i);
        log_bytes(&l, key, values[i]);
    }
    log_number(&l, "number", (uint64_t)common.n << 40);
    log_end(&l);

    struct slice s = {line, read_back(line, sizeof line)};
    MUST(s.n <= LOG_LINE);
    MUST(memchr(s.p, '\n', s.n) == s.p + s.n - 1);
    MUST(grammar_pair(&s, &p) && grammar_is(&p, "event", "event"));
    while (s.n) {
        MUST(grammar_pair(&s, &p));
        struct slice want = common;
        if (p.key.n == 2) {
            int i = p.key.p[1] - 'a';
            MUST(i >= next && i < count);
            next = i + 1;
            want = values[i];
        } else if (slice_is(p.key, "number")) {
            MUST(!s.n);
            continue;
        }
        MUST(p.value_len <= want.n && !memcmp(p.value, want.p, p.value_len));
        MUST(p.cut == (p.value_len < want.n));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice values[20], exact, rest;
    int count = 0;

    if (memory < 0)
        MUST((memory = memfd_create("log", 0)) >= 0);
    if (!size)
        return 0;
    exact = rest = copy_of(data + 1, size - 1);
    check_quote(exact, data[0]);
    check_quote(exact, 4 * LOG_VALUE + 16);
    while (rest.n && count < 20) {
        const char *end = memchr(rest.p, 0xff, rest.n);
        size_t n = end ? (size_t)(end - rest.p) : rest.n;
        values[count++] = (struct slice){rest.p, n};
        rest = slice_after(rest, n + (end ? 1 : 0));
    }
    check_line(values, count, count ? values[0] : exact);
    drop(exact);
    return 0;
}
