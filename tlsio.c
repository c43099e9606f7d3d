/* postern-tlsio: TLS for one session whose application speaks in the clear.
 *
 * postern-tlsio(8) is its manual. */
#include "base/about.h"
#include "base/await.h"
#include "base/exits.h"
#include "net/client.h"
#include "tls/facts.h"
#include "tls/tlscheck.h"
#include "tls/tlsctx.h"
#include "tls/tunnel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { CLIENT_MAX = 64, PORT_MAX = 5 };

static struct log_buffer log_buffer;
static struct log event_log = {.fd = 2, .buffer = &log_buffer};
static struct tunnel tunnel;

/* The key must be in no core file, and no other process of this user may look at it. */
static bool protect_key(void)
{
    const struct rlimit none = {0, 0};
    return setrlimit(RLIMIT_CORE, &none) == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}

static void begin_complaint(struct log *l, const char *step, const char *object)
{
    log_event(l, "tlsio");
    log_string(l, "step", step);
    log_string(l, "object", object);
}

static void complain(void *context, const char *step, const char *object, const char *why)
{
    begin_complaint(context, step, object);
    log_string(context, "error", why);
    log_end(context);
}

static void complain_of_knob(void *context, const char *name, const char *value, const char *why)
{
    begin_complaint(context, "config", name);
    if (value)
        log_string(context, "value", value);
    log_string(context, "error", why);
    log_end(context);
}

static int fail(const char *what)
{
    complain(&event_log, "start", what, strerror(errno));
    return EXIT_TROUBLE;
}

/* The client, as the server in front tells it. */
static void name_client(struct log *l)
{
    const char *port, *address = client_told(&port);

    bool known = address && *address && strlen(address) <= CLIENT_MAX;
    log_common(l, "client", slice_of(known ? address : "unknown"));
    if (port && *port && strspn(port, "0123456789") == strlen(port) && strlen(port) <= PORT_MAX)
        log_common(l, "port", slice_of(port));
}

/* For a short life: no openssl.cnf, and nothing is taken down at exit. */
static bool start_openssl(void)
{
    return OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) == 1;
}

/* An application that does not hear this does not want to know; if it is gone, that shows later. */
static void tell_application(int control, SSL *ssl)
{
    char bytes[FACTS_MAX];
    ssize_t ignored = write(control, bytes, facts_make(bytes, ssl));
    (void)ignored;
}

struct options {
    bool tell;
    int control, from, to;
};

static int serve(const struct options *o)
{
    struct tlsconf conf;
    struct tlsctx t;
    SSL *ssl;

    log_init(&event_log, &log_buffer, 2);
    name_client(&event_log);
    await_init(-1);
    if (tlsconf_load(&conf, environ, complain_of_knob, &event_log) ||
        tlsctx_init(&t, &conf, complain, &event_log) < 0)
        return EXIT_WRONG;
    ssl = SSL_new(t.ctx);
    /* The application has a minute more than it gives itself: the last word is its own. */
    if (!ssl || tunnel_init(&tunnel, ssl, o->from, o->to, &event_log, conf.patience + 60 * SECOND) < 0)
        return fail("tunnel");
    bool shaken = tunnel_handshake(&tunnel);
    if (shaken && o->tell)
        tell_application(o->control, ssl);
    close(o->control);
    if (shaken)
        tunnel_carry(&tunnel);
    else
        tunnel_abandon(&tunnel);
    SSL_free(ssl);
    tlsctx_free(&t);
    waitpid(-1, NULL, WNOHANG); /* the application, where the gate was its parent */
    return EXIT_OK;
}

/* The number of a descriptor that is there. */
static bool scan_descriptor(const char *text, int *fd)
{
    size_t n = strlen(text);

    if (!n || n > 5 || strspn(text, "0123456789") != n)
        return false;
    *fd = (int)strtol(text, NULL, 10);
    return *fd > 2 && fcntl(*fd, F_GETFD) >= 0;
}

static bool scan_arguments(struct options *o, char *const *argument)
{
    return scan_descriptor(argument[0], &o->control) && scan_descriptor(argument[1], &o->from) &&
           scan_descriptor(argument[2], &o->to) && o->control != o->from && o->control != o->to &&
           o->from != o->to;
}

int main(int argc, char **argv)
{
    static const char usage[] = "usage: postern-tlsio [-Y] control from to\n"
                                "       postern-tlsio -n\n";
    struct options o = {0};
    int code;
    bool check = argc == 2 && !strcmp(argv[1], "-n");

    if (argc > 1 && !strcmp(argv[1], "-Y")) {
        o.tell = true;
        argc--, argv++;
    }
    if (!check && (argc != 4 || !scan_arguments(&o, argv + 1))) {
        code = about_asked(argc, argv, usage);
        return code < 0 ? about_misuse(usage) : code;
    }
    if (!protect_key() || !start_openssl())
        return fail("process");
    return check ? tlscheck(environ) : serve(&o);
}
