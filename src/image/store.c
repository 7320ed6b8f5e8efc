/* The store's handle: opening it, its lock, its transactions. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>

#include "base/path.h"
#include "base/str.h"
#include "image/snapshot.h"
#include "image/store-internal.h"

/* A WAL of this many frames (4 KiB each) is worth a checkpoint. */
enum { CHECKPOINT_FRAMES = 512 };

const char *const layer_backend_names[] = { [LAYER_EROFS] = "erofs", [LAYER_DIR] = "directory" };
static_assert(ARRAY_SIZE(layer_backend_names) == LAYER_BACKEND_MAX, "each backend has a name");

const char *const store_sub_names[] = {
        [SUB_IMAGES] = "images",   [SUB_REFS] = "refs",           [SUB_LAYERS] = "layers",
        [SUB_RECORDS] = "records", [SUB_STAGE] = "stage",         [SUB_TRASH] = "trash",
        [SUB_BLOBS] = "blobs",     [SUB_SHA256] = "blobs/sha256", [SUB_SHA512] = "blobs/sha512"
};
static_assert(ARRAY_SIZE(store_sub_names) == SUB_MAX, "each directory has a name");

int store_sub(struct store *s, enum store_sub which, struct err *e)
{
        if (s->sub[which] < 0)
                s->sub[which] = openat(s->dir, store_sub_names[which],
                                       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (s->sub[which] < 0)
                return err_sys(e, errno, "cannot open \"%s/%s\"", s->path, store_sub_names[which]);
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

/* Its lock file, made last: where it is, the directories are. Without it the store is only read. */
static int open_lock(struct store *s, struct err *e)
{
        s->lock = openat(s->dir, "db.lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (s->lock >= 0)
                return 0;
        if (errno == ENOENT) {
                for (int i = 0; i < SUB_MAX; i++)
                        if (mkdirat(s->dir, store_sub_names[i], 0700) < 0 && errno != EEXIST)
                                return err_sys(e, errno, "cannot make \"%s/%s\"", s->path,
                                               store_sub_names[i]);
                s->lock =
                        openat(s->dir, "db.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        }
        if (s->lock < 0 && errno != EACCES && errno != EPERM && errno != EROFS)
                return err_sys(e, errno, "cannot open \"%s/db.lock\"", s->path);
        return 0;
}

/* Opens the index and sees that it tells what the disk tells, where that can be seen to. */
static int open_index(struct store *s, struct err *e)
{
        int agrees;

        if (db_open(s, e) < 0)
                return -1;
        agrees = store_agrees(s, e);
        if (agrees < 0 && s->lock >= 0)
                return db_remake(s, e);
        if (agrees < 0 || agrees > 0 || s->lock < 0)
                return MIN(agrees, 0);
        if (store_begin(s, e) == 0)
                return store_commit(s, 0, e);
        /* A disk that is full can still be read. */
        log_debug(s->log, "the index could not be brought up to date: %s", e ? e->chain : "");
        err_clear(e);
        return 0;
}

int store_open(const char *root, const struct log *log, struct store **ret, struct err *e)
{
        struct store *s = mem_alloc(sizeof *s);

        s->dir = s->lock = -1;
        s->log = log;
        for (int i = 0; i < SUB_MAX; i++)
                s->sub[i] = -1;
        if (open_root(s, root, e) < 0 || open_lock(s, e) < 0 || open_index(s, e) < 0) {
                store_close(s);
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

enum layer_backend store_backend(const struct store *s)
{
        const char *wanted = getenv("BERTH_LAYERS");
        int i = wanted ? STR_INDEX(layer_backend_names, wanted) : -1;

        if (i >= 0)
                return (enum layer_backend)i;
        return geteuid() == 0 && snapshot_has_erofs(s->dir) ? LAYER_EROFS : LAYER_DIR;
}

/* ---- transactions ---- */

static int64_t mtime_of(const struct stat *st)
{
        return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

int store_agrees(struct store *s, struct err *e)
{
        for (int i = 0; i < SUB_TRACKED; i++) {
                AUTO_ROWS rows = { 0 };
                struct stat st;
                int r;

                if (fstatat(s->dir, store_sub_names[i], &st, AT_SYMLINK_NOFOLLOW) < 0) {
                        if (errno == ENOENT && s->lock >= 0)
                                mkdirat(s->dir, store_sub_names[i], 0700);
                        return 0;
                }
                if (db_query(s, Q_META_GET, &rows, e, "s", store_sub_names[i]) < 0)
                        return -1;
                r = db_next(&rows);
                if (r < 0)
                        return -1;
                if (r == 0 || db_int(&rows, 0) != mtime_of(&st))
                        return 0;
        }
        return 1;
}

static int take_lock(struct store *s, struct err *e)
{
        struct stat st;

        if (s->lock < 0)
                return err_set(e, ERR_DENIED, "the store \"%s\" cannot be written", s->path);
        while (flock(s->lock, LOCK_EX) < 0)
                if (errno != EINTR)
                        return err_sys(e, errno, "cannot lock the store \"%s\"", s->path);
        s->locked = true;
        /* Somebody moved a damaged index aside: ours is that one. */
        if (fstatat(s->dir, "berth.db", &st, 0) == 0 && st.st_ino == s->db_stat.st_ino &&
            st.st_dev == s->db_stat.st_dev)
                return 0;
        db_close(s);
        return db_open_locked(s, e);
}

static void drop_lock(struct store *s)
{
        if (s->locked)
                flock(s->lock, LOCK_UN);
        s->locked = false;
}

/* Within a transaction: gives the changed directories times of our choice, finer than the kernel's
 * own, so that a change which never got here can't be taken for this one (S1). They are set only
 * when the index is committed. */
static int remember_times(struct store *s, unsigned changed, struct timespec times[SUB_TRACKED],
                          struct err *e)
{
        for (int i = 0; i < SUB_TRACKED; i++) {
                if (!(changed & 1u << i))
                        continue;
                clock_gettime(CLOCK_REALTIME, &times[i]);
                if (db_run(s, Q_META_SET, e, "si", store_sub_names[i],
                           (int64_t)times[i].tv_sec * 1000000000 + times[i].tv_nsec) < 0)
                        return -1;
        }
        return 0;
}

/* Where a file system keeps times less exactly (ext4 with small inodes: seconds), a later change
 * could have the same one: there it is yesterday's, which the kernel will never give again. */
static int keep_rounded(struct store *s, int sub, const struct timespec *wanted, struct err *e)
{
        struct timespec both[2] = { { .tv_nsec = UTIME_OMIT },
                                    { .tv_sec = wanted->tv_sec - 86400 } };
        struct stat st;

        if (fstatat(s->dir, store_sub_names[sub], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            mtime_of(&st) == (int64_t)wanted->tv_sec * 1000000000 + wanted->tv_nsec)
                return 0;
        if (utimensat(s->dir, store_sub_names[sub], both, AT_SYMLINK_NOFOLLOW) < 0 ||
            fstatat(s->dir, store_sub_names[sub], &st, AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(e, errno, "cannot set the time of \"%s/%s\"", s->path,
                               store_sub_names[sub]);
        return db_run(s, Q_META_SET, e, "si", store_sub_names[sub], mtime_of(&st));
}

static int set_times(struct store *s, unsigned changed, const struct timespec times[SUB_TRACKED],
                     struct err *e)
{
        for (int i = 0; i < SUB_TRACKED; i++) {
                struct timespec both[2] = { { .tv_nsec = UTIME_OMIT }, times[i] };

                if (!(changed & 1u << i))
                        continue;
                if (utimensat(s->dir, store_sub_names[i], both, AT_SYMLINK_NOFOLLOW) < 0)
                        return err_sys(e, errno, "cannot set the time of \"%s/%s\"", s->path,
                                       store_sub_names[i]);
                if (keep_rounded(s, i, &times[i], e) < 0)
                        return -1;
        }
        return 0;
}

static int reconcile_now(struct store *s, struct err *e)
{
        struct timespec times[SUB_TRACKED];
        unsigned all = (1u << SUB_TRACKED) - 1;

        log_debug(s->log, "the index is brought up to date with what is on disk");
        if (store_reconcile(s, NULL, e) < 0 || remember_times(s, all, times, e) < 0 ||
            db_run(s, Q_COMMIT, e, NULL) < 0 || set_times(s, all, times, e) < 0)
                return -1;
        return db_run(s, Q_BEGIN, e, NULL);
}

int store_begin(struct store *s, struct err *e)
{
        int agrees;

        if (take_lock(s, e) < 0 || db_run(s, Q_BEGIN, e, NULL) < 0) {
                drop_lock(s);
                return -1;
        }
        agrees = store_agrees(s, e);
        if (agrees < 0 || (agrees == 0 && reconcile_now(s, e) < 0)) {
                store_abort(s);
                return -1;
        }
        return 0;
}

static void checkpoint(struct store *s)
{
        int frames = 0, done = 0;
        struct stat st;

        if (fstatat(s->dir, "berth.db-wal", &st, 0) < 0 ||
            st.st_size < (off_t)CHECKPOINT_FRAMES * 4096)
                return;
        /* Readers may keep it from finishing; the next writer tries again. */
        sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, &frames, &done);
}

int store_commit(struct store *s, unsigned changed, struct err *e)
{
        struct timespec times[SUB_TRACKED];

        if (remember_times(s, changed, times, e) < 0 || db_run(s, Q_COMMIT, e, NULL) < 0) {
                store_abort(s);
                return -1;
        }
        if (set_times(s, changed, times, e) < 0) {
                drop_lock(s);
                return -1;
        }
        checkpoint(s);
        drop_lock(s);
        return 0;
}

void store_abort(struct store *s)
{
        if (s->db && !sqlite3_get_autocommit(s->db))
                db_run(s, Q_ROLLBACK, NULL, NULL);
        drop_lock(s);
}
