/* berth load: images out of an archive. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/load.h"
#include "cli/progress.h"
#include "engine/events.h"
#include "image/archive.h"

struct load_args {
        bool quiet, keep_blobs;
        const char *input, *platform;
};

static const struct opt opts[] = {
        STR(struct load_args, input, 'i', "input", "FILE",
            "Read FILE, or the directory of an OCI layout, instead of standard input",
            .complete = COMPLETE_FILE),
        STR(struct load_args, platform, 0, "platform", "OS/ARCH[/VARIANT]",
            "Which image to take of those for several platforms; this machine's by default"),
        FLAG(struct load_args, keep_blobs, 0, "keep-blobs",
             "Also keep the layers as they came, so that a push or save needs not compress them"),
        FLAG(struct load_args, quiet, 'q', "quiet", "Show no progress, only what was loaded"),
        {}
};

static void report(const struct store *s, const struct archive_loaded *v, size_t n)
{
        AUTO_BUF out = { 0 };

        for (size_t i = 0; i < n; i++) {
                event_image(s, "load", &(struct image){ .id = v[i].id, .names = v[i].names }, NULL);
                for (size_t k = 0; k < v[i].names.n; k++)
                        buf_printf(&out, "Loaded image: %s\n", v[i].names.v[k]);
                if (v[i].names.n == 0)
                        buf_printf(&out, "Loaded image: %s\n", v[i].id);
        }
        fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
}

static int open_input(const struct load_args *args, int *ret, struct err *e)
{
        if (!args->input || str_eq(args->input, "-")) {
                if (isatty(STDIN_FILENO)) {
                        err_set(e, ERR_INVALID, "the archive can't come from a terminal");
                        return err_hint(e, "Name it with -i FILE, or redirect standard input.");
                }
                *ret = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
        } else {
                *ret = open(args->input, O_RDONLY | O_CLOEXEC);
        }
        if (*ret < 0)
                return err_sys(e, errno, "cannot open \"%s\"",
                               args->input ? args->input : "standard input");
        return 0;
}

static int load(struct ctx *c, struct store *s, const struct load_args *args, struct err *e)
{
        struct archive_load_options o = { .platform = { "", "", "", "" },
                                          .keep_blobs = args->keep_blobs };
        struct archive_loaded *loaded;
        struct progress *progress;
        AUTO_FD int input = -1;
        size_t n;
        int r;

        if (args->platform && platform_parse(&c->arena, args->platform, &o.platform, e) < 0)
                return err_in(e, "--platform");
        if (open_input(args, &input, e) < 0)
                return -1;
        progress = progress_new(STDERR_FILENO, args->quiet);
        r = archive_load(s, &c->arena, input, &o, progress_watcher(progress), &c->log, &loaded, &n,
                         e);
        progress_free(progress);
        if (r < 0)
                return err_in(e, "cannot load \"%s\"", args->input ? args->input : "-");
        report(s, loaded, n);
        return 0;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct store *s;
        int r;

        if (store_open(c->globals.root, &c->log, &s, e) < 0)
                return -1;
        r = load(c, s, p, e);
        store_close(s);
        return r;
}

const struct command cmd_load = {
        .name = "load",
        .alias = { "image load" },
        .usage = "",
        .help = "Load images from an archive",
        .about = "What docker and podman save, compressed or not: a docker-archive, an "
                 "oci-archive, the directory of an OCI layout or of podman's docker-dir. Each "
                 "layer is verified against its digest before anything of the image shows.",
        .opts = opts,
        .min = 0,
        .max = 0,
        .needs = NEED_STORE,
        .args_size = sizeof(struct load_args),
        .run = run,
};
