#include "smtp/reply.h"

const char *reply_verdict(const struct reply *r)
{
    return *r->text == '5' ? "reject" : *r->text == '4' ? "tempfail" : "accept";
}

bool reply_closes(const struct reply *r)
{
    return !strncmp(r->text, "421", 3) || !strncmp(r->text, "521", 3) || !strncmp(r->text, "221", 3);
}

/* All of them. */
#define REPLY(name, reason, text) const struct reply name = {text, reason}
#define REASON(name, word) const char name[] = word
#include "smtp/reply.h"
