/* berth save: images into an archive. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/save.h"
#include "cli/progress.h"
#include "engine/events.h"
#include "image/archive.h"
#include "image/reference.h"

struct save_args {
        bool quiet, compress, uncompressed, multi;
        const char *output;
        enum archive_format format;
};

static const struct opt opts[] = {
        REFUSED(0, "platform", "an image here is of one platform: name it, or its digest"),
        STR(struct save_args, output, 'o', "output", "FILE",
            "Write to FILE, or to the new directory FILE, instead of standard output",
            .complete = COMPLETE_FILE),
        ENUM(struct save_args, format, 0, "format", "FORMAT", archive_format_names,
             "docker-archive (the default), oci-archive, or a directory: oci-dir, docker-dir"),
        FLAG(struct save_args, compress, 0, "compress",
             "Compress layers with gzip where the image does not; not in a docker-archive"),
        FLAG(struct save_args, uncompressed, 0, "uncompressed",
             "Leave layers uncompressed where the image does not"),
        FLAG(struct save_args, multi, 'm', "multi-image-archive",
             "Several images may be named, which is so in any case"),
        FLAG(struct save_args, quiet, 'q', "quiet", "Show no progress and no notes"),
        {}
};

/* The full name that typed stands for, out of those that the image has: not an ID's or a
 * digest's. */
static const char *name_of(struct arena *a, const char *typed, const struct image *i)
{
        struct reference r;
        const char *end;

        if (reference_parse(a, typed, &r, NULL) < 0 || r.digest)
                return NULL;
        end = arena_printf(a, "%s%s%s:%s", r.host ? r.host : "", r.host ? "/" : "", r.path,
                           r.tag ? r.tag : "latest");
        for (size_t k = 0; k < i->names.n; k++) {
                const char *name = i->names.v[k];
                size_t n = strlen(name), m = strlen(end);

                if (str_ends(name, end) && (n == m || name[n - m - 1] == '/'))
                        return name;
        }
        return NULL;
}

/* One entry for each image, however often and by what names it was named. */
static int collect(struct ctx *c, struct store *s, int argc, char **argv,
                   struct archive_image **ret, size_t *ret_n, struct err *e)
{
        struct image *images = arena_array(&c->arena, struct image, (size_t)argc);
        struct archive_image *v = arena_array(&c->arena, struct archive_image, (size_t)argc);
        size_t n = 0, k;

        for (int i = 0; i < argc; i++) {
                const char *name;

                if (store_image_find(s, &c->arena, argv[i], &images[n], e) < 0)
                        return -1;
                for (k = 0; k < n && !str_eq(images[k].digest, images[n].digest); k++)
                        ;
                if (k == n) {
                        v[n].image = &images[n];
                        v[n].names.v = arena_array(&c->arena, const char *, (size_t)argc);
                        n++;
                }
                name = name_of(&c->arena, argv[i], &images[k]);
                if (name)
                        v[k].names.v[v[k].names.n++] = name;
        }
        *ret = v;
        *ret_n = n;
        return 0;
}

static int check(const struct save_args *args, struct err *e)
{
        bool directory = args->format == ARCHIVE_OCI_DIR || args->format == ARCHIVE_DOCKER_DIR;

        if (args->compress && args->uncompressed)
                return err_set(e, ERR_INVALID, "--compress and --uncompressed exclude each other");
        if (args->output)
                return 0;
        if (directory)
                return err_set(e, ERR_INVALID, "--format %s needs --output DIR",
                               archive_format_names[args->format]);
        if (isatty(STDOUT_FILENO)) {
                err_set(e, ERR_INVALID, "an archive is not written to a terminal");
                return err_hint(e, "Name a file with -o FILE, or redirect standard output.");
        }
        return 0;
}

static int save(struct ctx *c, struct store *s, const struct save_args *args, int argc, char **argv,
                struct err *e)
{
        struct archive_save_options o = { .format = args->format };
        struct archive_image *images;
        struct progress *progress;
        bool exact;
        size_t n;
        int r;

        if (args->compress || args->uncompressed)
                o.compression = args->compress ? "gzip" : "none";
        if (collect(c, s, argc, argv, &images, &n, e) < 0)
                return -1;
        progress = progress_new(STDERR_FILENO, args->quiet);
        r = archive_save(s, images, n, args->output, STDOUT_FILENO, &o, progress_watcher(progress),
                         &c->log, &exact, e);
        progress_free(progress);
        if (r < 0)
                return -1;
        for (size_t i = 0; i < n; i++)
                event_image(s, "save", images[i].image, NULL);
        if (!exact && !args->quiet)
                log_warning(&c->log, "the archive has a manifest of its own: the layers' original "
                                     "blobs are not kept here, so its digest is another; image "
                                     "ID and contents are the same");
        return 0;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct store *s;
        int r;

        if (check(p, e) < 0 || store_open(c->globals.root, &c->log, &s, e) < 0)
                return -1;
        r = save(c, s, p, argc, argv, e);
        store_close(s);
        return r < 0 ? err_in(e, "cannot save") : 0;
}

const struct command cmd_save = {
        .name = "save",
        .alias = { "image save" },
        .usage = "IMAGE...",
        .help = "Save images to an archive",
        .about = "The archive loads into docker, podman, containerd and berth. Saved twice, an "
                 "image gives the same bytes. A file appears under its name when it is whole.",
        .opts = opts,
        .min = 1,
        .max = -1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_IMAGE, COMPLETE_IMAGE, COMPLETE_IMAGE },
        .args_size = sizeof(struct save_args),
        .run = run,
};
