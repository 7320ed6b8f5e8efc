#include "image/tree-untar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "codec/tar.h"
#include "kernel/resolve.h"
#include "kernel/sys.h"

struct untar {
        int dir;
        bool keep_owner, strangers;
        uint32_t uid, gid;
        const struct id_owners *owners; /* or NULL */
        struct tar *tar;
        int file; /* being written, or -1 */
        struct tar_entry entry;
        struct err err; /* why a callback refused */
};

static int refuse(struct untar *u, int sys, const char *what, const char *path)
{
        err_sys(&u->err, sys, "cannot %s \"%s\"", what, path);
        return -EIO;
}

/* The directory that holds path, made where missing; *ret_name points into path. Strangers may
 * race: no link is followed where the directory is there. */
static int open_parent(struct untar *u, struct arena *a, const char *path, const char **ret_name)
{
        const char *slash = strrchr(path, '/');
        const char *dir = slash ? arena_strndup(a, path, (size_t)(slash - path)) : ".";
        int fd = resolve_in(u->dir, dir, O_DIRECTORY, RESOLVE_NO_SYMLINKS);

        *ret_name = slash ? slash + 1 : path;
        return fd == -ENOENT ? resolve_make(u->dir, dir, 1, 0755) : fd;
}

static mode_t mode_of(const struct untar *u)
{
        return u->entry.mode & (u->strangers ? 01777 : 07777);
}

/* Of the file at dir/name, or of dir itself where name is "". */
static int set_owner(struct untar *u, int dir, const char *name)
{
        const struct tar_entry *t = &u->entry;
        uint32_t uid = u->keep_owner ? t->uid : u->uid;
        uint32_t gid = u->keep_owner ? t->gid : u->gid;

        if (u->owners && u->owners->uids.n &&
            (!id_to_host(&u->owners->uids, uid, &uid) || !id_to_host(&u->owners->gids, gid, &gid)))
                return -EOVERFLOW;
        return fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int make_dir(struct untar *u, int parent, const char *name)
{
        struct stat st;
        int r;

        if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
        if (mkdirat(parent, name, 0700) < 0)
                return -errno;
        AUTO_FD int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = set_owner(u, fd, "");
        if (r == 0 && fchmod(fd, mode_of(u)) < 0)
                r = -errno;
        return r;
}

static int make_link(struct untar *u, struct arena *a, int parent, const char *name)
{
        char clean[4096];
        const char *target;

        if (path_join("/", u->entry.link, clean, sizeof clean) < 0 || str_eq(clean, "/"))
                return -EINVAL;
        AUTO_FD int from = open_parent(u, a, clean + 1, &target);
        if (from < 0)
                return from;
        return linkat(from, target, parent, name, 0) < 0 ? -errno : 0;
}

static int make_node(struct untar *u, int parent, const char *name)
{
        static const mode_t modes[TAR_TYPE_MAX] = {
                [TAR_CHAR] = S_IFCHR, [TAR_BLOCK] = S_IFBLK, [TAR_FIFO] = S_IFIFO
        };
        const struct tar_entry *t = &u->entry;
        int r;

        if (u->strangers && t->type != TAR_FIFO)
                return 0;
        r = mknodat(parent, name, modes[t->type] | (t->mode & 0777), makedev(t->major, t->minor));

        return r < 0 ? -errno : set_owner(u, parent, name);
}

static int make_thing(struct untar *u, struct arena *a, int parent, const char *name)
{
        struct stat st;

        if (u->entry.type == TAR_DIR)
                return make_dir(u, parent, name);
        if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
                if (S_ISDIR(st.st_mode))
                        return -EISDIR;
                if (unlinkat(parent, name, 0) < 0)
                        return -errno;
        }
        switch (u->entry.type) {
        case TAR_FILE:
                u->file = openat(parent, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                                 0600);
                return u->file < 0 ? -errno : 0;
        case TAR_HARDLINK:
                return make_link(u, a, parent, name);
        case TAR_SYMLINK:
                return symlinkat(u->entry.link, parent, name) < 0 ? -errno
                                                                  : set_owner(u, parent, name);
        default:
                return make_node(u, parent, name);
        }
}

static int on_entry(void *ctx, const struct tar_entry *t)
{
        struct untar *u = ctx;
        AUTO_ARENA a = { 0 };
        char clean[4096];
        const char *name;
        int r;

        u->entry = *t;
        for (const char *at = t->path, *part; *at; at = part + strspn(part, "/")) {
                part = at + strcspn(at, "/");
                if (part - at == 2 && strncmp(at, "..", 2) == 0)
                        return refuse(u, EINVAL, "unpack", t->path);
        }
        if (path_join("/", t->path, clean, sizeof clean) < 0)
                return refuse(u, ENAMETOOLONG, "unpack", t->path);
        if (str_eq(clean, "/"))
                return 0;
        AUTO_FD int parent = open_parent(u, &a, clean + 1, &name);
        r = parent < 0 ? parent : make_thing(u, &a, parent, name);
        return r < 0 ? refuse(u, r, "make", clean + 1) : 0;
}

static int on_data(void *ctx, uint64_t offset, const void *p, size_t n)
{
        struct untar *u = ctx;

        while (n) {
                ssize_t done = pwrite(u->file, p, n, (off_t)offset);

                if (done < 0 && errno == EINTR)
                        continue;
                if (done < 0)
                        return refuse(u, errno, "write", u->entry.path);
                p = (const char *)p + done;
                offset += (uint64_t)done;
                n -= (size_t)done;
        }
        return 0;
}

/* Owner before mode and capabilities: chown clears both. */
static int on_end(void *ctx)
{
        struct untar *u = ctx;
        const struct tar_entry *t = &u->entry;
        const struct timespec times[2] = { { t->mtime, t->mtime_ns }, { t->mtime, t->mtime_ns } };
        AUTO_FD int fd = TAKE_FD(u->file);
        int r;

        if (fd < 0)
                return 0;
        r = ftruncate(fd, (off_t)t->size) < 0 ? -errno : set_owner(u, fd, "");
        if (r < 0 || fchmod(fd, mode_of(u)) < 0)
                return refuse(u, r < 0 ? r : errno, "finish", t->path);
        for (uint32_t i = 0; i < t->nxattrs; i++)
                if ((!u->strangers || str_after(t->xattrs[i].name, "user.")) &&
                    fsetxattr(fd, t->xattrs[i].name, t->xattrs[i].value, t->xattrs[i].len, 0) < 0 &&
                    errno != ENOTSUP && errno != EPERM)
                        return refuse(u, errno, "finish", t->path);
        return futimens(fd, times) < 0 ? refuse(u, errno, "finish", t->path) : 0;
}

static const struct tar_handler handler = { .entry = on_entry, .data = on_data, .end = on_end };

struct untar *untar_new(int dir, enum untar_trust trust, uid_t uid, gid_t gid)
{
        struct untar *u = mem_alloc(sizeof *u);

        *u = (struct untar){
                .dir = dir,
                .keep_owner = trust == UNTAR_ARCHIVE,
                .strangers = trust == UNTAR_STRANGERS,
                .uid = uid,
                .gid = gid,
                .file = -1,
        };
        u->tar = tar_new(&tar_limits_default, &handler, u);
        return u;
}

void untar_owners(struct untar *u, const struct id_owners *owners)
{
        u->owners = owners;
}

void untar_free(struct untar *u)
{
        if (!u)
                return;
        tar_free(u->tar);
        fd_close(u->file);
        free(u);
}

static int result(struct untar *u, int r, struct err *e)
{
        if (r < 0 && u->err.code != ERR_NONE)
                *e = u->err;
        else if (r < 0)
                err_set(e, ERR_INVALID, "the archive: %s", tar_problem(u->tar));
        return r < 0 ? -1 : 0;
}

int untar_feed(struct untar *u, const void *p, size_t n, struct err *e)
{
        return result(u, tar_feed(u->tar, p, n), e);
}

int untar_finish(struct untar *u, struct err *e)
{
        return result(u, tar_finish(u->tar), e);
}
