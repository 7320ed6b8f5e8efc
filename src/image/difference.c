#include "image/difference.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "image/snapshot.h"
#include "kernel/resolve.h"

enum { FROM, TO, SIDES };
#define READ_SIZE 65536u

/* ---- lists ---- */

void differences_add(struct differences *d, struct arena *a, char kind, const char *path)
{
        if (d->n == d->cap) {
                d->cap = d->cap ? d->cap * 2 : 64;
                d->v = mem_realloc(d->v, mem_mul(sizeof *d->v, d->cap));
        }
        d->v[d->n++] = (struct difference){ kind, arena_printf(a, "/%s", path) };
}

static void add_parents(struct differences *d, struct arena *a)
{
        size_t n = d->n;
        const char *last = "";

        for (size_t i = 0; i < n; i++) {
                AUTO_FREE char *path = mem_strdup(d->v[i].path);
                char *slash;

                while ((slash = strrchr(path, '/')) > path) {
                        *slash = '\0';
                        if (str_eq(path, last))
                                break; /* its parents as well, one difference earlier */
                        differences_add(d, a, 'C', path + 1);
                        last = d->v[d->n - 1].path;
                }
        }
}

static int by_path(const void *pa, const void *pb)
{
        const struct difference *a = pa, *b = pb;
        int c = strcmp(a->path, b->path);

        /* Of a path's several kinds "changed", which its children may have added, is the last. */
        return c ? c : (a->kind == 'C') - (b->kind == 'C');
}

void differences_take(struct differences *d, struct arena *a, struct difference **ret,
                      size_t *ret_n)
{
        size_t kept = 0;

        add_parents(d, a);
        if (d->n)
                qsort(d->v, d->n, sizeof *d->v, by_path);
        *ret = arena_array(a, struct difference, d->n + 1);
        for (size_t i = 0; i < d->n; i++)
                if (kept == 0 || !str_eq((*ret)[kept - 1].path, d->v[i].path))
                        (*ret)[kept++] = d->v[i];
        *ret_n = kept;
        free(d->v);
        *d = (struct differences){ 0 };
}

/* ---- two trees ---- */

struct differ {
        struct arena *a;
        int root[SIDES]; /* the merged trees */
        int *layers;     /* those that the two don't share */
        size_t nlayers;
        struct differences found;
        const char **todo; /* directories, relative; a stack, since depth is the image's choice */
        bool *todo_added;
        size_t ntodo, todo_cap;
        char *bytes[SIDES];
        struct err *e;
};

static void add(struct differ *d, char kind, const char *path)
{
        differences_add(&d->found, d->a, kind, path);
}

static void push(struct differ *d, const char *path, bool added)
{
        if (d->ntodo == d->todo_cap) {
                d->todo_cap = d->todo_cap ? d->todo_cap * 2 : 64;
                d->todo = mem_realloc(d->todo, mem_mul(sizeof *d->todo, d->todo_cap));
                d->todo_added =
                        mem_realloc(d->todo_added, mem_mul(sizeof *d->todo_added, d->todo_cap));
        }
        d->todo[d->ntodo] = path;
        d->todo_added[d->ntodo++] = added;
}

static int open_at(int root, const char *path, int flags)
{
        return resolve_open(root, *path ? path : ".", flags | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS);
}

/* ---- one file ---- */

static bool touched(const struct differ *d, const char *path)
{
        for (size_t i = 0; i < d->nlayers; i++) {
                AUTO_FD int fd = open_at(d->layers[i], path, O_PATH);

                if (fd >= 0)
                        return true;
        }
        return false;
}

static bool same_content(struct differ *d, const char *path)
{
        AUTO_FD int from = open_at(d->root[FROM], path, O_RDONLY);
        AUTO_FD int to = open_at(d->root[TO], path, O_RDONLY);
        ssize_t n;

        if (from < 0 || to < 0)
                return false;
        while ((n = read(from, d->bytes[FROM], READ_SIZE)) > 0) {
                ssize_t got = 0, more = 1;

                while (got < n && (more = read(to, d->bytes[TO] + got, (size_t)(n - got))) > 0)
                        got += more;
                if (got != n || memcmp(d->bytes[FROM], d->bytes[TO], (size_t)n))
                        return false;
        }
        return n == 0;
}

static bool same_link(struct differ *d, int from, int to)
{
        ssize_t a = readlinkat(from, "", d->bytes[FROM], READ_SIZE);
        ssize_t b = readlinkat(to, "", d->bytes[TO], READ_SIZE);

        return a >= 0 && a == b && !memcmp(d->bytes[FROM], d->bytes[TO], (size_t)a);
}

static bool same(struct differ *d, const char *path, int from, const struct stat *a, int to,
                 const struct stat *b)
{
        bool dir = S_ISDIR(a->st_mode);

        if (a->st_mode != b->st_mode || a->st_uid != b->st_uid || a->st_gid != b->st_gid ||
            a->st_rdev != b->st_rdev || (!dir && a->st_size != b->st_size) ||
            a->st_mtim.tv_sec != b->st_mtim.tv_sec || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec)
                return false;
        if (S_ISLNK(a->st_mode))
                return same_link(d, from, to);
        return !S_ISREG(a->st_mode) || !touched(d, path) || same_content(d, path);
}

/* A name that both have. */
static void compare(struct differ *d, const char *path)
{
        AUTO_FD int from = open_at(d->root[FROM], path, O_PATH);
        AUTO_FD int to = open_at(d->root[TO], path, O_PATH);
        struct stat a, b;

        if (fstat(from, &a) < 0 || fstat(to, &b) < 0 || !same(d, path, from, &a, to, &b))
                add(d, 'C', path);
        else if (!S_ISDIR(b.st_mode))
                return;
        if (to >= 0 && S_ISDIR(b.st_mode))
                push(d, path, !S_ISDIR(a.st_mode));
}

static void compare_name(struct differ *d, const char *dir, const char *from, const char *to)
{
        const char *name = from ? from : to;
        const char *path = *dir ? arena_printf(d->a, "%s/%s", dir, name) : arena_strdup(d->a, name);
        AUTO_FD int fd = -1;
        struct stat st;

        if (from && to) {
                compare(d, path);
                return;
        }
        add(d, from ? 'D' : 'A', path);
        if (from)
                return;
        fd = open_at(d->root[TO], path, O_PATH);
        if (fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
                push(d, path, true);
}

/* ---- directories ---- */

/* Sorted. A side that has no such directory has no names. */
static int names_of(struct differ *d, int side, const char *path, struct arena *a,
                    struct strings *ret)
{
        AUTO_FD int fd = open_at(d->root[side], path, O_RDONLY | O_DIRECTORY);
        int r = fd < 0 ? 0 : dir_names(fd, ".", a, ret);

        return r < 0 ? err_sys(d->e, r, "cannot read the directory '/%s'", path) : 0;
}

static int walk_one(struct differ *d, const char *path, bool added)
{
        AUTO_ARENA a = { 0 };
        struct strings l[SIDES] = { 0 };
        size_t i = 0, k = 0;
        int r = added ? 0 : names_of(d, FROM, path, &a, &l[FROM]);

        if (r == 0)
                r = names_of(d, TO, path, &a, &l[TO]);
        while (r == 0 && (i < l[FROM].n || k < l[TO].n)) {
                int c = i == l[FROM].n ? 1 : k == l[TO].n ? -1 : strcmp(l[FROM].v[i], l[TO].v[k]);

                compare_name(d, path, c <= 0 ? l[FROM].v[i] : NULL, c >= 0 ? l[TO].v[k] : NULL);
                i += c <= 0;
                k += c >= 0;
        }
        return r;
}

static int walk(struct differ *d)
{
        push(d, "", false);
        while (d->ntodo) {
                const char *path = d->todo[--d->ntodo];
                bool added = d->todo_added[d->ntodo];

                if ((added || touched(d, path)) && walk_one(d, path, added) < 0)
                        return -1;
        }
        return 0;
}

/* ---- what comes of it ---- */

static int mount(struct store *s, const struct strings *layers, const char *run, int *ret,
                 struct err *e)
{
        struct snapshot n = { .layers = layers, .upper = -1, .work = -1, .userns = -1, .run = run };

        return snapshot_mount(s, &n, ret, e);
}

static int mount_layers(struct store *s, struct differ *d, const struct strings *from,
                        const struct strings *to, const char *run, struct err *e)
{
        size_t shared = 0;

        while (shared < from->n && shared < to->n && str_eq(from->v[shared], to->v[shared]))
                shared++;
        d->layers = mem_alloc(mem_mul(sizeof *d->layers, from->n + to->n - 2 * shared));
        for (size_t i = shared; i < from->n + to->n - shared; i++) {
                const char **key = i < from->n ? &from->v[i] : &to->v[i - from->n + shared];
                struct strings one = { key, 1 };

                if (mount(s, &one, run, &d->layers[d->nlayers], e) < 0)
                        return -1;
                d->nlayers++;
        }
        if (mount(s, from, run, &d->root[FROM], e) < 0 || mount(s, to, run, &d->root[TO], e) < 0)
                return -1;
        return 0;
}

static void done(struct differ *d)
{
        for (size_t i = 0; i < d->nlayers; i++)
                fd_close(d->layers[i]);
        for (int side = 0; side < SIDES; side++) {
                fd_close(d->root[side]);
                free(d->bytes[side]);
        }
        free(d->layers);
        free(d->found.v);
        free(d->todo);
        free(d->todo_added);
}

int image_differences(struct store *s, struct arena *a, const struct strings *from,
                      const struct strings *to, const char *run, struct difference **ret,
                      size_t *ret_n, struct err *e)
{
        struct differ d = { .a = a, .root = { -1, -1 }, .e = e };
        int r = mount_layers(s, &d, from, to, run, e);

        if (r == 0) {
                for (int side = 0; side < SIDES; side++)
                        d.bytes[side] = mem_alloc(READ_SIZE);
                r = walk(&d);
        }
        if (r == 0)
                differences_take(&d.found, a, ret, ret_n);
        done(&d);
        return r;
}
