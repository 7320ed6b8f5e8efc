/* berth start, stop, restart, kill, pause, unpause, rm, wait, rename. */
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/commands/ctr.h"
#include "cli/ctr-args.h"
#include "cli/ctr-filter.h"
#include "kernel/signals.h"

/* One struct for all: each command's table names what it takes. */
struct life_args {
        bool all, latest, force, ignore, volumes, attach, interactive, running, shutdown;
        const char *signal, *detach_keys, *sig_proxy;
        struct strings filters, cidfiles, conditions;
        int64_t time; /* seconds; -1: the container's own */
};
static const struct life_args defaults = { .time = -1 };

#define ALL(help_) FLAG(struct life_args, all, 'a', "all", help_)
#define LATEST FLAG(struct life_args, latest, 'l', "latest", "The container that was created last")
#define FILTER                                                                                     \
        LIST(struct life_args, filters, 'f', "filter", "KEY=VALUE",                                \
             "Of all, those alone that pass; see berth-ps(1)")
#define TIME(help_)                                                                                \
        INT(struct life_args, time, 't', "time", "SECONDS", help_, .min = -1, .max = 1 << 30)
#define SIGNAL(short_, help_)                                                                      \
        STR(struct life_args, signal, short_, "signal", "SIGNAL", help_,                           \
            .complete = COMPLETE_SIGNAL)

#define TIMEOUT                                                                                    \
        INT(struct life_args, time, 0, "timeout", "SECONDS", "As --time, docker's name of it",     \
            .min = -1, .max = 1 << 30, .hidden = true)
#define CIDFILE                                                                                    \
        LIST(struct life_args, cidfiles, 0, "cidfile", "FILE",                                     \
             "The container whose id is in FILE; may be repeated", .complete = COMPLETE_FILE)

static int take_signal(const struct life_args *a, int fallback, struct err *e)
{
        int sig = a->signal ? signal_parse(a->signal) : fallback;

        return sig < 0 ? err_set(e, ERR_INVALID, "--signal: \"%s\" is no signal", a->signal) : sig;
}

static int64_t timeout_ms(const struct life_args *a)
{
        return a->time < 0 ? -1 : a->time * 1000;
}

/* What the flags choose. */
static struct ctr_choice choice_of(const struct life_args *a, bool running)
{
        return (struct ctr_choice){ .all = a->all,
                                    .latest = a->latest,
                                    .ignore = a->ignore,
                                    .running = running,
                                    .filters = &a->filters,
                                    .cidfiles = &a->cidfiles };
}

/* Does fn to each of those that run. */
static int each_running(struct ctx *c, struct life_args *a, int argc, char **argv, ctr_fn *fn,
                        struct err *e)
{
        const struct ctr_choice choice = choice_of(a, true);

        return ctr_each(c, &choice, argc, argv, fn, a, e);
}

/* ---- start ---- */

static int start_attached(struct ctx *c, struct engine *g, const struct ctr *ctr,
                          const struct life_args *a, struct err *e)
{
        const struct attach attach = { .in = a->interactive && !ctr->passthrough,
                                       .out = true,
                                       .err = true,
                                       .primary = true,
                                       .tty = ctr->tty,
                                       .forward_signals =
                                               a->sig_proxy ? a->sig_proxy[0] != 'f' : !ctr->tty,
                                       .detach_keys = a->detach_keys };
        int sock;

        if (attach_check(&attach, e) < 0 || ctr_start(g, ctr, &attach, &sock, e) < 0)
                return -1;
        return ctr_attended(g, ctr, &attach, sock, e);
}

static int start_one(struct engine *g, const struct ctr *c, void *args, struct err *e)
{
        struct ctr_state s;

        ctr_state(g, c, &s);
        if (s.status == CTR_PAUSED) {
                err_set(e, ERR_STATE, "container \"%s\" is paused", c->name);
                return err_hint(e, "`berth unpause %s`", c->name);
        }
        if (ctr_is_up(&s))
                return 0; /* as docker: it is what was asked for */
        if (ctr_start(g, c, NULL, NULL, e) == 0)
                return ctr_notify(g, c, e);
        ctr_state(g, c, &s);
        if (e->code != ERR_STATE || !ctr_is_up(&s))
                return err_in(e, "cannot start container \"%s\"", c->name);
        err_clear(e); /* another was quicker */
        return 0;
}

static int run_start(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct life_args *a = p;
        const struct ctr_choice choice = choice_of(a, false);
        struct engine g;
        struct ctr ctr;
        int r;

        if (!a->attach && !a->interactive)
                return ctr_each(c, &choice, argc, argv, start_one, a, e);
        if (argc != 1)
                return err_set(e, ERR_INVALID, "--attach takes one container");
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = ctr_find(&g, &c->arena, argv[0], &ctr, e) < 0 ? -1 : start_attached(c, &g, &ctr, a, e);
        engine_close(&g);
        return r;
}

static const struct opt start_opts[] = {
        FLAG(struct life_args, all, 0, "all", "Start all containers"),
        FLAG(struct life_args, attach, 'a', "attach",
             "Show what it prints, and return with its exit status"),
        FLAG(struct life_args, interactive, 'i', "interactive", "Attach, with our input too"),
        STR(struct life_args, detach_keys, 0, "detach-keys", "KEYS",
            "What leaves it running; ctrl-p,ctrl-q by default"),
        FILTER,
        LATEST,
        STR_OPTIONAL(struct life_args, sig_proxy, 0, "sig-proxy", "BOOL", "true",
                     "Whether signals that we get go to the container; true without a terminal"),
        REFUSED(0, "checkpoint", "not built yet: berth-oci restore has it"),
        REFUSED(0, "checkpoint-dir", "not built yet: berth-oci restore has it"),
        {}
};
const struct command cmd_start = {
        .name = "start",
        .alias = { "container start" },
        .usage = "CONTAINER...",
        .help = "Start containers that were created or have ended",
        .opts = start_opts,
        .max = -1,
        .needs = NEED_ROOT,
        .complete = { COMPLETE_CONTAINER, COMPLETE_CONTAINER, COMPLETE_CONTAINER },
        .args_size = sizeof(struct life_args),
        .defaults = &defaults,
        .run = run_start,
};

/* ---- stop ---- */

static int stop_one(struct engine *g, const struct ctr *c, void *args, struct err *e)
{
        const struct life_args *a = args;
        int sig = take_signal(a, 0, e);

        return sig < 0 ? -1 : ctr_stop(g, c, sig, timeout_ms(a), "berth stop", e);
}

static int shut_down_one(struct engine *g, const struct ctr *c, void *args, struct err *e)
{
        return ctr_shut_down(g, c, timeout_ms(args), e);
}

static int await_one(struct engine *g, const struct ctr *c, void *args, struct err *e)
{
        int status;

        return ctr_wait(g, c, &status, e);
}

static int run_stop(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct life_args *a = p;

        if (a->shutdown) { /* all at once: the machine does not wait for each in turn */
                int status = each_running(c, a, argc, argv, shut_down_one, e);

                return status < 0 ? -1 : MAX(status, each_running(c, a, argc, argv, await_one, e));
        }
        return each_running(c, p, argc, argv, stop_one, e);
}

static const struct opt stop_opts[] = {
        ALL("Stop all that run"),
        CIDFILE,
        FILTER,
        FLAG(struct life_args, ignore, 'i', "ignore", "Names of none are no error"),
        LATEST,
        FLAG(struct life_args, shutdown, 0, "shutdown",
             "The machine goes down: all at once, and with the next boot their restart policies "
             "bring them back"),
        SIGNAL('s', "Send SIGNAL instead of the container's stop signal"),
        TIME("Kill it after so long; 10 by default, or what it was created with"),
        TIMEOUT,
        {}
};
const struct command cmd_stop = {
        .name = "stop",
        .alias = { "container stop" },
        .usage = "CONTAINER...",
        .help = "Stop containers: by their stop signal, then by SIGKILL",
        .about = "Returns when they have ended. A restart policy does not start them again.",
        .opts = stop_opts,
        .max = -1,
        .needs = NEED_ROOT,
        .complete = { COMPLETE_CONTAINER, COMPLETE_CONTAINER, COMPLETE_CONTAINER },
        .args_size = sizeof(struct life_args),
        .defaults = &defaults,
        .run = run_stop,
};

/* ---- restart ---- */

static int restart_one(struct engine *g, const struct ctr *c, void *args, struct err *e)
{
        const struct life_args *a = args;
        int sig = take_signal(a, 0, e);

        return sig < 0 ? -1 : ctr_restart(g, c, sig, timeout_ms(a), e);
}

static int run_restart(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct life_args *a = p;
        struct ctr_choice choice = choice_of(a, a->running);

        choice.all = a->all || a->running;

        return ctr_each(c, &choice, argc, argv, restart_one, a, e);
}

static const struct opt restart_opts[] = {
        ALL("Restart all containers, also those that have ended"),
        CIDFILE,
        FILTER,
        LATEST,
        FLAG(struct life_args, running, 0, "running", "Restart all that run"),
        SIGNAL('s', "Send SIGNAL instead of the container's stop signal"),
        TIME("Kill it after so long"),
        TIMEOUT,
        {}
};
const struct command cmd_restart = {
        .name = "restart",
        .alias = { "container restart" },
        .usage = "CONTAINER...",
        .help = "Stop containers, and start them again",
        .opts = restart_opts,
        .max = -1,
        .needs = NEED_ROOT,
        .complete = { COMPLETE_CONTAINER, COMPLETE_CONTAINER, COMPLETE_CONTAINER },
        .args_size = sizeof(struct life_args),
        .defaults = &defaults,
        .run = run_restart,
};

/* ---- kill ---- */

static int kill_one(struct engine *g, const struct ctr *c, void *args, struct err *e)
{
        int sig = take_signal(args, SIGKILL, e);

        return sig < 0 ? -1 : ctr_kill(g, c, sig, "berth kill", e);
}

static int run_kill(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        return each_running(c, p, argc, argv, kill_one, e);
}

static const struct opt kill_opts[] = {
        ALL("All that run"), CIDFILE, LATEST, SIGNAL('s', "Send SIGNAL instead of SIGKILL"), {}
};
const struct command cmd_kill = {
        .name = "kill",
        .alias = { "container kill" },
        .usage = "CONTAINER...",
        .help = "Send a signal to the first process of containers",
        .opts = kill_opts,
        .max = -1,
        .needs = NEED_ROOT,
        .complete = { COMPLETE_CONTAINER, COMPLETE_CONTAINER, COMPLETE_CONTAINER },
        .args_size = sizeof(struct life_args),
        .defaults = &defaults,
        .run = run_kill,
};

/* ---- pause, unpause ---- */

static int pause_one(struct engine *g, const struct ctr *c, void *args, struct err *e)
{
        return ctr_pause(g, c, true, e);
}

static int unpause_one(struct engine *g, const struct ctr *c, void *args, struct err *e)
{
        return ctr_pause(g, c, false, e);
}

static int run_pause(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        return each_running(c, p, argc, argv, pause_one, e);
}

static int run_unpause(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        return each_running(c, p, argc, argv, unpause_one, e);
}

static const struct opt pause_opts[] = { ALL("All that run"), CIDFILE, FILTER, LATEST, {} };
const struct command cmd_pause = {
        .name = "pause",
        .alias = { "container pause" },
        .usage = "CONTAINER...",
        .help = "Freeze the processes of containers",
        .opts = pause_opts,
        .max = -1,
        .needs = NEED_ROOT,
        .complete = { COMPLETE_CONTAINER, COMPLETE_CONTAINER, COMPLETE_CONTAINER },
        .args_size = sizeof(struct life_args),
        .defaults = &defaults,
        .run = run_pause,
};
const struct command cmd_unpause = {
        .name = "unpause",
        .alias = { "container unpause" },
        .usage = "CONTAINER...",
        .help = "Let the processes of paused containers go on",
        .opts = pause_opts,
        .max = -1,
        .needs = NEED_ROOT,
        .complete = { COMPLETE_CONTAINER, COMPLETE_CONTAINER, COMPLETE_CONTAINER },
        .args_size = sizeof(struct life_args),
        .defaults = &defaults,
        .run = run_unpause,
};

/* ---- rm ---- */

static int rm_one(struct engine *g, const struct ctr *c, void *args, struct err *e)
{
        const struct life_args *a = args;

        return ctr_remove(g, c, a->force, MAX(timeout_ms(a), (int64_t)0), e);
}

static int run_rm(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct life_args *a = p;
        struct ctr_choice choice = choice_of(a, false);

        choice.ignore = a->ignore || a->force;

        return ctr_each(c, &choice, argc, argv, rm_one, a, e);
}

static const struct opt rm_opts[] = {
        ALL("Remove all containers"),
        CIDFILE,
        REFUSED(0, "depend", "name those too that share its namespaces"),
        LIST(struct life_args, filters, 0, "filter", "KEY=VALUE",
             "Those that pass: " CTR_FILTER_KEYS),
        FLAG(struct life_args, force, 'f', "force",
             "Remove it even if it runs; names of none are no error"),
        FLAG(struct life_args, ignore, 'i', "ignore", "Names of none are no error"),
        LATEST,
        TIME("With --force, let it stop by its stop signal for so long; 0 by default"),
        FLAG(struct life_args, volumes, 'v', "volumes",
             "Remove its anonymous volumes, as is done anyway"),
        REFUSED(0, "link", "there are no links between containers"),
        {}
};
const struct command cmd_rm = {
        .name = "rm",
        .alias = { "container rm" },
        .usage = "CONTAINER...",
        .help = "Remove containers",
        .opts = rm_opts,
        .max = -1,
        .needs = NEED_ROOT,
        .complete = { COMPLETE_CONTAINER, COMPLETE_CONTAINER, COMPLETE_CONTAINER },
        .args_size = sizeof(struct life_args),
        .defaults = &defaults,
        .run = run_rm,
};

/* ---- wait ---- */

#define WAIT_MS 100

/* docker's and podman's names of what is waited for; without any, its end. */
static bool is_condition(const char *text)
{
        return STR_INDEX(ctr_status_names, text) >= 0 || str_eq(text, "stopped") ||
               str_eq(text, "healthy") || str_eq(text, "unhealthy") || str_eq(text, "removed");
}

static bool holds(const char *condition, const struct ctr_state *s)
{
        if (str_eq(condition, "stopped"))
                return s->status == CTR_EXITED || s->status == CTR_LOST;
        return str_eq(condition, ctr_status_names[s->status]) ||
               (ctr_is_up(s) && str_eq(condition, health_status_names[s->monitor.health]));
}

/* 1 once one of the conditions holds, 0 before; -1 where the container is gone. */
static int met(struct engine *g, const struct ctr *c, const struct strings *conditions,
               int *ret_status)
{
        AUTO_ARENA a = { 0 };
        struct ctr_state s;
        struct ctr now;

        if (ctr_find(g, &a, c->id, &now, &(struct err){ 0 }) < 0)
                return -1;
        ctr_state(g, &now, &s);
        *ret_status = ctr_is_up(&s) ? -1 : s.monitor.exit_code; /* podman's, of one that runs */
        for (size_t i = 0; i < conditions->n; i++)
                if (holds(conditions->v[i], &s))
                        return 1;
        return 0;
}

static int wait_one(struct engine *g, const struct ctr *c, const struct life_args *a,
                    int *ret_status, struct err *e)
{
        const struct strings *conditions = &a->conditions;
        int r;

        if (conditions->n == 0)
                return ctr_wait(g, c, ret_status, e);
        while ((r = met(g, c, conditions, ret_status)) == 0)
                poll(NULL, 0, WAIT_MS);
        for (size_t i = 0; r < 0 && i < conditions->n; i++)
                if (str_eq(conditions->v[i], "removed"))
                        r = 0;
        return r < 0 ? err_set(e, ERR_NOT_FOUND, "container \"%s\" was removed", c->name) : 0;
}

static int check_conditions(const struct life_args *a, struct err *e)
{
        for (size_t i = 0; i < a->conditions.n; i++)
                if (!is_condition(a->conditions.v[i])) {
                        err_set(e, ERR_INVALID, "--condition: \"%s\" is none", a->conditions.v[i]);
                        return err_hint(e, "there are created, running, paused, stopping, "
                                           "stopped, restarting, exited, dead, healthy, "
                                           "unhealthy and removed");
                }
        return 0;
}

static int run_wait(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct life_args *a = p;
        const struct ctr_choice choice = choice_of(a, false);
        struct engine g;
        struct ctr *v;
        size_t n;
        int failed, r;

        if (check_conditions(a, e) < 0 || ctr_engine(c, &g, e) < 0)
                return -1;
        r = ctr_choose(c, &g, &choice, argc, argv, &v, &n, &failed, e);
        for (size_t i = 0; r == 0 && i < n; i++) {
                AUTO_BUF line = { 0 };
                struct err why = { 0 };
                int status = 0;

                if (wait_one(&g, &v[i], a, &status, &why) < 0) {
                        log_err(&c->log, LOG_LEVEL_ERROR, &why);
                        failed++;
                        continue;
                }
                buf_printf(&line, "%d\n", status);
                fd_write_all(STDOUT_FILENO, line.s, line.len);
        }
        engine_close(&g);
        return r < 0 ? -1 : failed > 0;
}

static const struct opt wait_opts[] = {
        LIST(struct life_args, conditions, 0, "condition", "STATUS",
             "Wait until it is created, running, paused, stopped, exited, healthy, unhealthy, "
             "removed ...; may be repeated"),
        FLAG(struct life_args, ignore, 0, "ignore", "Names of none are no error"),
        IGNORED_VALUE('i', "interval", "TIME", "Its end is seen at once", .hidden = true),
        LATEST,
        {}
};
const struct command cmd_wait = {
        .name = "wait",
        .alias = { "container wait" },
        .usage = "CONTAINER...",
        .help = "Wait until containers end, and print their exit statuses",
        .opts = wait_opts,
        .max = -1,
        .needs = NEED_ROOT,
        .complete = { COMPLETE_CONTAINER, COMPLETE_CONTAINER, COMPLETE_CONTAINER },
        .args_size = sizeof(struct life_args),
        .defaults = &defaults,
        .run = run_wait,
};

/* ---- rename ---- */

static int run_rename(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct engine g;
        struct ctr ctr;
        int r;

        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = ctr_find(&g, &c->arena, argv[0], &ctr, e) < 0 ? -1 : ctr_rename(&g, &ctr, argv[1], e);
        engine_close(&g);
        return r;
}

const struct command cmd_rename = {
        .name = "rename",
        .alias = { "container rename" },
        .usage = "CONTAINER NAME",
        .help = "Give a container another name",
        .min = 2,
        .max = 2,
        .needs = NEED_ROOT,
        .complete = { COMPLETE_CONTAINER },
        .run = run_rename,
};
