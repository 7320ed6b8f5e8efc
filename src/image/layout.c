#include "image/layout.h"

#include <errno.h>

#include "base/fd.h"
#include "base/str.h"
#include "codec/hash.h"
#include "codec/json.h"

#define DIR_MANIFEST "manifest.json"

static const char *annotation(const struct descriptor *d, const char *key)
{
        for (size_t i = 0; i < d->annotations.n; i++)
                if (str_eq(d->annotations.v[i].key, key) && !str_empty(d->annotations.v[i].value))
                        return d->annotations.v[i].value;
        return NULL;
}

/* imageLayoutVersion is 1.0.0 since 2017; another major version may mean anything. */
static int check_version(const struct layout *l, struct err *e)
{
        const char *text, *version;
        struct json j;
        size_t n;

        if (members_read(l->members, l->arena, LAYOUT_FILE, 4096, &text, &n, e) < 0)
                return err_in(e, "no OCI image layout");
        if (json_parse(l->arena, text, n, NULL, &j, NULL) < 0 ||
            !(version = json_str(json_get(&j, "imageLayoutVersion"), NULL)))
                return err_set(e, ERR_INVALID, "\"" LAYOUT_FILE "\" is malformed");
        if (!str_after(version, "1."))
                return err_set(e, ERR_UNSUPPORTED, "image layout version \"%s\" is not known",
                               version);
        return 0;
}

static int entries_of_index(const struct layout *l, struct layout_entry **ret, size_t *ret_n,
                            struct err *e)
{
        struct layout_entry *v;
        struct manifest m = { 0 };
        const char *text;
        size_t n;

        if (check_version(l, e) < 0)
                return -1;
        if (members_read(l->members, l->arena, LAYOUT_INDEX, MANIFEST_MAX, &text, &n, e) < 0)
                return -1;
        if (manifest_parse(l->arena, text, n, MEDIA_OCI_INDEX, &m, e) < 0)
                return err_in(e, "\"" LAYOUT_INDEX "\"");
        v = arena_array(l->arena, struct layout_entry, m.nlayers + 1);
        for (size_t i = 0; i < m.nlayers; i++) {
                const char *full = annotation(&m.layers[i], LAYOUT_NAME_FULL);

                v[i].descriptor = m.layers[i];
                v[i].full = full != NULL;
                v[i].name = full ? full : annotation(&m.layers[i], LAYOUT_NAME);
        }
        *ret = v;
        *ret_n = m.nlayers;
        return 0;
}

static int entry_of_dir(const struct layout *l, struct layout_entry **ret, size_t *ret_n,
                        struct err *e)
{
        struct layout_entry *v = arena_new(l->arena, struct layout_entry);
        char digest[DIGEST_CAP];
        struct manifest m = { 0 };
        size_t n;

        if (members_read(l->members, l->arena, DIR_MANIFEST, MANIFEST_MAX, &v->data, &n, e) < 0)
                return -1;
        if (manifest_parse(l->arena, v->data, n, NULL, &m, e) < 0)
                return err_in(e, "\"" DIR_MANIFEST "\"");
        hash_bytes(HASH_SHA256, v->data, n, digest);
        v->descriptor.media_type = m.media_type;
        v->descriptor.digest = arena_strdup(l->arena, digest);
        v->descriptor.size = n;
        v->descriptor.platform = (struct platform){ "", "", "", "" };
        *ret = v;
        *ret_n = 1;
        return 0;
}

int layout_entries(const struct layout *l, struct layout_entry **ret, size_t *ret_n, struct err *e)
{
        return l->kind == LAYOUT_DIR ? entry_of_dir(l, ret, ret_n, e)
                                     : entries_of_index(l, ret, ret_n, e);
}

/* digest has been checked where it was parsed: it can be part of a name. */
char *layout_blob_name(const struct layout *l, const char *digest)
{
        const char *hex = digest_hex(digest);

        if (l->kind == LAYOUT_DIR)
                return arena_strdup(l->arena, hex);
        return arena_printf(l->arena, "blobs/%.*s/%s", (int)(hex - digest - 1), digest, hex);
}

bool layout_has(const struct layout *l, const struct descriptor *d)
{
        return members_has(l->members, layout_blob_name(l, d->digest));
}

static int read_named(const struct layout *l, const char *name, const struct descriptor *d,
                      size_t limit, const char **ret, struct err *e)
{
        char digest[DIGEST_CAP];
        enum hash_alg alg;
        size_t n;

        if (members_read(l->members, l->arena, name, limit, ret, &n, e) < 0)
                return -1;
        if (n != d->size)
                return err_set(e, ERR_INVALID, "\"%s\" has %zu bytes, not %llu", name, n,
                               (unsigned long long)d->size);
        digest_check(d->digest, &alg);
        hash_bytes(alg, *ret, n, digest);
        if (!str_eq(digest, d->digest))
                return err_set(e, ERR_INVALID, "\"%s\" has digest %s, not %s", name, digest,
                               d->digest);
        return 0;
}

int layout_read(const struct layout *l, const struct descriptor *d, size_t limit, const char **ret,
                struct err *e)
{
        return read_named(l, layout_blob_name(l, d->digest), d, limit, ret, e);
}

int layout_read_manifest(const struct layout *l, const struct layout_entry *from,
                         const struct descriptor *d, const char **ret, struct manifest *ret_m,
                         struct err *e)
{
        const char *name = layout_blob_name(l, d->digest);

        if (from->data && str_eq(d->digest, from->descriptor.digest))
                *ret = from->data;
        else if (read_named(l,
                            l->kind == LAYOUT_DIR ? arena_printf(l->arena, "%s.manifest.json", name)
                                                  : name,
                            d, MANIFEST_MAX, ret, e) < 0)
                return -1;
        if (manifest_parse(l->arena, *ret, (size_t)d->size, d->media_type, ret_m, e) < 0)
                return err_in(e, "manifest %s", d->digest);
        return 0;
}

int layout_open(const struct layout *l, const struct descriptor *d, int *ret_fd, struct err *e)
{
        const char *name = layout_blob_name(l, d->digest);
        AUTO_FD int fd = -1;
        uint64_t size;

        if (members_open(l->members, name, &fd, &size, e) < 0)
                return -1;
        if (size != d->size)
                return err_set(e, ERR_INVALID, "\"%s\" has %llu bytes, not %llu", name,
                               (unsigned long long)size, (unsigned long long)d->size);
        *ret_fd = TAKE_FD(fd);
        return 0;
}
