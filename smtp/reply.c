#include "smtp/reply.h"

const char *reply_verdict(const struct reply *r)
{
    return *r->text == '5' ? "reject" : *r->text == '4' ? "tempfail" : "accept";
}

bool reply_closes(const struct reply *r)
{
    return !memcmp(r->text + 1, "21", 2); /* there is no 321 */
}

/* All of them. */
#define REPLY(name, reason, text) const struct reply name = {text, reason}
#define REASON(name, word) const char name[] = word
#include "smtp/reply.h"
