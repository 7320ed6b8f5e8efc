/* Label files: which module is on, and that only an untouched procfs is written to. The modules
 * themselves are tested where a kernel has them (tests/vm). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/macro.h"
#include "kernel/lsm.h"
#include "kernel/test-child.h"

static void put(int dir, const char *path, const char *text)
{
        int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
        close(fd);
}

static int tree(char *path, const char *const *dirs)
{
        int fd;

        assert_non_null(mkdtemp(path));
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        for (; *dirs; dirs++)
                assert_int_equal(mkdirat(fd, *dirs, 0755), 0);
        return fd;
}

static void tree_remove(const char *path)
{
        char cmd[128];

        snprintf(cmd, sizeof cmd, "rm -r %s", path);
        assert_int_equal(system(cmd), 0);
}

static void test_enabled(void **state)
{
        static const char *const dirs[] = {
                "module", "module/apparmor", "module/apparmor/parameters", "fs", "fs/selinux", NULL
        };
        char path[] = "/tmp/test-lsm-XXXXXX";
        AUTO_FD int sys = tree(path, dirs);

        assert_false(lsm_enabled(sys, LSM_APPARMOR));
        put(sys, "module/apparmor/parameters/enabled", "N\n");
        assert_false(lsm_enabled(sys, LSM_APPARMOR));
        put(sys, "module/apparmor/parameters/enabled", "Y\n");
        assert_true(lsm_enabled(sys, LSM_APPARMOR));
        assert_false(lsm_enabled(sys, LSM_SELINUX));
        put(sys, "fs/selinux/enforce", "0");
        assert_true(lsm_enabled(sys, LSM_SELINUX));
        tree_remove(path);
}

/* A directory that looks like a procfs, as an image or a mount could make it. */
static void test_no_procfs_is_refused(void **state)
{
        static const char *const dirs[] = { "self", "self/attr", "self/attr/apparmor", NULL };
        char path[] = "/tmp/test-lsm-XXXXXX";
        AUTO_FD int proc = tree(path, dirs);

        put(proc, "self/attr/exec", "");
        assert_int_equal(lsm_attr_open(proc, LSM_SELINUX, LSM_ATTR_EXEC), -EBADF);
        assert_int_equal(lsm_attr_open(proc, LSM_APPARMOR, LSM_ATTR_EXEC), -EOPNOTSUPP);
        assert_int_equal(symlinkat("/proc/self/attr/exec", proc, "self/attr/apparmor/exec"), 0);
        assert_int_equal(lsm_attr_open(proc, LSM_APPARMOR, LSM_ATTR_EXEC), -EXDEV);
        tree_remove(path);
}

static void test_no_such_attribute(void **state)
{
        AUTO_FD int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        char label[256];

        /* The file may be there; but a kernel that has no label to read has nobody to give one
         * to. */
        if (fd_read_text_at(proc, "self/attr/current", label, sizeof label) < 0)
                assert_int_equal(lsm_attr_open(proc, LSM_SELINUX, LSM_ATTR_EXEC), -EOPNOTSUPP);
        assert_int_equal(lsm_attr_open(proc, LSM_APPARMOR, LSM_ATTR_KEYCREATE), -EOPNOTSUPP);
}

/* CVE-2019-16884: something mounted over the attribute, so that the label would go nowhere. */
static void child_overmounted(void)
{
        int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        char dir[64];
        int fd;

        child_namespaces(CLONE_NEWNS);
        snprintf(dir, sizeof dir, "/proc/%d/attr", getpid());
        if (access(dir, F_OK) < 0)
                child_skip("no /proc/self/attr in this kernel");
        CHECK_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        close(proc);
        proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        fd = lsm_attr_open(proc, LSM_SELINUX, LSM_ATTR_EXEC);
        CHECK(fd >= 0 || fd == -EOPNOTSUPP);
        fd_close(fd);
        if (mount("tmpfs", dir, "tmpfs", 0, NULL) < 0 && errno == EACCES)
                child_skip("policy forbids mounting over procfs");
        fd = open("/proc/self/attr/exec", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        CHECK(fd >= 0);
        CHECK_EQ(lsm_attr_open(proc, LSM_SELINUX, LSM_ATTR_EXEC), -EXDEV);
}

static void child_inherited(void)
{
        int fd = open("/proc/self/attr/exec", O_WRONLY | O_CLOEXEC), status;
        pid_t pid;

        if (fd < 0)
                child_skip("no /proc/self/attr in this kernel");
        pid = fork();
        if (pid == 0)
                _exit(lsm_attr_write(fd, LSM_SELINUX, "a") == -EPERM ? 0 : 1);
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK_EQ(status, 0);
}

static bool enabled(enum lsm_kind kind)
{
        AUTO_FD int sys = open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);

        return lsm_enabled(sys, kind);
}

static void child_apparmor(void)
{
        AUTO_FD int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
        char label[64];

        if (!enabled(LSM_APPARMOR))
                child_skip("AppArmor is not enabled");
        fd = lsm_attr_open(proc, LSM_APPARMOR, LSM_ATTR_EXEC);
        CHECK(fd >= 0);
        CHECK_EQ(lsm_attr_write(fd, LSM_APPARMOR, "no-such-profile"), -ENOENT);
        CHECK_EQ(lsm_attr_write(fd, LSM_APPARMOR, "unconfined"), 0);
        CHECK(fd_read_text_at(proc, "self/attr/apparmor/exec", label, sizeof label) > 0);
        CHECK(strncmp(label, "unconfined", 10) == 0);
}

static void child_selinux(void)
{
        AUTO_FD int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        char own[256], label[256];

        if (!enabled(LSM_SELINUX))
                child_skip("SELinux is not enabled");
        CHECK(fd_read_text_at(proc, "self/attr/current", own, sizeof own) > 0);
        for (enum lsm_attr attr = LSM_ATTR_EXEC; attr < LSM_ATTR_MAX; attr++) {
                AUTO_FD int fd = lsm_attr_open(proc, LSM_SELINUX, attr);

                CHECK(fd >= 0);
                CHECK_EQ(lsm_attr_write(fd, LSM_SELINUX, "no:such:label_t:s0"), -EINVAL);
                CHECK_EQ(lsm_attr_write(fd, LSM_SELINUX, own), 0);
                if (attr == LSM_ATTR_EXEC) {
                        CHECK(fd_read_text_at(proc, "self/attr/exec", label, sizeof label) > 0);
                        CHECK_EQ(strcmp(label, own), 0);
                }
                CHECK_EQ(lsm_attr_write(fd, LSM_SELINUX, ""), 0);
        }
        CHECK_EQ(fd_read_text_at(proc, "self/attr/exec", label, sizeof label), 0);
}

static void test_apparmor_in_force(void **state)
{
        IN_CHILD(child_apparmor);
}
static void test_selinux_in_force(void **state)
{
        IN_CHILD(child_selinux);
}
static void test_overmounted_is_refused(void **state)
{
        IN_CHILD(child_overmounted);
}
static void test_inherited_is_of_no_use(void **state)
{
        IN_CHILD(child_inherited);
}

static void test_what_is_written(void **state)
{
        char big[LSM_LABEL_MAX + 2], text[64];
        int p[2];

        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        assert_int_equal(lsm_attr_write(p[1], LSM_APPARMOR, "docker-default"), 0);
        assert_int_equal(read(p[0], text, sizeof text), 19);
        assert_memory_equal(text, "exec docker-default", 19);
        assert_int_equal(lsm_attr_write(p[1], LSM_SELINUX, "u:r:t:s0"), 0);
        assert_int_equal(read(p[0], text, sizeof text), 8);
        assert_memory_equal(text, "u:r:t:s0", 8);
        assert_int_equal(lsm_attr_write(p[1], LSM_SELINUX, ""), 0);
        assert_int_equal(read(p[0], text, sizeof text), 1);
        memset(big, 'a', sizeof big - 1);
        big[sizeof big - 1] = 0;
        assert_int_equal(lsm_attr_write(p[1], LSM_SELINUX, big), -ENAMETOOLONG);
        close(p[0]);
        close(p[1]);
}

static void test_mount_data(void **state)
{
        char buf[64];

        assert_int_equal(lsm_mount_data(NULL, "a:b:c:s0:c1,c2", buf, sizeof buf), 0);
        assert_string_equal(buf, "context=\"a:b:c:s0:c1,c2\"");
        assert_int_equal(lsm_mount_data("mode=755", "l", buf, sizeof buf), 0);
        assert_string_equal(buf, "mode=755,context=\"l\"");
        assert_int_equal(lsm_mount_data("", "l", buf, 11), -ENAMETOOLONG);
        assert_int_equal(lsm_mount_data("", "l\",suid,context=\"", buf, sizeof buf), -EINVAL);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_enabled),
                cmocka_unit_test(test_no_procfs_is_refused),
                cmocka_unit_test(test_no_such_attribute),
                cmocka_unit_test(test_overmounted_is_refused),
                cmocka_unit_test(test_inherited_is_of_no_use),
                cmocka_unit_test(test_what_is_written),
                cmocka_unit_test(test_apparmor_in_force),
                cmocka_unit_test(test_selinux_in_force),
                cmocka_unit_test(test_mount_data),
        };

        return cmocka_run_group_tests_name("lsm", tests, NULL, NULL);
}
