/* config: the environment as one checked structure. postern-smtpd(8) is its manual.
 *
 * All of it is checked at the start; a value that cannot be understood is never replaced by a default. */
#ifndef POSTERN_CONFIG_H
#define POSTERN_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/knob.h"

enum bare_lf { BARELF_NORMALIZE, BARELF_REJECT };
enum early_talk { EARLYTALK_DROP, EARLYTALK_REJECT, EARLYTALK_LOG, EARLYTALK_OFF };

/* STARTTLS where the server in front of us has it: no, if the client wants, before any mail. */
enum tls_use { TLS_NEVER, TLS_OFFERED, TLS_DEMANDED };

enum dnsbl_action { DNSBL_DROP, DNSBL_REJECT, DNSBL_TEMPFAIL, DNSBL_STORE, DNSBL_LOG };

/* How far a session goes: the stages of REFUSE and of the checks at the door. */
enum stage { STAGE_CONNECT, STAGE_HELO, STAGE_MAIL, STAGE_RCPT, STAGE_DATA, STAGE_DOT, STAGE_NEVER };

struct config {
    const char *me; /* a domain or address literal */
    const char *greeting;
    const char *domains, *mailboxes, *badsenders; /* paths; NULL: not set */
    const char *relayclient;                      /* what is appended to recipients; NULL: not set */
    const char *spool;                            /* a Maildir; NULL: not set */
    const char *qmailqueue;                       /* a program; NULL: not set */
    bool discard, verbose;
    unsigned barelf, earlytalk, ucspitls; /* enum bare_lf, enum early_talk, enum tls_use */
    uint64_t databytes;                   /* 0: no limit, as for all limits below */
    int64_t timeout, session_timeout;     /* nanoseconds */
    uint64_t minrate;                     /* bytes per second */
    uint64_t maxerrors, maxnoops, maxvrfys, maxrcpts, maxmsgs, maxhops;
    int64_t greetdelay, errordelay, tarpitdelay; /* nanoseconds */
    uint64_t tarpitcount;                        /* recipients; 0: never */
    const char *checkpassword;                   /* a program; NULL: not set */
    uint64_t maxauths;
    bool auth_insecure, auth_required;
    const char *rblsmtpd;                              /* NULL: not set */
    const char *rwl, *dnsbl, *dnsbl_show, *dnsbl_sick; /* NULL: not set */
    uint64_t dnsbl_threshold;
    int64_t dnsbl_timeout; /* nanoseconds */
    unsigned dnsbl_action; /* enum dnsbl_action */
    enum stage refuse_stage;
    const char *refuse; /* the reply; NULL: not set */
};

/* Fills *c from an environment, which must outlive it. The number of complaints. */
int config_load(struct config *c, char *const *environment, knob_complaint *complain, void *context);

/* The names of a stage and of an action, as REFUSE and DNSBL_ACTION have them. */
const char *config_stage(enum stage stage);
const char *config_action(unsigned action);

/* Tells of each knob and its value. */
void config_each(const struct config *c, knob_reader *read, void *context);

#endif
