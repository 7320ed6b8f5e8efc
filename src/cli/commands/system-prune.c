/* berth system prune. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/ctr.h"
#include "cli/commands/system.h"
#include "cli/commands/volume.h"
#include "cli/ctr-args.h"
#include "cli/image-remove.h"
#include "cli/table.h"
#include "engine/sandbox.h"

struct prune_args {
        bool all, force, volumes;
        struct strings filters;
};

static const struct opt opts[] = {
        FLAG(struct prune_args, all, 'a', "all",
             "Remove all images that no container uses, not those without a name alone"),
        LIST(struct prune_args, filters, 0, "filter", "KEY=VALUE",
             "Remove those alone that pass: until=TIME, label=KEY[=VALUE]"),
        FLAG(struct prune_args, force, 'f', "force", "Don't ask"),
        FLAG(struct prune_args, volumes, 0, "volumes",
             "Remove the volumes too that no container has, and what is in them"),
        {}
};

/* Those that containers, volumes and images have alike. */
static int check_filters(const struct prune_args *args, struct err *e)
{
        for (size_t i = 0; i < args->filters.n; i++) {
                const char *filter = args->filters.v[i];

                if (str_after(filter, "until=") && args->volumes) {
                        err_set(e, ERR_INVALID, "--filter until and --volumes exclude each other");
                        return err_hint(e, "Remove volumes by `berth volume prune`.");
                }
                if (!str_after(filter, "until=") && !str_after(filter, "label="))
                        return err_set(e, ERR_INVALID,
                                       "--filter: \"%.60s\" is neither until= nor label=", filter);
        }
        return 0;
}

static bool agreed(const struct prune_args *args)
{
        AUTO_BUF warning = { 0 };

        buf_printf(&warning,
                   "WARNING! This will remove:\n"
                   "  - all stopped containers\n"
                   "%s"
                   "  - %s\n"
                   "  - downloads that were interrupted\n"
                   "  - layers that no image needs\n",
                   args->volumes ? "  - all volumes that no container has, and what is in them\n"
                                 : "",
                   args->all ? "all images without at least one container associated to them"
                             : "all dangling images");
        return args->force || confirm(warning.s);
}

/* A paragraph as docker has it, where there is something to say. */
static void say(struct buf *out, const char *heading, const struct buf *lines)
{
        if (lines->len)
                buf_printf(out, "%s:\n%s\n", heading, lines->s);
}

/* Containers first: what they used is then unused. The exit status. */
static int prune(struct ctx *c, struct engine *g, const struct prune_args *args,
                 const struct image_filters *f, struct buf *out, struct err *e)
{
        AUTO_BUF containers = { 0 };
        AUTO_BUF volumes = { 0 };
        uint64_t bytes = 0, of_images = 0;
        int failed, r = 0;

        sandbox_sweep(&g->places, g->store);
        failed = containers_prune(c, g, &args->filters, &containers, &bytes, e);
        if (failed >= 0 && args->volumes)
                r = volumes_prune(c, g, &args->filters, &volumes, &bytes, e);
        say(out, "Deleted Containers", &containers);
        say(out, "Deleted Volumes", &volumes);
        if (failed < 0 || r < 0 ||
            images_prune(c, g->store, f, args->all, COLLECT_WAIT | COLLECT_STAGES, out, &of_images,
                         e) < 0)
                return -1;
        buf_printf(out, "Total reclaimed space: %s\n", text_size(&c->arena, bytes + of_images));
        return failed || r;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct prune_args *args = p;
        AUTO_BUF out = { 0 };
        struct image_filters f;
        struct engine g;
        int r;

        if (check_filters(args, e) < 0 ||
            image_filters_parse(&c->arena, &args->filters, time(NULL), &f, e) < 0)
                return -1;
        if (!agreed(args))
                return 0;
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = prune(c, &g, args, &f, &out, e);
        engine_close(&g);
        fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return r;
}

const struct command cmd_system_prune = {
        .name = "system prune",
        .help = "Give back what nobody needs",
        .about = "Containers that do not run; images without a name (with --all, all that no "
                 "container uses then); with --volumes volumes that no container has then; what is "
                 "left of interrupted downloads, and layers and blobs that no image needs. It "
                 "returns when they are deleted.",
        .opts = opts,
        .needs = NEED_STORE,
        .args_size = sizeof(struct prune_args),
        .run = run,
};
