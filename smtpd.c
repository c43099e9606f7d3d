/* postern-smtpd: one SMTP session on descriptors 0 and 1. postern-smtpd(8) is its manual. */
#include "serve.h"
#include "why.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

extern char **environ;

enum { EXIT_OK = 0, EXIT_WRONG = 100, EXIT_TROUBLE = 111 };

/* All there is: nothing in this program is ever allocated. A common symbol is placed behind the variables
 * of the C library, which are few: so its front part shares their page. */
__attribute__((common)) struct session session;

static void log_complaint(void *context, const char *name, const char *why)
{
    struct session *s = context;

    log_event(&s->log, "config");
    log_string(&s->log, "client", s->client.text);
    log_string(&s->log, "variable", name);
    log_string(&s->log, "error", why);
    log_end(&s->log);
}

static int run(struct session *s)
{
    wire_catch_signals(0);
    log_init(&s->log, &s->log_room, 2);
    client_find(&s->client, 0);
    if (config_load(&s->config, &s->config_room, environ, log_complaint, s)) {
        wire_init(&s->wire, &s->wire_room, 0, 1, 10 * SECOND, deadline_after(deadline_now(), 10 * SECOND));
        s->config.verbose = false; /* nothing is known yet that a line must say */
        session_reply(s, &reply_config);
        wire_linger(&s->wire);
        return EXIT_WRONG;
    }
    session_init(s, 0, 1);
    serve(s);
    return EXIT_OK;
}

static void print_complaint(void *context, const char *name, const char *why)
{
    (void)context;
    dprintf(2, "postern-smtpd: %s: %s\n", name, why);
}

static void print_knob(void *context, const char *name, const char *value)
{
    bool *lost = context;
    int n = value ? dprintf(1, "%s=%s\n", name, value) : dprintf(1, "#%s\n", name);
    *lost |= n < 0;
}

/* What one table holds. 0, or EXIT_TROUBLE. */
static int check_table(struct session *s, const char *name, const char *path)
{
    struct table t;

    if (!path)
        return 0;
    table_init(&t, path, &s->table_room[0]);
    int64_t n = table_check(&t);
    if (n < 0)
        dprintf(2, "postern-smtpd: %s: %s: %s\n", name, path, strerror(errno));
    else
        n = dprintf(1, "# %s: %lld entries\n", name, (long long)n);
    return n < 0 ? EXIT_TROUBLE : 0;
}

/* -n: the configuration as the session would see it, and whether it would work. */
static int show(struct session *s)
{
    bool lost = false;

    if (config_load(&s->config, &s->config_room, environ, print_complaint, NULL))
        return EXIT_WRONG;
    config_each(&s->config, print_knob, &lost);
    int r = check_table(s, "DOMAINS", s->config.domains) | check_table(s, "MAILBOXES", s->config.mailboxes) |
            check_table(s, "BADSENDERS", s->config.badsenders) |
            check_table(s, "DNSBL_SICK", s->config.dnsbl_sick);
    return lost ? EXIT_TROUBLE : r;
}

/* -w: what the door would say. */
static int explain(struct session *s, char *const arguments[4])
{
    log_init(&s->log, &s->log_room, 2);
    if (config_load(&s->config, &s->config_room, environ, print_complaint, NULL))
        return EXIT_WRONG;
    return why(s, arguments);
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return run(&session);
    if (argc == 2 && !strcmp(argv[1], "-n"))
        return show(&session);
    if (argc == 6 && !strcmp(argv[1], "-w"))
        return explain(&session, argv + 2);
    dprintf(2, "usage: postern-smtpd [-n | -w client helo sender recipient]\n");
    return EXIT_WRONG;
}
