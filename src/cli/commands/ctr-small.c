/* berth port, healthcheck run, container exists, container prune. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/commands/ctr.h"
#include "cli/ctr-args.h"
#include "cli/ctr-filter.h"
#include "cli/image-list.h"
#include "engine/events.h"

/* Runs fn with the engine and the container that argv[0] names. */
typedef int with_fn(struct ctx *c, struct engine *g, const struct ctr *ctr, int argc, char **argv,
                    struct err *e);
static int with_one(struct ctx *c, with_fn *fn, int argc, char **argv, struct err *e)
{
        struct engine g;
        struct ctr ctr;
        int r;

        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = ctr_find(&g, &c->arena, argv[0], &ctr, e) < 0 ? -1 : fn(c, &g, &ctr, argc, argv, e);
        engine_close(&g);
        return r;
}

/* ---- port ---- */

static int show_ports(struct ctx *c, struct engine *g, const struct ctr *ctr, int argc, char **argv,
                      struct err *e)
{
        return argc > 1 ? err_set(e, ERR_NOT_FOUND, "container \"%s\" publishes no port \"%s\"",
                                  ctr->name, argv[1])
                        : 0;
}

static int run_port(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        return argc == 0 ? 0 : with_one(c, show_ports, argc, argv, e);
}

/* Of all that run: there are no published ports to show. */
static const struct opt port_opts[] = {
        IGNORED('a', "all", "Of all containers: none publishes a port yet"),
        IGNORED('l', "latest", "Of the container that was created last"),
        {}
};
const struct command cmd_port = {
        .name = "port",
        .alias = { "container port" },
        .usage = "CONTAINER [PORT[/PROTOCOL]]",
        .help = "Show the ports that a container publishes",
        .about = "Publishing ports is not built yet: of any container it prints nothing, and a "
                 "port that is asked for is not found.",
        .opts = port_opts,
        .max = 2,
        .needs = NEED_STORE,
        .complete = { COMPLETE_CONTAINER },
        .run = run_port,
};

/* ---- healthcheck run ---- */

static int check_health(struct ctx *c, struct engine *g, const struct ctr *ctr, int argc,
                        char **argv, struct err *e)
{
        const struct wire_request q = { .op = WIRE_HEALTH, .why = "berth healthcheck" };
        struct wire_reply reply;

        if (ctr_call(g, ctr, &q, -1, &reply, e) < 0)
                return -1;
        if (reply.status == -ENOENT)
                return err_set(e, ERR_STATE, "container \"%s\" has no health check", ctr->name);
        if (reply.status == -EBUSY)
                return err_set(e, ERR_STATE, "container \"%s\" is paused", ctr->name);
        if (reply.status < 0)
                return err_sys(e, reply.status, "cannot check container \"%s\"", ctr->name);
        if (reply.exit_code != 0)
                fd_write_all(STDOUT_FILENO, "unhealthy\n", 10);
        return reply.exit_code != 0;
}

static int run_health(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        return with_one(c, check_health, argc, argv, e);
}

const struct command cmd_healthcheck_run = {
        .name = "healthcheck run",
        .usage = "CONTAINER",
        .help = "Run a container's health check now",
        .about = "It counts as one that was due. The exit status is 0 where it succeeds, and 1, "
                 "with the word unhealthy, where it fails.",
        .min = 1,
        .max = 1,
        .needs = NEED_ROOT,
        .complete = { COMPLETE_CONTAINER },
        .run = run_health,
};

/* ---- container exists ---- */

enum { EXIT_UNKNOWN = 125 };

static int run_exists(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct engine g;
        struct ctr ctr;
        int r;

        if (ctr_engine(c, &g, e) < 0) {
                log_err(&c->log, LOG_LEVEL_ERROR, e);
                return EXIT_UNKNOWN;
        }
        r = ctr_find(&g, &c->arena, argv[0], &ctr, e) == 0 ? 0 : 1;
        if (r != 0 && e->code != ERR_NOT_FOUND) {
                log_err(&c->log, LOG_LEVEL_ERROR, e);
                r = EXIT_UNKNOWN;
        }
        engine_close(&g);
        return r;
}

static const struct opt exists_opts[] = {
        IGNORED(0, "external", "There are no containers of others in the store", .hidden = true), {}
};
const struct command cmd_container_exists = {
        .name = "container exists",
        .usage = "CONTAINER",
        .help = "See whether there is a container of that name or id",
        .about = "The exit status is 0 where there is, 1 where there is none, and 125 where that "
                 "can't be told. It prints nothing.",
        .opts = exists_opts,
        .min = 1,
        .max = 1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_CONTAINER },
        .run = run_exists,
};

/* ---- container cleanup ---- */

struct cleanup_args {
        bool all, latest;
};
static const struct opt cleanup_opts[] = {
        FLAG(struct cleanup_args, all, 'a', "all", "Of all containers that have ended"),
        FLAG(struct cleanup_args, latest, 'l', "latest", "Of the newest"),
        REFUSED(0, "exec", "what exec leaves goes with it"),
        REFUSED(0, "rm", "`berth rm` removes containers, `berth run --rm` those that end"),
        REFUSED(0, "rmi", "`berth run --rmi` has it"),
        {}
};

static int cleanup_one(struct engine *g, const struct ctr *ctr, void *p, struct err *e)
{
        const struct cleanup_args *args = p;
        struct ctr_state s;

        ctr_state(g, ctr, &s);
        return args->all && ctr_is_up(&s) ? 0 : ctr_cleanup(g, ctr, e);
}

static int run_cleanup(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct cleanup_args *args = p;
        const struct ctr_choice choice = { .all = args->all, .latest = args->latest };

        return ctr_each(c, &choice, argc, argv, cleanup_one, args, e);
}

const struct command cmd_container_cleanup = {
        .name = "container cleanup",
        .usage = "CONTAINER...",
        .help = "Unmount what was mounted for containers that have ended",
        .about = "These are volumes made with --opt, while no other container has them. Monitors "
                 "have it done at the end of a container; it is needed by hand where one was "
                 "killed.",
        .opts = cleanup_opts,
        .max = -1,
        .needs = NEED_ROOT | NEED_STORE,
        .complete = { COMPLETE_CONTAINER, COMPLETE_CONTAINER, COMPLETE_CONTAINER },
        .args_size = sizeof(struct cleanup_args),
        .run = run_cleanup,
};

/* ---- container prune ---- */

struct prune_args {
        bool force;
        struct strings filters;
};
static const struct opt prune_opts[] = { LIST(struct prune_args, filters, 0, "filter", "KEY=VALUE",
                                              "Remove those alone that pass: " CTR_FILTER_KEYS),
                                         FLAG(struct prune_args, force, 'f', "force", "Don't ask"),
                                         {} };

int containers_prune(struct ctx *c, struct engine *g, const struct strings *list, struct buf *out,
                     uint64_t *ret_bytes, struct err *e)
{
        const struct ctr_filters *filters;
        struct ctr *v;
        uint64_t bytes = 0;
        size_t n;
        int status = 0;

        if (ctr_filters_parse(c, g, list, &filters, e) < 0 || ctr_list(g, &c->arena, &v, &n, e) < 0)
                return -1;
        for (size_t i = 0; i < n; i++) {
                struct err why = { 0 };
                struct ctr_state s;
                uint64_t written;

                ctr_state(g, &v[i], &s);
                if (ctr_is_up(&s) || !ctr_filters_pass(filters, &v[i], &s))
                        continue;
                written = ctr_written(g, &v[i]);
                if (ctr_remove(g, &v[i], false, 0, &why) < 0) {
                        log_err(&c->log, LOG_LEVEL_ERROR, &why);
                        status = 1;
                        continue;
                }
                bytes += written;
                buf_printf(out, "%s\n", v[i].id);
        }
        event_prune(g->store, "container", bytes);
        *ret_bytes += bytes;
        return status;
}

static int run_prune(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct prune_args *args = p;
        AUTO_BUF out = { 0 };
        struct engine g;
        uint64_t bytes = 0;
        int r;

        if (!args->force && !confirm("WARNING! This will remove all stopped containers.\n"))
                return 0;
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = containers_prune(c, &g, &args->filters, &out, &bytes, e);
        engine_close(&g);
        fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return r;
}

const struct command cmd_container_prune = {
        .name = "container prune",
        .help = "Remove all containers that do not run",
        .about = "It prints the ids of those that it removes. Containers that were never started "
                 "count as stopped.",
        .opts = prune_opts,
        .needs = NEED_ROOT,
        .args_size = sizeof(struct prune_args),
        .run = run_prune,
};
