/* berth cp. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/commands/ctr.h"
#include "cli/ctr-args.h"
#include "engine/copy.h"

struct cp_args {
        bool archive, follow, quiet;
};

/* CONTAINER:PATH, "-", or a path of this host, which has a '/' before any ':'. */
static int take_place(struct ctx *c, struct engine *g, const char *text, int stream,
                      struct copy_place *ret, struct err *e)
{
        const char *colon = strchr(text, ':');
        char here[PATH_MAX];

        *ret = (struct copy_place){ .stream = stream };
        if (str_eq(text, "-"))
                return 0;
        if (colon && colon > text && !memchr(text, '/', (size_t)(colon - text)) && *text != '.') {
                struct ctr *ctr = arena_new(&c->arena, struct ctr);
                const char *path = colon + 1;

                if (ctr_find(g, &c->arena, arena_strndup(&c->arena, text, (size_t)(colon - text)),
                             ctr, e) < 0)
                        return -1;
                ret->ctr = ctr;
                ret->path = *path == '/' ? path : arena_printf(&c->arena, "/%s", path);
                return 0;
        }
        if (!getcwd(here, sizeof here))
                return err_sys(e, errno, "cannot tell the current directory");
        if (!*text)
                return err_set(e, ERR_INVALID, "a path is empty");
        ret->path = *text == '/' ? text : arena_printf(&c->arena, "%s/%s", here, text);
        return 0;
}

static int copy(struct ctx *c, struct engine *g, const struct cp_args *args, char **argv,
                struct err *e)
{
        const struct copy_options o = { .archive = args->archive, .follow = args->follow };
        struct copy_place from, to;

        if (take_place(c, g, argv[0], STDIN_FILENO, &from, e) < 0 ||
            take_place(c, g, argv[1], STDOUT_FILENO, &to, e) < 0)
                return -1;
        if (!from.ctr == !to.ctr)
                return err_set(e, ERR_INVALID, "one of the two is CONTAINER:PATH, and only one");
        if (!to.path && isatty(STDOUT_FILENO))
                return err_set(e, ERR_INVALID, "an archive is not printed on a terminal");
        return ctr_copy(g, &from, &to, &o, e) < 0
                       ? err_in(e, "cannot copy \"%s\" to \"%s\"", argv[0], argv[1])
                       : 0;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct engine g;
        int r;

        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = copy(c, &g, p, argv, e);
        engine_close(&g);
        return r;
}

static const struct opt opts[] = {
        FLAG(struct cp_args, archive, 'a', "archive", "Keep owners, and whatever else a file has"),
        FLAG(struct cp_args, follow, 'L', "follow-link",
             "Where the source is a link to a directory, copy what is in that"),
        REFUSED(0, "overwrite",
                "remove what is in the way first, `berth exec CONTAINER rm -r PATH`"),
        FLAG(struct cp_args, quiet, 'q', "quiet", "Print nothing, as always"),
        {}
};
const struct command cmd_cp = {
        .name = "cp",
        .alias = { "container cp" },
        .usage = "CONTAINER:PATH PATH|- | PATH|- CONTAINER:PATH",
        .help = "Copy between a container and this host",
        .about = "A directory that is there is copied into; otherwise the copy gets the name that "
                 "is given. Of a source that ends in \"/.\", the content is copied. - is a tar on "
                 "standard input or output. Without --archive, what comes into a container "
                 "belongs to its root, and what comes out of it to the caller: without devices, "
                 "set-user-ID bits and file capabilities, which would be rights on this host.",
        .opts = opts,
        .min = 2,
        .max = 2,
        .needs = NEED_ROOT | NEED_STORE,
        .complete = { COMPLETE_FILE, COMPLETE_FILE },
        .args_size = sizeof(struct cp_args),
        .run = run,
};
