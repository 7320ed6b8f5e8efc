#include "kernel/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/test.h"

static char base[] = "/tmp/test-tree-XXXXXX";
static int top = -1;

static int setup(void **state)
{
        assert_non_null(mkdtemp(base));
        top = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return top < 0 ? -1 : 0;
}

static int teardown(void **state)
{
        close(top);
        return rmdir(base);
}

static void put(const char *path)
{
        AUTO_FD int fd = openat(top, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
}

static void gone(const char *path)
{
        assert_int_equal(faccessat(top, path, F_OK, AT_SYMLINK_NOFOLLOW), -1);
        assert_int_equal(errno, ENOENT);
}

static void test_kinds(void **state)
{
        put("stays");
        assert_int_equal(mkdirat(top, "t", 0755), 0);
        assert_int_equal(mkdirat(top, "t/dir", 0), 0);
        put("t/file");
        assert_int_equal(symlinkat("../stays", top, "t/link"), 0);
        assert_int_equal(symlinkat(".", top, "t/loop"), 0);
        assert_int_equal(mkfifoat(top, "t/fifo", 0600), 0);
        assert_int_equal(tree_remove(top, "t"), 0);
        gone("t");
        assert_int_equal(faccessat(top, "stays", F_OK, 0), 0);
        assert_int_equal(symlinkat("stays", top, "link"), 0);
        assert_int_equal(tree_remove(top, "link"), 0);
        gone("link");
        assert_int_equal(tree_remove(top, "stays"), 0);
        assert_int_equal(tree_remove(top, "stays"), 0);
        gone("stays");
}

/* Deeper than PATH_MAX, and with names at the top that look like those of what is moved there. */
static void test_deep(void **state)
{
        int at = (mkdirat(top, "t", 0755), openat(top, "t", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

        put("t/.deep-0");
        assert_int_equal(mkdirat(top, "t/.deep-1", 0755), 0);
        put("t/.deep-1/file");
        for (int i = 0; i < 300; i++) {
                int next;

                assert_int_equal(mkdirat(at, "a-name-that-is-not-short", 0755), 0);
                next = openat(at, "a-name-that-is-not-short", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_true(next >= 0);
                close(openat(next, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
                close(at);
                at = next;
        }
        close(at);
        assert_int_equal(tree_remove(top, "t"), 0);
        gone("t");
}

static void test_wide(void **state)
{
        char name[32];

        assert_int_equal(mkdirat(top, "t", 0755), 0);
        for (int i = 0; i < 1000; i++) {
                snprintf(name, sizeof name, "t/%d", i);
                put(name);
        }
        assert_int_equal(tree_remove(top, "t"), 0);
        gone("t");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_kinds),
                cmocka_unit_test(test_deep),
                cmocka_unit_test(test_wide),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
