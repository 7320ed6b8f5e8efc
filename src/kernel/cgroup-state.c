/* A container's cgroup as text, so that a later process finds it again without discovery: the
 * mounts may have changed, and the process that asks may live elsewhere in the tree. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "kernel/cgroup-internal.h"

static void put_escaped(struct buf *out, const char *s)
{
        if (!*s)
                buf_putc(out, '-');
        for (; *s; s++) {
                if (*s == ' ' || *s == '\n' || *s == '\t' || *s == '\\')
                        buf_printf(out, "\\%03o", (unsigned char)*s);
                else
                        buf_putc(out, *s);
        }
}

void cgroup_encode(const struct cgroup *c, struct buf *out)
{
        for (size_t i = 0; i < c->n; i++) {
                const struct cgroup_dir *d = &c->v[i];

                buf_printf(out, "%d %u %u ", d->v2 ? 2 : 1, d->made, d->controllers);
                put_escaped(out, d->name);
                buf_putc(out, ' ');
                put_escaped(out, d->mount);
                buf_putc(out, ' ');
                put_escaped(out, d->root);
                buf_putc(out, ' ');
                put_escaped(out, d->path);
                buf_putc(out, '\n');
        }
}

#define FIELDS 7

static int line_decode(struct arena *a, const char *line, size_t n, struct cgroup_dir *d)
{
        const char *fields[FIELDS], *at = line, *end = line + n;
        uint32_t version, made, controllers;

        for (int i = 0; i < FIELDS; i++) {
                const char *blank = at < end ? memchr(at, ' ', (size_t)(end - at)) : NULL;

                if (at > end || !blank != (i == FIELDS - 1))
                        return -EINVAL;
                fields[i] = cgroup_unescape(a, at, (size_t)((blank ? blank : end) - at));
                at = blank ? blank + 1 : end;
        }
        if (str_to_u32(fields[0], &version) < 0 || str_to_u32(fields[1], &made) < 0 ||
            str_to_u32(fields[2], &controllers) < 0 || version < 1 || version > 2)
                return -EINVAL;
        *d = (struct cgroup_dir){
                .v2 = version == 2,
                .made = made,
                .controllers = controllers,
                .name = str_eq(fields[3], "-") ? "" : fields[3],
                .mount = fields[4],
                .root = fields[5],
                .path = fields[6],
        };
        /* The path is removed one day: it must lie below its mount, as cgroup_locate() made it. */
        if (d->mount[0] != '/' || !str_after(d->path, d->mount) || strstr(d->path, "/../") ||
            str_ends(d->path, "/..") || strlen(d->path) >= PATH_MAX || made > 1024)
                return -EINVAL;
        return 0;
}

int cgroup_decode(struct arena *a, const char *text, struct cgroup *ret)
{
        struct cgroup c = { .v2 = -1 };
        const char *line;
        size_t n;

        for (const char *at = text; str_next(&at, '\n', &line, &n);) {
                int r;

                if (n == 0)
                        continue;
                if (c.n == CGROUP_HIERARCHIES_MAX)
                        return -EINVAL;
                r = line_decode(a, line, n, &c.v[c.n]);
                if (r < 0)
                        return r;
                if (c.v[c.n].v2)
                        c.v2 = (int)c.n;
                c.n++;
        }
        cgroup_map_controllers(&c, c.of);
        *ret = c;
        return 0;
}
