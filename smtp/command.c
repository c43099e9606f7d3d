#include "smtp/command.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void skip_blanks(struct slice *s)
{
    while (s->n && is_blank(*s->p))
        *s = slice_after(*s, 1);
}

struct command command_parse(struct slice line)
{
    struct command c;
    size_t n = 0;

    while (line.n && is_blank(line.p[line.n - 1]))
        line.n--;
    while (n < line.n && !is_blank(line.p[n]))
        n++;
    c.verb = (struct slice){line.p, n};
    c.argument = slice_after(line, n);
    skip_blanks(&c.argument);
    return c;
}

bool command_path(struct slice *argument, const char *keyword)
{
    if (!slice_starts(*argument, keyword))
        return false;
    *argument = slice_after(*argument, strlen(keyword));
    skip_blanks(argument);
    return true;
}

static bool is_keyword(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c == '-' && !first);
}

/* Any printing character but the equals sign; bytes of UTF-8 as they come. */
static bool is_value(char c)
{
    return ((unsigned char)c > ' ' && c != '=' && c != 127);
}

enum parameter_found command_parameter(struct slice *rest, struct parameter *found)
{
    size_t n = 0;

    skip_blanks(rest);
    if (!rest->n)
        return PARAMETER_END;
    while (n < rest->n && is_keyword(rest->p[n], n == 0))
        n++;
    if (!n)
        return PARAMETER_BAD;
    found->keyword = (struct slice){rest->p, n};
    found->value = (struct slice){NULL, 0};
    *rest = slice_after(*rest, n);
    if (rest->n && *rest->p == '=') {
        *rest = slice_after(*rest, 1);
        for (n = 0; n < rest->n && is_value(rest->p[n]);)
            n++;
        if (!n)
            return PARAMETER_BAD;
        found->value = (struct slice){rest->p, n};
        *rest = slice_after(*rest, n);
    }
    return rest->n && !is_blank(*rest->p) ? PARAMETER_BAD : PARAMETER_OK;
}
