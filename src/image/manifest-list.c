#include "image/manifest-list.h"

#include <string.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "image/compose.h"

void list_new(struct arena *a, const char *name, struct manifest_list *ret)
{
        *ret = (struct manifest_list){
                .arena = a,
                .m = { .kind = MANIFEST_INDEX, .media_type = MEDIA_OCI_INDEX },
                .name = name,
        };
}

static int read_index(struct store *s, struct arena *a, const char *digest, struct manifest *ret,
                      struct err *e)
{
        const char *text;
        size_t n;

        return store_blob_read(s, a, digest, MANIFEST_MAX, &text, &n, e) < 0
                       ? -1
                       : manifest_parse(a, text, n, NULL, ret, e);
}

/* The tag of i that text means: the only one, or the one that ends so. */
static const char *name_of(const struct image *i, const char *text)
{
        const char *found = NULL;

        for (size_t k = 0; k < i->names.n; k++) {
                const char *name = i->names.v[k];

                if (strchr(name, '@'))
                        continue;
                if (!found || strstr(name, text))
                        found = name;
        }
        return found;
}

int list_open(struct store *s, struct arena *a, const char *text, struct manifest_list *ret,
              struct err *e)
{
        struct manifest_list l = { .arena = a };
        struct image i;

        if (store_image_find(s, a, text, &i, e) < 0 || read_index(s, a, i.digest, &l.m, e) < 0)
                return -1;
        if (l.m.kind != MANIFEST_INDEX)
                return err_set(e, ERR_INVALID, "\"%s\" is an image, no manifest list", text);
        l.digest = i.digest;
        l.name = name_of(&i, text);
        if (!l.name)
                return err_set(e, ERR_INVALID, "the manifest list \"%s\" has no name", text);
        *ret = l;
        return 0;
}

/* ---- entries ---- */

static void put_annotations(struct arena *a, struct key_values *to, const struct key_values *from)
{
        struct key_value *v;

        if (from->n == 0)
                return;
        v = arena_array(a, struct key_value, to->n + from->n);
        if (to->n)
                memcpy(v, to->v, to->n * sizeof *v);
        to->v = v;
        for (size_t i = 0; i < from->n; i++) {
                size_t at = 0;

                while (at < to->n && !str_eq(v[at].key, from->v[i].key))
                        at++;
                v[at] = from->v[i];
                to->n = MAX(to->n, at + 1);
        }
}

void list_change(struct manifest_list *l, struct descriptor *d, const struct list_changes *c)
{
        if (c->os)
                d->platform.os = c->os;
        if (c->architecture)
                d->platform.architecture = c->architecture;
        if (c->variant)
                d->platform.variant = c->variant;
        if (c->os_version)
                d->platform.os_version = c->os_version;
        put_annotations(l->arena, &d->annotations, &c->annotations);
}

void list_annotate(struct manifest_list *l, const struct key_values *annotations)
{
        put_annotations(l->arena, &l->m.annotations, annotations);
}

/* Over the entry of the same digest, or behind the last. */
static struct descriptor *put(struct manifest_list *l, const struct descriptor *d)
{
        struct descriptor *v;

        for (size_t i = 0; i < l->m.nlayers; i++)
                if (str_eq(l->m.layers[i].digest, d->digest)) {
                        l->m.layers[i] = *d;
                        return &l->m.layers[i];
                }
        v = arena_array(l->arena, struct descriptor, l->m.nlayers + 1);
        if (l->m.nlayers)
                memcpy(v, l->m.layers, l->m.nlayers * sizeof *v);
        v[l->m.nlayers] = *d;
        l->m.layers = v;
        return &v[l->m.nlayers++];
}

/* The index that i is, or, where all of it is wanted, was chosen from. */
static int index_of(struct store *s, struct arena *a, const struct image *i, bool all,
                    struct manifest *ret, struct err *e)
{
        const char *digest = all && i->index_digest ? i->index_digest : i->digest;

        return read_index(s, a, digest, ret, e);
}

static int add_image(struct store *s, struct manifest_list *l, const struct image *i,
                     const struct list_changes *c, struct err *e)
{
        struct descriptor d = { .media_type = i->media_type,
                                .digest = i->digest,
                                .artifact_type = i->artifact_type,
                                .platform = i->platform };
        AUTO_FD int fd = -1;

        if (store_blob_open(s, i->digest, &fd, &d.size, e) < 0)
                return -1;
        list_change(l, put(l, &d), c);
        return 0;
}

static int add_entry(struct store *s, struct manifest_list *l, const struct descriptor *d,
                     const struct list_changes *c, struct err *e)
{
        if (!store_blob_has(s, d->digest)) {
                err_set(e, ERR_STATE, "the image for %s is not here",
                        platform_str(l->arena, &d->platform));
                return err_hint(e, "Pull it with --all-platforms first.");
        }
        list_change(l, put(l, d), c);
        return 0;
}

int list_add(struct store *s, struct manifest_list *l, const struct image *i, bool all,
             const struct list_changes *c, struct err *e)
{
        const struct descriptor *mine;
        struct platform host;
        struct manifest m;

        if (index_of(s, l->arena, i, all, &m, e) < 0)
                return -1;
        if (m.kind == MANIFEST_IMAGE)
                return add_image(s, l, i, c, e);
        if (!all) {
                platform_host(&host);
                return manifest_choose(&m, &host, &mine, e) < 0 ? -1 : add_entry(s, l, mine, c, e);
        }
        for (size_t k = 0; k < m.nlayers; k++)
                if (add_entry(s, l, &m.layers[k], c, e) < 0)
                        return -1;
        return 0;
}

static struct descriptor *by_digest(const struct manifest_list *l, const char *digest)
{
        for (size_t k = 0; digest && k < l->m.nlayers; k++)
                if (str_eq(l->m.layers[k].digest, digest))
                        return &l->m.layers[k];
        return NULL;
}

int list_find(struct store *s, const struct manifest_list *l, const char *text,
              struct descriptor **ret, struct err *e)
{
        struct descriptor *d = by_digest(l, text);
        struct image i;

        if (!d && store_image_find(s, l->arena, text, &i, NULL) == 0)
                d = by_digest(l, i.digest);
        if (!d)
                return err_set(e, ERR_NOT_FOUND, "\"%s\" is not in the manifest list \"%s\"", text,
                               l->name);
        *ret = d;
        return 0;
}

void list_drop(struct manifest_list *l, struct descriptor *d)
{
        size_t k = (size_t)(d - l->m.layers);

        memmove(d, d + 1, (l->m.nlayers - k - 1) * sizeof *d);
        l->m.nlayers--;
}

/* ---- storing ---- */

/* What the name pointed at before, once it has no other. */
static int drop_old(struct store *s, struct arena *a, const char *digest, struct err *e)
{
        struct image old;

        if (store_image_find(s, a, digest, &old, NULL) < 0 || old.names.n)
                return 0;
        return store_image_remove(s, digest, false, e);
}

int list_save(struct store *s, struct manifest_list *l, struct err *e)
{
        const char *names[] = { l->name };
        struct image i = { .media_type = l->m.media_type,
                           .platform = { "", "", "", "" },
                           .names = { names, 1 } };
        AUTO_BUF text = { 0 };
        char digest[DIGEST_CAP];
        int lease, r;

        compose_manifest(&l->m, &text);
        if (text.len > MANIFEST_MAX)
                return err_set(e, ERR_LIMIT, "the manifest list would be too large");
        if (store_lease(s, "adding", &lease, e) < 0)
                return -1;
        r = store_blob_put(s, text.s, text.len, NULL, digest, e);
        i.digest = i.id = digest;
        if (r == 0 && compose_time(&i.created, e) < 0)
                r = -1;
        if (r == 0)
                r = store_image_add(s, &i, e);
        store_lease_end(s, lease);
        if (r == 0 && l->digest && !str_eq(l->digest, digest))
                r = drop_old(s, l->arena, l->digest, e);
        if (r == 0)
                l->digest = arena_strdup(l->arena, digest);
        return r;
}
