/* tlserr: why OpenSSL failed, in a few words. */
#ifndef POSTERN_TLSERR_H
#define POSTERN_TLSERR_H

/* The reason of the oldest error in OpenSSL's queue, which is the cause of the later ones; the queue is empty
 * afterwards. "truncated" where the connection ended without close_notify. NULL: the queue was empty. The
 * text holds until the next call. */
const char *tlserr_take(void);

#endif
