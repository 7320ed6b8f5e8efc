#include "image/tree-tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/dir.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/tar.h"
#include "kernel/resolve.h"
#include "kernel/sys.h"

#define CHUNK (256u << 10)
#define PATH_LIMIT 4096
#define XATTRS_MAX 64
#define OVERLAY "trusted.overlay."

/* A file with several names: where the first one stands in the archive. */
struct linked {
        dev_t dev;
        ino_t ino;
        char *path; /* NULL: free */
};

struct writer {
        const struct tree_tar *t;
        struct buf head; /* of one entry */
        char *chunk;
        char **todo; /* directories that are to come, the next one last */
        size_t ntodo, todo_cap;
        struct linked *links; /* open addressing; a power of two */
        size_t nlinks, links_cap;
        struct err *e;
};

static int open_below(const struct writer *w, const char *path, int flags)
{
        return resolve_open(w->t->dir, *path ? path : ".", flags | O_NOFOLLOW, 0,
                            RESOLVE_NO_SYMLINKS | (w->t->cross ? 0 : RESOLVE_NO_XDEV));
}

/* What path is called in the archive; in a. */
static const char *called(const struct writer *w, struct arena *a, const char *path)
{
        return w->t->only && w->t->as ? arena_printf(a, "%s%s", w->t->as, path + strlen(w->t->only))
                                      : path;
}

static int put(struct writer *w, const void *p, size_t n)
{
        int r = w->t->put(w->t->ctx, p, n);

        return r < 0 ? err_sys(w->e, r, "cannot write the archive") : 0;
}

/* ---- files with several names ---- */

static struct linked *slot(struct linked *v, size_t cap, dev_t dev, ino_t ino)
{
        size_t i = (size_t)(ino * 0x9e3779b97f4a7c15ull >> 20) & (cap - 1);

        while (v[i].path && (v[i].ino != ino || v[i].dev != dev))
                i = (i + 1) & (cap - 1);
        return &v[i];
}

static void grow_links(struct writer *w)
{
        size_t cap = w->links_cap ? w->links_cap * 2 : 64;
        struct linked *v = mem_alloc(mem_mul(cap, sizeof *v));

        for (size_t i = 0; i < w->links_cap; i++)
                if (w->links[i].path)
                        *slot(v, cap, w->links[i].dev, w->links[i].ino) = w->links[i];
        free(w->links);
        w->links = v;
        w->links_cap = cap;
}

/* The first name of this file, or NULL: then path is it. */
static const char *first_name(struct writer *w, const struct stat *st, const char *path)
{
        struct linked *l;

        if (S_ISDIR(st->st_mode) || st->st_nlink < 2)
                return NULL;
        if (2 * w->nlinks >= w->links_cap)
                grow_links(w);
        l = slot(w->links, w->links_cap, st->st_dev, st->st_ino);
        if (l->path)
                return l->path;
        *l = (struct linked){ st->st_dev, st->st_ino, mem_strdup(path) };
        w->nlinks++;
        return NULL;
}

/* ---- attributes ---- */

/* What describes a file, and not this host's policy or overlayfs's bookkeeping. */
static bool keeps(const char *name)
{
        return str_after(name, "user.") ? !str_after(name, "user.overlay.")
                                        : str_eq(name, "security.capability") ||
                                                  str_after(name, "system.posix_acl_") != NULL;
}

static int read_xattrs(struct writer *w, struct arena *a, int fd, const char *path,
                       struct tar_entry *t)
{
        struct fd_path self = fd_path(fd);
        struct tar_xattr *v = arena_array(a, struct tar_xattr, XATTRS_MAX);
        char *names = arena_alloc(a, 65536);
        ssize_t n = listxattr(self.s, names, 65536);

        for (const char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
                char *value;
                ssize_t len;

                if (w->t->layer &&
                    (str_eq(name, OVERLAY "redirect") || str_eq(name, OVERLAY "metacopy")))
                        return err_set(w->e, ERR_UNSUPPORTED,
                                       "\"/%s\": overlayfs keeps it as a redirection", path);
                if (!keeps(name) || t->nxattrs == XATTRS_MAX)
                        continue;
                value = arena_alloc(a, 65536);
                len = getxattr(self.s, name, value, 65536);
                if (len >= 0)
                        v[t->nxattrs++] = (struct tar_xattr){ name, value, (uint32_t)len };
        }
        t->xattrs = v;
        return 0;
}

static bool is_opaque(int fd)
{
        char value[2];

        return getxattr(fd_path(fd).s, OVERLAY "opaque", value, sizeof value) == 1 && *value == 'y';
}

/* ---- one entry ---- */

static int put_head(struct writer *w, const struct tar_entry *t)
{
        buf_clear(&w->head);
        tar_put_header(&w->head, t);
        return put(w, w->head.s, w->head.len);
}

/* dir/.wh.NAME, or the mark of an opaque directory. */
static int put_whiteout(struct writer *w, struct arena *a, const char *dir, const char *name)
{
        const struct tar_entry t = {
                .type = TAR_FILE,
                .path = arena_printf(a, "%s%s.wh.%s", dir, *dir ? "/" : "", name),
        };

        return put_head(w, &t);
}

static int put_content(struct writer *w, int fd, const char *path, uint64_t size)
{
        static const char zeros[512];
        AUTO_FD int in = open(fd_path(fd).s, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        uint64_t left = size;

        if (in < 0)
                return err_sys(w->e, errno, "cannot open \"/%s\"", path);
        while (left) {
                ssize_t n = read(in, w->chunk, (size_t)MIN(left, (uint64_t)CHUNK));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_sys(w->e, errno, "cannot read \"/%s\"", path);
                if (n == 0)
                        return err_set(w->e, ERR_STATE, "\"/%s\" shrank while it was read", path);
                if (put(w, w->chunk, (size_t)n) < 0)
                        return -1;
                left -= (uint64_t)n;
        }
        return put(w, zeros, tar_padding(size));
}

static enum tar_type type_of(mode_t mode)
{
        switch (mode & S_IFMT) {
        case S_IFREG:
                return TAR_FILE;
        case S_IFDIR:
                return TAR_DIR;
        case S_IFLNK:
                return TAR_SYMLINK;
        case S_IFCHR:
                return TAR_CHAR;
        case S_IFBLK:
                return TAR_BLOCK;
        case S_IFIFO:
                return TAR_FIFO;
        default:
                return TAR_TYPE_MAX; /* a socket, which no archive can hold */
        }
}

static void push(struct writer *w, const char *path)
{
        if (w->ntodo == w->todo_cap) {
                w->todo_cap = w->todo_cap ? w->todo_cap * 2 : 64;
                w->todo = mem_realloc(w->todo, mem_mul(w->todo_cap, sizeof *w->todo));
        }
        w->todo[w->ntodo++] = mem_strdup(path);
}

static int put_file(struct writer *w, struct arena *a, int fd, const char *path,
                    const struct stat *st, bool mounted)
{
        const struct id_owners *o = w->t->owners;
        struct tar_entry t = { .type = type_of(st->st_mode),
                               .path = called(w, a, path),
                               .mode = st->st_mode & 07777,
                               .uid = o ? id_seen(&o->uids, st->st_uid) : st->st_uid,
                               .gid = o ? id_seen(&o->gids, st->st_gid) : st->st_gid,
                               .mtime = MIN((int64_t)st->st_mtim.tv_sec, w->t->latest),
                               .major = major(st->st_rdev),
                               .minor = minor(st->st_rdev) };

        if (t.type == TAR_TYPE_MAX)
                return 0;
        t.link = mounted ? NULL : first_name(w, st, t.path);
        if (t.link)
                t.type = TAR_HARDLINK;
        if (t.type == TAR_SYMLINK) {
                char *target = arena_alloc(a, PATH_LIMIT);

                if (readlinkat(fd, "", target, PATH_LIMIT - 1) < 0)
                        return err_sys(w->e, errno, "cannot read the link \"/%s\"", path);
                t.link = target;
        }
        if (t.type == TAR_FILE && !mounted)
                t.size = (uint64_t)st->st_size;
        if (t.type != TAR_HARDLINK && !mounted && read_xattrs(w, a, fd, path, &t) < 0)
                return -1;
        if (put_head(w, &t) < 0)
                return -1;
        return t.type == TAR_FILE && t.size ? put_content(w, fd, path, t.size) : 0;
}

static bool is_stub(const struct writer *w, int fd, const char *path, const struct stat *st)
{
        for (size_t i = 0; w->t->stubs && i < w->t->stubs->n; i++)
                if (str_eq(w->t->stubs->v[i], path))
                        return S_ISDIR(st->st_mode) ? dir_is_empty(fd)
                                                    : S_ISREG(st->st_mode) && st->st_size == 0;
        return false;
}

/* Tells whether it is a directory to go into. */
static int put_one(struct writer *w, const char *dir, const char *name, bool *ret_enter)
{
        AUTO_ARENA a = { 0 };
        const char *path = arena_printf(&a, "%s%s%s", dir, *dir ? "/" : "", name);
        AUTO_FD int fd = strlen(path) < PATH_LIMIT ? open_below(w, path, O_PATH) : -ENAMETOOLONG;
        bool mounted = fd == -EXDEV;
        struct stat st;

        *ret_enter = false;
        if (mounted)
                fd = resolve_in(w->t->dir, path, O_NOFOLLOW, RESOLVE_NO_SYMLINKS);
        if (fd == -ENOENT)
                return 0; /* gone since the directory was read */
        if (fd < 0 || fstat(fd, &st) < 0)
                return err_sys(w->e, fd < 0 ? fd : errno, "cannot open \"/%s\"", path);
        if (w->t->layer && S_ISCHR(st.st_mode) && st.st_rdev == 0)
                return put_whiteout(w, &a, dir, name);
        if (is_stub(w, fd, path, &st))
                return 0;
        *ret_enter = S_ISDIR(st.st_mode) && !mounted;
        return put_file(w, &a, fd, path, &st, mounted);
}

/* ---- directories ---- */

/* Its entries; the directories among them come next, in order. */
static int put_dir(struct writer *w, const char *path)
{
        AUTO_FD int fd = open_below(w, path, O_RDONLY | O_DIRECTORY);
        AUTO_ARENA a = { 0 };
        struct strings names;
        size_t first = w->ntodo;
        int r;

        if (fd == -ENOENT)
                return 0;
        if (fd < 0)
                return err_sys(w->e, fd, "cannot open \"/%s\"", path);
        if (w->t->layer && *path && is_opaque(fd) && put_whiteout(w, &a, path, ".wh..opq") < 0)
                return -1;
        r = dir_names(fd, ".", &a, &names);
        if (r < 0)
                return err_sys(w->e, r, "cannot read \"/%s\"", path);
        for (size_t i = 0; i < names.n; i++) {
                bool enter;

                if (put_one(w, path, names.v[i], &enter) < 0)
                        return -1;
                if (enter)
                        push(w, arena_printf(&a, "%s%s%s", path, *path ? "/" : "", names.v[i]));
        }
        for (size_t i = first, k = w->ntodo; i + 1 < k; i++, k--) {
                char *other = w->todo[i];

                w->todo[i] = w->todo[k - 1];
                w->todo[k - 1] = other;
        }
        return 0;
}

int tree_tar_write(const struct tree_tar *t, struct err *e)
{
        struct writer w = { .t = t, .chunk = mem_alloc(CHUNK), .e = e };
        int r = 0;

        if (t->only) {
                bool enter;

                r = put_one(&w, "", t->only, &enter);
                if (r == 0 && enter)
                        push(&w, t->only);
        } else {
                push(&w, "");
        }
        while (r == 0 && w.ntodo) {
                char *path = w.todo[--w.ntodo];

                r = put_dir(&w, path);
                free(path);
        }
        if (r == 0) {
                buf_clear(&w.head);
                tar_put_end(&w.head);
                r = put(&w, w.head.s, w.head.len);
        }
        while (w.ntodo)
                free(w.todo[--w.ntodo]);
        for (size_t i = 0; i < w.links_cap; i++)
                free(w.links[i].path);
        free(w.links);
        free(w.todo);
        free(w.chunk);
        buf_done(&w.head);
        return r;
}

int tree_tar_to_fd(void *ctx, const void *p, size_t n)
{
        return fd_write_all(*(int *)ctx, p, n);
}
