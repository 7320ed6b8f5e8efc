/* kill, delete, state, pause, resume. */
#include "base/fd.h"
#include "cli/oci/ctx.h"
#include "kernel/signals.h"

struct kill_args {
        bool all;
};
static const struct opt kill_opts[] = {
        FLAG(struct kill_args, all, 'a', "all", "Signal every process of the container"), {}
};

static int kill_run(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        int sig = signal_parse(argc > 1 ? argv[1] : "SIGTERM");

        if (sig < 0)
                return err_set(e, ERR_INVALID, "unknown signal \"%s\"", argv[1]);
        return runtime_kill(&c->rt, argv[0], sig, ((struct kill_args *)args)->all, e);
}

const struct command oci_kill = {
        .name = "kill",
        .usage = "CONTAINER-ID [SIGNAL]",
        .help = "Send a signal to a container's init, SIGTERM by default",
        .opts = kill_opts,
        .min = 1,
        .max = 2,
        .complete = { COMPLETE_CONTAINER, COMPLETE_SIGNAL },
        .args_size = sizeof(struct kill_args),
        .run = kill_run,
};

struct delete_args {
        bool force;
};
static const struct opt delete_opts[] = {
        FLAG(struct delete_args, force, 'f', "force",
             "Kill it first if it runs; without such a container do nothing"),
        {}
};

static int delete_run(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        for (int i = 0; i < argc; i++)
                if (runtime_delete(&c->rt, argv[i], ((struct delete_args *)args)->force, e) < 0)
                        return -1;
        return 0;
}

const struct command oci_delete = {
        .name = "delete",
        .usage = "CONTAINER-ID...",
        .help = "Remove what a container left",
        .about = "A container that runs is refused unless --force is given.",
        .opts = delete_opts,
        .min = 1,
        .max = -1,
        .complete = { COMPLETE_CONTAINER, COMPLETE_CONTAINER, COMPLETE_CONTAINER },
        .args_size = sizeof(struct delete_args),
        .run = delete_run,
};

static int state(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        AUTO_BUF out = { 0 };

        if (runtime_state(&c->rt, argv[0], &out, e) < 0)
                return -1;
        fd_write_all(STDOUT_FILENO, out.s, out.len);
        return 0;
}

const struct command oci_state = {
        .name = "state",
        .usage = "CONTAINER-ID",
        .help = "Print the state of a container as JSON",
        .min = 1,
        .max = 1,
        .complete = { COMPLETE_CONTAINER },
        .run = state,
};

static int pause_run(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        return runtime_pause(&c->rt, argv[0], e);
}

const struct command oci_pause = {
        .name = "pause",
        .usage = "CONTAINER-ID",
        .help = "Stop every process of a container where it is",
        .min = 1,
        .max = 1,
        .complete = { COMPLETE_CONTAINER },
        .run = pause_run,
};

static int resume(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        return runtime_resume(&c->rt, argv[0], e);
}

const struct command oci_resume = {
        .name = "resume",
        .usage = "CONTAINER-ID",
        .help = "Let a paused container go on",
        .min = 1,
        .max = 1,
        .complete = { COMPLETE_CONTAINER },
        .run = resume,
};
