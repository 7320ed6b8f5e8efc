/* berth exec. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/commands/ctr.h"
#include "cli/ctr-args.h"
#include "engine/settings.h"
#include "engine/user.h"
#include "kernel/exe.h"
#include "oci/runtime.h"

#define PATIENCE_MS 60000 /* for a machine under load; a container that stops it waits for ever */

struct exec_args {
        bool detach, interactive, tty, latest, privileged;
        const char *user, *workdir, *detach_keys;
        struct strings env, env_files;
        int64_t preserve_fds;
};

static const struct opt opts[] = {
        FLAG(struct exec_args, detach, 'd', "detach", "Return once it runs"),
        STR(struct exec_args, detach_keys, 0, "detach-keys", "KEYS",
            "Taken for docker's sake: there is nothing to detach from", .hidden = true),
        LIST(struct exec_args, env, 'e', "env", "NAME[=VALUE]",
             "Set an environment variable, or pass on ours"),
        LIST(struct exec_args, env_files, 0, "env-file", "FILE",
             "Set those of a file, one NAME=VALUE a line", .complete = COMPLETE_FILE),
        FLAG(struct exec_args, interactive, 'i', "interactive", "Keep standard input open"),
        FLAG(struct exec_args, latest, 'l', "latest", "In the container that was created last"),
        INT(struct exec_args, preserve_fds, 0, "preserve-fds", "N", "Pass N descriptors on, from 3",
            .min = 0, .max = 1000),
        FLAG(struct exec_args, tty, 't', "tty", "Give it a terminal"),
        STR(struct exec_args, user, 'u', "user", "USER[:GROUP]",
            "Run as this user of the container, by name or number"),
        STR(struct exec_args, workdir, 'w', "workdir", "DIR", "Start in DIR"),
        REFUSED(0, "privileged", "give the container what it needs when it is created"),
        {}
};

/* The user by the container's own files, seen through its first process: whatever links they are
 * stay inside. */
static int take_user(struct ctx *c, const struct exec_args *a, const struct ctr *ctr,
                     const struct ctr_state *s, struct exec_options *o, struct err *e)
{
        AUTO_FD int root = -1;
        struct user u;

        if (!a->user)
                return 0;
        root = ctr_live_root(ctr, s, e);
        if (root < 0)
                return -1;
        if (user_find(&c->arena, root, a->user, &(struct strings){ 0 }, &u, e) < 0)
                return err_in(e, "--user");
        o->user = arena_printf(&c->arena, "%u:%u", u.uid, u.gid);
        o->gids_are_all = true; /* the groups of the container's own user are not this one's */
        for (size_t i = 0; i < u.ngids; i++)
                strings_add(&c->arena, &o->additional_gids,
                            arena_printf(&c->arena, "%u", u.gids[i]));
        return 0;
}

/* Without --interactive it has no input: ours stays the shell's. */
static int close_input(const struct exec_args *a, struct err *e)
{
        AUTO_FD int null = -1;

        if (a->interactive || a->tty)
                return 0;
        null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return null < 0 || dup2(null, STDIN_FILENO) < 0
                       ? err_sys(e, errno, "cannot open \"/dev/null\"")
                       : 0;
}

/* What the child below says once the command runs, or has failed to. */
struct outcome {
        int result, status;
        struct err e;
};

/* Who holds on to the command's end: with nothing of the caller's, its streams least of all. */
static _Noreturn void stay(const struct runtime *rt, const struct exec_options *o, int tell)
{
        struct outcome out = { .result = -1 };
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
                err_sys(&out.e, errno, "cannot open \"/dev/null\"");
        else
                out.result = runtime_exec(rt, o, &out.status, &out.e);
        fd_write_all(tell, &out, sizeof out);
        fd_close(tell);
        setsid();
        while (waitpid(-1, NULL, 0) >= 0 || errno == EINTR)
                ;
        _exit(0);
}

/* A command that nobody waits for is collected by whoever inherits it, or by nobody: then its
 * container could never end, since the kernel waits until every process of a PID namespace has been
 * collected. So a child of ours stays with it. */
static int exec_detached(const struct runtime *rt, const struct exec_options *o, int *ret_status,
                         struct err *e)
{
        struct outcome out;
        int pipes[2];
        ssize_t n;
        pid_t pid;

        if (pipe2(pipes, O_CLOEXEC) < 0)
                return err_sys(e, errno, "cannot make a pipe");
        pid = fork();
        if (pid == 0)
                stay(rt, o, pipes[1]);
        fd_close(pipes[1]);
        n = pid < 0 ? -1 : read(pipes[0], &out, sizeof out);
        fd_close(pipes[0]);
        if (n != sizeof out)
                return err_set(e, ERR_SYSTEM, "cannot start a process for it");
        *e = out.e;
        *ret_status = out.status;
        return out.result;
}

static int exec_in(struct ctx *c, struct engine *g, const struct ctr *ctr,
                   const struct exec_args *a, int argc, char **argv, struct err *e)
{
        struct runtime rt = { .root = g->places.oci, .log = &c->log };
        struct exec_options o = { .id = ctr->id,
                                  .args = { (const char **)argv, (size_t)argc },
                                  .cwd = a->workdir,
                                  .tty = a->tty,
                                  .detach = a->detach,
                                  .preserve_fds = a->preserve_fds,
                                  .patience_ms = PATIENCE_MS };
        struct strings given = { 0 };
        const char *bundle;
        struct ctr_state s;
        int status, r;

        ctr_state(g, ctr, &s);
        if (s.status == CTR_PAUSED)
                return err_set(e, ERR_STATE, "container \"%s\" is paused", ctr->name);
        if (s.status != CTR_RUNNING && s.status != CTR_STOPPING)
                return err_set(e, ERR_STATE, "container \"%s\" is not running: it is %s", ctr->name,
                               ctr_status_names[s.status]);
        bundle = arena_printf(&c->arena, "%s/containers/%s", store_path(g->store), ctr->id);
        if (monitor_env_read(&c->arena, bundle, &o.env, e) < 0 ||
            settings_env(&c->arena, &a->env, &a->env_files, &given, e) < 0 ||
            take_user(c, a, ctr, &s, &o, e) < 0 || close_input(a, e) < 0)
                return -1;
        o.env = strings_both(&c->arena, &o.env, &given);
        if ((r = exe_detach(c->argv)) < 0)
                return err_sys(e, r, "cannot let go of the program's own file");
        r = o.detach ? exec_detached(&rt, &o, &status, e) : runtime_exec(&rt, &o, &status, e);
        return r < 0 ? -1 : status;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct exec_args *a = p;
        const struct ctr_choice choice = { .latest = a->latest };
        int named = a->latest ? 0 : 1, missing, r = -1;
        struct engine g;
        struct ctr *v;
        size_t n;

        if (argc <= named)
                return err_set(e, ERR_INVALID, "a container and a command are needed");
        if (a->detach && a->tty)
                return err_set(e, ERR_UNSUPPORTED, "--detach and --tty exclude each other");
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        if (ctr_choose(c, &g, &choice, named, argv, &v, &n, &missing, e) == 0 && n > 0)
                r = exec_in(c, &g, &v[0], a, argc - named, argv + named, e);
        else if (missing)
                r = STATUS_ENGINE;
        else if (n == 0)
                err_set(e, ERR_NOT_FOUND, "there is no container");
        engine_close(&g);
        if (r >= 0)
                return r;
        log_err(&c->log, LOG_LEVEL_ERROR, e);
        return runtime_failure_status(e);
}

const struct command cmd_exec = {
        .name = "exec",
        .alias = { "container exec" },
        .usage = "CONTAINER COMMAND [ARG...]",
        .help = "Run a further command in a running container",
        .about = "Its exit status is the command's; 125 where berth failed, 126 where the command "
                 "could not be run, 127 where it was not found.",
        .opts = opts,
        .min = 1,
        .max = -1,
        .stop_at_positional = true,
        .needs = NEED_ROOT,
        .complete = { COMPLETE_CONTAINER, COMPLETE_COMMAND },
        .args_size = sizeof(struct exec_args),
        .run = run,
};
