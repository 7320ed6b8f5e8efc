/* What is mounted for a container before it starts, each time anew: images, and parts of volumes,
 * whose paths the containers that write there can change. They are found now, inside the volume,
 * and handed to the monitor as descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "engine/ctr-internal.h"
#include "engine/volume.h"
#include "image/snapshot.h"
#include "kernel/mount.h"
#include "kernel/resolve.h"

static int mount_part(struct engine *g, const char *name, const char *subpath, struct err *e)
{
        bool own;
        AUTO_FD int data = volume_mount(g->store, name, &own, e);
        int r;

        if (data < 0)
                return -1;
        AUTO_FD int part = resolve_in(data, subpath, 0, 0);
        r = part < 0 ? part : mount_copy(part, "", true);
        return r < 0 ? err_sys(e, r, "cannot use \"%s\" of volume \"%s\"", subpath, name) : r;
}

static int mount_image(struct engine *g, const struct json *j, int userns, struct err *e)
{
        const struct json *list = json_get(j, "layers");
        AUTO_ARENA a = { 0 };
        struct strings layers = { .v = arena_array(&a, const char *, list ? list->n + 1 : 1) };
        struct snapshot n = {
                .layers = &layers, .upper = -1, .work = -1, .userns = userns, .run = g->places.run
        };
        int fd;

        for (uint32_t i = 0; list && list->type == JSON_ARRAY && i < list->n; i++)
                layers.v[layers.n++] = json_str(&list->items[i], "");
        return snapshot_mount(g->store, &n, &fd, e) < 0
                       ? err_in(e, "image \"%s\"", json_str(json_get(j, "image"), ""))
                       : fd;
}

/* In a process of its own, which joins the mount namespace of pid: mounts are copied in one's own
 * only. What the container has put in the place of its /dev/shm is not taken. */
static int copy_shm(int pid)
{
        AUTO_ARENA a = { 0 };
        AUTO_FD int ns = open(arena_printf(&a, "/proc/%d/ns/mnt", pid), O_RDONLY | O_CLOEXEC);
        struct statfs fs;

        if (ns < 0 || setns(ns, CLONE_NEWNS) < 0)
                return -errno;
        AUTO_FD int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        AUTO_FD int shm = resolve_in(root, "dev/shm", O_DIRECTORY, RESOLVE_NO_SYMLINKS);
        if (shm < 0)
                return shm;
        if (fstatfs(shm, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
                return -ENOTSUP;
        return mount_copy(shm, "", false);
}

static _Noreturn void send_shm(int sock, int pid)
{
        int fd = copy_shm(pid), r = MIN(fd, 0);

        fd_send(sock, &r, sizeof r, &fd, fd >= 0);
        _exit(0);
}

static int mount_shm(struct engine *g, const char *id, struct err *e)
{
        AUTO_ARENA a = { 0 };
        struct ctr_state state;
        struct ctr other;
        int pair[2], r = -EIO, fd = -1;
        size_t n = 1;
        pid_t pid;

        if (ctr_find(g, &a, id, &other, e) < 0)
                return -1;
        ctr_state(g, &other, &state);
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return err_sys(e, errno, "cannot make a socket");
        pid = state.monitor.pid > 0 ? fork() : -1;
        if (pid == 0)
                send_shm(pair[1], state.monitor.pid);
        close(pair[1]);
        if (pid > 0) {
                if (fd_recv(pair[0], &r, sizeof r, &fd, &n) == (ssize_t)sizeof r && r == 0 &&
                    n == 0)
                        r = -EIO;
                while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        close(pair[0]);
        return r < 0 ? err_sys(e, r, "cannot share /dev/shm of container \"%s\"", other.name) : fd;
}

static int mount_one(struct engine *g, const struct json *j, int userns, struct err *e)
{
        const char *volume = json_str(json_get(j, "volume"), NULL);
        const char *shm = json_str(json_get(j, "shm"), NULL);

        if (shm)
                return mount_shm(g, shm, e);
        return volume ? mount_part(g, volume, json_str(json_get(j, "subpath"), "."), e)
                      : mount_image(g, j, userns, e);
}

/* A directory for a directory, a file for anything else. */
static int make_place(int dir, const char *name, int mount, struct err *e)
{
        struct stat st;
        int r = 0;

        if (fstat(mount, &st) < 0 || (mkdirat(dir, "mounts", 0700) < 0 && errno != EEXIST))
                return err_sys(e, errno, "cannot make \"%s\"", name);
        if (unlinkat(dir, name, 0) < 0) /* of an earlier start */
                unlinkat(dir, name, AT_REMOVEDIR);
        r = S_ISDIR(st.st_mode) ? mkdirat(dir, name, 0700) : mknodat(dir, name, S_IFREG | 0600, 0);
        return r < 0 ? err_sys(e, errno, "cannot make \"%s\"", name) : 0;
}

int ctr_prepare(struct engine *g, const struct ctr *c, int dir, int mounts[WIRE_MOUNTS_MAX],
                struct err *e)
{
        const struct json *list = json_get(c->record, "prepared");
        uint32_t n = list && list->type == JSON_ARRAY ? MIN(list->n, (uint32_t)WIRE_MOUNTS_MAX) : 0;
        AUTO_FD int userns = -1;

        if (n && ctr_userns(c, &userns, e) < 0)
                return -1;

        for (uint32_t i = 0; i < n; i++) {
                AUTO_ARENA a = { 0 };

                mounts[i] = mount_one(g, &list->items[i], userns, e);
                if (mounts[i] >= 0 &&
                    make_place(dir, arena_printf(&a, "mounts/%u", i), mounts[i], e) == 0)
                        continue;
                for (uint32_t k = 0; k <= i; k++)
                        fd_close(mounts[k]);
                return -1;
        }
        return (int)n;
}
