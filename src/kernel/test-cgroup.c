/* The life of a cgroup on this host's own hierarchies: made, joined, frozen, killed, removed,
 * and what is refused. Needs root and cgroups; skips aloud otherwise. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/str.h"
#include "kernel/cgroup-internal.h"

struct fixture {
        struct arena a;
        struct cgroup_layout l;
        struct cgroup c; /* located, not made */
        char name[64];
};

static int setup(void **state)
{
        static unsigned serial;
        struct fixture *x = mem_alloc(sizeof *x);

        *state = x;
        assert_int_equal(cgroup_layout_read(&x->a, &x->l), 0);
        snprintf(x->name, sizeof x->name, "/berth-unit-cgroup-%d/%u/c", getpid(), serial++);
        assert_int_equal(cgroup_locate(&x->a, &x->l, x->name, &x->c), 0);
        return 0;
}

static int teardown(void **state)
{
        struct fixture *x = *state;
        char dir[CGROUP_FILE_MAX];

        assert_int_equal(cgroup_kill(&x->c, SIGKILL, 5000, NULL), 0);
        while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
        assert_int_equal(cgroup_remove(&x->c, 5000, NULL), 0);
        for (size_t i = 0; i < x->c.n; i++) { /* nothing may remain, parents included */
                snprintf(dir, sizeof dir, "%s/berth-unit-cgroup-%d", x->c.v[i].mount, getpid());
                assert_int_equal(access(dir, F_OK), -1);
        }
        arena_done(&x->a);
        free(x);
        return 0;
}

static void need_root(const struct fixture *x)
{
        if (geteuid() != 0 || x->l.n == 0 || access(x->l.v[0].mount, W_OK) < 0) {
                print_message("SKIP: needs root and writable cgroups\n");
                skip();
        }
}

static void need_v2(const struct fixture *x)
{
        need_root(x);
        if (x->l.v2 < 0) {
                print_message("SKIP: no cgroup v2 is mounted\n");
                skip();
        }
}

static int make(struct fixture *x, unsigned flags, struct cgroup_fail *f)
{
        *f = (struct cgroup_fail){};
        return cgroup_create(&x->c, 0, flags, f);
}

/* A second container that asks for the same directories. */
static int make_again(const struct fixture *x, unsigned flags, struct cgroup_fail *f)
{
        struct cgroup c = x->c;

        *f = (struct cgroup_fail){};
        return cgroup_create(&c, 0, flags, f);
}

/* Starts a child inside, as the runtime does it; it sleeps, or forks without end. */
static pid_t start_in(struct fixture *x, bool forks)
{
        struct cgroup_join j;
        struct clone_args args = { .exit_signal = SIGCHLD };
        pid_t pid;

        assert_int_equal(cgroup_join_prepare(&x->c, NULL, 0, &j, NULL), 0);
        if (j.v2 >= 0) {
                args.flags |= CLONE_INTO_CGROUP;
                args.cgroup = (uint64_t)j.v2;
        }
        pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
        if (pid == 0) {
                if (cgroup_join_self(&j) < 0)
                        _exit(9);
                while (forks)
                        if (fork() == 0)
                                for (int i = 0; i < 3; i++)
                                        if (fork() == 0)
                                                _exit(0);
                pause();
                _exit(8);
        }
        cgroup_join_done(&j);
        assert_true(pid > 0);
        return pid;
}

/* Waits until /proc/PID/cgroup names x in every hierarchy; v1 is joined by the child in its
 * time. */
static bool is_inside(const struct fixture *x, pid_t pid)
{
        char path[64], text[8192], end[80];
        size_t lines = 0;

        snprintf(path, sizeof path, "/proc/%d/cgroup", pid);
        snprintf(end, sizeof end, "%s\n", x->name);
        for (int i = 0; i < 2000; i++) {
                assert_true(fd_read_text_at(AT_FDCWD, path, text, sizeof text) > 0);
                lines = 0;
                for (const char *at = text; (at = strstr(at, end)); at++)
                        lines++;
                if (lines == x->c.n)
                        return true;
                usleep(1000);
        }
        return false;
}

static void test_life(void **state)
{
        struct fixture *x = *state;
        AUTO_FREE pid_t *pids = NULL;
        struct cgroup_fail f;
        size_t n;
        pid_t pid;

        need_root(x);
        assert_int_equal(make(x, CGROUP_FRESH, &f), 0);
        assert_int_equal(x->c.v[0].made, 3);
        assert_int_equal(cgroup_is_empty(&x->c), 1);
        assert_int_equal(cgroup_is_frozen(&x->c), 0);
        pid = start_in(x, false);
        assert_true(is_inside(x, pid));
        assert_int_equal(cgroup_is_empty(&x->c), 0);
        assert_int_equal(cgroup_pids(&x->c, &pids, &n), 0);
        assert_int_equal(n, 1);
        assert_int_equal(pids[0], pid);

        /* In use: a new container may not have it, an update may. */
        assert_int_equal(make_again(x, CGROUP_FRESH, &f), -EBUSY);
        assert_int_equal(f.what, CGROUP_FAULT_NOT_EMPTY);
        assert_int_equal(make_again(x, 0, &f), 0);
        assert_int_equal(cgroup_remove(&x->c, 50, &f), -EBUSY);
        assert_int_equal(f.what, CGROUP_FAULT_REMOVE);
}

static void test_refused_create_leaves_nothing(void **state)
{
        struct fixture *x = *state;
        struct cgroup_fail f;
        char dir[CGROUP_FILE_MAX];

        need_v2(x);
        /* The last hierarchy (v2) is in use by someone else's tree: what the others got must go. */
        snprintf(dir, sizeof dir, "%s/berth-unit-cgroup-%d", x->c.v[x->c.v2].mount, getpid());
        assert_int_equal(mkdir(dir, 0755), 0);
        snprintf(dir + strlen(dir), 64, "/cgroup.max.depth");
        assert_int_equal(fd_put_at(AT_FDCWD, dir, "0"), 0);
        assert_true(make(x, CGROUP_FRESH, &f) < 0);
        assert_int_equal(f.what, CGROUP_FAULT_MKDIR);
        *strrchr(dir, '/') = 0;
        assert_int_equal(rmdir(dir), 0);
        for (size_t i = 0; i < x->c.n; i++)
                assert_int_equal(access(x->c.v[i].path, F_OK), -1);
}

static void test_freeze(void **state)
{
        struct fixture *x = *state;
        struct cgroup_join j;
        struct cgroup_fail f;
        pid_t pid;

        need_root(x);
        assert_int_equal(make(x, 0, &f), 0);
        pid = start_in(x, false);
        assert_true(is_inside(x, pid));
        assert_int_equal(cgroup_freeze(&x->c, 5000, &f), 0);
        assert_int_equal(cgroup_is_frozen(&x->c), 1);
        assert_int_equal(make_again(x, 0, &f), -EAGAIN);
        assert_int_equal(f.what, CGROUP_FAULT_FROZEN);
        assert_int_equal(cgroup_join_prepare(&x->c, NULL, pid, &j, &f), -EAGAIN);
        assert_int_equal(cgroup_join_pid(&x->c, getpid(), &f), -EAGAIN);
        assert_int_equal(cgroup_thaw(&x->c, 5000, &f), 0);
        assert_int_equal(cgroup_is_frozen(&x->c), 0);
        assert_int_equal(cgroup_freeze(&x->c, 5000, &f), 0); /* teardown kills it frozen */
}

/* A child of a frozen cgroup is frozen too, and to join it would hang. */
static void test_frozen_parent(void **state)
{
        struct fixture *x = *state;
        struct cgroup parent;
        struct cgroup_fail f;
        char name[64];

        need_root(x);
        snprintf(name, sizeof name, "%s", x->name);
        *strrchr(name, '/') = 0;
        assert_int_equal(cgroup_locate(&x->a, &x->l, name, &parent), 0);
        assert_int_equal(cgroup_create(&parent, 0, 0, &f), 0);
        assert_int_equal(cgroup_freeze(&parent, 5000, &f), 0);
        assert_int_equal(make(x, CGROUP_FRESH, &f), -EAGAIN);
        assert_int_equal(f.what, CGROUP_FAULT_FROZEN);
        assert_int_equal(cgroup_thaw(&parent, 5000, &f), 0);
        assert_int_equal(make(x, CGROUP_FRESH, &f), 0);
        assert_int_equal(cgroup_remove(&x->c, 1000, &f), 0);
        assert_int_equal(cgroup_remove(&parent, 1000, &f), 0);
}

static void test_kill_forking(void **state)
{
        struct fixture *x = *state;
        struct cgroup_fail f;
        pid_t pid;
        int status;

        need_root(x);
        assert_int_equal(make(x, 0, &f), 0);
        /* A fork bomb must meet its limit before this machine does. */
        if (cgroup_write(&x->c, CGROUP_PIDS, "pids.max", "40") < 0) {
                print_message("SKIP: no pids controller to bound the forks with\n");
                skip();
        }
        pid = start_in(x, true);
        assert_true(is_inside(x, pid));
        usleep(20000);
        assert_int_equal(cgroup_kill(&x->c, SIGKILL, 5000, &f), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(cgroup_is_empty(&x->c), 1);
}

/* The same by freezer and signals, as on a host without v2. */
static void test_kill_forking_v1(void **state)
{
        struct fixture *x = *state;
        struct cgroup v1;
        struct cgroup_fail f;
        pid_t pid;

        need_root(x);
        assert_int_equal(make(x, 0, &f), 0);
        v1 = x->c;
        if (cgroup_version_of(&v1, CGROUP_FREEZER) != 1 ||
            cgroup_write(&v1, CGROUP_PIDS, "pids.max", "40") < 0) {
                print_message("SKIP: no v1 freezer and pids controller\n");
                skip();
        }
        v1.v2 = -1;
        pid = start_in(x, true);
        assert_true(is_inside(x, pid));
        usleep(20000);
        assert_int_equal(cgroup_freeze(&v1, 5000, &f), 0);
        assert_int_equal(cgroup_is_frozen(&v1), 1);
        assert_int_equal(cgroup_thaw(&v1, 5000, &f), 0);
        assert_int_equal(cgroup_kill(&v1, SIGKILL, 5000, &f), 0);
        assert_int_equal(cgroup_is_empty(&v1), 1);
}

/* After cgroup.kill, newer kernels kill whatever is cloned into the cgroup: exec must still
 * work. */
static void test_join_after_kill(void **state)
{
        struct fixture *x = *state;
        struct cgroup_fail f;
        struct cgroup_join j;
        pid_t pid;

        need_v2(x);
        assert_int_equal(make(x, 0, &f), 0);
        pid = start_in(x, false);
        assert_int_equal(cgroup_kill(&x->c, SIGKILL, 5000, &f), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(cgroup_join_prepare(&x->c, NULL, 0, &j, &f), 0);
        assert_true(j.killed);
        assert_int_equal(j.v2, -1);
        cgroup_join_done(&j);
        pid = start_in(x, false);
        assert_true(is_inside(x, pid));
        assert_int_equal(kill(pid, 0), 0);
}

static void test_signal_all(void **state)
{
        struct fixture *x = *state;
        struct cgroup_fail f;
        pid_t pid[3];
        int status;

        need_root(x);
        assert_int_equal(make(x, 0, &f), 0);
        for (int i = 0; i < 3; i++) {
                pid[i] = start_in(x, false);
                assert_true(is_inside(x, pid[i]));
        }
        assert_int_equal(cgroup_kill(&x->c, SIGUSR1, 1000, &f), 0);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
                assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
        }
}

static void test_sub_cgroups(void **state)
{
        struct fixture *x = *state;
        const char *words[] = { "inner", "memory:only" }, *bad[] = { "../up", "nosuch:x" };
        struct strings subs = { words, 2 }, out;
        AUTO_FREE pid_t *pids = NULL;
        struct cgroup_fail f;
        struct cgroup_join j;
        size_t n;

        need_root(x);
        assert_int_equal(make(x, 0, &f), 0);
        for (size_t i = 0; i < 2; i++) {
                out = (struct strings){ &bad[i], 1 };
                assert_int_equal(cgroup_join_prepare(&x->c, &out, 0, &j, &f), -EINVAL);
                assert_int_equal(f.what, i ? CGROUP_FAULT_NO_HIERARCHY : CGROUP_FAULT_BAD_SUB);
        }
        subs.n = 1;
        assert_int_equal(cgroup_join_prepare(&x->c, &subs, 0, &j, &f), -ENOENT);
        for (size_t i = 0; i < x->c.n; i++) {
                char dir[CGROUP_FILE_MAX];

                snprintf(dir, sizeof dir, "%s/inner", x->c.v[i].path);
                assert_int_equal(mkdir(dir, 0755), 0);
        }
        if (cgroup_version_of(&x->c, CGROUP_MEMORY) == 1) {
                subs.n = 2;
                assert_int_equal(cgroup_join_prepare(&x->c, &subs, 0, &j, &f), -ENOENT);
                assert_non_null(strstr(f.path, "/only/tasks"));
                subs.n = 1;
        }
        assert_int_equal(cgroup_join_prepare(&x->c, &subs, 0, &j, &f), 0);
        cgroup_join_done(&j);
        assert_int_equal(cgroup_pids(&x->c, &pids, &n), 0);
        assert_int_equal(n, 0);
}

/* Init has moved to a cgroup of its own and the container's is gone: exec follows it. */
static void test_join_follows_init(void **state)
{
        struct fixture *x = *state;
        char inner[CGROUP_FILE_MAX], text[16];
        struct stat there, want;
        struct cgroup_dir *d;
        struct cgroup_fail f;
        struct cgroup_join j;
        pid_t pid;

        need_v2(x);
        assert_int_equal(make(x, 0, &f), 0);
        d = &x->c.v[x->c.v2];
        snprintf(inner, sizeof inner, "%s-moved", d->path);
        assert_int_equal(mkdir(inner, 0755), 0);
        pid = start_in(x, false);
        assert_true(is_inside(x, pid));
        snprintf(inner + strlen(inner), 32, "/cgroup.procs");
        snprintf(text, sizeof text, "%d", pid);
        assert_int_equal(fd_put_at(AT_FDCWD, inner, text), 0);
        assert_int_equal(rmdir(d->path), 0);
        assert_int_equal(cgroup_join_prepare(&x->c, NULL, 0, &j, &f), -ENOENT);
        assert_int_equal(cgroup_join_prepare(&x->c, NULL, pid, &j, &f), 0);
        *strrchr(inner, '/') = 0;
        assert_int_equal(fstat(j.v2, &there), 0);
        assert_int_equal(stat(inner, &want), 0);
        assert_int_equal(there.st_ino, want.st_ino);
        cgroup_join_done(&j);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(rmdir(inner), 0);
}

static void test_delegate(void **state)
{
        struct fixture *x = *state;
        struct cgroup_fail f;
        char path[CGROUP_FILE_MAX];
        struct stat st;

        need_v2(x);
        assert_int_equal(make(x, 0, &f), 0);
        assert_int_equal(cgroup_delegate(&x->c, 12345, 54321, &f), 0);
        assert_int_equal(stat(x->c.v[x->c.v2].path, &st), 0);
        assert_int_equal(st.st_uid, 12345);
        snprintf(path, sizeof path, "%s/cgroup.procs", x->c.v[x->c.v2].path);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_gid, 54321);
        snprintf(path, sizeof path, "%s/cgroup.freeze", x->c.v[x->c.v2].path);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_uid, 0);
}

static void test_removed_is_quiet(void **state)
{
        struct fixture *x = *state;
        struct cgroup_fail f;
        AUTO_FREE pid_t *pids = NULL;
        size_t n = 1;

        need_root(x);
        assert_int_equal(cgroup_is_frozen(&x->c), 0);
        assert_int_equal(cgroup_is_empty(&x->c), 1);
        assert_int_equal(cgroup_pids(&x->c, &pids, &n), 0);
        assert_int_equal(n, 0);
        assert_int_equal(cgroup_kill(&x->c, SIGKILL, 100, &f), 0);
        assert_int_equal(cgroup_kill(&x->c, SIGTERM, 100, &f), 0);
        assert_int_equal(cgroup_remove(&x->c, 100, &f), 0);
}

/* No step of start waits for a grace period: 20 in a row would take 100 ms and more if one did. */
static void test_is_fast(void **state)
{
        struct fixture *x = *state;
        struct cgroup_fail f;
        int64_t best = INT64_MAX;

        need_v2(x);
        assert_int_equal(make(x, 0, &f), 0);
        for (int i = 0; i < 20; i++) {
                struct timespec t[2];
                pid_t pid;

                clock_gettime(CLOCK_MONOTONIC, &t[0]);
                pid = start_in(x, false);
                assert_true(pid > 0);
                clock_gettime(CLOCK_MONOTONIC, &t[1]);
                best = MIN(best, (t[1].tv_sec - t[0].tv_sec) * 1000000 +
                                         (t[1].tv_nsec - t[0].tv_nsec) / 1000);
        }
        if (best > 3000)
                fail_msg("the fastest of 20 starts took %ld us", (long)best);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_life),
                TEST(test_refused_create_leaves_nothing),
                TEST(test_freeze),
                TEST(test_frozen_parent),
                TEST(test_kill_forking),
                TEST(test_kill_forking_v1),
                TEST(test_join_after_kill),
                TEST(test_signal_all),
                TEST(test_sub_cgroups),
                TEST(test_join_follows_init),
                TEST(test_delegate),
                TEST(test_removed_is_quiet),
                TEST(test_is_fast),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
