/* linux.resources -> writes, on hosts of each kind: the plan's text is compared, errors by what
 * they must name. Pure, but for the last test, which applies a plan to this host's own cgroups. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "oci/cgroup-apply.h"
#include "oci/plan-cgroup-internal.h"

#define V1_MOUNT(name) "1 0 0:1 / /cg/" name " rw - cgroup cgroup rw," name "\n"
#define V2_MOUNT "1 0 0:1 / /cg/v2 rw - cgroup2 cgroup2 rw\n"

static const char v1_mounts[] = V1_MOUNT("cpu") V1_MOUNT("cpuset") V1_MOUNT("memory")
        V1_MOUNT("devices") V1_MOUNT("freezer") V1_MOUNT("blkio") V1_MOUNT("pids")
                V1_MOUNT("hugetlb") V1_MOUNT("net_cls") V1_MOUNT("net_prio") V1_MOUNT("rdma");
static const char v1_self[] = "1:cpu:/\n2:cpuset:/\n3:memory:/\n4:devices:/\n5:freezer:/\n"
                              "6:blkio:/\n7:pids:/\n8:hugetlb:/\n9:net_cls:/\n10:net_prio:/\n"
                              "11:rdma:/\n";

enum host { V1, V2, HYBRID, BARE };

static void host_make(struct arena *a, enum host host, struct cgroup *c)
{
        struct cgroup_layout l;

        switch (host) {
        case V1:
                cgroup_layout_parse(a, v1_mounts, v1_self, NULL, &l);
                break;
        case V2:
                cgroup_layout_parse(a, V2_MOUNT, "0::/\n", "cpuset cpu io memory hugetlb pids rdma",
                                    &l);
                break;
        case HYBRID: /* limits on v1, hugetlb left on v2 */
                cgroup_layout_parse(a,
                                    V1_MOUNT("cpu") V1_MOUNT("memory") V1_MOUNT("devices") V2_MOUNT,
                                    "1:cpu:/\n2:memory:/\n3:devices:/\n0::/\n", "hugetlb", &l);
                break;
        case BARE:
                cgroup_layout_parse(a, "", "", NULL, &l);
                break;
        }
        assert_int_equal(cgroup_locate(a, &l, "/c", c), 0);
}

static int plan(struct arena *a, enum host host, const char *json, const struct cgroup_now *now,
                unsigned flags, struct cgroup_plan *ret, struct err *e)
{
        struct spec_resources r;
        struct cgroup c;

        host_make(a, host, &c);
        if (spec_parse_resources(a, json, strlen(json), &r, e) < 0)
                return -1;
        return plan_cgroup_resources(a, &c, &r, now, flags, ret, e);
}

static void print(const struct cgroup_plan *p, struct buf *out)
{
        for (size_t i = 0; i < p->n; i++) {
                cgroup_setting_print(&p->v[i], out);
                buf_printf(out, "%s%s\n", p->v[i].flags & CGROUP_SET_OPTIONAL ? "?" : "",
                           p->v[i].flags & CGROUP_SET_ELSE ? "|" : "");
        }
        for (size_t i = 0; i < p->warnings.n; i++)
                buf_puts(out, "warning\n");
}

struct row {
        const char *json, *v1, *v2; /* the plan; "!text": an error that contains text */
};

static void row_check(const char *json, enum host host, const char *expect,
                      const struct cgroup_now *now, unsigned flags)
{
        AUTO_ARENA a = {};
        AUTO_BUF out = {};
        struct cgroup_plan p;
        struct err e = {};
        int r = plan(&a, host, json, now, flags | CGROUP_PLAN_NO_DEVICES, &p, &e);

        if (*expect == '!') {
                assert_int_equal(r, -1);
                if (!strstr(e.chain, expect + 1))
                        fail_msg("%s\nsays: %s", json, e.chain);
                return;
        }
        if (r < 0)
                fail_msg("%s\nfails: %s", json, e.chain);
        print(&p, &out);
        if (!str_eq(buf_str(&out), expect))
                fail_msg("%s\nexpected\n%sgot\n%s", json, expect, buf_str(&out));
}

static const struct row rows[] = {
        { "{}", "", "" },
        { "{\"memory\":{\"limit\":1048576}}", "memory memory.limit_in_bytes = 1048576\n",
          "memory memory.max = 1048576\n" },
        { "{\"memory\":{\"limit\":0,\"swap\":0,\"reservation\":0}}", "", "" },
        { "{\"memory\":{\"limit\":-1}}",
          "memory memory.memsw.limit_in_bytes = -1?\nmemory memory.limit_in_bytes = -1\n",
          "memory memory.swap.max = max?\nmemory memory.max = max\n" },
        { "{\"memory\":{\"limit\":100,\"swap\":300,\"reservation\":50}}",
          "memory memory.limit_in_bytes = 100\nmemory memory.memsw.limit_in_bytes = 300\n"
          "memory memory.soft_limit_in_bytes = 50\n",
          "memory memory.swap.max = 200\nmemory memory.max = 100\nmemory memory.low = 50\n" },
        { "{\"memory\":{\"limit\":100,\"swap\":100}}",
          "memory memory.limit_in_bytes = 100\nmemory memory.memsw.limit_in_bytes = 100\n",
          "memory memory.swap.max = 0?\nmemory memory.max = 100\n" },
        { "{\"memory\":{\"limit\":100,\"swap\":-1}}",
          "memory memory.limit_in_bytes = 100\nmemory memory.memsw.limit_in_bytes = -1?\n",
          "memory memory.swap.max = max?\nmemory memory.max = 100\n" },
        { "{\"memory\":{\"limit\":100,\"swap\":99}}",
          "!memory.swap: 99 is less than the memory limit",
          "!memory.swap: 99 is less than the memory limit" },
        { "{\"memory\":{\"swap\":99}}", "memory memory.memsw.limit_in_bytes = 99\n",
          "!memory.swap: there is no memory limit" },
        { "{\"memory\":{\"kernelTCP\":4096}}", "memory memory.kmem.tcp.limit_in_bytes = 4096\n",
          "warning\n" },
        { "{\"memory\":{\"swappiness\":60,\"disableOOMKiller\":true,\"kernel\":5}}",
          "memory memory.swappiness = 60\nmemory memory.oom_control = 1\nwarning\n",
          "warning\nwarning\nwarning\n" },
        { "{\"cpu\":{\"shares\":1024,\"quota\":50000,\"period\":100000}}",
          "cpu cpu.shares = 1024\ncpu cpu.cfs_period_us = 100000\ncpu cpu.cfs_quota_us = 50000\n",
          "cpu cpu.weight = 100\ncpu cpu.max = 50000 100000\n" },
        { "{\"cpu\":{\"quota\":-1}}", "cpu cpu.cfs_quota_us = -1\n", "cpu cpu.max = max\n" },
        { "{\"cpu\":{\"period\":20000}}", "cpu cpu.cfs_period_us = 20000\n",
          "cpu cpu.max = max 20000\n" },
        { "{\"cpu\":{\"quota\":20000,\"burst\":10000}}",
          "cpu cpu.cfs_quota_us = 20000\ncpu cpu.cfs_burst_us = 10000\n",
          "cpu cpu.max = 20000\ncpu cpu.max.burst = 10000\n" },
        { "{\"cpu\":{\"idle\":1,\"shares\":512}}", "cpu cpu.idle = 1\nwarning\n",
          "cpu cpu.idle = 1\nwarning\n" },
        { "{\"unified\":{\"cpu.weight\":\"8\",\"cpu.idle\":\"1\"}}", "cpu cpu.idle = 1\nwarning\n",
          "cpu cpu.idle = 1\nwarning\n" },
        { "{\"cpu\":{\"idle\":0,\"shares\":512}}", "cpu cpu.idle = 0?\ncpu cpu.shares = 512\n",
          "cpu cpu.idle = 0?\ncpu cpu.weight = 59\n" },
        { "{\"cpu\":{\"shares\":1}}", "!cpu.shares: 1 is not within 2-262144",
          "cpu cpu.weight = 1\n" },
        { "{\"cpu\":{\"period\":10}}", "!cpu.period: 10 us", "!cpu.period: 10 us" },
        { "{\"cpu\":{\"quota\":10}}", "!cpu.quota: 10 us", "!cpu.quota: 10 us" },
        { "{\"cpu\":{\"realtimePeriod\":1000000,\"realtimeRuntime\":950000}}",
          "cpu cpu.rt_period_us = 1000000\ncpu cpu.rt_runtime_us = 950000\n", "warning\n" },
        { "{\"cpu\":{\"cpus\":\"0-1\",\"mems\":\"0\"}}",
          "cpuset cpuset.cpus = 0-1\ncpuset cpuset.mems = 0\n",
          "cpuset cpuset.cpus = 0-1\ncpuset cpuset.mems = 0\n" },
        { "{\"pids\":{\"limit\":0}}", "pids pids.max = 1\n", "pids pids.max = 1\n" },
        { "{\"pids\":{\"limit\":-1}}", "pids pids.max = max\n", "pids pids.max = max\n" },
        { "{\"blockIO\":{\"weight\":500}}", "io blkio.weight = 500|\nio blkio.bfq.weight = 500\n",
          "io io.bfq.weight = 500|\nio io.weight = 4950\n" },
        { "{\"blockIO\":{\"weight\":5}}", "!blockIO.weight: 5", "!blockIO.weight: 5" },
        { "{\"blockIO\":{\"leafWeight\":50}}", "warning\n", "warning\n" },
        { "{\"blockIO\":{\"weightDevice\":[{\"major\":8,\"minor\":0,\"weight\":10}]}}",
          "io blkio.weight_device = 8:0 10|\nio blkio.bfq.weight_device = 8:0 10\n",
          "io io.bfq.weight = 8:0 10|\nio io.weight = 8:0 1\n" },
        { "{\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":600}],"
          "\"throttleWriteIOPSDevice\":[{\"major\":8,\"minor\":16,\"rate\":0}]}}",
          "io blkio.throttle.read_bps_device = 8:0 600\n"
          "io blkio.throttle.write_iops_device = 8:16 0\n",
          "io io.max = 8:0 rbps=600\nio io.max = 8:16 wiops=max\n" },
        { "{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":4096}]}",
          "hugetlb hugetlb.2MB.rsvd.limit_in_bytes = 4096?\n"
          "hugetlb hugetlb.2MB.limit_in_bytes = 4096\n",
          "hugetlb hugetlb.2MB.rsvd.max = 4096?\nhugetlb hugetlb.2MB.max = 4096\n" },
        { "{\"network\":{\"classID\":1048577,\"priorities\":[{\"name\":\"eth0\",\"priority\":5}]}}",
          "net_cls net_cls.classid = 1048577\nnet_prio net_prio.ifpriomap = eth0 5\n",
          "!network.classID: this host has no net_cls controller" },
        { "{\"rdma\":{\"mlx5_1\":{\"hcaHandles\":3,\"hcaObjects\":10000}}}",
          "rdma rdma.max = mlx5_1 hca_handle=3 hca_object=10000\n",
          "rdma rdma.max = mlx5_1 hca_handle=3 hca_object=10000\n" },
        { "{\"unified\":{\"memory.high\":\"1000\"}}", "!'memory.high' has no equivalent",
          "memory memory.high = 1000\n" },
        { "{\"unified\":{\"memory.max\":\"max\",\"cpu.max\":\"5000 "
          "20000\",\"cpu.weight\":\"100\"}}",
          "memory memory.limit_in_bytes = -1\ncpu cpu.cfs_period_us = 20000\n"
          "cpu cpu.cfs_quota_us = 5000\ncpu cpu.shares = 1024\n",
          "memory memory.max = max\ncpu cpu.max = 5000 20000\ncpu cpu.weight = 100\n" },
        { "{\"unified\":{\"hugetlb.2MB.rsvd.max\":\"0\"}}",
          "hugetlb hugetlb.2MB.rsvd.limit_in_bytes = 0\n", "hugetlb hugetlb.2MB.rsvd.max = 0\n" },
        { "{\"unified\":{\"io.max\":\"8:0 rbps=1\\n8:16 wbps=2\\n\"}}",
          "!'io.max' has no equivalent", "io io.max = 8:0 rbps=1\nio io.max = 8:16 wbps=2\n" },
        { "{\"unified\":{\"nosuch.file\":\"1\"}}", "!no cgroup v2 is mounted",
          "cgroup nosuch.file = 1\n" },
        { "{\"unified\":{\"cgroup.max.depth\":\"1\"}}", "!no cgroup v2",
          "cgroup cgroup.max.depth = 1\n" },
        { "{\"unified\":{\"misc.max\":\"res_a 1\"}}", "!no misc controller",
          "!no misc controller" },
        { "{\"unified\":{\"../memory.max\":\"1\"}}", "!unified[", "!unified[" },
        { "{\"unified\":{\"memory\":\"1\"}}", "!unified[", "!unified[" },
        { "{\"unified\":{\"blkio.weight\":\"1\"}}", "!no controller 'blkio'",
          "!no controller 'blkio'" },
};

static void test_rows(void **state)
{
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                row_check(rows[i].json, V1, rows[i].v1, NULL, 0);
                row_check(rows[i].json, V2, rows[i].v2, NULL, 0);
        }
}

static void test_hybrid(void **state)
{
        row_check("{\"memory\":{\"limit\":100},\"hugepageLimits\":[{\"pageSize\":\"2MB\","
                  "\"limit\":0}],\"unified\":{\"cgroup.max.depth\":\"1\"}}",
                  HYBRID,
                  "memory memory.limit_in_bytes = 100\nhugetlb hugetlb.2MB.rsvd.max = 0?\n"
                  "hugetlb hugetlb.2MB.max = 0\ncgroup cgroup.max.depth = 1\n",
                  NULL, 0);
        row_check("{\"pids\":{\"limit\":5}}", HYBRID, "!pids.limit: this host has no pids", NULL,
                  0);
        row_check("{\"memory\":{\"limit\":5}}", BARE, "!memory.limit: this host has no memory",
                  NULL, 0);
        row_check("{}", BARE, "", NULL, 0);
}

static void test_update(void **state)
{
        struct cgroup_now now = { .memory_limit = 100,
                                  .memory_swap = 200,
                                  .memory_usage = 80,
                                  .cpu_quota = 50000,
                                  .cpu_period = 100000,
                                  .cpu_burst = 40000 };

        /* Raising the limit above the present memory+swap: that one gives way first. */
        row_check("{\"memory\":{\"limit\":300,\"swap\":400}}", V1,
                  "memory memory.memsw.limit_in_bytes = 400\nmemory memory.limit_in_bytes = 300\n",
                  &now, CGROUP_PLAN_UPDATE);
        row_check("{\"memory\":{\"limit\":50,\"swap\":60}}", V1,
                  "memory memory.limit_in_bytes = 50\nmemory memory.memsw.limit_in_bytes = 60\n",
                  &now, CGROUP_PLAN_UPDATE);
        row_check("{\"memory\":{\"swap\":150}}", V2, "memory memory.swap.max = 50\n", &now,
                  CGROUP_PLAN_UPDATE);
        row_check("{\"memory\":{\"limit\":70,\"checkBeforeUpdate\":true}}", V2,
                  "!memory.limit: rejecting memory limit 70: 80 bytes are in use", &now,
                  CGROUP_PLAN_UPDATE);
        row_check("{\"cpu\":{\"period\":50000,\"quota\":10000}}", V1,
                  "cpu cpu.cfs_quota_us = 10000\ncpu cpu.cfs_period_us = 50000\n", &now,
                  CGROUP_PLAN_UPDATE);
        row_check("{\"cpu\":{\"period\":50000}}", V2, "cpu cpu.max = 50000 50000\n", &now,
                  CGROUP_PLAN_UPDATE);
        row_check("{\"cpu\":{\"quota\":60000}}", V1,
                  "cpu cpu.cfs_quota_us = 60000\ncpu cpu.cfs_period_us = 100000\n", &now,
                  CGROUP_PLAN_UPDATE);
        row_check("{\"memory\":{\"limit\":10,\"swap\":20,\"checkBeforeUpdate\":true}}", V2,
                  "!memory.swap: rejecting memory+swap limit 20", &now, CGROUP_PLAN_UPDATE);
        now.cpu_rt_period = 900000;
        row_check("{\"cpu\":{\"realtimePeriod\":10000,\"realtimeRuntime\":3000}}", V1,
                  "cpu cpu.rt_runtime_us = 3000\ncpu cpu.rt_period_us = 10000\n", &now,
                  CGROUP_PLAN_UPDATE);
        /* A burst above the new quota has to shrink first. */
        row_check("{\"cpu\":{\"quota\":20000,\"burst\":10000}}", V2,
                  "cpu cpu.max.burst = 10000\ncpu cpu.max = 20000 100000\n", &now,
                  CGROUP_PLAN_UPDATE);
        row_check("{\"rdma\":{\"x\":{\"hcaHandles\":1}}}", HYBRID,
                  "!the container's cgroup has no rdma", &now, CGROUP_PLAN_UPDATE);
}

static void test_weights(void **state)
{
        /* The values that runc documents for its formula, and both ends. */
        static const uint64_t pairs[][2] = { { 0, 1 },          { 2, 1 },
                                             { 100, 17 },       { 512, 59 },
                                             { 1024, 100 },     { 2000, 170 },
                                             { 2048, 174 },     { 102400, 4429 },
                                             { 262144, 10000 }, { UINT64_MAX, 10000 } };

        for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
                assert_int_equal(cgroup_weight_of_shares(pairs[i][0]), pairs[i][1]);
        for (uint64_t w = 2; w <= 10000; w += 7)
                assert_true(cgroup_weight_of_shares(cgroup_shares_of_weight(w)) <= w);
        for (uint64_t s = 3; s < 262144; s += 11)
                assert_true(cgroup_weight_of_shares(s) >= cgroup_weight_of_shares(s - 1));
}

/* ---- devices ---- */

#define OWN_V1                                                                                     \
        "devices devices.allow = c *:* m\ndevices devices.allow = b *:* m\n"                       \
        "devices devices.allow = c 1:3 rwm\ndevices devices.allow = c 1:5 rwm\n"                   \
        "devices devices.allow = c 1:7 rwm\ndevices devices.allow = c 1:8 rwm\n"                   \
        "devices devices.allow = c 1:9 rwm\ndevices devices.allow = c 5:0 rwm\n"                   \
        "devices devices.allow = c 5:2 rwm\ndevices devices.allow = c 136:* rwm\n"

static void devices_check(const char *json, const char *expect)
{
        AUTO_ARENA a = {};
        AUTO_BUF out = {};
        struct cgroup_plan p;
        struct err e = {};

        if (plan(&a, V1, json, NULL, 0, &p, &e) < 0) {
                if (*expect != '!' || !strstr(e.chain, expect + 1))
                        fail_msg("%s\nsays: %s", json, e.chain);
                return;
        }
        print(&p, &out);
        assert_string_equal(buf_str(&out), expect);
}

#define DENY_ALL "{\"allow\":false,\"access\":\"rwm\"}"
#define ALLOW_ALL "{\"allow\":true,\"access\":\"rwm\"}"

static void test_devices_v1(void **state)
{
        devices_check("{}", "devices devices.deny = a\n" OWN_V1);
        devices_check("{\"devices\":[" DENY_ALL "]}", "devices devices.deny = a\n" OWN_V1);
        devices_check("{\"devices\":[" DENY_ALL ",{\"allow\":true,\"type\":\"c\",\"major\":10,"
                      "\"minor\":229,\"access\":\"rw\"}]}",
                      "devices devices.deny = a\ndevices devices.allow = c 10:229 rw\n" OWN_V1);
        /* What comes before "all" doesn't matter. */
        devices_check("{\"devices\":[{\"allow\":true,\"type\":\"c\",\"major\":10,"
                      "\"access\":\"rw\"}," DENY_ALL "]}",
                      "devices devices.deny = a\n" OWN_V1);
        /* "a" with numbers or less access is two rules, or the kernel would open everything. */
        devices_check(
                "{\"devices\":[{\"allow\":true,\"type\":\"a\",\"major\":7,\"access\":\"r\"}]}",
                "devices devices.deny = a\ndevices devices.allow = c 7:* r\n"
                "devices devices.allow = b 7:* r\n" OWN_V1);
        devices_check("{\"devices\":[" ALLOW_ALL "]}", "");
        devices_check("{\"devices\":[" ALLOW_ALL
                      ",{\"allow\":false,\"type\":\"b\",\"major\":8,\"access\":\"rwm\"}]}",
                      "devices devices.allow = a\ndevices devices.deny = b 8:* rwm\n" OWN_V1);
        devices_check("{\"devices\":[" DENY_ALL ",{\"allow\":true,\"type\":\"c\",\"major\":10,"
                      "\"access\":\"rw\"},{\"allow\":false,\"type\":\"c\",\"major\":10,\"minor\":3,"
                      "\"access\":\"w\"}]}",
                      "!devices[2]: 'c 10:3 w' makes an exception within the earlier 'c 10:* rw'");
}

static void test_devices_v2(void **state)
{
        AUTO_ARENA a = {};
        struct cgroup_plan p;
        struct err e = {};

        assert_int_equal(plan(&a, V2, "{}", NULL, 0, &p, &e), 0);
        assert_true(p.devices);
        assert_int_equal(p.n_rules, 10);
        assert_int_equal(p.n, 0);
        assert_int_equal(plan(&a, V2, "{\"devices\":[" ALLOW_ALL "]}", NULL, 0, &p, &e), 0);
        assert_false(p.devices);
        assert_int_equal(plan(&a, V2, "{}", NULL, CGROUP_PLAN_UPDATE, &p, &e), 0);
        assert_false(p.devices);
        assert_int_equal(
                plan(&a, V2, "{\"devices\":[" ALLOW_ALL "]}", NULL, CGROUP_PLAN_UPDATE, &p, &e), 0);
        assert_true(p.devices);
        assert_int_equal(plan(&a, BARE, "{}", NULL, 0, &p, &e), 0);
        assert_int_equal(p.warnings.n, 1);
}

/* ---- this host ---- */

static void test_apply(void **state)
{
        static const char json[] = "{\"memory\":{\"limit\":33554432},\"pids\":{\"limit\":7},"
                                   "\"cpu\":{\"shares\":512,\"quota\":20000,\"period\":50000}}";
        AUTO_ARENA a = {};
        struct cgroup_layout l;
        struct cgroup c;
        struct cgroup_plan p;
        struct cgroup_now now;
        struct spec_resources r;
        struct cgroup_fail f;
        struct err e = {};
        char value[64];

        assert_int_equal(cgroup_layout_read(&a, &l), 0);
        snprintf(value, sizeof value, "/berth-unit-plan-%d", getpid());
        assert_int_equal(cgroup_locate(&a, &l, value, &c), 0);
        if (geteuid() != 0 || !cgroup_version_of(&c, CGROUP_MEMORY) ||
            !cgroup_version_of(&c, CGROUP_PIDS) || !cgroup_version_of(&c, CGROUP_CPU)) {
                print_message("SKIP: needs root and the cpu, memory and pids controllers\n");
                skip();
        }
        assert_int_equal(spec_parse_resources(&a, json, strlen(json), &r, &e), 0);
        assert_int_equal(plan_cgroup_resources(&a, &c, &r, NULL, 0, &p, &e), 0);
        assert_int_equal(cgroup_create(&c, p.required, CGROUP_FRESH, &f), 0);
        if (cgroup_plan_apply(&c, &p, &e) < 0)
                fail_msg("%s", e.chain);
        cgroup_now_read(&c, &now);
        assert_int_equal(now.memory_limit, 33554432);
        assert_int_equal(now.cpu_quota, 20000);
        assert_int_equal(now.cpu_period, 50000);
        assert_true(cgroup_read(&c, CGROUP_PIDS, "pids.max", value, sizeof value) > 0);
        assert_string_equal(value, "7\n");

        /* What the kernel refuses names the field, the file and the way out. */
        r = (struct spec_resources){ .cpu = &(struct spec_cpu){ .cpus = "4095" } };
        if (cgroup_version_of(&c, CGROUP_CPUSET)) {
                assert_int_equal(
                        plan_cgroup_resources(&a, &c, &r, &now, CGROUP_PLAN_UPDATE, &p, &e), 0);
                assert_int_equal(cgroup_plan_apply(&c, &p, &e), -1);
                assert_non_null(
                        strstr(e.chain, "linux.resources.cpu.cpus: cannot write '4095' to '"));
                assert_non_null(strstr(e.chain, "/cpuset.cpus'"));
                if (!strstr(e.hint, "parent cgroup"))
                        fail_msg("%s; hint: %s", e.chain, e.hint);
        }
        assert_int_equal(cgroup_remove(&c, 1000, &f), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rows),       cmocka_unit_test(test_hybrid),
                cmocka_unit_test(test_update),     cmocka_unit_test(test_weights),
                cmocka_unit_test(test_devices_v1), cmocka_unit_test(test_devices_v2),
                cmocka_unit_test(test_apply),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
