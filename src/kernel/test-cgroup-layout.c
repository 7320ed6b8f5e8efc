/* Discovery, placing and the saved form, on texts from v1, v2 and hybrid hosts and from inside
 * nested containers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "kernel/cgroup-internal.h"

static const char hybrid_mounts[] =
        "23 1 254:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
        "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
        "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:7 - cgroup cgroup "
        "rw,cpu,cpuacct\n"
        "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
        "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
        "36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices\n"
        "38 31 0:35 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio\n"
        "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
static const char hybrid_self[] = "9:name=systemd:/user.slice\n"
                                  "7:blkio:/\n"
                                  "5:devices:/\n"
                                  "4:memory:/pod/a:b\n"
                                  "3:cpuset:/\n"
                                  "2:perf_event:/\n"
                                  "1:cpu,cpuacct:/\n"
                                  "0::/user.slice\n";

static void test_hybrid(void **state)
{
        AUTO_ARENA a = {};
        struct cgroup_layout l;

        assert_int_equal(cgroup_layout_parse(&a, hybrid_mounts, hybrid_self, "hugetlb misc\n", &l),
                         0);
        assert_int_equal(l.n, 7); /* perf_event is mounted nowhere */
        assert_false(cgroup_layout_unified(&l));
        assert_string_equal(l.v[l.of[CGROUP_CPU]].mount, "/sys/fs/cgroup/cpu,cpuacct");
        assert_int_equal(l.of[CGROUP_CPU], l.of[CGROUP_CPUACCT]);
        assert_string_equal(l.v[l.of[CGROUP_MEMORY]].self, "/pod/a:b");
        assert_true(l.v[l.of[CGROUP_HUGETLB]].v2);
        assert_true(l.v[l.of[CGROUP_MISC]].v2);
        assert_false(l.v[l.of[CGROUP_DEVICES]].v2);
        assert_int_equal(l.of[CGROUP_FREEZER], l.v2); /* no v1 freezer here: v2's core does it */
        assert_int_equal(l.of[CGROUP_PERF_EVENT], l.v2);
        assert_int_equal(l.of[CGROUP_PIDS], -1);
        assert_string_equal(l.v[l.v2].mount, "/sys/fs/cgroup/unified");
}

static void test_hybrid_places(void **state)
{
        AUTO_ARENA a = {};
        struct cgroup_layout l;
        struct cgroup c;

        cgroup_layout_parse(&a, hybrid_mounts, hybrid_self, "", &l);
        assert_int_equal(cgroup_locate(&a, &l, "/pod/./c1/", &c), 0);
        assert_string_equal(cgroup_dir_of(&c, CGROUP_CPU)->path,
                            "/sys/fs/cgroup/cpu,cpuacct/pod/c1");
        assert_string_equal(c.v[c.v2].path, "/sys/fs/cgroup/unified/pod/c1");
        assert_int_equal(cgroup_version_of(&c, CGROUP_MEMORY), 1);
        assert_int_equal(cgroup_version_of(&c, CGROUP_FREEZER), 2);
        assert_int_equal(cgroup_version_of(&c, CGROUP_RDMA), 0);

        /* Relative: below our own cgroup in each hierarchy. */
        assert_int_equal(cgroup_locate(&a, &l, "../../c1", &c), 0);
        assert_string_equal(cgroup_dir_of(&c, CGROUP_MEMORY)->path,
                            "/sys/fs/cgroup/memory/pod/a:b/c1");
        assert_string_equal(cgroup_dir_of(&c, CGROUP_CPU)->path, "/sys/fs/cgroup/cpu,cpuacct/c1");
        assert_string_equal(c.v[c.v2].path, "/sys/fs/cgroup/unified/user.slice/c1");
        assert_int_equal(cgroup_locate(&a, &l, "", &c), -EINVAL);
}

static void test_unified(void **state)
{
        static const char mounts[] =
                "24 1 0:22 / /sys rw - sysfs sysfs rw\n"
                "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 "
                "rw,nsdelegate,memory_recursiveprot\n"
                "99 24 0:26 /x /mnt/a\\040b rw - cgroup2 cgroup2 rw\n";
        AUTO_ARENA a = {};
        struct cgroup_layout l;
        struct cgroup c;

        cgroup_layout_parse(&a, mounts, "0::/user.slice/user-0.slice/session-1.scope\n",
                            "cpuset cpu io memory hugetlb pids rdma\n", &l);
        assert_true(cgroup_layout_unified(&l));
        assert_string_equal(l.v[0].mount, "/sys/fs/cgroup");
        assert_int_equal(l.of[CGROUP_CPUACCT], 0);
        assert_int_equal(l.of[CGROUP_DEVICES], 0);
        assert_int_equal(l.of[CGROUP_NET_CLS], -1);
        assert_int_equal(l.of[CGROUP_MISC], -1);
        assert_int_equal(cgroup_locate(&a, &l, "c1", &c), 0);
        assert_string_equal(c.v[0].path, "/sys/fs/cgroup/user.slice/user-0.slice/c1");
        assert_int_equal(cgroup_locate(&a, &l, "/c1", &c), 0);
        assert_string_equal(c.v[0].path, "/sys/fs/cgroup/c1");

        cgroup_layout_parse(&a, mounts, "0::/\n", "", &l);
        assert_int_equal(cgroup_locate(&a, &l, "c1", &c), 0);
        assert_string_equal(c.v[0].path, "/sys/fs/cgroup/c1");
}

/* In a container without a cgroup namespace only its own part is bind-mounted. */
static void test_nested(void **state)
{
        static const char mounts[] =
                "700 690 0:29 /docker/abc /sys/fs/cgroup/cpu ro,nosuid master:7 - cgroup cgroup "
                "rw,cpu\n"
                "701 690 0:38 /docker/abc /sys/fs/cgroup/unified ro - cgroup2 cgroup2 rw\n";
        AUTO_ARENA a = {};
        struct cgroup_layout l;
        struct cgroup c;

        cgroup_layout_parse(&a, mounts, "1:cpu:/docker/abc/inner\n0::/docker/abc\n", "", &l);
        assert_int_equal(l.n, 2);
        assert_string_equal(l.v[0].self, "/inner");
        assert_string_equal(l.v[1].self, "/");
        assert_int_equal(cgroup_locate(&a, &l, "c1", &c), 0);
        assert_string_equal(c.v[0].path, "/sys/fs/cgroup/cpu/inner/c1");
        assert_string_equal(c.v[1].path, "/sys/fs/cgroup/unified/c1");

        /* "/docker/abcd" is not below "/docker/abc". */
        cgroup_layout_parse(&a, mounts, "1:cpu:/docker/abcd\n", "", &l);
        assert_string_equal(l.v[0].self, "/");
}

static void test_odd_texts(void **state)
{
        static const char *const texts[] = {
                "",
                "\n\n",
                " - cgroup",
                "1 2 - cgroup",
                "a b c d e - cgroup x",
                " - cgroup2 a b",
                "1 2 0:1 / /m rw - cgroup",
                "1 2 0:1 / /m rw - cgroup2 none",
        };
        AUTO_ARENA a = {};
        struct cgroup_layout l;
        struct cgroup c;

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                assert_int_equal(cgroup_layout_parse(&a, texts[i], "x\n1:\n0::/\n1:cpu:/", "", &l),
                                 0);
                assert_int_equal(l.n, 0);
                assert_int_equal(l.v2, -1);
                assert_int_equal(cgroup_locate(&a, &l, "/x", &c), 0);
                assert_int_equal(cgroup_version_of(&c, CGROUP_DEVICES), 0);
        }
}

static void test_state(void **state)
{
        static const char *const bad[] = {
                "x",
                "2 0 0 - /m / ",
                "3 0 0 - /m / /m/x",
                "2 0 0 - /m / /n/x",
                "2 0 0 - /m / /m/../x",
                "2 -1 0 - /m / /m/x",
                "2 0 0 - /m / /m/x y",
                "2 0 0 - /m / /m/..",
        };
        AUTO_ARENA a = {};
        AUTO_BUF text = {}, again = {};
        struct cgroup_layout l;
        struct cgroup c, back;

        cgroup_layout_parse(&a, hybrid_mounts, hybrid_self, "hugetlb\n", &l);
        cgroup_locate(&a, &l, "/a b\\c\n/x", &c);
        c.v[2].made = 3;
        cgroup_encode(&c, &text);
        assert_int_equal(cgroup_decode(&a, buf_str(&text), &back), 0);
        assert_int_equal(back.n, c.n);
        assert_int_equal(back.v2, c.v2);
        assert_memory_equal(back.of, c.of, sizeof c.of);
        assert_string_equal(back.v[c.v2].path, c.v[c.v2].path);
        assert_int_equal(back.v[2].made, 3);
        cgroup_encode(&back, &again);
        assert_string_equal(buf_str(&text), buf_str(&again));
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (cgroup_decode(&a, bad[i], &back) != -EINVAL)
                        fail_msg("accepted: %s", bad[i]);
        assert_int_equal(cgroup_decode(&a, "", &back), 0);
        assert_int_equal(back.n, 0);
        assert_int_equal(back.of[CGROUP_CPU], -1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hybrid),    cmocka_unit_test(test_hybrid_places),
                cmocka_unit_test(test_unified),   cmocka_unit_test(test_nested),
                cmocka_unit_test(test_odd_texts), cmocka_unit_test(test_state),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
