/* berth port, healthcheck run, container exists, container prune. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/commands/ctr.h"
#include "cli/ctr-args.h"
#include "cli/image-list.h"

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
        return with_one(c, show_ports, argc, argv, e);
}

const struct command cmd_port = {
        .name = "port",
        .alias = { "container port" },
        .usage = "CONTAINER [PORT[/PROTOCOL]]",
        .help = "Show the ports that a container publishes",
        .about = "Publishing ports is not built yet: of any container it prints nothing, and a "
                 "port that is asked for is not found.",
        .min = 1,
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

const struct command cmd_container_exists = {
        .name = "container exists",
        .usage = "CONTAINER",
        .help = "See whether there is a container of that name or id",
        .about = "The exit status is 0 where there is, 1 where there is none, and 125 where that "
                 "can't be told. It prints nothing.",
        .min = 1,
        .max = 1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_CONTAINER },
        .run = run_exists,
};

/* ---- container prune ---- */

struct prune_args {
        bool force;
        struct strings filters;
};
static const struct opt prune_opts[] = {
        LIST(struct prune_args, filters, 0, "filter", "KEY=VALUE",
             "Remove those alone that pass: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]"),
        FLAG(struct prune_args, force, 'f', "force", "Don't ask"),
        {}
};

static bool has_label(const struct ctr *c, const char *want)
{
        for (size_t i = 0; i < c->labels.n; i++) {
                const char *rest = str_after(want, c->labels.v[i].key);

                if (rest && (!*rest || (*rest == '=' && str_eq(rest + 1, c->labels.v[i].value))))
                        return true;
        }
        return false;
}

/* *ret: whether c passes; with c NULL the filters are only checked. */
static int passes(const struct strings *filters, const struct ctr *c, bool *ret, struct err *e)
{
        *ret = true;
        for (size_t i = 0; i < filters->n; i++) {
                const char *f = filters->v[i], *until = str_after(f, "until=");
                const char *label = str_after(f, "label="), *without = str_after(f, "label!=");
                int64_t when;

                if (until && parse_until(until, time(NULL), &when, e) < 0)
                        return err_in(e, "--filter until");
                if (!until && !label && !without)
                        return err_set(e, ERR_INVALID,
                                       "--filter: \"%s\" is not known; until, label and label! are",
                                       f);
                if (!c)
                        continue;
                *ret = *ret && (!until || c->created_ns / 1000000000 < when) &&
                       (!label || has_label(c, label)) && (!without || !has_label(c, without));
        }
        return 0;
}

static int prune(struct ctx *c, struct engine *g, const struct prune_args *args, struct err *e)
{
        struct ctr *v;
        size_t n;
        int failed = 0;
        bool keep;

        if (ctr_list(g, &c->arena, &v, &n, e) < 0)
                return -1;
        for (size_t i = 0; i < n; i++) {
                struct err why = { 0 };
                AUTO_BUF line = { 0 };
                struct ctr_state s;

                if (passes(&args->filters, &v[i], &keep, e) < 0)
                        return -1;
                ctr_state(g, &v[i], &s);
                if (!keep || ctr_is_up(&s))
                        continue;
                if (ctr_remove(g, &v[i], false, 0, &why) < 0) {
                        log_err(&c->log, LOG_LEVEL_ERROR, &why);
                        failed++;
                        continue;
                }
                buf_printf(&line, "%s\n", v[i].id);
                fd_write_all(STDOUT_FILENO, line.s, line.len);
        }
        return failed > 0;
}

static int run_prune(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct prune_args *args = p;
        struct engine g;
        bool ignored;
        int r;

        if (passes(&args->filters, NULL, &ignored, e) < 0)
                return -1;
        if (!args->force && !confirm("WARNING! This will remove all stopped containers.\n"))
                return 0;
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = prune(c, &g, args, e);
        engine_close(&g);
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
