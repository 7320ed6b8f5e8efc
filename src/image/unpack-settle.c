/* Settling a layer in its directory form. */
#include "image/unpack-settle.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "image/unpack-dir.h"
#include "image/unpack.h"
#include "kernel/resolve.h"
#include "kernel/tree.h"

#define LEAN_MAX (256u << 20)
#define BENEATH RESOLVE_NO_SYMLINKS

void seeds_add(struct seeds *s, const char *path, struct lower *l)
{
        s->of = mem_realloc(s->of, (s->n + 1) * sizeof *s->of);
        l->t.path = arena_strdup(&l->a, path);
        s->of[s->n++] = *l;
        *l = (struct lower){ .fd = -1 };
}

void seeds_done(struct seeds *s)
{
        for (size_t i = 0; i < s->n; i++)
                lower_done(&s->of[i]);
        free(s->of);
}

/* ---- the list of what leans ---- */

struct lean_file {
        char *data, *at, *end;
        bool userxattr;
};

static int lean_open(int stage, struct lean_file *ret, struct err *e)
{
        size_t n;
        int r = fd_read_regular_at(stage, "lean", LEAN_MAX, &ret->data, &n);

        if (r < 0)
                return err_sys(e, r, "cannot read what the layer leans on");
        ret->at = ret->data + (n > 0);
        ret->end = ret->data + n;
        ret->userxattr = ret->data[0] == 'u';
        return 0;
}

/* The next row: path, and in *ret_target a hard link's or NULL. Every text ends before the NUL that
 * fd_read_regular_at() puts behind it all. */
static const char *lean_next(struct lean_file *f, const char **ret_target)
{
        const char *path;

        if (f->end - f->at < 2)
                return NULL;
        *ret_target = f->at[0] == 'l' ? "" : NULL;
        path = f->at + 1;
        f->at += 1 + strlen(path) + 1;
        if (*ret_target && f->at < f->end) {
                *ret_target = f->at;
                f->at += strlen(f->at) + 1;
        }
        return path;
}

/* ---- implied directories ---- */

static int dir_settle(int fs, const char *path, int lower, bool userxattr, struct seeds *seeds,
                      struct err *e)
{
        struct lower l;
        int r = lower_dir(lower, path, &l);

        if (r == -ENOENT)
                return 0; /* 0755 of root's, as it was made */
        if (r == 0 && l.t.type == TAR_SYMLINK) {
                seeds_add(seeds, path, &l);
        } else if (r == 0) {
                AUTO_FD int fd = resolve_open(fs, path, O_RDONLY | O_DIRECTORY, 0, BENEATH);

                r = fd < 0 ? fd : attrs_set(fd, &l.t, 0755, userxattr);
        }
        lower_done(&l);
        return r < 0 ? err_sys(e, r, "cannot take over the attributes of '%.200s'", path) : 0;
}

/* ---- hard links to files of lower layers ---- */

static int copy_bytes(int from, int to, uint64_t size)
{
        uint8_t buf[65536];

        for (uint64_t at = 0; at < size;) {
                size_t n = (size_t)MIN(size - at, (uint64_t)sizeof buf);
                int r = unpack_pread(from, buf, n, at);

                if (r == 0)
                        r = fd_write_all(to, buf, n);
                if (r < 0)
                        return r;
                at += n;
        }
        return 0;
}

static int copy_file(const struct lower *l, int dir, const char *name, bool userxattr)
{
        AUTO_FD int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                                l->t.mode & 0777);
        int r = fd < 0 ? -errno : copy_bytes(l->fd, fd, l->t.size);

        return r < 0 ? r : attrs_set(fd, &l->t, l->t.mode & 0777, userxattr);
}

static int copy_node(const struct lower *l, int dir, const char *name, bool userxattr)
{
        static const mode_t types[TAR_TYPE_MAX] = {
                [TAR_CHAR] = S_IFCHR,
                [TAR_BLOCK] = S_IFBLK,
                [TAR_FIFO] = S_IFIFO,
        };
        int r;

        if (l->t.type == TAR_SYMLINK)
                r = symlinkat(l->t.link, dir, name);
        else
                r = mknodat(dir, name, types[l->t.type] | (l->t.mode & 0777),
                            makedev(l->t.major, l->t.minor));
        return r < 0 ? -errno : attrs_set_at(dir, name, &l->t, userxattr);
}

/* Links of one target become one file again: which path has it is remembered. */
struct linked {
        struct linked *next;
        const char *target, *path;
};

struct settle {
        int fs, lower;
        bool userxattr;
        struct arena a;
        struct linked *linked;
        struct seeds seeds;
};

static const char *linked_find(const struct settle *s, const char *target)
{
        for (struct linked *l = s->linked; l; l = l->next)
                if (str_eq(l->target, target))
                        return l->path;
        return NULL;
}

static void linked_add(struct settle *s, const char *target, const char *path)
{
        struct linked *l = arena_new(&s->a, struct linked);

        *l = (struct linked){ s->linked, target, path };
        s->linked = l;
}

static int link_fill(struct settle *s, int dir, const char *name, const char *path,
                     const char *target)
{
        const char *first = linked_find(s, target);
        struct lower l;
        int r;

        /* Its target may be such a link itself, made by now. */
        if (!first && faccessat(s->fs, target, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                first = target;
        if (first) {
                const char *base;
                AUTO_FD int from = resolve_parent(s->fs, first, &base);

                if (from < 0)
                        return from;
                return linkat(from, base, dir, name, 0) < 0 ? -errno : 0;
        }
        r = lower_file(s->lower, target, &l);
        if (r < 0)
                return r;
        r = l.t.type == TAR_FILE ? copy_file(&l, dir, name, s->userxattr)
                                 : copy_node(&l, dir, name, s->userxattr);
        lower_done(&l);
        if (r == 0)
                linked_add(s, target, path);
        return r;
}

static int link_settle(struct settle *s, const char *path, const char *target, struct err *e)
{
        const char *name = path_base(path);
        AUTO_FREE char *parent = mem_printf("%.*s", (int)(name - path), path);
        AUTO_FD int dir =
                resolve_open(s->fs, *parent ? parent : ".", O_RDONLY | O_DIRECTORY, 0, BENEATH);
        struct stat st;
        int r = dir;

        if (r >= 0 && fstat(dir, &st) == 0) {
                const struct timespec times[2] = { st.st_atim, st.st_mtim };

                r = link_fill(s, dir, name, path, target);
                if (r == 0 && futimens(dir, times) < 0)
                        r = -errno;
        }
        if (r == -ENOENT || r == -EISDIR)
                return err_set(e, ERR_INVALID,
                               "its entry '%.120s' is a hard link to '%.120s', which is no file of"
                               " this layer or those below",
                               path, target);
        return r < 0 ? err_sys(e, r, "cannot make the hard link '%.200s'", path) : 0;
}

/* ---- once more, with links planted ---- */

static int feed_again(void *ctx, const uint8_t *p, size_t n, struct err *e)
{
        struct sink *again = ctx;

        return again->feed(again, p, n, e);
}

static int replace_all(int stage, int again)
{
        static const char *const names[] = { "fs", "layer.headers", "replaced", "lean" };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                int r = tree_remove(stage, names[i]);

                if (r < 0)
                        return r;
                if (renameat(again, names[i], stage, names[i]) < 0 && errno != ENOENT)
                        return -errno;
        }
        return tree_remove(stage, "again");
}

static int make_again(int stage, const struct seeds *seeds, bool userxattr, bool *ret_leans,
                      struct err *e)
{
        struct layer_job job = { .backend = LAYER_DIR,
                                 .userxattr = userxattr,
                                 .limits = tar_limits_default };
        AUTO_FD int dir = -1;
        struct sink *again;
        int r = tree_remove(stage, "again");

        if (r == 0 && mkdirat(stage, "again", 0700) < 0)
                r = -errno;
        if (r == 0)
                dir = openat(stage, "again", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (r < 0 || dir < 0)
                return err_sys(e, r < 0 ? r : errno, "cannot make a directory");
        job.stage = dir;
        job.limits.entries = job.limits.bytes = UINT64_MAX; /* it has passed them before */
        again = sink_dir_new(&job, e);
        if (!again)
                return -1;
        for (size_t i = 0; i < seeds->n && r == 0; i++)
                r = sink_dir_seed(again, &seeds->of[i].t, e);
        if (r == 0)
                r = unpack_tar_dir(stage, feed_again, again, e);
        if (r == 0)
                r = again->finish(again, e);
        *ret_leans = again->leans;
        again->free(again);
        if (r == 0 && (r = replace_all(stage, dir)) < 0)
                return err_sys(e, r, "cannot replace the layer by one that follows symlinks");
        return r;
}

/* One pass over the list: attributes, and which directories are symlinks below. */
static int directories(struct settle *s, const struct lean_file *list, struct err *e)
{
        struct lean_file f = *list;
        const char *path, *target;

        while ((path = lean_next(&f, &target)))
                if (!target && dir_settle(s->fs, path, s->lower, s->userxattr, &s->seeds, e) < 0)
                        return -1;
        return 0;
}

static int links(struct settle *s, const struct lean_file *list, struct err *e)
{
        struct lean_file f = *list;
        const char *path, *target;

        while ((path = lean_next(&f, &target)))
                if (target && link_settle(s, path, target, e) < 0)
                        return -1;
        return 0;
}

/* 0; 1: made again, so that it has to be settled once more. */
static int settle_round(int stage, struct settle *s, struct err *e)
{
        AUTO_FREE char *data = NULL;
        size_t before = s->seeds.n;
        struct lean_file list;
        bool leans = false;
        int r;

        if (lean_open(stage, &list, e) < 0)
                return -1;
        data = list.data;
        s->userxattr = list.userxattr;
        s->fs = openat(stage, "fs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (s->fs < 0)
                return err_sys(e, errno, "cannot open the layer's directory");
        r = directories(s, &list, e);
        if (r == 0 && s->seeds.n > before) {
                s->fs = fd_close(s->fs);
                r = make_again(stage, &s->seeds, s->userxattr, &leans, e);
                return r < 0 ? -1 : leans;
        }
        if (r == 0)
                r = links(s, &list, e);
        s->fs = fd_close(s->fs);
        return r;
}

int unpack_settle_dir(int stage, int lower, struct err *e)
{
        struct settle s = { .fs = -1, .lower = lower };
        int r = 1;

        for (int round = 0; r == 1 && round < SETTLE_ROUNDS; round++)
                r = settle_round(stage, &s, e);
        if (r == 1)
                r = err_set(e, ERR_LIMIT,
                            "its paths lead through too many symlinks of the layers"
                            " below");
        seeds_done(&s.seeds);
        arena_done(&s.a);
        if (r == 0)
                unlinkat(stage, "lean", 0);
        return r;
}
