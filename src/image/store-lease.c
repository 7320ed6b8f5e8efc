/* Leases: rows that protect what is being added or used (S6). One that can't be read as alive is
 * dead: its process is gone, or its pid is somebody else's by now. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "image/store-internal.h"
#include "kernel/proc.h"

enum { LEASE_SECONDS = 24 * 3600 };

static bool pins_image(const char *what)
{
        enum hash_alg alg;

        return digest_check(what, &alg) == 0;
}

int store_lease(struct store *s, const char *what, int64_t *ret_id, struct err *e)
{
        struct proc_stat self;
        int r = proc_stat_read(getpid(), &self);
        int64_t expires = pins_image(what) ? INT64_MAX : time(NULL) + LEASE_SECONDS, id;

        if (r < 0)
                return err_sys(e, r, "cannot read this process's start time");
        if (store_begin(s, e) < 0)
                return -1;
        if (db_run(s, Q_LEASE_ADD, e, "siii", what, (int64_t)getpid(), (int64_t)self.start,
                   expires) < 0) {
                store_abort(s);
                return -1;
        }
        id = sqlite3_last_insert_rowid(s->db);
        if (store_commit(s, 0, e) < 0)
                return -1;
        *ret_id = id;
        return 0;
}

static int64_t meta(struct store *s, const char *key)
{
        AUTO_ROWS rows = { 0 };

        if (db_query(s, Q_META_GET, &rows, NULL, "s", key) < 0 || db_next(&rows) <= 0)
                return 0;
        return db_int(&rows, 0);
}

void store_lease_end(struct store *s, int64_t id)
{
        struct err e = { 0 };

        if (store_begin(s, &e) < 0) {
                log_debug(s->log, "cannot end a lease: %s", e.chain);
                return;
        }
        db_run(s, Q_LEASE_DEL, &e, "i", id);
        if (store_commit(s, 0, &e) == 0 && meta(s, "collect"))
                store_collect(s, 0, NULL, &e);
}

/* Containers use their image, running or not. */
static int container_pins(struct store *s, struct arena *a, struct strings *ret, struct err *e)
{
        AUTO_ROWS rows = { 0 };
        int more;

        if (db_query(s, Q_CTR_IMAGES, &rows, e, NULL) < 0)
                return -1;
        while ((more = db_next(&rows)) > 0)
                strings_add(a, ret, arena_strdup(a, db_text(&rows, 0)));
        return more;
}

int leases_read(struct store *s, struct arena *a, struct strings *ret_pins, bool *ret_adding,
                struct err *e)
{
        AUTO_ROWS rows = { 0 };
        int64_t dead[64], now = time(NULL);
        size_t ndead = 0;
        int more;

        *ret_adding = false;
        if (container_pins(s, a, ret_pins, e) < 0)
                return -1;
        if (db_query(s, Q_LEASES, &rows, e, NULL) < 0)
                return -1;
        while ((more = db_next(&rows)) > 0) {
                const char *what = db_text(&rows, 1);

                if (db_int(&rows, 4) < now ||
                    !proc_alive((pid_t)db_int(&rows, 2), (uint64_t)db_int(&rows, 3))) {
                        if (ndead < ARRAY_SIZE(dead))
                                dead[ndead++] = db_int(&rows, 0);
                        continue;
                }
                if (pins_image(what))
                        strings_add(a, ret_pins, arena_strdup(a, what));
                else
                        *ret_adding = true;
        }
        db_end(&rows);
        for (size_t i = 0; more == 0 && s->locked && i < ndead; i++)
                more = db_run(s, Q_LEASE_DEL, e, "i", dead[i]);
        return more;
}
