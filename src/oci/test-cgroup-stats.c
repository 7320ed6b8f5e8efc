/* Statistics and out-of-memory word of a cgroup on this host, with a process in it that uses
 * some. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "oci/cgroup-stats.h"

#define MIB (1024 * 1024)

struct fixture {
        struct arena a;
        struct cgroup c;
};

static int setup(void **state)
{
        struct fixture *x = mem_alloc(sizeof *x);
        struct cgroup_layout l;
        char name[64];

        *state = x;
        assert_int_equal(cgroup_layout_read(&x->a, &l), 0);
        snprintf(name, sizeof name, "/berth-unit-stats-%d", getpid());
        assert_int_equal(cgroup_locate(&x->a, &l, name, &x->c), 0);
        return 0;
}

static int teardown(void **state)
{
        struct fixture *x = *state;

        assert_int_equal(cgroup_kill(&x->c, SIGKILL, 5000, NULL), 0);
        while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
        assert_int_equal(cgroup_remove(&x->c, 5000, NULL), 0);
        arena_done(&x->a);
        free(x);
        return 0;
}

static void need(struct fixture *x)
{
        struct cgroup_fail f;

        if (geteuid() != 0 || !cgroup_version_of(&x->c, CGROUP_MEMORY) ||
            cgroup_create(&x->c, CGROUP_BIT(CGROUP_MEMORY), CGROUP_FRESH, &f) < 0) {
                print_message("SKIP: needs root and a memory controller\n");
                skip();
        }
}

static int limit_write(struct fixture *x, const char *bytes)
{
        bool v2 = cgroup_version_of(&x->c, CGROUP_MEMORY) == 2;

        cgroup_write(&x->c, CGROUP_MEMORY, "memory.swap.max", "0");
        return cgroup_write(&x->c, CGROUP_MEMORY, v2 ? "memory.max" : "memory.limit_in_bytes",
                            bytes);
}

/* A child in the cgroup that touches so much memory and then waits. */
static pid_t start(struct fixture *x, size_t bytes)
{
        int sync[2];
        char byte;
        pid_t pid;

        assert_int_equal(pipe(sync), 0);
        pid = fork();
        if (pid == 0) {
                char *p;

                if (cgroup_join_pid(&x->c, getpid(), NULL) < 0)
                        _exit(1);
                p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                memset(p, 1, bytes);
                if (write(sync[1], "x", 1) != 1)
                        _exit(2);
                pause();
        }
        close(sync[1]);
        if (read(sync[0], &byte, 1) != 1)
                pid = -pid; /* killed before it got there */
        close(sync[0]);
        return pid;
}

static const struct json *stats(struct fixture *x, struct json *tree)
{
        AUTO_BUF out = {};
        struct json_writer w = { .out = &out };

        json_open(&w, NULL, '{');
        cgroup_stats_json(&x->c, &w, "data");
        json_close(&w, '}');
        if (json_parse(&x->a, buf_str(&out), out.len, NULL, tree, NULL) < 0)
                fail_msg("not JSON: %s", buf_str(&out));
        return json_get(tree, "data");
}

static uint64_t number(const struct json *data, const char *path)
{
        uint64_t v = 0;

        if (!json_to_u64(json_path(data, path), &v))
                fail_msg("no number at %s", path);
        return v;
}

static void test_stats(void **state)
{
        struct fixture *x = *state;
        const struct json *data;
        struct json tree;

        need(x);
        assert_int_equal(limit_write(x, "67108864"), 0);
        assert_true(start(x, 8 * MIB) > 0);
        data = stats(x, &tree);
        assert_int_equal(number(data, "memory.usage.limit"), 64 * MIB);
        assert_true(number(data, "memory.usage.usage") >= 8 * MIB);
        assert_true(number(data, "memory.usage.usage") < 64 * MIB);
        assert_int_equal(number(data, "memory.usage.failcnt"), 0);
        assert_true(number(data, "memory.raw.pgfault") > 0);
        assert_true(number(data, "cpu.usage.total") > 100000);
        assert_true(number(data, "cpu.usage.total") < 60000000000);
        assert_non_null(json_path(data, "cpu.usage.kernel"));
        if (cgroup_version_of(&x->c, CGROUP_PIDS))
                assert_int_equal(number(data, "pids.current"), 1);
        if (cgroup_version_of(&x->c, CGROUP_CPUSET))
                assert_int_equal(json_path(data, "cpuset.cpus")->type, JSON_ARRAY);
        if (x->c.v2 >= 0 && json_path(data, "memory.psi"))
                assert_int_equal(json_path(data, "memory.psi.some")->n, 4);
        assert_int_equal(json_get(data, "network_interfaces")->type, JSON_NULL);
}

static void test_stats_of_nothing(void **state)
{
        struct fixture *x = *state;
        const struct json *data;
        struct json tree;
        struct cgroup none = { .v2 = -1 };

        data = stats(x, &tree); /* never made */
        assert_int_equal(json_path(data, "memory.usage.usage") == NULL, 1);
        memset(none.of, -1, sizeof none.of);
        x->c = none;
        data = stats(x, &tree);
        assert_int_equal(number(data, "cpu.usage.kernel"), 0);
}

static int wait_word(struct cgroup_oom *o, int timeout_ms)
{
        struct pollfd p = { .fd = o->fd, .events = POLLIN };

        return poll(&p, 1, timeout_ms) == 1 ? cgroup_oom_check(o) : -ETIMEDOUT;
}

static void test_oom(void **state)
{
        struct fixture *x = *state;
        struct cgroup_oom o = CGROUP_OOM_INIT;
        uint64_t kills = 9;
        int status;
        pid_t pid;

        need(x);
        assert_int_equal(limit_write(x, "8388608"), 0);
        assert_int_equal(cgroup_oom_open(&x->c, &o), 0);
        assert_int_equal(cgroup_oom_check(&o), 0);
        assert_int_equal(cgroup_oom_kills(&x->c, &kills), 0);
        assert_int_equal(kills, 0);
        pid = start(x, 64 * MIB);
        assert_true(pid < 0);
        assert_int_equal(waitpid(-pid, &status, 0), -pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_int_equal(wait_word(&o, 5000), 1);
        assert_int_equal(cgroup_oom_kills(&x->c, &kills), 0);
        assert_int_equal(kills, 1);
        assert_int_not_equal(cgroup_oom_check(&o), 1); /* said once */
        assert_int_equal(cgroup_remove(&x->c, 5000, NULL), 0);
        if (o.v2)
                assert_int_equal(cgroup_oom_check(&o), -ENODEV);
        else
                assert_int_equal(wait_word(&o, 5000), -ENODEV);
        cgroup_oom_done(&o);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_stats),
                TEST(test_stats_of_nothing),
                TEST(test_oom),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
