/* The features document tells the truth: each name that it lists is accepted in a config.json. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"
#include "codec/json.h"
#include "kernel/caps.h"
#include "kernel/mount.h"
#include "oci/features.h"
#include "oci/spec.h"

static void make(struct arena *a, struct json *ret)
{
        static const char *const unsafe[] = { "org.example.", NULL };
        AUTO_BUF b = { 0 };

        features_write(&(struct features_input){ .version = "9.8.7",
                                                 .systemd = true,
                                                 .unsafe_annotations = unsafe },
                       &b);
        assert_int_equal(b.s[b.len - 1], '\n');
        assert_int_equal(json_parse(a, b.s, b.len, NULL, ret, NULL), 0);
}

/* Each name of the list at path makes, through format, a config.json that is accepted; its %s is
 * the name. A made up name is refused there, so that the format can be trusted. */
static void accepts_all(const struct json *features, const char *path, const char *before,
                        const char *after, size_t at_least)
{
        const struct json *list = json_path(features, path);

        assert_non_null(list);
        assert_int_equal(list->type, JSON_ARRAY);
        if (list->n < at_least)
                fail_msg("%s lists %u names", path, list->n);
        for (uint32_t i = 0; i <= list->n; i++) {
                const char *name = i < list->n ? list->items[i].s : "NO_SUCH_NAME";
                AUTO_ARENA a = { 0 };
                const char *text =
                        arena_printf(&a,
                                     "{\"root\":{\"path\":\"r\"},\"process\":{\"cwd\":\"/\","
                                     "\"args\":[\"x\"]},%s%s%s}",
                                     before, name, after);
                struct err e = { 0 };
                struct spec s;
                int r = spec_parse(&a, text, strlen(text), &s, &e);

                if ((r == 0) != (i < list->n))
                        fail_msg("%s: %s: %s", path, name, r < 0 ? e.chain : "accepted");
        }
}

static void test_names_are_accepted(void **state)
{
        AUTO_ARENA a = { 0 };
        struct json f;

        make(&a, &f);
        accepts_all(&f, "linux.seccomp.operators",
                    "\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{"
                    "\"names\":[\"read\"],\"action\":\"SCMP_ACT_KILL\",\"args\":[{\"index\":0,"
                    "\"op\":\"",
                    "\"}]}]}}", 7);
        accepts_all(&f, "linux.seccomp.actions",
                    "\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":"
                    "\"/l\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"",
                    "\"}]}}", 9);
        accepts_all(&f, "linux.seccomp.archs",
                    "\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\","
                    "\"architectures\":[\"",
                    "\"]}}", 17);
        accepts_all(&f, "linux.seccomp.knownFlags",
                    "\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"",
                    "\"]}}", 4);
        accepts_all(
                &f, "linux.memoryPolicy.flags",
                "\"linux\":{\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"0\",\"flags\":[\"",
                "\"]}}", 3);
        accepts_all(&f, "linux.namespaces",
                    "\"linux\":{\"namespaces\":[{\"path\":\"/p\",\"type\":\"", "\"}]}", 8);
}

static bool lists(const struct json *f, const char *path, const char *name)
{
        const struct json *list = json_path(f, path);

        for (uint32_t i = 0; list && i < list->n; i++)
                if (str_eq(list->items[i].s, name))
                        return true;
        return false;
}

static void test_names_are_listed(void **state)
{
        AUTO_ARENA a = { 0 };
        struct json f;

        make(&a, &f);
        for (unsigned i = 0; i < CAPS_MAX; i++)
                assert_true(lists(&f, "linux.capabilities", caps_name(i)));
        for (int i = 0; i < HOOK_MAX; i++)
                assert_true(lists(&f, "hooks", spec_hook_names[i]));
        for (const struct mount_opt *o = mount_opts; o->name; o++)
                assert_true(lists(&f, "mountOptions", o->name));
        assert_true(lists(&f, "mountOptions", "ridmap"));
        assert_true(lists(&f, "linux.memoryPolicy.modes", "MPOL_WEIGHTED_INTERLEAVE"));
        assert_true(lists(&f, "linux.memoryPolicy.modes", "MPOL_LOCAL"));
        assert_true(lists(&f, "linux.seccomp.supportedFlags", "SECCOMP_FILTER_FLAG_LOG"));
        assert_true(lists(&f, "potentiallyUnsafeConfigAnnotations", "org.example."));
}

static void test_flags(void **state)
{
        static const struct {
                const char *path;
                bool value;
        } cases[] = {
                { "linux.cgroup.v1", true },
                { "linux.cgroup.v2", true },
                { "linux.cgroup.systemd", true },
                { "linux.cgroup.systemdUser", false },
                { "linux.cgroup.rdma", true },
                { "linux.seccomp.enabled", true },
                { "linux.apparmor.enabled", true },
                { "linux.selinux.enabled", true },
                { "linux.intelRdt.enabled", true },
                { "linux.intelRdt.schemata", true },
                { "linux.intelRdt.monitoring", true },
                { "linux.mountExtensions.idmap.enabled", true },
                { "linux.netDevices.enabled", true },
        };
        AUTO_ARENA a = { 0 };
        const struct json *annotations;
        struct json f;

        make(&a, &f);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const struct json *j = json_path(&f, cases[i].path);

                if (!j || j->type != JSON_BOOL || j->b != cases[i].value)
                        fail_msg("%s", cases[i].path);
        }
        assert_string_equal(json_str(json_get(&f, "ociVersionMin"), ""), "1.0.0");
        assert_string_equal(json_str(json_get(&f, "ociVersionMax"), ""), "1.3.0");
        annotations = json_get(&f, "annotations");
        assert_string_equal(json_str(json_get(annotations, "org.berth.version"), ""), "9.8.7");
        assert_null(json_get(annotations, "org.berth.commit"));
        assert_int_equal(
                json_str(json_get(annotations, "io.github.seccomp.libseccomp.version"), "")[0],
                '2');
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names_are_accepted),
                cmocka_unit_test(test_names_are_listed),
                cmocka_unit_test(test_flags),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
