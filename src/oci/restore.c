/* restore: has CRIU make a container's processes from files.
 *
 * The processes, and what they are to each other:
 *   runtime  the caller, in the host's namespaces: makes the cgroup, then serves criu's
 *            notifications
 *   criu     born in the container's cgroup, in a mount namespace of its own, where the root file
 *            system is mounted on <state>/criu-root: CRIU wants it to be a mount point, and the
 *            host never sees it. Before the exec it mounts what the container is to get from
 *            outside, so that mount points get made and the runtime can read their names, and
 *            drops it all again
 *   init     made by criu as its sibling, so the runtime is its parent, as after a create */
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
#include "base/str.h"
#include "kernel/mount.h"
#include "kernel/netdev.h"
#include "kernel/proc.h"
#include "kernel/resolve.h"
#include "oci/checkpoint-criu.h"
#include "oci/checkpoint-images.h"
#include "oci/checkpoint-mounts.h"
#include "oci/creation.h"
#include "oci/foreground.h"
#include "oci/sd-notify.h"
#include "oci/sync.h"

#define ROOT_NAME "criu-root"
#define CGROUP_TEXT_MAX (1u << 20)
#define MS_SLAVE_ (1 << 19)

struct restore {
        struct creation c;
        const struct restore_options *o;
        struct checkpoint_images images;
        struct criu criu;
        struct criu_opts opts;
        struct foreground foreground;
        const char *root;   /* of criu-root, without links */
        const char *notify; /* <state>/notify, or NULL */
        int ns_fds[NS_MAX]; /* external namespaces, to be left open for criu */
        size_t n_ns_fds;
};

/* ---- criu, before the exec ---- */

static int attach(struct restore *r, int root, int fd, const char *dest, bool dir, struct err *e)
{
        AUTO_FD int target = resolve_make(root, dest, dir, dir ? 0755 : 0644);
        int rc = target < 0 ? target : mount_attach(fd, target);

        return rc < 0 ? err_sys(e, rc, "cannot use \"%s\" as a mount point", dest) : 0;
}

static int attach_bind(struct restore *r, int root, const char *source, const char *dest, bool rec,
                       struct err *e)
{
        AUTO_FD int fd = mount_copy(AT_FDCWD, source, rec);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return err_sys(e, fd < 0 ? fd : errno, "cannot open \"%s\" to mount it on \"%s\"",
                               source, dest);
        return attach(r, root, fd, dest, S_ISDIR(st.st_mode), e);
}

/* Stands for a file system that CRIU makes, lest mount points in it be made below it. */
static int attach_empty(struct restore *r, int root, const char *dest, struct err *e)
{
        AUTO_FD int fd = mount_new("tmpfs", "tmpfs", NULL, 0, 0, NULL, NULL, 0);

        if (fd < 0)
                return err_sys(e, fd, "cannot make a tmpfs");
        return attach(r, root, fd, dest, true, e);
}

static int attach_cgroups(struct restore *r, int root, const char *dest, struct err *e)
{
        const struct cgroup *c = r->c.plan.cgroup;

        if (r->c.spec.linux_.namespaces[NS_CGROUP].present || !c)
                return 0;
        for (size_t i = 0; i < c->n; i++) {
                bool alone = c->n == 1 && c->v2 == 0;
                const char *at = arena_printf(&r->c.arena, "%s/%s", dest,
                                              alone ? "" : mount_cgroup_name(&c->v[i]));

                if (attach_bind(r, root, c->v[i].path, at, false, e) < 0)
                        return -1;
        }
        return 0;
}

static int attach_op(struct restore *r, int root, const struct op *op, struct err *e)
{
        const struct plan_mount *m = op->mount;

        switch (op->kind) {
        case OP_MOUNT:
                if (!m->bind)
                        return attach_empty(r, root, m->spec->destination, e);
                return attach_bind(r, root, m->source, m->spec->destination, m->rec, e);
        case OP_CGROUP_MOUNT:
                return attach_cgroups(r, root, m->spec->destination, e);
        case OP_DEVICE:
                if (!r->c.plan.userns)
                        return 0;
                return attach_bind(r, root, op->device->path, op->device->path, false, e);
        case OP_NOTIFY_MOUNT:
                return attach_bind(r, root, r->notify, SD_NOTIFY_DIR, false, e);
        default:
                return 0;
        }
}

static int attach_root(struct restore *r, const char *path, struct err *e)
{
        const char *rootfs = r->c.plan.rootfs;
        AUTO_FD int target = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        AUTO_FD int fd = mount_copy(AT_FDCWD, rootfs, true);
        int rc = fd < 0 ? fd : target < 0 ? -errno : mount_attach(fd, target);

        if (rc < 0)
                return err_sys(e, rc, "root.path: cannot mount \"%s\"", rootfs);
        return TAKE_FD(fd);
}

/* Mounts what create would, on the root's own place as it does: every mount point that CRIU will
 * need is there afterwards, and what a recursive bind brings along is to be seen. */
static int rehearse(struct restore *r, struct err *e)
{
        const struct plan *p = &r->c.plan;
        AUTO_FD int root = attach_root(r, p->rootfs, e);

        if (root < 0)
                return -1;
        for (size_t i = 0; i < p->n; i++)
                if (attach_op(r, root, &p->ops[i], e) < 0)
                        return err_in(e, "cannot prepare the container's root");
        return 0;
}

static int prepare_root(void *context, int sync, struct err *e)
{
        struct restore *r = context;
        int rc;

        /* The systemd driver puts us into a scope first. */
        if (sync_wait_go(sync) < 0)
                _exit(1);
        if (unshare(CLONE_NEWNS) < 0)
                return err_sys(e, errno, "cannot make a mount namespace for criu");
        rc = mount_propagation("/", MS_SLAVE_, true);
        if (rc < 0)
                return err_sys(e, rc, "cannot cut off the mounts of criu from the host's");
        if (rehearse(r, e) < 0)
                return -1;
        if (sync_send(sync, SYNC_MOUNTED, 0) < 0 || sync_wait_go(sync) < 0)
                _exit(1);
        if (umount2(r->c.plan.rootfs, MNT_DETACH) < 0)
                return err_sys(e, errno, "cannot unmount \"%s\"", r->c.plan.rootfs);
        rc = attach_root(r, r->root, e);
        fd_close(rc);
        return MIN(rc, 0);
}

/* ---- what to ask ---- */

static int open_namespace(struct restore *r, const char *path, const char *key, struct err *e)
{
        struct criu_inherited *in = &r->opts.inherited[r->opts.n_inherited++];
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return err_sys(e, errno, "linux.namespaces: cannot open \"%s\"", path);
        r->ns_fds[r->n_ns_fds++] = fd;
        *in = (struct criu_inherited){ key, fd };
        return 0;
}

/* Namespaces to join: CRIU leaves network and pid namespaces alone, as what checkpoint called
 * external; others it enters by path. */
static int namespaces(struct restore *r, struct err *e)
{
        static const struct {
                const char *external, *join;
        } table[NS_MAX] = {
                [NS_NET] = { .external = "extRootNetNS" },
                [NS_PID] = { .external = "extRootPidNS" },
                [NS_USER] = { .join = "user" },
                [NS_IPC] = { .join = "ipc" },
                [NS_UTS] = { .join = "uts" },
                [NS_TIME] = { .join = "time" },
                [NS_MOUNT] = { .join = "mnt" },
        };
        struct criu_opts *o = &r->opts;

        o->join_ns = arena_array(&r->c.arena, struct key_value, NS_MAX);
        for (int k = 0; k < NS_MAX; k++) {
                const char *path = r->c.spec.linux_.namespaces[k].path;

                if (!path)
                        continue;
                if (table[k].external) {
                        if (open_namespace(r, path, table[k].external, e) < 0)
                                return -1;
                } else if (table[k].join) {
                        o->join_ns[o->n_join_ns++] = (struct key_value){ table[k].join, path };
                } else {
                        return err_set(e, ERR_UNSUPPORTED,
                                       "linux.namespaces: criu cannot join a %s namespace",
                                       spec_ns_names[k]);
                }
        }
        return 0;
}

/* Our standard descriptors take the places of those that the container had. */
static int stdio(struct restore *r, struct err *e)
{
        const char *names[3];

        if (checkpoint_descriptors_read(&r->c.arena, r->images.images, names, e) < 0)
                return -1;
        for (int i = 0; i < 3; i++)
                if (names[i] && str_after(names[i], "pipe:["))
                        r->opts.inherited[r->opts.n_inherited++] =
                                (struct criu_inherited){ names[i], i };
        return 0;
}

/* The path as a mount table shows it: without links. */
static const char *clean_path(struct arena *a, const char *path)
{
        char clean[PATH_MAX];

        return realpath(path, clean) ? arena_strdup(a, clean) : NULL;
}

static int external_mounts(struct restore *r, struct err *e)
{
        struct arena *a = &r->c.arena;
        struct mount_view view = { .plan = &r->c.plan,
                                   .cgroup = r->c.plan.cgroup,
                                   .notify = r->notify,
                                   .pid = r->criu.pid,
                                   .root = clean_path(a, r->c.plan.rootfs) };
        struct strings *out = &r->opts.external;
        struct key_values found;

        if (!view.root)
                return err_sys(e, errno, "root.path: cannot look up \"%s\"", r->c.plan.rootfs);
        if (checkpoint_mounts(a, &view, &found, e) < 0)
                return -1;
        out->v = arena_array(a, const char *, found.n + 1);
        for (size_t i = 0; i < found.n; i++)
                out->v[out->n++] = arena_printf(a, "mnt[%s]:%s", found.v[i].key, found.v[i].value);
        out->v[out->n++] = "mnt[" CHECKPOINT_MASK "]:" CHECKPOINT_MASK;
        return 0;
}

static void add_cgroup_root(struct restore *r, const char *names, const char *path)
{
        struct criu_opts *o = &r->opts;
        const char *name;
        size_t n;

        if (!*names) {
                o->cgroup_roots[o->n_cgroup_roots++] = (struct key_value){ "", path };
                return;
        }
        while (o->n_cgroup_roots < CGROUP_HIERARCHIES_MAX * 2 && str_next(&names, ',', &name, &n))
                o->cgroup_roots[o->n_cgroup_roots++] =
                        (struct key_value){ arena_strndup(&r->c.arena, name, n), path };
}

/* CRIU puts the processes into the cgroup that it is in itself, whatever theirs was called
 * before. */
static int cgroup_roots(struct restore *r, struct err *e)
{
        AUTO_FREE char *text = NULL;
        char path[64], *at, *line;
        size_t n;
        int rc;

        if (!r->c.plan.cgroup)
                return 0;
        snprintf(path, sizeof path, "/proc/%d/cgroup", r->criu.pid);
        rc = fd_read_file_at(AT_FDCWD, path, CGROUP_TEXT_MAX, &text, &n);
        if (rc < 0)
                return err_sys(e, rc, "cannot read criu's cgroup");
        r->opts.cgroup_roots =
                arena_array(&r->c.arena, struct key_value, CGROUP_HIERARCHIES_MAX * 2 + 1);
        at = arena_strdup(&r->c.arena, text);
        while ((line = strsep(&at, "\n"))) { /* "ID:NAMES:PATH" */
                const char *names;

                strsep(&line, ":");
                names = strsep(&line, ":");
                if (names && line && r->opts.n_cgroup_roots < CGROUP_HIERARCHIES_MAX * 2)
                        add_cgroup_root(r, names, line);
        }
        return 0;
}

static int set_options(struct restore *r, struct err *e)
{
        r->opts = r->o->criu;
        checkpoint_common(&r->images, &r->c.spec, "restore.log", &r->opts, &r->criu);
        r->opts.root = r->root;
        r->opts.rst_sibling = true;
        r->opts.evasive_devices = true;
        if (r->c.spec.linux_.namespaces[NS_NET].present)
                r->opts.empty_ns = CLONE_NEWNET;
        r->opts.inherited = arena_array(&r->c.arena, struct criu_inherited, NS_MAX + 3);
        return namespaces(r, e) < 0 ? -1 : stdio(r, e);
}

/* ---- notifications ---- */

static int found_init(struct restore *r, pid_t pid, struct err *e)
{
        struct launch *l = &r->c.launch;

        if (pid <= 0)
                return err_set(e, ERR_SYSTEM, "criu does not say what init's pid is");
        l->init = pid;
        r->c.container.pid = pid;
        fd_close(l->pidfd);
        l->pidfd = sys_pidfd_open(pid);
        return l->pidfd < 0 ? err_sys(e, errno, "cannot watch init %d", pid) : 0;
}

/* CRIU makes the network namespace and nothing in it. */
static int loopback_up(pid_t pid, struct err *e)
{
        char path[64];
        int rc;

        snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
        AUTO_FD int theirs = open(path, O_RDONLY | O_CLOEXEC);
        AUTO_FD int ours = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        if (theirs < 0 || ours < 0 || setns(theirs, CLONE_NEWNET) < 0)
                return err_sys(e, errno, "cannot enter init's network namespace");
        rc = netdev_loopback_up();
        if (setns(ours, CLONE_NEWNET) < 0)
                return err_sys(e, errno, "cannot return to the host's network namespace");
        return rc < 0 ? err_sys(e, rc, "cannot set the loopback device up") : 0;
}

static int on_namespaces(struct restore *r, pid_t pid, struct err *e)
{
        const struct plan *p = &r->c.plan;

        if (found_init(r, pid, e) < 0)
                return -1;
        if (plan_find(p, OP_LOOPBACK) && loopback_up(pid, e) < 0)
                return -1;
        for (size_t i = 0; i < p->n; i++)
                if (p->ops[i].kind == OP_NET_DEVICE &&
                    runtime_ops[OP_NET_DEVICE](&r->c.launch, &p->ops[i], e) < 0)
                        return -1;
        return launch_stage(&r->c.launch, STAGE_RUNTIME, e);
}

/* CRIU puts what it restores into a time namespace, so that its clocks go on where they stood. */
static bool in_time_namespace(pid_t pid)
{
        char path[64];
        struct stat ours, theirs;

        snprintf(path, sizeof path, "/proc/%d/ns/time", pid);
        return stat(path, &theirs) == 0 && stat("/proc/self/ns/time", &ours) == 0 &&
               ours.st_ino != theirs.st_ino;
}

static int on_restored(struct restore *r, pid_t pid, struct err *e)
{
        struct container *c = &r->c.container;
        struct proc_stat st;
        int rc;

        if (found_init(r, pid, e) < 0)
                return -1;
        rc = proc_stat_read(pid, &st);
        if (rc < 0)
                return err_sys(e, rc, "init %d is gone", pid);
        c->pid_start = st.start;
        c->time_ns = !r->c.spec.linux_.namespaces[NS_TIME].present && in_time_namespace(pid);
        return container_save(c, e);
}

static int on_terminal(struct restore *r, int fd, struct err *e)
{
        struct launch *l = &r->c.launch;
        int rc;

        if (fd < 0)
                return err_set(e, ERR_SYSTEM, "criu sent no terminal");
        if (l->console_sock < 0) {
                err_set(e, ERR_INVALID, "the container has a terminal, process.terminal is false");
                return err_hint(e, "restore it with the configuration that it was made from");
        }
        rc = fd_send(l->console_sock, "/dev/ptmx", 10, &fd, 1);
        l->console_sock = fd_close(l->console_sock);
        return rc < 0 ? err_sys(e, rc, "cannot send the terminal to the console socket") : 0;
}

static int on_notify(void *context, const struct criu_notify *n, int *fd, struct err *e)
{
        if (str_eq(n->script, "setup-namespaces"))
                return on_namespaces(context, n->pid, e);
        if (str_eq(n->script, "post-restore"))
                return on_restored(context, n->pid, e);
        if (str_eq(n->script, "orphan-pts-master"))
                return on_terminal(context, *fd, e);
        return 0;
}

/* ---- doing it ---- */

/* CRIU works in these directories, and mounts there: they must be on mounts of its own
 * namespace, so they are opened once more through its root. It finds them among our descriptors. */
static int move_dir(struct restore *r, int *fd, struct err *e)
{
        struct fd_path link = fd_path(*fd);
        const char *path = clean_path(&r->c.arena, link.s), *there;
        int inside;

        if (!path)
                return err_sys(e, errno, "cannot look up a directory of the checkpoint");
        there = arena_printf(&r->c.arena, "/proc/%d/root%s", r->criu.pid, path);
        inside = open(there, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (inside < 0)
                return err_sys(e, errno, "cannot open \"%s\" for criu", path);
        fd_close(*fd);
        *fd = inside;
        return 0;
}

static int move_dirs(struct restore *r, struct err *e)
{
        if (move_dir(r, &r->images.images, e) < 0 || move_dir(r, &r->images.work, e) < 0)
                return -1;
        r->opts.images_dir_fd = r->images.images;
        r->opts.work_dir_fd = r->criu.log_dir = r->images.work;
        return 0;
}

/* The operations of create that are a restore's too. init stands for the process that they are
 * about: for now criu, from which the container's will inherit. */
static int run_ops(struct restore *r, enum stage stage, pid_t init, struct err *e)
{
        static const bool wanted[OP_MAX] = {
                [OP_CGROUP] = true,     [OP_CGROUP_SET] = true, [OP_RDT] = true,
                [OP_NOTIFY] = true,     [OP_SCOPE] = true,      [OP_DELEGATE] = true,
                [OP_RDT_ASSIGN] = true,
        };
        struct launch *l = &r->c.launch;
        int rc = 0;

        l->init = init;
        for (size_t i = 0; i < r->c.plan.n && rc == 0; i++) {
                const struct op *op = &r->c.plan.ops[i];

                if (op->stage == stage && wanted[op->kind])
                        rc = runtime_ops[op->kind](l, op, e);
        }
        l->init = 0;
        return rc;
}

static int make_root_dir(struct restore *r, struct err *e)
{
        struct fd_path link = fd_path(r->c.container.dir);
        const char *dir = clean_path(&r->c.arena, link.s);

        if (!dir)
                return err_sys(e, errno, "cannot look up the state directory");
        if (mkdirat(r->c.container.dir, ROOT_NAME, 0700) < 0)
                return err_sys(e, errno, "cannot make \"" ROOT_NAME "\" in the state directory");
        r->root = arena_printf(&r->c.arena, "%s/" ROOT_NAME, dir);
        r->notify = arena_printf(&r->c.arena, "%s/notify", dir);
        return 0;
}

/* Takes the process through its preparations, and learns from them. */
static int guide(struct restore *r, struct err *e)
{
        struct sync_msg m;
        int rc;

        if (run_ops(r, STAGE_ADOPT, r->criu.pid, e) < 0)
                return -1;
        sync_send(r->criu.sync, SYNC_GO, 0);
        rc = sync_recv(r->criu.sync, &m);
        if (rc == 1 && m.kind == SYNC_ERROR) {
                *e = m.err;
                return -1;
        }
        if (rc != 1 || m.kind != SYNC_MOUNTED)
                return err_set(e, ERR_SYSTEM, "the process that was to become criu died");
        if (move_dirs(r, e) < 0 || external_mounts(r, e) < 0 || cgroup_roots(r, e) < 0)
                return -1;
        sync_send(r->criu.sync, SYNC_GO, 0);
        return 0;
}

static int have_criu_do_it(struct restore *r, struct err *e)
{
        struct criu_child child = { .join = &r->c.launch.join,
                                    .keep_stdio = true,
                                    .fds = r->ns_fds,
                                    .n_fds = r->n_ns_fds,
                                    .prepare = prepare_root,
                                    .context = r };
        struct criu_response answer;

        if (criu_start(&r->criu, &child, e) < 0 || guide(r, e) < 0 || criu_meet(&r->criu, e) < 0)
                return -1;
        return criu_work(&r->criu, CRIU_RESTORE, &r->opts, on_notify, r, &answer, e);
}

static int bring_back(struct restore *r, struct err *e)
{
        struct launch *l = &r->c.launch;
        int rc;

        if (creation_record(&r->c, LAUNCH_RUN, e) < 0 || make_root_dir(r, e) < 0)
                return -1;
        l->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (l->proc < 0)
                return err_sys(e, errno, "cannot open /proc");
        if (set_options(r, e) < 0 || run_ops(r, STAGE_HOST, 0, e) < 0)
                return -1;
        rc = have_criu_do_it(r, e);
        criu_done(&r->criu);
        unlinkat(r->c.container.dir, ROOT_NAME, AT_REMOVEDIR);
        if (rc < 0)
                return -1;
        /* Had criu sent no terminal, waiting for it must end. */
        l->console_sock = fd_close(l->console_sock);
        if (foreground_console(&r->foreground, e) < 0)
                return -1;
        return creation_announce(&r->c, e);
}

static int attend(struct restore *r, int *ret_status, struct err *e)
{
        *ret_status = 0;
        if (r->o->create.detach)
                return 0;
        /* Others may change it while it runs. */
        r->c.container.lock = fd_close(r->c.container.lock);
        return foreground_wait(&r->foreground, r->c.launch.init, r->c.launch.pidfd, ret_status, e);
}

static int prepare(struct restore *r, struct err *e)
{
        const struct create_options *o = &r->o->create;

        if (creation_load(&r->c, o->detach, e) < 0 ||
            creation_open_console(&r->c, &r->foreground.console_sock, e) < 0 ||
            checkpoint_images_open(r->o->image_path, r->o->work_path, false, &r->images, e) < 0)
                return -1;
        return container_make(r->c.rt->root, o->id, &r->c.container, e);
}

int runtime_restore(const struct runtime *rt, const struct restore_options *o, int *ret_status,
                    struct err *e)
{
        struct restore r = { .o = o,
                             .images = CHECKPOINT_IMAGES_INIT,
                             .criu = CRIU_INIT,
                             .foreground = FOREGROUND_INIT };
        int rc;

        creation_init(&r.c, rt, &o->create);
        r.criu.log = rt->log;
        r.criu.arena = &r.c.arena;
        r.criu.doing = "restore the container";
        rc = prepare(&r, e);
        if (rc == 0) {
                if (!o->create.detach)
                        foreground_begin(&r.foreground, !o->create.no_subreaper);
                rc = bring_back(&r, e);
                if (rc == 0)
                        rc = attend(&r, ret_status, e);
                foreground_end(&r.foreground);
                criu_done(&r.criu);
                if (rc < 0)
                        creation_undo(&r.c);
                else if (!o->create.detach && !o->create.keep)
                        rc = runtime_destroy(rt, &r.c.container, &r.c.spec, e);
        }
        for (size_t i = 0; i < r.n_ns_fds; i++)
                fd_close(r.ns_fds[i]);
        checkpoint_images_done(&r.images);
        creation_done(&r.c);
        return rc;
}
