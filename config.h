/* config: the environment as one checked structure. postern-smtpd(8) is its manual.
 *
 * All of it is checked at the start; a value that cannot be understood is never replaced by a default. */
#ifndef POSTERN_CONFIG_H
#define POSTERN_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

enum bare_lf { BARELF_NORMALIZE, BARELF_REJECT };

enum { CONFIG_HOST = 255 };

struct config {
    const char *me; /* a domain or address literal */
    const char *greeting;
    const char *domains, *mailboxes, *badsenders; /* paths; NULL: not set */
    const char *relayclient;                      /* what is appended to recipients; NULL: not set */
    const char *spool;                            /* a Maildir; NULL: not set */
    const char *qmailqueue;                       /* a program; NULL: not set */
    bool discard, verbose;
    enum bare_lf barelf;
    uint64_t databytes;               /* 0: no limit, as for all limits below */
    int64_t timeout, session_timeout; /* nanoseconds */
    uint64_t minrate;                 /* bytes per second */
    uint64_t maxerrors, maxnoops, maxvrfys, maxrcpts, maxmsgs, maxhops;
    char hostname[CONFIG_HOST + 1]; /* holds `me` where it is not set */
};

/* Told of each setting that does not hold: the variable's name and why. */
typedef void config_complaint(void *context, const char *name, const char *why);

/* Fills *c from an environment, which must outlive it. The number of complaints. */
int config_load(struct config *c, char *const *environment, config_complaint *complain, void *context);

/* Told of each knob and its value as text, NULL where it is unset. */
typedef void config_reader(void *context, const char *name, const char *value);

void config_each(const struct config *c, config_reader *read, void *context);

#endif
