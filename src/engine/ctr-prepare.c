/* What is mounted for a container before it starts, each time anew: images, and parts of volumes,
 * whose paths the containers that write there can change. They are found now, inside the volume,
 * and handed to the monitor as descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "engine/ctr-internal.h"
#include "engine/volume.h"
#include "image/snapshot.h"
#include "kernel/mount.h"
#include "kernel/resolve.h"

static int mount_part(struct engine *g, const char *name, const char *subpath, struct err *e)
{
        bool own;
        AUTO_FD int data = volume_mount(g->store, name, &own, e);
        int r;

        if (data < 0)
                return -1;
        AUTO_FD int part = resolve_in(data, subpath, 0, 0);
        r = part < 0 ? part : mount_copy(part, "", true);
        return r < 0 ? err_sys(e, r, "cannot use \"%s\" of volume \"%s\"", subpath, name) : r;
}

static int mount_image(struct engine *g, const struct json *j, int userns, struct err *e)
{
        const struct json *list = json_get(j, "layers");
        AUTO_ARENA a = { 0 };
        struct strings layers = { .v = arena_array(&a, const char *, list ? list->n + 1 : 1) };
        struct snapshot n = {
                .layers = &layers, .upper = -1, .work = -1, .userns = userns, .run = g->places.run
        };
        int fd;

        for (uint32_t i = 0; list && list->type == JSON_ARRAY && i < list->n; i++)
                layers.v[layers.n++] = json_str(&list->items[i], "");
        return snapshot_mount(g->store, &n, &fd, e) < 0
                       ? err_in(e, "image \"%s\"", json_str(json_get(j, "image"), ""))
                       : fd;
}

/* A directory for a directory, a file for anything else. */
static int make_place(int dir, const char *name, int mount, struct err *e)
{
        struct stat st;
        int r = 0;

        if (fstat(mount, &st) < 0 || (mkdirat(dir, "mounts", 0700) < 0 && errno != EEXIST))
                return err_sys(e, errno, "cannot make \"%s\"", name);
        if (unlinkat(dir, name, 0) < 0) /* of an earlier start */
                unlinkat(dir, name, AT_REMOVEDIR);
        r = S_ISDIR(st.st_mode) ? mkdirat(dir, name, 0700) : mknodat(dir, name, S_IFREG | 0600, 0);
        return r < 0 ? err_sys(e, errno, "cannot make \"%s\"", name) : 0;
}

int ctr_prepare(struct engine *g, const struct ctr *c, int dir, int mounts[WIRE_MOUNTS_MAX],
                struct err *e)
{
        const struct json *list = json_get(c->record, "prepared");
        uint32_t n = list && list->type == JSON_ARRAY ? MIN(list->n, (uint32_t)WIRE_MOUNTS_MAX) : 0;
        AUTO_FD int userns = -1;

        if (n && ctr_userns(c, &userns, e) < 0)
                return -1;

        for (uint32_t i = 0; i < n; i++) {
                const struct json *j = &list->items[i];
                const char *volume = json_str(json_get(j, "volume"), NULL);
                AUTO_ARENA a = { 0 };

                mounts[i] = volume ? mount_part(g, volume, json_str(json_get(j, "subpath"), "."), e)
                                   : mount_image(g, j, userns, e);
                if (mounts[i] >= 0 &&
                    make_place(dir, arena_printf(&a, "mounts/%u", i), mounts[i], e) == 0)
                        continue;
                for (uint32_t k = 0; k <= i; k++)
                        fd_close(mounts[k]);
                return -1;
        }
        return (int)n;
}
