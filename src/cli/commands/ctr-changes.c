/* berth diff, export, commit: what a container has made of its image. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/commands/ctr.h"
#include "cli/commands/image.h"
#include "cli/ctr-args.h"
#include "engine/changes.h"
#include "image/reference.h"

static int print(const struct buf *out, struct err *e)
{
        int r = fd_write_all(STDOUT_FILENO, buf_str(out), out->len);

        return r < 0 ? err_sys(e, r, "cannot print") : 0;
}

/* ---- diff ---- */

struct diff_args {
        const char *format;
        bool latest;
};

static int run_diff(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct diff_args *args = p;
        struct difference *v = NULL;
        const struct ctr_choice choice = { .latest = args->latest };
        struct engine g;
        struct ctr *ctr;
        size_t n = 0, found;
        int r, missing;

        if (args->format && !str_eq(args->format, "json"))
                return err_set(e, ERR_INVALID, "--format takes nothing but 'json' here");
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = ctr_choose(c, &g, &choice, argc, argv, &ctr, &found, &missing, e);
        if (r == 0 && found > 0)
                r = ctr_differences(&g, &c->arena, ctr, &v, &n, e);
        engine_close(&g);
        if (r < 0 || missing)
                return r < 0 ? -1 : 1;
        return differences_print(v, n, args->format, e);
}

static const struct opt diff_opts[] = {
        STR(struct diff_args, format, 0, "format", "json", "Print JSON: changed, added, deleted"),
        FLAG(struct diff_args, latest, 'l', "latest", "The container that was created last"),
        {}
};
const struct command cmd_diff = {
        .name = "diff",
        .alias = { "container diff" },
        .usage = "CONTAINER",
        .help = "Show what a container has made different from its image",
        .about = "A is added, C changed, D deleted. What lies in volumes and other mounts is not "
                 "looked at.",
        .opts = diff_opts,
        .max = 1,
        .needs = NEED_ROOT | NEED_STORE,
        .complete = { COMPLETE_CONTAINER },
        .args_size = sizeof(struct diff_args),
        .run = run_diff,
};

/* ---- export ---- */

struct export_args {
        const char *output;
};

/* A file that could not be written whole is not left. */
static int export_to(struct engine *g, const struct ctr *ctr, const char *path, struct err *e)
{
        AUTO_FD int out = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)
                               : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        int r;

        if (out < 0)
                return err_sys(e, errno, "cannot open \"%s\"", path ? path : "standard output");
        r = ctr_export(g, ctr, out, e);
        if (r < 0 && path)
                unlink(path);
        return r;
}

static int run_export(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct export_args *args = p;
        struct engine g;
        struct ctr ctr;
        int r;

        if (!args->output && isatty(STDOUT_FILENO)) {
                err_set(e, ERR_INVALID, "an archive is not printed on a terminal");
                return err_hint(e, "name a file with --output, or redirect the output");
        }
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = ctr_find(&g, &c->arena, argv[0], &ctr, e);
        if (r == 0)
                r = export_to(&g, &ctr, args->output, e);
        engine_close(&g);
        return r;
}

static const struct opt export_opts[] = { STR(struct export_args, output, 'o', "output", "FILE",
                                              "Write to FILE instead of standard output",
                                              .complete = COMPLETE_FILE),
                                          {} };
const struct command cmd_export = {
        .name = "export",
        .alias = { "container export" },
        .usage = "CONTAINER",
        .help = "Write a container's root file system as a tar",
        .about = "Of what is mounted in it, volumes too, nothing is written; `berth import` makes "
                 "an image of such a tar.",
        .opts = export_opts,
        .min = 1,
        .max = 1,
        .needs = NEED_ROOT | NEED_STORE,
        .complete = { COMPLETE_CONTAINER },
        .args_size = sizeof(struct export_args),
        .run = run_export,
};

/* ---- commit ---- */

static const char *const formats[] = { "oci", "docker", NULL };
enum { FORMAT_OCI, FORMAT_DOCKER };

struct commit_args {
        const char *message, *author, *pause, *id_file;
        struct strings changes;
        int format;
        bool quiet;
};

static int take_pause(const char *text, bool *ret, struct err *e)
{
        *ret = !text || str_eq(text, "true") || str_eq(text, "1");
        if (*ret || str_eq(text, "false") || str_eq(text, "0"))
                return 0;
        return err_set(e, ERR_INVALID, "--pause: \"%s\" is neither true nor false", text);
}

static int run_commit(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct commit_args *args = p;
        struct commit_options o = { .message = args->message,
                                    .author = args->author,
                                    .changes = args->changes,
                                    .docker = args->format == FORMAT_DOCKER };
        AUTO_BUF out = { 0 };
        struct image image;
        struct engine g;
        struct ctr ctr;
        int r;

        if (take_pause(args->pause, &o.pause, e) < 0 ||
            (argc > 1 && reference_parse_name(&c->arena, argv[1], &o.name, e) < 0) ||
            ctr_engine(c, &g, e) < 0)
                return -1;
        r = ctr_find(&g, &c->arena, argv[0], &ctr, e);
        if (r == 0)
                r = ctr_commit(&g, &c->arena, &ctr, &o, &image, e);
        engine_close(&g);
        if (r < 0)
                return -1;
        buf_printf(&out, "%s\n", image.id);
        r = args->id_file ? fd_replace_at(AT_FDCWD, args->id_file, image.id, strlen(image.id), 0644,
                                          false)
                          : 0;
        return r < 0 ? err_sys(e, r, "cannot write \"%s\"", args->id_file) : print(&out, e);
}

static const struct opt commit_opts[] = {
        STR(struct commit_args, author, 'a', "author", "TEXT", "Who made the image"),
        LIST(struct commit_args, changes, 'c', "change", "INSTRUCTION",
             "Set CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME or "
             "WORKDIR as a Dockerfile does; may be repeated"),
        ENUM(struct commit_args, format, 'f', "format", "FORMAT", formats,
             "Of the manifest: oci (the default), docker"),
        STR(struct commit_args, id_file, 0, "iidfile", "FILE", "Write the image's ID to FILE",
            .complete = COMPLETE_FILE),
        STR(struct commit_args, message, 'm', "message", "TEXT",
            "The comment of the image's history"),
        STR_OPTIONAL(struct commit_args, pause, 'p', "pause", "BOOL", "true",
                     "Whether it is paused meanwhile; true by default"),
        FLAG(struct commit_args, quiet, 'q', "quiet",
             "Print nothing but the image's ID, as always"),
        REFUSED(0, "include-volumes", "volumes are no part of an image"),
        REFUSED('s', "squash", "the image's layers stay; `berth export` and `import` make one"),
        {}
};
const struct command cmd_commit = {
        .name = "commit",
        .alias = { "container commit" },
        .usage = "CONTAINER [IMAGE[:TAG]]",
        .help = "Make an image of a container",
        .about = "What the container has made different from its image becomes one more layer, "
                 "and what it runs what the image runs. Volumes and other mounts are no part of "
                 "it.",
        .opts = commit_opts,
        .min = 1,
        .max = 2,
        .needs = NEED_ROOT | NEED_STORE,
        .complete = { COMPLETE_CONTAINER, COMPLETE_IMAGE },
        .args_size = sizeof(struct commit_args),
        .run = run_commit,
};
