#include "engine/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "kernel/mount.h"
#include "oci/runtime.h"

/* The bundle is a tmpfs that exists in this process's mount namespace alone: config.json, the
 * overlay's two directories, and its mount point. */
struct bundle {
        char path[PATH_MAX];
        int dir;
};

static int private_mounts(struct err *e)
{
        int r;

        if (unshare(CLONE_NEWNS) < 0)
                return err_sys(e, errno, "cannot make a mount namespace");
        r = mount_propagation("/", mount_opt_find("rslave")->value, true);
        return r < 0 ? err_sys(e, r, "cannot change the propagation of the host's mounts") : 0;
}

static int mount_bundle(struct bundle *b, struct err *e)
{
        static const struct mount_param mode[] = { { "mode", "0755" } };
        const char *what;
        int r;

        snprintf(b->path, sizeof b->path, "%s", "/run/berth/bundle");
        if ((mkdir("/run/berth", 0711) < 0 && errno != EEXIST) ||
            (mkdir(b->path, 0700) < 0 && errno != EEXIST))
                return err_sys(e, errno, "cannot make \"%s\"", b->path);
        b->dir = mount_new("tmpfs", "berth", mode, 1, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, &what,
                           NULL, 0);
        if (b->dir < 0)
                return err_sys(e, b->dir, "cannot make a tmpfs");
        AUTO_FD int target = open(b->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        r = target < 0 ? -errno : mount_attach(b->dir, target);
        return r < 0 ? err_sys(e, r, "cannot mount on \"%s\"", b->path) : 0;
}

/* The host's root below, the tmpfs on top. Only the root's own file system shows: what is
 * mounted on it (/proc, /home on a disk of its own) does not. */
static int mount_host_root(struct bundle *b, struct err *e)
{
        char upper[PATH_MAX + 8], work[PATH_MAX + 8], words[256];
        const struct mount_param params[] = { { "lowerdir", "/" },
                                              { "upperdir", upper },
                                              { "workdir", work } };
        const char *what;
        int r;

        snprintf(upper, sizeof upper, "%s/upper", b->path);
        snprintf(work, sizeof work, "%s/work", b->path);
        if (mkdirat(b->dir, "upper", 0755) < 0 || mkdirat(b->dir, "work", 0700) < 0 ||
            mkdirat(b->dir, "rootfs", 0755) < 0)
                return err_sys(e, errno, "cannot make the overlay's directories");
        AUTO_FD int fd = mount_new("overlay", "berth", params, ARRAY_SIZE(params), MOUNT_ATTR_NODEV,
                                   &what, words, sizeof words);
        if (fd < 0) {
                err_sys(e, fd, "cannot overlay the host's root%s%s", *words ? ": " : "", words);
                return err_hint(e, "a root that is an overlay itself may be stacked too deep: use "
                                   "--rootfs");
        }
        AUTO_FD int target = openat(b->dir, "rootfs", O_PATH | O_DIRECTORY | O_CLOEXEC);
        r = target < 0 ? -errno : mount_attach(fd, target);
        return r < 0 ? err_sys(e, r, "cannot mount the overlay") : 0;
}

static int run_in(const struct sandbox *s, const struct runtime *rt, struct bundle *b,
                  int *ret_status, struct err *e)
{
        AUTO_BUF config = { 0 };
        struct create_options o = { .id = s->name, .bundle = b->path, .die_along = true };

        if (private_mounts(e) < 0 || mount_bundle(b, e) < 0)
                return -1;
        if (!s->rootfs && mount_host_root(b, e) < 0)
                return -1;
        if (sandbox_config(s, s->rootfs ? s->rootfs : "rootfs", &config, e) < 0)
                return -1;
        o.config = buf_str(&config);
        return runtime_run(rt, &o, ret_status, e);
}

static int plan_only(const struct sandbox *s, const struct runtime *rt, struct buf *plan,
                     struct err *e)
{
        AUTO_BUF config = { 0 };
        struct create_options o = { .id = s->name, .bundle = "/" };

        if (sandbox_config(s, s->rootfs ? s->rootfs : "/run/berth/bundle/rootfs", &config, e) < 0)
                return -1;
        if (!s->rootfs)
                buf_puts(plan, "engine: new-mount-ns\n"
                               "engine: mount tmpfs on /run/berth/bundle\n"
                               "engine: mount overlay on /run/berth/bundle/rootfs "
                               "(lowerdir=/,upperdir=upper,workdir=work)\n");
        o.config = buf_str(&config);
        return runtime_plan(rt, &o, plan, e);
}

int sandbox_run(const struct sandbox *s, const char *state_root, const struct log *log,
                struct buf *plan, int *ret_status, struct err *e)
{
        struct runtime rt = { .root = state_root, .log = log };
        struct bundle b = { .dir = -1 };
        struct sandbox absolute = *s;
        char path[PATH_MAX];
        int r;

        if (s->rootfs) {
                if (!realpath(s->rootfs, path))
                        return err_sys(e, errno, "--rootfs: cannot open \"%s\"", s->rootfs);
                absolute.rootfs = path;
        }
        *ret_status = 0;
        if (plan)
                return plan_only(&absolute, &rt, plan, e);
        if (geteuid() != 0) {
                err_set(e, ERR_DENIED, "berth run needs root for now");
                return err_hint(e,
                                "run it with sudo; unprivileged users can use `berth-oci` with a "
                                "user namespace");
        }
        r = run_in(&absolute, &rt, &b, ret_status, e);
        fd_close(b.dir);
        return r;
}
