/* The store's handle. The index is opened when it is first asked (store-lock.c). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <time.h>

#include "base/path.h"
#include "base/str.h"
#include "image/snapshot.h"
#include "image/store-internal.h"

const char *const layer_backend_names[] = { [LAYER_EROFS] = "erofs", [LAYER_DIR] = "directory" };
static_assert(ARRAY_SIZE(layer_backend_names) == LAYER_BACKEND_MAX, "each backend has a name");

const char *const store_sub_names[] = {
        [SUB_IMAGES] = "images",      [SUB_REFS] = "refs",   [SUB_LAYERS] = "layers",
        [SUB_RECORDS] = "records",    [SUB_STAGE] = "stage", [SUB_TRASH] = "trash",
        [SUB_SOURCES] = "sources",    [SUB_BLOBS] = "blobs", [SUB_SHA256] = "blobs/sha256",
        [SUB_SHA512] = "blobs/sha512"
};
static_assert(ARRAY_SIZE(store_sub_names) == SUB_MAX, "each directory has a name");

int store_sub(struct store *s, enum store_sub which, struct err *e)
{
        const char *name = store_sub_names[which];
        int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

        if (s->sub[which] < 0)
                s->sub[which] = openat(s->dir, name, flags);
        /* One that came with a later berth, or that somebody removed. */
        if (s->sub[which] < 0 && errno == ENOENT && s->writable && mkdirat(s->dir, name, 0700) == 0)
                s->sub[which] = openat(s->dir, name, flags);
        if (s->sub[which] < 0)
                return err_sys(e, errno, "cannot open \"%s/%s\"", s->path, name);
        return s->sub[which];
}

/* ---- opening ---- */

static char *default_root(struct arena *a)
{
        const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

        if (geteuid() == 0)
                return arena_strdup(a, "/var/lib/berth");
        if (!str_empty(data))
                return arena_printf(a, "%s/berth", data);
        return arena_printf(a, "%s/.local/share/berth", str_empty(home) ? "" : home);
}

/* mkdir -p; parents get the usual mode, the store itself 0700: it holds set-user-ID programs of
 * strangers. */
static int make_path(struct arena *a, const char *path)
{
        char *copy = arena_strdup(a, path);

        for (char *at = copy + 1; *at; at++) {
                if (*at != '/')
                        continue;
                *at = 0;
                if (mkdir(copy, 0755) < 0 && errno != EEXIST)
                        return -errno;
                *at = '/';
        }
        return mkdir(copy, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_root(struct store *s, const char *root, struct err *e)
{
        AUTO_ARENA a = { 0 };
        char clean[PATH_MAX], absolute[PATH_MAX];
        int r;

        if (!root)
                root = default_root(&a);
        if (path_clean(root, clean, sizeof clean) < 0)
                return err_sys(e, ENAMETOOLONG, "cannot open the store \"%.100s\"", root);
        s->dir = open(clean, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (s->dir < 0 && errno == ENOENT) {
                r = make_path(&a, clean);
                if (r < 0)
                        return err_sys(e, r, "cannot make the store \"%s\"", clean);
                s->dir = open(clean, O_PATH | O_DIRECTORY | O_CLOEXEC);
        }
        if (s->dir < 0 || !realpath(clean, absolute))
                return err_sys(e, errno, "cannot open the store \"%s\"", clean);
        s->path = mem_strdup(absolute);
        return 0;
}

/* Its lock file, made last: where it is, the directories are. Who may only read it can hold the
 * lock, but not change the store. */
static int open_lock(struct store *s, struct err *e)
{
        s->lock = openat(s->dir, "db.lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        s->writable = s->lock >= 0;
        if (s->writable)
                return 0;
        if (errno == ENOENT) {
                for (int i = 0; i < SUB_MAX; i++)
                        if (mkdirat(s->dir, store_sub_names[i], 0700) < 0 && errno != EEXIST)
                                return err_sys(e, errno, "cannot make \"%s/%s\"", s->path,
                                               store_sub_names[i]);
                s->lock =
                        openat(s->dir, "db.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
                s->writable = s->lock >= 0;
        }
        if (s->lock < 0 && errno != EACCES && errno != EPERM && errno != EROFS)
                return err_sys(e, errno, "cannot open \"%s/db.lock\"", s->path);
        if (s->lock < 0)
                s->lock = openat(s->dir, "db.lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        return 0;
}

int store_open(const char *root, const struct log *log, struct store **ret, struct err *e)
{
        struct store *s = mem_alloc(sizeof *s);

        s->dir = s->lock = -1;
        s->log = log;
        for (int i = 0; i < SUB_MAX; i++)
                s->sub[i] = -1;
        if (open_root(s, root, e) < 0 || open_lock(s, e) < 0) {
                store_close(s);
                if (e && store_is_full(e))
                        err_hint(e, "Make room there, or use another place: --root DIR.");
                return err_in(e, "store");
        }
        *ret = s;
        return 0;
}

void store_close(struct store *s)
{
        if (!s)
                return;
        if (s->locked)
                store_abort(s);
        db_close(s);
        for (int i = 0; i < SUB_MAX; i++)
                fd_close(s->sub[i]);
        fd_close(s->lock);
        fd_close(s->dir);
        free(s->path);
        free(s);
}

int store_dir(const struct store *s)
{
        return s->dir;
}

const char *store_path(const struct store *s)
{
        return s->path;
}

bool store_is_full(const struct err *e)
{
        return e->sys == ENOSPC || e->sys == EDQUOT;
}

/* What `df` does not show: room for bytes, and none for names. Where a failure has given some back,
 * a few are left. */
static bool short_of_inodes(const struct store *s)
{
        struct statvfs v;

        return fstatvfs(s->dir, &v) == 0 && v.f_files && v.f_favail <= v.f_files / 64 &&
               v.f_bavail > v.f_blocks / 64;
}

int store_full_hint(const struct store *s, struct err *e)
{
        if (!e || !store_is_full(e))
                return -1;
        return err_hint(e, "`berth system prune` makes room in \"%s\"%s.", s->path,
                        short_of_inodes(s) ? ", which is out of inodes" : "");
}

enum layer_backend store_backend(const struct store *s)
{
        const char *wanted = getenv("BERTH_LAYERS");
        int i = wanted ? STR_INDEX(layer_backend_names, wanted) : -1;

        if (i >= 0)
                return (enum layer_backend)i;
        return geteuid() == 0 && snapshot_has_erofs(s->dir) ? LAYER_EROFS : LAYER_DIR;
}
