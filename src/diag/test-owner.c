/* Names that engines give to cgroups, monitors and state files, as they really look. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "codec/json.h"
#include "diag/owner.h"

#define HEX "053fc763c2d5535724c3d6dbd3dd0aa73cd81cac2de0d7478331475850db54c3"

static const struct path_case {
        const char *path;
        const char *kind, *engine, *runtime, *id, *pod;
} paths[] = {
        { "/system.slice/docker-" HEX ".scope", "container", "docker", NULL, HEX, NULL },
        { "/docker/" HEX, "container", "docker", NULL, HEX, NULL },
        /* systemd inside makes cgroups of its own */
        { "/docker/" HEX "/system.slice/cron.service", "container", "docker", NULL, HEX, NULL },
        { "/machine.slice/libpod-" HEX ".scope/container", "container", "podman", NULL, HEX, NULL },
        { "/libpod_parent/libpod-" HEX, "container", "podman", NULL, HEX, NULL },
        { "/machine.slice/libpod-conmon-" HEX ".scope", "container monitor", "podman", NULL, HEX,
          NULL },
        { "/kubepods.slice/kubepods-burstable.slice/"
          "kubepods-burstable-pod0a1b2c3d_1111_2222_3333_444455556666.slice/"
          "cri-containerd-" HEX ".scope",
          "container", "containerd", NULL, HEX, "0a1b2c3d-1111-2222-3333-444455556666" },
        { "/kubepods/besteffort/pod0a1b2c3d-1111-2222-3333-444455556666/" HEX, "container", NULL,
          NULL, HEX, "0a1b2c3d-1111-2222-3333-444455556666" },
        { "/kubepods.slice/crio-" HEX ".scope", "container", "cri-o", NULL, HEX, NULL },
        { "/default/" HEX, "container", "containerd", NULL, HEX, NULL },
        { "/user.slice/runc-web.scope", "container", NULL, "runc", "web", NULL },
        { "/lxc.payload.c1/init.scope", "container", "lxc", NULL, "c1", NULL },
        { "/lxc.payload.c1", "container", "lxc", NULL, "c1", NULL },
        { "/lxc/c1", "container", "lxc", NULL, "c1", NULL },
        { "/machine.slice/machine-db.scope", "machine", "systemd-machined", NULL, "db", NULL },
        { "/system.slice/sshd.service", "systemd service", NULL, NULL, NULL, NULL },
        { "/user.slice/user-0.slice/session-4.scope", "login session", NULL, NULL, NULL, NULL },
        /* too short, too long, not hexadecimal: nobody's */
        { "/docker/abc", NULL, NULL, NULL, NULL, NULL },
        { "/docker-" HEX "0.scope", "systemd scope", NULL, NULL, NULL, NULL },
        { "/", NULL, NULL, NULL, NULL, NULL },
        { "", NULL, NULL, NULL, NULL, NULL },
};

static void check(const char *what, const char *is, const char *want, const char *path)
{
        if (!str_eq0(is, want))
                fail_msg("%s of '%s': '%s', not '%s'", what, path, is ? is : "-",
                         want ? want : "-");
}

static void test_paths(void **state)
{
        AUTO_ARENA a = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
                const struct path_case *t = &paths[i];
                struct owner_clue c = { 0 };

                assert_int_equal(owner_from_path(&a, t->path, &c), t->kind != NULL);
                check("kind", c.kind, t->kind, t->path);
                check("engine", c.engine, t->engine, t->path);
                check("runtime", c.runtime, t->runtime, t->path);
                check("id", c.id, t->id, t->path);
                check("pod", c.pod_uid, t->pod, t->path);
        }
}

static void test_cgroups(void **state)
{
        AUTO_ARENA a = { 0 };
        struct owner_clue c;

        /* The container's line wins over a service's, wherever it stands. */
        assert_true(owner_from_cgroups(&a,
                                       "5:devices:/system.slice/x.service\n"
                                       "4:memory:/docker/" HEX "\n0::/\n",
                                       &c));
        assert_true(c.container);
        assert_string_equal(c.engine, "docker");
        assert_false(owner_from_cgroups(&a, "4:memory:/a\n0::/\n", &c));
}

static void test_monitors(void **state)
{
        AUTO_ARENA a = { 0 };
        struct owner_clue c;
        static const char *const conmon[] = { "/usr/bin/conmon",
                                              "--api-version",
                                              "1",
                                              "-c",
                                              HEX,
                                              "-r",
                                              "/usr/bin/crun",
                                              "-b",
                                              "/b",
                                              "-n",
                                              "web-1" };
        static const char *const shim[] = { "/usr/bin/containerd-shim-runc-v2",
                                            "-namespace",
                                            "moby",
                                            "-id",
                                            HEX,
                                            "-address",
                                            "/run/c.sock" };
        static const char *const crio[] = { "/usr/libexec/crio/conmon", "-c", HEX };
        static const char *const other[] = { "conmonitor-exporter" };

        assert_true(owner_from_args(&a, conmon, ARRAY_SIZE(conmon), &c));
        assert_string_equal(c.engine, "podman");
        assert_string_equal(c.runtime, "crun");
        assert_string_equal(c.name, "web-1");
        assert_string_equal(c.bundle, "/b");
        assert_string_equal(c.id, HEX);
        assert_true(owner_from_args(&a, shim, ARRAY_SIZE(shim), &c));
        assert_string_equal(c.engine, "docker");
        assert_string_equal(c.runtime, "runc");
        assert_true(owner_from_args(&a, crio, ARRAY_SIZE(crio), &c));
        assert_string_equal(c.engine, "cri-o");
        assert_true(owner_is_monitor("containerd-shim")); /* as the kernel cuts it */
        assert_false(owner_from_args(&a, NULL, 0, &c));
        assert_false(owner_from_args(&a, other, 1, &c));
}

static struct json parse(struct arena *a, const char *text)
{
        struct json j;

        assert_int_equal(json_parse(a, text, strlen(text), NULL, &j, NULL), 0);
        return j;
}

static bool state_of(struct arena *a, const char *text, struct owner_state *ret)
{
        struct json j = parse(a, text);

        return owner_from_state(a, &j, ret);
}

static void test_states(void **state)
{
        AUTO_ARENA a = { 0 };
        struct owner_state s;

        assert_true(state_of(&a,
                             "{\"id\":\"a1\",\"init_process_pid\":7891,\"init_process_start\":"
                             "201072,\"created\":\"2026-11-22T06:52:29Z\",\"config\":{\"labels\":"
                             "[\"x=y\",\"bundle=/b1\"],\"rootfs\":\"/r\"}}",
                             &s));
        assert_string_equal(s.runtime, "runc");
        assert_string_equal(s.bundle, "/b1");
        assert_int_equal(s.pid, 7891);
        assert_int_equal(s.start, 201072);
        assert_true(state_of(&a,
                             "{\"pid\":7933,\"process-start-time\":201100,\"bundle\":\"/b2\","
                             "\"owner\":\"root\"}",
                             &s));
        assert_string_equal(s.runtime, "crun");
        assert_int_equal(s.start, 201100);
        assert_true(state_of(&a, "{\"id\":\"x\",\"pid\":5,\"pidStart\":9,\"bundle\":\"/b\"}", &s));
        assert_string_equal(s.runtime, "berth-oci");
        assert_int_equal(s.start, 9);
        /* no process, not a number, not a pid */
        assert_false(state_of(&a, "{\"pid\":0}", &s));
        assert_false(state_of(&a, "{\"pid\":\"7\"}", &s));
        assert_false(state_of(&a, "{\"pid\":4294967297}", &s));
        assert_false(state_of(&a, "{\"pid\":-1}", &s));
        assert_false(state_of(&a, "[]", &s));
}

static void test_names(void **state)
{
        AUTO_ARENA a = { 0 };
        struct owner_clue c = { 0 };
        struct json j =
                parse(&a, "[{\"id\":\"other\"},{\"id\":\"" HEX
                          "\",\"names\":[\"web-1\"],\"image\":\"fbee\","
                          "\"metadata\":\"{\\\"image-name\\\":\\\"docker.io/nginx:1\\\"}\"}]");

        assert_true(owner_from_storage(&a, &j, HEX, &c));
        assert_string_equal(c.name, "web-1");
        assert_string_equal(c.image, "docker.io/nginx:1");
        assert_string_equal(owner_storage_id(&j, "web-1"), HEX);
        assert_null(owner_storage_id(&j, "web"));
        c = (struct owner_clue){ 0 };
        j = parse(&a,
                  "{\"annotations\":{\"io.kubernetes.cri.container-name\":\"app\",\"io.kubernetes."
                  "cri.sandbox-name\":\"app-0\",\"io.kubernetes.cri.sandbox-namespace\":\"prod\","
                  "\"io.kubernetes.cri.image-name\":\"app:2\"}}");
        owner_from_annotations(&j, &c);
        assert_string_equal(c.name, "app");
        assert_string_equal(c.pod_name, "app-0");
        assert_string_equal(c.pod_namespace, "prod");
        assert_string_equal(c.image, "app:2");
        c = (struct owner_clue){ 0 };
        j = parse(&a, "{\"Name\":\"/db\",\"Config\":{\"Image\":\"postgres:16\"}}");
        owner_from_docker(&j, &c);
        assert_string_equal(c.name, "db");
        assert_string_equal(c.image, "postgres:16");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_paths),    cmocka_unit_test(test_cgroups),
                cmocka_unit_test(test_monitors), cmocka_unit_test(test_states),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
