/* answer: the records of a DNS answer, one after the other (RFC 1035 4.1). Pure. */
#ifndef POSTERN_ANSWER_H
#define POSTERN_ANSWER_H

#include "base/slice.h"

/* The types of records that we ask for (RFC 1035 3.2.2). */
enum answer_type { ANSWER_A = 1, ANSWER_TXT = 16 };

/* How far the answer section of a packet was read. */
struct answer {
    struct slice packet;
    unsigned at;
    unsigned left; /* records */
    bool exists;   /* the code of the answer is not that of a failure, such as NXDOMAIN */
};

/* Goes to the first record. False where the packet is broken before it. */
bool answer_begin(struct answer *a, struct slice packet);

/* The data of the next record of this type, in the packet. 1; 0: there is none any more; -1: the packet is
 * broken. */
int answer_next(struct answer *a, enum answer_type type, struct slice *data);

/* The text of the first TXT record, `space` octets at most, with ? for all but printable ASCII. Returns its
 * length, 0 where there is none. */
size_t answer_text(struct slice packet, char *out, size_t space);

#endif
