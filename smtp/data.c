#include "smtp/data.h"

#include "smtp/message.h"

const struct reply *data_command(struct session *s, struct slice argument)
{
    struct message m;
    bool more = true;

    (void)argument;
    const struct reply *r = message_begin(s, &m);
    if (r)
        return r;
    session_reply(s, &reply_go_ahead);
    while (more && m.body.state != BODY_END)
        more = message_read(s, &m);
    if (!more && m.fault)
        s->ended = m.fault->reason;
    s->closing = !more;
    return message_finish(s, &m, more);
}
