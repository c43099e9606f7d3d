/* question: one DNS question on its way: sent, sent again, answered or given up.
 *
 * The caller runs the poll(2) loop: question_prepare, poll, question_take, as long as it is out. */
#ifndef POSTERN_QUESTION_H
#define POSTERN_QUESTION_H

#include <poll.h>

#include <dns.h>

#include "base/deadline.h"
#include "dns/answer.h"

enum { QUESTION_SERVERS = 256 };

/* Only <dns.h> puts anything on the heap for it, and question_end takes that away. */
struct question {
    struct dns_transmit tx; /* s1 is not 0 while the question is out */
};

/* Finds the resolvers: DNSCACHEIP's, else those of resolv.conf. False where there is no randomness to ask
 * them with. */
bool question_servers(char servers[QUESTION_SERVERS]);

/* Asks about a name, which has its dots. False where that could not be sent. `servers` must stay until
 * question_end. The descriptor is not close-on-exec, and SIGPIPE must be ignored. */
bool question_ask(struct question *q, const char servers[QUESTION_SERVERS], struct slice name,
                  enum answer_type type);

static inline bool question_is_out(const struct question *q)
{
    return q->tx.s1 != 0;
}

/* Fills *fd for poll(2) while the question is out. Makes *until earlier where it is to be asked again
 * before. */
void question_prepare(struct question *q, struct pollfd *fd, instant *until);

/* After the poll: takes what came, asks again where that is due. 1 it is answered, 0 it is still out, -1 the
 * resolvers failed. */
int question_take(struct question *q, const struct pollfd *fd);

/* The packet, where it is answered; valid until question_end. */
static inline struct slice question_packet(const struct question *q)
{
    return (struct slice){q->tx.packet, q->tx.packetlen};
}

/* Ends it, answered or not. */
void question_end(struct question *q);

#endif
