/* The controllers' numbers and the page and JSON made of them, on trees of files as v1, v2 and
 * hybrid hosts have them: most machines that run this have only one of the three. */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/str.h"
#include "codec/json.h"
#include "diag/cgroup-place.h"
#include "diag/host.h"
#include "diag/probe.h"
#include "diag/render.h"

struct file {
        const char *path, *text;
};

static const struct file v2_files[] = {
        { "cpu.stat", "usage_usec 999999999\n" },
        { "pod/cpu.max", "50000 100000\n" },
        { "pod/cpu.stat",
          "usage_usec 7000000\nnr_periods 200\nnr_throttled 50\nthrottled_usec 9000\n" },
        { "pod/memory.max", "100000000\n" },
        { "pod/memory.current", "99000000\n" },
        { "pod/memory.events.local", "low 0\nhigh 0\nmax 3\noom 2\noom_kill 0\n" },
        { "pod/pids.max", "max\n" },
        { "pod/pids.current", "9\n" },
        { "pod/app/cpu.max", "200000 100000\n" },
        { "pod/app/cpu.weight", "79\n" },
        { "pod/app/cpu.stat",
          "usage_usec 5000000\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n" },
        { "pod/app/cpu.stat.local", "throttled_usec 123000\n" },
        { "pod/app/memory.max", "268435456\n" },
        { "pod/app/memory.high", "max\n" },
        { "pod/app/memory.current", "50000000\n" },
        { "pod/app/memory.swap.max", "0\n" },
        { "pod/app/memory.swap.current", "0\n" },
        { "pod/app/memory.stat", "anon 30000000\nfile 15000000\nkernel 1000000\nshmem 4096\n"
                                 "inactive_file 2000000\n" },
        { "pod/app/memory.events", "low 0\nhigh 4\nmax 0\noom 0\noom_kill 2\noom_group_kill 0\n" },
        { "pod/app/memory.events.local", "oom 0\noom_kill 2\n" },
        { "pod/app/pids.max", "512\n" },
        { "pod/app/pids.current", "14\n" },
        { "pod/app/pids.events", "max 6\n" },
        { "pod/app/io.stat", "254:0 rbytes=1048576 wbytes=4096 rios=3 wios=1\n" },
        { "pod/app/io.max", "254:0 rbps=1048576 wbps=max riops=max wiops=max\n" },
        { "pod/app/cgroup.events", "populated 1\nfrozen 0\n" },
        { "pod/app/cpu.pressure", "some avg10=22.30 avg60=1.00 avg300=0.00 total=500\n" },
        { "pod/app/memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n" },
};

static const struct file v1_files[] = {
        { "cpu/app/cpu.cfs_quota_us", "-1\n" },
        { "cpu/app/cpu.cfs_period_us", "100000\n" },
        { "cpu/app/cpu.shares", "1024\n" },
        { "cpu/app/cpu.stat", "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n" },
        { "cpu/app/cpuacct.usage", "5000000000\n" },
        { "memory/app/memory.limit_in_bytes", "9223372036854771712\n" },
        { "memory/app/memory.usage_in_bytes", "50000000\n" },
        { "memory/app/memory.memsw.limit_in_bytes", "9223372036854771712\n" },
        { "memory/app/memory.stat",
          "rss 1\ntotal_rss 30000000\ntotal_cache 15000000\ntotal_swap 0\n" },
        { "memory/app/memory.oom_control", "oom_kill_disable 1\nunder_oom 0\noom_kill 3\n" },
};

static char top[] = "/tmp/test-consumes-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        return remove(path);
}

static int clean(void **state)
{
        return nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void write_files(const char *name, const struct file *files, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                char path[256];
                int fd;

                snprintf(path, sizeof path, "%s/%s/%s", top, name, files[i].path);
                for (char *c = path + strlen(top) + 1; (c = strchr(c, '/')); c++) {
                        *c = 0;
                        mkdir(path, 0755);
                        *c = '/';
                }
                fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
                assert_true(fd >= 0);
                assert_int_equal(fd_write_all(fd, files[i].text, strlen(files[i].text)), 0);
                close(fd);
        }
}

static int make(void **state)
{
        if (!mkdtemp(top))
                return -1;
        write_files("v2", v2_files, ARRAY_SIZE(v2_files));
        write_files("v1", v1_files, ARRAY_SIZE(v1_files));
        return 0;
}

/* The facts of this process, were it in the given cgroups. */
static struct facts *look(struct arena *a, const char *mounts, const char *self,
                          const char *controllers, const char *cgroup)
{
        struct facts *f = arena_new(a, struct facts);
        struct probe_host h = { .arena = a, .cpus_online = num_of(8) };
        struct target t = TARGET_INIT;
        struct err e = { 0 };

        f->arena = a;
        assert_int_equal(target_open(a, getpid(), &t, &e), 0);
        assert_int_equal(cgroup_layout_parse(a, mounts, self, controllers, &h.layout), 0);
        cgroup_places(a, &h.layout, cgroup, true, &f->consumes);
        f->process.comm = "app";
        f->owner.kind = "container";
        f->does.uid = f->does.euid = num_of(0);
        probe_consumes(f, &t, &h, 0);
        target_done(&t);
        return f;
}

static struct facts *look_v2(struct arena *a)
{
        return look(a, arena_printf(a, "30 25 0:26 / %s/v2 rw - cgroup2 cgroup2 rw\n", top),
                    "0::/\n", "cpu memory pids io cpuset\n", "0::/pod/app\n");
}

static struct facts *look_v1(struct arena *a)
{
        return look(a,
                    arena_printf(a,
                                 "30 25 0:26 / %s/v1/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
                                 "31 25 0:27 / %s/v1/memory rw - cgroup cgroup rw,memory\n",
                                 top, top),
                    "2:cpu,cpuacct:/\n1:memory:/\n", NULL, "2:cpu,cpuacct:/app\n1:memory:/app\n");
}

static const char *page_of(struct arena *a, const struct facts *f)
{
        struct render_options o = { 80, false, false };
        AUTO_BUF out = { 0 };
        const char *text;
        char *copy;

        render_text(f, &o, &out);
        text = buf_str(&out);
        for (const char *line = text; *line; line = strchr(line, '\n') + 1)
                assert_true(strchr(line, '\n') - line <= 80);
        /* Wrapping must not hide a phrase from the assertions below. */
        copy = arena_alloc(a, strlen(text) + 1);
        for (char *to = copy; *text; text++)
                if (*text != '\n' && (*text != ' ' || (to > copy && to[-1] != ' ')))
                        *to++ = *text;
                else if (*text == '\n' && to > copy && to[-1] != ' ')
                        *to++ = ' ';
        return copy;
}

static void assert_says(const char *page, const char *what)
{
        if (!strstr(page, what))
                fail_msg("'%s' is not in: %s", what, page);
}

static void assert_silent(const char *page, const char *what)
{
        if (strstr(page, what))
                fail_msg("'%s' is in: %s", what, page);
}

static void test_v2(void **state)
{
        AUTO_ARENA a = { 0 };
        struct facts *f = look_v2(&a);
        const struct consumes_facts *c = &f->consumes;
        const char *page = page_of(&a, f);

        assert_int_equal(c->cpu.binding, 1);
        assert_int_equal(c->memory.binding, 1);
        assert_int_equal(c->pids.binding, 0);
        assert_int_equal(c->mem_anon.v, 30000000);
        assert_int_equal(c->throttled_by_parent_us.v, 123000);
        assert_int_equal(c->cpu.v[1].throttled.v, 50);
        assert_int_equal(c->memory.v[0].high.is, NUM_MAX);
        assert_int_equal(c->cpu_milli.is, NUM_UNREAD);
        assert_says(page, "cpu use not sampled of 0.50 CPUs (PARENT's quota: /pod), own quota 2");
        assert_says(page, "25% since start (50 of 200, 9ms)");
        assert_says(page,
                    "memory 47M of 95M (PARENT's limit: /pod), which holds 94M, own limit 256M");
        assert_says(page, "anon 28M, file 14M");
        assert_says(page, "2 OOM kills");
        assert_says(page, "2 times out of memory at PARENT /pod");
        assert_says(page, "4 times above memory.high");
        assert_says(page, "swap 0 of 0");
        assert_says(page, "pids 14 of 512 (own limit), refused 6 times");
        assert_says(page, "read 1M, written 4K, 1 device limits");
        assert_says(page, "pressure cpu 22%, memory 0%, io unavailable");
}

static void test_v1(void **state)
{
        AUTO_ARENA a = { 0 };
        struct facts *f = look_v1(&a);
        const struct consumes_facts *c = &f->consumes;
        const char *page = page_of(&a, f);

        assert_int_equal(c->cpu.v[0].cpu_quota_us.is, NUM_MAX);
        assert_int_equal(c->memory.v[0].limit.is, NUM_MAX);
        assert_int_equal(c->cpu.binding, -1);
        assert_int_equal(c->cpu_usage_ns.v, 5000000000);
        assert_int_equal(c->mem_anon.v, 30000000);
        assert_int_equal(c->events_high.is, NUM_ABSENT);
        assert_int_equal(c->psi[PSI_CPU].some.avg10.is, NUM_ABSENT);
        assert_says(page, "of 8 CPUs, no quota");
        assert_says(page, "memory 47M (no limit)");
        assert_says(page, "3 OOM kills");
        assert_says(page, "OOM killer off");
        assert_says(page, "pids unavailable: no hierarchy has this controller");
        assert_says(page, "pressure unavailable: no v2 hierarchy");
        assert_silent(page, "pressure cpu 0%");
}

static void test_hybrid(void **state)
{
        AUTO_ARENA a = { 0 };
        struct facts *f =
                look(&a,
                     arena_printf(&a,
                                  "31 25 0:27 / %s/v1/memory rw - cgroup cgroup rw,memory\n"
                                  "32 25 0:28 / %s/v2 rw - cgroup2 cgroup2 rw\n",
                                  top, top),
                     "1:memory:/\n0::/\n", "pids\n", "1:memory:/app\n0::/\n");
        const char *page = page_of(&a, f);

        assert_int_equal(f->consumes.place[CGROUP_MEMORY].version, 1);
        assert_int_equal(f->consumes.place[CGROUP_PIDS].version, 2);
        assert_true(f->consumes.psi_is_host);
        /* It is in v2's root: that root's numbers are the host's. */
        assert_says(page, "pressure unavailable: no v2 cgroup of its own");
        assert_says(page, "pids not limited by a cgroup");
        assert_says(page, "memory 47M");
}

/* A group whose parent alone has the controller: usage is everybody's there, and said so. */
static void test_counted_together(void **state)
{
        AUTO_ARENA a = { 0 };
        struct facts *f =
                look(&a, arena_printf(&a, "30 25 0:26 / %s/v2 rw - cgroup2 cgroup2 rw\n", top),
                     "0::/\n", "memory\n", "0::/pod/app/none\n");

        assert_int_equal(f->consumes.memory.own, 1);
        assert_says(page_of(&a, f), "counted together with all of /pod/app");
}

static void test_vanished(void **state)
{
        AUTO_ARENA a = { 0 };
        struct facts *f =
                look(&a, arena_printf(&a, "30 25 0:26 / %s/v2 rw - cgroup2 cgroup2 rw\n", top),
                     "0::/\n", "memory cpu\n", "0::/gone (deleted)\n");

        assert_int_equal(f->consumes.memory.own, -1);
        page_of(&a, f);
}

/* Nothing unknown comes out as a number. */
static void test_json(void **state)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF out = { 0 };
        struct json_error e;
        struct json j;

        render_json(look_v1(&a), &out);
        assert_int_equal(json_parse(&a, out.s, out.len, NULL, &j, &e), 0);
        assert_string_equal(json_str(json_get(&j, "schema"), ""), LOOK_SCHEMA);
        assert_int_equal(json_path(&j, "consumes.pressure.cpu.some.avg10Hundredths")->type,
                         JSON_NULL);
        assert_int_equal(json_path(&j, "consumes.pids.refused")->type, JSON_NULL);
        assert_int_equal(json_path(&j, "consumes.memory.anonBytes")->i, 30000000);
        assert_string_equal(
                json_str(json_get(&json_path(&j, "consumes.memory.levels")->items[0], "limitBytes"),
                         ""),
                "max");
        assert_true(json_get(&j, "unavailable")->n > 10);
        for (uint32_t i = 0; i < json_get(&j, "unavailable")->n; i++)
                assert_false(str_empty(
                        json_str(json_get(&json_get(&j, "unavailable")->items[i], "why"), "")));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_v2),       cmocka_unit_test(test_v1),
                cmocka_unit_test(test_hybrid),   cmocka_unit_test(test_counted_together),
                cmocka_unit_test(test_vanished), cmocka_unit_test(test_json),
        };

        return cmocka_run_group_tests(tests, make, clean);
}
