/* The steps of a container from an image: find or pull it, hold it, make a workspace, stack the
 * layers, fill in what the image leaves to the engine. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "engine/events.h"
#include "engine/sandbox-internal.h"
#include "image/snapshot.h"
#include "kernel/mount.h"

/* ---- which image ---- */

static int open_store(struct run *r, struct err *e)
{
        return store_open(r->p->store, r->p->log, &r->store, e);
}

static void close_store(struct run *r)
{
        store_close(r->store);
        r->store = NULL;
}

static struct platform wanted(const struct run *r)
{
        struct platform p = r->s->pull.platform;

        if (str_empty(p.os))
                platform_host(&p);
        return p;
}

int image_choose(struct store *s, struct arena *a, const struct platform *want, struct image *image,
                 struct err *e)
{
        const struct descriptor *d;
        struct manifest m;
        const char *text;
        size_t n;

        if (store_blob_read(s, a, image->digest, MANIFEST_MAX, &text, &n, e) < 0 ||
            manifest_parse(a, text, n, image->media_type, &m, e) < 0)
                return -1;
        if (m.kind == MANIFEST_IMAGE)
                return 0;
        if (manifest_choose(&m, want, &d, e) < 0)
                return -1;
        return store_image_find(s, a, d->digest, image, e);
}

static int choose(struct run *r, struct err *e)
{
        struct platform want = wanted(r);

        return image_choose(r->store, &r->arena, &want, &r->image, e);
}

/* Whether the image is here, for the platform that was asked for. 1, 0, or -1 with e. */
static int find_here(struct run *r, struct err *e)
{
        struct platform want = wanted(r);

        if (store_image_find(r->store, &r->arena, r->s->image, &r->image, e) < 0 ||
            choose(r, e) < 0)
                return e->code == ERR_NOT_FOUND ? 0 : -1;
        if (r->s->platform_given && platform_match(&want, &r->image.platform) < 0) {
                err_set(e, ERR_NOT_FOUND, "it is here for %s only",
                        platform_str(&r->arena, &r->image.platform));
                return 0;
        }
        return 1;
}

static int pull(struct run *r, struct err *e)
{
        struct platform want = wanted(r);
        bool changed;

        if (image_pull(r->store, &r->arena, r->s->image, &r->s->pull, r->s->watcher, r->p->log,
                       &r->image, &changed, e) < 0)
                return -1;
        event_image(r->store, "pull", &r->image, r->s->image);
        if (choose(r, e) < 0)
                return -1;
        /* An image of one platform has no index to choose from. */
        if (r->s->platform_given && platform_match(&want, &r->image.platform) < 0)
                return err_set(e, ERR_NOT_FOUND, "it is for %s, not %s",
                               platform_str(&r->arena, &r->image.platform),
                               platform_str(&r->arena, &want));
        return 0;
}

static int read_config(struct run *r, struct err *e)
{
        const char *text;
        size_t n;

        if (r->image.artifact_type)
                return err_set(e, ERR_INVALID, "it is an artifact (%s), not an image to run",
                               r->image.artifact_type);
        if (store_blob_read(r->store, &r->arena, r->image.id, CONFIG_MAX, &text, &n, e) < 0 ||
            image_config_parse(&r->arena, text, n, &r->config, e) < 0)
                return -1;
        r->has_config = true;
        return 0;
}

static int resolve_image(struct run *r, struct err *e)
{
        bool must_ask = r->s->pull.policy == PULL_ALWAYS || r->s->pull.policy == PULL_NEWER;
        int here = must_ask && !r->plan ? 0 : find_here(r, e);

        if (here < 0)
                return -1;
        if (here == 0 && r->s->pull.policy == PULL_NEVER) {
                *e->hint = 0;
                return err_hint(e, "--pull never forbids it; `berth pull %.100s` gets it",
                                r->s->image);
        }
        if (here == 0 && r->plan) {
                r->stop = true;
                return 0;
        }
        return here == 0 && pull(r, e) < 0 ? -1 : 0;
}

int find_image(struct run *r, struct err *e)
{
        if (resolve_image(r, e) < 0 || (!r->stop && read_config(r, e) < 0))
                return err_in(e, "image \"%s\"", r->s->image);
        err_clear(e);
        return 0;
}

static void print_image(struct run *r, struct buf *out)
{
        if (r->stop)
                buf_printf(out,
                           "engine: pull %s\n"
                           "engine: ... the rest follows from what it is\n",
                           r->s->image);
        else
                buf_printf(out, "engine: use-image %s (%s)\n", r->s->image, r->image.digest);
}

/* Found before it was leased, it may be gone by now: hence the second look. */
int hold_image(struct run *r, struct err *e)
{
        struct image again;

        if (store_lease(r->store, r->image.digest, &r->lease, e) < 0 ||
            store_image_find(r->store, &r->arena, r->image.digest, &again, e) < 0)
                return err_in(e, "image \"%s\"", r->s->image);
        return 0;
}

void release_image(struct run *r)
{
        if (r->lease)
                store_lease_end(r->store, r->lease);
}

/* ---- its root file system ---- */

/* Before the mount namespace of our own: snapshot.h says why. With --plan the layers are mounted
 * nowhere and read-only, to look users up in them. */
static int mount_layers(struct run *r, struct err *e)
{
        struct snapshot n = { .layers = &r->image.layers,
                              .upper = -1,
                              .work = -1,
                              .userns = -1,
                              .volatile_ = true,
                              .upper_new = !r->plan,
                              .run = r->p->run };
        AUTO_FD int upper = -1, work = -1;

        if (!r->plan) {
                if (mkdirat(r->workspace.dir, "upper", 0755) < 0 ||
                    mkdirat(r->workspace.dir, "work", 0700) < 0)
                        return err_sys(e, errno, "cannot make the container's upper directory");
                upper = openat(r->workspace.dir, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                work = openat(r->workspace.dir, "work", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (upper < 0 || work < 0)
                        return err_sys(e, errno, "cannot open the container's upper directory");
                n.upper = upper;
                n.work = work;
        }
        if (snapshot_mount(r->store, &n, &r->mount, e) < 0)
                return err_in(e, "image \"%s\"", r->s->image);
        return 0;
}

static void print_layers(struct run *r, struct buf *out)
{
        for (size_t i = 0; i < r->image.layers.n; i++)
                buf_printf(out, "engine: mount layer %.12s (%s)\n", r->image.layers.v[i],
                           r->image.diff_ids.v[i]);
        buf_printf(out,
                   "engine: mount overlay (%zu layers, upperdir=upper, workdir=work, volatile)\n",
                   r->image.layers.n);
}

static int attach_root(struct run *r, struct err *e)
{
        AUTO_FD int target = -1;
        int status;

        r->root_path = arena_printf(&r->arena, "%s/bundle", r->p->run);
        if (r->plan) {
                r->root = TAKE_FD(r->mount);
                return 0;
        }
        if (private_mounts(r, &target, e) < 0)
                return -1;
        status = mount_attach(r->mount, target);
        if (status < 0)
                return err_sys(e, status, "cannot mount on \"%s\"", r->root_path);
        r->root = open(r->root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return r->root < 0 ? err_sys(e, errno, "cannot open \"%s\"", r->root_path) : 0;
}

static void print_attach(struct run *r, struct buf *out)
{
        buf_printf(out, "engine: new-mount-ns\nengine: attach overlay on %s\n", r->root_path);
}

int make_files(struct run *r, struct err *e)
{
        return mounts_etc(&r->arena, r->s, &r->workspace, r->plan != NULL, &r->mounts, e);
}

static void print_files(struct run *r, struct buf *out)
{
        buf_printf(out, "engine: write-files %s/etc (hosts, hostname, resolv.conf)\n",
                   r->workspace.path);
}

int make_volumes(struct run *r, struct err *e)
{
        if (r->s->ns[KIND_IPC].mode == MODE_CONTAINER)
                mounts_shm(&r->arena, &r->workspace, r->s->ns[KIND_IPC].container, &r->mounts);
        return mounts_volumes(&r->arena, &r->settings, &r->workspace, r->store,
                              r->plan ? -1 : r->root, &r->mounts, e);
}

static void print_volumes(struct run *r, struct buf *out)
{
        for (size_t i = 0; i < r->settings.volumes.n; i++)
                buf_printf(out, "engine: make-volume %s/volumes/%zu (a copy of the image's %s)\n",
                           r->workspace.path, i, r->settings.volumes.v[i]);
}

int make_secrets(struct run *r, struct err *e)
{
        return secrets_use(&r->arena, r->store, &r->s->secrets, &r->workspace, r->plan != NULL,
                           &r->mounts, &r->secrets, e);
}

static void print_secrets(struct run *r, struct buf *out)
{
        for (size_t i = 0; i < r->secrets.n; i++)
                buf_printf(out, "engine: use-secret %s (%s %s)\n", r->secrets.v[i].name,
                           r->secrets.v[i].variable ? "variable" : "file", r->secrets.v[i].target);
}

const struct step image_steps[] = {
        { .make = open_store, .undo = close_store, .always = true },
        { .make = find_image, .print = print_image, .always = true },
        { .make = step_settings, .always = true },
        { .make = step_signals, .undo = undo_signals },
        { .make = hold_image, .undo = release_image },
        { .make = step_workspace,
          .undo = undo_workspace,
          .print = print_workspace,
          .always = true },
        { .make = mount_layers, .print = print_layers, .always = true },
        { .make = attach_root, .print = print_attach, .always = true },
        { .make = make_files, .print = print_files, .always = true },
        { .make = make_volumes, .print = print_volumes, .always = true },
        { .make = make_secrets, .print = print_secrets, .always = true },
        { .make = sandbox_config, .always = true },
        { .make = step_run, .always = true },
        {}
};
