/* A mount table's meaning: podman's on overlay, runc's on a directory, and hostile ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "diag/mounts.h"

static const char host_table[] =
        "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
        "24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw\n"
        "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        "28 27 254:16 /exports/a /srv/data rw shared:2 - xfs /dev/vdb rw\n"
        "29 27 0:63 / /var/lib/containers/storage/overlay/b3de36/merged rw - overlay overlay rw\n";

static const char podman_table[] =
        "159 82 0:63 / / rw,relatime - overlay overlay rw,lowerdir=/var/lib/containers/storage/"
        "overlay/l/HI6HZ:/var/lib/containers/storage/overlay/aaaabbbbccccdddd/diff,upperdir=/var/"
        "lib/"
        "containers/storage/overlay/b3de36137c2994361b83/diff,workdir=/w\n"
        "160 159 254:0 /tmp/look/vol /data ro,relatime - ext4 /dev/vda rw\n"
        "161 159 254:16 /exports/a/x /srv\\040x rw shared:2 - xfs /dev/vdb rw\n"
        "162 159 0:66 / /proc rw,nosuid,nodev,noexec - proc proc rw\n"
        "163 159 0:67 / /dev rw,nosuid,noexec - tmpfs tmpfs rw\n"
        "164 159 0:68 / /sys ro,nosuid,nodev,noexec - sysfs sysfs rw\n"
        "167 159 254:0 /run/containers/x/hosts /etc/hosts rw - ext4 /dev/vda rw\n"
        "171 164 0:70 / /sys/fs/cgroup rw,nosuid - tmpfs cgroup rw\n"
        "182 162 0:71 / /proc/acpi ro,relatime - tmpfs tmpfs rw,size=0k\n"
        "183 162 0:6 /null /proc/keys ro,relatime - devtmpfs devtmpfs rw\n"
        "187 162 0:66 /bus /proc/bus ro,relatime - proc proc rw\n"
        "190 162 0:66 /sys /proc/sys ro,relatime - proc proc rw\n"
        "191 159 254:0 /etc /host/etc rw - ext4 /dev/vda rw\n"
        "192 159 254:0 /gone//deleted /gone rw - ext4 /dev/vda rw\n"
        "193 160 0:90 / /data rw - tmpfs tmpfs rw\n";

static const char *fake_link(struct arena *a, const char *path)
{
        return str_ends(path, "/l/HI6HZ") ? "../7e661070419d4a86fd48/diff" : NULL;
}

static bool exists(const char *path)
{
        return !str_eq(path, "/proc/kcore");
}

struct fixture {
        struct arena a;
        struct probe_host h;
        struct fs_facts fs;
};

static void load(struct fixture *t, const char *table)
{
        *t = (struct fixture){ 0 };
        probe_host_mounts(&t->a, host_table, &t->h);
        mounts_read(&t->a, table, &t->h, &t->fs);
        mounts_overlay(&t->a, &t->fs, fake_link);
        mounts_protections(&t->a, &t->fs, exists);
}

static const struct mount_fact *at(const struct fixture *t, const char *point)
{
        for (size_t i = 0; i < t->fs.n; i++)
                if (str_eq(t->fs.mounts[i].point, point))
                        return &t->fs.mounts[i];
        fail_msg("no mount at %s", point);
        return NULL;
}

static void test_sources(void **state)
{
        struct fixture t;

        load(&t, podman_table);
        assert_string_equal(at(&t, "/data")->host_path, "/tmp/look/vol");
        assert_true(at(&t, "/data")->ro);
        /* The deepest mount of that device that shows the directory. */
        assert_string_equal(at(&t, "/srv x")->host_path, "/srv/data/x");
        assert_true(at(&t, "/srv x")->reaches_host);
        assert_false(at(&t, "/data")->reaches_host);
        assert_null(at(&t, "/dev")->host_path);
        assert_string_equal(at(&t, "/")->host_path,
                            "/var/lib/containers/storage/overlay/b3de36/merged");
        assert_null(at(&t, "/gone")->host_path);
        assert_true(at(&t, "/gone")->deleted);
        assert_string_equal(at(&t, "/host/etc")->danger, "the host's configuration");
        assert_null(at(&t, "/srv x")->danger);
        arena_done(&t.a);
}

static void test_roles(void **state)
{
        struct fixture t;

        load(&t, podman_table);
        assert_int_equal(at(&t, "/")->role, MOUNT_ROOT);
        assert_int_equal(at(&t, "/data")->role, MOUNT_DATA);
        assert_int_equal(at(&t, "/etc/hosts")->role, MOUNT_ENGINE);
        assert_int_equal(at(&t, "/dev")->role, MOUNT_SYSTEM);
        assert_int_equal(at(&t, "/sys/fs/cgroup")->role, MOUNT_SYSTEM);
        assert_int_equal(at(&t, "/proc/keys")->role, MOUNT_MASKED);
        assert_int_equal(at(&t, "/proc/acpi")->role, MOUNT_MASKED);
        assert_int_equal(at(&t, "/proc/sys")->role, MOUNT_READONLY_PATH);
        assert_int_equal(t.fs.count[MOUNT_MASKED], 2);
        assert_true(at(&t, "/data")->hidden); /* by the tmpfs mounted on it */
        arena_done(&t.a);
}

static void test_layers(void **state)
{
        struct fixture t;

        load(&t, podman_table);
        assert_string_equal(t.fs.root_kind, "overlay");
        assert_int_equal(t.fs.n_lower, 2);
        assert_string_equal(t.fs.lower[0].path,
                            "/var/lib/containers/storage/overlay/7e661070419d4a86fd48/diff");
        assert_string_equal(t.fs.lower[0].origin, "containers/storage layer 7e661070419d");
        assert_string_equal(t.fs.upper_origin.origin, "containers/storage layer b3de36137c29");
        arena_done(&t.a);
        load(&t, "1 0 0:5 / / rw - overlay o rw,lowerdir+=/var/lib/berth/layers/sha256\\072aa,"
                 "lowerdir+=/\n");
        assert_int_equal(t.fs.n_lower, 2);
        assert_string_equal(t.fs.lower[1].origin, "this host's root");
        assert_null(t.fs.upper);
        arena_done(&t.a);
        load(&t, "1 0 0:5 / / rw - overlay o rw,lowerdir=l/ABC:l/DEF,upperdir=/var/lib/docker/"
                 "overlay2/99/diff\n");
        assert_string_equal(t.fs.lower[1].path, "/var/lib/docker/overlay2/l/DEF");
        arena_done(&t.a);
}

static void test_protections(void **state)
{
        struct fixture t;

        load(&t, podman_table);
        for (size_t i = 0; i < t.fs.n_unmasked; i++) {
                assert_string_not_equal(t.fs.unmasked[i], "/proc/keys");
                assert_string_not_equal(t.fs.unmasked[i], "/proc/acpi");
                assert_string_not_equal(t.fs.unmasked[i], "/proc/kcore"); /* this host has none */
        }
        assert_string_equal(t.fs.unmasked[0], "/proc/asound");
        assert_string_equal(t.fs.writable[0], "/proc/fs");
        arena_done(&t.a);
        /* Without proc there is nothing to protect. */
        load(&t, "1 0 0:5 / / rw - tmpfs t rw\n");
        assert_int_equal(t.fs.n_unmasked, 0);
        assert_int_equal(t.fs.n_writable, 0);
        arena_done(&t.a);
}

static void test_locate(void **state)
{
        struct fixture t;
        unsigned major, minor;
        const char *root;

        load(&t, "");
        assert_true(probe_host_locate(&t.h, "/srv/data/run/x.sock", &major, &minor, &root));
        assert_int_equal(major, 254);
        assert_int_equal(minor, 16);
        assert_string_equal(root, "/exports/a/run/x.sock");
        assert_true(probe_host_locate(&t.h, "/run/docker.sock", &major, &minor, &root));
        assert_string_equal(root, "/run/docker.sock");
        assert_true(probe_host_locate(&t.h, "/", &major, &minor, &root));
        assert_string_equal(root, "/");
        arena_done(&t.a);
}

static void test_hostile(void **state)
{
        struct fixture t;

        load(&t, "1 1 0:5 / / rw - tmpfs t rw\n" /* its own parent */
                 "2 3 0:5 / /a rw - tmpfs t rw\n"
                 "3 2 0:5 / /a rw - tmpfs t rw\n" /* a circle */
                 "4 1 0:5 / \\057\\000x rw - tmpfs t rw\n"
                 "x\n\n- - -\n");
        assert_int_equal(t.fs.n, 4);
        assert_int_equal(t.fs.n_bad, 2);
        assert_true(t.fs.root >= 0);
        arena_done(&t.a);
        load(&t, "");
        assert_int_equal(t.fs.root, -1);
        arena_done(&t.a);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sources), cmocka_unit_test(test_roles),
                cmocka_unit_test(test_layers),  cmocka_unit_test(test_protections),
                cmocka_unit_test(test_locate),  cmocka_unit_test(test_hostile),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
