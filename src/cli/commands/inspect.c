/* berth inspect, berth container inspect: all about containers, images and volumes, as JSON. */
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/commands/ctr.h"
#include "cli/commands/image.h"
#include "cli/ctr-args.h"
#include "cli/show.h"
#include "cli/table.h"
#include "engine/volume.h"

enum kind { KIND_ALL, KIND_CONTAINER, KIND_IMAGE, KIND_VOLUME };
static const char *const kinds[] = { "all", "container", "image", "volume", NULL };

struct inspect_args {
        const char *format;
        enum kind kind;
        bool latest, size;
};

#define FORMAT                                                                                     \
        STR(struct inspect_args, format, 'f', "format", "TEMPLATE",                                \
            "Print by a Go template such as {{.State.Status}}, or `json`")
#define LATEST                                                                                     \
        FLAG(struct inspect_args, latest, 'l', "latest", "The container that was created last")
#define SIZE_ROW                                                                                   \
        FLAG(struct inspect_args, size, 's', "size",                                               \
             "Count what containers have written: SizeRw, SizeRootFs")

static const struct opt opts[] = {
        FORMAT,
        LATEST,
        SIZE_ROW,
        ENUM(struct inspect_args, kind, 't', "type", "TYPE", kinds,
             "Look among these alone: container, image, volume; or among all"),
        {}
};
static const struct opt container_opts[] = { FORMAT, LATEST, SIZE_ROW, {} };
static const struct inspect_args container_defaults = { .kind = KIND_CONTAINER };

static int inspect_container(struct ctx *c, struct engine *g, const struct inspect_args *args,
                             const char *name, struct json_writer *w, struct err *e)
{
        struct ctr ctr;

        return ctr_find(g, &c->arena, name, &ctr, e) < 0 ? -1
                                                         : ctr_inspect(g, &ctr, args->size, w, e);
}

static int inspect_image(struct ctx *c, struct engine *g, const struct inspect_args *args,
                         const char *name, struct json_writer *w, struct err *e)
{
        return image_inspect(c, g->store, name, w, e);
}

static int inspect_volume(struct ctx *c, struct engine *g, const struct inspect_args *args,
                          const char *name, struct json_writer *w, struct err *e)
{
        struct volume v;

        if (volume_find(g->store, &c->arena, name, &v, e) < 0)
                return -1;
        volume_write(&v, text_rfc3339(&c->arena, v.created_ns / 1000000000), w);
        return 0;
}

/* The first that there is of the kinds that are asked for, in docker's order. */
static int inspect_one(struct ctx *c, struct engine *g, const struct inspect_args *args,
                       const char *name, struct json_writer *w, struct err *e)
{
        static const struct {
                enum kind kind;
                int (*inspect)(struct ctx *c, struct engine *g, const struct inspect_args *args,
                               const char *name, struct json_writer *w, struct err *e);
        } rows[] = { { KIND_CONTAINER, inspect_container },
                     { KIND_IMAGE, inspect_image },
                     { KIND_VOLUME, inspect_volume } };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                if (args->kind != KIND_ALL && args->kind != rows[i].kind)
                        continue;
                if (rows[i].inspect(c, g, args, name, w, e) == 0)
                        return 0;
                if (args->kind != KIND_ALL || e->code != ERR_NOT_FOUND)
                        return -1;
                err_clear(e);
        }
        return err_set(e, ERR_NOT_FOUND, "no container, image or volume is called \"%s\"", name);
}

static int inspect_latest(struct ctx *c, struct engine *g, const struct inspect_args *args,
                          struct json_writer *w, struct err *e)
{
        struct ctr *v;
        size_t n;

        if (ctr_list(g, &c->arena, &v, &n, e) < 0)
                return -1;
        if (n == 0)
                return err_set(e, ERR_NOT_FOUND, "there are no containers");
        return ctr_inspect(g, &v[0], args->size, w, e);
}

static int check(const struct inspect_args *args, int argc, struct err *e)
{
        if (args->latest && argc > 0)
                return err_set(e, ERR_INVALID, "--latest and names exclude each other");
        if (args->latest && args->kind > KIND_CONTAINER)
                return err_set(e, ERR_INVALID, "--latest is about containers");
        if (!args->latest && argc == 0)
                return err_set(e, ERR_INVALID, "at least one must be named");
        return 0;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct inspect_args *args = p;
        AUTO_BUF text = { 0 };
        AUTO_BUF out = { 0 };
        struct json_writer w = { .out = &text, .indent = 4 };
        struct engine g;
        int status = 0;

        if (check(args, argc, e) < 0 || ctr_engine(c, &g, e) < 0)
                return -1;
        json_open(&w, NULL, '[');
        if (args->latest && inspect_latest(c, &g, args, &w, e) < 0)
                status = -1;
        for (int i = 0; i < argc; i++) {
                struct err one = { 0 };

                /* What is there is shown, whatever else is asked for. */
                if (inspect_one(c, &g, args, argv[i], &w, &one) < 0) {
                        log_err(&c->log, LOG_LEVEL_ERROR, &one);
                        status = 1;
                }
        }
        json_close(&w, ']');
        engine_close(&g);
        if (status < 0 || show_list(c, args->format, &text, &out, e) < 0)
                return -1;
        fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return status;
}

const struct command cmd_inspect = {
        .name = "inspect",
        .usage = "NAME...",
        .help = "Show all about containers, images and volumes, as JSON",
        .about = "A name is a container's, or else an image's, or else a volume's. The members are "
                 "docker's and "
                 "podman's; what is berth's own is below Berth: of a container the evidence of "
                 "its last five exits.",
        .opts = opts,
        .max = -1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_CONTAINER, COMPLETE_CONTAINER, COMPLETE_CONTAINER },
        .args_size = sizeof(struct inspect_args),
        .run = run,
};
const struct command cmd_container_inspect = {
        .name = "container inspect",
        .usage = "CONTAINER...",
        .help = "Show all about containers, as JSON",
        .about = "The members are docker's and podman's; what is berth's own is below Berth: the "
                 "evidence of the last five exits.",
        .opts = container_opts,
        .max = -1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_CONTAINER, COMPLETE_CONTAINER, COMPLETE_CONTAINER },
        .args_size = sizeof(struct inspect_args),
        .defaults = &container_defaults,
        .run = run,
};
