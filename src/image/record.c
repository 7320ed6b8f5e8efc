#include "image/record.h"

#include "base/str.h"
#include "image/manifest.h"

static int put_blobs(struct store *s, struct arena *a, const struct record *r, struct image *i,
                     struct err *e)
{
        char digest[DIGEST_CAP];

        if (store_blob_put(s, r->config, r->nconfig, NULL, digest, e) < 0)
                return err_in(e, "image configuration");
        i->id = arena_strdup(a, digest);
        if (r->index) {
                if (store_blob_put(s, r->index, r->nindex, NULL, digest, e) < 0)
                        return err_in(e, "image index");
                i->index_digest = arena_strdup(a, digest);
        }
        if (store_blob_put(s, r->manifest, r->nmanifest, NULL, digest, e) < 0)
                return err_in(e, "image manifest");
        i->digest = arena_strdup(a, digest);
        return 0;
}

static void describe_layers(struct arena *a, const struct record *r, struct image *i)
{
        i->layers = (struct strings){ arena_array(a, const char *, r->nlayers + 1), r->nlayers };
        for (size_t k = 0; k < r->nlayers; k++) {
                i->layers.v[k] = arena_strdup(a, r->layers[k].key);
                i->size += r->layers[k].size;
        }
}

int image_record(struct store *s, struct arena *a, const struct record *r, struct image *ret,
                 struct err *e)
{
        struct image_config c = { 0 };
        struct manifest m = { 0 };
        struct image i = { 0 };

        if (manifest_parse(a, r->manifest, r->nmanifest, NULL, &m, e) < 0 ||
            image_config_parse(a, r->config, r->nconfig, &c, e) < 0 ||
            put_blobs(s, a, r, &i, e) < 0)
                return -1;
        i.media_type = m.media_type;
        i.artifact_type = m.artifact_type;
        i.platform = c.platform;
        i.created = image_time(c.created);
        i.diff_ids = c.diff_ids;
        i.labels = c.labels;
        describe_layers(a, r, &i);
        i.names = r->names;
        if (store_image_add(s, &i, e) < 0)
                return -1;
        *ret = i;
        return 0;
}
