/* Where a process's cgroups are, on v1, v2 and hybrid hosts, and which limit binds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "diag/cgroup-place.h"

static const char v2_mounts[] = "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
static const char hybrid_mounts[] =
        "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
static const char hybrid_self[] = "2:cpu,cpuacct:/\n1:memory:/\n0::/\n";
/* A container without a cgroup namespace: the mount shows its own cgroup alone. */
static const char bind_mounts[] =
        "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";

static struct consumes_facts places(struct arena *a, const char *mounts, const char *self,
                                    const char *controllers, const char *target, bool host_view)
{
        struct consumes_facts c = { 0 };
        struct cgroup_layout l;

        assert_int_equal(cgroup_layout_parse(a, mounts, self, controllers, &l), 0);
        cgroup_places(a, &l, target, host_view, &c);
        return c;
}

static void test_v2(void **state)
{
        AUTO_ARENA a = { 0 };
        struct consumes_facts c = places(&a, v2_mounts, "0::/\n", "cpu memory pids io\n",
                                         "0::/system.slice/docker-1.scope\n", true);
        struct levels l;

        assert_int_equal(c.place[CGROUP_MEMORY].version, 2);
        assert_string_equal(c.place[CGROUP_MEMORY].dir,
                            "/sys/fs/cgroup/system.slice/docker-1.scope");
        assert_int_equal(c.place[CGROUP_MEMORY].depth, 2);
        assert_int_equal(c.place[CGROUP_HUGETLB].version, 0);
        assert_int_equal(c.unified.depth, 2);
        l = cgroup_levels(&a, &c.place[CGROUP_MEMORY]);
        assert_int_equal(l.n, 3);
        assert_false(l.cut);
        assert_string_equal(l.v[0].path, "/system.slice/docker-1.scope");
        assert_string_equal(l.v[1].path, "/system.slice");
        assert_string_equal(l.v[2].path, "/");
        assert_string_equal(cgroup_level_dir(&a, &c.place[CGROUP_MEMORY], &l.v[2]),
                            "/sys/fs/cgroup");
        assert_string_equal(cgroup_level_dir(&a, &c.place[CGROUP_MEMORY], &l.v[1]),
                            "/sys/fs/cgroup/system.slice");
}

static void test_hybrid(void **state)
{
        AUTO_ARENA a = { 0 };
        struct consumes_facts c = places(&a, hybrid_mounts, hybrid_self, "pids\n",
                                         "2:cpu,cpuacct:/a:b\n1:memory:/m\n0::/\n", true);

        assert_int_equal(c.place[CGROUP_CPU].version, 1);
        assert_string_equal(c.place[CGROUP_CPU].dir, "/sys/fs/cgroup/cpu,cpuacct/a:b");
        assert_string_equal(c.place[CGROUP_MEMORY].dir, "/sys/fs/cgroup/memory/m");
        assert_int_equal(c.place[CGROUP_PIDS].version, 2);
        assert_int_equal(c.unified.depth, 0); /* the root: no numbers of its own */
}

static void test_hidden(void **state)
{
        AUTO_ARENA a = { 0 };
        struct consumes_facts c;
        struct levels l;

        c = places(&a, v2_mounts, "0::/\n", "memory\n", "0::/../other\n", false);
        assert_null(c.place[CGROUP_MEMORY].dir);
        assert_int_equal(cgroup_levels(&a, &c.place[CGROUP_MEMORY]).n, 0);
        c = places(&a, bind_mounts, "1:memory:/docker/abc\n", NULL, "1:memory:/docker/abc/x\n",
                   true);
        assert_string_equal(c.place[CGROUP_MEMORY].dir, "/sys/fs/cgroup/memory/x");
        l = cgroup_levels(&a, &c.place[CGROUP_MEMORY]);
        assert_true(l.cut); /* ancestors above /docker/abc are not to be seen */
        c = places(&a, bind_mounts, "1:memory:/docker/abc\n", NULL, "1:memory:/docker/abcd\n",
                   true);
        assert_null(c.place[CGROUP_MEMORY].dir);
        c = places(&a, v2_mounts, "0::/\n", "memory\n", "", true);
        assert_null(c.place[CGROUP_MEMORY].path);
}

static void test_deep(void **state)
{
        AUTO_ARENA a = { 0 };
        char path[512] = "0::";
        struct consumes_facts c;
        struct levels l;

        for (int i = 0; i < 60; i++)
                memcpy(path + 3 + 2 * i, "/x", 3);
        c = places(&a, v2_mounts, "0::/\n", "memory\n", path, true);
        l = cgroup_levels(&a, &c.place[CGROUP_MEMORY]);
        assert_int_equal(l.n, FACTS_LEVELS_MAX);
        assert_true(l.cut);
}

static void test_binding_cpu(void **state)
{
        struct num absent = { NUM_ABSENT, 0 }, max = { NUM_MAX, 0 };
        struct level v[] = {
                { .cpu_quota_us = num_of(200000), .cpu_period_us = num_of(100000) },
                { .cpu_quota_us = num_of(10000), .cpu_period_us = num_of(50000) },
                { .cpu_quota_us = max, .cpu_period_us = num_of(100000) },
                { .cpu_quota_us = absent, .cpu_period_us = absent },
        };
        struct levels l = { .v = v, .n = 4, .own = -1, .binding = -1 };

        cgroup_bind_cpu(&l);
        assert_int_equal(l.own, 0);
        assert_int_equal(l.binding, 1); /* the parent's fifth of a CPU */
        v[1].cpu_period_us = num_of(0);
        l.binding = -1;
        cgroup_bind_cpu(&l);
        assert_int_equal(l.binding, 0);
}

static void test_binding_memory(void **state)
{
        struct num absent = { NUM_ABSENT, 0 }, max = { NUM_MAX, 0 };
        struct level v[] = {
                { .limit = absent, .usage = absent }, /* v2: not enabled down here */
                { .limit = num_of(256), .usage = num_of(100) },
                { .limit = num_of(1000), .usage = num_of(950) },
                { .limit = max, .usage = num_of(2000) },
        };
        struct levels l = { .v = v, .n = 4, .own = -1, .binding = -1 };

        cgroup_bind_usage(&l);
        assert_int_equal(l.own, 1);
        assert_int_equal(l.binding, 2); /* 50 left there, 156 here */
        v[2].usage = num_of(100);
        l.own = l.binding = -1;
        cgroup_bind_usage(&l);
        assert_int_equal(l.binding, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_v2),          cmocka_unit_test(test_hybrid),
                cmocka_unit_test(test_hidden),      cmocka_unit_test(test_deep),
                cmocka_unit_test(test_binding_cpu), cmocka_unit_test(test_binding_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
