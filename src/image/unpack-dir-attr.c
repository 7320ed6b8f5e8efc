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

/* Those that a layer may bring along; overlayfs's own it may not. user.* is for files and
 * directories alone. */
static bool wanted(const char *name, bool special, bool userxattr)
{
        if (str_after(name, "trusted."))
                return !userxattr && !str_after(name, "trusted.overlay.");
        if (str_after(name, "user."))
                return !special && !(userxattr && str_after(name, "user.overlay."));
        return str_after(name, "security.") || str_eq(name, "system.posix_acl_access") ||
               str_eq(name, "system.posix_acl_default");
}

/* fd < 0: of `name` in the working directory. */
static int set_xattrs(int fd, const char *name, const struct tar_entry *t, bool userxattr)
{
        for (uint32_t i = 0; i < t->nxattrs; i++) {
                const struct tar_xattr *a = &t->xattrs[i];
                int r;

                if (!wanted(a->name, fd < 0, userxattr))
                        continue;
                r = fd >= 0 ? fsetxattr(fd, a->name, a->value, a->len, 0)
                            : lsetxattr(name, a->name, a->value, a->len, 0);
                /* A file system or a kernel that has none of this kind, or an owner who may not. */
                if (r < 0 && errno != EOPNOTSUPP && !(errno == EPERM && userxattr))
                        return -errno;
        }
        return 0;
}

static void times_of(const struct tar_entry *t, struct timespec ret[2])
{
        ret[0] = ret[1] = (struct timespec){ .tv_sec = t->mtime, .tv_nsec = t->mtime_ns };
}

int attrs_set(int fd, const struct tar_entry *t, mode_t made, bool userxattr)
{
        struct timespec times[2];
        int r = 0;

        times_of(t, times);
        if ((t->uid || t->gid) && fchown(fd, t->uid, t->gid) < 0)
                r = -errno;
        if (r == 0 && t->mode != made && fchmod(fd, t->mode) < 0)
                r = -errno;
        if (r == 0 && t->nxattrs)
                r = set_xattrs(fd, NULL, t, userxattr);
        if (r == 0 && futimens(fd, times) < 0)
                r = -errno;
        return r;
}

int attrs_set_at(int dir, const char *name, const struct tar_entry *t, bool userxattr)
{
        struct timespec times[2];
        int r = 0;

        times_of(t, times);
        if ((t->uid || t->gid) && fchownat(dir, name, t->uid, t->gid, AT_SYMLINK_NOFOLLOW) < 0)
                r = -errno;
        if (r == 0 && t->type != TAR_SYMLINK && (t->mode & 07000) &&
            fchmodat(dir, name, t->mode, 0) < 0)
                r = -errno;
        if (r == 0 && t->nxattrs)
                r = fchdir(dir) < 0 ? -errno : set_xattrs(-1, name, t, userxattr);
        if (r == 0 && utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
                r = -errno;
        return r;
}

static const char failed[] = "set owner, mode, times or attributes of";

int dir_attrs_file(struct sink_dir *x)
{
        int r = attrs_set(x->fd, x->entry, x->entry->mode & 0777, x->job->userxattr);

        return r < 0 ? dir_failed(x, r, failed) : 0;
}

int dir_attrs_node(struct sink_dir *x)
{
        int fd = dirs_fd(&x->dirs, x->dir), r = fd;

        if (r >= 0)
                r = attrs_set_at(fd, x->place.name, x->entry, x->job->userxattr);
        return r < 0 ? dir_failed(x, r, failed) : 0;
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

static int apply(const struct dir *d, int fd, bool userxattr)
{
        const struct tar_entry t = { .type = TAR_DIR,
                                     .uid = d->uid,
                                     .gid = d->gid,
                                     .mode = d->mode,
                                     .mtime = d->mtime,
                                     .mtime_ns = d->mtime_ns,
                                     .xattrs = d->xattrs,
                                     .nxattrs = d->nxattrs };
        const char *opaque = userxattr ? "user.overlay.opaque" : "trusted.overlay.opaque";

        if ((d->flags & (DIR_OPAQUE | DIR_XWHITES)) &&
            fsetxattr(fd, opaque, d->flags & DIR_OPAQUE ? "y" : "x", 1, 0) < 0)
                return -errno;
        return attrs_set(fd, &t, d->made, userxattr);
}

int dir_attrs_all(struct sink_dir *x)
{
        for (struct dir *d = x->dirs.root; d; d = d->next) {
                int r;

                if (!dirs_lives(&x->dirs, d))
                        continue;
                r = dirs_fd(&x->dirs, d);
                if (r >= 0)
                        r = apply(d, r, x->job->userxattr);
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
