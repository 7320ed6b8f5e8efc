/* An image of a container: its image's layers, and its upper directory as one more. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "engine/changes.h"
#include "engine/ctr-internal.h"
#include "engine/settings.h"
#include "image/compose.h"
#include "image/layer.h"
#include "image/pull.h"
#include "image/record.h"
#include "image/tree-tar.h"

struct commit {
        struct engine *g;
        struct arena *a;
        const struct ctr *c;
        const struct commit_options *o;
        int64_t now;
        struct manifest manifest;
        struct image_config config;
        struct strings diff_ids; /* of the image */
        struct layer *layers;    /* one more than diff_ids */
};

/* ---- the image that it was made of ---- */

static int read_image(struct commit *m, struct err *e)
{
        const char *text;
        size_t n;

        if (store_blob_read(m->g->store, m->a, m->c->image_digest, MANIFEST_MAX, &text, &n, e) <
                    0 ||
            manifest_parse(m->a, text, n, NULL, &m->manifest, e) < 0 ||
            store_blob_read(m->g->store, m->a, m->c->image_id, CONFIG_MAX, &text, &n, e) < 0 ||
            image_config_parse(m->a, text, n, &m->config, e) < 0)
                return err_in(e, "image \"%s\"", m->c->image_name);
        m->diff_ids = m->config.diff_ids;
        m->layers = arena_array(m->a, struct layer, m->diff_ids.n + 1);
        for (size_t i = 0; i < m->diff_ids.n; i++) {
                char chain[DIGEST_CAP];

                chain_id(&m->diff_ids, i + 1, chain);
                if (store_layer_find(m->g->store, m->diff_ids.v[i], chain, &m->layers[i], e) < 0)
                        return err_in(e, "image \"%s\"", m->c->image_name);
        }
        return 0;
}

/* ---- the layer ---- */

/* A process of its own, since berth-layer reads what it writes; what went wrong comes last. */
static int write_layer(int upper, const struct strings *stubs, int64_t latest, int out, int result)
{
        struct tree_tar t = { .dir = upper,
                              .layer = true,
                              .latest = latest,
                              .stubs = stubs,
                              .put = tree_tar_to_fd,
                              .ctx = &out };
        struct err e = { 0 };
        int r = tree_tar_write(&t, &e);

        return fd_write_all(result, &e, sizeof e) < 0 || r < 0;
}

/* *ret_pid writes; *ret_out and *ret_result are to be read. */
static int start_writer(struct commit *m, pid_t *ret_pid, int *ret_out, int *ret_result,
                        struct err *e)
{
        AUTO_FD int upper = ctr_upper(m->g, m->c, e);
        int64_t latest = getenv("SOURCE_DATE_EPOCH") ? m->now : INT64_MAX;
        struct strings stubs;
        int out[2], result[2];
        pid_t pid;

        if (upper < 0 || ctr_mount_points(m->g, m->a, m->c, &stubs, e) < 0)
                return -1;
        if (pipe2(out, O_CLOEXEC) < 0)
                return err_sys(e, errno, "cannot make a pipe");
        if (pipe2(result, O_CLOEXEC) < 0) {
                fd_close(out[0]);
                fd_close(out[1]);
                return err_sys(e, errno, "cannot make a pipe");
        }
        pid = fork();
        if (pid == 0) {
                fd_close(out[0]);
                fd_close(result[0]);
                _exit(write_layer(upper, &stubs, latest, out[1], result[1]));
        }
        fd_close(out[1]);
        fd_close(result[1]);
        *ret_out = out[0];
        *ret_result = result[0];
        *ret_pid = pid;
        if (pid > 0)
                return 0;
        fd_close(out[0]);
        fd_close(result[0]);
        return err_sys(e, errno, "cannot start a process");
}

/* An archive that ended early may look complete: the writer's word counts, and its error is the
 * cause of berth-layer's, unless that left first (EPIPE). */
static int end_writer(pid_t pid, int result, int r, struct err *e)
{
        struct err why;
        ssize_t n = read(result, &why, sizeof why);
        int status;

        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (n != sizeof why)
                return r < 0 ? r : err_set(e, ERR_SYSTEM, "the layer's writer died");
        if (why.code != ERR_NONE && (r == 0 || why.sys != EPIPE)) {
                *e = why;
                return -1;
        }
        return r;
}

static int add_layer(struct commit *m, struct err *e)
{
        struct layer_job job = { .backend = store_backend(m->g->store),
                                 .threads = 2,
                                 .limits = tar_limits_default };
        int out = -1, result = -1, r;
        pid_t pid = 0;

        if (start_writer(m, &pid, &out, &result, e) < 0)
                return -1;
        job.input = out;
        r = image_layer_add(m->g->store, out, &job, &m->diff_ids, m->diff_ids.n, m->g->places.log,
                            &m->layers[m->diff_ids.n], e);
        fd_close(out);
        r = end_writer(pid, result, r, e);
        fd_close(result);
        return r;
}

static int add_layer_paused(struct commit *m, struct err *e)
{
        struct ctr_state s;
        bool pause;
        int r;

        ctr_state(m->g, m->c, &s);
        pause = m->o->pause && s.status == CTR_RUNNING;
        if (pause && ctr_pause(m->g, m->c, true, e) < 0)
                return -1;
        r = add_layer(m, e);
        if (pause && ctr_pause(m->g, m->c, false, r < 0 ? &(struct err){ 0 } : e) < 0)
                r = -1;
        return r;
}

/* ---- the image ---- */

/* As docker does it: what the container runs with becomes what the image runs. */
static void take_container(struct commit *m)
{
        const struct ctr *c = m->c;
        size_t n = MIN((size_t)c->entrypoint, c->command.n);

        m->config.entrypoint = (struct strings){ c->command.v, n };
        m->config.has_entrypoint = n > 0;
        m->config.cmd = (struct strings){ c->command.v + n, c->command.n - n };
        m->config.has_cmd = c->command.n > n;
        m->config.labels = c->labels;
        if (!str_empty(c->user) && !str_eq(c->user, "0"))
                m->config.user = c->user;
}

static int make_config(struct commit *m, struct buf *out, struct err *e)
{
        struct image_config *c = &m->config;
        size_t n = c->nhistory;
        struct image_history *history = arena_array(m->a, struct image_history, n + 1);
        const char **diff_ids = arena_array(m->a, const char *, m->diff_ids.n + 1);

        take_container(m);
        if (compose_change(m->a, &m->o->changes, c, e) < 0)
                return -1;
        c->created = compose_time_str(m->a, m->now);
        if (m->o->author)
                c->author = m->o->author;
        if (n)
                memcpy(history, c->history, n * sizeof *history);
        history[n] = (struct image_history){ .created = c->created,
                                             .created_by = "berth commit",
                                             .author = m->o->author,
                                             .comment = m->o->message };
        c->history = history;
        c->nhistory = n + 1;
        if (m->diff_ids.n)
                memcpy(diff_ids, m->diff_ids.v, m->diff_ids.n * sizeof *diff_ids);
        diff_ids[m->diff_ids.n] = m->layers[m->diff_ids.n].diff_id;
        c->diff_ids = (struct strings){ diff_ids, m->diff_ids.n + 1 };
        compose_config(c, out);
        return 0;
}

static const char *layer_type(bool docker, const char *given)
{
        const char *compression = str_ends(given, "gzip")   ? "gzip"
                                  : str_ends(given, "zstd") ? "zstd"
                                                            : "none";
        const char *type = compose_layer_type(docker, compression);

        return type ? type : given;
}

static void make_manifest(struct commit *m, const struct buf *config, struct buf *out)
{
        bool docker = m->o->docker;
        size_t n = m->manifest.nlayers;
        struct descriptor *layers = arena_array(m->a, struct descriptor, n + 1);
        const struct layer *l = &m->layers[m->diff_ids.n];
        char digest[DIGEST_CAP];
        struct manifest to = { .docker = docker,
                               .config = { .media_type =
                                                   docker ? MEDIA_DOCKER_CONFIG : MEDIA_OCI_CONFIG,
                                           .digest = digest,
                                           .size = config->len },
                               .layers = layers,
                               .nlayers = n + 1 };

        for (size_t i = 0; i < n; i++) {
                layers[i] = m->manifest.layers[i];
                layers[i].media_type = layer_type(docker, layers[i].media_type);
        }
        layers[n] = (struct descriptor){ .media_type = layer_type(docker, "none"),
                                         .digest = l->diff_id,
                                         .size = l->size };
        hash_bytes(HASH_SHA256, config->s, config->len, digest);
        compose_manifest(&to, out);
}

static int commit_leased(struct commit *m, struct image *ret, struct err *e)
{
        AUTO_BUF config = { 0 };
        AUTO_BUF manifest = { 0 };
        const char *names[] = { m->o->name };
        struct record r = { .names = { names, m->o->name ? 1 : 0 } };

        if (read_image(m, e) < 0 || add_layer_paused(m, e) < 0 || make_config(m, &config, e) < 0)
                return -1;
        make_manifest(m, &config, &manifest);
        r.config = config.s;
        r.nconfig = config.len;
        r.manifest = manifest.s;
        r.nmanifest = manifest.len;
        r.layers = m->layers;
        r.nlayers = m->diff_ids.n + 1;
        return image_record(m->g->store, m->a, &r, ret, e);
}

int ctr_commit(struct engine *g, struct arena *a, const struct ctr *c,
               const struct commit_options *o, struct image *ret, struct err *e)
{
        struct commit m = { .g = g, .a = a, .c = c, .o = o };
        struct image_config check = { 0 };
        int lease, r;

        if (compose_time(&m.now, e) < 0 || compose_change(a, &o->changes, &check, e) < 0 ||
            store_lease(g->store, "commit", &lease, e) < 0)
                return -1;
        r = commit_leased(&m, ret, e);
        store_lease_end(g->store, lease);
        if (r < 0) {
                store_full_hint(g->store, e);
                store_collect(g->store, 0, NULL, NULL);
                return err_in(e, "cannot commit container \"%s\"", c->name);
        }
        ctr_event(g, c, "commit", "image", ret->id);
        return 0;
}
