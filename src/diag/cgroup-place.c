#include "diag/cgroup-place.h"

#include "base/path.h"
#include "base/str.h"
#include "diag/procfs.h"

static bool line_is(const struct cgroup_line *line, const struct cgroup_hierarchy *h)
{
        if (h->v2)
                return line->id == 0 && line->controllers.n == 0;
        return line->id != 0 && span_eq(line->controllers, h->name);
}

static unsigned depth_of(const char *path)
{
        unsigned n = 0;

        for (const char *c = path; *c; c++)
                n += *c == '/' && c[1];
        return n;
}

static struct place place_of(struct arena *a, const struct cgroup_hierarchy *h, const char *text,
                             bool host_view)
{
        struct span at = span_of(text);
        struct place p = { .version = h->v2 ? 2 : 1 };
        struct cgroup_line line;
        const char *rest;

        while (procfs_cgroup_next(&at, &line))
                if (line_is(&line, h)) {
                        p.path = arena_strndup(a, line.path.s, line.path.n);
                        break;
                }
        /* "/..": outside the reader's cgroup namespace. */
        if (!p.path || str_after(p.path, "/..") || !path_below(p.path, h->root))
                return p;
        rest = p.path + (str_eq(h->root, "/") ? 0 : strlen(h->root));
        if (str_eq(rest, "/"))
                rest = "";
        p.dir = arena_printf(a, "%s%s", h->mount, rest);
        p.mount_len = strlen(h->mount);
        p.depth = depth_of(rest);
        p.whole = host_view && str_eq(h->root, "/");
        return p;
}

void cgroup_places(struct arena *a, const struct cgroup_layout *l, const char *cgroup_text,
                   bool host_view, struct consumes_facts *c)
{
        struct place of[CGROUP_HIERARCHIES_MAX] = { 0 };

        for (size_t i = 0; i < l->n; i++)
                of[i] = place_of(a, &l->v[i], cgroup_text, host_view);
        for (int i = 0; i < CGROUP_CONTROLLER_MAX; i++)
                if (l->of[i] >= 0)
                        c->place[i] = of[l->of[i]];
        if (l->v2 >= 0)
                c->unified = of[l->v2];
}

static struct level level_at(struct arena *a, const char *path, size_t n)
{
        struct level l = { .path = n ? arena_strndup(a, path, n) : "/" };

        return l;
}

struct levels cgroup_levels(struct arena *a, const struct place *p)
{
        struct levels l = { .own = -1, .binding = -1 };
        const char *below;
        size_t n;

        if (!p->dir)
                return l;
        below = p->dir + p->mount_len;
        l.v = arena_array(a, struct level, FACTS_LEVELS_MAX);
        l.cut = !p->whole;
        for (n = strlen(below); l.n < FACTS_LEVELS_MAX;) {
                l.v[l.n++] = level_at(a, below, n);
                if (n == 0)
                        return l;
                while (n > 0 && below[n - 1] != '/')
                        n--;
                if (n > 0)
                        n--;
        }
        l.cut = true;
        return l;
}

const char *cgroup_level_dir(struct arena *a, const struct place *p, const struct level *l)
{
        return arena_printf(a, "%.*s%s", (int)p->mount_len, p->dir,
                            str_eq(l->path, "/") ? "" : l->path);
}

void cgroup_bind_cpu(struct levels *l)
{
        double least = 0;

        for (size_t i = 0; i < l->n; i++) {
                const struct level *v = &l->v[i];
                double cpus;

                if (l->own < 0 && (num_known(v->cpu_quota_us) || v->cpu_quota_us.is == NUM_MAX))
                        l->own = (int)i;
                if (!num_known(v->cpu_quota_us) || !num_known(v->cpu_period_us) ||
                    v->cpu_period_us.v == 0)
                        continue;
                cpus = (double)v->cpu_quota_us.v / (double)v->cpu_period_us.v;
                if (l->binding < 0 || cpus < least) {
                        l->binding = (int)i;
                        least = cpus;
                }
        }
}

void cgroup_bind_usage(struct levels *l)
{
        uint64_t least = 0;

        for (size_t i = 0; i < l->n; i++) {
                const struct level *v = &l->v[i];
                uint64_t room;

                if (l->own < 0 && num_known(v->usage))
                        l->own = (int)i;
                if (!num_known(v->limit) || !num_known(v->usage))
                        continue;
                room = v->usage.v < v->limit.v ? v->limit.v - v->usage.v : 0;
                if (l->binding < 0 || room < least) {
                        l->binding = (int)i;
                        least = room;
                }
        }
}
