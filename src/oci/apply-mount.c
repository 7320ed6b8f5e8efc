/* STAGE_MOUNT: init builds the container's root file system, in its own mount namespace, still
 * on the host's root. Targets are resolved inside the container's root and used by descriptor
 * (L3). */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "kernel/mount.h"
#include "kernel/netdev.h"
#include "kernel/resolve.h"
#include "oci/copyup.h"
#include "oci/launch.h"

/* ---- identity ---- */

int mount_cgroup_ns(struct init *in, const struct op *op, struct err *e)
{
        /* Only now: the cgroup that one is in becomes the namespace's root
         * (cgroup_namespaces(7)). */
        if (unshare(CLONE_NEWCGROUP) < 0)
                return err_sys(e, errno, "cannot make a cgroup namespace");
        return 0;
}

int mount_root_ids(struct init *in, const struct op *op, struct err *e)
{
        if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) {
                err_sys(e, errno, "cannot become root of the user namespace");
                return err_hint(e, "linux.uidMappings and gidMappings must map container id 0");
        }
        /* A change of ids sets it to what fs.suid_dumpable says, and this process holds descriptors
         * of the host still (launch.c: spawn_first). */
        if (!(in->l->plan->flags & PLAN_ROOTLESS))
                prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        return 0;
}

int mount_loopback(struct init *in, const struct op *op, struct err *e)
{
        int r = netdev_loopback_up();

        return r < 0 ? err_sys(e, r, "cannot set the loopback device up") : 0;
}

int mount_hostname(struct init *in, const struct op *op, struct err *e)
{
        if (sethostname(op->text, strlen(op->text)) < 0)
                return err_sys(e, errno, "hostname: cannot set it to \"%s\"", op->text);
        return 0;
}

int mount_domainname(struct init *in, const struct op *op, struct err *e)
{
        if (setdomainname(op->text, strlen(op->text)) < 0)
                return err_sys(e, errno, "domainname: cannot set it to \"%s\"", op->text);
        return 0;
}

/* ---- the root ---- */

int mount_propagation_cut(struct init *in, const struct op *op, struct err *e)
{
        int r = mount_propagation("/", op->flags, true);

        return r < 0 ? err_sys(e, r, "cannot change the propagation of the host's mounts") : 0;
}

static bool same_mount(int a, int b)
{
        uint64_t x, y;

        return mount_id(a, &x, NULL) == 0 && mount_id(b, &y, NULL) == 0 && x == y;
}

/* With rootfsPropagation "shared" the host's mounts stay shared, and attaching the root would
 * show on the host, so the one mount that it is attached to must be private. Walks up to that
 * mount's root. */
static int unshare_parent(int target, struct err *e)
{
        struct mount_attr private = { .propagation = 1 << 18 };
        AUTO_FD int at = openat(target, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

        for (;;) {
                AUTO_FD int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
                struct stat x, y;

                if (at < 0 || up < 0 || fstat(at, &x) < 0 || fstat(up, &y) < 0)
                        return err_sys(e, errno, "cannot look up the mount of the root");
                if (!same_mount(at, up) || (x.st_ino == y.st_ino && x.st_dev == y.st_dev))
                        break;
                fd_close(at);
                at = TAKE_FD(up);
        }
        if (sys_mount_setattr(at, "", AT_EMPTY_PATH, &private) < 0)
                return err_sys(e, errno, "cannot make the mount of the root private");
        return 0;
}

int mount_root(struct init *in, const struct op *op, struct err *e)
{
        bool shared = in->l->plan->spec->linux_.rootfs_propagation &&
                      strstr(in->l->plan->spec->linux_.rootfs_propagation, "shared");
        AUTO_FD int target = open(op->text, O_PATH | O_DIRECTORY | O_CLOEXEC);
        int r;

        /* Root of the user namespace need not be able to get there: the mount is open already, and
         * where it is attached until it becomes the root is all the same. */
        if (target < 0 && errno == EACCES && in->l->root_source >= 0)
                target = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (target < 0) {
                err_sys(e, errno, "root.path: cannot open \"%s\"", op->text);
                if (in->l->plan->userns && errno == EACCES)
                        err_hint(e, "the user namespace's root must be able to search the "
                                    "directories above it");
                return -1;
        }
        if (shared && unshare_parent(target, e) < 0)
                return -1;
        in->root = in->l->root_source >= 0 ? TAKE_FD(in->l->root_source)
                                           : mount_copy(target, "", true);
        if (in->root < 0)
                return err_sys(e, in->root, "root.path: cannot bind \"%s\"", op->text);
        r = mount_attach(in->root, target);
        return r < 0 ? err_sys(e, r, "root.path: cannot mount \"%s\"", op->text) : 0;
}

/* ---- mounts ---- */

static int no_target(const struct plan_mount *m, int error, struct err *e)
{
        const char *dest = m->spec->destination;

        if (m->no_links && error == -ELOOP)
                return err_set(e, ERR_DENIED,
                               "%s: \"%s\" is a symbolic link in the image; %s must be mounted on "
                               "a directory",
                               m->field, dest, m->spec->type);
        return err_sys(e, error, "%s: cannot use \"%s\" as a mount point", m->field, dest);
}

/* The target, made where missing. proc and sysfs go where they are said to, not where a link of the
 * image's leads (CVE-2019-19921). */
static int open_target(struct init *in, const struct plan_mount *m, bool dir, struct err *e)
{
        const char *dest = m->spec->destination;
        int fd;

        if (m->no_links) {
                fd = resolve_in(in->root, dest, O_NOFOLLOW, RESOLVE_NO_SYMLINKS);
                if (fd != -ENOENT)
                        return fd < 0 ? no_target(m, fd, e) : fd;
        }
        fd = resolve_make(in->root, dest, dir, dir ? 0755 : 0644);
        return fd < 0 ? no_target(m, fd, e) : fd;
}

static int change(const struct plan_mount *m, int fd, struct err *e)
{
        int r = mount_change(fd, &m->attrs);

        if (r == -EPERM)
                err_hint(e, "in a user namespace, options that the host set can't be cleared");
        return r < 0 ? err_sys(e, r, "%s.options: cannot apply them to \"%s\"", m->field,
                               m->spec->destination)
                     : 0;
}

static int propagate(const struct plan_mount *m, int fd, struct err *e)
{
        for (size_t i = 0; i < m->n_propagations; i++) {
                struct mount_attrs a = { .propagation = m->propagations[i] & ~1ull,
                                         .propagation_rec = m->propagations[i] & 1 };
                int r = mount_change(fd, &a);

                if (r < 0)
                        return err_sys(e, r, "%s.options: cannot set the propagation of \"%s\"",
                                       m->field, m->spec->destination);
        }
        return 0;
}

static bool is_dir(int fd)
{
        struct stat st;

        return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

static int attach(const struct plan_mount *m, int fd, int target, struct err *e)
{
        int r = mount_attach(fd, target);

        if (r < 0 && is_dir(fd) != is_dir(target))
                return err_sys(e, ENOTDIR,
                               "%s: cannot mount \"%s\" on \"%s\": one is a directory, the other "
                               "is not",
                               m->field, str_empty(m->source) ? m->spec->type : m->source,
                               m->spec->destination);
        if (r < 0)
                return err_sys(e, r, "%s: cannot mount on \"%s\"", m->field, m->spec->destination);
        return propagate(m, fd, e);
}

/* A bind mount over /proc must be a procfs, or what writes labels and ids there would be fooled. */
static int check_proc(const struct plan_mount *m, int fd, struct err *e)
{
        struct statfs fs;

        if (!str_eq(m->spec->destination, "/proc"))
                return 0;
        if (fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC)
                return 0;
        return err_set(e, ERR_DENIED, "%s: \"%s\" is not a procfs, so it can't be mounted on /proc",
                       m->field, m->source);
}

static int bind_mount(struct init *in, const struct plan_mount *m, struct err *e)
{
        AUTO_FD int fd = m->on_host ? TAKE_FD(in->l->sources[m->index])
                                    : mount_copy(AT_FDCWD, m->source, m->rec);
        struct stat st;

        if (fd < 0)
                return err_sys(e, fd, "%s: cannot open the source \"%s\"", m->field, m->source);
        if (fstat(fd, &st) < 0)
                return err_sys(e, errno, "%s: cannot stat \"%s\"", m->field, m->source);
        if (check_proc(m, fd, e) < 0 || change(m, fd, e) < 0)
                return -1;
        AUTO_FD int target = open_target(in, m, S_ISDIR(st.st_mode), e);
        if (target < 0)
                return -1;
        return attach(m, fd, target, e);
}

/* Parameters of a new mount: those given, SELinux's label, and for a tmpfs over a directory that
 * one's mode, as runc does, so that a /tmp keeps its 1777. */
static size_t parameters(struct init *in, const struct plan_mount *m, int target, bool made,
                         struct mount_param *out)
{
        const char *label = in->l->plan->spec->linux_.mount_label;
        bool mode_given = false;
        struct stat st;
        size_t n = m->n_params;

        if (n)
                memcpy(out, m->params, n * sizeof *out);
        for (size_t i = 0; i < n; i++)
                mode_given |= str_eq(out[i].key, "mode");
        if (!str_empty(label) && !m->no_links && !str_eq(m->spec->type, "mqueue"))
                out[n++] = (struct mount_param){ "context", label };
        if (str_eq(m->spec->type, "tmpfs") && !mode_given && !made && fstat(target, &st) == 0)
                out[n++] = (struct mount_param){ "mode", arena_printf(in->l->arena, "%o",
                                                                      st.st_mode & 07777) };
        return n;
}

static int new_failed(const struct plan_mount *m, int error, const char *what, const char *words,
                      struct err *e)
{
        const struct spec_mount *s = m->spec;

        if (error == -ENODEV)
                return err_set(e, ERR_UNSUPPORTED, "%s.type: this kernel has no file system \"%s\"",
                               m->field, s->type);
        if (what)
                return err_set(e, ERR_INVALID, "%s.options: \"%s\" is refused by %s%s%s", m->field,
                               what, s->type, *words ? ": " : "", words);
        err_sys(e, error, "%s: cannot make a %s for \"%s\"%s%s%s", m->field, s->type,
                s->destination, *words ? " (" : "", words, *words ? ")" : "");
        if (error == -EPERM && str_eq(s->type, "sysfs"))
                err_hint(e, "sysfs can be mounted only with a network namespace of one's own: bind "
                            "/sys instead");
        return -1;
}

static bool exists(struct init *in, const char *path)
{
        AUTO_FD int fd = resolve_in(in->root, path, 0, 0);

        return fd >= 0;
}

static int new_mount(struct init *in, const struct plan_mount *m, struct err *e)
{
        bool made = str_eq(m->spec->type, "tmpfs") && !exists(in, m->spec->destination);
        AUTO_FD int target = open_target(in, m, true, e);
        struct mount_param *params;
        const char *what;
        char words[256];
        uint64_t attrs = m->attrs.set & (m->readonly_late ? ~(uint64_t)MOUNT_ATTR_RDONLY : ~0ull);
        size_t n;

        if (target < 0)
                return -1;
        params = arena_array(in->l->arena, struct mount_param, m->n_params + 2);
        n = parameters(in, m, target, made, params);
        AUTO_FD int fd = mount_new(m->spec->type, str_empty(m->source) ? NULL : m->source, params,
                                   n, attrs, &what, words, sizeof words);
        if (fd < 0)
                return new_failed(m, fd, what, words, e);
        if (m->tmpcopyup && copyup(target, fd, e) < 0)
                return err_in(e, "%s: tmpcopyup", m->field);
        if (m->readonly_late || m->attrs.set_rec || m->attrs.clear_rec)
                if (change(m, fd, e) < 0)
                        return -1;
        return attach(m, fd, target, e);
}

/* "remount": other attributes and parameters for what an earlier entry mounted there. */
static int remount(struct init *in, const struct plan_mount *m, struct err *e)
{
        AUTO_FD int target = resolve_in(in->root, m->spec->destination, 0, 0);
        char words[256];
        const char *what;
        int r = 0;

        if (target < 0)
                return no_target(m, target, e);
        if (m->n_params && !m->bind)
                r = mount_reconfigure(target, m->params, m->n_params, &what, words, sizeof words);
        if (r < 0)
                return new_failed(m, r, what, words, e);
        return change(m, target, e) < 0 ? -1 : propagate(m, target, e);
}

int mount_one(struct init *in, const struct op *op, struct err *e)
{
        if (op->mount->remount)
                return remount(in, op->mount, e);
        return op->mount->bind ? bind_mount(in, op->mount, e) : new_mount(in, op->mount, e);
}

/* ---- devices ---- */

static mode_t device_type(char type)
{
        return type == 'b' ? S_IFBLK : type == 'p' ? S_IFIFO : S_IFCHR;
}

static dev_t device_number(const struct spec_device *d)
{
        return d->type == 'p' ? 0 : makedev((unsigned)d->major, (unsigned)d->minor);
}

static bool is_device(int fd, const struct spec_device *d)
{
        struct stat st;

        if (fstat(fd, &st) < 0 || (st.st_mode & S_IFMT) != device_type(d->type))
                return false;
        return d->type == 'p' || st.st_rdev == device_number(d);
}

static int wrong_device(const struct spec_device *d, const char *where, struct err *e)
{
        return err_set(e, ERR_EXISTS,
                       "linux.devices: \"%s\" exists%s and is not device %c %lld:%lld", d->path,
                       where, d->type, (long long)d->major, (long long)d->minor);
}

/* In a user namespace nobody can mknod: the host's node is mounted. */
static int bind_device(struct init *in, const struct spec_device *d, struct err *e)
{
        AUTO_FD int node = mount_copy(AT_FDCWD, d->path, false);
        int r;

        if (node < 0)
                return err_sys(e, node, "linux.devices: cannot open \"%s\" on the host", d->path);
        if (!is_device(node, d))
                return wrong_device(d, " on the host", e);
        AUTO_FD int target = resolve_make(in->root, d->path, 0, 0644);
        if (target < 0)
                return err_sys(e, target, "linux.devices: cannot make \"%s\"", d->path);
        r = mount_attach(node, target);
        return r < 0 ? err_sys(e, r, "linux.devices: cannot mount \"%s\"", d->path) : 0;
}

int mount_device(struct init *in, const struct op *op, struct err *e)
{
        const struct spec_device *d = op->device;
        mode_t mode = d->file_mode.set ? (mode_t)d->file_mode.v & 07777 : 0666;
        const char *name;

        /* Ours, or the one that a rootless engine has made around us. */
        if (in->l->plan->userns || in->l->plan->flags & PLAN_ROOTLESS)
                return bind_device(in, d, e);
        AUTO_FD int dir = resolve_parent(in->root, d->path, &name);
        if (dir < 0)
                return err_sys(e, dir, "linux.devices: cannot open the directory of \"%s\"",
                               d->path);
        if (mknodat(dir, name, device_type(d->type) | mode, device_number(d)) < 0) {
                if (errno != EEXIST)
                        return err_sys(e, errno, "linux.devices: cannot make \"%s\"", d->path);
                AUTO_FD int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
                if (fd < 0 || !is_device(fd, d))
                        return wrong_device(d, " in the image", e);
        }
        if ((d->uid.set || d->gid.set) &&
            fchownat(dir, name, d->uid.set ? (uid_t)d->uid.v : 0, d->gid.set ? (gid_t)d->gid.v : 0,
                     AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(e, errno, "linux.devices: cannot change the owner of \"%s\"",
                               d->path);
        return 0;
}

int mount_dev_link(struct init *in, const struct op *op, struct err *e)
{
        bool ptmx = str_eq(op->link.path, "/dev/ptmx");
        const char *name;
        AUTO_FD int dir = resolve_parent(in->root, op->link.path, &name);

        if (dir < 0)
                return err_sys(e, dir, "cannot open the directory of \"%s\"", op->link.path);
        /* An image's ptmx node would lead to the host's terminals. */
        if (ptmx)
                unlinkat(dir, name, 0);
        if (symlinkat(op->link.target, dir, name) < 0 && errno != EEXIST)
                return err_sys(e, errno, "cannot make the link \"%s\"", op->link.path);
        return 0;
}

int mount_cwd(struct init *in, const struct op *op, struct err *e)
{
        AUTO_FD int fd = resolve_make(in->root, op->text, 1, 0755);

        /* It may be on something read-only or foreign: entering it will tell. */
        return 0;
}
