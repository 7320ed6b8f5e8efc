/* berth look: a process of any engine's container, on one page. Reads only. */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/look.h"
#include "diag/collect.h"
#include "diag/render.h"

#define PAGE_WIDTH 80
#define PAGE_WIDTH_MAX 120 /* wider lines are harder to read, not easier */

/* Printed, but permission kept a part of it back. */
#define EXIT_PARTIAL 4

struct look_args {
        bool json, full, no_color;
        uint64_t sample;
        struct strings roots;
};

static const struct opt opts[] = {
        FLAG(struct look_args, full, 0, "full",
             "Show every mount, layer, device and limit, nothing shortened"),
        FLAG(struct look_args, json, 0, "json", "Print everything that was read as JSON"),
        UINT(struct look_args, sample, 0, "sample", "MS",
             "Watch counters for MS milliseconds to tell rates; 0 takes no time and tells none",
             .min = 0, .max = 60000),
        LIST(struct look_args, roots, 0, "root", "DIR",
             "Look for runtimes' state in DIR too; may be repeated", .complete = COMPLETE_DIR),
        FLAG(struct look_args, no_color, 0, "no-color",
             "Print no colors, as when NO_COLOR is set or the output is no terminal"),
        {}
};

static size_t page_width(void)
{
        struct winsize w;

        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_col == 0)
                return PAGE_WIDTH;
        return MIN(w.ws_col, PAGE_WIDTH_MAX);
}

static bool want_color(const struct look_args *args)
{
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

        return !args->no_color && str_empty(no_color) && isatty(STDOUT_FILENO) &&
               !(term && str_eq(term, "dumb"));
}

static int print(const struct facts *f, const struct look_args *args, struct err *e)
{
        struct render_options o = { page_width(), want_color(args), args->full };
        AUTO_BUF out = { 0 };
        int r;

        if (args->json)
                render_json(f, &out);
        else
                render_text(f, &o, &out);
        r = fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        if (r < 0 && r != -EPIPE)
                return err_sys(e, r, "cannot write the page");
        return f->denied ? EXIT_PARTIAL : 0;
}

static void add_root(struct arena *a, struct strings *roots, const char *path)
{
        const char **v = arena_array(a, const char *, roots->n + 1);

        if (roots->n)
                memcpy(v, roots->v, roots->n * sizeof *v);
        v[roots->n++] = path;
        roots->v = v;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct look_args *args = p;
        struct collect_options o = { (unsigned)args->sample, &args->roots };
        AUTO_ARENA arena = { 0 };
        struct facts facts;
        pid_t pid;

        if (c->globals.runroot)
                add_root(&arena, &args->roots, ctx_oci_root(c));
        if (collect_resolve(&arena, argv[0], &o, &pid, e) < 0 ||
            collect(&arena, pid, &o, &facts, e) < 0)
                return -1;
        return print(&facts, args, e);
}

static const struct look_args defaults = { .sample = 100 };

const struct command cmd_look = {
        .name = "look",
        .usage = "PID|CONTAINER",
        .help = "Show what a process sees, consumes and may do, on one page",
        .about = "Any process of this host, in any engine's container or in none: who owns it, "
                 "which namespaces it shares, which limit binds it (its own or a parent's), what "
                 "it may do to the host, where its files come from, and where that differs from "
                 "what was declared. CONTAINER is an id, the beginning of one, or a name.\n\n"
                 "Nothing is changed, stopped or entered. What could not be read is said; a number "
                 "that is not known is never printed as 0.",
        .opts = opts,
        .min = 1,
        .max = 1,
        .complete = { COMPLETE_PID },
        .args_size = sizeof(struct look_args),
        .defaults = &defaults,
        .run = run,
};
