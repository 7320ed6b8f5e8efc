#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "engine/changes.h"
#include "engine/ctr-internal.h"
#include "engine/settings.h"
#include "image/snapshot.h"
#include "image/tree-tar.h"
#include "kernel/resolve.h"
#include "kernel/sys.h"

#define CONFIG_BYTES (16u << 20)

/* ---- parts of a container ---- */

int ctr_upper(const struct engine *g, const struct ctr *c, struct err *e)
{
        AUTO_FD int dir = ctr_dir(g, c->id, e);
        int fd = dir < 0 ? -1
                         : openat(dir, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (dir >= 0 && fd < 0)
                err_sys(e, errno, "cannot open container \"%s\"'s upper directory", c->name);
        return fd;
}

static int read_config(const struct engine *g, struct arena *a, const struct ctr *c,
                       struct json *ret, struct err *e)
{
        AUTO_FD int dir = ctr_dir(g, c->id, e);
        AUTO_FREE char *text = NULL;
        size_t n;
        int r;

        if (dir < 0)
                return -1;
        r = fd_read_regular_at(dir, "config.json", CONFIG_BYTES, &text, &n);
        if (r < 0)
                return err_sys(e, r, "cannot read container \"%s\"'s config.json", c->name);
        if (json_parse(a, text, n, NULL, ret, NULL) < 0)
                return err_set(e, ERR_INTERNAL, "config.json is no JSON");
        return 0;
}

int ctr_mount_points(const struct engine *g, struct arena *a, const struct ctr *c,
                     struct strings *ret, struct err *e)
{
        const struct json *mounts;
        struct json j;

        if (read_config(g, a, c, &j, e) < 0)
                return -1;
        mounts = json_get(&j, "mounts");
        *ret = (struct strings){ 0 };
        for (uint32_t i = 0; mounts && mounts->type == JSON_ARRAY && i < mounts->n; i++) {
                const char *path = json_str(json_get(&mounts->items[i], "destination"), "/");

                strings_add(a, ret, path + strspn(path, "/"));
        }
        return 0;
}

int ctr_read_only(const struct engine *g, struct arena *a, const struct ctr *c, bool *ret,
                  struct err *e)
{
        struct json j;

        if (read_config(g, a, c, &j, e) < 0)
                return -1;
        *ret = json_is_true(json_path(&j, "root.readonly"));
        return 0;
}

int ctr_live_root(const struct ctr *c, const struct ctr_state *s, struct err *e)
{
        char path[64];

        snprintf(path, sizeof path, "/proc/%d/root", s->monitor.pid);
        AUTO_FD int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0 && errno != ENOENT)
                return err_sys(e, errno, "cannot open container \"%s\"'s root", c->name);
        /* Whose pid it was when we opened that, it is still: else it may have been another's. */
        if (root < 0 || !proc_alive(s->monitor.pid, s->monitor.pid_start))
                return err_set(e, ERR_STATE, "container \"%s\" is ending", c->name);
        return TAKE_FD(root);
}

int ctr_root(struct engine *g, const struct ctr *c, int *ret_root, int *ret_lock, struct err *e)
{
        AUTO_FD int lock = ctr_lock(g, c, e);
        struct ctr_state s;

        if (lock < 0)
                return -1;
        ctr_state(g, c, &s);
        if (ctr_is_up(&s) && s.monitor.pid > 0) {
                *ret_lock = -1;
                return (*ret_root = ctr_live_root(c, &s, e)) < 0 ? -1 : 0;
        }
        if (ctr_is_up(&s))
                return err_set(e, ERR_STATE, "container \"%s\" is %s", c->name,
                               ctr_status_names[s.status]);
        if (ctr_mount(g, c, false, ret_root, e) < 0)
                return -1;
        *ret_lock = TAKE_FD(lock);
        return 0;
}

struct id_owners ctr_owners(struct arena *a, const struct ctr *c)
{
        struct userns u;

        userns_read(a, c->record, &u);
        return (struct id_owners){ u.uids, u.gids };
}

/* ---- differences ---- */

struct differ {
        struct arena *a;
        int upper, lower;
        struct strings stubs;
        struct differences found;
        struct strings todo; /* directories of the upper; both trees have them */
        struct err *e;
};

static void add(struct differ *d, char kind, const char *path)
{
        differences_add(&d->found, d->a, kind, path);
}

static int open_in(int root, const char *path, int flags)
{
        return resolve_open(root, *path ? path : ".", flags | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS);
}

static bool has(int root, const char *path, struct stat *ret)
{
        AUTO_FD int fd = open_in(root, path, O_PATH);

        return fd >= 0 && fstat(fd, ret) == 0;
}

static bool is_stub(const struct differ *d, const char *path)
{
        for (size_t i = 0; i < d->stubs.n; i++)
                if (str_eq(d->stubs.v[i], path))
                        return true;
        return false;
}

/* A directory that has a stub in it got a new time by that. */
static bool holds_stub(const struct differ *d, const char *path)
{
        size_t len = strlen(path);

        for (size_t i = 0; i < d->stubs.n; i++) {
                const char *rest = str_after(d->stubs.v[i], path);

                if (rest && (len ? *rest == '/' && !strchr(rest + 1, '/') : !strchr(rest, '/')))
                        return true;
        }
        return false;
}

static bool same_dir(const struct differ *d, const char *path, const struct stat *a,
                     const struct stat *b)
{
        return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
               (holds_stub(d, path) || (a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
                                        a->st_mtim.tv_nsec == b->st_mtim.tv_nsec));
}

static const char *path_of(struct differ *d, const char *dir, const char *name)
{
        return arena_printf(d->a, "%s%s%s", dir, *dir ? "/" : "", name);
}

/* An opaque directory hides what the image had there. */
static void compare_opaque(struct differ *d, const char *path)
{
        AUTO_FD int upper = open_in(d->upper, path, O_RDONLY | O_DIRECTORY);
        char value[2];
        bool opaque =
                upper >= 0 && fgetxattr(upper, "trusted.overlay.opaque", value, sizeof value) == 1;
        AUTO_FD int lower = opaque ? open_in(d->lower, path, O_RDONLY | O_DIRECTORY) : -1;
        struct strings names = { 0 };
        struct stat st;

        if (lower >= 0)
                dir_names(lower, ".", d->a, &names);
        for (size_t i = 0; i < names.n; i++) {
                const char *below = path_of(d, path, names.v[i]);

                if (!has(d->upper, below, &st))
                        add(d, 'D', below);
        }
}

static void compare(struct differ *d, const char *path, const struct stat *up)
{
        struct stat low;
        bool there = has(d->lower, path, &low);

        if (S_ISCHR(up->st_mode) && up->st_rdev == 0) {
                if (there)
                        add(d, 'D', path);
                return;
        }
        if (!there && is_stub(d, path) && (S_ISDIR(up->st_mode) || up->st_size == 0))
                return;
        if (!there)
                add(d, 'A', path);
        else if (!S_ISDIR(up->st_mode) || !S_ISDIR(low.st_mode) || !same_dir(d, path, &low, up))
                add(d, 'C', path);
        if (S_ISDIR(up->st_mode))
                strings_add(d->a, &d->todo, path);
        if (S_ISDIR(up->st_mode) && there && S_ISDIR(low.st_mode))
                compare_opaque(d, path);
}

static int walk_one(struct differ *d, const char *path)
{
        AUTO_FD int fd = open_in(d->upper, path, O_RDONLY | O_DIRECTORY);
        struct strings names;
        struct stat st;
        int r;

        if (fd == -ENOENT)
                return 0;
        r = fd < 0 ? fd : dir_names(fd, ".", d->a, &names);
        if (r < 0)
                return err_sys(d->e, r, "cannot read \"/%s\"", path);
        for (size_t i = 0; i < names.n; i++) {
                const char *below = path_of(d, path, names.v[i]);

                if (has(d->upper, below, &st))
                        compare(d, below, &st);
        }
        return 0;
}

static int differ_open(struct engine *g, const struct ctr *c, struct differ *d, struct err *e)
{
        struct snapshot n = {
                .layers = &c->layers, .upper = -1, .work = -1, .userns = -1, .run = g->places.run
        };

        d->upper = ctr_upper(g, c, e);
        if (d->upper < 0 || ctr_mount_points(g, d->a, c, &d->stubs, e) < 0)
                return -1;
        return snapshot_mount(g->store, &n, &d->lower, e);
}

int ctr_differences(struct engine *g, struct arena *a, const struct ctr *c, struct difference **ret,
                    size_t *ret_n, struct err *e)
{
        struct differ d = { .a = a, .upper = -1, .lower = -1, .e = e };
        int r = differ_open(g, c, &d, e);

        if (r == 0)
                strings_add(a, &d.todo, "");
        while (r == 0 && d.todo.n)
                r = walk_one(&d, d.todo.v[--d.todo.n]);
        if (r == 0)
                differences_take(&d.found, a, ret, ret_n);
        fd_close(d.upper);
        fd_close(d.lower);
        free(d.found.v);
        return r;
}

/* ---- export ---- */

int ctr_export(struct engine *g, const struct ctr *c, int out, struct err *e)
{
        int root = -1, lock = -1, r;
        AUTO_ARENA a = { 0 };
        struct id_owners owners = ctr_owners(&a, c);
        struct tree_tar t = { .latest = INT64_MAX, .put = tree_tar_to_fd, .ctx = &out };

        if (ctr_root(g, c, &root, &lock, e) < 0)
                return err_in(e, "cannot export container \"%s\"", c->name);
        t.dir = root;
        t.owners = lock < 0 ? &owners : NULL;
        r = tree_tar_write(&t, e);
        fd_close(root);
        fd_close(lock);
        return r < 0 ? err_in(e, "cannot export container \"%s\"", c->name) : 0;
}
