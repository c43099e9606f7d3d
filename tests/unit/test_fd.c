#include "base/fd.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { MANY = 1 << 20 }; /* more than any pipe holds, so that a signal cuts a write in two */

static char sent[MANY], got[MANY];
static int ends[2];
static volatile sig_atomic_t heard;

static void hear(int number)
{
    (void)number;
    heard++;
}

/* Takes all, and interrupts the writer all the while. */
static void *take(void *writer)
{
    size_t n = 0;
    ssize_t r;

    while (n < MANY && (r = read(ends[0], got + n, MANY - n > 5000 ? 5000 : MANY - n)) > 0) {
        n += (size_t)r;
        pthread_kill(*(pthread_t *)writer, SIGUSR1);
    }
    return NULL;
}

START_TEST(all_of_it)
{
    struct sigaction hearing = {.sa_handler = hear};
    pthread_t self = pthread_self(), taker;

    for (size_t i = 0; i < MANY; i++)
        sent[i] = (char)(i * 31 / 7);
    ck_assert(!sigaction(SIGUSR1, &hearing, NULL) && !pipe(ends));
    ck_assert(!pthread_create(&taker, NULL, take, &self));
    ck_assert_int_eq(fd_write(ends[1], sent, MANY), 0);
    ck_assert(!pthread_join(taker, NULL));
    ck_assert_msg(heard > 0, "no signal came");
    ck_assert(!memcmp(sent, got, MANY));
}
END_TEST

START_TEST(trouble)
{
    int full = open("/dev/full", O_WRONLY);

    ck_assert(full >= 0);
    ck_assert(fd_write(full, "x", 1) == -1 && errno == ENOSPC);
    ck_assert_msg(fd_write(-1, "", 0) == 0, "nothing is always written");
    errno = EIO;
    fd_close(full);
    ck_assert_msg(errno == EIO && fd_write(full, "x", 1) == -1 && errno == EBADF,
                  "it is closed, errno stays");
    errno = EIO;
    fd_close(full);
    ck_assert_msg(errno == EIO, "what is not open");
    fd_close(-1);
}
END_TEST

static void tests(TCase *t)
{
    tcase_add_test(t, all_of_it);
    tcase_add_test(t, trouble);
}

UNIT("fd", tests)
