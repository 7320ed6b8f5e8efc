/* create, run, start. */
#include <stdio.h>

#include "base/fd.h"
#include "cli/oci/ctx.h"
#include "kernel/exe.h"

struct create_args {
        const char *bundle, *pid_file, *console_socket, *pidfd_socket;
        bool no_pivot, no_new_keyring, no_subreaper, detach, keep, plan;
        int64_t preserve_fds;
};

#define CREATE_OPTS                                                                                \
        STR(struct create_args, bundle, 'b', "bundle", "DIR",                                      \
            "The bundle: a directory with config.json; by default the current one",                \
            .complete = COMPLETE_DIR),                                                             \
                STR(struct create_args, console_socket, 0, "console-socket", "PATH",               \
                    "Send the terminal's master to the unix socket at PATH",                       \
                    .complete = COMPLETE_FILE),                                                    \
                STR(struct create_args, pid_file, 0, "pid-file", "FILE",                           \
                    "Write init's pid to FILE", .complete = COMPLETE_FILE),                        \
                STR(struct create_args, pidfd_socket, 0, "pidfd-socket", "PATH",                   \
                    "Send a pidfd of init to the unix socket at PATH", .complete = COMPLETE_FILE), \
                FLAG(struct create_args, no_pivot, 0, "no-pivot",                                  \
                     "Move the root over / instead of pivot_root, for hosts that run from a "      \
                     "ramfs"),                                                                     \
                FLAG(struct create_args, no_new_keyring, 0, "no-new-keyring",                      \
                     "Keep the caller's session keyring"),                                         \
                INT(struct create_args, preserve_fds, 0, "preserve-fds", "N",                      \
                    "Pass on N descriptors from 3 upwards"),                                       \
                FLAG(struct create_args, plan, 0, "plan",                                          \
                     "Print the operations, one a line in their order, and make none of them")

static const struct opt create_opts[] = { CREATE_OPTS, {} };

static const struct opt run_opts[] = {
        CREATE_OPTS,
        FLAG(struct create_args, detach, 'd', "detach", "Return once the container is started"),
        FLAG(struct create_args, keep, 0, "keep", "Don't delete the container when it ends"),
        FLAG(struct create_args, no_subreaper, 0, "no-subreaper",
             "Leave the container's orphans to the host's init"),
        {}
};

static struct create_options options_of(const struct create_args *a, const char *id)
{
        return (struct create_options){
                .id = id,
                .bundle = a->bundle,
                .pid_file = a->pid_file,
                .console_socket = a->console_socket,
                .pidfd_socket = a->pidfd_socket,
                .no_pivot = a->no_pivot,
                .no_new_keyring = a->no_new_keyring,
                .no_subreaper = a->no_subreaper,
                .detach = a->detach,
                .keep = a->keep,
                .preserve_fds = a->preserve_fds,
        };
}

static int print_plan(struct ctx *c, const struct create_options *o, struct err *e)
{
        AUTO_BUF out = { 0 };

        if (runtime_plan(&c->rt, o, &out, e) < 0)
                return -1;
        fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return 0;
}

static int detach_exe(struct ctx *c, struct err *e)
{
        int r = exe_detach(c->argv);

        return r < 0 ? err_sys(e, r, "cannot let go of the program's own file") : 0;
}

static int create(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        struct create_options o = options_of(args, argv[0]);

        if (((struct create_args *)args)->plan)
                return print_plan(c, &o, e);
        if (detach_exe(c, e) < 0)
                return -1;
        return runtime_create(&c->rt, &o, e);
}

static int run(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        struct create_options o = options_of(args, argv[0]);
        int status;

        if (((struct create_args *)args)->plan)
                return print_plan(c, &o, e);
        if (detach_exe(c, e) < 0 || runtime_run(&c->rt, &o, &status, e) < 0)
                return -1;
        return status;
}

static int start(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        return runtime_start(&c->rt, argv[0], e);
}

const struct command oci_create = {
        .name = "create",
        .usage = "CONTAINER-ID",
        .help = "Create a container",
        .about = "Makes the container that the bundle's config.json describes, up to the point "
                 "where "
                 "only its program is missing: `start` executes that.",
        .opts = create_opts,
        .min = 1,
        .max = 1,
        .args_size = sizeof(struct create_args),
        .run = create,
};

const struct command oci_run = {
        .name = "run",
        .usage = "CONTAINER-ID",
        .help = "Create and start a container, wait for it, delete it",
        .about = "The exit status is the container's, or 128 plus the number of the signal that "
                 "killed it, or 1 if it could not be started.",
        .opts = run_opts,
        .min = 1,
        .max = 1,
        .args_size = sizeof(struct create_args),
        .run = run,
};

const struct command oci_start = {
        .name = "start",
        .usage = "CONTAINER-ID",
        .help = "Execute the program of a created container",
        .about = "Fails, with the reason, where the program can't be executed.",
        .min = 1,
        .max = 1,
        .complete = { COMPLETE_CONTAINER },
        .run = start,
};
