/* berth system prune. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/system.h"
#include "cli/ctr-args.h"
#include "cli/image-remove.h"
#include "cli/table.h"
#include "engine/sandbox.h"

struct prune_args {
        bool all, force;
        struct strings filters;
};

static const struct opt opts[] = {
        FLAG(struct prune_args, all, 'a', "all",
             "Remove all images that no container uses, not those without a name alone"),
        LIST(struct prune_args, filters, 0, "filter", "KEY=VALUE",
             "Remove those images alone that pass: until=TIME, label=KEY[=VALUE]"),
        FLAG(struct prune_args, force, 'f', "force", "Don't ask"),
        REFUSED(0, "volumes", "`berth volume prune` does that"),
        {}
};

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct prune_args *args = p;
        AUTO_BUF out = { 0 };
        AUTO_BUF warning = { 0 };
        struct image_filters f;
        uint64_t bytes = 0;
        struct engine g;
        int r;

        if (image_filters_parse(&c->arena, &args->filters, time(NULL), &f, e) < 0)
                return -1;
        buf_printf(&warning,
                   "WARNING! This will remove:\n"
                   "  - %s\n"
                   "  - downloads that were interrupted\n"
                   "  - layers that no image needs\n",
                   args->all ? "all images without at least one container associated to them"
                             : "all dangling images");
        if (!args->force && !confirm(warning.s))
                return 0;
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        sandbox_sweep(&g.places, g.store);
        r = images_prune(c, g.store, &f, args->all, COLLECT_WAIT | COLLECT_STAGES, &out, &bytes, e);
        engine_close(&g);
        if (r < 0)
                return -1;
        buf_printf(&out, "Total reclaimed space: %s\n", text_size(&c->arena, bytes));
        fd_write_all(STDOUT_FILENO, out.s, out.len);
        return 0;
}

const struct command cmd_system_prune = {
        .name = "system prune",
        .help = "Give back what nobody needs",
        .about = "Images without a name (with --all, all that no container uses), what is left of "
                 "interrupted downloads, and layers and blobs that no image needs. It returns "
                 "when they are deleted.",
        .opts = opts,
        .needs = NEED_STORE,
        .args_size = sizeof(struct prune_args),
        .run = run,
};
