/* Reading images from the index: one statement a list, whatever its length. */
#include <fnmatch.h>
#include <stdio.h>

#include "base/str.h"
#include "image/reference.h"
#include "image/store-internal.h"

enum column {
        COL_DIGEST,
        COL_ID,
        COL_MEDIA_TYPE,
        COL_INDEX,
        COL_ARTIFACT,
        COL_OS,
        COL_ARCH,
        COL_VARIANT,
        COL_OS_VERSION,
        COL_SIZE,
        COL_CREATED,
        COL_ADDED,
        COL_LAYERS,
        COL_DIFF_IDS,
        COL_NAMES,
        COL_LABELS,
        COL_TAGS,
        COL_CONTAINERS,
        COL_REF /* of Q_IMAGE_BY_SUFFIX */
};

static void read_labels(struct arena *a, const char *text, struct key_values *ret)
{
        struct json j;

        if (*text && json_parse(a, text, strlen(text), NULL, &j, NULL) == 0)
                labels_read(a, &j, ret);
}

static struct image image_of(struct rows *r, struct arena *a)
{
        struct image i = { .digest = db_str(r, a, COL_DIGEST),
                           .id = db_str(r, a, COL_ID),
                           .media_type = db_str(r, a, COL_MEDIA_TYPE),
                           .index_digest = db_str(r, a, COL_INDEX),
                           .artifact_type = db_str(r, a, COL_ARTIFACT),
                           .platform = { .os = arena_strdup(a, db_text(r, COL_OS)),
                                         .architecture = arena_strdup(a, db_text(r, COL_ARCH)),
                                         .variant = arena_strdup(a, db_text(r, COL_VARIANT)),
                                         .os_version =
                                                 arena_strdup(a, db_text(r, COL_OS_VERSION)) },
                           .size = (uint64_t)db_int(r, COL_SIZE),
                           .created = db_int(r, COL_CREATED),
                           .added = db_int(r, COL_ADDED),
                           .layers = strings_split(a, db_text(r, COL_LAYERS)),
                           .diff_ids = strings_split(a, db_text(r, COL_DIFF_IDS)),
                           .containers = (uint32_t)db_int(r, COL_CONTAINERS) };
        struct strings digests = strings_split(a, db_text(r, COL_NAMES));

        i.names = strings_split(a, db_text(r, COL_TAGS));
        for (size_t k = 0; k < digests.n; k++)
                strings_add(a, &i.names, digests.v[k]);
        read_labels(a, db_text(r, COL_LABELS), &i.labels);
        i.containers += lease_held(r->store, i.digest);
        return i;
}

struct list {
        struct image *v;
        size_t n;
};

static void list_add(struct arena *a, struct list *l, struct image i)
{
        if ((l->n & (l->n - 1)) == 0) {
                struct image *grown = arena_array(a, struct image, l->n ? l->n * 2 : 1);

                if (l->n)
                        memcpy(grown, l->v, l->n * sizeof *grown);
                l->v = grown;
        }
        l->v[l->n++] = i;
}

static int read_images(struct store *s, struct arena *a, enum query q, const char *key,
                       struct list *ret, struct err *e)
{
        AUTO_ROWS rows = { 0 };
        int more;

        if (db_query(s, q, &rows, e, key ? "s" : "", key) < 0)
                return -1;
        while ((more = db_next(&rows)) > 0)
                list_add(a, ret, image_of(&rows, a));
        return more;
}

/* ---- lists ---- */

static bool has_tag(const struct image *i)
{
        return i->names.n > 0 && !strchr(i->names.v[0], '@');
}

bool image_name_matches(struct arena *a, const char *pattern, const char *name)
{
        struct reference r;
        const char *forms[4] = { name }, *local;

        if (reference_parse(a, name, &r, NULL) == 0) {
                forms[1] = reference_familiar(a, &r);
                forms[2] = reference_repository(a, &r);
                r.tag = r.digest = NULL;
                forms[3] = reference_familiar(a, &r);
        }
        for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
                if (forms[i] && fnmatch(pattern, forms[i], 0) == 0)
                        return true;
                /* Short names are looked for there, too: `run app` runs localhost/app. */
                local = forms[i] ? str_after(forms[i], "localhost/") : NULL;
                if (local && fnmatch(pattern, local, 0) == 0)
                        return true;
        }
        return false;
}

static bool passes(struct arena *a, const struct image_filter *f, const struct image *i,
                   const struct image *before, const struct image *since)
{
        bool named = !f->reference;

        for (size_t k = 0; !named && k < i->names.n; k++)
                named = image_name_matches(a, f->reference, i->names.v[k]);
        for (const char *const *l = f->labels; l && *l; l++)
                if (!key_values_match(&i->labels, *l))
                        return false;
        return named && (!before || i->created < before->created) &&
               (!since || i->created > since->created) && (!f->until || i->created < f->until) &&
               (f->dangling < 0 || f->dangling == !has_tag(i));
}

int store_images(struct store *s, struct arena *a, const struct image_filter *f, struct image **ret,
                 size_t *ret_n, struct err *e)
{
        struct image before, since;
        struct list l = { 0 };
        size_t n = 0;

        if (f && f->before && store_image_find(s, a, f->before, &before, e) < 0)
                return -1;
        if (f && f->since && store_image_find(s, a, f->since, &since, e) < 0)
                return -1;
        if (read_images(s, a, Q_IMAGES, NULL, &l, e) < 0)
                return -1;
        for (size_t i = 0; i < l.n; i++)
                if (!f ||
                    passes(a, f, &l.v[i], f->before ? &before : NULL, f->since ? &since : NULL))
                        l.v[n++] = l.v[i];
        *ret = l.v;
        *ret_n = n;
        return 0;
}

/* ---- finding one ---- */

/* 1: found; 0: not; -1 with e filled. */
static int one(struct store *s, struct arena *a, enum query q, const char *key, struct image *ret,
               struct err *e)
{
        struct list l = { 0 };

        if (read_images(s, a, q, key, &l, e) < 0)
                return -1;
        if (l.n > 0)
                *ret = l.v[0];
        return l.n > 0;
}

static int by_digest_name(struct store *s, struct arena *a, const struct reference *r,
                          struct image *ret, struct err *e)
{
        struct image i;
        int found = one(s, a, Q_IMAGE_BY_DIGEST, r->digest, &i, e);
        if (found == 0)
                found = one(s, a, Q_IMAGE_BY_ID, r->digest, &i, e);
        /* NAME@DIGEST: the name must be one that it has. */
        if (found <= 0)
                return found;
        for (size_t k = 0; k < i.names.n; k++) {
                struct reference have;

                if (reference_parse(a, i.names.v[k], &have, e) < 0)
                        return -1;
                if (str_eq(have.path, r->path) && (!r->host || str_eq0(have.host, r->host))) {
                        *ret = i;
                        return 1;
                }
                if (!r->host && str_ends(have.path, arena_printf(a, "/%s", r->path))) {
                        *ret = i;
                        return 1;
                }
        }
        return 0;
}

/* A short name: what is here under any registry; the usual ones first. */
static int by_short_name(struct store *s, struct arena *a, const struct reference *r,
                         struct image *ret, struct err *e)
{
        static const char *const hosts[] = { "localhost/", "docker.io/library/", "docker.io/" };
        const char *tag = r->tag ? r->tag : "latest";
        AUTO_ROWS rows = { 0 };
        int more, found = 0;
        AUTO_BUF names = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
                char *name = arena_printf(a, "%s%s:%s", hosts[i], r->path, tag);

                found = one(s, a, Q_IMAGE_BY_NAME, name, ret, e);
                if (found)
                        return found;
        }
        if (db_query(s, Q_IMAGE_BY_SUFFIX, &rows, e, "s", arena_printf(a, "/%s:%s", r->path, tag)) <
            0)
                return -1;
        while ((more = db_next(&rows)) > 0) {
                struct image i = image_of(&rows, a);

                buf_printf(&names, "%s%s", names.len ? ", " : "", db_text(&rows, COL_REF));
                if (found && !str_eq(ret->digest, i.digest))
                        found = 2;
                else if (!found)
                        found = 1;
                *ret = i;
        }
        if (more < 0)
                return -1;
        if (found > 1) {
                err_set(e, ERR_INVALID, "the name \"%s\" is ambiguous", r->path);
                return err_hint(e, "There are %s.", names.s);
        }
        return found;
}

static int by_name(struct store *s, struct arena *a, const char *text, struct image *ret,
                   struct err *e)
{
        struct reference r;
        int found = one(s, a, Q_IMAGE_BY_NAME, text, ret, e);

        if (found || reference_parse(a, text, &r, NULL) < 0)
                return found;
        if (r.digest)
                return by_digest_name(s, a, &r, ret, e);
        if (!r.host)
                return by_short_name(s, a, &r, ret, e);
        if (!r.tag)
                r.tag = "latest";
        return one(s, a, Q_IMAGE_BY_NAME, reference_str(a, &r), ret, e);
}

/* "4f2a", "sha256:4f2a": the beginning of an ID, or of a manifest's digest. */
static int by_prefix(struct store *s, struct arena *a, const char *text, struct image *ret,
                     struct err *e)
{
        const char *hex = str_after(text, "sha256:");
        struct list l = { 0 };
        AUTO_BUF ids = { 0 };

        hex = hex ? hex : text;
        if (!*hex || strlen(hex) > 64 || strspn(hex, "0123456789abcdef") != strlen(hex))
                return 0;
        if (read_images(s, a, Q_IMAGE_BY_ID, arena_printf(a, "sha256:%s", hex), &l, e) < 0)
                return -1;
        for (size_t i = 0; i < l.n; i++) {
                /* Manifests of one configuration (gzip and zstd) are one image to people. */
                if (i > 0 && !str_eq(l.v[i].id, l.v[0].id))
                        buf_printf(&ids, ", %.12s", digest_hex(l.v[i].id));
        }
        if (ids.len) {
                err_set(e, ERR_INVALID, "the ID \"%s\" is ambiguous", text);
                return err_hint(e, "It begins those of %.12s%s.", digest_hex(l.v[0].id), ids.s);
        }
        if (l.n > 0)
                *ret = l.v[0];
        return l.n > 0;
}

int store_image_find(struct store *s, struct arena *a, const char *text, struct image *ret,
                     struct err *e)
{
        int found = store_hold(s, e);
        enum hash_alg alg;
        struct image i;

        if (found < 0)
                return -1;
        if (digest_check(text, &alg) == 0)
                found = one(s, a, Q_IMAGE_BY_DIGEST, text, &i, e);
        if (found == 0)
                found = by_name(s, a, text, &i, e);
        if (found == 0)
                found = by_prefix(s, a, text, &i, e);
        store_release(s);
        if (found < 0)
                return -1;
        if (found == 0)
                return err_set(e, ERR_NOT_FOUND, "there is no image \"%.200s\" here", text);
        *ret = i;
        return 0;
}
