/* berth image mount, berth image unmount: images as directories of this host, read-only.
 *
 * An image is mounted at RUN/images/ID, and that it is mounted there is all that is known of it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/image.h"
#include "cli/image-list.h"
#include "codec/json.h"
#include "image/snapshot.h"
#include "kernel/mount.h"
#include "kernel/sys.h"

struct mount_args {
        bool all, force;
        const char *format;
};

static const struct opt options[] = { FLAG(struct mount_args, all, 'a', "all", "Mount all images"),
                                      STR(struct mount_args, format, 0, "format", "json",
                                          "Print JSON"),
                                      {} };

/* One call's state. */
struct mounts {
        struct ctx *c;
        struct store *s;
        int dir; /* RUN/images, locked */
        const char *path;
        struct buf out;
        bool json, bare; /* bare: of one image the path alone, for $(...) */
        struct json_writer w;
};

static int images_dir(struct mounts *m, struct err *e)
{
        const char *run = ctx_runroot(m->c);

        m->path = arena_printf(&m->c->arena, "%s/images", run);
        if ((mkdir(run, 0755) < 0 && errno != EEXIST) ||
            (mkdir(m->path, 0711) < 0 && errno != EEXIST))
                return err_sys(e, errno, "cannot make \"%s\"", m->path);
        m->dir = open(m->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (m->dir < 0 || flock(m->dir, LOCK_EX) < 0)
                return err_sys(e, errno, "cannot open \"%s\"", m->path);
        return 0;
}

static int begin(struct mounts *m, struct ctx *c, const struct mount_args *args, struct err *e)
{
        *m = (struct mounts){ .c = c, .dir = -1, .json = args->format };
        m->w = (struct json_writer){ .out = &m->out, .indent = 1 };
        if (args->format && !str_eq(args->format, "json"))
                return err_set(e, ERR_INVALID, "--format takes nothing but 'json' here");
        if (geteuid() != 0)
                return err_set(e, ERR_DENIED, "mounting images needs root");
        if (store_open(c->globals.root, &c->log, &m->s, e) < 0)
                return -1;
        return images_dir(m, e);
}

static int end(struct mounts *m, int status, struct err *e)
{
        int r;

        store_close(m->s);
        fd_close(m->dir);
        r = fd_write_all(STDOUT_FILENO, buf_str(&m->out), m->out.len);
        buf_done(&m->out);
        return r < 0 && status == 0 ? err_sys(e, r, "cannot print") : status;
}

static bool is_mounted(int dir, const char *id)
{
        AUTO_FD int fd = openat(dir, id, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        uint64_t number;
        bool root;

        return fd >= 0 && mount_id(fd, &number, &root) == 0 && root;
}

bool image_is_mounted(struct ctx *c, const struct image *i)
{
        const char *run = ctx_runroot(c);
        AUTO_FD int dir = open(arena_printf(&c->arena, "%s/images", run),
                               O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return dir >= 0 && i->id && is_mounted(dir, digest_hex(i->id));
}

static int attach(struct mounts *m, const struct image *i, const char *id, struct err *e)
{
        struct snapshot n = { .layers = &i->layers,
                              .upper = -1,
                              .work = -1,
                              .userns = -1,
                              .run = m->c->globals.runroot };
        AUTO_FD int mount = -1, target = -1;
        int r;

        if (snapshot_mount(m->s, &n, &mount, e) < 0)
                return -1;
        if (mkdirat(m->dir, id, 0755) < 0 && errno != EEXIST)
                return err_sys(e, errno, "cannot make \"%s/%s\"", m->path, id);
        target = openat(m->dir, id, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (target < 0)
                return err_sys(e, errno, "cannot open \"%s/%s\"", m->path, id);
        r = mount_attach(mount, target);
        return r < 0 ? err_sys(e, r, "cannot mount on \"%s/%s\"", m->path, id) : 0;
}

/* i is NULL where the image is gone. */
static void print(struct mounts *m, const struct image *i, const char *id)
{
        const char *path = arena_printf(&m->c->arena, "%s/%s", m->path, id);

        if (m->json) {
                json_open(&m->w, NULL, '{');
                json_put_str(&m->w, "id", id);
                json_open(&m->w, "Repositories", '[');
                for (size_t k = 0; i && k < i->names.n && !strchr(i->names.v[k], '@'); k++)
                        json_put_str(&m->w, NULL, i->names.v[k]);
                json_close(&m->w, ']');
                json_put_str(&m->w, "mountpoint", path);
                json_close(&m->w, '}');
        } else if (m->bare) {
                buf_printf(&m->out, "%s\n", path);
        } else {
                const char *name = i && i->names.n ? i->names.v[0] : id;

                buf_printf(&m->out, "%-12s  %s\n", name, path);
        }
}

static int mount_one(struct mounts *m, const struct image *i, struct err *e)
{
        const char *id;

        if (!i->id)
                return err_set(e, ERR_INVALID, "'%s' is no image with a root file system",
                               i->digest);
        id = digest_hex(i->id);
        if (!is_mounted(m->dir, id) && attach(m, i, id, e) < 0)
                return err_in(e, "image \"%s\"", image_label(&m->c->arena, i));
        print(m, i, id);
        return 0;
}

static int mount_named(struct mounts *m, char **names, struct err *e)
{
        for (; *names; names++) {
                struct image i;

                if (store_image_find(m->s, &m->c->arena, *names, &i, e) < 0 ||
                    mount_one(m, &i, e) < 0)
                        return -1;
        }
        return 0;
}

static int mount_all(struct mounts *m, struct err *e)
{
        struct image *v;
        size_t n;

        if (store_images(m->s, &m->c->arena, NULL, &v, &n, e) < 0)
                return -1;
        for (size_t i = 0; i < n; i++)
                if (v[i].id && !v[i].artifact_type && mount_one(m, &v[i], e) < 0)
                        return -1;
        return 0;
}

/* Calls fn for the ID of each mounted image. */
static int each_mounted(struct mounts *m,
                        int (*fn)(struct mounts *m, const char *id, struct err *e), struct err *e)
{
        AUTO_ARENA a = { 0 };
        struct strings names;
        int r = dir_names(m->dir, ".", &a, &names);

        if (r < 0)
                return err_sys(e, r, "cannot read \"%s\"", m->path);
        for (size_t i = 0; r == 0 && i < names.n; i++)
                if (names.v[i][0] != '.' && is_mounted(m->dir, names.v[i]))
                        r = fn(m, names.v[i], e);
        return r;
}

static int list_one(struct mounts *m, const char *id, struct err *e)
{
        struct image i;
        bool here = store_image_find(m->s, &m->c->arena, id, &i, NULL) == 0;

        print(m, here ? &i : NULL, arena_strdup(&m->c->arena, id));
        return 0;
}

static int run_mount(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct mount_args *args = p;
        struct mounts m;
        int r;

        if (args->all && argc)
                return err_set(e, ERR_INVALID, "--all and the names of images exclude each other");
        r = begin(&m, c, args, e);
        m.bare = argc == 1;
        if (r == 0 && m.json)
                json_open(&m.w, NULL, '[');
        if (r == 0)
                r = args->all ? mount_all(&m, e)
                    : argc    ? mount_named(&m, argv, e)
                              : each_mounted(&m, list_one, e);
        if (r == 0 && m.json) {
                json_close(&m.w, ']');
                buf_putc(&m.out, '\n');
        }
        return end(&m, r, e);
}

const struct command cmd_image_mount = {
        .name = "image mount",
        .usage = "[IMAGE...]",
        .help = "Mount images as directories, read-only",
        .about =
                "Prints where: of one image the path alone, of several one a line. An image that "
                "is mounted already stays where it is. Without an image, what is mounted is "
                "listed. The mount lasts until `berth image unmount` or the next boot; `berth rmi` "
                "refuses until then.",
        .opts = options,
        .max = -1,
        .needs = NEED_ROOT | NEED_STORE,
        .complete = { COMPLETE_IMAGE, COMPLETE_IMAGE, COMPLETE_IMAGE },
        .args_size = sizeof(struct mount_args),
        .run = run_mount,
};

/* ---- unmount ---- */

static const struct opt unmount_options[] = {
        FLAG(struct mount_args, all, 'a', "all", "Unmount all images"),
        FLAG(struct mount_args, force, 'f', "force",
             "Unmount also what is in use: whoever uses it goes on, the path is free"),
        {}
};

static int detach(struct mounts *m, const char *id, bool force, struct err *e)
{
        const char *path = arena_printf(&m->c->arena, "%s/%s", m->path, id);

        if (umount2(path, UMOUNT_NOFOLLOW | (force ? MNT_DETACH : 0)) < 0) {
                err_sys(e, errno, "cannot unmount \"%s\"", path);
                return err_hint(e, "A process has a file or its working directory there; "
                                   "--force unmounts all the same.");
        }
        unlinkat(m->dir, id, AT_REMOVEDIR);
        buf_printf(&m->out, "%s\n", id);
        return 0;
}

static int detach_gently(struct mounts *m, const char *id, struct err *e)
{
        return detach(m, id, false, e);
}

static int detach_hard(struct mounts *m, const char *id, struct err *e)
{
        return detach(m, id, true, e);
}

/* The mounted image that is meant; one that was removed from the store by its whole ID. */
static int unmount_named(struct mounts *m, const char *name, bool force, struct err *e)
{
        struct image i;
        const char *id = name;

        if (store_image_find(m->s, &m->c->arena, name, &i, e) == 0 && i.id)
                id = digest_hex(i.id);
        else if (strspn(name, "0123456789abcdef") != strlen(name) || !is_mounted(m->dir, name))
                return -1;
        err_clear(e);
        if (!is_mounted(m->dir, id))
                return err_set(e, ERR_STATE, "image \"%s\" is not mounted", name);
        return detach(m, id, force, e);
}

static int run_unmount(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct mount_args *args = p;
        struct mounts m;
        int r;

        if (args->all == (argc > 0))
                return err_set(e, ERR_INVALID,
                               args->all ? "--all and the names of images exclude "
                                           "each other"
                                         : "an image must be named, or --all given");
        r = begin(&m, c, args, e);
        if (r == 0 && args->all)
                r = each_mounted(&m, args->force ? detach_hard : detach_gently, e);
        for (; r == 0 && *argv; argv++)
                r = unmount_named(&m, *argv, args->force, e);
        return end(&m, r, e);
}

const struct command cmd_image_unmount = {
        .name = "image unmount",
        .alias = { "image umount" },
        .usage = "IMAGE...",
        .help = "Unmount images that `image mount` mounted",
        .about = "Prints the IDs of those that were unmounted.",
        .opts = unmount_options,
        .max = -1,
        .needs = NEED_ROOT | NEED_STORE,
        .complete = { COMPLETE_IMAGE, COMPLETE_IMAGE, COMPLETE_IMAGE },
        .args_size = sizeof(struct mount_args),
        .run = run_unmount,
};
