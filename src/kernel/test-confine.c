/* Giving up rights: each in a child, which tells by its exit status what it could still do. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/test.h"
#include "kernel/caps.h"
#include "kernel/confine.h"

/* Runs body in a child; its wait status. */
static int in_child(void (*body)(void))
{
        pid_t pid = fork();
        int status = 0;

        assert_true(pid >= 0);
        if (pid == 0) {
                setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
                body();
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

/* In a child: a condition that must hold; its line is the exit status. */
#define MUST(x)                                                                                    \
        do {                                                                                       \
                if (!(x))                                                                          \
                        _exit(__LINE__ & 0x7f ? __LINE__ & 0x7f : 1);                              \
        } while (0)

static void drop_user(void)
{
        struct caps_sets sets;
        uid_t before = geteuid(), expected = before == 0 ? CONFINE_NOBODY : before;

        MUST(confine_drop_user() == 0);
        MUST(getuid() == expected && geteuid() == expected);
        MUST(before != 0 || getgroups(0, NULL) == 0);
        MUST(caps_get(&sets) == 0);
        MUST(sets.v[CAPS_PERMITTED] == 0 && sets.v[CAPS_EFFECTIVE] == 0);
        MUST(before != 0 || sets.v[CAPS_BOUNDING] == 0);
        MUST(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
        MUST(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
        MUST(before != 0 || setuid(0) < 0);
        MUST(confine_drop_user() == 0); /* again does no harm */
}

static void test_drop_user(void **state)
{
        assert_int_equal(in_child(drop_user), 0);
}

static void drop_caps_but_chown(void)
{
        uint64_t keep = 1ull << caps_number("CAP_CHOWN");
        struct caps_sets sets;

        MUST(confine_drop_caps(keep) == 0);
        MUST(caps_get(&sets) == 0);
        MUST(getuid() == 0 && sets.v[CAPS_PERMITTED] == keep && sets.v[CAPS_EFFECTIVE] == keep);
        MUST(sets.v[CAPS_BOUNDING] == keep);
        MUST(sethostname("x", 1) < 0 && errno == EPERM);
}

static void test_keep_some(void **state)
{
        if (geteuid() != 0)
                test_skip("needs root");
        assert_int_equal(in_child(drop_caps_but_chown), 0);
}

/* ---- Landlock ---- */

static char base[] = "/tmp/berth-confine-XXXXXX";

static bool can_open(const char *name, int flags)
{
        char path[128];
        int fd;

        snprintf(path, sizeof path, "%s/%s", base, name);
        fd = open(path, flags | O_CLOEXEC, 0600);
        fd_close(fd); /* keeps errno */
        return fd >= 0;
}

static void restrict_paths(void)
{
        char r[128];
        int dir = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC), w = openat(dir, "w", O_PATH);
        int open_before = openat(dir, "hidden", O_RDONLY | O_CLOEXEC);
        char byte;

        snprintf(r, sizeof r, "%s/r", base);
        MUST(confine_landlock(
                     (const struct confine_path[]){ { r, AT_FDCWD, CONFINE_READ },
                                                    { NULL, w, CONFINE_READ | CONFINE_WRITE },
                                                    { "file", dir, CONFINE_READ },
                                                    { "missing", dir, CONFINE_READ } },
                     4, false) == 0);
        MUST(can_open("r/a", O_RDONLY) && !can_open("r/a", O_WRONLY));
        MUST(!can_open("r/new", O_WRONLY | O_CREAT));
        MUST(can_open("w/new", O_RDWR | O_CREAT) && can_open("w/new", O_WRONLY | O_TRUNC));
        MUST(can_open("file", O_RDONLY) && !can_open("file", O_WRONLY));
        MUST(!can_open("hidden", O_RDONLY) && errno == EACCES);
        MUST(open("/etc/passwd", O_RDONLY) < 0);
        MUST(mknodat(w, "device", S_IFCHR | 0600, 0) < 0);
        MUST(read(open_before, &byte, 1) == 1); /* what is open stays open */
}

static int files_make(void **state)
{
        static const char *const names[] = { "r/a", "file", "hidden" };
        char path[128];

        if (!mkdtemp(base))
                return -1;
        snprintf(path, sizeof path, "%s/r", base);
        mkdir(path, 0755);
        snprintf(path, sizeof path, "%s/w", base);
        mkdir(path, 0755);
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                int fd;

                snprintf(path, sizeof path, "%s/%s", base, names[i]);
                fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                if (write(fd, "x", 1) != 1)
                        return -1;
                close(fd);
        }
        return 0;
}

static int files_remove(void **state)
{
        static const char *const names[] = { "r/a", "w/new", "file", "hidden", "r", "w", "" };
        char path[128];

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                snprintf(path, sizeof path, "%s/%s", base, names[i]);
                remove(path);
        }
        return 0;
}

static void test_landlock(void **state)
{
        int status;

        if (syscall(444 /* landlock_create_ruleset */, NULL, 0, 1) < 0)
                test_skip("this kernel has no Landlock");
        status = in_child(restrict_paths);
        assert_int_equal(status, 0);
}

/* ---- seccomp ---- */

static const struct confine_call some[] = {
        CONFINE_CALL(write),
        CONFINE_CALL(exit_group),
        CONFINE_CALL(close),
        CONFINE_CALL(rt_sigreturn),
        { .nr = SYS_socket, .argument = 1, .mask = ~0u, .value = AF_INET },
        CONFINE_REFUSE(socket, EAFNOSUPPORT),
        CONFINE_REFUSE(getuid, ENOSYS),
};

static void allowed(void)
{
        int fd;

        MUST(confine_syscalls(some, ARRAY_SIZE(some), false) == 0);
        fd = socket(AF_INET, SOCK_STREAM, 0);
        MUST(fd >= 0);
        close(fd);
        MUST(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EAFNOSUPPORT);
        MUST(syscall(SYS_getuid) == -1 && errno == ENOSYS);
}

static void forbidden(void)
{
        MUST(confine_syscalls(some, ARRAY_SIZE(some), false) == 0);
        syscall(SYS_getppid);
}

static void forbidden_and_told(void)
{
        MUST(confine_syscalls(some, ARRAY_SIZE(some), true) == 0);
        syscall(SYS_getppid);
}

/* The sanitizers make system calls of their own, which no list of ours has. */
static void skip_sanitized(void)
{
#ifdef __SANITIZE_ADDRESS__
        test_skip("a filter can't hold under the sanitizers");
#endif
}

static void test_syscalls(void **state)
{
        int status;

        skip_sanitized();
        assert_int_equal(in_child(allowed), 0);
        status = in_child(forbidden);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

static void test_syscalls_told(void **state)
{
        char text[200] = "";
        int p[2], saved, status;

        skip_sanitized();
        saved = dup(STDERR_FILENO);
        assert_int_equal(pipe(p), 0);
        dup2(p[1], STDERR_FILENO);
        status = in_child(forbidden_and_told);
        dup2(saved, STDERR_FILENO);
        close(saved);
        close(p[1]);
        assert_true(read(p[0], text, sizeof text - 1) > 0);
        close(p[0]);
        assert_non_null(strstr(text, "(getppid) is not allowed"));
        assert_int_equal(WEXITSTATUS(status), 128 + SIGSYS);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_drop_user),
                cmocka_unit_test(test_keep_some),
                cmocka_unit_test_setup_teardown(test_landlock, files_make, files_remove),
                cmocka_unit_test(test_syscalls),
                cmocka_unit_test(test_syscalls_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
