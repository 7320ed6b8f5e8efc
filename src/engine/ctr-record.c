/* container.json: writing it, reading it, finding containers. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "engine/ctr-internal.h"
#include "engine/mounts.h"
#include "engine/secret.h"
#include "image/store-container.h"

int engine_open(const struct sandbox_places *p, struct engine *ret, struct err *e)
{
        *ret = (struct engine){ .places = *p };
        return store_open(p->store, p->log, &ret->store, e);
}

void engine_close(struct engine *g)
{
        store_close(g->store);
        g->store = NULL;
}

/* ---- writing ---- */

void ctr_record_write(const struct ctr *c, const struct ctr_options *o, const struct sandbox *box,
                      struct buf *out)
{
        struct json_writer w = { .out = out, .fresh = true };

        json_open(&w, NULL, '{');
        json_put_str(&w, "id", c->id);
        json_put_str(&w, "name", c->name);
        json_put_i64(&w, "created", c->created_ns);
        json_open(&w, "image", '{');
        json_put_str(&w, "name", c->image_name);
        json_put_str(&w, "digest", c->image_digest);
        json_put_str(&w, "id", c->image_id);
        json_put_strings(&w, "layers", &c->layers);
        json_close(&w, '}');
        json_put_strings(&w, "command", &c->command);
        json_put_u64(&w, "entrypoint", c->entrypoint);
        json_put_str(&w, "user", c->user);
        json_put_key_values(&w, "labels", &c->labels);
        json_put_bool(&w, "tty", c->tty);
        json_put_bool(&w, "openStdin", c->open_stdin);
        json_put_bool(&w, "autoRemove", c->auto_remove);
        json_put_bool(&w, "passthrough", c->passthrough);
        json_put_bool(&w, "systemd", c->systemd);
        json_put_strings(&w, "requires", &c->required);
        json_put_str(&w, "network", c->network);
        json_put_str(&w, "slice", c->slice);
        json_put_strings(&w, "commandLine", &o->command_line);
        mounts_record(c->mounts, &w);
        mounts_record_prepared(c->mounts, &w);
        secrets_record(c->secrets, &w);
        ctr_join_record(box, &w);
        ctr_asked_write(o, box, &w);
        userns_record(&box->userns, &w);
        json_close(&w, '}');
        buf_putc(out, '\n');
}

void ctr_record_again(const struct ctr *c, struct buf *out)
{
        struct json_writer w = { .out = out, .fresh = true };

        json_open(&w, NULL, '{');
        for (uint32_t i = 0; i < c->record->n; i++) {
                const struct json_member *m = &c->record->members[i];

                if (str_eq(m->name, "name"))
                        json_put_str(&w, "name", c->name);
                else
                        json_put(&w, m->name, &m->value);
        }
        json_close(&w, '}');
        buf_putc(out, '\n');
}

/* ---- reading ---- */

static void take_list(struct arena *a, const struct json *j, struct strings *ret)
{
        if (!j || j->type != JSON_ARRAY)
                return;
        ret->v = arena_array(a, const char *, j->n + 1);
        for (uint32_t i = 0; i < j->n; i++)
                ret->v[ret->n++] = json_str(&j->items[i], "");
}

int ctr_record_read(struct arena *a, const char *text, struct ctr *ret, struct err *e)
{
        struct json *j = arena_new(a, struct json);
        struct ctr c = { .record = j };
        int64_t n = 0;

        if (json_parse(a, text, strlen(text), NULL, j, NULL) < 0 || j->type != JSON_OBJECT)
                return err_set(e, ERR_INTERNAL, "container.json is no JSON object");
        c.id = json_str(json_get(j, "id"), "");
        c.name = json_str(json_get(j, "name"), "");
        json_to_i64(json_get(j, "created"), &c.created_ns);
        c.image_name = json_str(json_path(j, "image.name"), "");
        c.image_digest = json_str(json_path(j, "image.digest"), "");
        c.image_id = json_str(json_path(j, "image.id"), "");
        take_list(a, json_path(j, "image.layers"), &c.layers);
        take_list(a, json_get(j, "command"), &c.command);
        take_list(a, json_get(j, "requires"), &c.required);
        c.labels = json_to_key_values(a, json_get(j, "labels"));
        if (json_to_i64(json_get(j, "entrypoint"), &n) && n > 0)
                c.entrypoint = MIN((size_t)n, c.command.n);
        c.user = json_str(json_get(j, "user"), "");
        c.tty = json_is_true(json_get(j, "tty"));
        c.open_stdin = json_is_true(json_get(j, "openStdin"));
        c.passthrough = json_is_true(json_get(j, "passthrough"));
        c.auto_remove = json_is_true(json_get(j, "autoRemove"));
        c.slice = json_str(json_get(j, "slice"), NULL);
        c.network = json_str(json_get(j, "network"), "none");
        *ret = c;
        return 0;
}

int ctr_find(struct engine *g, struct arena *a, const char *text, struct ctr *ret, struct err *e)
{
        const char *json;

        text += *text == '/'; /* docker's inspect prints names so, and scripts hand them on */
        if (store_container_find(g->store, a, text, &json, e) < 0)
                return -1;
        return ctr_record_read(a, json, ret, e);
}

static void keep_list(struct arena *a, struct strings *l)
{
        const char *const *from = l->v;

        l->v = arena_array(a, const char *, l->n + 1);
        for (size_t i = 0; i < l->n; i++)
                l->v[i] = arena_strdup(a, from[i]);
}

static void keep_key_values(struct arena *a, struct key_values *l)
{
        const struct key_value *from = l->v;

        l->v = arena_array(a, struct key_value, l->n + 1);
        for (size_t i = 0; i < l->n; i++)
                l->v[i] = (struct key_value){ arena_strdup(a, from[i].key),
                                              arena_strdup(a, from[i].value) };
}

/* Moves what it is to a, all but the record. */
static struct ctr without_record(struct arena *a, struct ctr c)
{
        const char **texts[] = { &c.id,       &c.name, &c.image_name, &c.image_digest,
                                 &c.image_id, &c.user, &c.slice,      &c.network };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                *texts[i] = arena_strdup(a, *texts[i]);
        keep_list(a, &c.layers);
        keep_list(a, &c.command);
        keep_list(a, &c.required);
        keep_key_values(a, &c.labels);
        c.record = NULL;
        return c;
}

int ctr_list_brief(struct engine *g, struct arena *a, struct ctr **ret, size_t *ret_n,
                   struct err *e)
{
        AUTO_ARENA texts = { 0 };
        const char **rows;
        struct ctr c;
        size_t n;

        if (store_containers(g->store, &texts, &rows, &n, e) < 0)
                return -1;
        *ret = arena_array(a, struct ctr, n + 1);
        for (size_t i = 0; i < n; i++) {
                AUTO_ARENA tree = { 0 };

                if (ctr_record_read(&tree, rows[i], &c, e) < 0)
                        return -1;
                (*ret)[i] = without_record(a, c);
        }
        *ret_n = n;
        return 0;
}

int ctr_list(struct engine *g, struct arena *a, struct ctr **ret, size_t *ret_n, struct err *e)
{
        const char **rows;
        size_t n;

        if (store_containers(g->store, a, &rows, &n, e) < 0)
                return -1;
        *ret = arena_array(a, struct ctr, n + 1);
        for (size_t i = 0; i < n; i++)
                if (ctr_record_read(a, rows[i], &(*ret)[i], e) < 0)
                        return -1;
        *ret_n = n;
        return 0;
}

/* ---- directories ---- */

int ctr_dir(const struct engine *g, const char *id, struct err *e)
{
        AUTO_ARENA a = { 0 };
        const char *path = arena_printf(&a, "containers/%s", id);
        int fd = openat(store_dir(g->store), path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? err_sys(e, errno, "cannot open container \"%.12s\"'s directory", id) : fd;
}

int ctr_run_dir(const struct engine *g, const char *id, bool make, struct err *e)
{
        AUTO_ARENA a = { 0 };
        const char *parent = arena_printf(&a, "%s/containers", g->places.run);
        const char *path = arena_printf(&a, "%s/%s", parent, id);
        int fd;

        if (make && ((mkdir(g->places.run, 0711) < 0 && errno != EEXIST) ||
                     (mkdir(parent, 0711) < 0 && errno != EEXIST) ||
                     (mkdir(path, 0700) < 0 && errno != EEXIST)))
                return err_sys(e, errno, "cannot make \"%s\"", path);
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? err_sys(e, errno, "cannot open \"%s\"", path) : fd;
}

int ctr_monitor_config(const struct engine *g, struct arena *a, const struct ctr *c,
                       struct monitor_config *ret, struct err *e)
{
        AUTO_FD int dir = ctr_dir(g, c->id, e);
        AUTO_FREE char *text = NULL;
        size_t n;
        int r = dir < 0 ? -1 : fd_read_regular_at(dir, "monitor.json", 1 << 20, &text, &n);

        if (dir < 0)
                return -1;
        if (r < 0)
                return err_sys(e, r, "cannot read container \"%.12s\"'s monitor.json", c->id);
        return monitor_config_read(a, arena_strndup(a, text, n), n, ret, e);
}

int engine_journal(const struct store *s, struct err *e)
{
        int dir = store_dir(s), fd;

        if (mkdirat(dir, "events", 0700) < 0 && errno != EEXIST)
                return err_sys(e, errno, "cannot make \"%s/events\"", store_path(s));
        fd = openat(dir, "events", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? err_sys(e, errno, "cannot open \"%s/events\"", store_path(s)) : fd;
}
