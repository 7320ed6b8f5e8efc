/* Bringing the blobs of one manifest to the destination, cheapest way first. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "image/compose.h"
#include "image/pack.h"
#include "image/push-internal.h"

#define UPLOADS 3
#define TICK_MS 500
#define MOUNT_TRIES 3
#define MOUNT_REPOSITORIES 8 /* each is one more scope to ask a token for */

/* ---- rows ---- */

static void report(struct push *p, struct push_row *row, enum transfer_state state)
{
        if (row->t.of == 0) /* a configuration has none */
                return;
        row->t.state = state;
        if (state == TRANSFER_DONE)
                row->t.bytes = row->t.size;
        if (p->watcher && p->watcher->transfer)
                p->watcher->transfer(p->watcher->ctx, &row->t);
}

void push_note(const struct push *p, const char *text)
{
        if (p->watcher && p->watcher->note)
                p->watcher->note(p->watcher->ctx, text);
}

/* ---- uploads under way ---- */

/* That the registry holds this blob for the layer now. Only a help for later pushes. */
static void remember(struct push *p, const struct push_row *row)
{
        struct blob_source b = { row->t.digest, row->media_type, row->t.size, p->repository };

        if (row->diff_id)
                store_layer_source_add(p->store, row->diff_id, &b, NULL);
}

/* Nothing came for a while: who watches sees that rates sink. */
static void tick(struct push *p)
{
        for (unsigned i = 0; i < p->nrows; i++)
                if (p->rows[i].t.state == TRANSFER_UPLOADING)
                        report(p, &p->rows[i], TRANSFER_UPLOADING);
}

/* Handles one event; blocks until there is one, for a moment. */
static int event(struct push *p, struct err *e)
{
        struct fetch_event ev;
        struct push_row *row;
        int r = fetch_next(p->fetch, TICK_MS, &ev, e);

        if (r == 0)
                tick(p);
        if (r <= 0)
                return r;
        if (ev.kind == FETCH_NOTE || ev.kind == FETCH_RATE) {
                push_note(p, ev.text);
                return 0;
        }
        if (ev.id == 0 || ev.id > p->nrows + 1)
                return 0;
        row = &p->rows[ev.id - 1];
        switch (ev.kind) {
        case FETCH_PROGRESS:
                row->t.bytes = ev.bytes;
                report(p, row, TRANSFER_UPLOADING);
                return 0;
        case FETCH_DONE:
                p->uploading--;
                report(p, row, TRANSFER_DONE);
                remember(p, row);
                return 0;
        default:
                p->uploading--;
                if (e)
                        *e = ev.err;
                return err_in(e, "blob %s", row->t.digest);
        }
}

static int wait_until(struct push *p, unsigned left, struct err *e)
{
        while (p->uploading > left)
                if (event(p, e) < 0)
                        return -1;
        return 0;
}

/* Starts the upload of what file holds from its beginning; file is used up. */
static int upload(struct push *p, struct push_row *row, int file, struct err *e)
{
        unsigned jobs = p->options->jobs ? p->options->jobs : UPLOADS;

        if (lseek(file, 0, SEEK_SET) < 0 || wait_until(p, jobs - 1, e) < 0) {
                fd_close(file);
                return -1;
        }
        row->t.bytes = 0;
        report(p, row, TRANSFER_UPLOADING);
        if (fetch_upload(p->fetch, (unsigned)(row - p->rows) + 1, row->t.digest, row->t.size, file,
                         e) < 0)
                return -1;
        p->uploading++;
        return 0;
}

/* ---- what is there already ---- */

/* The path of a repository of the destination's registry; NULL: another registry's. */
static const char *path_here(const struct push *p, const char *repository)
{
        const char *rest = str_after(repository, p->to.host);

        return rest && *rest == '/' ? rest + 1 : NULL;
}

static bool has(const struct strings *s, const char *text)
{
        return str_index(s->v, s->n, text) >= 0;
}

void push_mount_sources(struct push *p, const struct push_document *x, struct strings *ret)
{
        if (!ret->v)
                ret->v = arena_array(p->arena, const char *, MOUNT_REPOSITORIES);
        for (size_t k = 0; x->layered && k < x->m.nlayers; k++) {
                struct blob_source *v;
                size_t n;

                if (store_layer_sources(p->store, p->arena, x->c.diff_ids.v[k], &v, &n, NULL) < 0)
                        continue;
                for (size_t i = 0; i < n && ret->n < MOUNT_REPOSITORIES; i++) {
                        const char *path = path_here(p, v[i].repository);

                        if (path && !str_eq(path, p->to.path) && !has(ret, path))
                                ret->v[ret->n++] = path;
                }
        }
}

/* Whether blob is at the destination, or could be mounted there from a repository of sources. */
static int is_there(struct push *p, const char *blob, const struct blob_source *sources, size_t n,
                    bool *ret, struct err *e)
{
        unsigned tries = 0;

        if (fetch_blob_exists(p->fetch, blob, ret, e) < 0)
                return -1;
        for (size_t i = 0; i < n && !*ret && tries < MOUNT_TRIES; i++) {
                const char *path = path_here(p, sources[i].repository);

                if (!path || str_eq(path, p->to.path) || !str_eq(sources[i].blob, blob))
                        continue;
                tries++;
                if (fetch_mount(p->fetch, blob, path, ret, e) < 0)
                        return -1;
        }
        return 0;
}

static const struct push_known *known(const struct push *p, const char *was)
{
        for (size_t i = 0; i < p->nknown; i++)
                if (str_eq(p->known[i].was, was))
                        return &p->known[i];
        return NULL;
}

static void learn(struct push *p, const char *was, const struct descriptor *d)
{
        p->known[p->nknown++] = (struct push_known){ was, *d };
}

/* ---- one layer ---- */

enum piece_step { PIECE_DONE, PIECE_TO_PACK, PIECE_TWIN };

struct piece { /* of a manifest */
        struct push_document *x;
        struct descriptor *d;
        const char *diff_id; /* NULL: no layer of the store */
        size_t k;
        struct push_row *row;
        const char *was;         /* its blob, as the manifest named it */
        const char *compression; /* that it is to have; NULL: any */
        const char *packed;      /* that it gets here */
        enum piece_step step;
        struct blob_source *sources;
        size_t nsources;
};

/* The blob there is another one than the manifest named: what was said about that goes. */
static void rename_blob(struct piece *l, const char *digest, uint64_t size, const char *type)
{
        l->d->digest = digest;
        l->d->size = size;
        l->d->media_type = type;
        l->d->annotations = (struct key_values){ 0 }; /* of zstd:chunked */
        l->d->urls = (struct strings){ 0 };
        l->d->data = NULL;
        l->x->changed = true;
}

static void settle_row(struct piece *l)
{
        l->row->t.digest = l->d->digest;
        l->row->t.size = l->d->size;
        l->row->media_type = l->d->media_type;
        l->row->diff_id = l->diff_id;
}

static bool acceptable(const struct push *p, const struct piece *l, const char *media_type)
{
        const char *compression = push_compression_of(media_type);

        return compose_layer_type(l->x->m.docker, compression) &&
               (!l->compression || str_eq(l->compression, compression));
}

/* The blob that the manifest names. 1: it is there. */
static int try_named(struct push *p, struct piece *l, struct err *e)
{
        bool there;

        if (p->options->force_compression && !acceptable(p, l, l->d->media_type))
                return 0;
        if (!compose_layer_type(l->x->m.docker, push_compression_of(l->d->media_type)))
                return 0;
        if (is_there(p, l->d->digest, l->sources, l->nsources, &there, e) < 0)
                return -1;
        if (!there)
                return 0;
        settle_row(l);
        report(p, l->row, TRANSFER_REUSED);
        remember(p, l->row);
        return 1;
}

/* The same layer in another blob, that the registry is known to hold. 1: it is there. */
static int try_others(struct push *p, struct piece *l, struct err *e)
{
        for (size_t i = 0; i < l->nsources; i++) {
                const struct blob_source *b = &l->sources[i];
                bool there = false;

                if (!path_here(p, b->repository) || str_eq(b->blob, l->d->digest) ||
                    !acceptable(p, l, b->media_type))
                        continue;
                if (is_there(p, b->blob, l->sources, l->nsources, &there, e) < 0)
                        return -1;
                if (!there)
                        continue;
                rename_blob(l, b->blob, b->size,
                            compose_layer_type(l->x->m.docker, push_compression_of(b->media_type)));
                settle_row(l);
                report(p, l->row, TRANSFER_REUSED);
                remember(p, l->row);
                return 1;
        }
        return 0;
}

/* The blob as the store kept it. 1: it is on its way. */
static int try_kept(struct push *p, struct piece *l, struct err *e)
{
        uint64_t size;
        int fd;

        if (!acceptable(p, l, l->d->media_type) && l->diff_id)
                return 0;
        if (!store_blob_has(p->store, l->d->digest))
                return 0;
        if (store_blob_open(p->store, l->d->digest, &fd, &size, e) < 0)
                return -1;
        settle_row(l);
        return upload(p, l->row, fd, e) < 0 ? -1 : 1;
}

static int open_layer(struct push *p, const struct piece *l, struct layer *ret, int *ret_dir,
                      struct err *e)
{
        char chain[DIGEST_CAP];

        chain_id(&l->x->c.diff_ids, l->k + 1, chain);
        if (store_layer_find(p->store, l->diff_id, chain, ret, e) < 0)
                return -1;
        return store_layer_open(p->store, ret->key, ret_dir, e);
}

/* ---- layers that are packed ---- */

/* The layer as a new blob: its tar itself, or that compressed. */
static int pack_prepare(struct push *p, struct piece *l, struct packing *ret, struct err *e)
{
        const char *was = push_compression_of(l->d->media_type);

        *ret = (struct packing){ .dir = -1, .out = -1, .level = p->options->level, .of = l };
        l->packed = l->compression ? l->compression : was;
        if (!compose_layer_type(l->x->m.docker, l->packed))
                l->packed = "gzip"; /* docker's format has no zstd */
        if (!str_eq(l->packed, "none"))
                ret->compression = l->packed;
        if (open_layer(p, l, &ret->layer, &ret->dir, e) < 0)
                return -1;
        ret->out = pack_file(p->store, e);
        return ret->out < 0 ? -1 : 0;
}

static void pack_progress(void *ctx, struct packing *k, uint64_t bytes)
{
        struct piece *l = k->of;

        l->row->t.size = k->layer.size;
        l->row->t.bytes = bytes;
        report(ctx, l->row, TRANSFER_PACKING);
}

/* One is ready: it goes on its way while others are packed. */
static int pack_ready(void *ctx, struct packing *k, struct err *e)
{
        struct push *p = ctx;
        struct piece *l = k->of;
        bool there;

        if (!str_eq(k->digest, l->d->digest))
                rename_blob(l, arena_strdup(p->arena, k->digest), k->size,
                            compose_layer_type(l->x->m.docker, l->packed));
        settle_row(l);
        learn(p, l->was, l->d);
        if (is_there(p, l->d->digest, NULL, 0, &there, e) < 0)
                return -1;
        if (!there)
                return upload(p, l->row, TAKE_FD(k->out), e);
        report(p, l->row, TRANSFER_REUSED);
        remember(p, l->row);
        return 0;
}

static int pack_other(void *ctx, struct err *e)
{
        return event(ctx, e);
}

/* Packs those pieces that wait for it, several at once; U3 holds, for each is of another blob. */
static int pack_pieces(struct push *p, struct piece *pieces, size_t n, struct err *e)
{
        struct packing *v = arena_array(p->arena, struct packing, n + 1);
        struct pack_loop loop = { .log = p->log,
                                  .interrupts = &p->interrupts,
                                  .fd = fetch_fd(p->fetch),
                                  .progress = pack_progress,
                                  .packed = pack_ready,
                                  .readable = pack_other,
                                  .ctx = p };
        size_t used = 0;
        int r = 0;

        for (size_t i = 0; i < n && r == 0; i++)
                if (pieces[i].step == PIECE_TO_PACK)
                        r = pack_prepare(p, &pieces[i], &v[used++], e);
        if (r == 0)
                r = pack_layers(v, used, &loop, e);
        pack_done(v, used);
        return r;
}

/* ---- one layer ---- */

static bool to_be_packed(const struct piece *pieces, size_t n, const char *was)
{
        for (size_t i = 0; i < n; i++)
                if (pieces[i].step == PIECE_TO_PACK && str_eq(pieces[i].was, was))
                        return true;
        return false;
}

/* Whatever needs no packing. before: the pieces below l. */
static int push_piece(struct push *p, struct piece *l, const struct piece *before, size_t nbefore,
                      struct err *e)
{
        static int (*const ways[])(struct push * p, struct piece * l,
                                   struct err * e) = { try_named, try_kept, try_others };
        const struct push_known *there = known(p, l->was);
        int r = 0;

        if (there) { /* U3 */
                if (!str_eq(there->d.digest, l->was))
                        rename_blob(l, there->d.digest, there->d.size, there->d.media_type);
                report(p, l->row, TRANSFER_REUSED);
                l->step = PIECE_DONE;
                return 0;
        }
        if (to_be_packed(before, nbefore, l->was)) {
                l->step = PIECE_TWIN;
                return 0;
        }
        for (size_t i = 0; i < ARRAY_SIZE(ways) && r == 0; i++)
                r = ways[i](p, l, e);
        if (r == 0 && !l->diff_id)
                return err_set(e, ERR_STATE, "blob %s is neither here nor at the registry", l->was);
        l->step = r == 0 ? PIECE_TO_PACK : PIECE_DONE;
        if (r > 0)
                learn(p, l->was, l->d);
        return r < 0 ? -1 : 0;
}

static int push_layer(struct push *p, struct push_document *x, size_t k, struct piece *pieces,
                      struct err *e)
{
        struct piece *l = &pieces[k];

        *l = (struct piece){ .x = x,
                             .d = &x->m.layers[k],
                             .was = x->m.layers[k].digest,
                             .diff_id = x->layered ? x->c.diff_ids.v[k] : NULL,
                             .k = k,
                             .row = &p->rows[p->first + k],
                             .compression = x->layered ? p->options->compression : NULL };
        if (!media_type_distributable(l->d->media_type)) {
                report(p, l->row, TRANSFER_REUSED); /* whoever pulls takes it from its urls */
                return 0;
        }
        if (l->diff_id &&
            store_layer_sources(p->store, p->arena, l->diff_id, &l->sources, &l->nsources, e) < 0)
                return -1;
        return push_piece(p, l, pieces, k, e);
}

/* ---- all of a manifest ---- */

/* Uploads and waits: of a configuration. */
static int push_config(struct push *p, const struct push_document *x, struct err *e)
{
        const struct descriptor *d = &x->m.config;
        struct push_row *row = &p->rows[p->nrows];
        const char *data = d->data;
        size_t n = d->size;
        bool there;
        int fd, r;

        if (!d->digest || known(p, d->digest))
                return 0;
        if (fetch_blob_exists(p->fetch, d->digest, &there, e) < 0)
                return -1;
        if (!there && !data &&
            store_blob_read(p->store, p->arena, d->digest, CONFIG_MAX, &data, &n, e) < 0)
                return -1;
        learn(p, d->digest, d);
        if (there)
                return 0;
        fd = memfd_create("config", MFD_CLOEXEC);
        r = fd < 0 ? -errno : fd_write_all(fd, data, n);
        if (r < 0 || lseek(fd, 0, SEEK_SET) < 0) {
                fd_close(fd);
                return err_sys(e, r < 0 ? r : errno, "cannot hand over the configuration");
        }
        *row = (struct push_row){ .t = { .digest = d->digest, .size = n } };
        if (fetch_upload(p->fetch, p->nrows + 1, d->digest, n, fd, e) < 0)
                return -1;
        p->uploading++;
        return wait_until(p, 0, e);
}

int push_blobs(struct push *p, struct push_document *x, struct err *e)
{
        size_t n = x->m.nlayers;
        struct piece *pieces = arena_array(p->arena, struct piece, n + 1);

        for (size_t k = 0; k < n; k++)
                if (push_layer(p, x, k, pieces, e) < 0)
                        return err_in(e, "layer %zu of %s", k + 1, x->digest);
        if (pack_pieces(p, pieces, n, e) < 0)
                return err_in(e, "manifest %s", x->digest);
        for (size_t k = 0; k < n; k++) /* the twins of what was packed are known now */
                if (pieces[k].step == PIECE_TWIN && push_piece(p, &pieces[k], NULL, 0, e) < 0)
                        return -1;
        if (wait_until(p, 0, e) < 0 || push_config(p, x, e) < 0)
                return -1;
        p->first += (unsigned)n;
        return 0;
}
