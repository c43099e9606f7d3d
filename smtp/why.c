#include "smtp/why.h"

#include "smtp/door.h"
#include "smtp/lists.h"

#include <stdio.h>

enum { WHY_ACCEPT = 0, WHY_REFUSE = 1, WHY_DEFER = 2, WHY_WRONG = 100 };

static void tell(void *context, const char *check, const struct visit *v, const struct reply *refusal)
{
    (void)context;
    dprintf(1, "%-8s %-10s %s%s%s\n", config_stage(v->stage), check, v->rule ? v->rule : "-",
            refusal ? ": " : "", refusal ? refusal->text : "");
}

static int wrong(const char *what, const char *argument)
{
    dprintf(2, "postern-smtpd: %s: %s\n", argument, what);
    return WHY_WRONG;
}

/* An address with or without brackets; `<>` or nothing is the null reverse-path. */
static bool read_path(const char *text, enum address_kind kind, struct address *a)
{
    struct slice rest;
    return !address_parse(*text ? slice_of(text) : slice_of("<>"), kind, a, &rest) && !rest.n;
}

int why(struct session *s, char *const arguments[4])
{
    struct address sender, recipient;
    struct visit v = {.sender = &sender, .recipient = &recipient};

    if (!client_is(&s->client, slice_of(arguments[0])))
        return wrong("no IP address", arguments[0]);
    if (!read_path(arguments[2], ADDRESS_REVERSE, &sender))
        return wrong("no sender", arguments[2]);
    if (!read_path(arguments[3], ADDRESS_FORWARD, &recipient))
        return wrong("no recipient", arguments[3]);
    session_init(s, 0, 1);
    session_greet(s, slice_of(arguments[1]), true);

    lists_begin(s);
    const struct reply *refusal = door_explain(s, &v, tell, NULL);
    if (!refusal) {
        dprintf(1, "accept\n");
        return WHY_ACCEPT;
    }
    dprintf(1, "%s: %s\n", reply_verdict(refusal), refusal->reason);
    return reply_is_error(refusal) ? WHY_REFUSE : WHY_DEFER;
}
