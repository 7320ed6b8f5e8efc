/* One layer from its stage into the store. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "image/pull-internal.h"
#include "image/snapshot.h"
#include "kernel/tree.h"

/* Beside the spool: the digest of the blob whose bytes those are. */
#define SPOOL "spool"
#define SPOOL_OF "spool-of"

void work_init(struct work *w, struct store *s, const struct log *log)
{
        *w = (struct work){ .store = s, .log = log, .stage = { .dir = -1, .lock = -1 } };
        w->process = (struct layer_process){ .pidfd = -1, .result = -1, .progress = -1 };
}

int work_open(struct work *w, const char *name, bool nowait, struct err *e)
{
        return stage_open(w->store, name, nowait, &w->stage, e);
}

/* Removes what the stage holds, but for the spool where that is to stay. */
static void clean(int dir, bool keep)
{
        AUTO_ARENA a = { 0 };
        struct strings names;

        dir_names(dir, ".", &a, &names);
        for (size_t i = 0; i < names.n; i++)
                if (!(keep && str_after(names.v[i], SPOOL)))
                        tree_remove(dir, names.v[i]);
}

uint64_t work_resume(struct work *w, const char *digest)
{
        char of[DIGEST_CAP];
        bool same =
                fd_read_text_at(w->stage.dir, SPOOL_OF, of, sizeof of) > 0 && str_eq(of, digest);

        clean(w->stage.dir, same);
        if (same)
                return layer_spooled(w->stage.dir);
        /* Without it the spool is worth nothing, but the pull is. */
        fd_replace_at(w->stage.dir, SPOOL_OF, digest, strlen(digest), 0600, 0);
        return 0;
}

void work_forget(struct work *w)
{
        unlinkat(w->stage.dir, SPOOL, 0);
}

int work_start(struct work *w, const struct layer_job *job, struct err *e)
{
        struct layer_job own = *job;

        own.stage = w->stage.dir;
        return layer_start(&own, w->log, &w->process, e);
}

int work_wait(struct work *w, struct err *e)
{
        if (layer_wait(&w->process, &w->result, e) < 0)
                return -1;
        if (w->result.err.code != ERR_NONE) {
                *e = w->result.err;
                return -1;
        }
        return 0;
}

static int settle(struct work *w, enum layer_backend backend, const struct strings *below,
                  struct err *e)
{
        struct snapshot lower = {
                .layers = below, .upper = -1, .work = -1, .userns = -1, .run = ""
        };
        AUTO_FD int mount = -1;

        if (below->n && snapshot_mount(w->store, &lower, &mount, e) < 0)
                return err_in(e, "cannot mount the layers below");
        return layer_settle(backend, w->stage.dir, mount, w->log, e);
}

static int check_diff_id(const struct work *w, const struct layer_job *job, struct err *e)
{
        if (!job->diff_id || str_eq(job->diff_id, w->result.diff_id))
                return 0;
        return err_set(e, ERR_INVALID,
                       "its content has the diffID %s; the image configuration says %s",
                       w->result.diff_id, job->diff_id);
}

int work_commit(struct work *w, const struct layer_job *job, const struct strings *below,
                const char *chain, struct layer *ret, struct err *e)
{
        struct layer l = { .backend = job->backend,
                           .size = w->result.tar_size,
                           .entries = w->result.entries,
                           .leans = w->result.leans };
        bool failed;

        if (check_diff_id(w, job, e) < 0)
                return -1;
        snprintf(l.diff_id, sizeof l.diff_id, "%s", w->result.diff_id);
        if (l.leans && settle(w, job->backend, below, e) < 0)
                return -1;
        store_layer_key(l.leans ? chain : l.diff_id, l.key);
        if (job->keep_blob && job->digest &&
            store_blob_adopt(w->store, w->stage.dir, SPOOL, job->digest, e) < 0)
                return err_in(e, "cannot keep its blob");
        unlinkat(w->stage.dir, SPOOL_OF, 0);
        failed = store_layer_commit(w->store, &w->stage, &l, e) < 0;
        w->stage.dir = w->stage.lock = -1;
        if (failed)
                return -1;
        *ret = l;
        return 0;
}

void work_abandon(struct work *w, bool keep)
{
        if (w->process.pid > 0)
                layer_kill(&w->process);
        if (w->stage.dir >= 0 && keep && layer_spooled(w->stage.dir)) {
                clean(w->stage.dir, true);
                stage_keep(w->store, &w->stage);
        } else if (w->stage.dir >= 0) {
                stage_remove(w->store, &w->stage);
        }
        work_init(w, w->store, w->log);
}

/* The keys of the first n layers, as they lie in the store. */
static int keys_below(struct store *s, struct arena *a, const struct strings *diff_ids, size_t n,
                      struct strings *ret, struct err *e)
{
        char chain[DIGEST_CAP];
        struct layer l;

        ret->v = arena_array(a, const char *, n + 1);
        for (ret->n = 0; ret->n < n; ret->n++) {
                chain_id(diff_ids, ret->n + 1, chain);
                if (store_layer_find(s, diff_ids->v[ret->n], chain, &l, e) < 0)
                        return err_in(e, "lower layer %s", diff_ids->v[ret->n]);
                ret->v[ret->n] = arena_strdup(a, l.key);
        }
        return 0;
}

/* The chainID of the layer above the first n, whose diffID may have been unknown before. */
static void chain_above(const struct strings *diff_ids, size_t n, const char *diff_id,
                        char ret[DIGEST_CAP])
{
        char below[DIGEST_CAP];
        struct strings pair = { (const char *[]){ below, diff_id }, 2 };

        if (n == 0) {
                snprintf(ret, DIGEST_CAP, "%s", diff_id);
                return;
        }
        chain_id(diff_ids, n, below);
        chain_id(&pair, 2, ret);
}

static int add(struct work *w, int input, const struct layer_job *given,
               const struct strings *diff_ids, size_t lower_n, struct layer *ret, struct err *e)
{
        AUTO_ARENA a = { 0 };
        struct layer_job job = *given;
        struct strings below;
        char chain[DIGEST_CAP];

        job.input = input;
        job.resume = 0;
        clean(w->stage.dir, false);
        if (work_start(w, &job, e) < 0 || work_wait(w, e) < 0)
                return -1;
        if (keys_below(w->store, &a, diff_ids, lower_n, &below, e) < 0)
                return -1;
        chain_above(diff_ids, lower_n, w->result.diff_id, chain);
        return work_commit(w, &job, &below, chain, ret, e);
}

int image_layer_add(struct store *s, int input, const struct layer_job *job,
                    const struct strings *diff_ids, size_t lower_n, const struct log *log,
                    struct layer *ret, struct err *e)
{
        char name[72], chain[DIGEST_CAP];
        struct work w;
        int r;

        work_init(&w, s, log);
        if (job->diff_id)
                store_layer_key(job->diff_id, name);
        else
                snprintf(name, sizeof name, "add-%d", getpid());
        if (work_open(&w, name, false, e) < 0)
                return -1;
        if (job->diff_id) { /* somebody else may have been at it */
                chain_above(diff_ids, lower_n, job->diff_id, chain);
                if (store_layer_find(s, job->diff_id, chain, ret, NULL) == 0) {
                        stage_remove(s, &w.stage);
                        return 0;
                }
        }
        r = add(&w, input, job, diff_ids, lower_n, ret, e);
        if (r < 0)
                work_abandon(&w, false);
        return r;
}
