/* The document that `spec` writes is one that we accept, and holds what it should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"
#include "oci/spec-default.h"
#include "oci/spec.h"

static void make(struct arena *a, const struct spec_default_input *in, struct spec *ret)
{
        AUTO_BUF b = { 0 };
        struct err e = { 0 };

        spec_default_write(in, &b);
        if (spec_parse(a, b.s, b.len, ret, &e) < 0)
                fail_msg("%s", e.chain);
}

static const struct spec_mount *find_mount(const struct spec *s, const char *destination)
{
        for (size_t i = 0; i < s->n_mounts; i++)
                if (str_eq(s->mounts[i].destination, destination))
                        return &s->mounts[i];
        return NULL;
}

static bool has(const struct strings *list, const char *s)
{
        for (size_t i = 0; i < list->n; i++)
                if (str_eq(list->v[i], s))
                        return true;
        return false;
}

static void check_namespaces(const struct spec *s, unsigned expected)
{
        for (int ns = 0; ns < NS_MAX; ns++) {
                assert_int_equal(s->linux_.namespaces[ns].present, expected >> ns & 1);
                assert_null(s->linux_.namespaces[ns].path);
        }
}

static void test_common(void **state)
{
        for (int rootless = 0; rootless < 2; rootless++) {
                AUTO_ARENA a = { 0 };
                struct spec s;

                make(&a, &(struct spec_default_input){ .rootless = rootless }, &s);
                assert_string_equal(s.oci_version, "1.3.0");
                assert_string_equal(s.root.path, "rootfs");
                assert_true(s.root.readonly);
                assert_string_equal(s.hostname, "berth");
                assert_true(s.process->terminal);
                assert_true(s.process->no_new_privileges);
                assert_int_equal(s.process->args.n, 1);
                assert_string_equal(s.process->args.v[0], "sh");
                assert_int_equal(s.process->capabilities->bounding.n, 3);
                assert_int_equal(s.process->capabilities->effective.n, 3);
                assert_int_equal(s.process->capabilities->permitted.n, 3);
                assert_int_equal(s.process->capabilities->ambient.n, 0);
                assert_int_equal(s.process->n_rlimits, 1);
                assert_int_equal(s.process->rlimits[0].hard, 1024);
                assert_int_equal(s.n_mounts, 7);
                assert_int_equal(s.linux_.masked_paths.n, 10);
                assert_int_equal(s.linux_.readonly_paths.n, 5);
                assert_int_equal(find_mount(&s, "/proc")->options.n, 0);
                assert_true(has(&find_mount(&s, "/dev")->options, "size=65536k"));
        }
}

static void test_root(void **state)
{
        AUTO_ARENA a = { 0 };
        struct spec s;

        make(&a, &(struct spec_default_input){ 0 }, &s);
        check_namespaces(&s, 1 << NS_PID | 1 << NS_NET | 1 << NS_IPC | 1 << NS_UTS | 1 << NS_MOUNT);
        assert_int_equal(s.linux_.resources->n_devices, 1);
        assert_false(s.linux_.resources->devices[0].allow);
        assert_string_equal(find_mount(&s, "/sys")->type, "sysfs");
        assert_true(has(&find_mount(&s, "/dev/pts")->options, "gid=5"));

        make(&a, &(struct spec_default_input){ .cgroup_namespace = true }, &s);
        assert_true(s.linux_.namespaces[NS_CGROUP].present);
}

static void test_rootless(void **state)
{
        AUTO_ARENA a = { 0 };
        struct spec s;

        make(&a, &(struct spec_default_input){ .rootless = true, .uid = 1000, .gid = 100 }, &s);
        check_namespaces(&s,
                         1 << NS_PID | 1 << NS_USER | 1 << NS_IPC | 1 << NS_UTS | 1 << NS_MOUNT);
        assert_null(s.linux_.resources);
        assert_int_equal(s.linux_.uid_mappings.v[0].host_id, 1000);
        assert_int_equal(s.linux_.gid_mappings.v[0].host_id, 100);
        assert_int_equal(s.linux_.gid_mappings.v[0].size, 1);
        assert_string_equal(find_mount(&s, "/sys")->source, "/sys");
        assert_true(has(&find_mount(&s, "/sys")->options, "rbind"));
        assert_false(has(&find_mount(&s, "/dev/pts")->options, "gid=5"));
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_common),
                cmocka_unit_test(test_root),
                cmocka_unit_test(test_rootless),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
