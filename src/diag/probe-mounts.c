/* File systems: the mount table's meaning, and the host's control sockets within reach. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "diag/host.h"
#include "diag/mounts.h"
#include "diag/probe.h"

/* Who can connect to one of these is root on the host: read-only mounts don't stop connect(2). */
static const struct control_socket {
        const char *path, *what;
} control_sockets[] = {
        { "/run/docker.sock", "docker's socket" },
        { "/run/containerd/containerd.sock", "containerd's socket" },
        { "/run/crio/crio.sock", "CRI-O's socket" },
        { "/run/podman/podman.sock", "podman's socket" },
        { "/run/berth/berthd.sock", "berth's socket" },
        { "/run/systemd/private", "systemd's socket" },
        { "/run/dbus/system_bus_socket", "the system bus" },
};

/* File systems whose lookups end without another process's help. */
static const char *const local_types[] = { "ext4",  "ext3",     "ext2",  "xfs",     "btrfs",
                                           "tmpfs", "devtmpfs", "ramfs", "overlay", "f2fs",
                                           "erofs", "squashfs", "vfat",  "rootfs",  "zfs" };

static bool local_on_host(const struct probe_host *h, const char *path)
{
        for (size_t i = 0; i < h->n_mounts; i++)
                if (path_below(path, h->mounts[i].point) &&
                    STR_INDEX(local_types, h->mounts[i].type) < 0)
                        return false;
        return true;
}

static bool host_socket(const struct probe_host *h, const char *path)
{
        struct stat st;

        return local_on_host(h, path) &&
               fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0 &&
               S_ISSOCK(st.st_mode);
}

#define SOCKET_CHECKS_MAX 256

static void find_sockets(struct facts *f, const struct probe_host *h)
{
        unsigned checks = 0;

        for (size_t k = 0; k < ARRAY_SIZE(control_sockets); k++) {
                const struct control_socket *s = &control_sockets[k];
                unsigned major, minor;
                const char *root;

                if (!host_socket(h, s->path) ||
                    !probe_host_locate(h, s->path, &major, &minor, &root))
                        continue;
                for (size_t i = 0; i < f->fs.n; i++) {
                        struct mount_fact *m = &f->fs.mounts[i];

                        if (m->hidden || m->major != major || m->minor != minor || m->deleted ||
                            !path_below(root, m->root))
                                continue;
                        m->danger = s->what;
                        m->controls_host = true;
                        m->is_socket = str_eq(root, m->root);
                }
        }
        for (size_t i = 0; i < f->fs.n; i++) {
                struct mount_fact *m = &f->fs.mounts[i];

                if (m->role != MOUNT_DATA || m->is_socket || !m->host_path || str_eq(m->root, "/"))
                        continue;
                if (checks++ == SOCKET_CHECKS_MAX) {
                        facts_unchecked(f, "sockets among its bind mounts", "too many bind mounts");
                        return;
                }
                m->is_socket = host_socket(h, m->host_path);
        }
}

static bool host_has(const char *path)
{
        return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static const char *read_link(struct arena *a, const char *path)
{
        char buf[PATH_MAX];
        ssize_t n = readlink(path, buf, sizeof buf);

        return n < 0 ? NULL : arena_strndup(a, buf, (size_t)n);
}

/* Its proc or dev is the host's own, not an instance made for it. */
static void find_host_interfaces(struct facts *f, const struct probe_host *h)
{
        static const struct {
                const char *type, *why;
                bool host_only, rw_only;
        } interfaces[] = {
                { "proc", "the host's processes", true, false },
                { "devtmpfs", "the host's devices", true, false },
                { "debugfs", "kernel internals", false, false },
                { "tracefs", "kernel tracing", false, false },
                { "securityfs", "security policy", false, true },
        };

        for (size_t i = 0; i < f->fs.n; i++) {
                struct mount_fact *m = &f->fs.mounts[i];

                for (size_t k = 0; k < ARRAY_SIZE(interfaces); k++)
                        if (m->role == MOUNT_SYSTEM && !m->hidden &&
                            str_eq(m->type, interfaces[k].type) && str_eq(m->root, "/") &&
                            (!interfaces[k].host_only || m->host_path) &&
                            (!interfaces[k].rw_only || !m->ro))
                                m->danger = interfaces[k].why;
        }
        (void)h;
}

void probe_mounts(struct facts *f, const struct target *t, const struct probe_host *h)
{
        struct fs_facts *fs = &f->fs;
        const char *text = target_text(t, "mountinfo", TEXT_LARGE, &fs->is);

        fs->root = -1;
        fs->cwd = target_link(t, "cwd", NULL);
        fs->root_path = target_link(t, "root", NULL);
        if (!text) {
                facts_unread(f, "its mounts", fs->is);
                return;
        }
        mounts_read(f->arena, text, h, fs);
        if (fs->n_bad)
                facts_unchecked(f, "some of its mounts", "lines of mountinfo could not be read");
        if (f->sees.ns[NS_MOUNT].relation != NS_REL_OWN)
                return;
        mounts_overlay(f->arena, fs, read_link);
        mounts_protections(f->arena, fs, host_has);
        find_sockets(f, h);
        find_host_interfaces(f, h);
}
