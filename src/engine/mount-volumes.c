/* Volumes of a container being made: where they are, and what the container's record says of them
 * and the other mounts. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "engine/mounts.h"
#include "engine/sandbox-internal.h"
#include "engine/volume.h"
#include "kernel/mount.h"
#include "kernel/tree.h"
#include "monitor/wire.h"

/* An anonymous one: a directory of the workspace. */
static int make_anonymous(const struct workspace *w, const char *name, int root,
                          const char *destination, bool copy, struct err *e)
{
        if ((mkdirat(w->dir, "volumes", 0711) < 0 && errno != EEXIST) ||
            mkdirat(w->dir, name, 0755) < 0)
                return err_sys(e, errno, "cannot make \"%s/%s\"", w->path, name);
        AUTO_FD int dir = openat(w->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir < 0)
                return err_sys(e, errno, "cannot open \"%s/%s\"", w->path, name);
        return copy ? volume_copy(dir, root, destination, e) : 0;
}

static void hold(struct arena *a, struct mounts *m, int dir)
{
        int *held = arena_array(a, int, m->nheld + 1);

        if (m->nheld)
                memcpy(held, m->held, m->nheld * sizeof *held);
        held[m->nheld++] = dir;
        m->held = held;
}

static int use_named(struct arena *a, struct store *s, int root, struct mounts *m,
                     const struct mount_row *row, bool *ret_own, struct err *e)
{
        int dir;

        if (volume_use(s, row->volume, &dir, e) < 0)
                return -1;
        hold(a, m, dir);
        AUTO_FD int data = volume_mount(s, row->volume, ret_own, e);
        if (data < 0)
                return -1;
        return row->nocopy || row->subpath ? 0 : volume_fill(dir, root, row->destination, e);
}

/* Its source is a place on which the engine mounts something at each start. */
static void prepare(struct arena *a, const struct workspace *w, struct mounts *m,
                    struct mount_row *row)
{
        row->prepared = ++m->nprepared;
        row->source = arena_printf(a, "%s/mounts/%u", w->path, row->prepared - 1);
}

void mounts_shm(struct arena *a, const struct workspace *w, const char *id, struct mounts *m)
{
        static const char *const options[] = { "nosuid", "nodev", "noexec", NULL };
        struct mount_row *row;

        if (mounts_has(m, "/dev/shm"))
                return;
        row = mounts_bind(a, m, NULL, "/dev/shm", options);
        row->shm_of = id;
        prepare(a, w, m, row);
}

static int make_image(struct arena *a, const struct workspace *w, struct store *s, struct mounts *m,
                      struct mount_row *row, struct err *e)
{
        struct platform here;
        struct image image;

        platform_host(&here);
        if (store_image_find(s, a, row->image, &image, e) < 0 ||
            image_choose(s, a, &here, &image, e) < 0) {
                if (e->code == ERR_NOT_FOUND) {
                        *e->hint = 0;
                        err_hint(e, "`berth pull %.100s` gets it", row->image);
                }
                return -1;
        }
        row->digest = image.digest;
        row->layers = image.layers;
        prepare(a, w, m, row);
        return 0;
}

/* *n counts the anonymous ones. */
static int make_volume(struct arena *a, const struct workspace *w, struct store *s, int root,
                       struct mounts *m, struct mount_row *row, size_t *n, struct err *e)
{
        const char *name;
        bool own = false;

        row->stored = true;
        if (row->source) /* another container's (ctr-join.c) */
                return 0;
        if (*row->volume) {
                row->source = arena_printf(a, "%s/volumes/%s/_data", store_path(s), row->volume);
                if (root >= 0 && use_named(a, s, root, m, row, &own, e) < 0)
                        return -1;
                m->own_volumes |= own;
                if (row->subpath || own)
                        prepare(a, w, m, row);
                return 0;
        }
        name = arena_printf(a, "volumes/%zu", (*n)++);
        row->source = arena_printf(a, "%s/%s", w->path, name);
        return root < 0 ? 0 : make_anonymous(w, name, root, row->destination, !row->nocopy, e);
}

/* --image-volume tmpfs */
static void add_tmpfs(struct arena *a, const struct settings *t, struct mounts *m)
{
        static const char *const options[] = { "nosuid", "nodev", "tmpcopyup" };

        for (size_t i = 0; i < t->tmpfs.n; i++) {
                struct mount_row *row;

                if (mounts_has(m, t->tmpfs.v[i]))
                        continue;
                row = mounts_add(a, m);
                *row = (struct mount_row){ .kind = MOUNT_TMPFS,
                                           .type = "tmpfs",
                                           .source = "tmpfs",
                                           .destination = t->tmpfs.v[i] };
                for (size_t k = 0; k < ARRAY_SIZE(options); k++)
                        strings_add(a, &row->options, options[k]);
        }
}

int mounts_volumes(struct arena *a, const struct settings *t, const struct workspace *w,
                   struct store *s, int root, struct mounts *m, struct err *e)
{
        static const char *const options[] = { "nodev", NULL };
        size_t n = 0;

        for (size_t i = 0; i < t->volumes.n; i++) {
                if (mounts_has(m, t->volumes.v[i])) /* what the caller mounts there wins */
                        continue;
                mounts_bind(a, m, NULL, t->volumes.v[i], options);
                m->v[m->n - 1].kind = MOUNT_VOLUME;
                m->v[m->n - 1].volume = "";
        }
        add_tmpfs(a, t, m);
        for (size_t i = 0; i < m->n; i++) {
                struct mount_row *row = &m->v[i];

                if (row->kind == MOUNT_VOLUME && make_volume(a, w, s, root, m, row, &n, e) < 0)
                        return err_in(e, "volume \"%s\"",
                                      *row->volume ? row->volume : row->destination);
                if (row->kind == MOUNT_IMAGE && make_image(a, w, s, m, row, e) < 0)
                        return err_in(e, "--mount: image \"%s\"", row->image);
        }
        if (m->nprepared > WIRE_MOUNTS_MAX)
                return err_set(e, ERR_LIMIT, "there can be %d mounts of images and subpaths",
                               WIRE_MOUNTS_MAX);
        return 0;
}

/* ---- the option U ---- */

/* Never what the host itself lives from, as podman has it. */
static bool is_system(const char *path)
{
        static const char *const dirs[] = { "/",     "/bin",   "/boot",   "/dev", "/etc", "/home",
                                            "/lib",  "/lib64", "/media",  "/mnt", "/opt", "/proc",
                                            "/root", "/run",   "/sbin",   "/srv", "/sys", "/tmp",
                                            "/usr",  "/var",   "/var/lib" };

        return STR_INDEX(dirs, path) >= 0;
}

static int chown_row(const struct sandbox *s, const struct mount_row *row, uint32_t uid,
                     uint32_t gid, struct err *e)
{
        bool inside = row->stored || row->idmap || s->userns.mode == USERNS_HOST;
        AUTO_FD int fd = open(row->source, O_PATH | O_CLOEXEC);
        struct fd_path self = fd_path(fd);
        char real[4096];
        ssize_t n = fd < 0 ? -1 : readlink(self.s, real, sizeof real - 1);
        int r;

        if (n < 0)
                return err_sys(e, errno, "cannot open \"%s\"", row->source);
        real[n] = 0;
        if (is_system(real))
                return err_set(e, ERR_DENIED, "\"%s\" is the host's own: its owners stay", real);
        if (row->uids.n)
                return err_set(e, ERR_INVALID, "U and mappings of its own exclude each other");
        if (!inside &&
            (!id_to_host(&s->userns.uids, uid, &uid) || !id_to_host(&s->userns.gids, gid, &gid)))
                return err_set(e, ERR_INVALID, "the container's user is not mapped");
        r = tree_chown(fd, uid, gid);
        return r < 0 ? err_sys(e, r, "cannot change owners in \"%s\"", row->source) : 0;
}

int mounts_chown(const struct sandbox *s, const struct mounts *m, uint32_t uid, uint32_t gid,
                 struct err *e)
{
        for (size_t i = 0; i < m->n; i++)
                if (m->v[i].chown && m->v[i].source && chown_row(s, &m->v[i], uid, gid, e) < 0)
                        return err_in(e, "option U of \"%s\"", m->v[i].destination);
        return 0;
}

void mounts_done(struct mounts *m)
{
        while (m->nheld)
                fd_close(m->held[--m->nheld]);
}

/* ---- for the container's record ---- */

static const char *propagation_of(const struct mount_row *row)
{
        for (size_t i = 0; i < row->options.n; i++) {
                const struct mount_opt *o = mount_opt_find(row->options.v[i]);

                if (o && (o->kind == MOUNT_OPT_PROPAGATION || o->kind == MOUNT_OPT_PROPAGATION_REC))
                        return o->name;
        }
        return "";
}

static void record_row(const struct mount_row *row, struct json_writer *w)
{
        static const char *const kinds[MOUNT_KIND_MAX] = { [MOUNT_BIND] = "bind",
                                                           [MOUNT_VOLUME] = "volume",
                                                           [MOUNT_TMPFS] = "tmpfs",
                                                           [MOUNT_DEVPTS] = "devpts",
                                                           [MOUNT_IMAGE] = "image" };

        json_open(w, NULL, '{');
        json_put_str(w, "type", kinds[row->kind]);
        if (row->kind == MOUNT_VOLUME)
                json_put_str(w, "name", row->volume);
        if (row->subpath)
                json_put_str(w, "subpath", row->subpath);
        json_put_str(w, "source",
                     row->image                  ? row->image
                     : str_eq(row->type, "bind") ? row->source
                                                 : "");
        json_put_str(w, "destination", row->destination);
        json_put_bool(w, "rw", !row->read_only);
        json_put_str(w, "propagation", propagation_of(row));
        json_open(w, "options", '[');
        for (size_t i = 0; i < row->options.n; i++)
                json_put_str(w, NULL, row->options.v[i]);
        json_close(w, ']');
        json_close(w, '}');
}

void mounts_record(const struct mounts *m, struct json_writer *w)
{
        json_open(w, "mounts", '[');
        for (size_t i = 0; m && i < m->n; i++)
                if (m->v[i].kind != MOUNT_OURS)
                        record_row(&m->v[i], w);
        json_close(w, ']');
}

static void record_prepared(const struct mount_row *row, struct json_writer *w)
{
        json_open(w, NULL, '{');
        if (row->shm_of) {
                json_put_str(w, "shm", row->shm_of);
        } else if (row->image) {
                json_put_str(w, "image", row->digest);
                json_put_strings(w, "layers", &row->layers);
        } else {
                json_put_str(w, "volume", row->volume);
                json_put_str(w, "subpath", row->subpath);
        }
        json_close(w, '}');
}

void mounts_record_prepared(const struct mounts *m, struct json_writer *w)
{
        json_open(w, "prepared", '[');
        for (unsigned k = 1; m && k <= m->nprepared; k++)
                for (size_t i = 0; i < m->n; i++)
                        if (m->v[i].prepared == k)
                                record_prepared(&m->v[i], w);
        json_close(w, ']');
}
