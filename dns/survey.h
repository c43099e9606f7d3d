/* survey: DNS lists asked about a client, all at once, and their findings as they come (RFC 5782).
 *
 * The caller runs the poll(2) loop: survey_prepare, poll, survey_take, until the verdict is known, or until
 * nothing is out any more. */
#ifndef POSTERN_SURVEY_H
#define POSTERN_SURVEY_H

#include "base/ip.h"
#include "dns/finding.h"
#include "dns/question.h"

enum {
    SURVEY_FDS = FINDING_MAX + 1, /* as many descriptors to poll, at most */
    SURVEY_TEXT = 200             /* longest text of a listing */
};

/* Only <dns.h> puts anything on the heap for it, and survey_end takes that away. */
struct survey {
    struct findings *findings;
    instant begun, deadline;
    size_t name_len, text_len;
    char name[IP_REVERSED]; /* of the client */
    char servers[QUESTION_SERVERS];
    struct question text_question;
    struct question question[FINDING_MAX]; /* one for each finding that is asked by itself */
    char text[SURVEY_TEXT];                /* mostly there is none: it stands behind all that is touched */
};

/* Sends the questions about a client, NULL where it is not known, to all lists of the findings. About a
 * private one (ip_is_private) or an unknown one nothing is asked: its findings are none. They must stay until
 * survey_end, as must the lists and their text. Descriptors that are not close-on-exec are open until then,
 * and SIGPIPE must be ignored. */
void survey_begin(struct survey *s, struct findings *findings, const struct ip *client, instant deadline);

/* The same about any name of an address, as ip_reversed and ip_nibbles make them: to test lists. */
void survey_ask(struct survey *s, struct findings *findings, struct slice name, instant deadline);

/* Fills up to SURVEY_FDS structures for poll(2), and makes *until earlier where needed. Returns how many
 * there are; 0: nothing is out. */
size_t survey_prepare(struct survey *s, struct pollfd *fds, instant *until);

/* After the poll: takes what came, asks again where that is due, gives up at the deadline. */
void survey_take(struct survey *s, const struct pollfd *fds, size_t n);

/* Asks the list of this finding for the text of its listing, under the same deadline, but for a
 * second at least. Once a client. */
void survey_ask_text(struct survey *s, size_t which);

/* False while the text is out. Else *text is it; empty where there is none. */
bool survey_text(const struct survey *s, struct slice *text);

/* Ends the questions that are out. To be called once after survey_begin; the findings stay. */
void survey_end(struct survey *s);

#endif
