/* What an archive holds: from docker's manifest.json, or an OCI layout's index.json, to one list
 * of images. docker 25 and later write both into one archive: the layout is read, since it has
 * the exact manifests, and manifest.json adds the names. */
#include <errno.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/str.h"
#include "codec/json.h"
#include "image/archive-internal.h"
#include "image/manifest-json.h"
#include "image/reference.h"

#define DOCKER_MANIFEST "manifest.json"

void archive_note(const struct watcher *w, const char *text)
{
        if (w && w->note)
                w->note(w->ctx, text);
}

static void add_name(struct arena *a, struct strings *s, const char *name)
{
        const char **v;

        for (size_t i = 0; i < s->n; i++)
                if (str_eq(s->v[i], name))
                        return;
        v = arena_array(a, const char *, s->n + 1);
        if (s->n)
                memcpy(v, s->v, s->n * sizeof *v);
        v[s->n] = name;
        *s = (struct strings){ v, s->n + 1 };
}

static struct platform wanted(const struct finding_context *f)
{
        struct platform p = f->o->platform;

        if (str_empty(p.os))
                platform_host(&p);
        return p;
}

/* Parses what both formats share: the configuration, and as many layers as it has diff_ids. */
static int read_config(const struct finding_context *f, size_t nlayers, struct found_image *i,
                       struct err *e)
{
        struct platform want = wanted(f);

        if (image_config_parse(f->arena, i->config, i->nconfig, &i->c, e) < 0)
                return -1;
        if (nlayers != i->c.diff_ids.n)
                return err_set(e, ERR_INVALID,
                               "the image has %zu layers, its configuration %zu diff_ids", nlayers,
                               i->c.diff_ids.n);
        if (!str_empty(f->o->platform.os) && platform_match(&want, &i->c.platform) < 0)
                return err_set(e, ERR_NOT_FOUND, "the image is for %s, not %s",
                               platform_str(f->arena, &i->c.platform),
                               platform_str(f->arena, &want));
        return 0;
}

/* ---- docker's manifest.json ---- */

struct docker_item {
        const char *config;
        struct strings tags, layers;
};

static int docker_items(const struct finding_context *f, struct docker_item **ret, size_t *ret_n,
                        struct err *e)
{
        static const struct field fields[] = {
                { "Config", FIELD_STR, offsetof(struct docker_item, config) },
                { "RepoTags", FIELD_STRINGS, offsetof(struct docker_item, tags) },
                { "Layers", FIELD_STRINGS, offsetof(struct docker_item, layers) },
                {}
        };
        struct json_error at = { 0 };
        struct docker_item *v;
        const char *text;
        struct json j;
        size_t n;

        if (members_read(f->members, f->arena, DOCKER_MANIFEST, MANIFEST_MAX, &text, &n, e) < 0)
                return -1;
        if (json_parse(f->arena, text, n, NULL, &j, &at) < 0)
                return err_set(e, ERR_INVALID, "\"" DOCKER_MANIFEST "\", line %u: %s%s%s", at.line,
                               at.what, *at.key ? " " : "", at.key);
        if (j.type != JSON_ARRAY)
                return err_set(e, ERR_INVALID, "\"" DOCKER_MANIFEST "\" is not a list");
        if (j.n > ARCHIVE_IMAGES_MAX)
                return err_set(e, ERR_LIMIT, "it has more than %d images", ARCHIVE_IMAGES_MAX);
        v = arena_array(f->arena, struct docker_item, j.n + 1);
        for (uint32_t i = 0; i < j.n; i++) {
                char where[48];

                snprintf(where, sizeof where, "\"" DOCKER_MANIFEST "\"[%u]", i);
                if (fields_read(f->arena, where, &j.items[i], fields, &v[i], e) < 0)
                        return -1;
                if (str_empty(v[i].config))
                        return err_set(e, ERR_INVALID, "%s: \"Config\" is missing", where);
        }
        *ret = v;
        *ret_n = j.n;
        return 0;
}

static int docker_names(const struct finding_context *f, const struct docker_item *item,
                        struct strings *names, struct err *e)
{
        for (size_t i = 0; i < item->tags.n; i++) {
                struct reference r;

                if (reference_parse(f->arena, item->tags.v[i], &r, e) < 0)
                        return err_in(e, "RepoTags: \"%.200s\"", item->tags.v[i]);
                reference_default(f->arena, &r);
                add_name(f->arena, names, reference_str(f->arena, &r));
        }
        return 0;
}

/* "HEX.json" and "blobs/sha256/HEX" tell which digest they must have; else NULL. */
static const char *digest_in_name(struct arena *a, const char *name)
{
        const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
        char *digest = arena_printf(a, "sha256:%.64s", base);

        if (strlen(base) < 64 || (base[64] && !str_eq(base + 64, ".json")) ||
            digest_check(digest, NULL) < 0)
                return NULL;
        return digest;
}

static int docker_config(const struct finding_context *f, const struct docker_item *item,
                         struct found_image *i, struct err *e)
{
        const char *expected = digest_in_name(f->arena, item->config);
        char digest[DIGEST_CAP];

        if (members_read(f->members, f->arena, item->config, CONFIG_MAX, &i->config, &i->nconfig,
                         e) < 0)
                return -1;
        hash_bytes(HASH_SHA256, i->config, i->nconfig, digest);
        i->id = arena_strdup(f->arena, digest);
        if (expected && !str_eq(expected, digest))
                return err_set(e, ERR_INVALID, "\"%s\" has digest %s", item->config, digest);
        return read_config(f, item->layers.n, i, e);
}

/* gzip, zstd, bzip2 or xz: docker-archive's layers usually are none of them. */
static bool is_compressed(const unsigned char *p, size_t n)
{
        static const struct {
                const char *magic;
                size_t n;
        } kinds[] = { { "\x1f\x8b", 2 },
                      { "\x28\xb5\x2f\xfd", 4 },
                      { "BZh", 3 },
                      { "\xfd"
                        "7zXZ",
                        5 } };

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                if (n >= kinds[i].n && memcmp(p, kinds[i].magic, kinds[i].n) == 0)
                        return true;
        /* zstd's skippable frames, with which zstd:chunked's variants may begin. */
        return n >= 4 && (p[0] & 0xf0) == 0x50 && memcmp(p + 1, "\x2a\x4d\x18", 3) == 0;
}

/* A plain tar's blob is the layer itself, whose digest is its diffID. */
static int docker_layer(const struct finding_context *f, const char *member, const char *diff_id,
                        struct found_layer *l, struct err *e)
{
        unsigned char magic[8];
        AUTO_FD int fd = -1;
        ssize_t n;

        *l = (struct found_layer){ .member = member };
        if (members_open(f->members, member, &fd, &l->size, e) < 0)
                return -1;
        n = read(fd, magic, MIN(sizeof magic, l->size));
        if (n < 0)
                return err_sys(e, errno, "cannot read \"%s\"", member);
        l->digest = is_compressed(magic, (size_t)n) ? NULL : diff_id;
        return 0;
}

static int docker_image(const struct finding_context *f, const struct docker_item *item,
                        struct found_image *i, struct err *e)
{
        if (docker_names(f, item, &i->names, e) < 0 || docker_config(f, item, i, e) < 0)
                return -1;
        i->layers = arena_array(f->arena, struct found_layer, item->layers.n + 1);
        for (size_t k = 0; k < item->layers.n; k++)
                if (docker_layer(f, item->layers.v[k], i->c.diff_ids.v[k], &i->layers[k], e) < 0)
                        return err_in(e, "layer %zu", k + 1);
        return 0;
}

static bool docker_wanted(const struct finding_context *f, const struct docker_item *item)
{
        struct reference want, have;

        if (!f->o->reference)
                return true;
        if (reference_parse(f->arena, f->o->reference, &want, NULL) < 0)
                return false;
        reference_default(f->arena, &want);
        for (size_t i = 0; i < item->tags.n; i++) {
                if (reference_parse(f->arena, item->tags.v[i], &have, NULL) < 0)
                        continue;
                reference_default(f->arena, &have);
                if (str_eq(reference_str(f->arena, &want), reference_str(f->arena, &have)))
                        return true;
        }
        return false;
}

static int find_docker(const struct finding_context *f, struct found_image **ret, size_t *ret_n,
                       struct err *e)
{
        struct docker_item *items;
        struct found_image *v;
        size_t n, found = 0;

        if (docker_items(f, &items, &n, e) < 0)
                return -1;
        v = arena_array(f->arena, struct found_image, n + 1);
        for (size_t i = 0; i < n; i++) {
                if (!docker_wanted(f, &items[i]))
                        continue;
                if (docker_image(f, &items[i], &v[found], e) < 0)
                        return items[i].tags.n ? err_in(e, "image \"%s\"", items[i].tags.v[0]) : -1;
                found++;
        }
        *ret = v;
        *ret_n = found;
        return 0;
}

/* ---- layouts ---- */

/* podman's rule: a name without a registry is one of localhost, be it a bare tag. */
static void layout_name(const struct finding_context *f, const struct layout_entry *entry,
                        struct strings *names)
{
        struct reference r;

        if (!entry->name)
                return;
        if (reference_parse(f->arena, entry->name, &r, NULL) < 0) {
                archive_note(f->w, arena_printf(f->arena,
                                                "\"%.200s\" can't be the name of an image: left "
                                                "without one",
                                                entry->name));
                return;
        }
        if (!r.host && !entry->full)
                r.host = "localhost";
        reference_default(f->arena, &r);
        add_name(f->arena, names, reference_str(f->arena, &r));
}

/* The names that docker's manifest.json has for the configuration of that ID. */
static int layout_tags(const struct finding_context *f, const struct layout *l,
                       struct found_image *i, struct err *e)
{
        struct docker_item *items;
        size_t n;

        if (l->kind != LAYOUT_OCI || !members_has(f->members, DOCKER_MANIFEST))
                return 0;
        if (docker_items(f, &items, &n, e) < 0)
                return -1;
        for (size_t k = 0; k < n; k++)
                if (str_eq0(digest_in_name(f->arena, items[k].config), i->id) &&
                    docker_names(f, &items[k], &i->names, e) < 0)
                        return -1;
        return 0;
}

static int layout_layers(const struct finding_context *f, const struct layout *l,
                         const struct manifest *m, struct found_image *i, struct err *e)
{
        i->layers = arena_array(f->arena, struct found_layer, m->nlayers + 1);
        for (size_t k = 0; k < m->nlayers; k++) {
                const struct descriptor *d = &m->layers[k];
                AUTO_FD int fd = -1;

                i->layers[k] =
                        (struct found_layer){ layout_blob_name(l, d->digest), d->digest, d->size };
                if (layout_open(l, d, &fd, e) < 0)
                        return err_in(e, "layer %zu", k + 1);
        }
        return 0;
}

/* Follows an index to the platform's manifest. */
static int layout_choose(const struct finding_context *f, const struct layout *l,
                         const struct layout_entry *entry, struct manifest *m,
                         struct found_image *i, struct err *e)
{
        struct platform want = wanted(f);
        const struct descriptor *d = &entry->descriptor;

        if (layout_read_manifest(l, entry, d, &i->manifest, m, e) < 0)
                return -1;
        if (m->kind == MANIFEST_INDEX) {
                i->index = i->manifest;
                i->nindex = (size_t)d->size;
                i->index_digest = d->digest;
                if (manifest_choose(m, &want, &d, e) < 0)
                        return -1;
                *m = (struct manifest){ 0 };
                if (layout_read_manifest(l, entry, d, &i->manifest, m, e) < 0)
                        return -1;
                if (m->kind == MANIFEST_INDEX)
                        return err_set(e, ERR_UNSUPPORTED, "index %s holds another index",
                                       i->index_digest);
        }
        i->nmanifest = (size_t)d->size;
        i->digest = d->digest;
        i->media_type = m->media_type;
        return 0;
}

/* 1: an image; 0: something else, which is left where it is. */
static int layout_image(const struct finding_context *f, const struct layout *l,
                        const struct layout_entry *entry, struct found_image *i, struct err *e)
{
        struct manifest m = { 0 };

        if (layout_choose(f, l, entry, &m, i, e) < 0)
                return -1;
        if (!manifest_is_image(&m)) {
                archive_note(f->w,
                             arena_printf(f->arena, "%s is no image: passed over", i->digest));
                return 0;
        }
        i->id = m.config.digest;
        i->nconfig = (size_t)m.config.size;
        layout_name(f, entry, &i->names);
        if (layout_read(l, &m.config, CONFIG_MAX, &i->config, e) < 0 ||
            layout_tags(f, l, i, e) < 0 || read_config(f, m.nlayers, i, e) < 0 ||
            layout_layers(f, l, &m, i, e) < 0)
                return -1;
        return 1;
}

static bool has_platform(const struct manifest *index, const struct platform *p)
{
        for (size_t i = 0; i < index->nlayers; i++) {
                const struct platform *q = &index->layers[i].platform;

                if (str_eq(p->os, q->os) && str_eq(p->architecture, q->architecture) &&
                    str_eq(p->variant, q->variant) && str_eq(p->os_version, q->os_version))
                        return true;
        }
        return false;
}

/* The entries of v that have v[i]'s name (or none either), each for a platform of its own: what
 * an index would hold. False where i is not the first of them, with nothing in *ret where they
 * are not so. */
static bool alternatives(const struct layout_entry *v, size_t n, size_t i, struct manifest *ret)
{
        bool first = true;

        ret->nlayers = 0;
        for (size_t k = 0; k < n; k++) {
                const struct descriptor *d = &v[k].descriptor;

                if (!str_eq0(v[k].name, v[i].name))
                        continue;
                if (str_empty(d->platform.os) || has_platform(ret, &d->platform)) {
                        ret->nlayers = 0;
                        return true;
                }
                first &= k >= i;
                ret->layers[ret->nlayers++] = *d;
        }
        return first;
}

/* Of entries that differ in nothing but the platform only the one that fits is left. */
static int narrow(const struct finding_context *f, struct layout_entry *v, size_t *n, struct err *e)
{
        struct layout_entry *all = arena_array(f->arena, struct layout_entry, *n + 1);
        struct manifest same = { .kind = MANIFEST_INDEX };
        struct platform want = wanted(f);
        size_t left = 0;

        memcpy(all, v, *n * sizeof *all);
        same.layers = arena_array(f->arena, struct descriptor, *n + 1);
        for (size_t i = 0; i < *n; i++) {
                const struct descriptor *chosen = &all[i].descriptor;

                if (!alternatives(all, *n, i, &same))
                        continue;
                if (same.nlayers > 1 && manifest_choose(&same, &want, &chosen, e) < 0)
                        return -1;
                v[left] = all[i];
                v[left++].descriptor = *chosen;
        }
        *n = left;
        return 0;
}

static bool layout_wanted(const struct finding_context *f, const struct layout_entry *entry)
{
        return !f->o->reference || str_eq0(f->o->reference, entry->name) ||
               str_eq(f->o->reference, entry->descriptor.digest);
}

static int find_layout(const struct finding_context *f, enum layout_kind kind,
                       struct found_image **ret, size_t *ret_n, struct err *e)
{
        struct layout l = { f->members, kind, f->arena };
        struct layout_entry *entries;
        struct found_image *v;
        size_t n, found = 0, chosen = 0;

        if (layout_entries(&l, &entries, &n, e) < 0)
                return -1;
        if (n > ARCHIVE_IMAGES_MAX)
                return err_set(e, ERR_LIMIT, "it has more than %d images", ARCHIVE_IMAGES_MAX);
        for (size_t i = 0; i < n; i++)
                if (layout_wanted(f, &entries[i]))
                        entries[chosen++] = entries[i];
        if (narrow(f, entries, &chosen, e) < 0)
                return -1;
        v = arena_array(f->arena, struct found_image, chosen + 1);
        for (size_t i = 0; i < chosen; i++) {
                int r = layout_image(f, &l, &entries[i], &v[found], e);

                if (r < 0)
                        return entries[i].name ? err_in(e, "image \"%s\"", entries[i].name) : -1;
                if (r)
                        found++;
                else
                        v[found] = (struct found_image){ 0 };
        }
        *ret = v;
        *ret_n = found;
        return 0;
}

/* ---- which of them it is ---- */

static int no_archive(const struct members *m, struct err *e)
{
        if (members_has(m, "repositories")) {
                err_set(e, ERR_UNSUPPORTED, "it was saved by a docker older than 1.10");
                return err_hint(e, "Load it with a newer docker and save it again.");
        }
        err_set(e, ERR_INVALID,
                "it holds no image: neither \"" DOCKER_MANIFEST "\" nor \"" LAYOUT_INDEX "\"");
        return err_hint(e, "`berth import` makes an image of a root file system's tar.");
}

/* dir:'s manifest.json is a manifest, docker's a list. */
static int has_dir(const struct finding_context *f, bool *ret, struct err *e)
{
        const char *text;
        size_t n;

        if (members_read(f->members, f->arena, DOCKER_MANIFEST, MANIFEST_MAX, &text, &n, e) < 0)
                return -1;
        *ret = text[strspn(text, " \t\r\n")] == '{';
        return 0;
}

int archive_find(const struct finding_context *f, struct found_image **ret, size_t *ret_n,
                 struct err *e)
{
        bool dir = false;
        int r;

        if (members_has(f->members, LAYOUT_INDEX) || members_has(f->members, LAYOUT_FILE))
                r = find_layout(f, LAYOUT_OCI, ret, ret_n, e);
        else if (!members_has(f->members, DOCKER_MANIFEST))
                return no_archive(f->members, e);
        else if (has_dir(f, &dir, e) < 0)
                return -1;
        else
                r = dir ? find_layout(f, LAYOUT_DIR, ret, ret_n, e) : find_docker(f, ret, ret_n, e);
        if (r == 0 && *ret_n == 0)
                return f->o->reference ? err_set(e, ERR_NOT_FOUND, "it holds no image \"%s\"",
                                                 f->o->reference)
                                       : err_set(e, ERR_NOT_FOUND, "it holds no image");
        return r;
}
