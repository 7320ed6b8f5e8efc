#include "image/push.h"

#include <string.h>

#include "base/str.h"
#include "image/compose.h"
#include "image/push-internal.h"

/* ---- reading ---- */

/* Attestations have an image's configuration, and other things than layers. */
static bool has_layers(const struct manifest *m)
{
        for (size_t k = 0; k < m->nlayers; k++)
                if (!str_after(m->layers[k].media_type, "application/vnd.oci.image.layer.") &&
                    !str_after(m->layers[k].media_type, "application/vnd.docker.image.rootfs."))
                        return false;
        return true;
}

static int read_manifest(struct push *p, const char *digest, const char *media_type,
                         struct push_document *ret, struct err *e)
{
        struct push_document x = { .digest = digest };
        const char *config;
        size_t n;

        if (store_blob_read(p->store, p->arena, digest, MANIFEST_MAX, &x.text, &x.n, e) < 0 ||
            manifest_parse(p->arena, x.text, x.n, media_type, &x.m, e) < 0)
                return -1;
        if (x.m.kind == MANIFEST_IMAGE && manifest_is_image(&x.m)) {
                if (store_blob_read(p->store, p->arena, x.m.config.digest, CONFIG_MAX, &config, &n,
                                    e) < 0 ||
                    image_config_parse(p->arena, config, n, &x.c, e) < 0)
                        return -1;
                x.layered = x.c.diff_ids.n == x.m.nlayers && has_layers(&x.m);
        }
        *ret = x;
        return 0;
}

/* The options that the manifest's format has to follow. */
static int apply_format(const struct push_options *o, struct push_document *x, struct err *e)
{
        bool zstd = o->compression && str_eq(o->compression, "zstd");

        if (!x->layered)
                return 0;
        if (o->format == PUSH_DOCKER && zstd)
                return err_set(e, ERR_INVALID, "docker's format has no zstd: use --format oci");
        if (o->format == PUSH_DOCKER)
                return push_convert(x, true, e);
        return o->format == PUSH_OCI || zstd ? push_convert(x, false, e) : 0;
}

/* ---- one manifest ---- */

static void compose(struct push *p, struct push_document *x, struct pushed *ret)
{
        AUTO_BUF out = { 0 };

        if (x->changed) {
                compose_manifest(&x->m, &out);
                x->text = arena_strndup(p->arena, buf_str(&out), out.len);
                x->n = out.len;
                hash_bytes(HASH_SHA256, x->text, x->n, ret->digest);
        } else {
                snprintf(ret->digest, sizeof ret->digest, "%s", x->digest);
        }
        ret->size = x->n;
        ret->exact = str_eq(ret->digest, x->digest);
}

/* name: a tag or digest; NULL: its own digest. */
static int push_document(struct push *p, struct push_document *x, const char *name,
                         struct pushed *ret, struct err *e)
{
        if (push_blobs(p, x, e) < 0)
                return -1;
        compose(p, x, ret);
        return fetch_put_manifest(p->fetch, name ? name : ret->digest, x->m.media_type, x->text,
                                  x->n, e);
}

/* ---- indexes ---- */

static int entries_read(struct push *p, const struct push_document *index,
                        struct push_document *ret, struct err *e)
{
        for (size_t i = 0; i < index->m.nlayers; i++) {
                const struct descriptor *d = &index->m.layers[i];

                if (!store_blob_has(p->store, d->digest)) {
                        err_set(e, ERR_STATE, "the image for %s is not here",
                                platform_str(p->arena, &d->platform));
                        return err_hint(e, "Pull it with --all-platforms first.");
                }
                if (read_manifest(p, d->digest, d->media_type, &ret[i], e) < 0)
                        return -1;
                if (ret[i].m.kind == MANIFEST_INDEX)
                        return err_set(e, ERR_UNSUPPORTED, "it is an index of indexes");
                if (apply_format(p->options, &ret[i], e) < 0)
                        return -1;
        }
        return 0;
}

/* What the entry names has become something else. */
static void entry_update(struct push *p, struct push_document *index, size_t i,
                         const struct push_document *entry, const struct pushed *pushed)
{
        struct descriptor *d = &index->m.layers[i];

        if (pushed->exact)
                return;
        d->digest = arena_strdup(p->arena, pushed->digest);
        d->size = pushed->size;
        d->media_type = entry->m.media_type;
        d->data = NULL;
        if (index->m.docker && !entry->m.docker) {
                index->m.docker = false;
                index->m.media_type = MEDIA_OCI_INDEX;
        }
        index->changed = true;
}

static void index_format(const struct push *p, struct push_document *index)
{
        bool docker = p->options->format == PUSH_DOCKER;

        if (p->options->format == PUSH_AS_IT_IS || index->m.docker == docker)
                return;
        index->m.docker = docker;
        index->m.media_type = docker ? MEDIA_DOCKER_LIST : MEDIA_OCI_INDEX;
        index->changed = true;
}

/* ---- the whole ---- */

static void rows_make(struct push *p, const struct push_document *x, size_t n)
{
        unsigned at = 0;

        for (size_t i = 0; i < n; i++)
                p->nrows += (unsigned)x[i].m.nlayers;
        p->rows = arena_array(p->arena, struct push_row, p->nrows + 1); /* one for configurations */
        p->known = arena_array(p->arena, struct push_known, p->nrows + n);
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < x[i].m.nlayers; k++, at++) {
                        const struct descriptor *d = &x[i].m.layers[k];

                        p->rows[at].t = (struct transfer){ .n = at,
                                                           .of = p->nrows,
                                                           .digest = d->digest,
                                                           .size = d->size,
                                                           .state = TRANSFER_WAITING };
                        if (p->watcher && p->watcher->transfer)
                                p->watcher->transfer(p->watcher->ctx, &p->rows[at].t);
                }
}

/* Pushes n manifests, by their digests where an index follows that names them. */
static int send(struct push *p, struct push_document *x, size_t n, struct push_document *index,
                const char *name, struct pushed *ret, struct err *e)
{
        struct fetch_options options = p->options->fetch;

        rows_make(p, x, n);
        options.push = true;
        for (size_t i = 0; i < n; i++)
                push_mount_sources(p, &x[i], &options.mount_from);
        if (fetch_open(&p->to, &options, p->log, &p->fetch, e) < 0)
                return -1;
        fetch_interruptible(p->fetch, &p->interrupts);
        for (size_t i = 0; i < n; i++) {
                if (push_document(p, &x[i], index ? NULL : name, ret, e) < 0)
                        return -1;
                if (index)
                        entry_update(p, index, i, &x[i], ret);
        }
        if (!index)
                return 0;
        index_format(p, index);
        compose(p, index, ret);
        return fetch_put_manifest(p->fetch, name, index->m.media_type, index->text, index->n, e);
}

static int push_index(struct push *p, const char *digest, const char *name, struct pushed *ret,
                      struct err *e)
{
        struct push_document index, *entries;

        if (read_manifest(p, digest, NULL, &index, e) < 0)
                return -1;
        entries = arena_array(p->arena, struct push_document, index.m.nlayers + 1);
        return entries_read(p, &index, entries, e) < 0
                       ? -1
                       : send(p, entries, index.m.nlayers, &index, name, ret, e);
}

static int push_any(struct push *p, const struct image *i, const char *name, struct pushed *ret,
                    struct err *e)
{
        struct push_document x;

        if (p->options->all && i->index_digest)
                return push_index(p, i->index_digest, name, ret, e);
        if (read_manifest(p, i->digest, i->media_type, &x, e) < 0)
                return -1;
        if (x.m.kind == MANIFEST_INDEX)
                return push_index(p, i->digest, name, ret, e);
        return apply_format(p->options, &x, e) < 0 ? -1 : send(p, &x, 1, NULL, name, ret, e);
}

/* U4 */
static void give_up(struct push *p)
{
        int r = p->fetch ? fetch_give_up(p->fetch) : 0;

        if (r > 0)
                push_note(p, "what was uploaded in part has been deleted at the registry");
        else if (r < 0)
                push_note(p, "the registry keeps what was uploaded in part until it forgets it");
}

int image_push(struct store *s, struct arena *a, const struct image *i, const struct reference *to,
               const struct push_options *o, const struct watcher *w, const struct log *log,
               struct pushed *ret, struct err *e)
{
        struct push p = {
                .store = s, .arena = a, .options = o, .watcher = w, .log = log, .to = *to
        };
        int r;

        if (interrupts_catch(&p.interrupts, e) < 0)
                return -1;
        reference_default(a, &p.to);
        p.repository = reference_repository(a, &p.to);
        r = push_any(&p, i, p.to.digest ? p.to.digest : p.to.tag, ret, e);
        if (r < 0)
                give_up(&p);
        else
                fetch_close(p.fetch);
        interrupts_release(&p.interrupts);
        return r < 0 ? err_in(e, "cannot push to \"%s\"", reference_str(a, &p.to)) : 0;
}
