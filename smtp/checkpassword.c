#define _DEFAULT_SOURCE /* explicit_bzero */
#include "smtp/checkpassword.h"

#include "base/await.h"
#include "base/child.h"
#include "base/exits.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP_GRACE (2 * SECOND) /* for the program's verdict, when we are to end */

/* name NUL password NUL timestamp NUL. The timestamp stays empty: a program that knows challenges would
 * take it for a response to one. */
static size_t put_question(char out[CHECKPASSWORD_MOST], struct slice user, struct slice password)
{
    memcpy(out, user.p, user.n);
    out[user.n] = 0;
    memcpy(out + user.n + 1, password.p, password.n);
    memset(out + user.n + 1 + password.n, 0, 2);
    return user.n + password.n + 3;
}

static bool can_be_asked(struct slice user, struct slice password)
{
    return user.n && password.n && user.n + password.n + 3 <= CHECKPASSWORD_MOST &&
           !memchr(user.p, 0, user.n) && !memchr(password.p, 0, password.n);
}

/* Starts the program with the pipe's end as its descriptor 3; it neither hears nor says anything else. */
static int start(struct child *c, const char *program, int question)
{
    char *const argv[] = {(char *)program, "/bin/true", NULL};
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (nothing < 0)
        return -1;
    int r = child_start(c, argv, (struct child_fd[]){{nothing, 0}, {nothing, 1}, {question, 3}}, 3);
    close(nothing);
    return r;
}

static enum checkpassword_result judge(struct child *c, instant until, int *exit_code)
{
    int status;

    if (!child_wait(c, &status, until, STOP_GRACE)) {
        child_end(c);
        errno = ETIMEDOUT;
        return await_stopped() ? CHECKPASSWORD_STOPPED : CHECKPASSWORD_TROUBLE;
    }
    errno = EIO;
    if (!WIFEXITED(status))
        return CHECKPASSWORD_TROUBLE;
    errno = 0;
    if (WEXITSTATUS(status) == 0)
        return CHECKPASSWORD_RIGHT;
    if (WEXITSTATUS(status) == EXIT_NO) /* the same in this interface */
        return CHECKPASSWORD_WRONG;
    *exit_code = WEXITSTATUS(status);
    return CHECKPASSWORD_TROUBLE;
}

enum checkpassword_result checkpassword_ask(const char *program, struct slice user, struct slice password,
                                            instant until, int *exit_code)
{
    char question[CHECKPASSWORD_MOST];
    struct child c;
    int ends[2];

    *exit_code = 0;
    if (!can_be_asked(user, password))
        return CHECKPASSWORD_WRONG;
    if (child_pipe(ends) < 0)
        return CHECKPASSWORD_TROUBLE;
    /* A pipe takes this much at once. It is there before its reader, so nobody has to wait. */
    size_t n = put_question(question, user, password);
    ssize_t written = write(ends[1], question, n);
    explicit_bzero(question, sizeof question);
    close(ends[1]);
    int r = written == (ssize_t)n ? start(&c, program, ends[0]) : -1;
    fd_close(ends[0]);
    return r < 0 ? CHECKPASSWORD_TROUBLE : judge(&c, until, exit_code);
}
