/* Whether containers are whole: records, directories, run directories and the OCI runtime's state
 * of the same ids; what dead monitors left. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "engine/ctr-internal.h"
#include "engine/settings.h"
#include "engine/workspace.h"
#include "image/store-container.h"
#include "oci/container.h"
#include "oci/runtime.h"

#define ID_LEN 64

struct check {
        struct engine *g;
        struct arena *a;
        bool repair;
        struct ctr *known;
        size_t nknown;
        struct finding *v;
        size_t n, cap;
};

static void add(struct check *c, bool repaired, const char *object, const char *problem,
                const char *remedy)
{
        if (c->n == c->cap) {
                struct finding *v = arena_array(c->a, struct finding, c->cap * 2 + 8);

                if (c->n)
                        memcpy(v, c->v, c->n * sizeof *v);
                c->v = v;
                c->cap = c->cap * 2 + 8;
        }
        c->v[c->n++] = (struct finding){ object, problem, remedy, repaired };
}

/* Others' names may lie beside ours. */
static bool is_id(const char *name)
{
        return strlen(name) == ID_LEN && strspn(name, "0123456789abcdef") == ID_LEN;
}

static bool is_known(const struct check *c, const char *id)
{
        for (size_t i = 0; i < c->nknown; i++)
                if (str_eq(c->known[i].id, id))
                        return true;
        return false;
}

/* Of a directory's names those that are ids. */
static struct strings ids_in(struct check *c, int dir, const char *path)
{
        struct strings all, ids = { 0 };

        if (dir_names(dir, path, c->a, &all) < 0)
                return ids;
        for (size_t i = 0; i < all.n; i++)
                if (is_id(all.v[i]))
                        strings_add(c->a, &ids, all.v[i]);
        return ids;
}

/* ---- records ---- */

/* Being made or removed just now: whoever does has a flock on it. */
static bool is_busy(int dir)
{
        return flock(dir, LOCK_EX | LOCK_NB) < 0;
}

static void check_record(struct check *c, const struct ctr *ctr)
{
        AUTO_FD int dir = ctr_dir(c->g, ctr->id, &(struct err){ 0 });
        const char *object = arena_printf(c->a, "container %s", ctr->name);
        struct err e = { 0 };
        struct ctr_state s;

        if (dir >= 0 && faccessat(dir, "container.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
                ctr_state(c->g, ctr, &s);
                if (s.status == CTR_LOST && s.monitor.monitor > 0)
                        add(c, false, object, "its monitor died",
                            arena_printf(c->a, "`berth rm -f %s` or `berth start %s`", ctr->name,
                                         ctr->name));
                return;
        }
        if (dir >= 0 && is_busy(dir))
                return;
        flock(dir, LOCK_UN);
        add(c, c->repair && ctr_remove(c->g, ctr, true, 0, &e) == 0, object,
            dir < 0 ? "its directory is missing" : "it was half removed",
            arena_printf(c->a, "`berth rm -f %s` removes the rest.", ctr->name));
}

/* ---- directories ---- */

/* Back into the index, by what it says of itself. */
static bool take_in(struct check *c, const char *id, int dir)
{
        AUTO_FREE char *text = NULL;
        struct err e = { 0 };
        size_t n;

        return fd_read_regular_at(dir, "container.json", CONTAINER_RECORD_MAX, &text, &n) == 0 &&
               store_container_put(c->g->store, id, text, &e) == 0;
}

static void check_dir(struct check *c, const char *id)
{
        AUTO_FD int dir = ctr_dir(c->g, id, &(struct err){ 0 });

        if (dir < 0 || faccessat(dir, "container.json", F_OK, AT_SYMLINK_NOFOLLOW) < 0 ||
            is_busy(dir))
                return; /* what has none is swept (workspace.h) */
        add(c, c->repair && take_in(c, id, dir), arena_printf(c->a, "container %.12s", id),
            "it is in no index",
            "--repair takes it in again, unless its name is another's by now.");
}

/* ---- what monitors leave ---- */

static bool monitor_lives(const struct check *c, const char *id)
{
        AUTO_FD int run = ctr_run_dir(c->g, id, false, &(struct err){ 0 });
        struct monitor_state s;

        return run >= 0 && monitor_state_load(run, "state.json", &s) == 1;
}

/* Of another store with the same run directory, it may be. */
static bool is_ours(const struct check *c, const char *id)
{
        AUTO_CONTAINER oci = CONTAINER_INIT;
        AUTO_ARENA a = { 0 };
        const char *base = store_path(c->g->store);

        return container_open(&a, c->g->places.oci, id, &oci, NULL) == 0 && oci.bundle &&
               str_after(oci.bundle, base);
}

static void check_runtime(struct check *c, const char *id)
{
        struct runtime rt = { .root = c->g->places.oci, .log = c->g->places.log };
        struct err e = { 0 };

        if (is_known(c, id) || monitor_lives(c, id) || !is_ours(c, id))
                return;
        add(c, c->repair && runtime_delete(&rt, id, true, &e) == 0,
            arena_printf(c->a, "container %.12s", id), "the runtime knows it, and no record does",
            "--repair ends it.");
}

static void check_run_dir(struct check *c, const char *id)
{
        struct err e = { 0 };

        if (is_known(c, id) || monitor_lives(c, id))
                return;
        add(c, c->repair && workspace_remove_run(c->g->places.run, id, &e) == 0,
            arena_printf(c->a, "run directory %.12s", id), "it is of no container",
            "--repair removes it; so does a reboot.");
}

/* ---- all ---- */

int ctr_check(struct engine *g, struct arena *a, bool repair, struct finding **ret, size_t *ret_n,
              struct err *e)
{
        struct check c = { .g = g, .a = a, .repair = repair };
        struct strings dirs = ids_in(&c, store_dir(g->store), "containers");
        struct strings states = ids_in(&c, AT_FDCWD, g->places.oci);
        struct strings runs = ids_in(&c, AT_FDCWD, arena_printf(a, "%s/containers", g->places.run));

        /* After the lists: what is made meanwhile is known, what is removed is looked for again. */
        if (ctr_list(g, a, &c.known, &c.nknown, e) < 0)
                return -1;
        for (size_t i = 0; i < c.nknown; i++)
                check_record(&c, &c.known[i]);
        for (size_t i = 0; i < dirs.n; i++)
                if (!is_known(&c, dirs.v[i]))
                        check_dir(&c, dirs.v[i]);
        for (size_t i = 0; i < states.n; i++)
                check_runtime(&c, states.v[i]);
        for (size_t i = 0; i < runs.n; i++)
                check_run_dir(&c, runs.v[i]);
        *ret = c.v;
        *ret_n = c.n;
        return 0;
}
