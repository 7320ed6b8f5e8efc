#include "image/unpack-dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

#define LINKS_MAX 40 /* as the kernel's MAXSYMLINKS */
#define DIR_OPEN (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* ---- nodes ---- */

static uint32_t hash_of(const struct dir *parent, const char *name, size_t len)
{
        uint32_t h = (uint32_t)((uintptr_t)parent >> 4) * 0x9e3779b1u ^ 0x811c9dc5u;

        for (size_t i = 0; i < len; i++)
                h = (h ^ (uint8_t)name[i]) * 0x01000193u;
        return h ^ h >> 15;
}

static struct dir *node_make(struct dirs *t, const char *name, size_t len)
{
        struct dir *d = arena_alloc(&t->a, sizeof *d + len + 1);

        memcpy(d->name, name, len);
        d->len = (uint8_t)len;
        d->slot = -1;
        d->mode = d->made = 0755;
        d->flags = DIR_IMPLIED;
        if (t->last)
                t->last->next = d;
        t->last = d;
        return d;
}

static void fd_keep(struct dirs *t, struct dir *d, int fd, int8_t slot)
{
        t->fds[slot].dir = d;
        t->fds[slot].fd = fd;
        t->fds[slot].used = ++t->clock;
        d->slot = slot;
}

void dirs_init(struct dirs *t, int root)
{
        *t = (struct dirs){ .cap = 256 };
        t->names = mem_alloc(t->cap * sizeof *t->names);
        for (size_t i = 0; i < DIRS_FDS; i++)
                t->fds[i].fd = -1;
        t->root = node_make(t, "", 0);
        t->last_dir = t->root;
        fd_keep(t, t->root, root, 0);
}

void dirs_done(struct dirs *t)
{
        for (size_t i = 0; i < DIRS_FDS; i++)
                fd_close(t->fds[i].fd);
        free(t->names);
        arena_done(&t->a);
}

static struct dir *find(const struct dirs *t, const struct dir *dir, const char *name, size_t len,
                        bool taken)
{
        uint32_t hash = hash_of(dir, name, len);
        struct dir *d = t->names[hash & (t->cap - 1)];

        while (d && (d->hash != hash || d->parent != dir || d->len != len ||
                     !(d->flags & DIR_TAKEN) == taken || memcmp(d->name, name, len) != 0))
                d = d->chain;
        return d;
}

struct dir *dirs_find(const struct dirs *t, const struct dir *dir, const char *name, size_t len)
{
        return find(t, dir, name, len, false);
}

static void grow(struct dirs *t)
{
        uint32_t cap = t->cap * 2;
        struct dir **names = mem_alloc(mem_mul(cap, sizeof *names));

        for (uint32_t i = 0; i < t->cap; i++)
                for (struct dir *d = t->names[i], *next; d; d = next) {
                        next = d->chain;
                        d->chain = names[d->hash & (cap - 1)];
                        names[d->hash & (cap - 1)] = d;
                }
        free(t->names);
        t->names = names;
        t->cap = cap;
}

struct dir *dirs_add(struct dirs *t, struct dir *parent, const char *name, size_t len)
{
        struct dir *d = node_make(t, name, len);

        if (t->count++ >= t->cap)
                grow(t);
        d->parent = parent;
        d->hash = hash_of(parent, name, len);
        d->chain = t->names[d->hash & (t->cap - 1)];
        t->names[d->hash & (t->cap - 1)] = d;
        return d;
}

void dirs_take(struct dirs *t, struct dir *dir, const char *name, size_t len)
{
        if (!find(t, dir, name, len, true))
                dirs_add(t, dir, name, len)->flags = DIR_TAKEN | DIR_DEAD;
}

bool dirs_lives(const struct dirs *t, const struct dir *d)
{
        while (d != t->root && !(d->flags & DIR_DEAD))
                d = d->parent;
        return d == t->root;
}

void dirs_forget(struct dirs *t)
{
        t->last_len = 0;
        t->last_dir = t->root;
}

void dirs_remove(struct dirs *t, struct dir *d)
{
        struct dir **at = &t->names[d->hash & (t->cap - 1)];

        while (*at != d)
                at = &(*at)->chain;
        *at = d->chain;
        d->flags |= DIR_DEAD;
        dirs_forget(t);
}

void dirs_path(const struct dir *d, struct buf *ret)
{
        size_t n = 0;

        for (const struct dir *up = d; up->parent; up = up->parent)
                n += up->len + 1u;
        buf_clear(ret);
        if (n == 0)
                return;
        for (size_t i = 0; i + 1 < n; i++)
                buf_putc(ret, '/');
        for (n--; d->parent; d = d->parent) {
                n -= d->len;
                memcpy(ret->s + n, d->name, d->len);
                n -= n > 0;
        }
}

/* ---- descriptors ---- */

static int8_t slot_free(struct dirs *t)
{
        int8_t oldest = 1;

        for (int8_t i = 1; i < DIRS_FDS; i++) { /* 0 is the root's */
                if (t->fds[i].fd < 0)
                        return i;
                if (t->fds[i].used < t->fds[oldest].used)
                        oldest = i;
        }
        t->fds[oldest].dir->slot = -1;
        t->fds[oldest].fd = fd_close(t->fds[oldest].fd);
        return oldest;
}

int dirs_fd(struct dirs *t, struct dir *d)
{
        struct dir *up = d;
        int fd;

        if (d->slot >= 0) {
                t->fds[d->slot].used = ++t->clock;
                return t->fds[d->slot].fd;
        }
        /* Down from the nearest one that is open: no recursion, since depth is a stranger's. */
        while (d->slot < 0) {
                for (up = d; up->parent->slot < 0; up = up->parent)
                        ;
                fd = openat(t->fds[up->parent->slot].fd, up->name, DIR_OPEN);
                if (fd < 0)
                        return -errno;
                t->fds[up->parent->slot].used = ++t->clock;
                fd_keep(t, up, fd, slot_free(t));
        }
        return t->fds[d->slot].fd;
}

/* ---- paths ---- */

#define WHITEOUT ".wh."
#define OPAQUE_MARKER ".wh..wh..opq"

int place_parse(const char *path, struct place *ret, const char **ret_rule)
{
        const char *at = path, *c, *name = NULL;
        size_t n;

        ret->dir = path;
        ret->dir_len = ret->name_len = 0;
        ret->ignored = false;
        while (str_next(&at, '/', &c, &n)) {
                if (n == 0 || (n == 1 && c[0] == '.'))
                        continue;
                *ret_rule = n == 2 && c[0] == '.' && c[1] == '.' ? "its path has a '..' component"
                            : n > 255 ? "a component of its path is longer than 255 bytes"
                            : name && strncmp(name, WHITEOUT, 4) == 0
                                    ? "it lies below a whiteout's name"
                                    : NULL;
                if (*ret_rule)
                        return -EINVAL;
                name = c;
                ret->name_len = n;
                ret->ignored = n >= 8 && strncmp(c, ".wh..wh.", 8) == 0 &&
                               (n != strlen(OPAQUE_MARKER) || strncmp(c, OPAQUE_MARKER, n) != 0);
                if (ret->ignored)
                        break;
        }
        if (name) {
                ret->dir_len = (size_t)(name - path);
                memcpy(ret->name, name, ret->name_len);
        }
        ret->name[ret->name_len] = '\0';
        return 0;
}

struct walk {
        struct dirs *t;
        bool make;
        unsigned links;
        const char *rule;
};

static int walk(struct walk *w, struct dir *dir, const char *path, size_t n, struct dir **ret);

static int follow(struct walk *w, struct dir *dir, const char *target, size_t n, struct dir **ret)
{
        if (++w->links > LINKS_MAX) {
                w->rule = "its path leads through more than 40 symlinks";
                return -EINVAL;
        }
        return walk(w, target[0] == '/' ? w->t->root : dir, target, n, ret);
}

static int no_directory(struct walk *w, const char *name)
{
        snprintf(w->t->rule, sizeof w->t->rule, "'%.80s' in its path is no directory", name);
        w->rule = w->t->rule;
        return -EINVAL;
}

static int imply(struct walk *w, struct dir *dir, int fd, const char *name, size_t len,
                 bool whiteout, struct dir **ret)
{
        if (find(w->t, dir, name, len, true))
                return no_directory(w, name);
        if (!w->make)
                return -ENOENT;
        if (whiteout && unlinkat(fd, name, 0) < 0)
                return -errno;
        if (mkdirat(fd, name, 0755) < 0)
                return -errno;
        *ret = dirs_add(w->t, dir, name, len);
        if (whiteout)
                (*ret)->flags |= DIR_OPAQUE | DIR_WHITED;
        return 0;
}

/* A component that is no directory of the tree. */
static int step_off(struct walk *w, struct dir *dir, const char *name, size_t len, struct dir **ret)
{
        char target[4096];
        struct stat st;
        ssize_t n;
        int fd = dirs_fd(w->t, dir);

        if (fd < 0)
                return fd;
        n = readlinkat(fd, name, target, sizeof target);
        if (n >= 0)
                return follow(w, dir, target, (size_t)n, ret);
        if (errno == ENOENT)
                return imply(w, dir, fd, name, len, false, ret);
        if (errno != EINVAL)
                return -errno;
        if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (S_ISCHR(st.st_mode) && st.st_rdev == 0)
                return imply(w, dir, fd, name, len, true, ret);
        return no_directory(w, name);
}

static int step(struct walk *w, struct dir *dir, const char *c, size_t n, struct dir **ret)
{
        struct dir *there = dirs_find(w->t, dir, c, n);
        char name[256];

        if (there) {
                *ret = there;
                return 0;
        }
        if (n >= sizeof name) {
                w->rule = "a symlink in its path has a component longer than 255 bytes";
                return -EINVAL;
        }
        memcpy(name, c, n);
        name[n] = '\0';
        return step_off(w, dir, name, n, ret);
}

/* Recursion is bounded by LINKS_MAX. */
static int walk(struct walk *w, struct dir *dir, const char *path, size_t n, struct dir **ret)
{
        const char *end = path + n;
        int r = 0;

        while (path < end && r == 0) {
                const char *slash = memchr(path, '/', (size_t)(end - path));
                size_t len = (size_t)((slash ? slash : end) - path);

                if (len == 2 && path[0] == '.' && path[1] == '.')
                        dir = dir->parent ? dir->parent : dir;
                else if (len && !(len == 1 && path[0] == '.'))
                        r = step(w, dir, path, len, &dir);
                path = slash ? slash + 1 : end;
        }
        if (r == 0)
                *ret = dir;
        return r;
}

int dirs_walk(struct dirs *t, const char *path, size_t n, bool make, struct dir **ret,
              const char **ret_rule)
{
        struct walk w = { .t = t, .make = make };
        int r;

        if (n == t->last_len && memcmp(path, t->last_path, n) == 0) {
                *ret = t->last_dir;
                return 0;
        }
        r = walk(&w, t->root, path, n, ret);
        *ret_rule = w.rule;
        if (r == 0 && n <= sizeof t->last_path) {
                memcpy(t->last_path, path, n);
                t->last_len = (uint32_t)n;
                t->last_dir = *ret;
        }
        return r;
}
