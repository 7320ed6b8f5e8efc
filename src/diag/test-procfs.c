/* The parsers, on texts from kernels 6.1 and 6.18 and on what a hostile process can make of
 * them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "diag/procfs.h"

#define assert_num(n, value)                                                                       \
        do {                                                                                       \
                struct num n_ = (n);                                                               \
                assert_int_equal(n_.is, NUM_KNOWN);                                                \
                assert_int_equal(n_.v, value);                                                     \
        } while (0)

static void test_stat(void **state)
{
        struct stat_line s;

        assert_true(
                procfs_stat("24620 (nginx) S 24600 24620 24620 0 -1 4194560 1 2 3 4 15 7 0 0 20 "
                            "0 1 0 203375 1 2 3\n",
                            &s));
        assert_int_equal(s.state, 'S');
        assert_int_equal(s.parent, 24600);
        assert_int_equal(s.flags, 4194560);
        assert_int_equal(s.utime, 15);
        assert_int_equal(s.stime, 7);
        assert_int_equal(s.start, 203375);
        /* A name may look like the rest of the line. */
        assert_true(procfs_stat(
                "7 (a) R 1 2 3 (\n) b) Z 5 6 7 0 -1 0 1 2 3 4 8 9 0 0 20 0 1 0 42 0\n", &s));
        assert_int_equal(s.state, 'Z');
        assert_int_equal(s.parent, 5);
        assert_int_equal(s.start, 42);
        assert_false(procfs_stat("7 (a) R 1 2", &s));
        assert_false(procfs_stat("", &s));
        assert_false(procfs_stat("7 (a) R x 6 7 0 -1 0 1 2 3 4 8 9 0 0 20 0 1 0 42 0\n", &s));
}

static const char status[] = "Name:\tev\\nil\n"
                             "NSpid:\t24620\t1\n"
                             "VmRSS:\t    1704 kB\n"
                             "Threads:\t3\n"
                             "NoNewPrivs:\t1\n"
                             "Broken:\tx\n"
                             "Cpus_allowed_list:\t0-1\n";

static void test_fields(void **state)
{
        struct span f = text_field(status, "Name", ':');

        assert_true(span_eq(f, "ev\\nil"));
        assert_num(text_num(status, "VmRSS", ':'), 1704 * 1024);
        assert_num(text_num(status, "Threads", ':'), 3);
        assert_int_equal(text_num(status, "Broken", ':').is, NUM_BAD);
        assert_int_equal(text_num(status, "VmSwap", ':').is, NUM_ABSENT);
        assert_int_equal(text_num(status, "Thread", ':').is, NUM_ABSENT); /* no prefix match */
        assert_int_equal(text_num("limit max\n", "limit", ' ').is, NUM_MAX);
        assert_int_equal(text_num("v 18446744073709551616\n", "v", ' ').is, NUM_BAD);
}

static void test_one(void **state)
{
        assert_num(text_one("18446744073709551615\n"), UINT64_MAX);
        assert_int_equal(text_one("max\n").is, NUM_MAX);
        assert_int_equal(text_one("-1\n").is, NUM_BAD);
        assert_int_equal(text_one("1 2\n").is, NUM_BAD);
        assert_int_equal(text_one("").is, NUM_BAD);
}

static void test_cgroup(void **state)
{
        struct span at = span_of("9:name=systemd:/user.slice\n"
                                 "garbage\n"
                                 "1:cpu,cpuacct:/a:b/c\n"
                                 "0::/x (deleted)\n");
        struct cgroup_line c;

        assert_true(procfs_cgroup_next(&at, &c));
        assert_int_equal(c.id, 9);
        assert_true(span_eq(c.controllers, "name=systemd"));
        assert_true(procfs_cgroup_next(&at, &c));
        assert_true(span_eq(c.path, "/a:b/c")); /* colons are fine in a path */
        assert_true(procfs_cgroup_next(&at, &c));
        assert_int_equal(c.id, 0);
        assert_int_equal(c.controllers.n, 0);
        assert_true(span_eq(c.path, "/x (deleted)"));
        assert_false(procfs_cgroup_next(&at, &c));
}

static void test_mounts(void **state)
{
        AUTO_ARENA a = { 0 };
        struct span at = span_of(
                "160 159 254:0 /tmp/a\\040b /data\\012x ro,relatime shared:7 master:3 unbindable - "
                "ext4 /dev/vda rw,discard\n"
                "nonsense\n"
                "161 159 0:63 / / rw - overlay  rw,lowerdir=/l1:/l\\0722,upperdir=/u\n"
                "162 159 0:64 / /t rw - tmpfs tmpfs\n");
        struct mount_line m;
        size_t bad = 0;

        assert_true(procfs_mount_next(&a, &at, &m, &bad));
        assert_int_equal(m.id, 160);
        assert_int_equal(m.parent, 159);
        assert_int_equal(m.major, 254);
        assert_string_equal(m.root, "/tmp/a b");
        assert_string_equal(m.point, "/data\nx");
        assert_int_equal(m.shared, 7);
        assert_int_equal(m.master, 3);
        assert_true(m.unbindable);
        assert_string_equal(m.super, "rw,discard");
        assert_true(procfs_mount_next(&a, &at, &m, &bad));
        assert_string_equal(m.source, ""); /* an empty source keeps its place */
        assert_string_equal(m.type, "overlay");
        assert_string_equal(m.super, "rw,lowerdir=/l1:/l:2,upperdir=/u");
        assert_true(procfs_mount_next(&a, &at, &m, &bad));
        assert_string_equal(m.super, "");
        assert_false(procfs_mount_next(&a, &at, &m, &bad));
        assert_int_equal(bad, 1);
}

static void test_options(void **state)
{
        AUTO_ARENA a = { 0 };
        const char *o = "rw,lowerdir+=/a,lowerdir+=/b\\,c,upperdir=/u,noexec";

        assert_true(options_have(o, "noexec"));
        assert_false(options_have(o, "exec"));
        assert_string_equal(options_value(&a, o, "upperdir", 0), "/u");
        assert_string_equal(options_value(&a, o, "lowerdir+", 0), "/a");
        assert_string_equal(options_value(&a, o, "lowerdir+", 1), "/b,c");
        assert_null(options_value(&a, o, "lowerdir+", 2));
        assert_null(options_value(&a, o, "lowerdir", 0));
        assert_null(options_value(&a, "trailing\\", "x", 0));
}

static void test_maps(void **state)
{
        AUTO_ARENA a = { 0 };
        struct id_map m = procfs_id_map(&a, "         0     100000      65536\n"
                                            "     65536       1000          1\n");

        assert_int_equal(m.n, 2);
        assert_false(m.identity);
        assert_num(id_map_inside(&m, 100007), 7);
        assert_num(id_map_inside(&m, 1000), 65536);
        assert_int_equal(id_map_inside(&m, 0).is, NUM_ABSENT);
        assert_int_equal(id_map_inside(&m, 165536).is, NUM_ABSENT);
        m = procfs_id_map(&a, "0 0 4294967295\n");
        assert_true(m.identity);
        assert_num(id_map_inside(&m, 4294967294u), 4294967294u);
}

static void test_limits(void **state)
{
        static const char text[] =
                "Limit                     Soft Limit           Hard Limit           Units     \n"
                "Max open files            1024                 524288               files     \n"
                "Max nice priority         0                    0                    \n"
                "Max address space         unlimited            unlimited            bytes     \n";
        struct num soft, hard;

        assert_true(procfs_limit(text, "Max open files", &soft, &hard));
        assert_num(soft, 1024);
        assert_num(hard, 524288);
        assert_true(procfs_limit(text, "Max address space", &soft, &hard));
        assert_int_equal(hard.is, NUM_MAX);
        assert_false(procfs_limit(text, "Max cpu time", &soft, &hard));
}

static void test_psi(void **state)
{
        static const char text[] = "some avg10=22.50 avg60=1.00 avg300=0.07 total=10137255\n"
                                   "full avg10=0.00 avg60=0.00 avg300=x total=0\n";
        struct psi_line p = procfs_psi(text, "some");

        assert_num(p.avg10, 2250);
        assert_num(p.avg300, 7);
        assert_num(p.total_us, 10137255);
        p = procfs_psi(text, "full");
        assert_num(p.avg10, 0);
        assert_int_equal(p.avg300.is, NUM_BAD);
        p = procfs_psi("", "some");
        assert_int_equal(p.avg10.is, NUM_ABSENT); /* never 0 */
}

static void test_cpus(void **state)
{
        assert_num(cpu_list_count(span_of("0-3,7")), 5);
        assert_num(cpu_list_count(span_of("0")), 1);
        assert_int_equal(cpu_list_count(span_of("3-1")).is, NUM_BAD);
        assert_int_equal(cpu_list_count(span_of("0-99999999999")).is, NUM_BAD);
        assert_int_equal(cpu_list_count(span_of("")).is, NUM_BAD);
}

static void test_time(void **state)
{
        int64_t secs;
        uint32_t ns;

        assert_true(procfs_time_offset("monotonic  -86400  5\nboottime 604800 0\n", "monotonic",
                                       &secs, &ns));
        assert_int_equal(secs, -86400);
        assert_int_equal(ns, 5);
        assert_false(procfs_time_offset("monotonic 1\n", "monotonic", &secs, &ns));
}

static void test_args(void **state)
{
        AUTO_ARENA a = { 0 };
        const char **args;
        char many[200];
        bool cut = false;

        assert_int_equal(procfs_args(&a, "sh\0-c\0\0x", 8, &args, &cut), 4);
        assert_string_equal(args[1], "-c");
        assert_string_equal(args[2], "");
        assert_string_equal(args[3], "x"); /* not ended: the buffer was full */
        assert_false(cut);
        memset(many, 0, sizeof many);
        assert_int_equal(procfs_args(&a, many, sizeof many, &args, &cut), FACTS_ARGS_MAX);
        assert_true(cut);
}

static void test_io(void **state)
{
        struct num read, write;

        procfs_io_v1("254:0 Read 4096\n254:0 Write 100\n254:0 Sync 1\n7:0 Read 4\nTotal 4200\n",
                     &read, &write);
        assert_num(read, 4100);
        assert_num(write, 100);
        procfs_io_v2("254:0 rbytes=10 wbytes=20 rios=1\n7:0 rbytes=1 wbytes=18446744073709551615\n",
                     &read, &write);
        assert_num(read, 11);
        assert_int_equal(write.is, NUM_BAD); /* overflow is no number */
}

static void test_devices(void **state)
{
        AUTO_ARENA a = { 0 };
        struct device_fact *d;
        bool all;

        assert_int_equal(procfs_devices(&a, "c *:* m\nc 1:3 rwm\nb 8:* r\nx\n", &d, &all), 3);
        assert_false(all);
        assert_int_equal(d[0].major, -1);
        assert_string_equal(d[0].access, "m");
        assert_int_equal(d[1].minor, 3);
        assert_int_equal(d[2].type, 'b');
        procfs_devices(&a, "a *:* rwm\n", &d, &all);
        assert_true(all);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_stat),   cmocka_unit_test(test_fields),
                cmocka_unit_test(test_one),    cmocka_unit_test(test_cgroup),
                cmocka_unit_test(test_mounts), cmocka_unit_test(test_options),
                cmocka_unit_test(test_maps),   cmocka_unit_test(test_limits),
                cmocka_unit_test(test_psi),    cmocka_unit_test(test_cpus),
                cmocka_unit_test(test_time),   cmocka_unit_test(test_args),
                cmocka_unit_test(test_io),     cmocka_unit_test(test_devices),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
