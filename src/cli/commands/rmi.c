/* berth rmi, berth image prune. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/image.h"
#include "cli/image-list.h"
#include "cli/image-remove.h"
#include "cli/table.h"
#include "engine/events.h"
#include "image/reference.h"

/* podman's. */
enum { EXIT_NOT_HERE = 1, EXIT_IN_USE = 2 };

struct rmi_args {
        bool all, force, ignore;
};

static const struct opt rmi_opts[] = {
        REFUSED(0, "platform", "an image here is of one platform: name it, or its digest"),
        FLAG(struct rmi_args, all, 'a', "all", "Remove all images"),
        FLAG(struct rmi_args, force, 'f', "force",
             "Remove also an image that has several names, or that a container uses (which goes "
             "on)"),
        FLAG(struct rmi_args, ignore, 'i', "ignore", "An image that is not here is no error"),
        IGNORED(0, "no-prune", "Without effect: there are no untagged parents"),
        {}
};

/* Which name of the image was meant, or NULL: the image itself, by its ID. */
static const char *meant(struct arena *a, const struct image *i, const char *text)
{
        struct reference r;

        if (reference_parse(a, text, &r, NULL) < 0)
                return NULL;
        for (size_t k = 0; k < i->names.n; k++) {
                struct reference have;

                if (reference_parse(a, i->names.v[k], &have, NULL) < 0)
                        continue;
                if (r.digest && have.digest && str_eq(r.digest, have.digest))
                        return i->names.v[k];
                if (!have.tag || !str_eq(have.tag, r.tag ? r.tag : "latest") || r.digest)
                        continue;
                if (r.host ? str_eq(r.host, have.host) && str_eq(r.path, have.path)
                           : str_eq(r.path, have.path) ||
                                     str_ends(have.path, arena_printf(a, "/%s", r.path)))
                        return i->names.v[k];
        }
        return NULL;
}

static size_t count_tags(const struct image *i)
{
        size_t n = 0;

        while (n < i->names.n && !strchr(i->names.v[n], '@'))
                n++;
        return n;
}

static int in_use(const struct image *i, const char *text, struct err *e)
{
        err_set(e, ERR_STATE, "image \"%s\" is used by %u container%s", text, i->containers,
                i->containers == 1 ? "" : "s");
        return err_hint(e, "Remove the containers first, or use --force: they go on without it.");
}

static int remove_one(struct ctx *c, struct store *s, const struct rmi_args *args, const char *text,
                      struct buf *out, struct err *e)
{
        struct image i;
        const char *name;
        size_t tags;

        if (store_image_find(s, &c->arena, text, &i, e) < 0)
                return -1;
        name = meant(&c->arena, &i, text);
        tags = count_tags(&i);
        if (name && !strchr(name, '@') && tags > 1) {
                if (store_untag(s, name, e) < 0)
                        return -1;
                event_image(s, "untag", &i, name);
                image_say_untagged(&c->arena, name, out);
                return 0;
        }
        if (!name && tags > 1 && !args->force) {
                err_set(e, ERR_STATE, "image \"%s\" has %zu names", text, tags);
                return err_hint(e, "Name one of them, or use --force to remove them all.");
        }
        if (i.containers && !args->force)
                return in_use(&i, text, e);
        if (!args->force && image_is_mounted(c, &i)) {
                err_set(e, ERR_STATE, "image \"%s\" is mounted", text);
                return err_hint(e, "Unmount it first with `berth image unmount`, or use --force.");
        }
        return image_remove_saying(s, &c->arena, &i, out, e);
}

/* Errors of single images are said, and the others go on. */
static int remove_each(struct ctx *c, struct store *s, const struct rmi_args *args,
                       const struct strings *names, struct buf *out)
{
        int status = 0;

        for (size_t k = 0; k < names->n; k++) {
                struct err e = { 0 };

                if (remove_one(c, s, args, names->v[k], out, &e) == 0)
                        continue;
                if (args->ignore && e.code == ERR_NOT_FOUND)
                        continue;
                fd_write_all(STDOUT_FILENO, buf_str(out), out->len);
                buf_clear(out);
                log_err(&c->log, LOG_LEVEL_ERROR, &e);
                status = MAX(status, e.code == ERR_STATE ? (int)EXIT_IN_USE : (int)EXIT_NOT_HERE);
        }
        return status;
}

static int all_names(struct ctx *c, struct store *s, struct strings *ret, struct err *e)
{
        struct image *v;
        size_t n;

        if (store_images(s, &c->arena, NULL, &v, &n, e) < 0)
                return -1;
        ret->v = arena_array(&c->arena, const char *, n + 1);
        for (size_t i = 0; i < n; i++)
                ret->v[ret->n++] = v[i].digest;
        return 0;
}

static int run_rmi(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct rmi_args args = *(struct rmi_args *)p;
        struct strings names = { (const char **)argv, (size_t)argc };
        AUTO_BUF out = { 0 };
        struct store *s;
        int status = 0;

        if (args.all && argc > 0)
                return err_set(e, ERR_INVALID, "--all and the names of images exclude each other");
        if (!args.all && argc == 0)
                return err_set(e, ERR_INVALID, "an image must be named, or --all given");
        if (store_open(c->globals.root, &c->log, &s, e) < 0)
                return -1;
        if (args.all) {
                names = (struct strings){ 0 };
                status = all_names(c, s, &names, e);
        }
        if (status == 0) {
                /* All of its names were meant; not that it is in use. */
                if (args.all)
                        status = images_remove_all(c, s, &names, args.force, &out);
                else
                        status = remove_each(c, s, &args, &names, &out);
        }
        store_close(s);
        fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return status;
}

const struct command cmd_rmi = {
        .name = "rmi",
        .alias = { "image rm", "image remove" },
        .usage = "IMAGE...",
        .help = "Remove images",
        .about = "Of an image with several names the one that is given goes; with the last one "
                 "goes the image, and every layer that no other image needs. The command returns "
                 "when nothing shows any more; a child deletes the files, and what it doesn't get "
                 "to is deleted by the next removal.",
        .opts = rmi_opts,
        .max = -1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_IMAGE, COMPLETE_IMAGE, COMPLETE_IMAGE },
        .args_size = sizeof(struct rmi_args),
        .run = run_rmi,
};

/* ---- prune ---- */

struct prune_args {
        bool all, force;
        struct strings filters;
};

static const struct opt prune_opts[] = {
        REFUSED(0, "external", "`berth container prune` removes containers"),
        FLAG(struct prune_args, all, 'a', "all", "Remove all images that no container uses"),
        LIST(struct prune_args, filters, 0, "filter", "KEY=VALUE",
             "Remove those alone that pass: until=TIME, label=KEY[=VALUE], and those of images"),
        FLAG(struct prune_args, force, 'f', "force", "Don't ask"),
        {}
};

static int run_prune(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct prune_args *args = p;
        AUTO_BUF out = { 0 };
        struct image_filters f;
        uint64_t bytes = 0;
        struct store *s;
        int r;

        if (image_filters_parse(&c->arena, &args->filters, time(NULL), &f, e) < 0)
                return -1;
        if (!args->force &&
            !confirm(args->all ? "WARNING! This will remove all images without at least one "
                                 "container associated to them."
                               : "WARNING! This will remove all dangling images."))
                return 0;
        if (store_open(c->globals.root, &c->log, &s, e) < 0)
                return -1;
        r = images_prune(c, s, &f, args->all, 0, &out, &bytes, e);
        store_close(s);
        if (r < 0)
                return -1;
        buf_printf(&out, "Total reclaimed space: %s\n", text_size(&c->arena, bytes));
        fd_write_all(STDOUT_FILENO, out.s, out.len);
        return 0;
}

const struct command cmd_image_prune = {
        .name = "image prune",
        .help = "Remove images that nobody needs",
        .about = "Those without a tag; with --all, all that no container uses. Layers and blobs "
                 "that no image needs any more go with them.",
        .opts = prune_opts,
        .needs = NEED_STORE,
        .args_size = sizeof(struct prune_args),
        .run = run_prune,
};
