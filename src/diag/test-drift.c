/* Declared against effective: each difference found alone, and none where there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "diag/drift.h"
#include "diag/mounts.h"
#include "kernel/caps.h"

static const char config[] =
        "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\",\"readonly\":true},"
        "\"hostname\":\"web\",\"process\":{\"user\":{\"uid\":0,\"gid\":0},\"cwd\":\"/"
        "\",\"args\":[\"x\"],"
        "\"noNewPrivileges\":true,\"oomScoreAdj\":10,"
        "\"capabilities\":{\"bounding\":[\"CAP_KILL\"],\"effective\":[\"CAP_KILL\"],"
        "\"permitted\":[\"CAP_KILL\"]},"
        "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":1024,\"hard\":2048}]},"
        "\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
        "{\"destination\":\"/data\",\"type\":\"bind\",\"source\":\"/"
        "srv\",\"options\":[\"bind\",\"ro\"]},"
        "{\"destination\":\"/var/run/keys\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"}],"
        "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"mount\"},{\"type\":\"uts\"},"
        "{\"type\":\"network\",\"path\":\"/proc/5/ns/net\"}],"
        "\"maskedPaths\":[\"/proc/kcore\",\"/proc/nothere\"],\"readonlyPaths\":[\"/proc/sys\"],"
        "\"resources\":{\"memory\":{\"limit\":67108865},\"cpu\":{\"quota\":20000,\"period\":100000}"
        ","
        "\"pids\":{\"limit\":50}}}}";

static const char mounts[] = "1 0 0:1 / / ro - ext4 d ro\n"
                             "2 1 0:2 / /proc rw - proc proc rw\n"
                             "3 2 0:3 /null /proc/kcore rw - devtmpfs d rw\n"
                             "4 2 0:2 /sys /proc/sys ro - proc proc rw\n"
                             "5 1 0:4 /srv /data ro - ext4 d rw\n"
                             "6 1 0:5 / /run/keys rw - tmpfs t rw\n";

struct fixture {
        struct arena a;
        struct facts f;
        struct spec spec;
        struct probe_host h;
        struct level cpu, memory, pids;
        struct rlimit_fact nofile;
};

static bool exists(const char *path)
{
        return !str_eq(path, "/proc/nothere");
}

static void setup(struct fixture *t)
{
        struct err e = { 0 };
        struct facts *f = &t->f;

        *t = (struct fixture){ 0 };
        f->arena = &t->a;
        if (spec_parse(&t->a, config, strlen(config), &t->spec, &e) < 0)
                fail_msg("%s", e.chain);
        mounts_read(&t->a, mounts, &t->h, &f->fs);
        f->owner.is_init = true;
        f->sees.hostname = "web";
        for (int ns = 0; ns < NS_MAX; ns++)
                f->sees.ns[ns].relation =
                        ns == NS_PID || ns == NS_MOUNT || ns == NS_NET || ns == NS_UTS
                                ? NS_REL_OWN
                                : NS_REL_HOST;
        t->cpu = (struct level){ .path = "/c",
                                 .cpu_quota_us = num_of(20000),
                                 .cpu_period_us = num_of(100000) };
        t->memory = (struct level){ .path = "/c", .limit = num_of(67108864) };
        t->pids = (struct level){ .path = "/c", .limit = num_of(50) };
        f->consumes.cpu = (struct levels){ .v = &t->cpu, .n = 1 };
        f->consumes.memory = (struct levels){ .v = &t->memory, .n = 1 };
        f->consumes.pids = (struct levels){ .v = &t->pids, .n = 1 };
        f->does.caps_known = true;
        f->does.cap_bounding = f->does.cap_effective = (uint64_t)1 << caps_number("CAP_KILL");
        f->does.no_new_privs = num_of(1);
        f->does.seccomp_mode = num_of(0);
        f->does.uid_inside = f->does.gid_inside = num_of(0);
        f->does.oom_score_adj_plus1000 = num_of(1010);
        t->nofile = (struct rlimit_fact){ "nofile", num_of(1024), num_of(2048), true };
        f->does.rlimits = &t->nofile;
        f->does.n_rlimits = 1;
}

static void expect(struct fixture *t, const char *what, const char *declared, const char *effective)
{
        const struct drift_facts *d = &t->f.drift;

        drift_compare(&t->f, &t->spec, 4096, exists);
        if (d->n != (what != NULL))
                fail_msg("%zu differences, the first: %s", d->n, d->n ? d->v[0].what : "-");
        if (what) {
                assert_string_equal(d->v[0].what, what);
                assert_string_equal(d->v[0].declared, declared);
                assert_string_equal(d->v[0].effective, effective);
        }
        arena_done(&t->a);
}

static void test_none(void **state)
{
        struct fixture t;

        setup(&t);
        expect(&t, NULL, NULL, NULL);
        assert_true(t.f.drift.agreed > 15);
}

static void test_resources(void **state)
{
        struct fixture t;

        setup(&t);
        t.memory.limit = num_of(128 << 20);
        expect(&t, "memory limit", "64M", "128M");
        setup(&t);
        t.memory.limit.is = NUM_MAX;
        expect(&t, "memory limit", "64M", "unlimited");
        setup(&t);
        t.spec.linux_.resources->memory = NULL;
        expect(&t, "memory limit", "none", "64M");
        setup(&t);
        t.cpu.cpu_quota_us.is = NUM_MAX;
        expect(&t, "cpu quota", "20000us", "unlimited");
        setup(&t);
        t.pids.limit = num_of(51);
        expect(&t, "pids limit", "50", "51");
}

static void test_unknown_is_no_drift(void **state)
{
        struct fixture t;

        setup(&t);
        t.memory.limit.is = NUM_DENIED;
        t.f.sees.ns[NS_PID].relation = NS_REL_UNKNOWN;
        t.f.does.seccomp_mode.is = NUM_ABSENT;
        drift_compare(&t.f, &t.spec, 4096, exists);
        assert_int_equal(t.f.drift.n, 0);
        assert_true(t.f.drift.skipped >= 3);
        arena_done(&t.a);
}

static void test_namespaces(void **state)
{
        struct fixture t;

        setup(&t);
        t.f.sees.ns[NS_PID].relation = NS_REL_HOST;
        expect(&t, "pid namespace", "own", "shared with the host");
        setup(&t);
        t.f.sees.ns[NS_IPC].relation = NS_REL_OWN;
        expect(&t, "ipc namespace", "shared", "own");
        setup(&t);
        t.f.sees.hostname = "other";
        expect(&t, "host name", "web", "other");
}

static void test_process(void **state)
{
        struct fixture t;

        setup(&t);
        t.f.does.cap_bounding |= (uint64_t)1 << caps_number("CAP_SYS_ADMIN");
        expect(&t, "capabilities", "not granted", "also SYS_ADMIN");
        setup(&t);
        t.f.does.no_new_privs = num_of(0);
        expect(&t, "no_new_privs", "on", "off");
        setup(&t);
        t.nofile.soft = num_of(512);
        expect(&t, "rlimit nofile", "1024", "512");
        setup(&t);
        t.f.does.oom_score_adj_plus1000 = num_of(0);
        expect(&t, "oom_score_adj", "10", "-1000");
        /* What another process of the container set for itself is its own business. */
        setup(&t);
        t.f.owner.is_init = false;
        t.nofile.soft = num_of(512);
        t.f.does.uid_inside = num_of(33);
        expect(&t, NULL, NULL, NULL);
}

static void test_mounts(void **state)
{
        struct fixture t;

        setup(&t);
        t.f.fs.mounts[0].ro = false;
        expect(&t, "root file system", "read-only", "writable");
        setup(&t);
        t.f.fs.mounts[4].ro = false;
        expect(&t, "mount /data", "read-only", "writable");
        setup(&t);
        t.f.fs.mounts[4].hidden = true;
        t.f.fs.mounts[4].point = "/elsewhere";
        expect(&t, "mount /data", "mounted", "not mounted");
        setup(&t);
        t.f.fs.mounts[2].role = MOUNT_SYSTEM;
        expect(&t, "masked path /proc/kcore", "masked", "readable");
        setup(&t);
        t.f.fs.mounts[3].ro = false;
        expect(&t, "read-only path /proc/sys", "read-only", "writable");
        setup(&t);
        t.spec.n_mounts = 2; /* /run/keys is nobody's then */
        expect(&t, "mount /run/keys", "none", "tmpfs");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_none),
                cmocka_unit_test(test_resources),
                cmocka_unit_test(test_unknown_is_no_drift),
                cmocka_unit_test(test_namespaces),
                cmocka_unit_test(test_process),
                cmocka_unit_test(test_mounts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
