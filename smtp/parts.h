/* parts: all that a session consists of, in memory in the order of use. Only a main includes it.
 *
 * Memory costs nothing until it is touched; then it costs a page. A group of parts that are used together
 * begins a page, and its last part is a large one, of which most sessions touch the beginning only. Every
 * session touches the first two groups; test_memory counts the pages. */
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

/* The facts of a session up to its first recipients: on one page with the variables that the linker puts
 * before it. */
struct parts_front {
    struct session session;
    struct client client;
    struct ucspitls ucspitls;
    struct door door;
    struct listed listed;
    struct transaction_buffer transaction_buffer;
    /* few sessions touch the rest */
    char user[SESSION_USER];
    struct ucspitls_facts tls_facts;
    char listed_reply[SESSION_TEXT];
    struct table_buffer domains, mailboxes, badsenders, sick;
};

/* Each group begins a page. */
struct parts_pages {
    /* the words of both sides, and the log of them */
    alignas(PARTS_PAGE) struct log_buffer log_buffer;
    char text[SESSION_TEXT];
    char helo[SESSION_HELO];
    char from[SESSION_PATH], to[SESSION_PATH];
    struct wire_buffer wire_buffer;

    /* a message */
    alignas(PARTS_PAGE) struct delivery delivery;

    /* DNS lists */
    alignas(PARTS_PAGE) struct dnslists black;
    struct findings findings;
    struct survey survey;
    struct dnslists white;
};

/* All of it. Where in `space` a page begins, there stands parts_pages. */
struct parts {
    struct parts_front front;
    char space[PARTS_PAGE - 1 + sizeof(struct parts_pages)];
};

/* Puts the session together. All of it must be zero. */
struct session *parts_join(struct parts *p);

#endif
