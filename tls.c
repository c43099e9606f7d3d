/* postern-tls: the gate: starts a program for one client, and TLS when that program asks for it (UCSPI-TLS).
 *
 * postern-tls(8) is its manual.
 *
 * It holds no key and reads no byte of the client: it makes the descriptors, forks, and waits for one byte.
 * Then it becomes postern-tlsio. */
#define _DEFAULT_SOURCE /* vfork */
#include "base/about.h"
#include "base/exits.h"
#include "base/user.h"
#include "log/log.h"
#include "net/client.h"
#include "net/ucspitls.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Room for the usual environment, and for what we add to it. All is kept small: a page of memory in each
 * session. */
enum { VARIABLES = 127, ADDED = 512 };

enum { TLSIO_PATH = 1024 };

extern char **environ;

struct gate {
    bool implicit;             /* TLS comes first, before any word */
    const char *user, *keeper; /* the program's user; the key's owner */
    struct user program_as, key_as;
    char tlsio[TLSIO_PATH];
};

/* The three channels between the program and the cipher. */
struct channels {
    struct ucspitls program; /* its ends */
    int control, from, to;   /* the cipher's */
};

static void complain(const char *step, const char *object, const char *why)
{
    static struct log_buffer buffer;
    struct log l;
    const char *port, *client = client_told(&port);

    log_init(&l, &buffer, 2);
    log_event(&l, "gate");
    log_string(&l, "client", client ? client : "unknown");
    log_string(&l, "step", step);
    log_string(&l, "object", object);
    log_string(&l, "error", why);
    log_end(&l);
}

static _Noreturn void die(int code, const char *step, const char *object, int error)
{
    complain(step, object, strerror(error));
    _exit(code);
}

static int try_file(const char *step, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd >= 0)
        return close(fd);
    complain(step, path, strerror(errno));
    return -1;
}

static bool can_run(const char *path)
{
    return !faccessat(AT_FDCWD, path, X_OK, AT_EACCESS); /* access(2) would ask for root */
}

/* Where execvp looks. */
static bool is_in_path(const char *name)
{
    const char *at = getenv("PATH");
    char path[TLSIO_PATH];

    if (!at)
        return true; /* it has folders of its own then */
    while (*at) {
        size_t n = strcspn(at, ":");
        int length = snprintf(path, sizeof path, "%.*s/%s", (int)n, at, name);
        if (n && length < (int)sizeof path && can_run(path))
            return true;
        at += n + (at[n] == ':');
    }
    errno = ENOENT;
    return false;
}

/* Opening the files costs little, reading them as TLS does costs more than a session. */
static int try_files(const struct gate *g)
{
    const char *certificate = getenv("CERTFILE"), *key = getenv("KEYFILE");

    if (!certificate) {
        complain("certificate", "CERTFILE", "not set");
        return -1;
    }
    if (try_file("certificate", certificate) || (key && try_file("key", key)))
        return -1;
    if (strchr(g->tlsio, '/') ? can_run(g->tlsio) : is_in_path(g->tlsio))
        return 0;
    complain("program", g->tlsio, strerror(errno));
    return -1;
}

/* The same, with the rights of the user that will read them. */
static bool can_do_tls(const struct gate *g)
{
    if (user_borrow(&g->key_as) < 0)
        die(EXIT_TROUBLE, "user", g->keeper, errno);
    int r = try_files(g);
    if (user_return(&g->key_as) < 0)
        die(EXIT_TROUBLE, "user", "root", errno);
    return !r;
}

static void make_channels(struct channels *c)
{
    int control[2], in[2], out[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, control) < 0 || pipe(in) < 0 || pipe(out) < 0)
        die(EXIT_TROUBLE, "channels", "pipe", errno);
    c->program = (struct ucspitls){control[0], in[0], out[1]};
    c->control = control[1];
    c->from = out[0];
    c->to = in[1];
}

static char *number_text(char buffer[16], int number)
{
    snprintf(buffer, 16, "%d", number);
    return buffer;
}

static void become_user(const struct gate *g)
{
    if (user_become(&g->program_as) < 0)
        die(EXIT_TROUBLE, "user", g->user, errno);
}

static _Noreturn void become_program(char **argv)
{
    execvp(argv[0], argv);
    die(EXIT_TROUBLE, "program", argv[0], errno);
}

static bool is_named(const char *variable, const char *name, size_t n)
{
    return !strncmp(variable, name, n) && variable[n] == '=';
}

/* As setenv, but without a heap where it fits: its first use is a tenth of what the gate costs. */
static void set(const char *name, const char *value)
{
    static char *variables[VARIABLES + 1], added[ADDED];
    static size_t used;
    size_t n = strlen(name), v = strlen(value) + 1, at = 0, end = 0;
    char *entry = added + used;

    for (; end < VARIABLES && environ[end]; end++)
        variables[end] = environ[end];
    while (at < end && !is_named(variables[at], name, n))
        at++;
    if (end == VARIABLES || n + 1 + v > sizeof added - used) {
        if (setenv(name, value, 1) < 0)
            die(EXIT_TROUBLE, "environment", name, errno);
        return;
    }
    memcpy(entry, name, n);
    entry[n] = '=';
    memcpy(entry + n + 1, value, v);
    used += n + 1 + v;
    variables[at] = entry;
    environ = variables;
}

static void offer(const struct ucspitls *u)
{
    char text[16];

    set(UCSPITLS_CONTROL, number_text(text, u->control));
    set(UCSPITLS_READ, number_text(text, u->read));
    set(UCSPITLS_WRITE, number_text(text, u->write));
    if (!getenv("UCSPITLS"))
        set("UCSPITLS", "");
}

/* Only the connection tells the client's address, and the program will not have it. */
static void name_client(void)
{
    char text[IP_FMT + 1], number[16];
    struct ip ip;
    const char *ignored;
    unsigned port;

    if (client_told(&ignored) || !ip_of_peer(0, &ip, &port))
        return;
    text[ip_fmt(text, &ip)] = 0;
    set("REMOTE_ADDR", text);
    set("REMOTE_PORT", number_text(number, (int)port));
}

/* The program starts when the handshake is done, and not at all where it is not. */
static void await_handshake(struct ucspitls *u)
{
    struct ucspitls_facts facts;

    name_client();
    if (ucspitls_hear(u, deadline_after(deadline_now(), UCSPITLS_PATIENCE), &facts) < 0)
        _exit(EXIT_OK);         /* postern-tlsio has said why */
    unsetenv(UCSPITLS_CONTROL); /* of a gate in front of us: TLS is on, and must not be asked for again */
    if (ucspitls_switch(u) < 0)
        die(EXIT_TROUBLE, "channels", "dup2", errno);
    set(UCSPITLS_PROTOCOL, facts.protocol);
    set(UCSPITLS_CIPHER, facts.cipher);
    if (*facts.server_name)
        set(UCSPITLS_SERVER_NAME, facts.server_name);
}

static _Noreturn void be_program(const struct gate *g, struct channels *c, char **argv)
{
    close(c->control);
    close(c->from);
    close(c->to);
    become_user(g); /* first: the facts of the handshake are partly the client's word */
    if (g->implicit)
        await_handshake(&c->program);
    become_program(argv);
}

static _Noreturn void be_cipher(const struct gate *g, const struct channels *c, bool report)
{
    char control[16], from[16], to[16];
    char *argv[] = {
        (char *)g->tlsio,       "-Y", number_text(control, c->control), number_text(from, c->from),
        number_text(to, c->to), NULL};

    if (!report) {
        argv[1] = argv[0];
        execvp(g->tlsio, argv + 1);
    } else {
        execvp(g->tlsio, argv);
    }
    die(EXIT_TROUBLE, "program", g->tlsio, errno);
}

/* Waits for the program to ask, or to end. */
static _Noreturn void be_gate(const struct gate *g, const struct channels *c)
{
    char asked = 0;
    ssize_t r;

    do
        r = read(c->control, &asked, 1);
    while (r < 0 && errno == EINTR);
    if (r > 0 && (asked == 'y' || asked == 'Y'))
        be_cipher(g, c, asked == 'Y');
    close(c->control);
    close(c->from);
    close(c->to);
    /* Left behind, tcpserver might count it as one more session's end. */
    waitpid(-1, NULL, 0);
    _exit(EXIT_OK);
}

/* Copying our memory for a child that drops it at once would be a fifth of the gate's cost. So the child
 * borrows it (vfork), and changes nothing that matters to us; unless it has a handshake to wait for. */
static _Noreturn void open_gate(const struct gate *g, char **argv)
{
    struct channels c;

    make_channels(&c);
    if (!g->implicit)
        offer(&c.program);
    /* NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.vfork,clang-analyzer-unix.Vfork) */
    pid_t pid = g->implicit ? fork() : vfork();
    if (pid < 0)
        die(EXIT_TROUBLE, "fork", argv[0], errno);
    if (pid == 0)
        be_program(g, &c, argv);
    close(c.program.control);
    close(c.program.read);
    close(c.program.write);
    if (user_become(&g->key_as) < 0)
        die(EXIT_TROUBLE, "user", g->keeper, errno);
    if (g->implicit)
        be_cipher(g, &c, true);
    be_gate(g, &c);
}

/* postern-tlsio stands beside us, or in PATH where we were found there. */
static void find_tlsio(struct gate *g, const char *self)
{
    const char *slash = strrchr(self, '/');
    int folder = slash ? (int)(slash + 1 - self) : 0;

    if (snprintf(g->tlsio, sizeof g->tlsio, "%.*spostern-tlsio", folder, self) >= (int)sizeof g->tlsio)
        die(EXIT_WRONG, "program", self, ENAMETOOLONG);
}

static const char usage[] = "usage: postern-tls [-i] [-u user] [-U user] program [argument ...]\n";

static void find(struct user *u, const char *text)
{
    if (user_find(u, text) < 0)
        die(EXIT_WRONG, "user", text, errno);
    if (u->uid != 0)
        return;
    complain("user", text, "this is root; name another user");
    _exit(EXIT_WRONG);
}

static void find_users(struct gate *g)
{
    if (geteuid() != 0)
        return;
    if (!g->user || !g->keeper) {
        dprintf(2, "postern-tls: started as root: -u and -U must say whom to become\n");
        _exit(EXIT_WRONG);
    }
    find(&g->program_as, g->user);
    find(&g->key_as, g->keeper);
}

int main(int argc, char **argv)
{
    static struct gate g;
    int option, code = about_asked(argc, argv, usage);

    if (code >= 0)
        _exit(code);
    while ((option = getopt(argc, argv, "+iu:U:")) != -1)
        switch (option) {
        case 'i':
            g.implicit = true;
            break;
        case 'u':
            g.user = optarg;
            break;
        case 'U':
            g.keeper = optarg;
            break;
        default:
            _exit(about_misuse(usage));
        }
    if (optind == argc)
        _exit(about_misuse(usage));
    find_tlsio(&g, argv[0]);
    find_users(&g);
    const char *use = getenv("UCSPITLS");
    bool wanted = g.implicit || !use || strcmp(use, "-") != 0;
    if (wanted && can_do_tls(&g))
        open_gate(&g, argv + optind);
    if (g.implicit)
        _exit(EXIT_WRONG);
    unsetenv(UCSPITLS_CONTROL); /* nobody waits for us */
    become_user(&g);
    become_program(argv + optind);
}
