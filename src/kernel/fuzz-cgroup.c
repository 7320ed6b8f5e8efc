/* Discovery of cgroups from any mountinfo and cgroup file (split at 0xff), and the state file's
 * text: what was found can be saved and read back, and any other text is refused or harmless. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "kernel/cgroup-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
        if (!ok)
                abort();
}

/* Paths are removed by delete: none may leave its mount. */
static void check_paths(const struct cgroup *c)
{
        for (size_t i = 0; i < c->n; i++) {
                require(str_after(c->v[i].path, c->v[i].mount) != NULL);
                require(!strstr(c->v[i].path + strlen(c->v[i].mount), "/../"));
                require(!str_ends(c->v[i].path, "/.."));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO_ARENA a = {};
        AUTO_BUF text = {}, again = {};
        char *first = arena_strndup(&a, (const char *)data, size);
        char *second = memchr(first, 0xff, size);
        struct cgroup_layout l;
        struct cgroup c, back;

        if (cgroup_decode(&a, first, &c) == 0)
                check_paths(&c);
        if (!second)
                return 0;
        *second++ = 0;
        require(cgroup_layout_parse(&a, first, second, "cpu memory", &l) == 0);
        if (cgroup_locate(&a, &l, "../a/../../b", &c) < 0)
                return 0;
        for (size_t i = 0; i < c.n;
             i++) /* what mounts on "/" or has ".." can't be saved: not ours */
                if (c.v[i].mount[0] != '/' || strstr(c.v[i].path, "/..") || !c.v[i].root[0] ||
                    str_eq(c.v[i].name, "-") || strchr(c.v[i].name, '\r'))
                        return 0;
        cgroup_encode(&c, &text);
        if (cgroup_decode(&a, buf_str(&text), &back) < 0)
                abort();
        cgroup_encode(&back, &again);
        require(str_eq(buf_str(&text), buf_str(&again)));
        check_paths(&back);
        return 0;
}
