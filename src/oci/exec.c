/* exec: another process in a running container. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "kernel/sys.h"
#include "oci/cgroup-apply.h"
#include "oci/foreground.h"
#include "oci/launch.h"
#include "oci/runtime.h"

struct execution {
        const struct runtime *rt;
        const struct exec_options *o;
        struct arena arena;
        struct container container;
        struct spec spec;
        struct spec_process process;
        struct cgroup cgroup;
        struct plan plan;
        struct launch launch;
};

/* ---- the process ---- */

/* "uid[:gid]", numbers and nothing but numbers (CVE-2026-30892). */
static int parse_user(const char *text, struct spec_user *u, struct err *e)
{
        const char *colon = strchr(text, ':');
        char uid[16];
        size_t n = colon ? (size_t)(colon - text) : strlen(text);

        if (n < sizeof uid) {
                memcpy(uid, text, n);
                uid[n] = 0;
                if (str_to_u32(uid, &u->uid) == 0 && u->uid != UINT32_MAX &&
                    (!colon || (str_to_u32(colon + 1, &u->gid) == 0 && u->gid != UINT32_MAX)))
                        return 0;
        }
        err_set(e, ERR_INVALID, "--user: \"%s\" is not UID or UID:GID in numbers", text);
        return err_hint(e, "names are the engine's business: give the numbers");
}

static int parse_gids(struct arena *a, const struct strings *given, struct spec_user *u,
                      struct err *e)
{
        uint32_t *gids = arena_array(a, uint32_t, u->n_additional_gids + given->n + 1);

        if (u->n_additional_gids)
                memcpy(gids, u->additional_gids, u->n_additional_gids * sizeof *gids);
        for (size_t i = 0; i < given->n; i++)
                if (str_to_u32(given->v[i], &gids[u->n_additional_gids + i]) < 0)
                        return err_set(e, ERR_INVALID, "--additional-gids: \"%s\" is not a number",
                                       given->v[i]);
        u->additional_gids = gids;
        u->n_additional_gids += given->n;
        return 0;
}

/* --cap adds to every set in which a capability can then be used. */
static void add_caps(struct execution *x)
{
        struct arena *a = &x->arena;
        struct spec_caps *caps = arena_new(a, struct spec_caps);

        if (x->process.capabilities)
                *caps = *x->process.capabilities;
        caps->bounding = strings_both(a, &caps->bounding, &x->o->caps);
        caps->effective = strings_both(a, &caps->effective, &x->o->caps);
        caps->permitted = strings_both(a, &caps->permitted, &x->o->caps);
        /* What is inheritable already can be ambient too, as with runc. */
        for (size_t i = 0; i < x->o->caps.n; i++)
                for (size_t k = 0; k < caps->inheritable.n; k++)
                        if (str_eq(x->o->caps.v[i], caps->inheritable.v[k])) {
                                struct strings one = { &x->o->caps.v[i], 1 };

                                caps->ambient = strings_both(a, &caps->ambient, &one);
                                break;
                        }
        x->process.capabilities = caps;
}

static int process_from_flags(struct execution *x, struct err *e)
{
        const struct exec_options *o = x->o;
        struct spec_process *p = &x->process;

        if (!x->spec.process)
                return err_set(e, ERR_INVALID,
                               "the container has no process to take defaults from");
        *p = *x->spec.process;
        p->terminal = o->tty;
        p->args = o->args;
        p->env = strings_both(&x->arena, &p->env, &o->env);
        p->no_new_privileges |= o->no_new_privs;
        if (o->cwd)
                p->cwd = o->cwd;
        if (o->apparmor)
                p->apparmor_profile = o->apparmor;
        if (o->selinux)
                p->selinux_label = o->selinux;
        if (o->caps.n)
                add_caps(x);
        if (o->user && parse_user(o->user, &p->user, e) < 0)
                return -1;
        if (o->gids_are_all)
                p->user.n_additional_gids = 0;
        return parse_gids(&x->arena, &o->additional_gids, &p->user, e);
}

static int process_from_file(struct execution *x, struct err *e)
{
        AUTO_FREE char *text = NULL;
        size_t n;
        int r = fd_read_file_at(AT_FDCWD, x->o->process, SPEC_MAX_BYTES, &text, &n);

        if (r < 0)
                return err_sys(e, r, "cannot read process file \"%s\"", x->o->process);
        if (spec_parse_process(&x->arena, text, n, &x->process, e) < 0)
                return err_in(e, "process file \"%s\"", x->o->process);
        if (!x->process.capabilities && x->spec.process)
                x->process.capabilities = x->spec.process->capabilities;
        if (x->o->tty)
                x->process.terminal = true;
        return 0;
}

/* ---- the container ---- */

static int check_running(struct execution *x, struct err *e)
{
        enum status s = container_status(&x->container);

        if (s == STATUS_STOPPED)
                return err_set(e, ERR_STATE,
                               "cannot exec in a stopped container: container not running");
        if (s == STATUS_CREATING)
                return err_set(e, ERR_STATE, "container not running: it is still being created");
        if (s == STATUS_PAUSED && !x->o->ignore_paused) {
                err_set(e, ERR_STATE, "cannot exec in a paused container");
                return err_hint(e, "resume it, or use --ignore-paused to wait until someone does");
        }
        return 0;
}

static int prepare_join(struct execution *x, struct err *e)
{
        struct cgroup_fail f = { 0 };
        int r;

        if (x->cgroup.n == 0)
                return 0;
        r = cgroup_join_prepare(&x->cgroup, &x->o->cgroups, x->container.pid, &x->launch.join, &f);
        /* Without init's pid it is not asked whether the cgroup is frozen: we wait in it then. */
        if (r < 0 && f.what == CGROUP_FAULT_FROZEN && x->o->ignore_paused)
                r = cgroup_join_prepare(&x->cgroup, &x->o->cgroups, 0, &x->launch.join, &f);
        return r < 0 ? cgroup_err(e, &f) : 0;
}

static int open_target(struct execution *x, struct err *e)
{
        x->launch.target = sys_pidfd_open(x->container.pid);
        if (x->launch.target < 0 || container_status(&x->container) == STATUS_STOPPED)
                return err_set(e, ERR_STATE,
                               "cannot exec in a stopped container: container not running");
        return 0;
}

static int prepare(struct execution *x, struct err *e)
{
        struct plan_exec_input in = { .spec = &x->spec,
                                      .process = &x->process,
                                      .id = x->o->id,
                                      .bundle = x->container.bundle,
                                      .flags = x->rt->rootless ? PLAN_ROOTLESS : 0 };

        if (runtime_open(x->rt, &x->arena, x->o->id, false, &x->container, e) < 0 ||
            check_running(x, e) < 0 || container_spec(&x->arena, &x->container, &x->spec, e) < 0 ||
            container_cgroup(&x->arena, &x->container, &x->cgroup, e) < 0)
                return -1;
        if ((x->o->process ? process_from_file(x, e) : process_from_flags(x, e)) < 0)
                return -1;
        if (plan_exec(&x->arena, &in, &x->plan, e) < 0 || prepare_join(x, e) < 0 ||
            open_target(x, e) < 0)
                return -1;
        if (x->cgroup.n)
                x->plan.cgroup = &x->cgroup;
        x->launch.mode = LAUNCH_EXEC;
        x->launch.container = &x->container;
        x->launch.log = x->rt->log;
        x->launch.patience_ms = x->o->patience_ms;
        x->launch.arena = &x->arena;
        return 0;
}

static int open_console(struct execution *x, struct foreground *f, struct err *e)
{
        int pair[2];

        if (!x->process.terminal) {
                if (x->o->console_socket)
                        return err_set(e, ERR_INVALID,
                                       "cannot use console socket if berth-oci will not detach or "
                                       "allocate tty");
                return 0;
        }
        if (x->o->console_socket) {
                x->launch.console_sock = runtime_connect("console socket", x->o->console_socket, e);
                return x->launch.console_sock < 0 ? -1 : 0;
        }
        if (x->o->detach)
                return err_set(e, ERR_INVALID,
                               "cannot allocate tty if berth-oci will detach without setting "
                               "console socket");
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return err_sys(e, errno, "cannot make a socket");
        x->launch.console_sock = pair[0];
        f->console_sock = pair[1];
        return 0;
}

static int run(struct execution *x, struct foreground *f, int *ret_status, struct err *e)
{
        if (launch_filter(&x->launch, e) < 0 || launch_prepare(&x->launch, e) < 0 ||
            launch_spawn(&x->launch, e) < 0)
                return -1;
        if (x->o->ret_pid)
                *x->o->ret_pid = x->launch.init;
        if ((x->o->pid_file && runtime_pid_file(x->o->pid_file, x->launch.init, e) < 0) ||
            (x->o->pidfd_socket &&
             runtime_pidfd_send(x->o->pidfd_socket, x->launch.pidfd, e) < 0) ||
            foreground_console(f, e) < 0 || launch_release(&x->launch, e) < 0) {
                launch_abort(&x->launch);
                return -1;
        }
        *ret_status = 0;
        if (x->o->detach)
                return 0;
        return foreground_wait(f, x->launch.init, x->launch.pidfd, ret_status, e);
}

int runtime_exec(const struct runtime *rt, const struct exec_options *o, int *ret_status,
                 struct err *e)
{
        struct execution x = { .rt = rt, .o = o, .container = CONTAINER_INIT };
        struct foreground f = FOREGROUND_INIT;
        int r = -1;

        launch_init(&x.launch);
        x.launch.plan = &x.plan;
        if (runtime_preserve_fds(o->preserve_fds, &x.launch.preserve_fds, e) == 0 &&
            prepare(&x, e) == 0 && open_console(&x, &f, e) == 0) {
                if (!o->detach)
                        foreground_begin(&f, false);
                r = run(&x, &f, ret_status, e);
        }
        foreground_end(&f);
        launch_done(&x.launch);
        container_done(&x.container);
        arena_done(&x.arena);
        return r;
}
