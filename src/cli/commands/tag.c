/* berth tag, untag and image exists. */
#include <unistd.h>

#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/image.h"
#include "engine/events.h"
#include "image/reference.h"
#include "image/store.h"

/* A full name for a tag, from what was typed. */
static int full_name(struct arena *a, const char *text, const char **ret, struct err *e)
{
        struct reference r;

        if (reference_parse(a, text, &r, e) < 0)
                return -1;
        if (r.digest)
                return err_set(e, ERR_INVALID, "\"%s\": a digest can't be given to an image", text);
        reference_default(a, &r);
        *ret = reference_str(a, &r);
        return 0;
}

static int tag(struct ctx *c, struct store *s, int argc, char **argv, struct err *e)
{
        struct image i;

        if (store_image_find(s, &c->arena, argv[0], &i, e) < 0)
                return -1;
        for (int k = 1; k < argc; k++) {
                const char *name = NULL;

                if (full_name(&c->arena, argv[k], &name, e) < 0 ||
                    store_tag(s, name, i.digest, e) < 0)
                        return -1;
                event_image(s, "tag", &i, name);
        }
        return 0;
}

static int untag(struct ctx *c, struct store *s, int argc, char **argv, struct err *e)
{
        struct image i;

        if (store_image_find(s, &c->arena, argv[0], &i, e) < 0)
                return -1;
        for (size_t k = 0; argc == 1 && k < i.names.n; k++) {
                if (strchr(i.names.v[k], '@'))
                        continue;
                if (store_untag(s, i.names.v[k], e) < 0)
                        return -1;
                event_image(s, "untag", &i, i.names.v[k]);
        }
        for (int k = 1; k < argc; k++) {
                const char *name = NULL;

                if (full_name(&c->arena, argv[k], &name, e) < 0)
                        return -1;
                for (size_t n = 0;; n++) {
                        if (n == i.names.n)
                                return err_set(e, ERR_NOT_FOUND, "image \"%s\" has no name \"%s\"",
                                               argv[0], name);
                        if (str_eq(i.names.v[n], name))
                                break;
                }
                if (store_untag(s, name, e) < 0)
                        return -1;
                event_image(s, "untag", &i, name);
        }
        return 0;
}

static int exists(struct ctx *c, struct store *s, int argc, char **argv, struct err *e)
{
        struct image i;

        if (store_image_find(s, &c->arena, argv[0], &i, e) == 0)
                return 0;
        return e->code == ERR_NOT_FOUND ? 1 : -1;
}

static int with_store(struct ctx *c, int argc, char **argv,
                      int (*what)(struct ctx *, struct store *, int, char **, struct err *),
                      struct err *e)
{
        struct store *s;
        int r;

        if (store_open(c->globals.root, &c->log, &s, e) < 0)
                return -1;
        r = what(c, s, argc, argv, e);
        store_close(s);
        return r;
}

static int run_tag(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        return with_store(c, argc, argv, tag, e);
}

static int run_untag(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        return with_store(c, argc, argv, untag, e);
}

static int run_exists(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        return with_store(c, argc, argv, exists, e);
}

const struct command cmd_tag = {
        .name = "tag",
        .alias = { "image tag" },
        .usage = "IMAGE NAME[:TAG]...",
        .help = "Give an image further names",
        .about = "A name that another image has is taken from it. Without a registry a name is "
                 "docker.io's, as docker has it; without a tag, latest.",
        .min = 2,
        .max = -1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_IMAGE, COMPLETE_IMAGE, COMPLETE_IMAGE },
        .run = run_tag,
};

const struct command cmd_untag = {
        .name = "untag",
        .alias = { "image untag" },
        .usage = "IMAGE [NAME...]",
        .help = "Take names from an image, which stays",
        .about = "Without NAME all of its names. The image stays, without a name; "
                 "`berth image prune` removes those.",
        .min = 1,
        .max = -1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_IMAGE, COMPLETE_IMAGE, COMPLETE_IMAGE },
        .run = run_untag,
};

const struct command cmd_image_exists = {
        .name = "image exists",
        .usage = "IMAGE",
        .help = "Tell by the exit status whether an image is here",
        .about = "Nothing is printed, and no registry is asked.",
        .min = 1,
        .max = 1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_IMAGE },
        .run = run_exists,
};
