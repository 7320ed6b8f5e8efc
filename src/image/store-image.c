/* Images and tags: recording, pointing at, removing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "base/str.h"
#include "image/store-internal.h"

/* ---- what an image is made of ---- */

/* The digests that a manifest or index names, of blobs that may be here. */
static void named_blobs(const struct json *j, struct arena *a, struct strings *ret)
{
        static const char *const lists[] = { "layers", "manifests" };
        const char *digest = json_str(json_path(j, "config.digest"), NULL);

        if (digest)
                strings_add(a, ret, arena_strdup(a, digest));
        for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
                const struct json *list = json_get(j, lists[i]);

                if (!list || list->type != JSON_ARRAY)
                        continue;
                for (uint32_t k = 0; k < list->n; k++) {
                        digest = json_str(json_get(&list->items[k], "digest"), NULL);
                        if (digest)
                                strings_add(a, ret, arena_strdup(a, digest));
                }
        }
}

int image_uses(struct store *s, struct arena *a, const struct image *i, struct strings *ret,
               struct err *e)
{
        AUTO_ARENA tree = { 0 };
        const char *text;
        struct json j;
        size_t n;

        if (store_blob_read(s, &tree, i->digest, MANIFEST_MAX, &text, &n, e) < 0)
                return -1;
        if (json_parse(&tree, text, n, NULL, &j, NULL) < 0)
                return err_set(e, ERR_INVALID, "manifest %s is no JSON", i->digest);
        strings_add(a, ret, i->digest);
        strings_add(a, ret, i->id);
        if (i->index_digest)
                strings_add(a, ret, i->index_digest);
        named_blobs(&j, a, ret);
        for (size_t k = 0; k < i->layers.n; k++)
                strings_add(a, ret, i->layers.v[k]);
        return 0;
}

int image_present(struct store *s, const struct image *i, struct err *e)
{
        int layers = store_sub(s, SUB_LAYERS, e);
        struct stat st;

        if (layers < 0)
                return -1;
        if (!store_blob_has(s, i->digest))
                return err_set(e, ERR_STATE, "image %s: its manifest is not in the store",
                               i->digest);
        if (!store_blob_has(s, i->id))
                return err_set(e, ERR_STATE, "image %s: its configuration %s is not in the store",
                               i->digest, i->id);
        for (size_t k = 0; k < i->layers.n; k++) {
                AUTO_FREE char *path = mem_printf("%s/meta.json", i->layers.v[k]);

                if (fstatat(layers, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return err_set(e, ERR_STATE, "image %s: layer %s is not in the store",
                                       i->digest, i->layers.v[k]);
        }
        return 0;
}

/* ---- the index ---- */

int index_image(struct store *s, const struct image *i, struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF labels = { 0 };
        struct json_writer w = { .out = &labels };
        struct strings uses = { 0 };

        json_put_key_values(&w, NULL, &i->labels);
        if (image_uses(s, &a, i, &uses, e) < 0)
                return -1;
        if (db_run(s, Q_IMAGE_ADD, e, "sssssssssiiissss", i->digest, i->id, i->media_type,
                   i->index_digest, i->artifact_type, i->platform.os, i->platform.architecture,
                   i->platform.variant, i->platform.os_version, (int64_t)i->size, i->created,
                   i->added, strings_join(&a, &i->layers), strings_join(&a, &i->diff_ids),
                   strings_join(&a, &i->names), i->labels.n ? labels.s : "") < 0)
                return -1;
        for (size_t k = 0; k < uses.n; k++)
                if (db_run(s, Q_USES_ADD, e, "ss", i->digest, uses.v[k]) < 0)
                        return -1;
        return 0;
}

/* ---- adding ---- */

static int write_record(struct store *s, enum store_sub sub, const char *name,
                        const struct buf *text, struct err *e)
{
        int dir = store_sub(s, sub, e), r;

        if (dir < 0)
                return -1;
        r = fd_replace_at(dir, name, text->s, text->len, 0600, true);
        return r < 0 ? err_sys(e, r, "cannot write \"%s/%s/%s\"", s->path, store_sub_names[sub],
                               name)
                     : 0;
}

static int write_ref(struct store *s, const char *name, const char *digest, struct err *e)
{
        AUTO_BUF text = { 0 };
        char file[DIGEST_CAP];

        record_ref_file(name, file);
        record_ref_write(name, digest, &text);
        if (write_record(s, SUB_REFS, file, &text, e) < 0)
                return -1;
        return db_run(s, Q_REF_SET, e, "ss", name, digest);
}

/* The tar sizes of its layers, and whether all are known. */
static int sum_layers(struct store *s, struct image *i, struct err *e)
{
        i->size = 0;
        for (size_t k = 0; k < i->layers.n; k++) {
                AUTO_ROWS rows = { 0 };
                int r;

                if (db_query(s, Q_LAYER_GET, &rows, e, "s", i->layers.v[k]) < 0 ||
                    (r = db_next(&rows)) < 0)
                        return -1;
                if (r > 0)
                        i->size += (uint64_t)db_int(&rows, 3);
        }
        return 0;
}

/* Takes over what an earlier record of the same image says, and sorts its names. */
static void merge(struct store *s, struct arena *a, struct image *i, struct strings *ret_tags)
{
        int dir = store_sub(s, SUB_IMAGES, NULL);
        struct strings given = i->names;
        struct image old;

        i->names = (struct strings){ 0 };
        if (dir >= 0 && record_image_read(dir, digest_hex(i->digest), a, &old, NULL) == 0) {
                i->names = old.names;
                i->added = old.added;
                if (!i->index_digest)
                        i->index_digest = old.index_digest;
        }
        for (size_t k = 0; k < given.n; k++) {
                if (!strchr(given.v[k], '@'))
                        strings_add(a, ret_tags, given.v[k]);
                else if (!strings_has(&i->names, given.v[k]))
                        strings_add(a, &i->names, given.v[k]);
        }
        if (!i->added)
                i->added = time(NULL);
}

static int add(struct store *s, const struct image *given, struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF text = { 0 };
        struct image i = *given;
        struct strings tags = { 0 };

        if (!i.id)
                i.id = i.digest;
        merge(s, &a, &i, &tags);
        if (image_present(s, &i, e) < 0 || sum_layers(s, &i, e) < 0)
                return -1;
        record_image_write(&i, &text);
        if (write_record(s, SUB_IMAGES, digest_hex(i.digest), &text, e) < 0 ||
            index_image(s, &i, e) < 0)
                return -1;
        for (size_t k = 0; k < tags.n; k++)
                if (write_ref(s, tags.v[k], i.digest, e) < 0)
                        return -1;
        return 0;
}

int store_image_add(struct store *s, const struct image *i, struct err *e)
{
        enum hash_alg alg;

        if (!i->digest || digest_check(i->digest, &alg) < 0 ||
            (i->id && digest_check(i->id, &alg) < 0))
                return err_set(e, ERR_INVALID, "an image is added without a digest");
        if (store_begin(s, e) < 0)
                return -1;
        if (add(s, i, e) < 0) {
                store_abort(s);
                return -1;
        }
        return store_commit(s, 1u << SUB_IMAGES | 1u << SUB_REFS, e);
}

/* ---- tags ---- */

/* 1: there; 0: not; -1 with e filled. */
static int image_known(struct store *s, const char *digest, struct err *e)
{
        AUTO_ROWS rows = { 0 };

        if (db_query(s, Q_IMAGE_BY_DIGEST, &rows, e, "s", digest) < 0)
                return -1;
        return db_next(&rows);
}

int store_tag(struct store *s, const char *name, const char *digest, struct err *e)
{
        int known;

        if (str_empty(name) || strpbrk(name, " @"))
                return err_set(e, ERR_INVALID, "\"%.200s\" can't be a tag", name);
        if (store_begin(s, e) < 0)
                return -1;
        known = image_known(s, digest, e);
        if (known == 0)
                err_set(e, ERR_NOT_FOUND, "image %s is not in the store", digest);
        if (known <= 0 || write_ref(s, name, digest, e) < 0) {
                store_abort(s);
                return store_full_hint(s, e);
        }
        return store_commit(s, 1u << SUB_REFS, e);
}

/* The tag's file and its row; within a transaction. */
static int drop_ref(struct store *s, const char *name, struct err *e)
{
        int dir = store_sub(s, SUB_REFS, e);
        char file[DIGEST_CAP];

        if (dir < 0)
                return -1;
        record_ref_file(name, file);
        if (unlinkat(dir, file, 0) < 0 && errno != ENOENT)
                return err_sys(e, errno, "cannot remove the tag \"%s\"", name);
        return db_run(s, Q_REF_DEL, e, "s", name);
}

static int ref_known(struct store *s, const char *name, struct err *e)
{
        AUTO_ROWS rows = { 0 };

        if (db_query(s, Q_REF_GET, &rows, e, "s", name) < 0)
                return -1;
        return db_next(&rows);
}

int store_untag(struct store *s, const char *name, struct err *e)
{
        int known, refs;

        if (store_begin(s, e) < 0)
                return -1;
        known = ref_known(s, name, e);
        if (known == 0)
                err_set(e, ERR_NOT_FOUND, "there is no tag \"%s\"", name);
        if (known <= 0 || drop_ref(s, name, e) < 0) {
                store_abort(s);
                return -1;
        }
        if (store_commit(s, 1u << SUB_REFS, e) < 0)
                return -1;
        refs = store_sub(s, SUB_REFS, e);
        return refs >= 0 && fsync(refs) == 0
                       ? 0
                       : err_sys(e, errno, "cannot flush \"%s/refs\"", s->path);
}

/* ---- removing ---- */

/* Tags first: without them it is an image without names, which is a state of its own; with its
 * record goes the image, durably before anything of it does (S3). */
static int unrecord(struct store *s, const char *digest, struct err *e)
{
        AUTO_ARENA a = { 0 };
        struct strings names = { 0 };
        int images = store_sub(s, SUB_IMAGES, e), more;

        if (images < 0)
                return -1;
        {
                AUTO_ROWS rows = { 0 };

                if (db_query(s, Q_REF_OF, &rows, e, "s", digest) < 0)
                        return -1;
                while ((more = db_next(&rows)) > 0)
                        strings_add(&a, &names, db_str(&rows, &a, 0));
                if (more < 0)
                        return -1;
        }
        for (size_t i = 0; i < names.n; i++)
                if (drop_ref(s, names.v[i], e) < 0)
                        return -1;
        if (unlinkat(images, digest_hex(digest), 0) < 0 && errno != ENOENT)
                return err_sys(e, errno, "cannot remove the record of image %s", digest);
        if (fsync(images) < 0)
                return err_sys(e, errno, "cannot flush \"%s/images\"", s->path);
        return db_run(s, Q_IMAGE_DEL, e, "s", digest);
}

int store_image_remove(struct store *s, const char *digest, bool wait, struct err *e)
{
        unsigned changed = 1u << SUB_IMAGES | 1u << SUB_REFS | 1u << SUB_LAYERS;
        int known;

        if (store_begin(s, e) < 0)
                return -1;
        known = image_known(s, digest, e);
        if (known == 0)
                err_set(e, ERR_NOT_FOUND, "image %s is not in the store", digest);
        if (known <= 0 || unrecord(s, digest, e) < 0 || sweep(s, NULL, e) < 0) {
                store_abort(s);
                return -1;
        }
        if (store_commit(s, changed, e) < 0)
                return -1;
        return trash_empty(s, wait, e);
}
