#include "image/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "codec/erofs.h"
#include "kernel/erofs.h"
#include "kernel/mount.h"
#include "kernel/overlay.h"
#include "kernel/sys.h"

#define RUN_DEFAULT "/run/berth"
#define WORDS 256 /* of the kernel */

/* ---- one layer ---- */

/* The two files of an EROFS layer. */
struct files {
        int index, tar;
};

static void files_close(struct files *f)
{
        f->index = fd_close(f->index);
        f->tar = fd_close(f->tar);
}

static int files_open(int dir, struct files *ret, struct err *e)
{
        ret->tar = -1;
        ret->index = openat(dir, "layer.erofs", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (ret->index >= 0)
                ret->tar = openat(dir, "layer.tar", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (ret->index >= 0 && ret->tar >= 0)
                return 0;
        err_sys(e, errno, "cannot open its files");
        files_close(ret);
        return -1;
}

static int mount_files(const struct files *f, struct err *e)
{
        char words[WORDS];
        int fd = erofs_mount(f->index, f->tar, words, sizeof words);

        if (fd >= 0)
                return fd;
        err_sys(e, fd, "cannot mount it%s%s", words[0] ? ": " : "", words);
        return err_hint(e, "Layers as EROFS need Linux 6.12 and a file system that is no overlay; "
                           "BERTH_LAYERS=directory makes the next ones directories");
}

/* RUN/layers, opened, or -1: sharing is not possible, which is no error. */
static int shared_dir(const char *run)
{
        AUTO_FD int dir = -1;

        if (run && !*run)
                return -1;
        run = run ? run : RUN_DEFAULT;
        if (mkdir(run, 0755) < 0 && errno != EEXIST)
                return -1;
        dir = open(run, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0 || (mkdirat(dir, "layers", 0700) < 0 && errno != EEXIST))
                return -1;
        return openat(dir, "layers", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

struct shared_name {
        char s[96];
};

/* While it is mounted nothing else can have this name: the mount holds the inode. */
static struct shared_name shared_name(const char *key, ino_t inode)
{
        struct shared_name n;

        snprintf(n.s, sizeof n.s, "%s.%" PRIuMAX, key, (uintmax_t)inode);
        return n;
}

static int open_mounted(int dir, const char *name)
{
        AUTO_FD int fd = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd >= 0 && erofs_is(fd) ? TAKE_FD(fd) : -1;
}

/* Under the lock of RUN/layers, so that two containers that start at once mount it once. */
static int mount_shared(int run, const char *name, const struct files *f, struct err *e)
{
        AUTO_FD int mount = -1, target = -1;
        int r, fd = open_mounted(run, name);

        if (fd >= 0)
                return fd;
        if ((mount = mount_files(f, e)) < 0)
                return -1;
        if (mkdirat(run, name, 0700) < 0 && errno != EEXIST)
                return TAKE_FD(mount);
        target = openat(run, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        r = target < 0 ? -errno : mount_attach(mount, target);
        /* In a mount namespace where it can't be attached it is used by us alone. */
        return r < 0 ? TAKE_FD(mount) : open_mounted(run, name);
}

/* A descriptor of the root of an EROFS layer: of a mount that is shared where that can be. */
static int open_erofs(const char *key, int dir, const char *run, struct err *e)
{
        struct files f;
        struct stat st;
        AUTO_FD int shared = shared_dir(run);
        struct shared_name name;
        int fd = -1;

        if (shared >= 0 && fstatat(dir, "layer.erofs", &st, AT_SYMLINK_NOFOLLOW) == 0) {
                name = shared_name(key, st.st_ino);
                if ((fd = open_mounted(shared, name.s)) >= 0)
                        return fd;
        }
        if (files_open(dir, &f, e) < 0)
                return -1;
        if (shared < 0 || fstat(f.index, &st) < 0 || flock(shared, LOCK_EX) < 0) {
                fd = mount_files(&f, e);
        } else {
                name = shared_name(key, st.st_ino);
                fd = mount_shared(shared, name.s, &f, e);
        }
        files_close(&f);
        return fd;
}

/* A directory descriptor of the layer's root. */
static int open_layer(struct store *s, const char *key, const struct snapshot *n, struct err *e)
{
        AUTO_FD int dir = -1;
        int fd;

        if (store_layer_open(s, key, &dir, e) < 0)
                return -1;
        if (faccessat(dir, "layer.erofs", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                return open_erofs(key, dir, n->run, e);
        fd = openat(dir, "fs", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? err_sys(e, errno, "cannot open its directory") : fd;
}

/* Overlayfs looks at this of every directory but a layer's root. */
static bool is_opaque(int fd, bool userxattr)
{
        struct fd_path path = fd_path(fd);
        char value[2];

        return getxattr(path.s, userxattr ? "user.overlay.opaque" : "trusted.overlay.opaque", value,
                        sizeof value) == 1 &&
               value[0] == 'y';
}

/* ---- all of them ---- */

struct stack {
        int fds[OVERLAY_LOWER_MAX]; /* topmost first */
        size_t n;
};

static void stack_close(struct stack *k)
{
        while (k->n)
                fd_close(k->fds[--k->n]);
}
#define AUTO_STACK __attribute__((cleanup(stack_close))) struct stack

/* Replaces the descriptor by that of a detached mount of its own, mapped by the user namespace. */
static int map_ids(int *fd, int userns, struct err *e)
{
        int copy = mount_copy(*fd, "", false), r;

        /* Copying a detached mount is possible since 6.15, and not needed: it is ours alone. */
        if (copy >= 0) {
                fd_close(*fd);
                *fd = copy;
        }
        r = mount_idmap(*fd, userns, false);
        return r < 0 ? err_sys(e, r, "cannot map its owners") : 0;
}

static int open_stack(struct store *s, const struct snapshot *n, struct stack *k, struct err *e)
{
        for (size_t i = n->layers->n; i-- > 0;) {
                const char *key = n->layers->v[i];
                int fd;

                if (k->n == OVERLAY_LOWER_MAX)
                        return err_set(e, ERR_LIMIT,
                                       "an image of %zu layers; overlayfs stacks at most %d",
                                       n->layers->n, OVERLAY_LOWER_MAX);
                fd = open_layer(s, key, n, e);
                if (fd < 0)
                        return err_in(e, "layer '%.12s'", key);
                k->fds[k->n++] = fd;
                if (n->userns >= 0 && map_ids(&k->fds[k->n - 1], n->userns, e) < 0)
                        return err_in(e, "layer '%.12s'", key);
                if (is_opaque(k->fds[k->n - 1], n->userxattr))
                        break;
        }
        return 0;
}

static int empty_root(struct err *e)
{
        int fd = mount_new("tmpfs", "none", (struct mount_param[]){ { "mode", "755" } }, 1,
                           MOUNT_ATTR_RDONLY, NULL, NULL, 0);

        return fd < 0 ? err_sys(e, fd, "cannot mount an empty root") : fd;
}

/* What overlay shows of its root is the upper's. */
static int upper_like(int upper, int lower, struct err *e)
{
        struct stat st;
        struct timespec times[2];

        if (fstat(lower, &st) < 0)
                return err_sys(e, errno, "cannot look at the topmost layer's root");
        times[0] = st.st_atim;
        times[1] = st.st_mtim;
        if (fchown(upper, st.st_uid, st.st_gid) < 0 || fchmod(upper, st.st_mode & 07777) < 0 ||
            futimens(upper, times) < 0)
                return err_sys(e, errno, "cannot give the upper directory the root's attributes");
        return 0;
}

/* A single layer, read-only: a mount of its own of what may be shared. */
static int mount_single(struct stack *k, int *ret, struct err *e)
{
        struct mount_attrs attrs = { .set = MOUNT_ATTR_RDONLY,
                                     .clear = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV };
        AUTO_FD int fd = mount_copy(k->fds[0], "", false);
        int r;

        if (fd < 0)
                fd = TAKE_FD(k->fds[0]); /* detached already, before 6.15 */
        r = mount_change(fd, &attrs);
        if (r < 0)
                return err_sys(e, r, "cannot mount the image's layer");
        *ret = TAKE_FD(fd);
        return 0;
}

/* The upper directory through a mount of mapped owners. `work` was made by root, so it is seen as
 * that of the namespace's root. */
struct mapped_upper {
        int top, upper, work;
};

static void mapped_close(struct mapped_upper *m)
{
        fd_close(m->upper);
        fd_close(m->work);
        fd_close(m->top);
}

static int map_upper(const struct snapshot *n, struct mapped_upper *m, struct overlay *o,
                     struct err *e)
{
        struct stat st;

        m->top = mount_copy(n->upper, "..", false);
        if (m->top < 0)
                return err_sys(e, m->top, "cannot mount the container's directory");
        if (map_ids(&m->top, n->userns, e) < 0)
                return err_hint(e, "The file system of the store may have no idmapped mounts on "
                                   "this kernel: --userns=host does without");
        m->upper = openat(m->top, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        m->work = openat(m->top, "work", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (m->upper < 0 || m->work < 0 || fstat(m->work, &st) < 0)
                return err_sys(e, errno, "cannot open the container's upper directory");
        o->mapped = true;
        o->top = m->top;
        o->upper = m->upper;
        o->work = m->work;
        o->uid = st.st_uid;
        o->gid = st.st_gid;
        return 0;
}

static int mount_overlay(const struct overlay *o, int *ret, struct err *e)
{
        char words[WORDS];
        int fd = overlay_mount(o, words, sizeof words);

        if (fd == -E2BIG)
                return err_set(e, ERR_LIMIT, "this kernel can't stack %zu layers", o->n);
        if (fd < 0)
                return err_sys(e, fd, "cannot stack the image's layers%s%s", words[0] ? ": " : "",
                               words);
        *ret = fd;
        return 0;
}

/* Root of a user namespace may be let use any device by its cgroup; those that an image brings are
 * its own then, and lead to the host's. */
static int forbid_devices(int fd, struct err *e)
{
        struct mount_attrs attrs = { .set = MOUNT_ATTR_NODEV };
        int r = mount_change(fd, &attrs);

        return r < 0 ? err_sys(e, r, "cannot forbid devices in the root") : 0;
}

static int mount_stack(const struct snapshot *n, struct stack *k, int *ret, struct err *e)
{
        struct mapped_upper m = { -1, -1, -1 };
        struct overlay o = { .lower = k->fds,
                             .n = k->n,
                             .upper = n->upper,
                             .work = n->work,
                             .volatile_ = n->volatile_,
                             .userxattr = n->userxattr };
        int r = 0;

        if (n->userns >= 0 && n->upper >= 0)
                r = map_upper(n, &m, &o, e);
        if (r == 0 && n->upper >= 0 && n->upper_new)
                r = upper_like(o.upper, k->fds[0], e);
        if (r == 0)
                r = mount_overlay(&o, ret, e);
        mapped_close(&m);
        return r == 0 && n->userns >= 0 ? forbid_devices(*ret, e) : r;
}

int snapshot_mount(struct store *s, const struct snapshot *n, int *ret_mount, struct err *e)
{
        AUTO_STACK k = { .n = 0 };

        if (open_stack(s, n, &k, e) < 0)
                return -1;
        if (k.n == 0 && (k.fds[k.n++] = empty_root(e)) < 0)
                return -1;
        if (n->upper < 0 && k.n == 1)
                return mount_single(&k, ret_mount, e);
        return mount_stack(n, &k, ret_mount, e);
}

/* ---- removal ---- */

/* A mount point of mountinfo (proc(5)), its octal escapes undone in place. */
static void unescape(char *s)
{
        char *to = s;

        for (; *s; s++, to++) {
                *to = *s;
                if (s[0] == '\\' && s[1] && s[2] && s[3]) {
                        *to = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
                        s += 3;
                }
        }
        *to = '\0';
}

void snapshot_forget(const char *key, int dir)
{
        AUTO_FREE char *table = NULL;
        struct shared_name name;
        struct stat st;
        size_t n;

        if (fstatat(dir, "layer.erofs", &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            fd_read_file_at(AT_FDCWD, "/proc/self/mountinfo", 16u << 20, &table, &n) < 0)
                return;
        name = shared_name(key, st.st_ino);
        for (char *line = table, *next; line && *line; line = next) {
                char *at = strstr(line, name.s), *from;

                if (!at)
                        return;
                next = strchr(at, '\n');
                if (next)
                        *next++ = '\0';
                while (at > line && at[-1] != ' ') /* the fifth field, or what only looks like it */
                        at--;
                from = at;
                if ((at = strchr(from, ' ')))
                        *at = '\0';
                unescape(from);
                if (from[0] == '/' && str_ends(from, name.s) &&
                    umount2(from, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
                        rmdir(from);
        }
}

/* ---- what the kernel can ---- */

static int put(void *ctx, const void *p, size_t n)
{
        return fd_write_all(*(int *)ctx, p, n);
}

/* An image over one file, and that file. */
static int probe_files(int dir, struct files *f)
{
        static const struct tar_entry probe = { .type = TAR_FILE, .path = "p", .size = 512 };
        static const char block[512];
        struct erofs *x = erofs_new();
        int r;

        f->index = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        f->tar = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        r = f->index < 0 || f->tar < 0 ? -errno : fd_write_all(f->tar, block, sizeof block);
        if (r == 0)
                r = erofs_add(x, &probe);
        if (r == 0)
                r = erofs_write(x, sizeof block, put, &f->index);
        erofs_free(x);
        return r;
}

bool snapshot_has_erofs(int dir)
{
        struct files f = { -1, -1 };
        struct utsname u;
        unsigned major = 0, minor = 0;
        int fd = -1;

        uname(&u);
        if (geteuid() != 0 || sscanf(u.release, "%u.%u", &major, &minor) != 2 ||
            major * 1000 + minor < 6012)
                return false;
        if (probe_files(dir, &f) == 0)
                fd = erofs_mount(f.index, f.tar, NULL, 0);
        files_close(&f);
        fd_close(fd);
        return fd >= 0;
}
