#include "smtp/parts.h"

/* The linker is not asked for this: it would begin a page before the variables of the C library, too. */
static void *page_in(char *space)
{
    return space + (-(uintptr_t)space & (PARTS_PAGE - 1));
}

struct session *parts_join(struct parts *p)
{
    struct parts_front *front = &p->front;
    struct parts_pages *pages = page_in(p->space);
    struct session *s = &front->session;

    s->client = &front->client;
    s->ucspitls = &front->ucspitls;
    s->tls_facts = &front->tls_facts;
    s->door = &front->door;
    s->listed = &front->listed;
    s->delivery = &pages->delivery;
    s->text = pages->text;
    s->helo = pages->helo;
    s->user = front->user;
    s->from = pages->from;
    s->to = pages->to;
    s->log.buffer = &pages->log_buffer;
    s->wire.buffer = &pages->wire_buffer;
    s->transaction.buffer = &front->transaction_buffer;
    front->door.domains.buffer = &front->domains;
    front->door.mailboxes.buffer = &front->mailboxes;
    front->door.badsenders.buffer = &front->badsenders;
    front->listed.sick.buffer = &front->sick;
    front->listed.black = &pages->black;
    front->listed.white = &pages->white;
    front->listed.findings = &pages->findings;
    front->listed.survey = &pages->survey;
    front->listed.reply = front->listed_reply;
    return s;
}
