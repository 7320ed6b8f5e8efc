/* Directories: what is listed, in which order, and what is left as it was. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/test.h"

static int scratch(char path[32])
{
        snprintf(path, 32, "/tmp/test-dir-XXXXXX");
        assert_non_null(mkdtemp(path));
        return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void test_names(void **state)
{
        AUTO_ARENA a = { 0 };
        char path[32];
        AUTO_FD int dir = scratch(path);
        struct strings names;

        assert_true(dir_is_empty(dir));
        assert_int_equal(dir_names(dir, ".", &a, &names), 0);
        assert_int_equal(names.n, 0);
        assert_int_equal(mkdirat(dir, "b", 0700), 0);
        assert_int_equal(mknodat(dir, "B", S_IFREG | 0600, 0), 0);
        assert_int_equal(symlinkat("nowhere", dir, ".hidden"), 0);
        assert_false(dir_is_empty(dir));
        for (int i = 0; i < 2; i++) { /* the offset is not shared: again the same */
                assert_int_equal(dir_names(dir, ".", &a, &names), 0);
                assert_int_equal(names.n, 3);
                assert_string_equal(names.v[0], ".hidden");
                assert_string_equal(names.v[1], "B");
                assert_string_equal(names.v[2], "b");
        }
        assert_int_equal(dir_names(dir, "b", &a, &names), 0);
        assert_int_equal(names.n, 0);
        assert_int_equal(dir_names(dir, "none", &a, &names), -ENOENT);
        assert_int_equal(names.n, 0);
        assert_int_equal(dir_names(dir, "B", &a, &names), -ENOTDIR);
        assert_false(dir_is_empty(-1));
        assert_int_equal(unlinkat(dir, "b", AT_REMOVEDIR), 0);
        assert_int_equal(unlinkat(dir, "B", 0), 0);
        assert_int_equal(unlinkat(dir, ".hidden", 0), 0);
        assert_int_equal(rmdir(path), 0);
}

static void test_many(void **state)
{
        AUTO_ARENA a = { 0 };
        char path[32], name[16];
        AUTO_FD int dir = scratch(path);
        struct strings names;

        for (int i = 0; i < 3000; i++) {
                snprintf(name, sizeof name, "%04d", i);
                assert_int_equal(mknodat(dir, name, S_IFREG | 0600, 0), 0);
        }
        assert_int_equal(dir_names(AT_FDCWD, path, &a, &names), 0);
        assert_int_equal(names.n, 3000);
        for (int i = 0; i < 3000; i++) {
                snprintf(name, sizeof name, "%04d", i);
                assert_string_equal(names.v[i], name);
                assert_int_equal(unlinkat(dir, name, 0), 0);
        }
        assert_int_equal(rmdir(path), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_many),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
