/* The layers of one image: downloads and unpackers side by side, biggest first, in one loop. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "image/interrupts.h"
#include "image/pull-internal.h"
#include "kernel/sched.h"

#define JOBS_MAX 16 /* more at once than any disk or link profits from */
#define JOBS_DEFAULT_MAX 4
#define RETRY_LOCK_MS 100  /* how often to look whether another process is done with a layer */
#define HELD_WAIT_MS 5000  /* P3 */
#define LAST_EVENT_MS 3000 /* a download whose pipe is closed ends soon */
#define PIPE_BYTES (1 << 20)

enum step {
        STEP_QUEUED,
        STEP_ELSEWHERE, /* another process has its stage */
        STEP_RUNNING,
        STEP_UNPACKED, /* complete and verified; perhaps waiting for lower ones (P3) */
        STEP_DONE,
};

/* A layer that is missing. */
struct row {
        const struct descriptor *blob;
        const char *diff_id;
        size_t place; /* in the image, 0 is lowest */
        unsigned n;   /* for the watcher */
        enum step step;
        struct work work;
        struct layer_job job;
        uint64_t bytes;
        unsigned id;          /* of its download */
        bool fetched;         /* the download's last event has come */
        struct err fetch_err; /* .code ERR_NONE: it succeeded */
        bool again;           /* the spool was no good; this is the second try, from zero */
        bool bad;             /* the blob is to blame: there is nothing to go on from */
        int64_t looked;       /* STEP_ELSEWHERE: when, last */
        int64_t grown;        /* ... when there was more in the other's stage than before */
        uint64_t seen;        /* ... and how much */
};

struct run {
        struct pull *pull;
        const struct image_config *config;
        struct row *rows; /* biggest first */
        size_t n, distinct;
        struct layer *layers; /* one for each diffID; key "" until it is in the store */
        const char **keys;    /* room for as many */
        unsigned running, jobs, processors;
        unsigned next_id;
        struct interrupts interrupts;
};

int64_t pull_now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void report(const struct run *r, const struct row *w, enum transfer_state state)
{
        struct transfer t = { .n = w->n,
                              .of = (unsigned)r->distinct,
                              .digest = w->blob->digest,
                              .bytes = w->bytes,
                              .size = w->blob->size,
                              .resumed = w->job.resume,
                              .state = state };

        pull_report(r->pull, &t);
}

static enum transfer_state moving(const struct run *r)
{
        return r->pull->source ? TRANSFER_LOADING : TRANSFER_DOWNLOADING;
}

/* ---- what is missing ---- */

static int bigger_first(const void *pa, const void *pb)
{
        const struct row *a = pa, *b = pb;

        return a->blob->size != b->blob->size ? (a->blob->size < b->blob->size ? 1 : -1)
               : a->place < b->place          ? -1
                                              : 1;
}

static bool in_store(struct run *r, size_t place)
{
        const struct strings *ids = &r->config->diff_ids;
        char chain[DIGEST_CAP];

        chain_id(ids, place + 1, chain);
        return store_layer_find(r->pull->store, ids->v[place], chain, &r->layers[place], NULL) == 0;
}

static bool queued(const struct run *r, const char *diff_id)
{
        for (size_t i = 0; i < r->n; i++)
                if (str_eq(r->rows[i].diff_id, diff_id))
                        return true;
        return false;
}

/* Rows for the layers that the store lacks. A layer that is in the image twice is one row; where
 * it leans, its second place becomes a row of the next round. */
static void collect(struct run *r, const struct manifest *m)
{
        r->n = 0;
        for (size_t i = 0; i < m->nlayers; i++) {
                struct row w = { .blob = &m->layers[i],
                                 .diff_id = r->config->diff_ids.v[i],
                                 .place = i,
                                 .n = (unsigned)i,
                                 .bytes = m->layers[i].size };

                if (*r->layers[i].key)
                        continue;
                if (in_store(r, i)) {
                        report(r, &w, TRANSFER_REUSED);
                        continue;
                }
                if (queued(r, w.diff_id))
                        continue;
                w.bytes = 0;
                work_init(&w.work, r->pull->store, r->pull->log);
                report(r, &w, TRANSFER_WAITING);
                r->rows[r->n++] = w;
        }
        qsort(r->rows, r->n, sizeof *r->rows, bigger_first);
}

/* ---- starting ---- */

/* Where one layer is most of what is left, its hashing and unpacking get threads: the other
 * processors would have nothing to do. */
static unsigned threads_for(const struct run *r, const struct row *w)
{
        uint64_t others = 0;

        for (size_t i = 0; i < r->n; i++)
                if (&r->rows[i] != w && r->rows[i].step <= STEP_RUNNING)
                        others += r->rows[i].blob->size -
                                  MIN(r->rows[i].bytes, r->rows[i].blob->size);
        if (r->processors < 2 || w->blob->size < LAYER_SPOOL_MIN || others > w->blob->size / 2)
                return 1;
        return MIN(r->processors, 3u);
}

/* From where its blob lies. */
static int start_local(struct run *r, struct row *w, struct err *e)
{
        const struct pull_source *s = r->pull->source;
        AUTO_FD int from = -1;

        w->job.digest = s->digests[w->place];
        if (s->open(s->ctx, w->place, &from, e) < 0)
                return -1;
        if (w->job.resume && lseek(from, (off_t)w->job.resume, SEEK_CUR) < 0)
                return err_sys(e, errno, "cannot read the blob");
        w->job.input = from;
        w->fetched = true;
        return work_start(&w->work, &w->job, e);
}

static int start_download(struct run *r, struct row *w, struct err *e)
{
        AUTO_FD int from = -1;
        int pipes[2];

        if (pipe2(pipes, O_CLOEXEC) < 0)
                return err_sys(e, errno, "cannot make a pipe");
        from = pipes[0];
        /* Unprivileged users have less; the default works too, with more switches. */
        fcntl(pipes[0], F_SETPIPE_SZ, PIPE_BYTES);
        w->job.input = from;
        w->id = r->next_id++;
        if (pull_fetch(r->pull, e) < 0 || work_start(&w->work, &w->job, e) < 0) {
                fd_close(pipes[1]);
                return -1;
        }
        return fetch_blob(r->pull->fetch, w->id, w->blob, w->job.resume, pipes[1], e);
}

static int start(struct run *r, struct row *w, struct err *e)
{
        const struct pull_options *o = r->pull->options;
        bool local = r->pull->source;

        w->job = (struct layer_job){ .backend = store_backend(r->pull->store),
                                     .digest = w->blob->digest,
                                     .size = w->blob->size,
                                     .diff_id = w->diff_id,
                                     .keep_blob = o->keep_blobs,
                                     .spool = o->keep_blobs ||
                                              (!local && w->blob->size >= LAYER_SPOOL_MIN),
                                     .userxattr = geteuid() != 0,
                                     .threads = threads_for(r, w),
                                     .limits = tar_limits_default };
        if (o->max_size)
                w->job.limits.bytes = o->max_size;
        w->job.resume = work_resume(&w->work, w->blob->digest);
        if (w->job.resume > w->blob->size)
                return err_set(e, ERR_INTERNAL, "its spool is longer than the blob");
        w->bytes = w->job.resume;
        w->fetched = false;
        w->fetch_err.code = ERR_NONE;
        if ((local ? start_local : start_download)(r, w, e) < 0)
                return -1;
        r->running++;
        w->step = STEP_RUNNING;
        report(r, w, moving(r));
        return 0;
}

/* Whether something of ours waits for lower layers (P3). */
static bool holding(const struct run *r)
{
        for (size_t i = 0; i < r->n; i++)
                if (r->rows[i].step == STEP_UNPACKED)
                        return true;
        return false;
}

/* How much another process has in its stage by now. */
static uint64_t stage_bytes(const struct store *s, const char *name)
{
        static const char *const files[] = { "spool", "layer.tar", "layer.headers" };
        char path[128];
        uint64_t n = 0;
        struct stat st;

        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                snprintf(path, sizeof path, "stage/%s/%s", name, files[i]);
                if (fstatat(store_dir(s), path, &st, AT_SYMLINK_NOFOLLOW) == 0)
                        n += (uint64_t)st.st_size;
        }
        return n;
}

/* Whether to unpack w beside the process that has its stage (P3): that one makes no progress, and
 * may be waiting for what we hold. */
static bool stuck(const struct run *r, struct row *w, const char *name)
{
        uint64_t bytes;

        if (w->step != STEP_ELSEWHERE || !holding(r))
                return false;
        bytes = stage_bytes(r->pull->store, name);
        if (bytes != w->seen) {
                w->seen = bytes;
                w->grown = pull_now();
        }
        return pull_now() - w->grown > HELD_WAIT_MS;
}

/* Takes the layer's stage. 1: taken; 0: another process has it; -1. */
static int take_stage(struct run *r, struct row *w, struct err *e)
{
        struct err why = { 0 };
        char name[80];
        size_t n;

        store_layer_key(w->diff_id, name);
        n = strlen(name);
        if (stuck(r, w, name))
                snprintf(name + n, sizeof name - n, ".%d", getpid());
        if (work_open(&w->work, name, true, &why) == 0)
                return 1;
        if (why.code != ERR_STATE) {
                *e = why;
                return -1;
        }
        w->looked = pull_now();
        if (w->step != STEP_ELSEWHERE) {
                w->grown = w->looked;
                w->step = STEP_ELSEWHERE;
                report(r, w, TRANSFER_ELSEWHERE);
        }
        return 0;
}

/* Gives w a start, or finds that another process has finished it meanwhile. */
static int begin(struct run *r, struct row *w, struct err *e)
{
        int taken = take_stage(r, w, e);

        if (taken <= 0)
                return taken;
        if (in_store(r, w->place)) {
                stage_remove(r->pull->store, &w->work.stage);
                w->step = STEP_DONE;
                w->bytes = w->blob->size;
                report(r, w, TRANSFER_REUSED);
                return 0;
        }
        return start(r, w, e);
}

static int row_failed(const struct run *r, const struct row *w, struct err *e)
{
        const struct pull_source *s = r->pull->source;

        store_full_hint(r->pull->store, e);
        if (!w->bad && !s)
                err_hint(e, "Pull again: it goes on from where it stopped.");
        return s ? err_in(e, "layer %zu (%s)", w->place + 1, s->names[w->place])
                 : err_in(e, "layer %s", w->blob->digest);
}

static int start_more(struct run *r, struct err *e)
{
        int64_t now = pull_now();

        for (size_t i = 0; i < r->n && r->running < r->jobs; i++) {
                struct row *w = &r->rows[i];

                if (w->step != STEP_QUEUED &&
                    !(w->step == STEP_ELSEWHERE && now - w->looked >= RETRY_LOCK_MS))
                        continue;
                if (begin(r, w, e) < 0)
                        return row_failed(r, w, e);
        }
        return 0;
}

/* ---- events ---- */

static void download_ended(struct run *r, struct row *w, const struct fetch_event *ev)
{
        w->fetched = true;
        if (ev->kind == FETCH_FAILED) {
                w->fetch_err = ev->err;
                return;
        }
        w->bytes = w->blob->size;
        if (w->step == STEP_RUNNING)
                report(r, w, TRANSFER_VERIFYING);
}

static void take_event(struct run *r, const struct fetch_event *ev)
{
        if (ev->kind == FETCH_NOTE || ev->kind == FETCH_RATE) {
                pull_note(r->pull, ev->text);
                return;
        }
        for (size_t i = 0; i < r->n; i++) {
                struct row *w = &r->rows[i];

                if (w->step != STEP_RUNNING || w->id != ev->id || w->fetched)
                        continue;
                if (ev->kind != FETCH_PROGRESS) {
                        download_ended(r, w, ev);
                } else {
                        w->bytes = ev->bytes;
                        report(r, w, TRANSFER_DOWNLOADING);
                }
        }
}

static int take_events(struct run *r, int timeout, struct err *e)
{
        struct fetch_event ev;
        int got;

        while ((got = fetch_next(r->pull->fetch, timeout, &ev, e)) > 0) {
                take_event(r, &ev);
                timeout = 0;
        }
        return got;
}

/* Which of the two is to blame when a layer fails: a download that ended early makes its reader
 * fail too, and a reader that failed makes the download end with EPIPE. */
static void blame(struct run *r, struct row *w, struct err *e)
{
        int64_t until = pull_now() + LAST_EVENT_MS;
        struct err gone = { 0 };

        while (!w->fetched && pull_now() < until)
                if (take_events(r, 100, &gone) < 0) {
                        w->fetch_err = gone;
                        break;
                }
        w->bad = w->fetch_err.code == ERR_NONE || w->fetch_err.sys == EPIPE;
        if (!w->bad)
                *e = w->fetch_err;
}

/* The unpacker of w has ended. */
static int unpacker_ended(struct run *r, struct row *w, struct err *e)
{
        int rc = work_wait(&w->work, e);

        r->running--;
        if (rc == 0) {
                w->step = STEP_UNPACKED;
                w->bytes = w->blob->size;
                report(r, w, TRANSFER_VERIFYING);
                return 0;
        }
        blame(r, w, e);
        if (!w->bad || !w->work.result.corrupt_spool || w->again)
                return row_failed(r, w, e);
        pull_note(r->pull, "what an earlier pull had left of a layer was damaged: downloading it "
                           "again");
        w->again = true;
        w->bad = false;
        work_forget(&w->work);
        if (start(r, w, e) < 0)
                return row_failed(r, w, e);
        return 0;
}

/* The keys of the layers below, as many as are in the store without a gap. */
static struct strings keys_below(struct run *r, size_t place)
{
        struct strings below = { r->keys, 0 };

        for (; below.n < place && *r->layers[below.n].key; below.n++)
                r->keys[below.n] = r->layers[below.n].key;
        return below;
}

/* Commits what is complete, as far as the layers below allow it. */
static int commit_ready(struct run *r, struct err *e)
{
        char chain[DIGEST_CAP];

        for (size_t i = 0; i < r->n; i++) {
                struct row *w = &r->rows[i];
                struct strings below;

                if (w->step != STEP_UNPACKED)
                        continue;
                below = keys_below(r, w->place);
                if (w->work.result.leans && below.n < w->place)
                        continue;
                chain_id(&r->config->diff_ids, w->place + 1, chain);
                if (work_commit(&w->work, &w->job, &below, chain, &r->layers[w->place], e) < 0)
                        return row_failed(r, w, e);
                w->step = STEP_DONE;
                report(r, w, TRANSFER_DONE);
        }
        return 0;
}

static int interrupted(struct run *r, struct err *e)
{
        if (interrupts_check(&r->interrupts, e) == 0)
                return 0;
        return r->pull->source ? -1 : err_hint(e, "Pull again: it goes on from where it stopped.");
}

/* Nothing came for a while: who watches sees that rates sink, or how far an unpacker is. */
static void tick(const struct run *r)
{
        for (size_t i = 0; i < r->n; i++) {
                struct row *w = &r->rows[i];

                if (w->step != STEP_RUNNING)
                        continue;
                if (r->pull->source)
                        w->bytes = w->job.resume + layer_progress(&w->work.process);
                if (r->pull->source || !w->fetched)
                        report(r, w, moving(r));
        }
}

static int wait_for_more(struct run *r, struct err *e)
{
        struct pollfd fds[JOBS_MAX + 2] = { { r->interrupts.fd, POLLIN, 0 } };
        struct row *of[JOBS_MAX + 2];
        bool fetching = r->pull->fetch;
        size_t n = 1;
        int ready;

        if (fetching)
                fds[n++] = (struct pollfd){ fetch_fd(r->pull->fetch), POLLIN, 0 };
        for (size_t i = 0; i < r->n; i++)
                if (r->rows[i].step == STEP_RUNNING) {
                        of[n] = &r->rows[i];
                        fds[n++] = (struct pollfd){ r->rows[i].work.process.result, POLLIN, 0 };
                }
        ready = poll(fds, n, RETRY_LOCK_MS);
        if (ready < 0 && errno != EINTR)
                return err_sys(e, errno, "cannot wait for the layers");
        if (ready == 0)
                tick(r);
        if (fds[0].revents && interrupted(r, e) < 0)
                return -1;
        if (fetching && fds[1].revents && take_events(r, 0, e) < 0)
                return -1;
        for (size_t i = 1 + fetching; i < n; i++)
                if (fds[i].revents && unpacker_ended(r, of[i], e) < 0)
                        return -1;
        return 0;
}

static bool finished(const struct run *r)
{
        for (size_t i = 0; i < r->n; i++)
                if (r->rows[i].step != STEP_DONE)
                        return false;
        return true;
}

/* New work is started before what is complete is committed: committing waits for the disk. */
static int transfer(struct run *r, struct err *e)
{
        while (!finished(r))
                if (start_more(r, e) < 0 || commit_ready(r, e) < 0 ||
                    (!finished(r) && wait_for_more(r, e) < 0))
                        return -1;
        return 0;
}

static void abandon(struct run *r, const struct err *e)
{
        for (size_t i = 0; i < r->n; i++)
                work_abandon(&r->rows[i].work, !r->rows[i].bad && !store_is_full(e));
}

/* ---- around it ---- */

static int check_shape(const struct manifest *m, const struct image_config *c, struct err *e)
{
        if (m->nlayers != c->diff_ids.n)
                return err_set(e, ERR_INVALID,
                               "the manifest has %zu layers, its configuration %zu diffIDs",
                               m->nlayers, c->diff_ids.n);
        for (size_t i = 0; i < m->nlayers; i++)
                if (str_ends(m->layers[i].media_type, "+encrypted"))
                        return err_set(e, ERR_UNSUPPORTED, "layer %s is encrypted",
                                       m->layers[i].digest);
        return 0;
}

static int rounds(struct run *r, const struct manifest *m, bool *ret_changed, struct err *e)
{
        for (size_t round = 0; round <= m->nlayers; round++) {
                collect(r, m);
                if (r->n == 0)
                        return 0;
                *ret_changed = true;
                if (transfer(r, e) < 0) {
                        /* A terminal interrupts the helpers too: their deaths say less. */
                        interrupted(r, e);
                        abandon(r, e);
                        return -1;
                }
        }
        return err_set(e, ERR_INTERNAL, "layers that were committed cannot be found");
}

static void add_sources(const struct run *r, const struct manifest *m)
{
        for (size_t i = 0; i < m->nlayers; i++) {
                struct blob_source s = { m->layers[i].digest, m->layers[i].media_type,
                                         m->layers[i].size,
                                         reference_repository(r->pull->arena, &r->pull->ref) };

                /* Only saves a push some work. */
                store_layer_source_add(r->pull->store, r->config->diff_ids.v[i], &s, NULL);
        }
}

int pull_layers(struct pull *p, const struct manifest *m, const struct image_config *c,
                struct layer *ret, bool *ret_changed, struct err *e)
{
        unsigned cpus = sched_processors();
        unsigned jobs = p->options->jobs ? p->options->jobs : MIN(cpus, JOBS_DEFAULT_MAX + 0u);
        struct run r = { .pull = p,
                         .config = c,
                         .layers = ret,
                         .distinct = m->nlayers,
                         .processors = cpus,
                         .jobs = MIN(jobs, JOBS_MAX + 0u),
                         .rows = arena_array(p->arena, struct row, m->nlayers + 1),
                         .keys = arena_array(p->arena, const char *, m->nlayers + 1) };
        int rc;

        if (check_shape(m, c, e) < 0)
                return -1;
        /* Signals are taken in the loop, so that unpackers and spools are left in order. */
        if (interrupts_catch(&r.interrupts, e) < 0)
                return -1;
        rc = rounds(&r, m, ret_changed, e);
        interrupts_release(&r.interrupts);
        if (rc == 0 && !p->source)
                add_sources(&r, m);
        return rc;
}
