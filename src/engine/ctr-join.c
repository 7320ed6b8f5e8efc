/* Containers in namespaces of another one: found when they are made, and again at every start,
 * for the other's process is another one by then. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "engine/ctr-internal.h"

#define OCI_CONFIG_MAX (16u << 20)

static const char *const members[KIND_MAX] = { "pid", "ipc", "uts", "cgroup", "network", "user" };

/* Init of the container that text names. */
static int find_init(struct engine *g, struct arena *a, const char *text, struct ctr *ret,
                     struct err *e)
{
        struct ctr_state s;

        if (ctr_find(g, a, text, ret, e) < 0)
                return -1;
        ctr_state(g, ret, &s);
        if (ctr_is_up(&s) && s.monitor.pid > 0)
                return s.monitor.pid;
        err_set(e, ERR_STATE, "container \"%s\", whose namespaces are to be joined, isn't running",
                ret->name);
        return err_hint(e, "`berth start %s` starts it", ret->name);
}

int ctr_join(struct engine *g, struct arena *a, struct sandbox *box, struct err *e)
{
        for (int i = 0; i < KIND_MAX; i++) {
                struct ctr other;
                int pid;

                if (box->ns[i].mode != MODE_CONTAINER)
                        continue;
                pid = find_init(g, a, box->ns[i].container, &other, e);
                if (pid < 0)
                        return -1;
                box->ns[i].container = other.id;
                namespaces_join(a, (enum ns_kind)i, pid, &box->ns[i]);
        }
        return 0;
}

void ctr_join_record(const struct sandbox *box, struct json_writer *w)
{
        json_open(w, "joins", '{');
        for (int i = 0; i < KIND_MAX; i++)
                if (box->ns[i].mode == MODE_CONTAINER)
                        json_put_str(w, members[i], box->ns[i].container);
        json_close(w, '}');
}

/* ---- at a start ---- */

static void put_namespaces(const struct json *list, const struct ns_choice *now,
                           struct json_writer *w)
{
        json_open(w, "namespaces", '[');
        for (uint32_t i = 0; i < list->n; i++) {
                const char *type = json_str(json_get(&list->items[i], "type"), "");
                const char *path = json_str(json_get(&list->items[i], "path"), NULL);

                for (int k = 0; k < KIND_MAX; k++)
                        if (str_eq(members[k], type) && now[k].path)
                                path = now[k].path;
                json_open(w, NULL, '{');
                json_put_str(w, "type", type);
                if (path)
                        json_put_str(w, "path", path);
                json_close(w, '}');
        }
        json_close(w, ']');
}

static void put_linux(const struct json *j, const struct ns_choice *now, struct json_writer *w)
{
        json_open(w, "linux", '{');
        for (uint32_t i = 0; i < j->n; i++) {
                const struct json_member *m = &j->members[i];

                if (str_eq(m->name, "namespaces") && m->value.type == JSON_ARRAY)
                        put_namespaces(&m->value, now, w);
                else
                        json_put(w, m->name, &m->value);
        }
        json_close(w, '}');
}

static int rewrite(int dir, const struct ns_choice *now, struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_FREE char *text = NULL;
        AUTO_BUF out = { 0 };
        struct json_writer w = { .out = &out, .fresh = true };
        struct json j;
        size_t len;
        int r = fd_read_regular_at(dir, "config.json", OCI_CONFIG_MAX, &text, &len);

        if (r == 0 && (json_parse(&a, text, len, NULL, &j, NULL) < 0 || j.type != JSON_OBJECT))
                r = -EBADMSG;
        if (r < 0)
                return err_sys(e, r, "cannot read the container's config.json");
        json_open(&w, NULL, '{');
        for (uint32_t i = 0; i < j.n; i++) {
                const struct json_member *m = &j.members[i];

                if (str_eq(m->name, "linux") && m->value.type == JSON_OBJECT)
                        put_linux(&m->value, now, &w);
                else
                        json_put(&w, m->name, &m->value);
        }
        json_close(&w, '}');
        r = fd_replace_at(dir, "config.json", out.s, out.len, 0600, 0);
        return r < 0 ? err_sys(e, r, "cannot write the container's config.json") : 0;
}

int ctr_rejoin(struct engine *g, const struct ctr *c, int dir, struct err *e)
{
        const struct json *joins = json_get(c->record, "joins");
        struct ns_choice now[KIND_MAX] = { 0 };
        AUTO_ARENA a = { 0 };
        bool any = false;

        for (int i = 0; i < KIND_MAX; i++) {
                const char *id = json_str(json_get(joins, members[i]), NULL);
                struct ctr other;
                int pid = id ? find_init(g, &a, id, &other, e) : 0;

                if (pid < 0)
                        return -1;
                any |= pid > 0;
                if (pid > 0)
                        namespaces_join(&a, (enum ns_kind)i, pid, &now[i]);
        }
        return any ? rewrite(dir, now, e) : 0;
}
