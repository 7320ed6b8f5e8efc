/* Unit names, properties and annotations as the helper's lines (pure), and the client against a
 * helper made of shell. systemd itself is asked in the test VM. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/str.h"
#include "oci/systemd.h"

static void test_units(void **state)
{
        static const struct {
                const char *path;
                bool user;
                const char *slice, *name; /* slice NULL: refused */
        } rows[] = {
                { NULL, false, "system.slice", "berth-id.scope" },
                { "", true, "user.slice", "berth-id.scope" },
                { "a-b.slice:cri:x", false, "a-b.slice", "cri-x.scope" },
                { ":cri:x", true, "user.slice", "cri-x.scope" },
                { "::x", false, "system.slice", "x.scope" },
                { "m.slice:p:y.slice", false, "m.slice", "y.slice" },
                { "/a/b", false, NULL, NULL },
                { "a:b", false, NULL, NULL },
                { "a.slice:b:", false, NULL, NULL },
                { "a.slice:b:c:d", false, NULL, NULL },
                { "noslice:b:c", false, NULL, NULL },
                { "a.slice:b:c/d", false, NULL, NULL },
        };
        AUTO_ARENA a = {};
        struct systemd_unit u;
        struct err e;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                int r = systemd_unit_parse(&a, rows[i].path, "id", rows[i].user, &u, &e);

                assert_int_equal(r, rows[i].slice ? 0 : -1);
                if (r < 0)
                        continue;
                assert_string_equal(u.slice, rows[i].slice);
                assert_string_equal(u.name, rows[i].name);
        }
}

static void test_slices(void **state)
{
        static const char *const rows[][2] = {
                { "system.slice", "/system.slice" },
                { "a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice" },
                { "-.slice", "/" },
                { ".slice", NULL },
                { "-a.slice", NULL },
                { "a--b.slice", NULL },
                { "a-.slice", NULL },
                { "a.scope", NULL },
        };
        AUTO_ARENA a = {};
        const char *path;
        struct err e;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                int r = systemd_slice_expand(&a, rows[i][0], &path, &e);

                assert_int_equal(r, rows[i][1] ? 0 : -1);
                if (r == 0)
                        assert_string_equal(path, rows[i][1]);
        }
}

static void properties_check(bool v2, const char *json, const char *expect)
{
        static const char devices[] = "Character devices:\n  1 mem\n 10 misc\n136 pts\n\n"
                                      "Block devices:\n259 blkext\n";
        AUTO_ARENA a = {};
        AUTO_BUF out = {};
        struct cgroup_layout l;
        struct cgroup c;
        struct spec_resources r;
        struct cgroup_plan p;
        struct err e = {};

        if (v2)
                cgroup_layout_parse(&a, "1 0 0:1 / /c rw - cgroup2 cgroup2 rw\n", "0::/\n",
                                    "cpuset cpu io memory pids", &l);
        else
                cgroup_layout_parse(&a,
                                    "1 0 0:1 / /m rw - cgroup c rw,memory\n"
                                    "1 0 0:1 / /c rw - cgroup c rw,cpu\n",
                                    "1:memory:/\n2:cpu:/\n", NULL, &l);
        cgroup_locate(&a, &l, "/x", &c);
        if (spec_parse_resources(&a, json, strlen(json), &r, &e) < 0 ||
            plan_cgroup_resources(&a, &c, &r, NULL,
                                  strstr(json, "devices") ? 0 : CGROUP_PLAN_NO_DEVICES, &p, &e) < 0)
                fail_msg("%s: %s", json, e.chain);
        assert_int_equal(systemd_properties(&p, devices, &out, &e), 0);
        assert_string_equal(buf_str(&out), expect);
}

static void test_properties(void **state)
{
        properties_check(true,
                         "{\"memory\":{\"limit\":1000,\"swap\":3000,\"reservation\":-1},"
                         "\"pids\":{\"limit\":0},\"cpu\":{\"shares\":1024,\"quota\":33333,"
                         "\"period\":50000,\"cpus\":\"0,9\",\"mems\":\"0\"}}",
                         "property? AllowedCPUs ay 0102\nproperty? AllowedMemoryNodes ay 01\n"
                         "property? CPUWeight t 100\nproperty? MemorySwapMax t 2000\n"
                         "property? MemoryMax t 1000\n"
                         "property? MemoryLow t 18446744073709551615\n"
                         "property? TasksMax t 1\nproperty? CPUQuotaPeriodUSec t 50000\n"
                         "property? CPUQuotaPerSecUSec t 670000\n");
        properties_check(false,
                         "{\"memory\":{\"limit\":1000},\"cpu\":{\"shares\":7,\"quota\":200000}}",
                         "property? CPUShares t 7\nproperty? MemoryLimit t 1000\n"
                         "property? CPUQuotaPerSecUSec t 2000000\n");
        properties_check(true, "{\"cpu\":{\"idle\":1,\"quota\":-1}}",
                         "property? CPUWeight t 0\n"
                         "property? CPUQuotaPerSecUSec t 18446744073709551615\n");
        properties_check(true,
                         "{\"unified\":{\"memory.high\":\"5\",\"memory.oom.group\":\"1\","
                         "\"cpu.max\":\"max 100000\",\"io.max\":\"8:0 rbps=1\"}}",
                         "property? MemoryHigh t 5\nproperty? OOMPolicy s kill\n"
                         "property? CPUQuotaPeriodUSec t 100000\n"
                         "property? CPUQuotaPerSecUSec t 18446744073709551615\n");
}

#define OWN_DEVICES                                                                                \
        " char-* m block-* m /dev/char/1:3 rwm /dev/char/1:5 rwm /dev/char/1:7 rwm"                \
        " /dev/char/1:8 rwm /dev/char/1:9 rwm /dev/char/5:0 rwm /dev/char/5:2 rwm char-pts rwm\n"

static void test_devices(void **state)
{
        properties_check(true,
                         "{\"devices\":[{\"allow\":false,\"access\":\"rwm\"},"
                         "{\"allow\":true,\"type\":\"c\",\"major\":10,\"access\":\"rw\"},"
                         "{\"allow\":true,\"type\":\"b\",\"major\":259,\"minor\":1,"
                         "\"access\":\"r\"},"
                         "{\"allow\":true,\"type\":\"c\",\"major\":77,\"access\":\"r\"}]}",
                         "property DevicePolicy s strict\n"
                         "property DeviceAllow a(ss) char-misc rw /dev/block/259:1 r" OWN_DEVICES);
        properties_check(true, "{\"devices\":[{\"allow\":true,\"access\":\"rwm\"}]}", "");
}

static void test_annotations(void **state)
{
        static const char *const rows[][2] = {
                { "'a b%'", "property Xyz s a%20b%25\n" },
                { "\"q\\\"\"", "property Xyz s q\"\n" },
                { "''", "property Xyz s %\n" },
                { "true", "property Xyz b 1\n" },
                { "boolean false", "property Xyz b 0\n" },
                { "-5", "property Xyz i -5\n" },
                { "uint64 5", "property Xyz t 5\n" },
                { "@t 5", "property Xyz t 5\n" },
                { "1.5", "property Xyz d 1.5\n" },
                { "['a', 'b c']", "property Xyz as a b%20c\n" },
                { "[uint32 1, 2]", "property Xyz au 1 2\n" },
                { "@as []", "property Xyz as\n" },
                { "[]", NULL },
                { "'open", NULL },
                { "5 6", NULL },
                { "uint64 -5", NULL },
                { "uint64 'x'", NULL },
                { "[1, 'a']", NULL },
                { "@", NULL },
                { "@z 1", NULL },
                { "", NULL },
                { "nonsense", NULL },
                { "['a'", NULL },
                { "['a' 'b']", NULL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                AUTO_BUF out = {};
                struct key_value pair = { "org.systemd.property.Xyz", rows[i][0] };
                struct key_values all = { &pair, 1 };
                struct err e;
                int r = systemd_annotations(&all, &out, &e);

                if (r != (rows[i][1] ? 0 : -1))
                        fail_msg("%s: %d", rows[i][0], r);
                if (r == 0)
                        assert_string_equal(buf_str(&out), rows[i][1]);
        }
}

static void test_annotation_names(void **state)
{
        struct key_value pairs[] = { { "other", "x" },
                                     { "org.systemd.property.TimeoutStopSec", "uint64 5" },
                                     { "org.systemd.property.JobTimeoutUSec", "uint64 5" } };
        struct key_values all = { pairs, 3 };
        AUTO_BUF out = {};
        struct err e;

        assert_int_equal(systemd_annotations(&all, &out, &e), 0);
        assert_string_equal(buf_str(&out), "property TimeoutStopUSec t 5000000\n"
                                           "property JobTimeoutUSec t 5\n");
        pairs[0] = (struct key_value){ "org.systemd.property.Bad Name", "true" };
        assert_int_equal(systemd_annotations(&all, &out, &e), -1);
        pairs[0] = (struct key_value){ "org.systemd.property.FooSec", "'text'" };
        assert_int_equal(systemd_annotations(&all, &out, &e), -1);
}

/* ---- the client ---- */

static char helper_dir[] = "/tmp/berth-test-systemd-XXXXXX";

/* A helper that keeps the request and then does what body says. */
static void helper_make(const char *body)
{
        char path[128], text[1024];
        int fd;

        snprintf(path, sizeof path, "%s/berth-systemd", helper_dir);
        snprintf(text, sizeof text, "#!/bin/sh\ncat >%s/request\n%s\n", helper_dir, body);
        unlink(path);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
        close(fd);
}

static void test_client(void **state)
{
        struct systemd_start s = { .unit = { "a.slice", "x.scope", false },
                                   .id = "x",
                                   .pid = 42,
                                   .properties = "property MemoryMax t 5\n" };
        AUTO_ARENA a = {};
        char request[2048], path[128];
        const char *group;
        struct err e = {};

        assert_non_null(mkdtemp(helper_dir));
        setenv("BERTH_LIBEXEC", helper_dir, 1);
        helper_make("echo ControlGroup=/a.slice/x.scope");
        if (systemd_start(&a, &s, &group, &e) < 0)
                fail_msg("%s", e.chain);
        assert_string_equal(group, "/a.slice/x.scope");
        snprintf(path, sizeof path, "%s/request", helper_dir);
        assert_true(fd_read_text_at(AT_FDCWD, path, request, sizeof request) > 0);
        assert_string_equal(request,
                            "verb start\nbus system\ntimeout 30000\nunit x.scope\n"
                            "property Description s berth%20container%20x\n"
                            "property Slice s a.slice\nproperty Delegate b 1\n"
                            "property PIDs au 42\nproperty CPUAccounting b 1\n"
                            "property MemoryAccounting b 1\nproperty IOAccounting b 1\n"
                            "property TasksAccounting b 1\nproperty DefaultDependencies b 0\n"
                            "property MemoryMax t 5\n");
        helper_make("echo 'no such thing' >&2; echo 'hint: Do this.' >&2; exit 5");
        assert_int_equal(systemd_stop(&s.unit, &e), -1);
        assert_int_equal(e.code, ERR_NOT_FOUND);
        assert_string_equal(e.chain, "cannot stop systemd unit 'x.scope': no such thing");
        assert_string_equal(e.hint, "Do this.");
        helper_make("kill -9 $$");
        assert_int_equal(systemd_stop(&s.unit, &e), -1);
        assert_non_null(strstr(e.chain, "signal 9"));
        helper_make("exit 0");
        assert_int_equal(systemd_start(&a, &s, &group, &e), -1);
        assert_non_null(strstr(e.chain, "did not name the cgroup"));
}

/* One that never answers costs the timeout, not the caller's life. */
static void test_client_timeout(void **state)
{
        struct systemd_start s = {
                .unit = { "a.slice", "x.scope", false }, .id = "x", .pid = 42, .timeout_ms = 100
        };
        AUTO_ARENA a = {};
        struct timespec t[2];
        const char *group;
        char path[128];
        struct err e = {};

        helper_make("exec sleep 60");
        clock_gettime(CLOCK_MONOTONIC, &t[0]);
        assert_int_equal(systemd_start(&a, &s, &group, &e), -1);
        clock_gettime(CLOCK_MONOTONIC, &t[1]);
        assert_int_equal(e.code, ERR_LIMIT);
        assert_true(t[1].tv_sec - t[0].tv_sec < 15);
        snprintf(path, sizeof path, "%s/request", helper_dir);
        unlink(path);
        snprintf(path, sizeof path, "%s/berth-systemd", helper_dir);
        unlink(path);
        rmdir(helper_dir);
        assert_int_equal(systemd_stop(&s.unit, &e), -1);
        assert_non_null(strstr(e.chain, "berth-systemd', which speaks to systemd"));
        assert_non_null(strstr(e.hint, "BERTH_LIBEXEC"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_units),       cmocka_unit_test(test_slices),
                cmocka_unit_test(test_properties),  cmocka_unit_test(test_devices),
                cmocka_unit_test(test_annotations), cmocka_unit_test(test_annotation_names),
                cmocka_unit_test(test_client),      cmocka_unit_test(test_client_timeout),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
