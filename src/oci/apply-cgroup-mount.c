/* Mounts of type "cgroup": what a container sees under /sys/fs/cgroup.
 *
 * The container's own directory of each hierarchy is bound, with or without a cgroup namespace.
 * Where v2 is alone it is mounted on the target itself; with v1 (and hybrid) the target becomes
 * a tmpfs with a directory a hierarchy, and a link for each name of a combined one, as hosts
 * have it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "kernel/mount.h"
#include "kernel/resolve.h"
#include "oci/launch.h"

struct cgroup_view {
        struct init *in;
        const struct plan_mount *m;
        const struct cgroup *c; /* the container's, or the runtime's where it has none of its own */
};

static int failed(const struct cgroup_view *v, int error, const char *name, struct err *e)
{
        return err_sys(e, error, "%s: cannot mount the cgroup hierarchy \"%s\"", v->m->field, name);
}

static int finish(const struct cgroup_view *v, int fd, int target, const char *name, struct err *e)
{
        /* The host's mounts are no master of it, as they are not of a fresh mount: whoever
         * restores it from a checkpoint could not name them. */
        struct mount_attrs a = { .set = v->m->attrs.set,
                                 .clear = v->m->attrs.clear,
                                 .propagation = 1 << 18 };
        int r = mount_change(fd, &a);

        if (r == 0)
                r = mount_attach(fd, target);
        return r < 0 ? failed(v, r, name, e) : 0;
}

/* The container's own directory as a mount. A fresh mount of the hierarchy would show the same
 * to a cgroup namespace, but mounting cgroup2 waits for an RCU grace period (6.18: 7 ms against
 * 12 us). */
static int open_hierarchy(const struct cgroup_dir *d)
{
        return mount_copy(AT_FDCWD, d->path, false);
}

static int mount_v2(const struct cgroup_view *v, const struct cgroup_dir *d, int target,
                    struct err *e)
{
        AUTO_FD int fd = open_hierarchy(d);

        return fd < 0 ? failed(v, fd, "unified", e) : finish(v, fd, target, "unified", e);
}

const char *mount_cgroup_name(const struct cgroup_dir *d)
{
        const char *named = str_after(d->name, "name=");

        return d->v2 ? "unified" : named ? named : d->name;
}

static int link_names(const struct cgroup_view *v, int top, const char *name, struct err *e)
{
        const char *at = name, *part;
        char link[64];
        size_t n;

        if (!strchr(name, ','))
                return 0;
        while (str_next(&at, ',', &part, &n)) {
                snprintf(link, sizeof link, "%.*s", (int)n, part);
                if (symlinkat(name, top, link) < 0 && errno != EEXIST)
                        return failed(v, -errno, link, e);
        }
        return 0;
}

static int mount_below(const struct cgroup_view *v, const struct cgroup_dir *d, int top,
                       struct err *e)
{
        const char *name = mount_cgroup_name(d);

        if (mkdirat(top, name, 0755) < 0 && errno != EEXIST)
                return failed(v, -errno, name, e);
        AUTO_FD int target = openat(top, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        AUTO_FD int fd = open_hierarchy(d);
        if (fd < 0)
                return failed(v, fd, name, e);
        if (finish(v, fd, target, name, e) < 0)
                return -1;
        return link_names(v, top, name, e);
}

static int mount_all(const struct cgroup_view *v, int target, struct err *e)
{
        static const struct mount_param mode[] = { { "mode", "755" } };
        struct mount_attrs ro = { .set = MOUNT_ATTR_RDONLY };
        AUTO_FD int top =
                mount_new("tmpfs", "tmpfs", mode, 1,
                          MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, NULL, NULL, 0);
        int r = top < 0 ? top : mount_attach(top, target);

        if (r < 0)
                return failed(v, r, "tmpfs", e);
        for (size_t i = 0; i < v->c->n; i++)
                if (mount_below(v, &v->c->v[i], top, e) < 0)
                        return -1;
        r = v->m->attrs.set & MOUNT_ATTR_RDONLY ? mount_change(top, &ro) : 0;
        return r < 0 ? failed(v, r, "tmpfs", e) : 0;
}

/* A container without a cgroup of its own (--cgroup-manager=disabled, rootless) is in the
 * runtime's. */
static int host_view(struct init *in, struct cgroup *ret, struct err *e)
{
        struct cgroup_layout l;

        if (cgroup_layout_read(in->l->arena, &l) < 0 ||
            cgroup_locate(in->l->arena, &l, "/", ret) < 0)
                return err_set(e, ERR_SYSTEM, "cannot read the host's cgroup mounts");
        return 0;
}

/* A user's systemd puts the scope below its own slice, where the plan could not know: the
 * runtime has recorded the place while we waited to be adopted. */
static bool chosen_by_systemd(const struct init *in)
{
        return in->l->plan->systemd_scope && in->l->plan->flags & PLAN_ROOTLESS;
}

static int recorded_view(struct init *in, struct cgroup *ret, struct err *e)
{
        if (container_reload(in->l->arena, in->l->container, e) < 0)
                return -1;
        return container_cgroup(in->l->arena, in->l->container, ret, e);
}

int mount_cgroups(struct init *in, const struct op *op, struct err *e)
{
        struct cgroup_view v = { .in = in, .m = op->mount, .c = in->l->plan->cgroup };
        struct cgroup host;
        int target;

        if (!v.c || chosen_by_systemd(in)) {
                if ((v.c ? recorded_view(in, &host, e) : host_view(in, &host, e)) < 0)
                        return -1;
                v.c = &host;
        }
        target = resolve_make(in->root, op->mount->spec->destination, 1, 0755);
        AUTO_FD int keep = target;
        if (target < 0)
                return err_sys(e, keep, "%s: cannot use \"%s\" as a mount point", op->mount->field,
                               op->mount->spec->destination);
        if (v.c->n == 0)
                return err_set(e, ERR_UNSUPPORTED, "%s: this host has no cgroups mounted",
                               op->mount->field);
        if (v.c->n == 1 && v.c->v2 == 0)
                return mount_v2(&v, &v.c->v[0], target, e);
        return mount_all(&v, target, e);
}
