/* A container's cgroup: where its directories are, making them, reading and writing their files.
 *
 * C1. A directory that another process made is never refused for that alone, only for tasks in it.
 * C2. What a failed cgroup_create() made is gone again, and nothing else is.
 * C3. No call here blocks on a frozen cgroup: joining one would stop the caller for good. */
#include "kernel/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "kernel/cgroup-internal.h"

int cgroup_failed(struct cgroup_fail *f, enum cgroup_fault what, int sys, const char *path)
{
        if (f) {
                size_t n = strnlen(path, sizeof f->path - 1);

                f->what = what;
                f->sys = sys;
                f->controllers = 0;
                f->value[0] = 0;
                memcpy(f->path, path, n);
                f->path[n] = 0;
        }
        return -sys;
}

/* ---- where ---- */

/* The container's path below one hierarchy's mount. */
static int place(const struct cgroup_layout *l, const struct cgroup_hierarchy *h, const char *path,
                 char *buf, size_t cap)
{
        char clean[PATH_MAX], rooted[PATH_MAX], parent[PATH_MAX];
        const char *base = "";

        /* Cleaned below "/", so that ".." can't climb. */
        if (snprintf(rooted, sizeof rooted, "/%s", path) >= (int)sizeof rooted ||
            path_clean(rooted, clean, sizeof clean) < 0)
                return -ENAMETOOLONG;
        if (*path != '/') {
                base = h->self;
                if (cgroup_layout_unified(l)) {
                        char *slash;

                        snprintf(parent, sizeof parent, "%s", h->self);
                        slash = strrchr(parent, '/');
                        *slash = 0;
                        base = parent;
                }
        }
        if (str_eq(base, "/"))
                base = "";
        if (snprintf(buf, cap, "%s%s%s", h->mount, base, str_eq(clean, "/") ? "" : clean) >=
            (int)cap)
                return -ENAMETOOLONG;
        return 0;
}

int cgroup_locate(struct arena *a, const struct cgroup_layout *l, const char *path,
                  struct cgroup *ret)
{
        char buf[PATH_MAX];

        if (!*path)
                return -EINVAL;
        *ret = (struct cgroup){ .n = l->n, .v2 = l->v2 };
        memcpy(ret->of, l->of, sizeof ret->of);
        for (size_t i = 0; i < l->n; i++) {
                int r = place(l, &l->v[i], path, buf, sizeof buf);

                if (r < 0)
                        return r;
                ret->v[i] = (struct cgroup_dir){
                        .v2 = l->v[i].v2,
                        .controllers = l->v[i].controllers,
                        .name = l->v[i].name,
                        .mount = l->v[i].mount,
                        .root = l->v[i].root,
                        .path = arena_strdup(a, buf),
                };
        }
        return 0;
}

/* ---- files ---- */

const struct cgroup_dir *cgroup_dir_of(const struct cgroup *c, enum cgroup_controller controller)
{
        int i = controller == CGROUP_CORE ? c->v2 : c->of[controller];

        return i < 0 ? NULL : &c->v[i];
}

unsigned cgroup_version_of(const struct cgroup *c, enum cgroup_controller controller)
{
        const struct cgroup_dir *d = cgroup_dir_of(c, controller);

        return !d ? 0 : d->v2 ? 2 : 1;
}

static int file_path(const struct cgroup *c, enum cgroup_controller controller, const char *file,
                     char *buf, size_t cap)
{
        const struct cgroup_dir *d = cgroup_dir_of(c, controller);

        if (!d)
                return -ENOENT;
        return snprintf(buf, cap, "%s/%s", d->path, file) >= (int)cap ? -ENAMETOOLONG : 0;
}

int cgroup_write(const struct cgroup *c, enum cgroup_controller controller, const char *file,
                 const char *value)
{
        char path[CGROUP_FILE_MAX];
        int r = file_path(c, controller, file, path, sizeof path);

        return r < 0 ? r : fd_put_at(AT_FDCWD, path, value);
}

ssize_t cgroup_read(const struct cgroup *c, enum cgroup_controller controller, const char *file,
                    char *buf, size_t cap)
{
        char path[CGROUP_FILE_MAX];
        int r = file_path(c, controller, file, path, sizeof path);

        return r < 0 ? r : fd_read_text_at(AT_FDCWD, path, buf, cap);
}

int cgroup_read_u64(const struct cgroup *c, enum cgroup_controller controller, const char *file,
                    uint64_t *ret)
{
        char text[64];
        ssize_t n = cgroup_read(c, controller, file, text, sizeof text);

        if (n < 0)
                return (int)n;
        while (n > 0 && text[n - 1] == '\n')
                text[--n] = 0;
        if (str_eq(text, "max")) {
                *ret = UINT64_MAX;
                return 0;
        }
        return str_to_u64(text, ret);
}

/* ---- making ---- */

/* mkdir from the deepest parent that exists down to the leaf. */
static int dir_make_once(struct cgroup_dir *d, char *path)
{
        size_t floor = strlen(d->mount);
        unsigned up = 0;

        for (;;) {
                int r = mkdir(path, 0755);
                char *slash = strrchr(path, '/');

                if (r == 0 || (errno == EEXIST && up > 0)) {
                        d->made += r == 0;
                } else if (errno == EEXIST) {
                        d->made = 0;
                        return 0;
                } else if (errno == ENOENT && (size_t)(slash - path) > floor && d->made == 0) {
                        *slash = 0;
                        up++;
                        continue;
                } else {
                        return -errno;
                }
                if (up-- == 0)
                        return 0;
                path[strlen(path)] = '/';
        }
}

/* Makes d->path and what it lacks above it, and counts that. A parent that someone removes in
 * between (the cgroup_remove() of a neighbour) is made again. */
static int dir_make(struct cgroup_dir *d, struct cgroup_fail *f)
{
        char path[PATH_MAX];
        int r = -ENOENT;

        for (int tries = 0; tries < 16 && r == -ENOENT; tries++) {
                snprintf(path, sizeof path, "%s", d->path);
                d->made = 0;
                r = dir_make_once(d, path);
        }
        return r < 0 ? cgroup_failed(f, CGROUP_FAULT_MKDIR, -r, path) : 0;
}

/* Removes what dir_make() made, leaf first; parents only while empty. */
static void dir_unmake(const struct cgroup_dir *d)
{
        char path[PATH_MAX];

        snprintf(path, sizeof path, "%s", d->path);
        for (unsigned i = 0; i < d->made; i++) {
                if (rmdir(path) < 0 && errno != ENOENT)
                        return;
                *strrchr(path, '/') = 0;
        }
}

static void cgroup_unmake(const struct cgroup *c)
{
        for (size_t i = 0; i < c->n; i++)
                if (c->v[i].path)
                        dir_unmake(&c->v[i]);
}

/* v1: a new cpuset has neither cpus nor mems, and no task can enter it before it has: copies
 * them from the nearest parent that has some, all the way down. */
static int cpuset_inherit(const struct cgroup_dir *d, const char *file, struct cgroup_fail *f)
{
        char path[CGROUP_FILE_MAX], value[4096];
        size_t floor = strlen(d->mount), at = strlen(d->path);
        ssize_t n = 0;
        unsigned up = 0;

        for (; up < d->made && at > floor; up++) /* what we just made is known to be empty */
                while (at > floor && d->path[--at] != '/')
                        ;
        for (;;) {
                snprintf(path, sizeof path, "%.*s/%s", (int)at, d->path, file);
                n = fd_read_text_at(AT_FDCWD, path, value, sizeof value);
                if (n < 0)
                        return cgroup_failed(f, CGROUP_FAULT_READ, (int)-n, path);
                if (n > 1 || at <= floor)
                        break;
                while (at > floor && d->path[--at] != '/')
                        ;
                up++;
        }
        for (; up > 0; up--) {
                int r;

                do
                        at++;
                while (d->path[at] && d->path[at] != '/');
                snprintf(path, sizeof path, "%.*s/%s", (int)at, d->path, file);
                r = fd_put_at(AT_FDCWD, path, value);
                if (r < 0)
                        return cgroup_failed(f, CGROUP_FAULT_WRITE, -r, path);
        }
        return 0;
}

/* ---- v2: passing controllers on ---- */

static cgroup_set controllers_of(const char *dir, const char *file)
{
        char path[CGROUP_FILE_MAX], text[256];

        snprintf(path, sizeof path, "%s/%s", dir, file);
        return fd_read_text_at(AT_FDCWD, path, text, sizeof text) < 0 ? 0
                                                                      : cgroup_set_parse(text, ' ');
}

/* "+cpu +memory"; all in one write, since each is a walk over the children. */
static int subtree_enable(const char *dir, cgroup_set set)
{
        char path[CGROUP_FILE_MAX], text[256] = "";

        for (int k = 0; k < CGROUP_CONTROLLER_MAX; k++)
                if (set & CGROUP_BIT(k) && cgroup_controller_name(k, true)) {
                        size_t n = strlen(text);

                        snprintf(text + n, sizeof text - n, "%s+%s", n ? " " : "",
                                 cgroup_controller_name(k, true));
                }
        snprintf(path, sizeof path, "%s/cgroup.subtree_control", dir);
        return fd_put_at(AT_FDCWD, path, text);
}

/* Why a controller did not come through at dir: the kernel's errno says which rule was broken
 * (cgroup-v2.rst "Controlling Controllers"). */
static int subtree_refused(struct cgroup_fail *f, const char *dir, int error, cgroup_set set)
{
        static const struct {
                int sys;
                enum cgroup_fault what;
        } why[] = {
                { EBUSY, CGROUP_FAULT_INTERNAL },
                { EOPNOTSUPP, CGROUP_FAULT_THREADED },
                { ENOENT, CGROUP_FAULT_NOT_OFFERED },
                { EINVAL, CGROUP_FAULT_NOT_OFFERED },
        };
        enum cgroup_fault what = CGROUP_FAULT_WRITE;

        for (size_t i = 0; i < ARRAY_SIZE(why); i++)
                if (why[i].sys == error)
                        what = why[i].what;
        cgroup_failed(f, what, error, dir);
        if (f)
                f->controllers = set;
        if (f && what == CGROUP_FAULT_WRITE)
                snprintf(f->path, sizeof f->path, "%s/cgroup.subtree_control", dir);
        return -error;
}

/* At one ancestor: everything in one write, else one by one, so that an optional controller that is
 * refused doesn't keep the others out. */
static int subtree_pass(const char *dir, cgroup_set want, cgroup_set required,
                        struct cgroup_fail *f)
{
        cgroup_set offered = controllers_of(dir, "cgroup.controllers");
        cgroup_set missing = want & ~controllers_of(dir, "cgroup.subtree_control");
        int r;

        if (required & ~offered)
                return subtree_refused(f, dir, ENOENT, required & ~offered);
        missing &= offered;
        if (!missing || subtree_enable(dir, missing) == 0)
                return 0;
        for (int k = 0; k < CGROUP_CONTROLLER_MAX; k++)
                if (missing & CGROUP_BIT(k)) {
                        r = subtree_enable(dir, CGROUP_BIT(k));
                        if (r < 0 && required & CGROUP_BIT(k))
                                return subtree_refused(f, dir, -r, CGROUP_BIT(k));
                }
        return 0;
}

/* From the mount's root down to the leaf's parent, unless the leaf has them already. */
static int subtree_open(struct cgroup_dir *d, cgroup_set required, struct cgroup_fail *f)
{
        cgroup_set want = d->controllers | required;
        size_t at = strlen(d->mount);
        char dir[PATH_MAX];

        if (want & ~controllers_of(d->path, "cgroup.controllers")) {
                while (d->path[at]) {
                        int r;

                        snprintf(dir, sizeof dir, "%.*s", (int)at, d->path);
                        r = subtree_pass(dir, want, required, f);
                        if (r < 0)
                                return r;
                        do
                                at++;
                        while (d->path[at] && d->path[at] != '/');
                }
        }
        d->controllers &= controllers_of(d->path, "cgroup.controllers");
        return 0;
}

/* ---- create ---- */

static int refuse_frozen(const struct cgroup *c, struct cgroup_fail *f)
{
        int r = cgroup_is_frozen(c);
        const struct cgroup_dir *d = c->v2 >= 0 ? &c->v[c->v2] : cgroup_dir_of(c, CGROUP_FREEZER);

        if (r == 0 || !d)
                return 0;
        return r > 0 ? cgroup_failed(f, CGROUP_FAULT_FROZEN, EAGAIN, d->path)
                     : cgroup_failed(f, CGROUP_FAULT_READ, -r, d->path);
}

/* An existing directory with tasks in it, or in what is below it. */
static int refuse_used(const struct cgroup_dir *d, struct cgroup_fail *f)
{
        struct cgroup one = { .n = 1, .v2 = d->v2 ? 0 : -1 };
        int r;

        one.v[0] = *d;
        r = cgroup_is_empty(&one);
        if (r == 0)
                return cgroup_failed(f, CGROUP_FAULT_NOT_EMPTY, EBUSY, d->path);
        return r < 0 ? cgroup_failed(f, CGROUP_FAULT_READ, -r, d->path) : 0;
}

static int dir_create(struct cgroup_dir *d, cgroup_set required, unsigned flags,
                      struct cgroup_fail *f)
{
        int r = dir_make(d, f);

        if (r == 0 && flags & CGROUP_FRESH && d->made == 0)
                r = refuse_used(d, f);
        if (r == 0 && !d->v2 && d->controllers & CGROUP_BIT(CGROUP_CPUSET)) {
                r = cpuset_inherit(d, "cpuset.cpus", f);
                if (r == 0)
                        r = cpuset_inherit(d, "cpuset.mems", f);
        }
        if (r == 0 && d->v2 && (d->controllers | required))
                r = subtree_open(d, required, f);
        return r;
}

static bool is_denied(int r)
{
        return r == -EACCES || r == -EPERM || r == -EROFS;
}

/* Drops the directories that lenience left out, and maps the controllers anew. */
static void dirs_settle(struct cgroup *c)
{
        size_t kept = 0;

        c->v2 = -1;
        for (size_t i = 0; i < c->n; i++) {
                if (!c->v[i].path)
                        continue;
                if (c->v[i].v2)
                        c->v2 = (int)kept;
                c->v[kept++] = c->v[i];
        }
        c->n = kept;
        cgroup_map_controllers(c, c->of);
}

int cgroup_create(struct cgroup *c, cgroup_set required, unsigned flags, struct cgroup_fail *f)
{
        int r = 0;

        for (size_t i = 0; i < c->n; i++)
                c->v[i].made = 0;
        for (size_t i = 0; i < c->n && r == 0; i++) {
                struct cgroup_dir *d = &c->v[i];
                cgroup_set here = 0;

                for (int k = 0; k < CGROUP_CONTROLLER_MAX; k++)
                        if (required & CGROUP_BIT(k) && c->of[k] == (int)i &&
                            cgroup_controller_name(k, d->v2))
                                here |= CGROUP_BIT(k);
                r = dir_create(d, here, flags, f);
                if (is_denied(r) && flags & CGROUP_LENIENT && !here) {
                        dir_unmake(d);
                        d->path = NULL;
                        r = 0;
                }
        }
        if (r == 0) {
                dirs_settle(c);
                r = refuse_frozen(c, f);
        }
        if (r < 0)
                cgroup_unmake(c);
        return r;
}
