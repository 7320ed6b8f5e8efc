#include "image/unpack-lower.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/resolve.h"

#define NAMES_MAX 65536 /* XATTR_LIST_MAX */

static void take_stat(struct lower *l, const struct stat *st)
{
        struct tar_entry *t = &l->t;

        t->type = S_ISDIR(st->st_mode)    ? TAR_DIR
                  : S_ISLNK(st->st_mode)  ? TAR_SYMLINK
                  : S_ISCHR(st->st_mode)  ? TAR_CHAR
                  : S_ISBLK(st->st_mode)  ? TAR_BLOCK
                  : S_ISFIFO(st->st_mode) ? TAR_FIFO
                                          : TAR_FILE;
        t->mode = st->st_mode & 07777;
        t->uid = st->st_uid;
        t->gid = st->st_gid;
        t->mtime = st->st_mtim.tv_sec;
        t->mtime_ns = (uint32_t)st->st_mtim.tv_nsec;
        t->major = major(st->st_rdev);
        t->minor = minor(st->st_rdev);
        if (t->type == TAR_FILE)
                t->size = t->stored = (uint64_t)st->st_size;
}

static int take_link(struct lower *l, int fd)
{
        char target[4096];
        ssize_t n = readlinkat(fd, "", target, sizeof target);

        if (n < 0)
                return -errno;
        if (n == sizeof target)
                return -ENAMETOOLONG;
        l->t.link = arena_strndup(&l->a, target, (size_t)n);
        return 0;
}

static int take_xattr(struct lower *l, const char *name, struct tar_xattr *x)
{
        ssize_t n = fgetxattr(l->fd, name, NULL, 0);
        void *value;

        if (n < 0)
                return errno == ENODATA ? 0 : -errno;
        value = arena_alloc(&l->a, (size_t)n + 1);
        n = fgetxattr(l->fd, name, value, (size_t)n);
        if (n < 0)
                return errno == ENODATA ? 0 : -errno;
        *x = (struct tar_xattr){ arena_strdup(&l->a, name), value, (uint32_t)n };
        return 1;
}

static int take_xattrs(struct lower *l)
{
        AUTO_FREE char *names = mem_alloc(NAMES_MAX);
        ssize_t n = flistxattr(l->fd, names, NAMES_MAX);
        struct tar_xattr *xattrs;
        size_t count = 0;

        if (n < 0)
                return errno == EOPNOTSUPP ? 0 : -errno;
        for (ssize_t i = 0; i < n; i++)
                count += names[i] == '\0';
        xattrs = arena_array(&l->a, struct tar_xattr, count + 1);
        for (const char *s = names; s < names + n; s += strlen(s) + 1) {
                int r = take_xattr(l, s, &xattrs[l->t.nxattrs]);

                if (r < 0)
                        return r;
                l->t.nxattrs += (uint32_t)r;
        }
        l->t.xattrs = xattrs;
        return 0;
}

/* path_fd: O_PATH of what was found. */
static int take(struct lower *l, int root, const char *path, uint64_t resolve, int path_fd)
{
        struct stat st, again;

        if (fstat(path_fd, &st) < 0)
                return -errno;
        take_stat(l, &st);
        if (l->t.type == TAR_SYMLINK)
                return take_link(l, path_fd);
        if (l->t.type != TAR_DIR && l->t.type != TAR_FILE)
                return 0;
        l->fd = resolve_open(root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, resolve);
        if (l->fd < 0)
                return l->fd;
        if (fstat(l->fd, &again) < 0 || again.st_ino != st.st_ino)
                return -ESTALE;
        return take_xattrs(l);
}

static int look(int root, const char *path, uint64_t resolve, struct lower *ret)
{
        AUTO_FD int fd = root < 0 ? -ENOENT : resolve_in(root, path, O_NOFOLLOW, resolve);
        int r;

        *ret = (struct lower){ .fd = -1 };
        if (fd == -ENOTDIR || fd == -ELOOP)
                return -ENOENT;
        if (fd < 0)
                return fd;
        r = take(ret, root, path, resolve, fd);
        if (r < 0)
                lower_done(ret);
        return r;
}

int lower_dir(int root, const char *path, struct lower *ret)
{
        int r = look(root, path, RESOLVE_NO_SYMLINKS, ret);

        if (r == 0 && ret->t.type != TAR_DIR && ret->t.type != TAR_SYMLINK) {
                lower_done(ret);
                return -ENOENT;
        }
        return r;
}

int lower_file(int root, const char *path, struct lower *ret)
{
        int r = look(root, path, 0, ret);

        if (r == 0 && ret->t.type == TAR_DIR) {
                lower_done(ret);
                return -EISDIR;
        }
        return r;
}

void lower_done(struct lower *l)
{
        l->fd = fd_close(l->fd);
        arena_done(&l->a);
}
