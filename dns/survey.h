/* survey: DNS lists asked about a client, all at once (RFC 5782). The only room that includes <dns.h>.
 *
 * White lists let a client pass all others. The rest add their weights up to a score. Who asks runs the
 * poll(2) loop: dnsbl_prepare, poll, dnsbl_take, until the verdict is known, or until nothing is out any
 * more. Trouble - silence, a resolver that fails, a list's error code - is "not listed", and told for each
 * list. */
#ifndef POSTERN_SURVEY_H
#define POSTERN_SURVEY_H

#include <poll.h>
#include <stdint.h>

#include <dns.h>

#include "base/deadline.h"
#include "dns/dnslist.h"
#include "base/ip.h"

enum {
    DNSBL_ITEMS = 2 * DNSLIST_MAX, /* of both sets of lists */
    DNSBL_FDS = DNSBL_ITEMS + 1,   /* as many descriptors to poll, at most */
    DNSBL_TEXT = 200               /* longest text of a listing */
};

enum dnsbl_state {
    DNSBL_ASKED,   /* no answer yet; none ever after dnsbl_end */
    DNSBL_MISS,    /* not listed, or by no answer that matches */
    DNSBL_HIT,     /* listed */
    DNSBL_ERROR,   /* the list says that it does not answer us, or what no list may say */
    DNSBL_FAILED,  /* the resolver is not there, or it failed */
    DNSBL_TIMEOUT, /* no answer by the deadline */
};

/* The state as a word: asked, miss, hit, error, failed, timeout. */
const char *dnsbl_word(enum dnsbl_state state);

/* What a DNS answer of `n` bytes says of the client in this list: never DNSBL_ASKED or DNSBL_TIMEOUT.
 * `answer` gets the address that says so; where none matched, the first there is, or 0.0.0.0. Answers count
 * when they are in 127/8, but not 127.0.0.1, nor the error codes 127.255.255.x and 127.0.0.255. Pure. */
enum dnsbl_state dnsbl_judge(const struct dnslist *list, const char *packet, size_t n,
                             unsigned char answer[4]);

/* The first TXT record of a DNS answer, DNSBL_TEXT octets at most, with ? for all but printable ASCII.
 * Returns its length, 0 where there is none. Pure. */
size_t dnsbl_read_text(char out[DNSBL_TEXT], const char *packet, size_t n);

/* One list, asked about one client. */
struct dnsbl_item {
    const struct dnslist *list;
    bool is_white;
    enum dnsbl_state state;
    unsigned char answer[4]; /* as dnsbl_judge has it */
    int64_t took;            /* nanoseconds from the question to the answer, or to giving up */
    size_t asked_by;         /* of the items with one zone the first asks for all */
    struct dns_transmit tx;  /* of that item; s1 is not 0 while the question is out */
};

/* Nothing in it is ever on the heap but what <dns.h> puts there, which dnsbl_end takes away. */
struct dnsbl {
    size_t n; /* items: the white lists, then the others, each in their order */
    int threshold;
    instant begun, deadline;
    size_t name_len, text_len;
    char name[IP_REVERSED]; /* what is asked about */
    char text[DNSBL_TEXT];
    char servers[256]; /* as <dns.h> has them */
    struct dns_transmit text_tx;
    struct dnsbl_item item[DNSBL_ITEMS];
};

/* Sends the questions about a client, NULL where it is not known. Of a private one (ip_is_private) or an
 * unknown one nothing is asked: n is 0, the verdict DNSBL_CLEAN. The sets and their text must stay until
 * dnsbl_end. `threshold` is 1 or more. Descriptors that are not close-on-exec are open until dnsbl_end,
 * SIGPIPE must be ignored. The resolver is DNSCACHEIP's, else that of resolv.conf. */
void dnsbl_begin(struct dnsbl *d, const struct dnslists *white, const struct dnslists *black,
                 const struct ip *client, int threshold, instant deadline);

/* The same about any name of an address, as ip_reversed and ip_nibbles make them: to test lists. */
void dnsbl_ask(struct dnsbl *d, const struct dnslists *white, const struct dnslists *black, struct slice name,
               int threshold, instant deadline);

/* What to poll: fills up to DNSBL_FDS structures and makes *until earlier where needed. Returns how many
 * there are; 0: nothing is out. */
size_t dnsbl_prepare(struct dnsbl *d, struct pollfd *fds, instant *until);

/* After the poll: takes what came, asks again where that is due, gives up at the deadline. */
void dnsbl_take(struct dnsbl *d, const struct pollfd *fds, size_t n);

enum dnsbl_verdict {
    DNSBL_OPEN,   /* answers still out may decide */
    DNSBL_CLEAN,  /* the score is below the threshold */
    DNSBL_LISTED, /* it is not */
    DNSBL_WELCOME /* a white list has the client */
};

/* Known as soon as no answer that is still out can change it. */
enum dnsbl_verdict dnsbl_verdict(const struct dnsbl *d);

/* False once the verdict cannot be DNSBL_LISTED any more, though a white list may still have to answer. */
bool dnsbl_may_be_listed(const struct dnsbl *d);

/* The weights of all hits so far; white lists have no part in it. */
int dnsbl_score(const struct dnsbl *d);

/* The item that decided: the first white hit; else, where the verdict is DNSBL_LISTED, the hit of most
 * weight, the first of equals. -1: none. */
int dnsbl_decider(const struct dnsbl *d);

/* Asks the list of this item for the text of its listing, under the same deadline. Once a client. */
void dnsbl_ask_text(struct dnsbl *d, size_t which);

/* False while the text is out. Else *text is it; empty where there is none. */
bool dnsbl_text(const struct dnsbl *d, struct slice *text);

/* Ends what is out. To be called once after dnsbl_begin; what is known stays. */
void dnsbl_end(struct dnsbl *d);

#endif
