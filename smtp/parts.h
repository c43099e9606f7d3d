/* parts: all that a session consists of, in the order in which memory is touched. Only for a main, which
 * places it.
 *
 * Memory costs nothing until it is touched, and then a page. Two pages hold what every session touches, up to
 * the reply to its first recipients: in each of them small parts stand in front, then one that is large, of
 * which most sessions touch the beginning only. */
#ifndef POSTERN_PARTS_H
#define POSTERN_PARTS_H

#include <stdalign.h>

#include "dns/survey.h"
#include "net/client.h"
#include "net/ucspitls.h"
#include "smtp/door.h"
#include "smtp/listed.h"
#include "store/delivery.h"

enum { PARTS_PAGE = 4096 };

/* The first page, shared with whatever variables the linker puts before it. */
struct parts_front {
    struct session session;
    struct client client;
    struct ucspitls ucspitls;
    struct door door;
    struct listed listed;
    struct transaction_buffer transaction_buffer;
    /* what few sessions touch */
    char user[SESSION_USER];
    struct ucspitls_facts tls_facts;
    char listed_reply[SESSION_TEXT];
    struct table_buffer domains, mailboxes, badsenders, sick;
};

/* Each group begins a page. */
struct parts_pages {
    /* what is said, and the log of it */
    alignas(PARTS_PAGE) struct log_buffer log_buffer;
    char text[SESSION_TEXT];
    char helo[SESSION_HELO];
    char from[SESSION_PATH], to[SESSION_PATH];
    struct config_buffer config_buffer;
    struct wire_buffer wire_buffer;

    /* a message */
    alignas(PARTS_PAGE) struct delivery delivery;

    /* DNS lists */
    alignas(PARTS_PAGE) struct dnslists black;
    struct dnslists white;
    struct findings findings;
    struct survey survey;
};

/* All of it. */
struct parts {
    struct parts_front front;
    char
        space[PARTS_PAGE - 1 + sizeof(struct parts_pages)]; /* parts_pages stands where a page begins in it */
};

/* Puts the session together. All of it must be zero. */
struct session *parts_join(struct parts *p);

#endif
