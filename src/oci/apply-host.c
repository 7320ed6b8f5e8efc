/* What the runtime itself does: before init exists (STAGE_HOST), while init waits (STAGE_ADOPT,
 * STAGE_RUNTIME), and after start. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "kernel/mount.h"
#include "kernel/netdev.h"
#include "kernel/netlink.h"
#include "kernel/process.h"
#include "kernel/resolve.h"
#include "oci/cgroup-apply.h"
#include "oci/id-map.h"
#include "oci/launch.h"
#include "oci/sd-notify.h"
#include "oci/systemd.h"

/* Whether we are less than the host's root; uid 0 of a user namespace is, too. */
static bool rootless(const struct launch *l)
{
        return (l->plan->flags & PLAN_ROOTLESS) != 0;
}

/* ---- STAGE_HOST ---- */

static int make_state(struct launch *l, const struct op *op, struct err *e)
{
        int dir = l->container->dir;

        if (l->mode != LAUNCH_CREATE)
                return 0;
        if (mkfifoat(dir, "start", 0600) < 0 || mkfifoat(dir, "result", 0600) < 0)
                return err_sys(e, errno, "cannot make a FIFO in \"%s\"", op->text);
        /* Both ends, so that opening doesn't wait for the other. */
        l->fifo_start = openat(dir, "start", O_RDWR | O_CLOEXEC);
        l->fifo_result = openat(dir, "result", O_RDWR | O_CLOEXEC);
        if (l->fifo_start < 0 || l->fifo_result < 0)
                return err_sys(e, errno, "cannot open a FIFO in \"%s\"", op->text);
        return 0;
}

/* How many trailing components of each directory are missing, and thus will be ours to remove:
 * known before anything is made, for a runtime that is killed in between (container.h, C2). */
static bool count_missing(struct cgroup *c)
{
        bool exists = false;

        for (size_t i = 0; i < c->n; i++) {
                char path[PATH_MAX];
                size_t stop = strlen(c->v[i].mount);

                snprintf(path, sizeof path, "%s", c->v[i].path);
                c->v[i].made = 0;
                while (strlen(path) > stop && access(path, F_OK) < 0) {
                        c->v[i].made++;
                        *strrchr(path, '/') = 0;
                }
                exists |= c->v[i].made == 0;
        }
        return exists;
}

static int save_cgroup(struct launch *l, struct cgroup *c, struct err *e)
{
        AUTO_BUF text = { 0 };

        cgroup_encode(c, &text);
        l->container->cgroups = arena_strdup(l->arena, buf_str(&text));
        return container_save(l->container, e);
}

/* Somebody else's processes must not be killed by our cleaning up, so look before the state file
 * says that this cgroup is ours. */
static int check_unused(struct cgroup *c, struct err *e)
{
        if (count_missing(c) && cgroup_is_empty(c) == 0) {
                err_set(e, ERR_STATE, "container's cgroup is not empty: \"%s\" has processes",
                        c->v[0].path);
                return err_hint(e, "choose another linux.cgroupsPath, or end what runs there");
        }
        return 0;
}

static int make_cgroup(struct launch *l, const struct op *op, struct err *e)
{
        struct cgroup *c = l->plan->cgroup;
        struct cgroup_fail f = { 0 };

        if (check_unused(c, e) < 0)
                return -1;
        if (save_cgroup(l, c, e) < 0)
                return -1;
        l->cgroup_made = true;
        if (cgroup_create(c, l->plan->limits->required,
                          CGROUP_FRESH | (rootless(l) ? CGROUP_LENIENT : 0), &f) < 0) {
                l->cgroup_made = false; /* what it made is gone again, what was there stays */
                return cgroup_err(e, &f);
        }
        return 0;
}

static int set_cgroup(struct launch *l, const struct op *op, struct err *e)
{
        struct cgroup_fail f = { 0 };

        for (size_t i = 0; i < l->plan->limits->warnings.n; i++)
                log_warning(l->log, "%s", l->plan->limits->warnings.v[i]);
        if (cgroup_plan_apply(l->plan->cgroup, l->plan->limits, e) < 0)
                return -1;
        if (op->stage == STAGE_ADOPT)
                return 0;
        if (cgroup_join_prepare(l->plan->cgroup, NULL, 0, &l->join, &f) < 0)
                return cgroup_err(e, &f);
        return 0;
}

static int make_notify(struct launch *l, const struct op *op, struct err *e)
{
        if (sd_notify_make(l->container, e) < 0)
                return -1;
        if (l->plan->flags & PLAN_ROOTLESS)
                return 0;
        l->notify_source = mount_copy(l->container->dir, "notify", false);
        if (l->notify_source < 0)
                return err_sys(e, l->notify_source, "cannot open the notify directory");
        return 0;
}

/* A copy made here is a peer of the host's mount, where that is shared (systemd makes / so):
 * what is later mounted inside would show on the host. In init's namespace OP_PROPAGATION sees
 * to that. */
static int copy_host(struct launch *l, const char *path, bool rec, bool root)
{
        const struct op *cut = plan_find(l->plan, OP_PROPAGATION);
        bool shared = cut && cut->flags == mount_opt_find("rshared")->value;
        struct mount_attrs a = {
                .propagation = shared ? mount_opt_find("private")->value : cut->flags,
                .propagation_rec = !shared,
        };
        int fd = mount_copy(AT_FDCWD, path, rec), r;

        if (fd < 0 || (shared && !root))
                return fd;
        r = mount_change(fd, &a);
        if (r == 0)
                return fd;
        fd_close(fd);
        return r;
}

static bool same_mappings(const struct id_mappings *a, const struct id_mappings *b)
{
        return a && b && a->n == b->n && memcmp(a->v, b->v, a->n * sizeof *a->v) == 0;
}

/* The user namespace by which a source is mapped: mostly all of them by the same. */
static int idmap_userns(struct launch *l, const struct spec_mount *m, struct err *e)
{
        const struct spec_linux *s = &l->plan->spec->linux_;
        const struct id_mappings *uids = m->uid_mappings.n ? &m->uid_mappings : &s->uid_mappings;
        const struct id_mappings *gids = m->gid_mappings.n ? &m->gid_mappings : &s->gid_mappings;

        if (same_mappings(uids, l->idmap_uids) && same_mappings(gids, l->idmap_gids))
                return l->idmap_userns;
        fd_close(l->idmap_userns);
        l->idmap_userns = id_map_userns(uids, gids, e);
        l->idmap_uids = l->idmap_userns >= 0 ? uids : NULL;
        l->idmap_gids = gids;
        return l->idmap_userns;
}

static int open_source(struct launch *l, const struct op *op, struct err *e)
{
        const struct plan_mount *m = op->mount;
        int fd = copy_host(l, m->source, m->rec, false), userns, r;

        if (fd < 0)
                return err_sys(e, fd, "%s: cannot open the source \"%s\"", m->field, m->source);
        l->sources[m->index] = fd;
        if (!m->idmap)
                return 0;
        userns = idmap_userns(l, m->spec, e);
        if (userns < 0)
                return err_in(e, "%s", m->field);
        r = mount_idmap(fd, userns, m->idmap_rec);
        if (r < 0) {
                err_sys(e, r, "%s: cannot map ids on \"%s\"", m->field, m->source);
                return err_hint(e,
                                "its file system may not support idmapped mounts on this kernel");
        }
        return 0;
}

static int open_root(struct launch *l, const struct op *op, struct err *e)
{
        l->root_source = copy_host(l, l->plan->rootfs, true, true);
        if (l->root_source < 0)
                return err_sys(e, l->root_source, "cannot open the root file system \"%s\"",
                               l->plan->rootfs);
        return 0;
}

/* ---- STAGE_ADOPT ---- */

static int unit_in_use(const struct systemd_unit *u, struct err *e)
{
        err_set(e, ERR_EXISTS, "systemd unit \"%.200s\" has processes already", u->name);
        return err_hint(e, "choose another linux.cgroupsPath, or end it: systemctl stop %.60s",
                        u->name);
}

static int start_scope(struct launch *l, const struct op *op, struct err *e)
{
        const struct spec_linux *s = &l->plan->spec->linux_;
        struct systemd_start start = { .id = l->container->id, .pid = l->init };
        AUTO_BUF properties = { 0 };
        struct cgroup_layout layout;
        struct cgroup_fail f = { 0 };
        AUTO_FREE char *devices = NULL;
        const char *group;
        size_t n;

        fd_read_file_at(AT_FDCWD, "/proc/devices", 1 << 16, &devices, &n);
        if (cgroup_layout_read(l->arena, &layout) < 0)
                return err_set(e, ERR_SYSTEM, "cannot read the host's cgroup mounts");
        if (systemd_unit_parse(l->arena, s->cgroups_path, l->container->id, rootless(l),
                               &start.unit, e) < 0 ||
            systemd_properties(l->plan->limits, devices, &properties, e) < 0 ||
            systemd_annotations(&l->plan->spec->annotations, &properties, e) < 0)
                return -1;
        /* As in make_cgroup(): what runs in a unit of that name is not ours to stop. */
        if (cgroup_is_empty(l->plan->cgroup) == 0)
                return unit_in_use(&start.unit, e);
        start.properties = buf_str(&properties);
        if (check_unused(l->plan->cgroup, e) < 0)
                return -1;
        l->container->scope = s->cgroups_path ? s->cgroups_path : "";
        l->container->scope_user = start.unit.user;
        if (save_cgroup(l, l->plan->cgroup, e) < 0)
                return -1;
        l->cgroup_made = true;
        if (systemd_start(l->arena, &start, &group, e) < 0) {
                if (e->code == ERR_EXISTS) {
                        l->container->scope = NULL;
                        l->cgroup_made = false;
                }
                return -1;
        }
        if (cgroup_locate_container(l->arena, &layout, group, l->container->id, l->plan->cgroup,
                                    e) < 0)
                return -1;
        if (save_cgroup(l, l->plan->cgroup, e) < 0)
                return -1;
        /* systemd makes the directory in its own hierarchies only; where controllers live in others
         * (v1, hybrid) the rest is ours. */
        if (cgroup_create(l->plan->cgroup, 0, rootless(l) ? CGROUP_LENIENT : 0, &f) < 0 ||
            (!cgroup_layout_unified(&layout) && cgroup_join_pid(l->plan->cgroup, l->init, &f) < 0))
                return cgroup_err(e, &f);
        return 0;
}

static int delegate(struct launch *l, const struct op *op, struct err *e)
{
        const struct spec_linux *s = &l->plan->spec->linux_;
        struct cgroup_fail f = { 0 };
        uint32_t uid, gid;

        if (!id_to_host(&s->uid_mappings, 0, &uid) || !id_to_host(&s->gid_mappings, 0, &gid))
                return 0; /* nobody inside is root, so nobody inside could use it */
        if (cgroup_delegate(l->plan->cgroup, uid, gid, &f) < 0)
                return cgroup_err(e, &f);
        return 0;
}

static int write_id_maps(struct launch *l, const struct op *op, struct err *e)
{
        const struct spec_linux *s = &l->plan->spec->linux_;

        return id_map_write(l->proc, l->init, &s->uid_mappings, &s->gid_mappings, e);
}

static int set_oom_score(struct launch *l, const struct op *op, struct err *e)
{
        char path[64], value[32];
        int r;

        snprintf(path, sizeof path, "%d/oom_score_adj", l->init);
        snprintf(value, sizeof value, "%lld", (long long)op->number);
        AUTO_FD int fd = resolve_proc(l->proc, path, O_WRONLY);
        r = fd < 0 ? fd : write(fd, value, strlen(value)) < 0 ? -errno : 0;
        /* Without privilege it can't go down; what podman and others set by default must not
         * fail. */
        if (r == -EACCES && rootless(l)) {
                log_warning(l->log, "process.oomScoreAdj: %s: %s", value, strerror(-r));
                return 0;
        }
        if (r < 0) {
                err_sys(e, r, "process.oomScoreAdj: cannot set it to %s", value);
                if (r == -EACCES || r == -EPERM)
                        err_hint(e, "lowering it takes CAP_SYS_RESOURCE, which this process lacks");
                return -1;
        }
        return 0;
}

static int set_rlimits(struct launch *l, const struct op *op, struct err *e)
{
        const struct spec_process *p = l->plan->process;

        for (size_t i = 0; i < p->n_rlimits; i++) {
                const struct spec_rlimit *r = &p->rlimits[i];
                const struct str_flag *f = str_flag_find(process_rlimits, r->type);
                int rc = process_rlimit_set(l->init, (int)f->value, r->soft, r->hard);

                if (rc < 0)
                        return rlimit_err(e, r, rc);
        }
        return 0;
}

/* The way back is the same request with the sides changed. */
static int move_net(struct launch *l, const char *from, const char *to, bool back,
                    enum netdev_step *ret_step)
{
        char path[64];

        /* Kept: without it the namespace and its devices go with an init that fails. */
        snprintf(path, sizeof path, "/proc/%d/ns/net", l->init);
        if (l->netns < 0)
                l->netns = open(path, O_RDONLY | O_CLOEXEC);
        AUTO_FD int outside = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        if (l->netns < 0 || outside < 0)
                return -errno;
        AUTO_FD int here = netlink_open();
        AUTO_FD int there = netlink_open_in(l->netns);
        if (here < 0 || there < 0)
                return here < 0 ? here : there;
        return back ? netdev_move(there, here, outside, from, to, ret_step)
                    : netdev_move(here, there, l->netns, from, to, ret_step);
}

static int move_net_device(struct launch *l, const struct op *op, struct err *e)
{
        const struct spec_net_device *d = op->net_device;
        enum netdev_step step = NETDEV_FIND;
        int r = move_net(l, d->host_name, d->name, false, &step);

        if (r == -EEXIST)
                return err_sys(e, r, "linux.netDevices.%s: cannot %s it as \"%s\"", d->host_name,
                               netdev_step_names[step], d->name ? d->name : d->host_name);
        if (r < 0)
                return err_sys(e, r, "linux.netDevices.%s: cannot %s it", d->host_name,
                               netdev_step_names[step]);
        l->net_moved++;
        return 0;
}

void launch_return_net(struct launch *l)
{
        const struct spec_linux *s = &l->plan->spec->linux_;
        enum netdev_step step;

        for (; l->net_moved > 0; l->net_moved--) {
                const struct spec_net_device *d = &s->net_devices[l->net_moved - 1];

                /* What a "%d" became is not known here: such a device goes with the namespace. */
                move_net(l, d->name ? d->name : d->host_name, d->host_name, true, &step);
        }
}

/* ---- hooks ---- */

static int runtime_hook(struct launch *l, const struct op *op, struct err *e)
{
        if (op->stage == STAGE_RUNTIME)
                return launch_hook(l, op, STATUS_CREATING, l->plan->bundle, environ, e);
        if (op->stage == STAGE_STARTED)
                return launch_hook(l, op, STATUS_RUNNING, l->plan->bundle, environ, e);
        return 0; /* init's */
}

runtime_fn *const runtime_ops[OP_MAX] = {
        [OP_STATE] = make_state,           [OP_CGROUP] = make_cgroup,
        [OP_CGROUP_SET] = set_cgroup,      [OP_RDT] = runtime_rdt_make,
        [OP_NOTIFY] = make_notify,         [OP_SOURCE] = open_source,
        [OP_ROOT_SOURCE] = open_root,      [OP_SCOPE] = start_scope,
        [OP_DELEGATE] = delegate,          [OP_ID_MAPS] = write_id_maps,
        [OP_OOM_SCORE] = set_oom_score,    [OP_RLIMITS] = set_rlimits,
        [OP_NET_DEVICE] = move_net_device, [OP_RDT_ASSIGN] = runtime_rdt_assign,
        [OP_HOOK] = runtime_hook,
};
