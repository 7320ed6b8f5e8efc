/* Changing what a container may use, and its restart policy: now, and for every start to come. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "engine/ctr-internal.h"
#include "oci/runtime.h"

#define FILE_LIMIT (16u << 20)

static int read_file(struct arena *a, int dir, const char *name, const char **ret, size_t *ret_n,
                     struct err *e)
{
        AUTO_FREE char *text = NULL;
        int r = fd_read_regular_at(dir, name, FILE_LIMIT, &text, ret_n);

        if (r < 0)
                return err_sys(e, r, "cannot read %s", name);
        *ret = arena_strndup(a, text, *ret_n);
        return 0;
}

static int write_file(int dir, const char *name, const struct buf *text, struct err *e)
{
        int r = fd_replace_at(dir, name, text->s, text->len, 0600, 1);

        return r < 0 ? err_sys(e, r, "cannot write %s", name) : 0;
}

/* RFC 7396 without its nulls: objects are merged, anything else is replaced. */
static void put_merged(struct json_writer *w, const char *name, const struct json *base,
                       const struct json *patch)
{
        if (!patch || !base || base->type != JSON_OBJECT || patch->type != JSON_OBJECT) {
                json_put(w, name, patch ? patch : base);
                return;
        }
        json_open(w, name, '{');
        for (uint32_t i = 0; i < base->n; i++)
                put_merged(w, base->members[i].name, &base->members[i].value,
                           json_get(patch, base->members[i].name));
        for (uint32_t i = 0; i < patch->n; i++)
                if (!json_get(base, patch->members[i].name))
                        json_put(w, patch->members[i].name, &patch->members[i].value);
        json_close(w, '}');
}

/* config.json with resources merged into linux.resources. */
static int merge_config(struct arena *a, int dir, const char *resources, struct buf *out,
                        struct err *e)
{
        const char *patch = arena_printf(a, "{\"linux\":{\"resources\":%s}}", resources),
                   *text = NULL;
        struct json_writer w = { .out = out, .fresh = true };
        struct json base, change;
        size_t n;

        if (read_file(a, dir, "config.json", &text, &n, e) < 0)
                return -1;
        if (json_parse(a, text, n, NULL, &base, NULL) < 0 ||
            json_parse(a, patch, strlen(patch), NULL, &change, NULL) < 0)
                return err_set(e, ERR_INTERNAL, "config.json can't be read");
        put_merged(&w, NULL, &base, &change);
        return 0;
}

static int apply(struct engine *g, const struct ctr *c, struct arena *a, const char *resources,
                 struct err *e)
{
        const struct runtime rt = { .root = g->places.oci, .log = g->places.log };
        struct spec_resources r;
        const struct update_options o = { .resources = &r };

        if (spec_parse_resources(a, resources, strlen(resources), &r, e) < 0)
                return -1;
        return runtime_update(&rt, c->id, &o, e);
}

int ctr_monitor_read(struct arena *a, int dir, struct monitor_config *ret, struct err *e)
{
        const char *text = NULL;
        size_t n = 0;

        return read_file(a, dir, "monitor.json", &text, &n, e) < 0
                       ? -1
                       : monitor_config_read(a, text, n, ret, e);
}

int ctr_monitor_write(int dir, const struct monitor_config *m, struct err *e)
{
        AUTO_BUF out = { 0 };

        monitor_config_write(m, &out);
        return write_file(dir, "monitor.json", &out, e);
}

void ctr_reload(const struct engine *g, const struct ctr *c)
{
        const struct wire_request q = { .op = WIRE_RELOAD };
        struct wire_reply reply;

        ctr_call(g, c, &q, 5000, &reply, NULL);
}

static int set_restart(int dir, struct arena *a, enum restart_policy policy, int64_t max,
                       struct err *e)
{
        struct monitor_config m;

        if (ctr_monitor_read(a, dir, &m, e) < 0)
                return -1;
        m.restart = policy;
        m.restart_max = max;
        return ctr_monitor_write(dir, &m, e);
}

int ctr_update(struct engine *g, const struct ctr *c, const struct ctr_update *u, struct err *e)
{
        AUTO_FD int dir = ctr_lock(g, c, e);
        AUTO_BUF config = { 0 };
        AUTO_ARENA a = { 0 };
        struct ctr_state s;

        if (dir < 0)
                return -1;
        ctr_state(g, c, &s);
        if (u->resources && merge_config(&a, dir, u->resources, &config, e) < 0)
                return -1;
        if (u->resources && (s.status == CTR_RUNNING || s.status == CTR_PAUSED) &&
            apply(g, c, &a, u->resources, e) < 0)
                return -1;
        if (u->resources && write_file(dir, "config.json", &config, e) < 0)
                return -1;
        if (u->restart_given && set_restart(dir, &a, u->restart, u->restart_max, e) < 0)
                return -1;
        if (u->restart_given)
                ctr_reload(g, c);
        ctr_event(g, c, "update", NULL, NULL);
        return 0;
}
