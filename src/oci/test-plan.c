/* Plans of create and exec: what is in them, in which order. No privileges, no system calls. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/test.h"
#include "oci/plan.h"
#include "oci/spec-default.h"

struct fixture {
        struct arena a;
        struct spec spec;
        struct plan plan;
        struct err e;
};

static const char v2_mountinfo[] = "30 24 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime "
                                   "shared:4 - cgroup2 cgroup2 rw\n";

/* Plans the text, on a host with cgroup v2 and every controller. */
static int plan(struct fixture *f, const char *text, unsigned flags)
{
        struct cgroup_layout *l = arena_new(&f->a, struct cgroup_layout);
        struct plan_input in = { .spec = &f->spec,
                                 .id = "c",
                                 .bundle = "/b",
                                 .state_dir = "/run/x/c",
                                 .flags = flags,
                                 .cgroups = l };

        assert_int_equal(cgroup_layout_parse(&f->a, v2_mountinfo, "0::/\n",
                                             "cpuset cpu io memory hugetlb pids rdma misc\n", l),
                         0);
        if (spec_parse(&f->a, text, strlen(text), &f->spec, &f->e) < 0)
                return -1;
        return plan_create(&f->a, &in, &f->plan, &f->e);
}

static char *default_config(void)
{
        struct spec_default_input in = { .cgroup_namespace = true };
        struct buf text = { 0 };

        spec_default_write(&in, &text);
        return buf_take(&text);
}

/* The index of the n-th op of that kind, or -1. */
static int place(const struct fixture *f, enum op_kind kind, int n)
{
        for (size_t i = 0; i < f->plan.n; i++)
                if (f->plan.ops[i].kind == kind && n-- == 0)
                        return (int)i;
        return -1;
}

#define BEFORE(f, x, y)                                                                            \
        do {                                                                                       \
                assert_true(place(f, x, 0) >= 0);                                                  \
                assert_true(place(f, y, 0) >= 0);                                                  \
                assert_true(place(f, x, 0) < place(f, y, 0));                                      \
        } while (0)

static void test_default_plan(void **state)
{
        struct fixture f = { 0 };
        AUTO_FREE char *text = default_config();

        assert_int_equal(plan(&f, text, 0), 0);
        assert_true(f.plan.ns_new & CLONE_NEWNS && f.plan.ns_new & CLONE_NEWPID);
        assert_false(f.plan.userns);
        assert_true(f.plan.devices);
        BEFORE(&f, OP_CGROUP, OP_CGROUP_SET);
        BEFORE(&f, OP_PROPAGATION, OP_ROOT_MOUNT);
        BEFORE(&f, OP_ROOT_MOUNT, OP_MOUNT);
        BEFORE(&f, OP_CAP_BOUNDING, OP_USER);
        BEFORE(&f, OP_USER, OP_CAPS);
        BEFORE(&f, OP_CAPS, OP_NO_NEW_PRIVS);
        /* Pivot before masks: what is masked is the container's, not the host's. */
        BEFORE(&f, OP_PIVOT, OP_READONLY_PATH);
        BEFORE(&f, OP_PIVOT, OP_MASK);
        assert_int_equal(f.plan.ops[f.plan.n - 1].kind, OP_EXEC);
        arena_done(&f.a);
}

static void test_printed_by_stage(void **state)
{
        struct fixture f = { 0 };
        AUTO_FREE char *text = default_config();
        AUTO_BUF out = { 0 };
        const char *at, *line;
        int last = 0;
        size_t n;

        assert_int_equal(plan(&f, text, 0), 0);
        plan_print(&f.plan, &out);
        for (at = out.s; str_next(&at, '\n', &line, &n) && n > 0;) {
                size_t name = strcspn(line, ":");
                int stage = -1;

                for (int s = 0; s < STAGE_MAX; s++)
                        if (strlen(stage_names[s]) == name && !strncmp(stage_names[s], line, name))
                                stage = s;
                assert_true(stage >= last);
                last = stage;
        }
        assert_non_null(strstr(out.s, "start: exec sh\n"));
        arena_done(&f.a);
}

#define HEAD "{\"ociVersion\":\"1.3.0\",\"root\":{\"path\":\"rootfs\"},"
#define PROCESS "\"process\":{\"cwd\":\"/\",\"args\":[\"x\"],\"user\":{\"uid\":0,\"gid\":0}"
#define NS(x) "\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"pid\"}" x "]"
#define SECCOMP                                                                                    \
        ",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/l\",\"syscalls\":" \
        "[{\"names\":[\"getcwd\"],\"action\":\"%s\"}]}"

static char *filtered(const char *action, bool nnp)
{
        struct buf b = { 0 };

        buf_printf(&b, HEAD PROCESS ",\"noNewPrivileges\":%s}," NS("") SECCOMP "}}",
                   nnp ? "true" : "false", action);
        return buf_take(&b);
}

/* Without no_new_privs a filter takes CAP_SYS_ADMIN: before the capabilities go; with it,
 * as late as can be; with a listener, before create returns. */
static void test_place_of_the_filter(void **state)
{
        static const struct {
                const char *action;
                bool nnp;
                enum stage stage;
        } rows[] = {
                { "SCMP_ACT_ERRNO", false, STAGE_PROCESS },
                { "SCMP_ACT_ERRNO", true, STAGE_START },
                { "SCMP_ACT_NOTIFY", true, STAGE_PROCESS },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct fixture f = { 0 };
                AUTO_FREE char *text = filtered(rows[i].action, rows[i].nnp);

                assert_int_equal(plan(&f, text, 0), 0);
                assert_int_equal(plan_find(&f.plan, OP_SECCOMP)->stage, rows[i].stage);
                if (rows[i].nnp)
                        BEFORE(&f, OP_CAPS, OP_SECCOMP);
                else
                        BEFORE(&f, OP_SECCOMP, OP_CAP_BOUNDING);
                arena_done(&f.a);
        }
}

static void test_user_namespace(void **state)
{
        static const char text[] = HEAD PROCESS
                "},\"mounts\":[{\"destination\":\"/d\",\"type\":\"bind\",\"source\":\"/s\"},"
                "{\"destination\":\"/e\",\"type\":\"bind\",\"source\":\"rootfs/x\"}]," NS(
                        ",{\"type\":\"user\"}") ",\"uidMappings\":[{\"containerID\":0,\"hostID\":"
                                                "1000,\"size\":10}],\"gidMappings\":[{"
                                                "\"containerID\":0,\"hostID\":1000,\"size\":10}]}}";
        struct fixture f = { 0 };

        assert_int_equal(plan(&f, text, 0), 0);
        assert_true(f.plan.userns_new);
        BEFORE(&f, OP_ROOT_SOURCE, OP_ROOT_MOUNT);
        BEFORE(&f, OP_ROOT_IDS, OP_ROOT_MOUNT);
        /* The host's source is opened while still privileged, the root's own by init. */
        assert_int_equal(f.plan.n_sources, 1);
        assert_string_equal(plan_find(&f.plan, OP_SOURCE)->mount->source, "/s");
        arena_done(&f.a);
        f = (struct fixture){ 0 };
        assert_int_equal(plan(&f, text, PLAN_ROOTLESS), 0);
        assert_null(plan_find(&f.plan, OP_SOURCE));
        arena_done(&f.a);
}

static void test_joined_namespaces_need_a_joiner(void **state)
{
        static const char text[] =
                HEAD PROCESS "}," NS(",{\"type\":\"network\",\"path\":\"/n\"}") "}}";
        struct fixture f = { 0 };

        assert_int_equal(plan(&f, text, 0), 0);
        assert_string_equal(plan_find(&f.plan, OP_NS_JOIN)->ns.path, "/n");
        assert_false(f.plan.ns_new & CLONE_NEWNET);
        assert_null(plan_find(&f.plan, OP_LOOPBACK));
        arena_done(&f.a);
}

static void test_mount_options(void **state)
{
        static const char text[] = HEAD PROCESS
                "},\"mounts\":[{\"destination\":\"/"
                "d\",\"type\":\"tmpfs\",\"source\":\"t\",\"options\":"
                "[\"ro\",\"rw\",\"nosuid\",\"size=1m\",\"rslave\",\"noatime\"]}]," NS("") "}}";
        struct fixture f = { 0 };
        const struct plan_mount *m;

        assert_int_equal(plan(&f, text, 0), 0);
        m = plan_find(&f.plan, OP_MOUNT)->mount;
        /* Of two that contradict each other the later counts. */
        assert_int_equal(m->attrs.set, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME);
        assert_true(m->attrs.clear & MOUNT_ATTR_RDONLY);
        assert_int_equal(m->n_params, 1);
        assert_string_equal(m->params[0].key, "size");
        assert_int_equal(m->n_propagations, 1);
        arena_done(&f.a);
}

static void test_refused(void **state)
{
        static const struct {
                const char *text, *field;
        } rows[] = {
                { "{\"ociVersion\":\"1.3.0\"," PROCESS "}," NS("") "}}", "root" },
                { HEAD PROCESS
                  "},\"mounts\":[{\"destination\":\"/d\",\"type\":\"bind\"}]," NS("") "}}",
                  "mounts[0].source" },
                { HEAD PROCESS "},\"mounts\":[{\"destination\":\"/proc/1\",\"type\":\"tmpfs\","
                               "\"source\":\"t\"}]," NS("") "}}",
                  "mounts[0].destination" },
                { HEAD PROCESS
                  "},\"mounts\":[{\"destination\":\"/d\",\"source\":\"t\"}]," NS("") "}}",
                  "mounts[0].type" },
                { HEAD PROCESS
                  "},\"mounts\":[{\"destination\":\"/d\",\"type\":\"tmpfs\",\"source\":"
                  "\"t\",\"options\":[\"idmap\"]}]," NS("") "}}",
                  "mounts[0]" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct fixture f = { 0 };

                assert_int_equal(plan(&f, rows[i].text, 0), -1);
                assert_int_equal(f.e.code, ERR_INVALID);
                assert_non_null(strstr(f.e.chain, rows[i].field));
                arena_done(&f.a);
        }
}

static void test_exec_plan(void **state)
{
        struct fixture f = { 0 };
        AUTO_FREE char *text = default_config();
        struct plan_exec_input in = { .spec = &f.spec, .id = "c", .bundle = "/b" };

        assert_int_equal(plan(&f, text, 0), 0);
        in.process = f.spec.process;
        assert_int_equal(plan_exec(&f.a, &in, &f.plan, &f.e), 0);
        assert_int_equal(plan_find(&f.plan, OP_NS_ENTER)->flags & CLONE_NEWPID, CLONE_NEWPID);
        BEFORE(&f, OP_CGROUP_JOIN, OP_NS_ENTER);
        assert_null(plan_find(&f.plan, OP_MOUNT));
        assert_null(plan_find(&f.plan, OP_PIVOT));
        arena_done(&f.a);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_default_plan),
                cmocka_unit_test(test_printed_by_stage),
                cmocka_unit_test(test_place_of_the_filter),
                cmocka_unit_test(test_user_namespace),
                cmocka_unit_test(test_joined_namespaces_need_a_joiner),
                cmocka_unit_test(test_mount_options),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_exec_plan),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
