#include "dns/question.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

/* Ids and ports that cannot be guessed: without a seed libowfat's are always the same. */
static bool seed(void)
{
    static bool seeded;
    char noise[128];

    if (!seeded && getrandom(noise, sizeof noise, 0) == sizeof noise) {
        dns_random_init(noise);
        seeded = true;
    }
    return seeded;
}

bool question_servers(char servers[QUESTION_SERVERS])
{
    return seed() && !dns_resolvconfip(servers);
}

bool question_ask(struct question *q, const char servers[QUESTION_SERVERS], struct slice name,
                  enum answer_type type)
{
    static const char any[16];
    const char wanted[2] = {(char)((unsigned)type >> 8), (char)type};
    char *domain = NULL;

    memset(q, 0, sizeof *q);
    bool sent = dns_domain_fromdot(&domain, name.p, (unsigned)name.n) &&
                !dns_transmit_start(&q->tx, servers, 1, domain, wanted, any);
    dns_domain_free(&domain);
    return sent;
}

/* <dns.h> waits by the wall clock. */
static instant of_wall(const struct taia *at, const struct taia *wall, instant now)
{
    struct taia left;

    if (taia_less(at, wall))
        return now;
    taia_sub(&left, at, wall);
    return deadline_after(now, (int64_t)left.sec.x * SECOND + (int64_t)left.nano);
}

void question_prepare(struct question *q, struct pollfd *fd, instant *until)
{
    struct taia wall, retry;

    taia_now(&wall);
    taia_uint(&retry, 3600);
    taia_add(&retry, &retry, &wall);
    dns_transmit_io(&q->tx, fd, &retry);
    fd->revents = 0;
    *until = deadline_earlier(*until, of_wall(&retry, &wall, deadline_now()));
}

/* As dns_transmit_get, but -1 already where every server was asked, and the first of them has failed again:
 * after that <dns.h> would sit out its long second wait. */
int question_take(struct question *q, const struct pollfd *fd)
{
    const unsigned loop = q->tx.udploop, server = q->tx.curserver;
    const bool is_udp = q->tx.tcpstate == 0;
    struct taia wall;

    taia_now(&wall);
    int r = dns_transmit_get(&q->tx, fd, &wall);
    if (r == 0 && is_udp && q->tx.udploop == loop && q->tx.curserver == server &&
        (errno == EAGAIN || errno == ECONNREFUSED))
        return -1;
    return r;
}

void question_end(struct question *q)
{
    dns_transmit_free(&q->tx);
}
