#include "image/store-container.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"
#include "image/store-internal.h"

static bool is_id(const char *s)
{
        return strlen(s) == 64 && !s[strspn(s, "0123456789abcdef")];
}

/* Another container of that name: ERR_EXISTS. */
static int check_name(struct store *s, const char *id, const char *name, struct err *e)
{
        AUTO_ROWS rows = { 0 };
        int r;

        if (db_query(s, Q_CTR_GET, &rows, e, "s", name) < 0 || (r = db_next(&rows)) < 0)
                return -1;
        if (r == 0 || str_eq(db_text(&rows, 0), id))
                return 0;
        err_set(e, ERR_EXISTS, "the container name \"%s\" is already in use by container %.12s",
                name, db_text(&rows, 0));
        return err_hint(e, "remove or rename that one (`berth rm %.60s`)", name);
}

/* Layers that it has mounted: they stay, whatever becomes of the image. */
static int add_layers(struct store *s, const char *user, const struct json *layers, struct err *e)
{
        for (uint32_t i = 0; layers && layers->type == JSON_ARRAY && i < layers->n; i++)
                if (db_run(s, Q_USES_ADD, e, "ss", user, json_str(&layers->items[i], "")) < 0)
                        return -1;
        return 0;
}

int index_container(struct store *s, const char *id, const char *json, struct err *e)
{
        AUTO_ARENA a = { 0 };
        const struct json *prepared;
        const char *name, *image;
        int64_t created = 0;
        struct json j;

        if (json_parse(&a, json, strlen(json), NULL, &j, NULL) < 0 || !is_id(id) ||
            !str_eq(json_str(json_get(&j, "id"), ""), id))
                return err_set(e, ERR_INVALID, "its record is damaged");
        name = json_str(json_get(&j, "name"), id);
        json_to_i64(json_get(&j, "created"), &created);
        image = json_str(json_path(&j, "image.digest"), "");
        if (check_name(s, id, name, e) < 0 ||
            db_run(s, Q_CTR_ADD, e, "ssiss", id, name, created, image, json) < 0)
                return -1;
        /* As long as the image has its record, these rows are there. */
        if (add_layers(s, image, json_path(&j, "image.layers"), e) < 0)
                return -1;
        prepared = json_get(&j, "prepared");
        for (uint32_t i = 0; prepared && prepared->type == JSON_ARRAY && i < prepared->n; i++)
                if (add_layers(s, arena_printf(&a, "container:%s", id),
                               json_get(&prepared->items[i], "layers"), e) < 0)
                        return -1;
        return 0;
}

static int write_record(struct store *s, const char *id, const char *json, struct err *e)
{
        int dir = store_sub(s, SUB_RECORDS, e);
        int r = dir < 0 ? 0 : fd_replace_at(dir, id, json, strlen(json), 0600, 0);

        if (dir < 0)
                return -1;
        return r < 0 ? err_sys(e, r, "cannot write \"%s/records/%s\"", s->path, id) : 0;
}

int store_container_put(struct store *s, const char *id, const char *json, struct err *e)
{
        if (store_begin(s, e) < 0)
                return -1;
        if (index_container(s, id, json, e) < 0 || write_record(s, id, json, e) < 0) {
                store_abort(s);
                return -1;
        }
        return store_commit(s, 1u << SUB_RECORDS, e);
}

int store_container_remove(struct store *s, const char *id, struct err *e)
{
        int dir = store_sub(s, SUB_RECORDS, e);

        if (dir < 0 || store_begin(s, e) < 0)
                return -1;
        if (db_run(s, Q_CTR_DEL, e, "s", id) < 0) {
                store_abort(s);
                return -1;
        }
        if (unlinkat(dir, id, 0) < 0 && errno != ENOENT) {
                err_sys(e, errno, "cannot remove \"%s/records/%s\"", s->path, id);
                store_abort(s);
                return -1;
        }
        return store_commit(s, 1u << SUB_RECORDS, e);
}

int store_container_find(struct store *s, struct arena *a, const char *text, const char **ret,
                         struct err *e)
{
        AUTO_ROWS rows = { 0 };
        AUTO_BUF names = { 0 };
        int r, n = 0;

        if (!*text)
                return err_set(e, ERR_INVALID, "a container is needed");
        if (db_query(s, Q_CTR_FIND, &rows, e, "s", text) < 0)
                return -1;
        while ((r = db_next(&rows)) > 0) {
                /* Exact ones come first, and end it. */
                bool exact = str_eq(db_text(&rows, 0), text) || str_eq(db_text(&rows, 2), text);

                if (n++ == 0)
                        *ret = arena_strdup(a, db_text(&rows, 1));
                if (exact)
                        return 0;
                buf_printf(&names, "%s%.12s (%s)", n > 1 ? ", " : "", db_text(&rows, 2),
                           db_text(&rows, 0));
        }
        if (r < 0)
                return -1;
        if (n == 1)
                return 0;
        if (n > 1)
                return err_set(e, ERR_INVALID, "\"%s\" is the beginning of several ids: %s", text,
                               buf_str(&names));
        err_set(e, ERR_NOT_FOUND, "no such container: \"%s\"", text);
        return err_hint(e, "`berth ps -a` lists all");
}

struct listed {
        const char *json;
        int64_t created;
};

static int newest_first(const void *x, const void *y)
{
        const struct listed *a = x, *b = y;

        if (a->created != b->created)
                return a->created < b->created ? 1 : -1;
        return strcmp(a->json, b->json); /* which begins with the id */
}

int store_containers(struct store *s, struct arena *a, const char ***ret, size_t *ret_n,
                     struct err *e)
{
        AUTO_ROWS rows = { 0 };
        AUTO_BUF found = { 0 };
        struct listed *v;
        int r;

        if (db_query(s, Q_CTRS, &rows, e, NULL) < 0)
                return -1;
        while ((r = db_next(&rows)) > 0) {
                struct listed l = { arena_strdup(a, db_text(&rows, 0)), db_int(&rows, 1) };

                buf_add(&found, &l, sizeof l);
        }
        if (r < 0)
                return -1;
        *ret_n = found.len / sizeof *v;
        *ret = arena_array(a, const char *, *ret_n + 1);
        v = (struct listed *)found.s;
        if (*ret_n)
                qsort(v, *ret_n, sizeof *v, newest_first);
        for (size_t i = 0; i < *ret_n; i++)
                (*ret)[i] = v[i].json;
        return 0;
}
