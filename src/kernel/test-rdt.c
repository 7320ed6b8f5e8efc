/* resctrl over an ordinary directory: the machines that this is developed on have no such
 * hardware. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/macro.h"
#include "kernel/rdt.h"
#include "kernel/test-child.h"

static char root_path[] = "/tmp/test-rdt-XXXXXX";
static int root = -1;

static void put(const char *path, const char *text)
{
        int fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
        close(fd);
}

static void expect(const char *path, const char *text)
{
        char buf[256];

        assert_true(fd_read_text_at(root, path, buf, sizeof buf) >= 0);
        assert_string_equal(buf, text);
}

static int setup(void **state)
{
        if (!mkdtemp(root_path))
                return -1;
        root = open(root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        mkdirat(root, "info", 0755);
        put("tasks", "");
        return root < 0 ? -1 : 0;
}

static int teardown(void **state)
{
        char cmd[128];

        close(root);
        snprintf(cmd, sizeof cmd, "rm -r %s", root_path);
        return system(cmd);
}

static void test_not_mounted(void **state)
{
        AUTO_FD int fd = rdt_open();

        if (fd >= 0)
                skip();
        /* The one without the hardware, the other without the mount; never a plain directory. */
        assert_true(fd == -ENOENT || fd == -ENODEV);
}

static void test_names(void **state)
{
        static const char *const bad[] = { "",     ".",          "..",       "a/b", "../x",
                                           "info", "mon_groups", "mon_data", "a\nb" };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_false(rdt_name_ok(bad[i], true));
        assert_true(rdt_name_ok("guaranteed_group", true));
        assert_true(rdt_name_ok("/", true));
        assert_false(rdt_name_ok("/", false));
}

static void test_class(void **state)
{
        bool made = true;
        int fd;

        assert_int_equal(rdt_class_open(root, "gold", false, &made), -ENOENT);
        assert_int_equal(rdt_class_open(root, "gold", false, NULL), -ENOENT);
        fd = rdt_class_open(root, "gold", true, &made);
        assert_true(fd >= 0 && made);
        close(fd);
        fd = rdt_class_open(root, "gold", true, &made);
        assert_true(fd >= 0 && !made);
        close(fd);
        fd = rdt_class_open(root, "gold", false, NULL);
        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(rdt_class_remove(root, "gold"), 0);
        assert_int_equal(rdt_class_remove(root, "gold"), 0);
        made = true;
        fd = rdt_class_open(root, "/", true, &made);
        assert_true(fd >= 0 && !made);
        assert_int_equal(rdt_assign(fd, NULL, 123), 0);
        expect("tasks", "123");
        close(fd);
}

static void test_symlinked_class_is_refused(void **state)
{
        bool made;

        assert_int_equal(symlinkat("/", root, "out"), 0);
        assert_true(rdt_class_open(root, "out", true, &made) < 0);
}

static void test_monitor(void **state)
{
        bool made;
        AUTO_FD int fd = rdt_class_open(root, "mon", true, &made);

        assert_int_equal(mkdirat(fd, "mon_groups", 0755), 0);
        put("mon/tasks", "");
        assert_int_equal(rdt_monitor_make(fd, "c1"), 0);
        assert_int_equal(rdt_monitor_make(fd, "c1"), 0);
        assert_int_equal(rdt_assign(fd, "c1", 7), -ENOENT); /* the fake one has no tasks file */
        put("mon/mon_groups/c1/tasks", "");
        assert_int_equal(rdt_assign(fd, "c1", 77), 0);
        expect("mon/tasks", "77");
        expect("mon/mon_groups/c1/tasks", "77");
        unlinkat(fd, "mon_groups/c1/tasks", 0);
        assert_int_equal(rdt_monitor_remove(fd, "c1"), 0);
        assert_int_equal(rdt_monitor_remove(fd, "c1"), 0);
}

static void test_schemata_write(void **state)
{
        static const char *const lines[] = { "L3:0=7f0;1=1f", "MB:0=20;1=70" };
        static const char *const bad[] = { "L3:0=1\nMB:0=100" };
        bool made;
        AUTO_FD int fd = rdt_class_open(root, "write", true, &made);

        put("write/schemata", "");
        assert_int_equal(rdt_schemata_write(fd, lines, 2), 0);
        expect("write/schemata", "L3:0=7f0;1=1f\nMB:0=20;1=70\n");
        assert_int_equal(rdt_schemata_write(fd, bad, 1), -EINVAL);
        assert_int_equal(rdt_schemata_write(fd, NULL, 0), 0);
        expect("write/schemata", "L3:0=7f0;1=1f\nMB:0=20;1=70\n");
}

static void test_schemata_match(void **state)
{
        static const struct {
                const char *line;
                int result;
        } cases[] = {
                { "L3:0=7f0;1=1f", 1 }, { "L3:1=01f;0=07F0", 1 }, { "L3:0=7f0", 1 },
                { "MB:0=20", 1 },       { "MB:0=20;1=71", 0 },    { "L3:2=1", 0 },
                { "L2:0=1", 0 },        { "L3: 0 = 7f0 ", 1 },    { "L3", -EINVAL },
                { "L3:", -EINVAL },     { "L3:x", -EINVAL },      { "", -EINVAL },
        };
        bool made;
        AUTO_FD int fd = rdt_class_open(root, "match", true, &made);

        put("match/schemata", "    MB:0= 20;1=  70\n    L3:0=7f0;1=01f\n");
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const char *lines[] = { "MB:1=70", cases[i].line };
                size_t at = 9;

                assert_int_equal(rdt_schemata_match(fd, lines, 2, &at), cases[i].result);
                assert_int_equal(at, cases[i].result == 1 ? 9 : 1);
        }
}

static void test_last_status(void **state)
{
        char text[64] = "x";

        rdt_last_status(root, text, sizeof text);
        assert_string_equal(text, "");
        put("info/last_cmd_status", "ok\n");
        rdt_last_status(root, text, sizeof text);
        assert_string_equal(text, "");
        put("info/last_cmd_status", "mask f7 has non-consecutive 1-bits\n");
        rdt_last_status(root, text, sizeof text);
        assert_string_equal(text, "mask f7 has non-consecutive 1-bits");
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_not_mounted),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_class),
                cmocka_unit_test(test_symlinked_class_is_refused),
                cmocka_unit_test(test_monitor),
                cmocka_unit_test(test_schemata_write),
                cmocka_unit_test(test_schemata_match),
                cmocka_unit_test(test_last_status),
        };

        return cmocka_run_group_tests_name("rdt", tests, setup, teardown);
}
