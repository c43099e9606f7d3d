/* postern-smtpd: one SMTP session on descriptors 0 and 1. postern-smtpd(8) is its manual. */
#include "base/about.h"
#include "base/exits.h"
#include "smtp/explain.h"
#include "smtp/parts.h"
#include "smtp/serve.h"

#include <string.h>
#include <unistd.h>

extern char **environ;

/* All there is: nothing in this program is ever allocated. A common symbol is placed behind the variables
 * of the C library, which are few: so its front part shares their page. */
__attribute__((common)) struct parts parts;

static void log_complaint(void *context, const char *name, const char *value, const char *why)
{
    struct session *s = context;

    log_event(&s->log, "config");
    log_string(&s->log, "client", s->client->text);
    log_string(&s->log, "variable", name);
    if (value)
        log_string(&s->log, "value", value);
    log_string(&s->log, "error", why);
    log_end(&s->log);
}

static int run(struct session *s)
{
    wire_catch_signals(0);
    log_init(&s->log, s->log.buffer, 2);
    client_find(s->client, 0);
    if (config_load(&s->config, environ, log_complaint, s)) {
        wire_init(&s->wire, s->wire.buffer, 0, 1, 10 * SECOND, deadline_after(deadline_now(), 10 * SECOND));
        s->config.verbose = false; /* nothing is known yet that a line must say */
        session_reply(s, &reply_config);
        wire_linger(&s->wire);
        return EXIT_WRONG;
    }
    session_init(s, 0, 1);
    serve(s);
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    static const char usage[] = "usage: postern-smtpd [-n | -w client helo sender recipient]\n";

    struct session *s = parts_join(&parts);
    if (argc == 1)
        return run(s);
    if (argc == 2 && !strcmp(argv[1], "-n"))
        return explain_settings(s, environ);
    if (argc == 6 && !strcmp(argv[1], "-w"))
        return explain_door(s, environ, argv + 2);
    int code = about_asked(argc, argv, usage);
    return code < 0 ? about_misuse(usage) : code;
}
