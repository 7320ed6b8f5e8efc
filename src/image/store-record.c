/* What the store writes about images, tags and layers beside them: JSON of a few fields each. They
 * are what the index is made from, so everything that a list shows is in them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "image/store-internal.h"

enum { RECORD_MAX = 4 << 20 };

/* ---- lists of strings ---- */

struct strings strings_split(struct arena *a, const char *text)
{
        struct strings l = { 0 };
        const char *part;
        size_t n;

        for (const char *at = text; str_next(&at, ' ', &part, &n);)
                if (n > 0)
                        strings_add(a, &l, arena_strndup(a, part, n));
        return l;
}

const char *strings_join(struct arena *a, const struct strings *l)
{
        AUTO_BUF b = { 0 };

        for (size_t i = 0; i < l->n; i++)
                buf_printf(&b, "%s%s", i ? " " : "", l->v[i]);
        return arena_strndup(a, buf_str(&b), b.len);
}

static void strings_write(const struct strings *l, struct json_writer *w, const char *name)
{
        json_open(w, name, '[');
        for (size_t i = 0; i < l->n; i++)
                json_put_str(w, NULL, l->v[i]);
        json_close(w, ']');
}

static int strings_read(struct arena *a, const struct json *j, struct strings *ret)
{
        if (!j || j->type != JSON_ARRAY)
                return j ? -EINVAL : 0;
        for (uint32_t i = 0; i < j->n; i++) {
                const char *s = json_str(&j->items[i], NULL);

                if (!s)
                        return -EINVAL;
                strings_add(a, ret, s);
        }
        return 0;
}

int labels_read(struct arena *a, const struct json *j, struct key_values *ret)
{
        if (!j || j->type != JSON_OBJECT)
                return j ? -EINVAL : 0;
        *ret = json_to_key_values(a, j);
        return 0;
}

/* ---- records ---- */

static int read_record(int dir, const char *name, struct arena *a, struct json *ret, struct err *e)
{
        AUTO_FREE char *text = NULL;
        size_t n;
        int r = fd_read_regular_at(dir, name, RECORD_MAX, &text, &n);

        if (r < 0)
                return err_sys(e, r, "cannot read the record \"%s\"", name);
        if (json_parse(a, text, n, NULL, ret, NULL) < 0 || ret->type != JSON_OBJECT)
                return err_set(e, ERR_INVALID, "the record \"%s\" is damaged", name);
        return 0;
}

static int bad(const char *name, const char *field, struct err *e)
{
        return err_set(e, ERR_INVALID, "the record \"%s\" is damaged: \"%s\"", name, field);
}

static bool digest_ok(const char *s)
{
        enum hash_alg alg;

        return s && digest_check(s, &alg) == 0;
}

void record_image_write(const struct image *i, struct buf *out)
{
        struct json_writer w = { .out = out, .indent = 1 };

        json_open(&w, NULL, '{');
        json_put_str(&w, "digest", i->digest);
        json_put_str(&w, "id", i->id);
        json_put_str(&w, "mediaType", i->media_type);
        if (i->index_digest)
                json_put_str(&w, "index", i->index_digest);
        if (i->artifact_type)
                json_put_str(&w, "artifactType", i->artifact_type);
        json_open(&w, "platform", '{');
        json_put_str(&w, "os", i->platform.os ? i->platform.os : "");
        json_put_str(&w, "architecture", i->platform.architecture ? i->platform.architecture : "");
        json_put_str(&w, "variant", i->platform.variant ? i->platform.variant : "");
        json_put_str(&w, "os.version", i->platform.os_version ? i->platform.os_version : "");
        json_close(&w, '}');
        json_put_u64(&w, "size", i->size);
        json_put_i64(&w, "created", i->created);
        json_put_i64(&w, "added", i->added);
        strings_write(&i->layers, &w, "layers");
        strings_write(&i->diff_ids, &w, "diffIDs");
        strings_write(&i->names, &w, "names");
        json_put_key_values(&w, "labels", &i->labels);
        json_close(&w, '}');
        buf_putc(out, '\n');
}

int record_image_read(int dir, const char *name, struct arena *a, struct image *ret, struct err *e)
{
        struct image i = { 0 };
        struct json j;

        if (read_record(dir, name, a, &j, e) < 0)
                return -1;
        i.digest = json_str(json_get(&j, "digest"), NULL);
        i.id = json_str(json_get(&j, "id"), NULL);
        i.media_type = json_str(json_get(&j, "mediaType"), NULL);
        i.index_digest = json_str(json_get(&j, "index"), NULL);
        i.artifact_type = json_str(json_get(&j, "artifactType"), NULL);
        i.platform.os = json_str(json_path(&j, "platform.os"), "");
        i.platform.architecture = json_str(json_path(&j, "platform.architecture"), "");
        i.platform.variant = json_str(json_path(&j, "platform.variant"), "");
        i.platform.os_version = json_str(json_get(json_get(&j, "platform"), "os.version"), "");
        json_to_u64(json_get(&j, "size"), &i.size);
        json_to_i64(json_get(&j, "created"), &i.created);
        json_to_i64(json_get(&j, "added"), &i.added);
        if (!digest_ok(i.digest) || !str_eq(digest_hex(i.digest), name))
                return bad(name, "digest", e);
        if (!digest_ok(i.id) || (i.index_digest && !digest_ok(i.index_digest)))
                return bad(name, "id", e);
        if (strings_read(a, json_get(&j, "layers"), &i.layers) < 0 ||
            strings_read(a, json_get(&j, "diffIDs"), &i.diff_ids) < 0 ||
            strings_read(a, json_get(&j, "names"), &i.names) < 0 ||
            labels_read(a, json_get(&j, "labels"), &i.labels) < 0)
                return bad(name, "layers", e);
        *ret = i;
        return 0;
}

void record_ref_file(const char *name, char ret[DIGEST_CAP])
{
        char digest[DIGEST_CAP];

        hash_bytes(HASH_SHA256, name, strlen(name), digest);
        snprintf(ret, DIGEST_CAP, "%s", digest_hex(digest));
}

void record_ref_write(const char *name, const char *digest, struct buf *out)
{
        struct json_writer w = { .out = out };

        json_open(&w, NULL, '{');
        json_put_str(&w, "name", name);
        json_put_str(&w, "digest", digest);
        json_close(&w, '}');
        buf_putc(out, '\n');
}

int record_ref_read(int dir, const char *file, struct arena *a, const char **ret_name,
                    const char **ret_digest, struct err *e)
{
        const char *name, *digest;
        char expected[DIGEST_CAP];
        struct json j;

        if (read_record(dir, file, a, &j, e) < 0)
                return -1;
        name = json_str(json_get(&j, "name"), "");
        digest = json_str(json_get(&j, "digest"), NULL);
        record_ref_file(name, expected);
        if (!str_eq(expected, file))
                return bad(file, "name", e);
        if (!digest_ok(digest))
                return bad(file, "digest", e);
        *ret_name = name;
        *ret_digest = digest;
        return 0;
}

void record_layer_write(const struct layer *l, struct buf *out)
{
        struct json_writer w = { .out = out };

        json_open(&w, NULL, '{');
        json_put_str(&w, "key", l->key);
        json_put_str(&w, "diffID", l->diff_id);
        json_put_str(&w, "backend", layer_backend_names[l->backend]);
        json_put_u64(&w, "size", l->size);
        json_put_u64(&w, "disk", l->disk);
        json_put_u64(&w, "entries", l->entries);
        json_put_bool(&w, "leans", l->leans);
        json_close(&w, '}');
        buf_putc(out, '\n');
}

int record_layer_read(int dir, const char *key, struct layer *ret, struct err *e)
{
        AUTO_ARENA a = { 0 };
        struct layer l = { 0 };
        const char *diff_id;
        struct json j;
        char path[96];
        int backend;

        if (snprintf(path, sizeof path, "%s/meta.json", key) >= (int)sizeof path)
                return bad(key, "key", e);
        if (read_record(dir, path, &a, &j, e) < 0)
                return -1;
        diff_id = json_str(json_get(&j, "diffID"), NULL);
        backend = STR_INDEX(layer_backend_names, json_str(json_get(&j, "backend"), ""));
        if (!str_eq(json_str(json_get(&j, "key"), ""), key) || strlen(key) >= sizeof l.key)
                return bad(path, "key", e);
        if (!digest_ok(diff_id) || backend < 0)
                return bad(path, "diffID", e);
        snprintf(l.key, sizeof l.key, "%s", key);
        snprintf(l.diff_id, sizeof l.diff_id, "%s", diff_id);
        l.backend = (enum layer_backend)backend;
        json_to_u64(json_get(&j, "size"), &l.size);
        json_to_u64(json_get(&j, "disk"), &l.disk);
        json_to_u64(json_get(&j, "entries"), &l.entries);
        l.leans = json_is_true(json_get(&j, "leans"));
        *ret = l;
        return 0;
}
