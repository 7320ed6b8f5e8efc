/* berth manifest create, add, annotate, remove, rm and exists: lists of images. */
#include "cli/commands/manifest.h"

#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/progress.h"
#include "cli/prompt.h"
#include "cli/registry-args.h"
#include "image/manifest-list.h"
#include "image/pull.h"

struct manifest_args {
        bool all, amend, index, ignore;
        const char *os, *architecture, *variant, *os_version;
        struct strings annotations;
        struct registry_args registry;
};

/* What may be said about an entry. */
#define ENTRY_OPTS                                                                                 \
        STR(struct manifest_args, architecture, 0, "arch", "ARCH",                                 \
            "Say that the image is for this architecture"),                                        \
                STR(struct manifest_args, os, 0, "os", "OS",                                       \
                    "Say that it is for this operating system"),                                   \
                STR(struct manifest_args, os_version, 0, "os-version", "VERSION",                  \
                    "Say that it needs this version of the system"),                               \
                STR(struct manifest_args, variant, 0, "variant", "VARIANT",                        \
                    "Say that it is for this variant of the architecture"),                        \
                LIST(struct manifest_args, annotations, 0, "annotation", "KEY=VALUE",              \
                     "Annotate the entry; may be repeated"),                                       \
                REFUSED(0, "features", "indexes have no CPU features any more"),                   \
                REFUSED(0, "os-features", "no image here needs features of a system")

struct session {
        struct ctx *c;
        const struct manifest_args *args;
        struct store *store;
        struct list_changes changes;
};

/* ---- arguments ---- */

static int take_annotations(struct arena *a, const struct strings *given, struct key_values *ret,
                            struct err *e)
{
        ret->v = arena_array(a, struct key_value, given->n);
        for (ret->n = 0; ret->n < given->n; ret->n++) {
                const char *text = given->v[ret->n], *equals = strchr(text, '=');

                if (!equals || equals == text)
                        return err_set(e, ERR_INVALID, "--annotation: \"%s\" is no KEY=VALUE",
                                       text);
                ret->v[ret->n] =
                        (struct key_value){ arena_strndup(a, text, (size_t)(equals - text)),
                                            equals + 1 };
        }
        return 0;
}

/* A short name is of this machine alone until it is pushed. */
static int full_name(struct arena *a, const char *text, const char **ret, struct err *e)
{
        struct reference r;

        if (reference_parse(a, text, &r, e) < 0)
                return -1;
        if (r.digest)
                return err_set(e, ERR_INVALID, "\"%s\": a list is not named by a digest", text);
        if (!r.host)
                r.host = "localhost";
        reference_default(a, &r);
        *ret = reference_str(a, &r);
        return 0;
}

static int with_store(struct ctx *c, void *p, int argc, char **argv,
                      int (*what)(struct session *, int, char **, struct err *), struct err *e)
{
        struct session s = { .c = c, .args = p };
        int r;

        if (p) {
                s.changes = (struct list_changes){ .os = s.args->os,
                                                   .architecture = s.args->architecture,
                                                   .variant = s.args->variant,
                                                   .os_version = s.args->os_version };
                if (take_annotations(&c->arena, &s.args->annotations, &s.changes.annotations, e) <
                    0)
                        return -1;
        }
        if (store_open(c->globals.root, &c->log, &s.store, e) < 0)
                return -1;
        r = what(&s, argc, argv, e);
        store_close(s.store);
        return r;
}

/* ---- images to add ---- */

/* The image as it is here, else, or with docker:// in any case, from its registry. */
static int bring(struct session *s, const char *text, struct image *ret, struct err *e)
{
        const char *remote = str_after(text, "docker://");
        struct pull_options o = { .policy = PULL_ALWAYS,
                                  .all_platforms = s->args->all,
                                  .asker = prompt_short_name() };
        struct progress *progress;
        struct err inner = { 0 };
        bool changed;
        int r;

        if (!remote && store_image_find(s->store, &s->c->arena, text, ret, &inner) == 0)
                return 0;
        if (!remote && inner.code != ERR_NOT_FOUND) {
                *e = inner;
                return -1;
        }
        if (registry_args_take(&s->args->registry, &o.fetch, e) < 0)
                return -1;
        progress = progress_new(STDERR_FILENO, false);
        r = image_pull(s->store, &s->c->arena, remote ? remote : text, &o,
                       progress_watcher(progress), &s->c->log, ret, &changed, e);
        progress_free(progress);
        return r;
}

static int add(struct session *s, struct manifest_list *l, const char *text,
               const struct list_changes *c, struct err *e)
{
        struct image i;

        if (bring(s, text, &i, e) < 0 || list_add(s->store, l, &i, s->args->all, c, e) < 0)
                return err_in(e, "cannot add \"%s\" to \"%s\"", text, l->name);
        return 0;
}

static int save(struct session *s, struct manifest_list *l, struct err *e)
{
        const char *line;

        if (list_save(s->store, l, e) < 0)
                return err_in(e, "cannot store the manifest list \"%s\"", l->name);
        line = arena_printf(l->arena, "%s\n", digest_hex(l->digest));
        return fd_write_all(STDOUT_FILENO, line, strlen(line)) < 0 ? 1 : 0;
}

/* ---- create ---- */

static const struct opt create_opts[] = {
        FLAG(struct manifest_args, all, 0, "all",
             "Of an image that has an index, add the images of all platforms"),
        FLAG(struct manifest_args, amend, 'a', "amend", "Add to the list if it is there already"),
        LIST(struct manifest_args, annotations, 0, "annotation", "KEY=VALUE",
             "Annotate the list; may be repeated"),
        IGNORED(0, "insecure", "As --tls-verify=false in docker", .hidden = true),
        REGISTRY_OPTS(struct manifest_args, registry),
        {}
};

static int create(struct session *s, int argc, char **argv, struct err *e)
{
        static const struct list_changes none = { .os = NULL };
        struct arena *a = &s->c->arena;
        struct manifest_list l;
        struct image there;
        const char *name = NULL;

        if (full_name(a, argv[0], &name, e) < 0)
                return -1;
        if (store_image_find(s->store, a, name, &there, NULL) < 0) {
                list_new(a, name, &l);
        } else if (!s->args->amend) {
                err_set(e, ERR_EXISTS, "there is an image or list \"%s\" already", name);
                return err_hint(e, "Use --amend to add to it.");
        } else if (list_open(s->store, a, name, &l, e) < 0) {
                return -1;
        }
        list_annotate(&l, &s->changes.annotations);
        for (int i = 1; i < argc; i++)
                if (add(s, &l, argv[i], &none, e) < 0)
                        return -1;
        return save(s, &l, e);
}

static int run_create(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        return with_store(c, p, argc, argv, create, e);
}

static const struct manifest_args defaults = { .registry = REGISTRY_ARGS_DEFAULTS };

const struct command cmd_manifest_create = {
        .name = "manifest create",
        .usage = "LIST [IMAGE...]",
        .help = "Make a list of images for several platforms",
        .about = "An image that is not here is pulled. The list is an image index of the store: "
                 "`berth manifest push` brings it and its images to a registry.",
        .opts = create_opts,
        .min = 1,
        .max = -1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_NONE, COMPLETE_IMAGE, COMPLETE_IMAGE },
        .args_size = sizeof(struct manifest_args),
        .defaults = &defaults,
        .run = run_create,
};

/* ---- add ---- */

static const struct opt add_opts[] = {
        FLAG(struct manifest_args, all, 0, "all",
             "Of an image that has an index, add the images of all platforms"),
        ENTRY_OPTS,
        REGISTRY_OPTS(struct manifest_args, registry),
        {}
};

static int add_images(struct session *s, int argc, char **argv, struct err *e)
{
        struct manifest_list l;

        if (list_open(s->store, &s->c->arena, argv[0], &l, e) < 0)
                return -1;
        for (int i = 1; i < argc; i++)
                if (add(s, &l, argv[i], &s->changes, e) < 0)
                        return -1;
        return save(s, &l, e);
}

static int run_add(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        return with_store(c, p, argc, argv, add_images, e);
}

const struct command cmd_manifest_add = {
        .name = "manifest add",
        .usage = "LIST IMAGE...",
        .help = "Add images to a list",
        .about = "An image that is not here is pulled; with docker:// before its name it is pulled "
                 "in any case.",
        .opts = add_opts,
        .min = 2,
        .max = -1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_IMAGE, COMPLETE_IMAGE, COMPLETE_IMAGE },
        .args_size = sizeof(struct manifest_args),
        .defaults = &defaults,
        .run = run_add,
};

/* ---- annotate ---- */

static const struct opt annotate_opts[] = {
        ENTRY_OPTS, FLAG(struct manifest_args, index, 0, "index", "Annotate the list itself"), {}
};

static int annotate(struct session *s, int argc, char **argv, struct err *e)
{
        struct manifest_list l;
        struct descriptor *d;

        if (s->args->index != (argc == 1))
                return err_set(e, ERR_INVALID, "name an image of the list, or use --index");
        if (list_open(s->store, &s->c->arena, argv[0], &l, e) < 0)
                return -1;
        if (s->args->index) {
                list_annotate(&l, &s->changes.annotations);
                return save(s, &l, e);
        }
        if (list_find(s->store, &l, argv[1], &d, e) < 0)
                return -1;
        list_change(&l, d, &s->changes);
        return save(s, &l, e);
}

static int run_annotate(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        return with_store(c, p, argc, argv, annotate, e);
}

const struct command cmd_manifest_annotate = {
        .name = "manifest annotate",
        .usage = "LIST [IMAGE|DIGEST]",
        .help = "Change what a list says about an image",
        .opts = annotate_opts,
        .min = 1,
        .max = 2,
        .needs = NEED_STORE,
        .complete = { COMPLETE_IMAGE, COMPLETE_IMAGE },
        .args_size = sizeof(struct manifest_args),
        .run = run_annotate,
};

/* ---- remove, rm, exists ---- */

static int remove_entries(struct session *s, int argc, char **argv, struct err *e)
{
        struct manifest_list l;
        struct descriptor *d;

        if (list_open(s->store, &s->c->arena, argv[0], &l, e) < 0)
                return -1;
        for (int i = 1; i < argc; i++) {
                if (list_find(s->store, &l, argv[i], &d, e) < 0)
                        return -1;
                list_drop(&l, d);
        }
        return save(s, &l, e);
}

static int run_remove(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        return with_store(c, p, argc, argv, remove_entries, e);
}

const struct command cmd_manifest_remove = {
        .name = "manifest remove",
        .usage = "LIST IMAGE|DIGEST...",
        .help = "Take images out of a list",
        .min = 2,
        .max = -1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_IMAGE, COMPLETE_IMAGE, COMPLETE_IMAGE },
        .run = run_remove,
};

static const struct opt rm_opts[] = { FLAG(struct manifest_args, ignore, 'i', "ignore",
                                           "Do not mind lists that are not there"),
                                      {} };

static int remove_list(struct session *s, const char *text, struct err *e)
{
        struct arena *a = &s->c->arena;
        struct manifest_list l;
        struct image left;
        const char *lines;

        if (list_open(s->store, a, text, &l, e) < 0 || store_untag(s->store, l.name, e) < 0)
                return -1;
        lines = arena_printf(a, "Untagged: %s\n", l.name);
        if (store_image_find(s->store, a, l.digest, &left, NULL) == 0 && left.names.n == 0) {
                if (store_image_remove(s->store, l.digest, false, e) < 0)
                        return -1;
                lines = arena_printf(a, "%sDeleted: %s\n", lines, l.digest);
        }
        return fd_write_all(STDOUT_FILENO, lines, strlen(lines)) < 0 ? 1 : 0;
}

static int remove_lists(struct session *s, int argc, char **argv, struct err *e)
{
        for (int i = 0; i < argc; i++) {
                struct err inner = { 0 };

                if (remove_list(s, argv[i], &inner) == 0 ||
                    (s->args->ignore && inner.code == ERR_NOT_FOUND))
                        continue;
                *e = inner;
                return -1;
        }
        return 0;
}

static int run_rm(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        return with_store(c, p, argc, argv, remove_lists, e);
}

const struct command cmd_manifest_rm = {
        .name = "manifest rm",
        .usage = "LIST...",
        .help = "Remove lists, but not the images in them",
        .opts = rm_opts,
        .min = 1,
        .max = -1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_IMAGE, COMPLETE_IMAGE, COMPLETE_IMAGE },
        .args_size = sizeof(struct manifest_args),
        .run = run_rm,
};

static int exists(struct session *s, int argc, char **argv, struct err *e)
{
        struct manifest_list l;

        if (list_open(s->store, &s->c->arena, argv[0], &l, e) == 0)
                return 0;
        return e->code == ERR_NOT_FOUND || e->code == ERR_INVALID ? 1 : -1;
}

static int run_exists(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        return with_store(c, p, argc, argv, exists, e);
}

const struct command cmd_manifest_exists = {
        .name = "manifest exists",
        .usage = "LIST",
        .help = "Tell by the exit status whether a list is here",
        .min = 1,
        .max = 1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_IMAGE },
        .run = run_exists,
};
