#include "base/value.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define ID_NOBODY 65534 /* /proc/sys/kernel/overflowuid */

void strings_add(struct arena *a, struct strings *l, const char *s)
{
        /* A power of two is full: what arena_array gave holds exactly that many. */
        if ((l->n & (l->n - 1)) == 0) {
                const char **more = arena_array(a, const char *, l->n ? l->n * 2 : 1);

                if (l->n)
                        memcpy(more, l->v, l->n * sizeof *more);
                l->v = more;
        }
        l->v[l->n++] = s;
}

bool strings_has(const struct strings *l, const char *s)
{
        for (size_t i = 0; i < l->n; i++)
                if (str_eq(l->v[i], s))
                        return true;
        return false;
}

struct strings strings_both(struct arena *a, const struct strings *x, const struct strings *y)
{
        struct strings both = { arena_array(a, const char *, x->n + y->n + 1), 0 };

        for (size_t i = 0; i < x->n; i++)
                both.v[both.n++] = x->v[i];
        for (size_t i = 0; i < y->n; i++)
                both.v[both.n++] = y->v[i];
        return both;
}

struct key_values key_values_of(struct arena *a, const struct strings *list)
{
        struct key_values v = { arena_array(a, struct key_value, list->n + 1), list->n };

        for (size_t i = 0; i < list->n; i++) {
                const char *text = list->v[i], *eq = strchr(text, '=');

                v.v[i].key = eq ? arena_strndup(a, text, (size_t)(eq - text)) : text;
                v.v[i].value = eq ? eq + 1 : "";
        }
        return v;
}

bool key_values_match(const struct key_values *l, const char *wanted)
{
        const char *eq = strchr(wanted, '=');
        size_t n = eq ? (size_t)(eq - wanted) : strlen(wanted);

        for (size_t i = 0; i < l->n; i++)
                if (strlen(l->v[i].key) == n && memcmp(l->v[i].key, wanted, n) == 0 &&
                    (!eq || str_eq(l->v[i].value, eq + 1)))
                        return true;
        return false;
}

static bool shift(uint32_t id, uint32_t from, uint32_t to, uint32_t size, uint32_t *ret)
{
        if (id < from || id - from >= size)
                return false;
        *ret = to + (id - from);
        return true;
}

bool id_to_host(const struct id_mappings *m, uint32_t id, uint32_t *ret)
{
        for (size_t i = 0; i < m->n; i++)
                if (shift(id, m->v[i].container_id, m->v[i].host_id, m->v[i].size, ret))
                        return true;
        return false;
}

bool id_to_container(const struct id_mappings *m, uint32_t id, uint32_t *ret)
{
        for (size_t i = 0; i < m->n; i++)
                if (shift(id, m->v[i].host_id, m->v[i].container_id, m->v[i].size, ret))
                        return true;
        return false;
}

uint32_t id_seen(const struct id_mappings *m, uint32_t id)
{
        uint32_t ret = ID_NOBODY;

        if (m->n == 0)
                return id;
        id_to_container(m, id, &ret);
        return ret;
}
