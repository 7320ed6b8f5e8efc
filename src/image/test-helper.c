/* Starting helper programs: what they get, and nothing else. The shell stands in for one. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/test.h"
#include "image/helper.h"

static int run(const char *script, const int *fds, size_t nfds)
{
        const char *const argv[] = { "sh", "-c", script, NULL };
        struct err e = {};
        int pidfd, status;
        pid_t pid;

        assert_int_equal(helper_start(argv, fds, nfds, -1, &pid, &pidfd, &e), 0);
        assert_true(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        close(pidfd);
        return status;
}

static void test_descriptors(void **state)
{
        int p[2], q[2];
        char text[16] = "";

        /* Numbers where others' places are: p[0] is likely to be 3. */
        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        assert_int_equal(pipe2(q, O_CLOEXEC), 0);
        assert_int_equal(write(p[1], "ab\n", 3), 3);
        assert_int_equal(run("read x <&5 && printf $x >&3 && [ ! -e /proc/self/fd/4 ]",
                             (int[]){ -1, -1, -1, q[1], -1, p[0] }, 6),
                         0);
        assert_int_equal(read(q[0], text, sizeof text), 2);
        assert_string_equal(text, "ab");
        for (int i = 0; i < 2; i++) {
                close(p[i]);
                close(q[i]);
        }
}

static void test_standard_streams(void **state)
{
        int leak = fcntl(STDERR_FILENO, F_DUPFD, 30);

        assert_int_equal(run("[ /proc/$$/fd/0 -ef /dev/null ] && [ /proc/$$/fd/1 -ef /dev/null ] &&"
                             " [ ! -e /proc/$$/fd/30 ]",
                             (int[]){ -1, -1, -1 }, 3),
                         0);
        close(leak);
}

static void test_missing(void **state)
{
        const char *const argv[] = { "berth-no-such-helper", NULL };
        struct err e = {};
        int pidfd;
        pid_t pid;

        assert_int_equal(helper_start(argv, NULL, 0, -1, &pid, &pidfd, &e), -1);
        assert_int_equal(e.sys, ENOENT);
        assert_non_null(strstr(e.chain, "berth-no-such-helper"));
        assert_non_null(strstr(e.hint, "BERTH_LIBEXEC"));
}

static void test_path(void **state)
{
        char path[300];

        assert_int_equal(helper_path("sh", path, sizeof path, NULL), 0);
        assert_string_equal(path, "/bin/sh");
        unsetenv("BERTH_LIBEXEC");
        assert_int_equal(helper_path("sh", path, sizeof path, NULL), 0);
        assert_string_equal(path, BERTH_LIBEXECDIR "/sh"); /* nothing beside this program */
        setenv("BERTH_LIBEXEC", "/bin", 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_descriptors),
                cmocka_unit_test(test_standard_streams),
                cmocka_unit_test(test_missing),
                cmocka_unit_test(test_path),
        };

        setenv("BERTH_LIBEXEC", "/bin", 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
