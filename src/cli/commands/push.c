/* berth push, berth manifest push: images and lists of them to a registry. */
#include "cli/commands/push.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/manifest.h"
#include "cli/progress.h"
#include "cli/registry-args.h"
#include "engine/events.h"
#include "image/archive.h"
#include "image/manifest-list.h"
#include "image/push.h"

static const char *const compressions[] = { "gzip", "zstd", NULL };

struct push_args {
        bool all, all_tags, force, quiet, remove;
        const char *format, *digestfile;
        int compression; /* of compressions, -1: as it is */
        uint64_t level, jobs;
        struct registry_args registry;
};

/* What is the same for an image and a list. */
#define SHARED_OPTS                                                                                \
        STR(struct push_args, format, 'f', "format", "FORMAT",                                     \
            "Write manifests as oci, or as docker (v2s2); by default as they are"),                \
                ENUM(struct push_args, compression, 0, "compression-format", "FORMAT",             \
                     compressions,                                                                 \
                     "Compress layers with gzip or zstd, unless the registry has them already"),   \
                UINT(struct push_args, level, 0, "compression-level", "N",                         \
                     "gzip takes 1 to 9, zstd 1 to 20", .min = 1, .max = 20),                      \
                FLAG(struct push_args, force, 0, "force-compression",                              \
                     "Compress so even what the registry has in another compression"),             \
                HEADING("How"), FLAG(struct push_args, quiet, 'q', "quiet", "Show no progress"),   \
                STR(struct push_args, digestfile, 0, "digestfile", "FILE",                         \
                    "Write the digest of what was pushed to FILE", .complete = COMPLETE_FILE),     \
                UINT(struct push_args, jobs, 0, "jobs", "N",                                       \
                     "Upload N layers at once; 3 by default", .min = 1, .max = 16),                \
                REGISTRY_OPTS(struct push_args, registry)

static const struct opt opts[] = {
        REFUSED(0, "platform", "an image here is of one platform: name it, or its digest"),
        IGNORED(0, "compress", "What is pushed is compressed anyway", .hidden = true),
        REFUSED(0, "sign-by-sigstore-private-key", "images are not signed here"),
        REFUSED(0, "sign-passphrase-file", "images are not signed here"),
        HEADING("What is pushed"),
        FLAG(struct push_args, all, 0, "all-platforms",
             "Push the index that the image came from, with the images of all platforms"),
        FLAG(struct push_args, all, 0, "all", "As --all-platforms", .hidden = true),
        FLAG(struct push_args, all_tags, 'a', "all-tags",
             "Push every tag that the repository has here"),
        SHARED_OPTS,
        IGNORED(0, "remove-signatures", "No signatures are pushed", .hidden = true),
        IGNORED(0, "disable-content-trust", "Accepted for docker's sake", .hidden = true),
        REFUSED(0, "sign-by", "images are not signed here"),
        REFUSED(0, "sign-by-sigstore", "images are not signed here"),
        REFUSED(0, "encryption-key", "layers are not encrypted here"),
        {}
};

struct session {
        struct ctx *c;
        const struct push_args *args;
        struct push_options options;
        struct store *store;
        struct progress *progress;
};

static int take_format(const char *text, enum push_format *ret, struct err *e)
{
        static const struct {
                const char *name;
                enum push_format format;
        } formats[] = { { "oci", PUSH_OCI }, { "docker", PUSH_DOCKER }, { "v2s2", PUSH_DOCKER } };

        for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
                if (str_eq(text, formats[i].name)) {
                        *ret = formats[i].format;
                        return 0;
                }
        if (str_eq(text, "v2s1"))
                return err_set(e, ERR_UNSUPPORTED, "docker's schema 1 is written no more");
        return err_set(e, ERR_INVALID, "--format is oci or docker, not \"%s\"", text);
}

static int take_options(const struct push_args *args, struct push_options *ret, struct err *e)
{
        *ret = (struct push_options){
                .compression = args->compression < 0 ? NULL : compressions[args->compression],
                .level = (int)args->level,
                .force_compression = args->force,
                .all = args->all,
                .jobs = (unsigned)args->jobs,
        };
        if (args->force && args->compression < 0)
                return err_set(e, ERR_INVALID, "--force-compression needs --compression-format");
        if (args->level > 9 && (!ret->compression || str_eq(ret->compression, "gzip")))
                return err_set(e, ERR_INVALID, "gzip has no compression level %d", ret->level);
        if (args->format && take_format(args->format, &ret->format, e) < 0)
                return -1;
        return registry_args_take(&args->registry, &ret->fetch, e);
}

/* Where to push to, as podman writes it. */
static int take_destination(struct arena *a, const char *text, struct reference *ret, struct err *e)
{
        static const char *const others[] = { "dir:", "oci:", "oci-archive:", "docker-archive:" };
        const char *rest = str_after(text, "docker://");

        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                if (str_after(text, others[i])) {
                        err_set(e, ERR_UNSUPPORTED, "\"%s\" is no repository of a registry", text);
                        return err_hint(e, "Use `berth save` to write archives and directories.");
                }
        if (reference_parse(a, rest ? rest : text, ret, e) < 0)
                return -1;
        reference_default(a, ret);
        return 0;
}

/* The full name that typed stands for: one of the image's. */
static int own_name(struct arena *a, const char *typed, const struct image *i,
                    struct reference *ret, struct err *e)
{
        struct reference r;

        if (reference_parse(a, typed, &r, NULL) == 0 && !r.digest) {
                const char *end = arena_printf(a, "%s%s%s:%s", r.host ? r.host : "",
                                               r.host ? "/" : "", r.path, r.tag ? r.tag : "latest");

                for (size_t k = 0; k < i->names.n; k++) {
                        const char *name = i->names.v[k];
                        size_t n = strlen(name), m = strlen(end);

                        if (str_ends(name, end) && (n == m || name[n - m - 1] == '/'))
                                return reference_parse(a, name, ret, e);
                }
        }
        err_set(e, ERR_INVALID, "\"%s\" does not say where to push to", typed);
        return err_hint(e, "Name the destination: berth push %.60s REGISTRY/NAME:TAG.", typed);
}

static int write_digest(const char *path, const char *digest, struct err *e)
{
        AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        int r = fd < 0 ? -errno : fd_write_all(fd, digest, strlen(digest));

        return r < 0 ? err_sys(e, r, "cannot write the digest to \"%s\"", path) : 0;
}

static int push_to(struct session *s, const struct image *i, const struct reference *to,
                   struct err *e)
{
        struct arena *a = &s->c->arena;
        struct pushed pushed;

        if (image_push(s->store, a, i, to, &s->options, progress_watcher(s->progress), &s->c->log,
                       &pushed, e) < 0)
                return -1;
        event_image(s->store, "push", i, reference_str(a, to));
        if (!pushed.exact && !s->args->quiet)
                log_warning(&s->c->log,
                            "the registry has a manifest of its own: its digest is another than "
                            "here, for the layers are compressed anew; image ID and contents are "
                            "the same");
        if (!s->args->quiet) {
                const char *line =
                        arena_printf(a, "%s: digest: %s size: %zu\n",
                                     to->tag ? to->tag : to->digest, pushed.digest, pushed.size);

                fd_write_all(STDOUT_FILENO, line, strlen(line));
        }
        return s->args->digestfile ? write_digest(s->args->digestfile, pushed.digest, e) : 0;
}

/* Every tag of the repository that typed names. */
static int push_tags(struct session *s, const char *typed, struct err *e)
{
        struct arena *a = &s->c->arena;
        struct reference want, to;
        struct image *images;
        const char *prefix;
        size_t n, pushed = 0;

        if (reference_parse(a, typed, &want, e) < 0)
                return -1;
        if (want.tag || want.digest)
                return err_set(e, ERR_INVALID, "--all-tags: \"%s\" names one already", typed);
        reference_default(a, &want);
        prefix = arena_printf(a, "%s:", reference_repository(a, &want));
        if (store_images(s->store, a, &(struct image_filter){ .dangling = -1, .all = true },
                         &images, &n, e) < 0)
                return -1;
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < images[i].names.n; k++) {
                        const char *name = images[i].names.v[k];

                        if (!str_after(name, prefix) || strchr(name, '@'))
                                continue;
                        if (reference_parse(a, name, &to, e) < 0)
                                return -1;
                        progress_title(s->progress, name);
                        if (push_to(s, &images[i], &to, e) < 0)
                                return -1;
                        pushed++;
                }
        return pushed ? 0 : err_set(e, ERR_NOT_FOUND, "\"%s\" has no tags here", typed);
}

/* To oci:PATH and the like, as podman's push does it: what `berth save` does for one image. */
static int push_to_place(struct session *s, const struct image *i, const struct archive_place *p,
                         struct err *e)
{
        struct archive_save_options o = { .format = p->format,
                                          .compression = s->options.compression,
                                          .level = s->options.level,
                                          .add = true };
        const char *name = p->reference;
        struct archive_image image = { i, { &name, name ? 1 : 0 } };
        struct reference r;
        bool exact;

        if (s->args->all || s->args->digestfile || s->args->format)
                return err_set(e, ERR_UNSUPPORTED,
                               "--all-platforms, --digestfile and --format are for registries");
        if (name && p->format == ARCHIVE_DOCKER) { /* whose names are full ones */
                if (reference_parse(&s->c->arena, name, &r, e) < 0)
                        return -1;
                reference_default(&s->c->arena, &r);
                name = reference_str(&s->c->arena, &r);
        }
        if (archive_save(s->store, &image, 1, p->path, -1, &o, progress_watcher(s->progress),
                         &s->c->log, &exact, e) < 0)
                return -1;
        event_image(s->store, "save", i, NULL);
        return 0;
}

static int push(struct session *s, int argc, char **argv, struct err *e)
{
        struct arena *a = &s->c->arena;
        struct archive_place place;
        const char *reference;
        struct reference to;
        struct image image;
        int found;

        if (s->args->all_tags) {
                if (argc > 1)
                        return err_set(e, ERR_INVALID, "--all-tags takes no destination");
                return push_tags(s, argv[0], e);
        }
        if (store_image_find(s->store, a, argv[0], &image, e) < 0)
                return -1;
        found = argc > 1 ? archive_place_parse(a, argv[1], &place, &reference, e) : 0;
        if (found)
                return found < 0 ? -1 : push_to_place(s, &image, &place, e);
        if ((argc > 1 ? take_destination(a, argv[1], &to, e)
                      : own_name(a, argv[0], &image, &to, e)) < 0)
                return -1;
        return push_to(s, &image, &to, e);
}

static int with_store(struct ctx *c, void *p, int argc, char **argv,
                      int (*what)(struct session *, int, char **, struct err *), struct err *e)
{
        struct session s = { .c = c, .args = p };
        int r;

        if (take_options(p, &s.options, e) < 0 ||
            store_open(c->globals.root, &c->log, &s.store, e) < 0)
                return -1;
        s.progress = progress_new(STDERR_FILENO, s.args->quiet);
        r = what(&s, argc, argv, e);
        progress_free(s.progress);
        store_close(s.store);
        return r;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        return with_store(c, p, argc, argv, push, e);
}

static const struct push_args defaults = { .compression = -1, .registry = REGISTRY_ARGS_DEFAULTS };

const struct command cmd_push = {
        .name = "push",
        .alias = { "image push" },
        .usage = "IMAGE [DESTINATION]",
        .help = "Push an image to a registry",
        .about = "The manifest is pushed byte for byte, and so with its digest, where the registry "
                 "has its layers, where they can be mounted from another repository, were kept, or "
                 "come out of compressing them again as they were. Otherwise a new manifest names "
                 "the layers as they are compressed here; the image's ID stays the same.\n\n"
                 "DESTINATION may also be an archive or directory: oci:PATH[:NAME], "
                 "oci-archive:PATH[:NAME], docker-archive:PATH[:NAME] or dir:PATH.",
        .opts = opts,
        .min = 1,
        .max = 2,
        .needs = NEED_STORE,
        .complete = { COMPLETE_IMAGE, COMPLETE_IMAGE },
        .args_size = sizeof(struct push_args),
        .defaults = &defaults,
        .run = run,
};

/* ---- lists ---- */

static const struct opt list_opts[] = {
        HEADING("What is pushed"),
        FLAG(struct push_args, remove, 0, "rm", "Remove the list here once it is pushed"),
        FLAG(struct push_args, remove, 'p', "purge", "As --rm", .hidden = true),
        IGNORED(0, "all", "The images of the list are pushed in any case"),
        SHARED_OPTS,
        IGNORED(0, "remove-signatures", "No signatures are pushed", .hidden = true),
        REFUSED(0, "sign-by", "images are not signed here"),
        {}
};

static int push_list(struct session *s, int argc, char **argv, struct err *e)
{
        struct arena *a = &s->c->arena;
        struct manifest_list l;
        struct reference to;
        struct image image;

        if (list_open(s->store, a, argv[0], &l, e) < 0 ||
            store_image_find(s->store, a, l.digest, &image, e) < 0)
                return -1;
        if ((argc > 1 ? take_destination(a, argv[1], &to, e)
                      : own_name(a, argv[0], &image, &to, e)) < 0 ||
            push_to(s, &image, &to, e) < 0)
                return -1;
        if (!s->args->remove)
                return 0;
        if (store_untag(s->store, l.name, e) < 0 ||
            store_image_find(s->store, a, l.digest, &image, e) < 0)
                return -1;
        return image.names.n ? 0 : store_image_remove(s->store, l.digest, false, e);
}

static int run_list(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        return with_store(c, p, argc, argv, push_list, e);
}

const struct command cmd_manifest_push = {
        .name = "manifest push",
        .usage = "LIST [DESTINATION]",
        .help = "Push a list and its images to a registry",
        .about = "The images are pushed as `berth push` does it, then the list. Where an image "
                 "gets another digest, so does the list that is pushed.",
        .opts = list_opts,
        .min = 1,
        .max = 2,
        .needs = NEED_STORE,
        .complete = { COMPLETE_IMAGE, COMPLETE_IMAGE },
        .args_size = sizeof(struct push_args),
        .defaults = &defaults,
        .run = run_list,
};
