/* Owner, mode, extended attributes, times: in this order, since each may undo the one before (a
 * change of owner clears setuid bits and security.capability, writing changes times). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/str.h"
#include "image/unpack-dir.h"

const char *dir_overlay_xattr(const struct sink_dir *x, const char *trusted, const char *user)
{
        return x->job->userxattr ? user : trusted;
}

/* Those that a layer may bring along; overlayfs's own it may not. user.* is for files and
 * directories alone. */
static bool wanted(const struct sink_dir *x, const char *name, bool special)
{
        if (str_after(name, "trusted."))
                return !x->job->userxattr && !str_after(name, "trusted.overlay.");
        if (str_after(name, "user."))
                return !special && !(x->job->userxattr && str_after(name, "user.overlay."));
        return str_after(name, "security.") || str_eq(name, "system.posix_acl_access") ||
               str_eq(name, "system.posix_acl_default");
}

/* fd < 0: of `name` in the working directory. */
static int set_xattrs(struct sink_dir *x, int fd, const char *name, const struct tar_xattr *a,
                      uint32_t n)
{
        for (uint32_t i = 0; i < n; i++) {
                int r;

                if (!wanted(x, a[i].name, fd < 0))
                        continue;
                r = fd >= 0 ? fsetxattr(fd, a[i].name, a[i].value, a[i].len, 0)
                            : lsetxattr(name, a[i].name, a[i].value, a[i].len, 0);
                /* A file system or a kernel that has none of this kind, or an owner who may not. */
                if (r < 0 && errno != EOPNOTSUPP && !(errno == EPERM && x->job->userxattr))
                        return -errno;
        }
        return 0;
}

static void times_of(int64_t s, uint32_t ns, struct timespec ret[2])
{
        ret[0] = ret[1] = (struct timespec){ .tv_sec = s, .tv_nsec = ns };
}

int dir_attrs_file(struct sink_dir *x)
{
        const struct tar_entry *t = x->entry;
        struct timespec times[2];
        int r = 0;

        times_of(t->mtime, t->mtime_ns, times);
        if ((t->uid || t->gid) && fchown(x->fd, t->uid, t->gid) < 0)
                r = -errno;
        if (r == 0 && (t->mode & 07000) && fchmod(x->fd, t->mode) < 0)
                r = -errno;
        if (r == 0 && t->nxattrs)
                r = set_xattrs(x, x->fd, NULL, t->xattrs, t->nxattrs);
        if (r == 0 && futimens(x->fd, times) < 0)
                r = -errno;
        return r < 0 ? dir_failed(x, r, "set owner, mode, times or attributes of") : 0;
}

int dir_attrs_node(struct sink_dir *x)
{
        const struct tar_entry *t = x->entry;
        const char *name = x->place.name;
        int fd = dirs_fd(&x->dirs, x->dir), r = fd < 0 ? fd : 0;
        struct timespec times[2];

        times_of(t->mtime, t->mtime_ns, times);
        if (r == 0 && (t->uid || t->gid) &&
            fchownat(fd, name, t->uid, t->gid, AT_SYMLINK_NOFOLLOW) < 0)
                r = -errno;
        if (r == 0 && t->type != TAR_SYMLINK && (t->mode & 07000) &&
            fchmodat(fd, name, t->mode, 0) < 0)
                r = -errno;
        if (r == 0 && t->nxattrs)
                r = fchdir(fd) < 0 ? -errno : set_xattrs(x, -1, name, t->xattrs, t->nxattrs);
        if (r == 0 && utimensat(fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
                r = -errno;
        return r < 0 ? dir_failed(x, r, "set owner, mode, times or attributes of") : 0;
}

/* ---- directories ---- */

void dir_attrs_keep(struct sink_dir *x, struct dir *d)
{
        const struct tar_entry *t = x->entry;
        struct arena *a = &x->dirs.a;

        d->uid = t->uid;
        d->gid = t->gid;
        d->mode = (uint16_t)t->mode;
        d->mtime = t->mtime;
        d->mtime_ns = t->mtime_ns;
        d->nxattrs = t->nxattrs;
        if (t->nxattrs)
                d->xattrs = arena_array(a, struct tar_xattr, t->nxattrs);
        for (uint32_t i = 0; i < t->nxattrs; i++) {
                d->xattrs[i].name = arena_strdup(a, t->xattrs[i].name);
                d->xattrs[i].value = arena_strndup(a, t->xattrs[i].value, t->xattrs[i].len);
                d->xattrs[i].len = t->xattrs[i].len;
        }
}

static int apply(struct sink_dir *x, const struct dir *d, int fd)
{
        const char *opaque = dir_overlay_xattr(x, "trusted.overlay.opaque", "user.overlay.opaque");
        struct timespec times[2];
        int r = 0;

        times_of(d->mtime, d->mtime_ns, times);
        if ((d->uid || d->gid) && fchown(fd, d->uid, d->gid) < 0)
                r = -errno;
        if (r == 0 && d->mode != d->made && fchmod(fd, d->mode) < 0)
                r = -errno;
        if (r == 0 && d->nxattrs)
                r = set_xattrs(x, fd, NULL, d->xattrs, d->nxattrs);
        if (r == 0 && (d->flags & (DIR_OPAQUE | DIR_XWHITES)) &&
            fsetxattr(fd, opaque, d->flags & DIR_OPAQUE ? "y" : "x", 1, 0) < 0)
                r = -errno;
        if (r == 0 && futimens(fd, times) < 0)
                r = -errno;
        return r;
}

int dir_attrs_all(struct sink_dir *x)
{
        for (struct dir *d = x->dirs.root; d; d = d->next) {
                int r;

                if (!dirs_lives(&x->dirs, d))
                        continue;
                r = dirs_fd(&x->dirs, d);
                if (r >= 0)
                        r = apply(x, d, r);
                if (r < 0) {
                        char name[200];

                        dirs_path(d, &x->path);
                        err_sys(x->err, r, "cannot set owner, mode, times or attributes of '%s'",
                                unpack_name(buf_str(&x->path), name));
                        return -ECANCELED;
                }
        }
        return 0;
}
