/* Containers that use what others have mounted: --volumes-from. */
#include <string.h>

#include "base/str.h"
#include "engine/ctr-internal.h"
#include "engine/mounts.h"

/* ---- taking them ---- */

struct taking {
        struct arena *a;
        struct mounts *m;
        bool read_only;
};

static int take_options(struct taking *t, const char *options, struct err *e)
{
        const char *one;
        size_t len;

        while (options && str_next(&options, ',', &one, &len)) {
                const char *name = arena_strndup(t->a, one, len);

                if (str_eq(name, "ro"))
                        t->read_only = true;
                else if (!str_eq(name, "rw") && !str_eq(name, "z") && !str_eq(name, "Z"))
                        return err_set(e, ERR_INVALID,
                                       "--volumes-from: \"%s\" is none of ro, rw, z", name);
        }
        return 0;
}

static void copy_options(struct taking *t, const struct json *j, struct mount_row *row)
{
        const struct json *list = json_get(j, "options");

        row->read_only = t->read_only || !json_is_true(json_get(j, "rw"));
        for (uint32_t i = 0; list && list->type == JSON_ARRAY && i < list->n; i++)
                strings_add(t->a, &row->options, json_str(&list->items[i], ""));
        if (t->read_only && json_is_true(json_get(j, "rw")))
                strings_add(t->a, &row->options, "rro");
}

/* A tmpfs is of one container alone. What this one mounts itself wins. */
static void take_one(struct taking *t, const struct json *j)
{
        const char *type = json_str(json_get(j, "type"), "");
        const char *name = json_str(json_get(j, "name"), "");
        const char *destination = json_str(json_get(j, "destination"), "");
        bool volume = str_eq(type, "volume");
        struct mount_row *row;

        if ((!volume && !str_eq(type, "bind")) || mounts_has(t->m, destination))
                return;
        row = mounts_add(t->a, t->m);
        *row = (struct mount_row){ .kind = volume ? MOUNT_VOLUME : MOUNT_BIND,
                                   .type = "bind",
                                   .destination = arena_strdup(t->a, destination),
                                   .nocopy = true };
        if (volume)
                row->volume = arena_strdup(t->a, name);
        /* A named one is taken into use as any other. */
        if (!volume || !*name)
                row->source = arena_strdup(t->a, json_str(json_get(j, "source"), ""));
        copy_options(t, j, row);
}

static int take_from(struct engine *g, struct arena *a, const char *text, struct mounts *m,
                     struct err *e)
{
        const char *colon = strchr(text, ':');
        const char *name = colon ? arena_strndup(a, text, (size_t)(colon - text)) : text;
        struct taking t = { .a = a, .m = m };
        const struct json *list;
        struct ctr other;

        if (take_options(&t, colon ? colon + 1 : NULL, e) < 0)
                return -1;
        if (ctr_find(g, a, name, &other, e) < 0)
                return err_in(e, "--volumes-from");
        list = json_get(other.record, "mounts");
        for (uint32_t i = 0; list && list->type == JSON_ARRAY && i < list->n; i++)
                take_one(&t, &list->items[i]);
        return 0;
}

int ctr_volumes_from(struct engine *g, struct arena *a, const struct strings *given,
                     struct mounts *m, struct err *e)
{
        for (size_t i = 0; i < given->n; i++)
                if (take_from(g, a, given->v[i], m, e) < 0)
                        return -1;
        return 0;
}

/* ---- removing what others have ---- */

static bool mounts_below(const struct ctr *c, const char *dir)
{
        const struct json *list = json_get(c->record, "mounts");

        for (uint32_t i = 0; list && list->type == JSON_ARRAY && i < list->n; i++)
                if (str_after(json_str(json_get(&list->items[i], "source"), ""), dir))
                        return true;
        return false;
}

int ctr_volumes_free(struct engine *g, const struct ctr *c, struct err *e)
{
        AUTO_ARENA a = { 0 };
        const char *dir =
                arena_printf(&a, "%s/containers/%s/volumes/", store_path(g->store), c->id);
        struct ctr *v;
        size_t n;

        if (!mounts_below(c, dir))
                return 0;
        if (ctr_list(g, &a, &v, &n, e) < 0)
                return -1;
        for (size_t i = 0; i < n; i++)
                if (!str_eq(v[i].id, c->id) && mounts_below(&v[i], dir)) {
                        err_set(e, ERR_STATE,
                                "cannot remove container \"%s\": its volumes are used by "
                                "container \"%s\"",
                                c->name, v[i].name);
                        return err_hint(e, "remove that one first, or use a named volume");
                }
        return 0;
}
