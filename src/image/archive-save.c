/* From the store into an archive.
 *
 * A layer's blob is, by preference: what the store kept; the layer's plain tar, where the
 * manifest names that; a tar compressed as the manifest says, which may or may not come out as the
 * bytes that it names. Only if all of an image's layers are what its manifest names is that saved;
 * else one is made that names what was written. */
#include <errno.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "codec/json.h"
#include "image/archive-internal.h"
#include "image/compose.h"
#include "image/pack.h"

#define DIR_VERSION "Directory Transport Version: 1.1\n"

struct saving {
        struct store *store;
        const struct archive_save_options *o;
        const struct watcher *w;
        const struct log *log;
        struct sink sink;
        struct interrupts interrupts;
        struct arena arena;
        struct layout layout; /* names blobs */
        bool exact;
};

/* A layer that was compressed: a tar's header needs the size before the bytes. */
struct packed {
        int fd; /* without a name, in the store; -1: it wasn't */
        const char *digest;
        uint64_t size;
};

/* An image while it is saved. */
struct saved {
        const struct archive_image *from;
        const char *manifest, *config;
        size_t nmanifest, nconfig;
        struct manifest m;
        struct image_config c;
        struct packed *packed; /* of each layer */
        bool changed;          /* its layers are not what m named any more */
};

static int read_image(struct saving *s, const struct archive_image *from, struct saved *i,
                      struct err *e)
{
        const struct image *image = from->image;

        *i = (struct saved){ .from = from };
        if (store_blob_read(s->store, &s->arena, image->digest, MANIFEST_MAX, &i->manifest,
                            &i->nmanifest, e) < 0 ||
            manifest_parse(&s->arena, i->manifest, i->nmanifest, image->media_type, &i->m, e) < 0)
                return -1;
        if (i->m.kind != MANIFEST_IMAGE || !manifest_is_image(&i->m))
                return err_set(e, ERR_UNSUPPORTED, "it is no image that could be run");
        if (store_blob_read(s->store, &s->arena, i->m.config.digest, CONFIG_MAX, &i->config,
                            &i->nconfig, e) < 0 ||
            image_config_parse(&s->arena, i->config, i->nconfig, &i->c, e) < 0)
                return -1;
        if (i->m.nlayers != i->c.diff_ids.n)
                return err_set(e, ERR_INVALID, "%zu layers, but %zu diff_ids", i->m.nlayers,
                               i->c.diff_ids.n);
        i->packed = arena_array(&s->arena, struct packed, i->m.nlayers + 1);
        for (size_t k = 0; k < i->m.nlayers; k++)
                i->packed[k].fd = -1;
        return 0;
}

/* ---- layers ---- */

static void tell_bytes(const struct saving *s, const struct saved *i, size_t k, uint64_t bytes,
                       uint64_t size, enum transfer_state state)
{
        struct transfer t = { .n = (unsigned)k,
                              .of = (unsigned)i->c.diff_ids.n,
                              .digest = i->c.diff_ids.v[k],
                              .size = size,
                              .bytes = bytes,
                              .state = state };

        if (s->w && s->w->transfer)
                s->w->transfer(s->w->ctx, &t);
}

static void tell(const struct saving *s, const struct saved *i, size_t k, uint64_t size,
                 enum transfer_state state)
{
        tell_bytes(s, i, k, state == TRANSFER_DONE ? size : 0, size, state);
}

static int find_layer(const struct saving *s, const struct saved *i, size_t k, struct layer *ret,
                      int *ret_dir, struct err *e)
{
        char chain[DIGEST_CAP];

        chain_id(&i->c.diff_ids, k + 1, chain);
        if (store_layer_find(s->store, i->c.diff_ids.v[k], chain, ret, e) < 0)
                return -1;
        return store_layer_open(s->store, ret->key, ret_dir, e);
}

/* What pack_layers() is given of a layer. */
struct piece {
        struct saving *s;
        struct saved *i;
        size_t k;
};

static void on_progress(void *ctx, struct packing *p, uint64_t bytes)
{
        const struct piece *l = p->of;

        tell_bytes(l->s, l->i, l->k, bytes, p->layer.size,
                   p->compression ? TRANSFER_PACKING : TRANSFER_SAVING);
}

static int pack(struct saving *s, struct packing *v, size_t n,
                int (*packed)(void *ctx, struct packing *p, struct err *e), struct err *e)
{
        struct pack_loop loop = { .log = s->log,
                                  .interrupts = &s->interrupts,
                                  .fd = -1,
                                  .progress = on_progress,
                                  .packed = packed };

        return pack_layers(v, n, &loop, e);
}

/* The layer's exact tar, as one member. */
static int put_tar(struct saving *s, struct saved *i, size_t k, const char *name,
                   const struct layer *l, int dir, struct err *e)
{
        struct packing p = { .layer = *l, .dir = dir, .of = &(struct piece){ s, i, k } };

        if (sink_has(&s->sink, name))
                return 0;
        if (sink_begin(&s->sink, name, l->size, &p.out, e) < 0 || pack(s, &p, 1, NULL, e) < 0)
                return -1;
        return sink_end(&s->sink, e);
}

/* size bytes of in as one member, verified on their way. */
static int put_file(struct saving *s, const char *name, int in, uint64_t size, const char *digest,
                    struct err *e)
{
        char buf[65536], found[DIGEST_CAP];
        enum hash_alg alg;
        struct hash h;
        int out, r;

        if (sink_has(&s->sink, name))
                return 0;
        if (sink_begin(&s->sink, name, size, &out, e) < 0)
                return -1;
        digest_check(digest, &alg);
        hash_init(&h, alg);
        while (size) {
                ssize_t n = read(in, buf, MIN(sizeof buf, size));

                if (interrupts_check(&s->interrupts, e) < 0)
                        return -1;

                if (n <= 0)
                        return err_sys(e, n < 0 ? errno : EIO, "cannot read blob %s", digest);
                hash_update(&h, buf, (size_t)n);
                if ((r = fd_write_all(out, buf, (size_t)n)) < 0)
                        return err_sys(e, r, "cannot write the archive");
                size -= (uint64_t)n;
        }
        hash_final(&h, found);
        if (!str_eq(found, digest)) {
                err_set(e, ERR_INVALID, "blob %s is damaged: its digest is %s", digest, found);
                return err_hint(e, "`berth system check --repair` drops what is damaged.");
        }
        return sink_end(&s->sink, e);
}

/* "gzip" of a media type that ends in "+gzip" or, docker's, ".gzip". */
static const char *compression_of(const char *media_type)
{
        static const char *const names[] = { "gzip", "zstd" };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (str_ends(media_type, names[i]))
                        return names[i];
        return "none";
}

static const char *compression_for(const struct saving *s, const struct descriptor *d)
{
        return s->o->compression ? s->o->compression : compression_of(d->media_type);
}

/* Whether the store has kept the blob as it is to be saved. */
static bool is_kept(const struct saving *s, const struct descriptor *d)
{
        return str_eq(compression_for(s, d), compression_of(d->media_type)) &&
               store_blob_has(s->store, d->digest);
}

static int on_packed(void *ctx, struct packing *p, struct err *e)
{
        const struct piece *l = p->of;

        if (lseek(p->out, 0, SEEK_SET) < 0)
                return err_sys(e, errno, "cannot read what was compressed");
        l->i->packed[l->k] = (struct packed){
                .fd = TAKE_FD(p->out),
                .digest = arena_strdup(&l->s->arena, p->digest),
                .size = p->size,
        };
        return 0;
}

/* Compresses those layers of i that have to be, several at once. */
static int pack_image(struct saving *s, struct saved *i, struct err *e)
{
        size_t n = 0, all = i->m.nlayers;
        struct packing *v = arena_array(&s->arena, struct packing, all + 1);
        struct piece *pieces = arena_array(&s->arena, struct piece, all + 1);
        int r = 0;

        for (size_t k = 0; k < all && r == 0; k++) {
                const struct descriptor *d = &i->m.layers[k];
                const char *compression = compression_for(s, d);
                struct packing *p = &v[n];

                if (str_eq(compression, "none") || is_kept(s, d))
                        continue;
                n++;
                pieces[k] = (struct piece){ s, i, k };
                *p = (struct packing){ .dir = -1,
                                       .out = -1,
                                       .compression = compression,
                                       .level = s->o->level,
                                       .of = &pieces[k] };
                r = find_layer(s, i, k, &p->layer, &p->dir, e);
                if (r == 0)
                        r = p->out = pack_file(s->store, e);
                r = MIN(r, 0);
        }
        if (r == 0)
                r = pack(s, v, n, on_packed, e);
        pack_done(v, n);
        return r;
}

/* Writes the blob of layer k and makes d describe it. */
static int put_layer(struct saving *s, struct saved *i, size_t k, struct descriptor *d,
                     struct err *e)
{
        const char *compression = compression_for(s, d), *digest = d->digest, *type;
        const struct packed *packed = &i->packed[k];
        AUTO_FD int dir = -1, blob = -1;
        struct layer l = { .size = packed->size };
        uint64_t size;
        int r;

        if (is_kept(s, d)) {
                if (store_blob_open(s->store, d->digest, &blob, &size, e) < 0)
                        return -1;
                tell(s, i, k, size, TRANSFER_SAVING);
                r = put_file(s, layout_blob_name(&s->layout, d->digest), blob, size, d->digest, e);
                tell(s, i, k, size, TRANSFER_DONE);
                return r;
        }
        if (packed->fd < 0 && find_layer(s, i, k, &l, &dir, e) < 0)
                return -1;
        tell(s, i, k, l.size, TRANSFER_SAVING);
        d->digest = packed->fd < 0 ? i->c.diff_ids.v[k] : packed->digest;
        d->size = l.size;
        if (packed->fd < 0)
                r = put_tar(s, i, k, layout_blob_name(&s->layout, d->digest), &l, dir, e);
        else
                r = put_file(s, layout_blob_name(&s->layout, d->digest), packed->fd, d->size,
                             d->digest, e);
        if (r == 0 && !str_eq(d->digest, digest)) {
                i->changed = true;
                type = compose_layer_type(i->m.docker, compression);
                d->media_type = type ? type : d->media_type;
                d->annotations = (struct key_values){ 0 }; /* of zstd:chunked: about other bytes */
                d->urls = (struct strings){ 0 };
                d->data = NULL;
        }
        tell(s, i, k, l.size, TRANSFER_DONE);
        return r;
}

/* ---- docker-archive ---- */

static void docker_item(struct json_writer *w, struct saving *s, const struct saved *i)
{
        json_open(w, NULL, '{');
        json_put_str(w, "Config",
                     arena_printf(&s->arena, "%s.json", digest_hex(i->m.config.digest)));
        json_open(w, "RepoTags", '[');
        for (size_t k = 0; k < i->from->names.n; k++)
                json_put_str(w, NULL, i->from->names.v[k]);
        json_close(w, ']');
        json_open(w, "Layers", '[');
        for (size_t k = 0; k < i->c.diff_ids.n; k++)
                json_put_str(w, NULL,
                             arena_printf(&s->arena, "%s.tar", digest_hex(i->c.diff_ids.v[k])));
        json_close(w, ']');
        json_close(w, '}');
}

static int docker_image(struct saving *s, struct saved *i, struct err *e)
{
        const char *config = arena_printf(&s->arena, "%s.json", digest_hex(i->m.config.digest));

        for (size_t k = 0; k < i->c.diff_ids.n; k++) {
                AUTO_FD int dir = -1;
                struct layer l;

                if (find_layer(s, i, k, &l, &dir, e) < 0)
                        return -1;
                tell(s, i, k, l.size, TRANSFER_SAVING);
                if (put_tar(s, i, k,
                            arena_printf(&s->arena, "%s.tar", digest_hex(i->c.diff_ids.v[k])), &l,
                            dir, e) < 0)
                        return err_in(e, "layer %zu", k + 1);
                tell(s, i, k, l.size, TRANSFER_DONE);
        }
        if (sink_has(&s->sink, config))
                return 0;
        return sink_put(&s->sink, config, i->config, i->nconfig, e);
}

static int save_docker(struct saving *s, struct saved *images, size_t n, struct err *e)
{
        AUTO_BUF out = { 0 };
        struct json_writer w = { .out = &out };

        json_open(&w, NULL, '[');
        for (size_t i = 0; i < n; i++) {
                if (docker_image(s, &images[i], e) < 0)
                        return err_in(e, "image %s", images[i].from->image->id);
                docker_item(&w, s, &images[i]);
        }
        json_close(&w, ']');
        return sink_put(&s->sink, "manifest.json", out.s, out.len, e);
}

/* ---- what keeps blobs by digest ---- */

/* An OCI layout's manifests are OCI's: other readers than docker's may come. The configuration,
 * and with it the image's ID, stays byte for byte what it was. */
static void become_oci(struct saved *i)
{
        struct manifest *m = &i->m;

        if (!m->docker)
                return;
        m->docker = false;
        m->media_type = MEDIA_OCI_MANIFEST;
        m->config.media_type = MEDIA_OCI_CONFIG;
        for (size_t k = 0; k < m->nlayers; k++)
                m->layers[k].media_type =
                        compose_layer_type(false, compression_of(m->layers[k].media_type));
        i->changed = true;
}

/* zstd has no name in docker's schema 2. */
static bool needs_oci(const struct saving *s)
{
        return s->layout.kind == LAYOUT_OCI || str_eq0(s->o->compression, "zstd");
}

/* Writes the blobs and, where it is no file of its own, the manifest; ret describes that. */
static int put_image(struct saving *s, struct saved *i, struct descriptor *ret, struct err *e)
{
        const char *config = layout_blob_name(&s->layout, i->m.config.digest);
        AUTO_BUF out = { 0 };
        char digest[DIGEST_CAP];

        if (needs_oci(s))
                become_oci(i);
        if (pack_image(s, i, e) < 0)
                return -1;
        for (size_t k = 0; k < i->m.nlayers; k++) {
                if (put_layer(s, i, k, &i->m.layers[k], e) < 0)
                        return err_in(e, "layer %zu", k + 1);
                i->packed[k].fd = fd_close(i->packed[k].fd);
        }
        if (!sink_has(&s->sink, config) && sink_put(&s->sink, config, i->config, i->nconfig, e) < 0)
                return -1;
        if (i->changed) {
                compose_manifest(&i->m, &out);
                i->manifest = arena_strndup(&s->arena, buf_str(&out), out.len);
                i->nmanifest = out.len;
                s->exact = false;
        }
        hash_bytes(HASH_SHA256, i->manifest, i->nmanifest, digest);
        *ret = (struct descriptor){ .media_type = i->m.media_type,
                                    .digest = arena_strdup(&s->arena, digest),
                                    .size = i->nmanifest,
                                    .platform = i->c.platform };
        if (s->layout.kind == LAYOUT_DIR)
                return sink_put(&s->sink, "manifest.json", i->manifest, i->nmanifest, e);
        config = layout_blob_name(&s->layout, digest);
        return sink_has(&s->sink, config)
                       ? 0
                       : sink_put(&s->sink, config, i->manifest, i->nmanifest, e);
}

/* One entry for each name, or one without. */
static void add_entries(struct saving *s, const struct saved *i, const struct descriptor *d,
                        struct manifest *index)
{
        size_t n = MAX(i->from->names.n, (size_t)1);
        struct descriptor *v = arena_array(&s->arena, struct descriptor, index->nlayers + n);

        if (index->nlayers)
                memcpy(v, index->layers, index->nlayers * sizeof *v);
        index->layers = v;
        for (size_t k = 0; k < n; k++) {
                struct descriptor *entry = &v[index->nlayers++];

                *entry = *d;
                if (k < i->from->names.n) {
                        struct key_value *pairs = arena_array(&s->arena, struct key_value, 2);
                        const char *name = i->from->names.v[k];

                        pairs[0] = (struct key_value){ LAYOUT_NAME, name };
                        pairs[1] = (struct key_value){ LAYOUT_NAME_FULL, name };
                        entry->annotations =
                                (struct key_values){ pairs, strchr(name, '/') ? 2 : 1 };
                }
        }
}

/* What a layout that is added to has already, but for the names that it gets anew. */
static int old_entries(struct saving *s, const struct saved *images, size_t n,
                       struct manifest *index, struct err *e)
{
        struct members *members;
        struct layout_entry *entries;
        struct layout l = { .kind = LAYOUT_OCI, .arena = &s->arena };
        size_t count;
        int r;

        if (!s->o->add || faccessat(s->sink.fd, LAYOUT_INDEX, F_OK, 0) < 0)
                return 0;
        if (members_of_dir(s->sink.fd, &members, e) < 0)
                return -1;
        l.members = members;
        r = layout_entries(&l, &entries, &count, e);
        members_free(members);
        if (r < 0)
                return -1;
        index->layers = arena_array(&s->arena, struct descriptor, count + 1);
        for (size_t i = 0; i < count; i++) {
                bool replaced = false;

                for (size_t k = 0; k < n; k++)
                        for (size_t j = 0; j < images[k].from->names.n; j++)
                                replaced |= str_eq0(entries[i].name, images[k].from->names.v[j]);
                if (!replaced)
                        index->layers[index->nlayers++] = entries[i].descriptor;
        }
        return 0;
}

static int save_oci(struct saving *s, struct saved *images, size_t n, struct err *e)
{
        struct manifest index = { .kind = MANIFEST_INDEX };
        AUTO_BUF out = { 0 };

        if (old_entries(s, images, n, &index, e) < 0 ||
            sink_put(&s->sink, LAYOUT_FILE, LAYOUT_VERSION, strlen(LAYOUT_VERSION), e) < 0)
                return -1;
        for (size_t i = 0; i < n; i++) {
                struct descriptor d;

                if (put_image(s, &images[i], &d, e) < 0)
                        return err_in(e, "image %s", images[i].from->image->id);
                add_entries(s, &images[i], &d, &index);
        }
        compose_manifest(&index, &out);
        return sink_put(&s->sink, LAYOUT_INDEX, out.s, out.len, e);
}

static int save_dir(struct saving *s, struct saved *image, struct err *e)
{
        struct descriptor d;

        if (sink_put(&s->sink, "version", DIR_VERSION, strlen(DIR_VERSION), e) < 0)
                return -1;
        return put_image(s, image, &d, e);
}

/* ---- the whole ---- */

static int check_options(const struct archive_save_options *o, size_t n, struct err *e)
{
        static const char *const compressions[] = { "none", "gzip", "zstd" };

        if (o->compression && STR_INDEX(compressions, o->compression) < 0)
                return err_set(e, ERR_INVALID, "\"%s\" is no compression: none, gzip and zstd are",
                               o->compression);
        if (o->format == ARCHIVE_DOCKER && o->compression && !str_eq(o->compression, "none"))
                return err_set(e, ERR_INVALID,
                               "the layers of a docker-archive are never compressed");
        if (o->format == ARCHIVE_DOCKER_DIR && n != 1) {
                err_set(e, ERR_INVALID, "a docker-dir holds one image");
                return err_hint(e, "--format docker-archive and the OCI formats hold several.");
        }
        return 0;
}

static int save_all(struct saving *s, const struct archive_image *images, size_t n, struct err *e)
{
        struct saved *v = arena_array(&s->arena, struct saved, n + 1);
        int r = -1;

        for (size_t i = 0; i < n; i++)
                if (read_image(s, &images[i], &v[i], e) < 0)
                        return err_in(e, "image %s", images[i].image->id);
        switch (s->o->format) {
        case ARCHIVE_DOCKER:
                r = save_docker(s, v, n, e);
                break;
        case ARCHIVE_OCI:
        case ARCHIVE_OCI_DIR:
                r = save_oci(s, v, n, e);
                break;
        case ARCHIVE_DOCKER_DIR:
                r = save_dir(s, v, e);
                break;
        case ARCHIVE_FORMAT_MAX:
                return err_set(e, ERR_INTERNAL, "no format");
        }
        return r < 0 ? -1 : sink_finish(&s->sink, e);
}

int archive_save(struct store *store, const struct archive_image *images, size_t n,
                 const char *path, int out, const struct archive_save_options *o,
                 const struct watcher *w, const struct log *log, bool *ret_exact, struct err *e)
{
        bool tar = o->format == ARCHIVE_DOCKER || o->format == ARCHIVE_OCI;
        struct saving s = { .store = store, .o = o, .w = w, .log = log, .exact = true };
        struct archive_target t;
        int r;

        if (check_options(o, n, e) < 0 || archive_target_open(path, out, tar, o->add, &t, e) < 0)
                return -1;
        /* Interrupted, nothing half is left at path. */
        r = interrupts_catch(&s.interrupts, e);
        s.layout =
                (struct layout){ .kind = o->format == ARCHIVE_DOCKER_DIR ? LAYOUT_DIR : LAYOUT_OCI,
                                 .arena = &s.arena };
        sink_init(&s.sink, t.fd, tar);
        if (r == 0) {
                r = save_all(&s, images, n, e);
                interrupts_release(&s.interrupts);
        }
        sink_done(&s.sink);
        r = archive_target_close(&t, r == 0, e) < 0 ? -1 : r;
        if (r == 0)
                *ret_exact = s.exact;
        arena_done(&s.arena);
        return r;
}
