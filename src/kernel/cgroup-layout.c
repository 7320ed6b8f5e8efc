/* Which cgroup hierarchies this host has, from /proc/self/mountinfo and /proc/self/cgroup: never
 * from fixed paths, since hybrid hosts, nested containers and bind mounts put them anywhere. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/str.h"
#include "kernel/cgroup-internal.h"

#define PROC_FILE_MAX (64u << 20) /* a host with a million mounts */
#define MOUNTS_MAX 64

static const struct {
        const char *v1, *v2;
} controller_names[] = {
        [CGROUP_CPU] = { "cpu", "cpu" },
        [CGROUP_CPUACCT] = { "cpuacct", NULL },
        [CGROUP_CPUSET] = { "cpuset", "cpuset" },
        [CGROUP_MEMORY] = { "memory", "memory" },
        [CGROUP_DEVICES] = { "devices", NULL },
        [CGROUP_FREEZER] = { "freezer", NULL },
        [CGROUP_IO] = { "blkio", "io" },
        [CGROUP_PIDS] = { "pids", "pids" },
        [CGROUP_HUGETLB] = { "hugetlb", "hugetlb" },
        [CGROUP_NET_CLS] = { "net_cls", NULL },
        [CGROUP_NET_PRIO] = { "net_prio", NULL },
        [CGROUP_PERF_EVENT] = { "perf_event", NULL },
        [CGROUP_RDMA] = { "rdma", "rdma" },
        [CGROUP_MISC] = { "misc", "misc" },
        [CGROUP_DMEM] = { NULL, "dmem" },
};
static_assert(ARRAY_SIZE(controller_names) == CGROUP_CONTROLLER_MAX, "a controller lacks its name");

/* What v2 can do with no controller enabled, where v1 does not have it. */
static const cgroup_set core_set = CGROUP_BIT(CGROUP_CPUACCT) | CGROUP_BIT(CGROUP_DEVICES) |
                                   CGROUP_BIT(CGROUP_FREEZER) | CGROUP_BIT(CGROUP_PERF_EVENT);

const char *cgroup_controller_name(enum cgroup_controller c, bool v2)
{
        return v2 ? controller_names[c].v2 : controller_names[c].v1;
}

static bool is_name(const char *name, const char *s, size_t n)
{
        return name && strlen(name) == n && memcmp(name, s, n) == 0;
}

int cgroup_controller_find(const char *name, size_t n)
{
        for (int i = 0; i < CGROUP_CONTROLLER_MAX; i++)
                if (is_name(controller_names[i].v1, name, n) ||
                    is_name(controller_names[i].v2, name, n))
                        return i;
        return -1;
}

cgroup_set cgroup_set_parse(const char *text, char sep)
{
        cgroup_set set = 0;
        const char *word;
        size_t n;

        for (const char *at = text; str_next(&at, sep, &word, &n);) {
                int c;

                if (n > 0 && word[n - 1] == '\n')
                        n--;
                c = cgroup_controller_find(word, n);
                if (c >= 0)
                        set |= CGROUP_BIT(c);
        }
        return set;
}

void cgroup_map_controllers(const struct cgroup *c, int8_t *of)
{
        memset(of, -1, CGROUP_CONTROLLER_MAX);
        for (size_t i = 0; i < c->n; i++)
                for (int k = 0; k < CGROUP_CONTROLLER_MAX; k++)
                        if (c->v[i].controllers & CGROUP_BIT(k) && (of[k] < 0 || !c->v[i].v2))
                                of[k] = (int8_t)i;
        for (int k = 0; k < CGROUP_CONTROLLER_MAX; k++)
                if (of[k] < 0 && core_set & CGROUP_BIT(k))
                        of[k] = (int8_t)c->v2;
}

/* ---- mountinfo ---- */

/* One line of /proc/PID/mountinfo (proc(5)) that is a cgroup file system; points into the text. */
struct cgroup_mount {
        bool v2;
        const char *root, *point, *options;
        size_t root_len, point_len, options_len;
};

static bool is_octal(char c)
{
        return c >= '0' && c <= '7';
}

/* Undoes proc's \ooo escapes of blanks, newlines and backslashes. */
char *cgroup_unescape(struct arena *a, const char *s, size_t n)
{
        char *out = arena_alloc(a, n + 1);
        size_t len = 0;

        for (size_t i = 0; i < n; i++) {
                if (s[i] == '\\' && i + 3 < n && is_octal(s[i + 1]) && is_octal(s[i + 2]) &&
                    is_octal(s[i + 3])) {
                        out[len++] = (char)((s[i + 1] - '0') * 64 + (s[i + 2] - '0') * 8 +
                                            (s[i + 3] - '0'));
                        i += 3;
                } else {
                        out[len++] = s[i];
                }
        }
        return out;
}

/* Fields: id parent maj:min ROOT POINT options [optional ...] - TYPE source SUPEROPTIONS */
static bool mount_line_parse(const char *line, size_t len, struct cgroup_mount *m)
{
        const char *dash = memmem(line, len, " - cgroup", 9), *word, *end = line + len;
        const char *at = line;
        size_t n;

        if (!dash)
                return false;
        for (int i = 0; i < 5 && str_next(&at, ' ', &word, &n); i++) {
                if (i == 3)
                        m->root = word, m->root_len = n;
                if (i == 4)
                        m->point = word, m->point_len = n;
        }
        at = dash + 3;
        str_next(&at, ' ', &word, &n);
        if (!is_name("cgroup", word, n) && !is_name("cgroup2", word, n))
                return false;
        m->v2 = n == 7;
        str_next(&at, ' ', &word, &n);
        if (!at || at > end || m->point > dash)
                return false;
        m->options = at;
        m->options_len = (size_t)(end - at);
        return true;
}

/* Mounts of cgroup file systems, found by the type's text alone, since most lines are others. */
static size_t mounts_find(const char *text, struct cgroup_mount *m, size_t cap)
{
        size_t n = 0;

        for (const char *at = text; n < cap && (at = strstr(at, " - cgroup"));) {
                const char *line = at, *end = strchrnul(at, '\n');

                while (line > text && line[-1] != '\n')
                        line--;
                m[n] = (struct cgroup_mount){};
                if (mount_line_parse(line, (size_t)(end - line), &m[n]))
                        n++;
                at = end;
        }
        return n;
}

static bool options_have(const struct cgroup_mount *m, const char *name, size_t n)
{
        const char *at = m->options, *end = m->options + m->options_len;

        while (at < end) {
                const char *comma = memchr(at, ',', (size_t)(end - at));
                size_t len = (size_t)((comma ? comma : end) - at);

                if (len == n && memcmp(at, name, n) == 0)
                        return true;
                at += len + 1;
        }
        return false;
}

/* The mount that shows the most of the hierarchy: the one with the shortest root. */
static const struct cgroup_mount *mount_pick(const struct cgroup_mount *m, size_t n, bool v2,
                                             const char *name, size_t name_len)
{
        const struct cgroup_mount *best = NULL;

        for (size_t i = 0; i < n; i++) {
                if (m[i].v2 != v2 || (!v2 && !options_have(&m[i], name, name_len)))
                        continue;
                if (!best || m[i].root_len < best->root_len)
                        best = &m[i];
        }
        return best;
}

/* ---- the layout ---- */

/* Own cgroup as seen below a mount whose root is root; "/" where it lies outside, as in a container
 * whose cgroup mount was made in another cgroup namespace. */
static const char *below_root(struct arena *a, const char *self, size_t n, const char *root)
{
        size_t len = str_eq(root, "/") ? 0 : strlen(root);

        if (n < len || memcmp(self, root, len) != 0 || (n > len && self[len] != '/') || n == len)
                return "/";
        return arena_strndup(a, self + len, n - len);
}

static void hierarchy_add(struct arena *a, struct cgroup_layout *l, const struct cgroup_mount *m,
                          const char *name, size_t name_len, const char *self, size_t self_len)
{
        struct cgroup_hierarchy *h;

        if (l->n == CGROUP_HIERARCHIES_MAX)
                return;
        h = &l->v[l->n];
        h->v2 = m->v2;
        h->name = arena_strndup(a, name, name_len);
        h->mount = cgroup_unescape(a, m->point, m->point_len);
        h->root = cgroup_unescape(a, m->root, m->root_len);
        h->self = below_root(a, self, self_len, h->root);
        if (h->v2)
                l->v2 = (int)l->n;
        else
                h->controllers = cgroup_set_parse(h->name, ',');
        l->n++;
}

static void layout_map(struct cgroup_layout *l)
{
        struct cgroup c = { .n = l->n, .v2 = l->v2 };

        for (size_t i = 0; i < l->n; i++) {
                c.v[i].v2 = l->v[i].v2;
                c.v[i].controllers = l->v[i].controllers;
        }
        cgroup_map_controllers(&c, l->of);
}

/* One line of /proc/self/cgroup, ID:CONTROLLERS:PATH (cgroups(7)): v2's is 0::PATH. Any of a v1
 * hierarchy's controllers identifies its mount, so the first does. A path may hold colons. */
static void self_line_add(struct arena *a, struct cgroup_layout *l,
                          const struct cgroup_mount *mounts, size_t n_mounts, const char *line,
                          size_t n)
{
        const char *names = memchr(line, ':', n), *end = line + n, *path, *comma;
        const struct cgroup_mount *m;

        if (!names)
                return;
        names++;
        path = memchr(names, ':', (size_t)(end - names));
        if (!path)
                return;
        comma = memchr(names, ',', (size_t)(path - names));
        m = mount_pick(mounts, n_mounts, names == path, names,
                       (size_t)((comma ? comma : path) - names));
        if (m)
                hierarchy_add(a, l, m, names, (size_t)(path - names), path + 1,
                              (size_t)(end - path - 1));
}

int cgroup_layout_parse(struct arena *a, const char *mountinfo, const char *self,
                        const char *controllers, struct cgroup_layout *ret)
{
        struct cgroup_mount mounts[MOUNTS_MAX];
        size_t n_mounts = mounts_find(mountinfo, mounts, MOUNTS_MAX), n;
        const char *line;

        *ret = (struct cgroup_layout){ .v2 = -1 };
        for (const char *at = self; str_next(&at, '\n', &line, &n);)
                self_line_add(a, ret, mounts, n_mounts, line, n);
        if (ret->v2 >= 0 && controllers)
                ret->v[ret->v2].controllers = cgroup_set_parse(controllers, ' ');
        layout_map(ret);
        return 0;
}

int cgroup_layout_read(struct arena *a, struct cgroup_layout *ret)
{
        AUTO_FREE char *mountinfo = NULL, *self = NULL;
        char controllers[256];
        size_t n;
        int r;

        r = fd_read_file_at(AT_FDCWD, "/proc/self/mountinfo", PROC_FILE_MAX, &mountinfo, &n);
        if (r == 0)
                r = fd_read_file_at(AT_FDCWD, "/proc/self/cgroup", PROC_FILE_MAX, &self, &n);
        if (r < 0)
                return r;
        cgroup_layout_parse(a, mountinfo, self, NULL, ret);
        if (ret->v2 >= 0) {
                char path[PATH_MAX];

                snprintf(path, sizeof path, "%s/cgroup.controllers", ret->v[ret->v2].mount);
                if (fd_read_text_at(AT_FDCWD, path, controllers, sizeof controllers) > 0)
                        ret->v[ret->v2].controllers = cgroup_set_parse(controllers, ' ');
        }
        layout_map(ret);
        return 0;
}

bool cgroup_layout_unified(const struct cgroup_layout *l)
{
        return l->n == 1 && l->v2 == 0;
}
