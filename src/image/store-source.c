/* Where layers' blobs come from: sources/KEY of a diffID, JSON. Only hints, but part of the truth
 * on disk all the same: nobody but a registry could tell them again. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/str.h"
#include "image/store-internal.h"

enum { SOURCES_MAX = 1 << 20 };

static void write_source(struct json_writer *w, const struct blob_source *b)
{
        json_open(w, NULL, '{');
        json_put_str(w, "blob", b->blob);
        json_put_str(w, "mediaType", b->media_type);
        json_put_u64(w, "size", b->size);
        json_put_str(w, "repository", b->repository);
        json_close(w, '}');
}

static bool read_source(const struct json *j, struct blob_source *ret)
{
        *ret = (struct blob_source){ .blob = json_str(json_get(j, "blob"), NULL),
                                     .media_type = json_str(json_get(j, "mediaType"), NULL),
                                     .repository = json_str(json_get(j, "repository"), NULL) };
        json_to_u64(json_get(j, "size"), &ret->size);
        return ret->blob && ret->repository;
}

int store_layer_sources(struct store *s, struct arena *a, const char *diff_id,
                        struct blob_source **ret, size_t *ret_n, struct err *e)
{
        int dir = store_sub(s, SUB_SOURCES, NULL), r;
        AUTO_FREE char *text = NULL;
        const struct json *list;
        struct json j;
        char key[72];
        size_t n;

        *ret = NULL;
        *ret_n = 0;
        store_layer_key(diff_id, key);
        r = dir < 0 ? -ENOENT : fd_read_regular_at(dir, key, SOURCES_MAX, &text, &n);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return err_sys(e, r, "cannot read \"%s/sources/%s\"", s->path, key);
        /* It is not flushed: after a power cut it may be anything. */
        list = json_parse(a, text, n, NULL, &j, NULL) < 0 ? NULL : json_get(&j, "sources");
        if (!list || list->type != JSON_ARRAY)
                return 0;
        *ret = arena_array(a, struct blob_source, list->n + 1);
        for (uint32_t i = 0; i < list->n; i++)
                *ret_n += read_source(&list->items[i], &(*ret)[*ret_n]);
        return 0;
}

int store_layer_source_add(struct store *s, const char *diff_id, const struct blob_source *b,
                           struct err *e)
{
        int dir = store_sub(s, SUB_SOURCES, e), r;
        AUTO_ARENA a = { 0 };
        AUTO_BUF text = { 0 };
        struct json_writer w = { .out = &text, .fresh = true };
        struct blob_source *old;
        char key[72];
        size_t n;

        if (dir < 0 || store_begin(s, e) < 0)
                return -1;
        if (store_layer_sources(s, &a, diff_id, &old, &n, NULL) < 0)
                n = 0;
        json_open(&w, NULL, '{');
        json_put_str(&w, "diffID", diff_id);
        json_open(&w, "sources", '[');
        for (size_t i = 0; i < n; i++)
                if (!str_eq(old[i].blob, b->blob) || !str_eq(old[i].repository, b->repository))
                        write_source(&w, &old[i]);
        write_source(&w, b);
        json_close(&w, ']');
        json_close(&w, '}');
        store_layer_key(diff_id, key);
        r = fd_replace_at(dir, key, text.s, text.len, 0600, 0);
        store_abort(s); /* nothing of the index has changed */
        return r < 0 ? err_sys(e, r, "cannot write \"%s/sources/%s\"", s->path, key) : 0;
}

struct prune {
        struct arena arena;
        struct strings keys; /* of layers that are here */
};

static int drop_other(void *ctx, int dir, const char *name)
{
        const struct prune *p = ctx;

        if (!strings_has(&p->keys, name))
                unlinkat(dir, name, 0);
        return 0;
}

int sources_prune(struct store *s, struct err *e)
{
        struct prune p = { 0 };
        AUTO_ROWS rows = { 0 };
        int more, r = -1;

        if (db_query(s, Q_LAYERS, &rows, e, NULL) < 0)
                return -1;
        while ((more = db_next(&rows)) > 0) {
                char key[72];

                store_layer_key(db_text(&rows, 1), key);
                strings_add(&p.arena, &p.keys, arena_strdup(&p.arena, key));
        }
        if (more == 0)
                r = each_entry(s, SUB_SOURCES, drop_other, &p, e);
        arena_done(&p.arena);
        return r;
}
