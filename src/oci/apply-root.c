/* STAGE_ROOT: init moves into the container's root and closes the doors behind it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "kernel/mount.h"
#include "kernel/resolve.h"
#include "oci/launch.h"

int root_sysctl(struct init *in, const struct op *op, struct err *e)
{
        const char *key = op->pair->key, *value = op->pair->value;
        char path[512];
        int n = snprintf(path, sizeof path, "sys/%s", key);

        if (n >= (int)sizeof path)
                return err_set(e, ERR_INVALID, "linux.sysctl: \"%s\" is too long", key);
        /* sysctl(8)'s rule: the separator is whichever of "." and "/" comes first; in the dotted
         * form a slash stands for a dot in a name ("net.ipv4.conf.eth0/100.x"). */
        if (strcspn(key, ".") < strcspn(key, "/"))
                for (char *c = path + 4; *c; c++)
                        *c = *c == '.' ? '/' : *c == '/' ? '.' : *c;
        AUTO_FD int fd = resolve_proc(init_proc(in), path, O_WRONLY);
        if (fd < 0)
                return err_sys(e, fd, "linux.sysctl: cannot open \"%s\"", key);
        if (write(fd, value, strlen(value)) < 0)
                return err_sys(e, errno, "linux.sysctl: cannot set \"%s\" to \"%s\"", key, value);
        return 0;
}

/* ---- changing the root ---- */

static int by_pivot(struct err *e)
{
        AUTO_FD int old = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (old < 0)
                return err_sys(e, errno, "cannot open the host's root");
        /* The new root doubles as the place of the old one, which then lies on top and is let go
         * (pivot_root(2), "pivot_root(".", ".")"). */
        if (sys_pivot_root(".", ".") < 0) {
                int saved = errno;

                err_sys(e, saved, "cannot pivot to the container's root");
                if (saved == EINVAL)
                        err_hint(e, "the host's root may be a ramfs: use --no-pivot");
                return -1;
        }
        /* "." must be the old root from here on. With rootfsPropagation "shared" letting go of
         * it would otherwise unmount the host's file systems. */
        if (fchdir(old) < 0)
                return err_sys(e, errno, "cannot go back to the host's root");
        mount_propagation(".", mount_opt_find("rslave")->value, true);
        if (umount2(".", MNT_DETACH) < 0)
                return err_sys(e, errno, "cannot let go of the host's root");
        return 0;
}

/* --no-pivot, for hosts that run from a ramfs: moved over /, where a chroot follows it. The
 * host's proc and sysfs go first: through them the container could undo masks. */
static int by_move(struct init *in, struct err *e)
{
        static const char *const hidden[] = { "/proc", "/sys" };

        for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
                while (umount2(hidden[i], MNT_DETACH) == 0)
                        ;
        if (sys_move_mount(in->root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
                return err_sys(e, errno, "cannot move the container's root over /");
        if (chroot(".") < 0)
                return err_sys(e, errno, "cannot change the root");
        return 0;
}

static int by_chroot(struct init *in, struct err *e)
{
        in->root = open(in->l->plan->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (in->root < 0 || fchdir(in->root) < 0 || chroot(".") < 0)
                return err_sys(e, errno, "cannot change the root to \"%s\"", in->l->plan->rootfs);
        return 0;
}

int root_pivot(struct init *in, const struct op *op, struct err *e)
{
        int r;

        if (op->number != 2 && fchdir(in->root) < 0)
                return err_sys(e, errno, "cannot enter the container's root");
        r = op->number == 0 ? by_pivot(e) : op->number == 1 ? by_move(in, e) : by_chroot(in, e);
        if (r == 0 && chdir("/") < 0)
                return err_sys(e, errno, "cannot enter the container's root");
        return r;
}

/* ---- closing doors ---- */

int root_dev_readonly(struct init *in, const struct op *op, struct err *e)
{
        struct mount_attrs ro = { .set = MOUNT_ATTR_RDONLY };
        AUTO_FD int dev = resolve_in(in->root, "dev", O_DIRECTORY, 0);
        int r = dev < 0 ? dev : mount_change(dev, &ro);

        return r < 0 ? err_sys(e, r, "mounts: cannot make /dev read-only") : 0;
}

int root_readonly_path(struct init *in, const struct op *op, struct err *e)
{
        struct mount_attrs ro = { .set_rec = MOUNT_ATTR_RDONLY };
        AUTO_FD int target = resolve_in(in->root, op->text, 0, 0);
        int r;

        if (target == -ENOENT || target == -ENOTDIR)
                return 0;
        if (target < 0)
                return err_sys(e, target, "linux.readonlyPaths: cannot open \"%s\"", op->text);
        AUTO_FD int tree = mount_copy(target, "", true);
        r = tree < 0 ? tree : mount_change(tree, &ro);
        if (r == 0)
                r = mount_attach(tree, target);
        return r < 0 ? err_sys(e, r, "linux.readonlyPaths: cannot make \"%s\" read-only", op->text)
                     : 0;
}

/* /dev/null as it should be, whatever the image put there (CVE-2025-31133). */
static int mask_file(struct init *in, struct err *e)
{
        AUTO_FD int null = resolve_in(in->root, "dev/null", O_NOFOLLOW, 0);
        struct stat st;
        int fd;

        if (null < 0)
                return err_sys(e, null, "linux.maskedPaths: cannot open /dev/null");
        if (fstat(null, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
                return err_set(e, ERR_DENIED,
                               "linux.maskedPaths: /dev/null in the container is not the null "
                               "device");
        fd = mount_copy(null, "", false);
        return fd < 0 ? err_sys(e, fd, "linux.maskedPaths: cannot bind /dev/null") : fd;
}

/* One empty, read-only directory serves all masked directories. */
static int mask_directory(struct init *in, struct err *e)
{
        static const struct mount_param empty[] = { { "nr_blocks", "1" }, { "nr_inodes", "1" } };
        int fd;

        if (in->mask_dir >= 0)
                fd = mount_copy(in->mask_dir, "", false);
        else
                fd = mount_new("tmpfs", "tmpfs", empty, ARRAY_SIZE(empty), MOUNT_ATTR_RDONLY, NULL,
                               NULL, 0);
        return fd < 0 ? err_sys(e, fd, "linux.maskedPaths: cannot make an empty directory") : fd;
}

int root_mask(struct init *in, const struct op *op, struct err *e)
{
        AUTO_FD int target = resolve_in(in->root, op->text, 0, 0);
        struct stat st;
        bool dir;
        int r;

        if (target == -ENOENT || target == -ENOTDIR)
                return 0;
        if (target < 0 || fstat(target, &st) < 0)
                return err_sys(e, target < 0 ? target : errno,
                               "linux.maskedPaths: cannot open \"%s\"", op->text);
        dir = S_ISDIR(st.st_mode);
        AUTO_FD int fd = dir ? mask_directory(in, e) : mask_file(in, e);
        if (fd < 0)
                return -1;
        r = mount_attach(fd, target);
        if (r < 0)
                return err_sys(e, r, "linux.maskedPaths: cannot mask \"%s\"", op->text);
        if (dir && in->mask_dir < 0)
                in->mask_dir = TAKE_FD(fd);
        return 0;
}

int root_propagation_set(struct init *in, const struct op *op, struct err *e)
{
        const char *name = in->l->plan->spec->linux_.rootfs_propagation;
        int r = mount_propagation("/", op->flags, name[0] == 'r');

        return r < 0 ? err_sys(e, r, "linux.rootfsPropagation: cannot set \"%s\"", name) : 0;
}

int root_readonly_set(struct init *in, const struct op *op, struct err *e)
{
        struct mount_attrs ro = { .set = MOUNT_ATTR_RDONLY };
        int r = mount_change(in->root, &ro);

        return r < 0 ? err_sys(e, r, "root.readonly: cannot make the root read-only") : 0;
}
