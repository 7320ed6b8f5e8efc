/* Collection: what nobody refers to is renamed into trash/ under the lock, and deleted without it,
 * by a child that outlives the command. What a child did not get to, the next one does. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/dir.h"
#include "base/str.h"
#include "image/snapshot.h"
#include "image/store-internal.h"
#include "kernel/sys.h"
#include "kernel/tree.h"

/* A stage that nobody works at for this long won't be taken up again. */
enum { STAGE_SECONDS = 24 * 3600 };

int each_in(int top, int (*each)(void *ctx, int dir, const char *name), void *ctx)
{
        AUTO_ARENA a = { 0 };
        struct strings names;
        int r = dir_names(top, ".", &a, &names);

        for (size_t i = 0; r == 0 && i < names.n; i++)
                r = each(ctx, top, names.v[i]);
        return r;
}

int each_entry(struct store *s, enum store_sub sub,
               int (*each)(void *ctx, int dir, const char *name), void *ctx, struct err *e)
{
        int top = store_sub(s, sub, e);

        if (top < 0)
                return -1;
        if (faccessat(top, ".", R_OK, AT_EACCESS) < 0)
                return err_sys(e, errno, "cannot list \"%s/%s\"", s->path, store_sub_names[sub]);
        return each_in(top, each, ctx);
}

/* ---- the trash ---- */

int trash_take(struct store *s, int dir, const char *name)
{
        int trash = store_sub(s, SUB_TRASH, NULL);
        struct timespec now;
        char as[192];

        if (trash < 0)
                return -EIO;
        clock_gettime(CLOCK_REALTIME, &now);
        for (unsigned n = 0;; n++) {
                snprintf(as, sizeof as, "%.80s.%lld.%ld.%d.%u", name, (long long)now.tv_sec,
                         now.tv_nsec, getpid(), n);
                if (sys_renameat2(dir, name, trash, as, RENAME_NOREPLACE) == 0)
                        return 0;
                if (errno != EEXIST)
                        return -errno;
        }
}

/* Each entry is deleted by one process: who only helps (ctx is NULL) leaves it to who has begun,
 * who waits (ctx: a flag) waits for that one, and looks whether it was killed meanwhile. */
static int delete_entry(void *ctx, int dir, const char *name)
{
        AUTO_FD int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        char key[72] = "";
        int r = 0;

        while (fd >= 0 && (r = flock(fd, ctx ? LOCK_EX : LOCK_EX | LOCK_NB)) < 0 && errno == EINTR)
                ;
        if (r < 0)
                return 0;
        /* What was a layer may be mounted: KEY.something. */
        snprintf(key, sizeof key, "%.*s", (int)strcspn(name, "."), name);
        if (fd >= 0 && strlen(key) == 64)
                snapshot_forget(key, fd);
        tree_remove(dir, name); /* what is left of it is tried again by the next collection */
        return 0;
}

static int not_empty(void *ctx, int dir, const char *name)
{
        return 1;
}

/* The deleting process: of its own session, holding nothing of ours but the trash's directory, and
 * in nobody's way. */
static void delete_detached(int trash)
{
        int null;

        setsid();
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int fd = 0; fd < 3; fd++)
                dup2(null, fd);
        dup2(trash, 3);
        /* Before who waits for us goes on: a lease that we had open would still be held. */
        syscall(SYS_close_range, 4u, ~0u, 0u);
        if (fork() != 0)
                _exit(0);
        signal(SIGINT, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        setpriority(PRIO_PROCESS, 0, 19);
        syscall(SYS_ioprio_set, 1, 0, 3 << 13); /* of this process; the idle class */
        each_in(3, delete_entry, NULL);
        _exit(0);
}

int trash_empty(struct store *s, bool wait, struct err *e)
{
        int any = each_entry(s, SUB_TRASH, not_empty, NULL, e), r;
        pid_t child;

        if (any <= 0)
                return any;
        if (wait) {
                r = each_in(s->sub[SUB_TRASH], delete_entry, &wait);
                return r < 0 ? err_sys(e, r, "cannot empty \"%s/trash\"", s->path) : 0;
        }
        child = fork();
        if (child == 0)
                delete_detached(s->sub[SUB_TRASH]);
        if (child > 0)
                while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
                        ;
        return 0; /* a child that could not be made leaves it to the next collection */
}

/* ---- the sweep ---- */

struct sweep {
        struct store *store;
        struct collected *count;
        struct err *e;
        enum hash_alg alg;
        bool stages;
};

/* 1: some image uses it; 0: none; -1. */
static int used(struct store *s, const char *object, struct err *e)
{
        AUTO_ROWS rows = { 0 };

        if (db_query(s, Q_USED, &rows, e, "s", object) < 0)
                return -1;
        return db_next(&rows);
}

static int sweep_layers(struct sweep *w)
{
        AUTO_ARENA a = { 0 };
        struct strings keys = { 0 };
        int layers = store_sub(w->store, SUB_LAYERS, w->e), more;

        if (layers < 0)
                return -1;
        {
                AUTO_ROWS rows = { 0 };

                if (db_query(w->store, Q_LAYERS_UNUSED, &rows, w->e, NULL) < 0)
                        return -1;
                while ((more = db_next(&rows)) > 0) {
                        strings_add(&a, &keys, db_str(&rows, &a, 0));
                        w->count->bytes += (uint64_t)db_int(&rows, 1);
                        w->count->layers++;
                }
                if (more < 0)
                        return -1;
        }
        for (size_t i = 0; i < keys.n; i++) {
                int r = trash_take(w->store, layers, keys.v[i]);

                if (r < 0 && r != -ENOENT)
                        return err_sys(w->e, r, "cannot remove layer %s", keys.v[i]);
                if (db_run(w->store, Q_LAYER_DEL, w->e, "s", keys.v[i]) < 0)
                        return -1;
        }
        return 0;
}

static int sweep_blob(void *ctx, int dir, const char *name)
{
        struct sweep *w = ctx;
        AUTO_FREE char *digest =
                mem_printf("sha%s:%s", w->alg == HASH_SHA512 ? "512" : "256", name);
        struct stat st;
        int r = used(w->store, digest, w->e);

        if (r != 0)
                return MIN(r, 0);
        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                w->count->bytes += (uint64_t)st.st_blocks * 512;
        if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
                return err_sys(w->e, errno, "cannot remove blob %s", digest);
        w->count->blobs++;
        return 0;
}

/* Images that are gone and that nobody uses any more need nothing. */
static int prune_uses(struct store *s, struct err *e)
{
        AUTO_ARENA a = { 0 };
        struct strings stale = { 0 };
        AUTO_ROWS rows = { 0 };
        int more;

        if (db_query(s, Q_USES_STALE, &rows, e, NULL) < 0)
                return -1;
        while ((more = db_next(&rows)) > 0)
                if (!lease_held(s, db_text(&rows, 0)))
                        strings_add(&a, &stale, arena_strdup(&a, db_text(&rows, 0)));
        db_end(&rows);
        for (size_t i = 0; more == 0 && i < stale.n; i++)
                more = db_run(s, Q_USES_DEL, e, "s", stale.v[i]);
        return more;
}

int sweep(struct store *s, struct collected *ret, struct err *e)
{
        struct collected count = { 0 };
        struct sweep w = { .store = s, .count = &count, .e = e };

        s->seal.collect = lease_held(s, NULL);
        if (prune_uses(s, e) < 0)
                return -1;
        if (!s->seal.collect) {
                if (sweep_layers(&w) < 0 || each_entry(s, SUB_SHA256, sweep_blob, &w, e) < 0)
                        return -1;
                w.alg = HASH_SHA512;
                if (each_entry(s, SUB_SHA512, sweep_blob, &w, e) < 0 || sources_prune(s, e) < 0)
                        return -1;
        }
        if (ret)
                *ret = count;
        return 0;
}

/* ---- stages ---- */

static void sweep_one_stage(struct sweep *w, int dir, const char *name, const struct stat *st)
{
        struct stage g;

        if (!w->stages && time(NULL) - st->st_mtim.tv_sec < STAGE_SECONDS)
                return;
        if (stage_open(w->store, name, true, &g, NULL) < 0)
                return;
        if (trash_take(w->store, dir, name) == 0)
                w->count->stages++;
        stage_remove(w->store, &g);
}

static int sweep_stage(void *ctx, int dir, const char *name)
{
        struct sweep *w = ctx;
        struct stat st;

        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        if (S_ISDIR(st.st_mode)) {
                sweep_one_stage(w, dir, name, &st);
        } else if (str_ends(name, ".lock")) {
                /* Of a stage that was renamed into its place by somebody who was killed then. */
                AUTO_FREE char *of = mem_printf("%.*s", (int)strlen(name) - 5, name);

                if (faccessat(dir, of, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
                        sweep_one_stage(w, dir, of, &st);
        } else {
                trash_take(w->store, dir, name);
        }
        return 0;
}

int store_collect(struct store *s, unsigned flags, struct collected *ret, struct err *e)
{
        struct collected count = { 0 };
        struct sweep w = { .store = s, .count = &count, .stages = flags & COLLECT_STAGES };

        if (store_begin(s, e) < 0)
                return -1;
        if (sweep(s, &count, e) < 0) {
                store_abort(s);
                return -1;
        }
        if (store_commit(s, 1u << SUB_LAYERS, e) < 0 ||
            each_entry(s, SUB_STAGE, sweep_stage, &w, e) < 0)
                return -1;
        if (trash_empty(s, flags & COLLECT_WAIT, e) < 0)
                return -1;
        if (ret)
                *ret = count;
        return 0;
}
