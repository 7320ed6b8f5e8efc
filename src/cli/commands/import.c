/* berth import: an image from the tar of a root file system. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/import.h"
#include "engine/events.h"
#include "image/import.h"
#include "image/reference.h"

struct import_args {
        bool quiet;
        struct strings changes;
        const char *message, *arch, *os, *variant;
};

static const struct opt opts[] = {
        REFUSED(0, "platform", "use --os, --arch and --variant"),
        LIST(struct import_args, changes, 'c', "change", "INSTRUCTION",
             "Set CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME or "
             "WORKDIR as a Dockerfile does; may be repeated"),
        STR(struct import_args, message, 'm', "message", "TEXT",
            "The comment of the image's history"),
        STR(struct import_args, os, 0, "os", "OS", "The image's operating system"),
        STR(struct import_args, arch, 0, "arch", "ARCH",
            "Its architecture; this machine's by default"),
        STR(struct import_args, variant, 0, "variant", "VARIANT", "The architecture's variant"),
        FLAG(struct import_args, quiet, 'q', "quiet",
             "Print nothing but the image's ID, as always"),
        {}
};

static int open_input(const char *from, int *ret, struct err *e)
{
        if (strstr(from, "://")) {
                err_set(e, ERR_UNSUPPORTED, "\"%s\" is not fetched", from);
                return err_hint(e, "`curl -L URL | berth import - NAME` does it.");
        }
        if (str_eq(from, "-") && isatty(STDIN_FILENO))
                return err_set(e, ERR_INVALID, "the tar can't come from a terminal");
        *ret = str_eq(from, "-") ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                 : open(from, O_RDONLY | O_CLOEXEC);
        if (*ret < 0)
                return err_sys(e, errno, "cannot open \"%s\"", from);
        return 0;
}

static int import(struct ctx *c, const struct import_options *o, int input, struct err *e)
{
        AUTO_BUF out = { 0 };
        struct image image;
        struct store *s;
        int r;

        if (store_open(c->globals.root, &c->log, &s, e) < 0)
                return -1;
        r = image_import(s, &c->arena, input, o, &c->log, &image, e);
        if (r == 0)
                event_image(s, "import", &image, o->name);
        store_close(s);
        if (r < 0)
                return -1;
        buf_printf(&out, "%s\n", image.id);
        fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return 0;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct import_args *args = p;
        struct import_options o = {
                .platform = { args->os, args->arch, args->variant, NULL },
                .changes = args->changes,
                .message = args->message ? args->message
                                         : arena_printf(&c->arena, "Imported from %s",
                                                        path_base(argv[0])),
        };
        AUTO_FD int input = -1;

        if (argc > 1 && reference_parse_name(&c->arena, argv[1], &o.name, e) < 0)
                return -1;
        if (open_input(argv[0], &input, e) < 0 || import(c, &o, input, e) < 0)
                return err_in(e, "cannot import \"%s\"", argv[0]);
        return 0;
}

const struct command cmd_import = {
        .name = "import",
        .alias = { "image import" },
        .usage = "FILE|- [NAME[:TAG]]",
        .help = "Make an image of the tar of a root file system",
        .about = "The tar, compressed with gzip or zstd or not at all, becomes the image's one "
                 "layer. With SOURCE_DATE_EPOCH set, equal input gives an equal image.",
        .opts = opts,
        .min = 1,
        .max = 2,
        .needs = NEED_STORE,
        .complete = { COMPLETE_FILE, COMPLETE_IMAGE },
        .args_size = sizeof(struct import_args),
        .run = run,
};
