#include "cli/image-remove.h"

#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/commands/image.h"
#include "engine/events.h"
#include "image/manifest.h"

void image_say_untagged(struct arena *a, const char *name, struct buf *out)
{
        const char *repository, *tag, *digest;
        bool by_digest = strchr(name, '@') != NULL;

        name_split(a, name, &repository, &tag, &digest);
        buf_printf(out, "Untagged: %s%s%s\n", repository, by_digest ? "@" : ":",
                   by_digest ? digest : tag);
}

int image_remove_saying(struct store *s, struct arena *a, const struct image *i, struct buf *out,
                        struct err *e)
{
        if (store_image_remove(s, i->digest, false, e) < 0)
                return -1;
        event_image(s, "remove", i, NULL);
        for (size_t k = 0; k < i->names.n; k++)
                image_say_untagged(a, i->names.v[k], out);
        buf_printf(out, "Deleted: %s\n", i->id);
        /* Layers are named by the chain that ends with them, the uppermost first. */
        for (size_t k = MIN(i->diff_ids.n, i->layers.n); k-- > 0;) {
                char chain[DIGEST_CAP];
                struct layer l;

                chain_id(&i->diff_ids, k + 1, chain);
                if (store_layer_find(s, i->diff_ids.v[k], chain, &l, NULL) < 0)
                        buf_printf(out, "Deleted: %s\n", chain);
        }
        return 0;
}

int images_remove_all(struct ctx *c, struct store *s, const struct strings *digests, bool force,
                      struct buf *out)
{
        int status = 0;

        for (size_t k = 0; k < digests->n; k++) {
                struct err e = { 0 };
                struct image i;

                if (store_image_find(s, &c->arena, digests->v[k], &i, &e) < 0) {
                        if (e.code == ERR_NOT_FOUND)
                                continue;
                } else if (i.containers && !force) {
                        err_set(&e, ERR_STATE, "image \"%s\" is used by a container",
                                image_label(&c->arena, &i));
                } else if (!force && image_is_mounted(c, &i)) {
                        err_set(&e, ERR_STATE, "image \"%s\" is mounted",
                                image_label(&c->arena, &i));
                } else if (image_remove_saying(s, &c->arena, &i, out, &e) == 0) {
                        continue;
                }
                log_err(&c->log, LOG_LEVEL_ERROR, &e);
                status = 2;
        }
        return status;
}

static uint64_t bytes_of(const struct usage *u)
{
        return u->images.size + u->blobs.size + u->stages.size;
}

int images_prune(struct ctx *c, struct store *s, const struct image_filters *f, bool all,
                 unsigned flags, struct buf *out, uint64_t *ret_bytes, struct err *e)
{
        struct image_filters unused = *f;
        struct usage before, after;
        AUTO_BUF said = { 0 };
        struct image *v;
        size_t n;

        unused.containers = 0;
        if (!all)
                unused.f.dangling = 1;
        if (store_usage(s, &before, e) < 0 ||
            image_filters_list(s, &c->arena, &unused, &v, &n, e) < 0)
                return -1;
        for (size_t i = 0; i < n; i++)
                if (!image_is_mounted(c, &v[i]) &&
                    image_remove_saying(s, &c->arena, &v[i], &said, e) < 0)
                        return -1;
        if (store_collect(s, flags, NULL, e) < 0 || store_usage(s, &after, e) < 0)
                return -1;
        if (said.len)
                buf_printf(out, "Deleted Images:\n%s\n", said.s);
        *ret_bytes =
                bytes_of(&before) > bytes_of(&after) ? bytes_of(&before) - bytes_of(&after) : 0;
        event_prune(s, "image", *ret_bytes);
        return 0;
}
