/* Making one entry. What is there under its name already is found out only where making it says
 * EEXIST: the specification forbids duplicates, so that nearly always costs nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "image/unpack-dir.h"

/* Directories that others replaced; looking what they held is not for free. */
#define DIRS_REPLACED_MAX 4096

/* ---- what is replaced ---- */

static int move_away(struct sink_dir *x, int fd, struct dir *dir, const char *name)
{
        char number[24];
        int r = 0;

        if (x->replaced < 0) {
                if (mkdirat(x->stage, "replaced", 0700) < 0 && errno != EEXIST)
                        return -errno;
                x->replaced = openat(x->stage, "replaced",
                                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (x->replaced < 0)
                        return -errno;
        }
        snprintf(number, sizeof number, "%llu", (unsigned long long)x->nreplaced);
        if (renameat(fd, name, x->replaced, number) < 0)
                r = -errno;
        dirs_path(dir, &x->path);
        if (x->path.len)
                buf_putc(&x->path, '/');
        buf_puts(&x->path, name);
        headers_moved(&x->headers, x->path.s, x->nreplaced++);
        return r;
}

int dir_replace(struct sink_dir *x, struct dir *dir, const char *name, size_t len)
{
        struct dir *there = dirs_find(&x->dirs, dir, name, len);
        int fd = dirs_fd(&x->dirs, dir), r;
        struct stat st;

        if (fd < 0)
                return fd;
        dirs_forget(&x->dirs);
        if (there) {
                if (x->ndirs_replaced++ >= DIRS_REPLACED_MAX)
                        return -EOVERFLOW;
                r = move_away(x, fd, dir, name);
                dirs_remove(&x->dirs, there);
                return r;
        }
        if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (S_ISREG(st.st_mode) && st.st_size > 0)
                return move_away(x, fd, dir, name);
        return unlinkat(fd, name, 0) < 0 ? -errno : 0;
}

/* ---- kinds of entries: 0 or -errno ---- */

static int make_file(struct sink_dir *x, int fd, const char *name)
{
        const struct tar_entry *t = x->entry;
        int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

        x->fd = openat(fd, name, flags, t->mode & 0777);
        if (x->fd < 0)
                return -errno;
        x->at = 0;
        if (t->stored > 0) {
                dirs_path(x->dir, &x->path);
                headers_file(&x->headers, buf_str(&x->path), name);
        }
        return 0;
}

static int make_symlink(struct sink_dir *x, int fd, const char *name)
{
        x->at_path = true;
        return symlinkat(x->entry->link, fd, name) < 0 ? -errno : 0;
}

static int make_node(struct sink_dir *x, int fd, const char *name)
{
        static const mode_t types[TAR_TYPE_MAX] = {
                [TAR_CHAR] = S_IFCHR,
                [TAR_BLOCK] = S_IFBLK,
                [TAR_FIFO] = S_IFIFO,
        };
        const struct tar_entry *t = x->entry;
        dev_t dev = t->type == TAR_FIFO ? 0 : makedev(t->major, t->minor);

        x->at_path = true;
        x->nwhiteouts += t->type == TAR_CHAR && dev == 0; /* as good as one */
        if (mknodat(fd, name, types[t->type] | (t->mode & 0777), dev) == 0)
                return 0;
        /* A user namespace has no devices: an empty file takes the place, so that none of a lower
         * layer's shows. */
        if (errno == EPERM && x->job->userxattr)
                return mknodat(fd, name, S_IFREG | (t->mode & 0777), 0) < 0 ? -errno : 0;
        return -errno;
}

static int make_whiteout(struct sink_dir *x, int fd, const char *name)
{
        static const struct timespec times[2];

        if (mknodat(fd, name, S_IFCHR, 0) == 0) /* device 0:0 */
                return utimensat(fd, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
        if (errno != EPERM || !x->job->userxattr)
                return -errno;
        /* Linux 6.7: an attribute does as well, in a directory that says so. */
        if (mknodat(fd, name, S_IFREG, 0) < 0)
                return -errno;
        x->dir->flags |= DIR_XWHITES;
        if (fchdir(fd) < 0 || lsetxattr(name, "user.overlay.whiteout", "y", 1, 0) < 0)
                return -errno;
        return 0;
}

typedef int make_fn(struct sink_dir *x, int fd, const char *name);

static int make_or_replace(struct sink_dir *x, make_fn *make, const char *what)
{
        int fd = dirs_fd(&x->dirs, x->dir), r;

        if (fd < 0)
                return dir_failed(x, fd, "open the directory of");
        r = make(x, fd, x->place.name);
        if (r == -EEXIST) {
                r = dir_replace(x, x->dir, x->place.name, x->place.name_len);
                if (r == 0 && (fd = dirs_fd(&x->dirs, x->dir)) < 0)
                        r = fd;
                if (r == 0)
                        r = make(x, fd, x->place.name);
        }
        return r < 0 ? dir_failed(x, r, what) : 0;
}

/* ---- directories ---- */

static int make_directory(struct sink_dir *x)
{
        struct dir *d = dirs_find(&x->dirs, x->dir, x->place.name, x->place.name_len);
        int fd = dirs_fd(&x->dirs, x->dir), r = 0;
        bool whited = false;
        struct stat st;

        if (fd < 0)
                return dir_failed(x, fd, "open the directory of");
        if (!d && mkdirat(fd, x->place.name, x->entry->mode & 0777) < 0) {
                if (errno != EEXIST)
                        return dir_failed(x, errno, "make");
                if (fstatat(fd, x->place.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return dir_failed(x, errno, "look at");
                whited = S_ISCHR(st.st_mode) && st.st_rdev == 0;
                r = dir_replace(x, x->dir, x->place.name, x->place.name_len);
                if (r == 0 && mkdirat(fd, x->place.name, x->entry->mode & 0777) < 0)
                        r = -errno;
                if (r < 0)
                        return dir_failed(x, r, "make");
        }
        if (!d) {
                d = dirs_add(&x->dirs, x->dir, x->place.name, x->place.name_len);
                d->made = x->entry->mode & 0777;
        }
        if (whited)
                d->flags |= DIR_OPAQUE | DIR_WHITED;
        d->flags &= (uint8_t)~DIR_IMPLIED;
        dir_attrs_keep(x, d);
        return 0;
}

static int make_root(struct sink_dir *x)
{
        if (x->entry->type != TAR_DIR)
                return dir_refuse(x, -EINVAL, "it would replace the root by something else");
        x->dirs.root->flags &= (uint8_t)~DIR_IMPLIED;
        dir_attrs_keep(x, x->dirs.root);
        return 0;
}

/* ---- whiteouts ---- */

/* It hides what lower layers have, and nothing of this one, in either order. */
static int whiteout(struct sink_dir *x)
{
        const char *name = x->place.name + strlen(".wh.");
        struct dir *d;
        int fd, r;

        if (str_eq(x->place.name, ".wh..wh..opq")) {
                x->dir->flags |= DIR_OPAQUE;
                return 0;
        }
        if (!*name || str_eq(name, ".") || str_eq(name, ".."))
                return dir_refuse(x, -EINVAL, "it is a whiteout of no name");
        d = dirs_find(&x->dirs, x->dir, name, strlen(name));
        if (d) {
                d->flags |= DIR_OPAQUE | DIR_WHITED;
                return 0;
        }
        fd = dirs_fd(&x->dirs, x->dir);
        r = fd < 0 ? fd : make_whiteout(x, fd, name);
        if (r == 0)
                x->nwhiteouts++;
        return r < 0 && r != -EEXIST ? dir_failed(x, r, "make the whiteout") : 0;
}

int dir_entry_make(struct sink_dir *x)
{
        const char *rule = NULL;
        int r;

        if (x->place.name_len == 0)
                return make_root(x);
        r = dirs_walk(&x->dirs, x->place.dir, x->place.dir_len, true, &x->dir, &rule);
        if (r < 0)
                return rule ? dir_refuse(x, r, rule) : dir_failed(x, r, "make the directory of");
        if (strncmp(x->place.name, ".wh.", 4) == 0)
                return whiteout(x);
        switch (x->entry->type) {
        case TAR_DIR:
                return make_directory(x);
        case TAR_HARDLINK:
                return dir_link_make(x);
        case TAR_FILE:
                return make_or_replace(x, make_file, "make");
        case TAR_SYMLINK:
                return make_or_replace(x, make_symlink, "make the symlink");
        default:
                return make_or_replace(x, make_node, "make");
        }
}
