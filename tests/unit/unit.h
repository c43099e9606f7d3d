/* unit: the main of a unit test. Include it after the room's own header. */
#ifndef POSTERN_TESTS_UNIT_H
#define POSTERN_TESTS_UNIT_H

#include <stdlib.h>

#include <check.h>

#define COUNT(table) ((int)(sizeof(table) / sizeof *(table)))

/* `add` puts the room's tests into a test case. */
#define UNIT(room, add)                                                                                      \
    int main(void)                                                                                           \
    {                                                                                                        \
        Suite *suite = suite_create(room);                                                                   \
        TCase *unit_case = tcase_create(room);                                                               \
        tcase_set_timeout(unit_case, 120);                                                                   \
        suite_add_tcase(suite, unit_case);                                                                   \
        add(unit_case);                                                                                      \
        SRunner *runner = srunner_create(suite);                                                             \
        srunner_run_all(runner, CK_NORMAL);                                                                  \
        int failed = srunner_ntests_failed(runner);                                                          \
        srunner_free(runner);                                                                                \
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;                                                         \
    }

#endif
