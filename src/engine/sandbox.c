#include "engine/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/sandbox-internal.h"
#include "kernel/mount.h"
#include "oci/runtime.h"

/* ---- steps of every root ---- */

int step_settings(struct run *r, struct err *e)
{
        if (settings_merge(&r->arena, r->s, r->has_config ? &r->config : NULL, &r->settings, e) < 0)
                return -1;
        return mounts_given(&r->arena, r->s, &r->mounts, e);
}

/* Where the workspaces of this kind of container are. */
static const char *containers_dir(struct run *r)
{
        return r->store ? arena_printf(&r->arena, "%s/containers", store_path(r->store))
                        : arena_printf(&r->arena, "%s/sandboxes", r->p->run);
}

/* ---- signals ---- */

/* Those that people and supervisors send. They wait while something of ours would be left: until
 * the container takes them, or until all is undone. */
static void signals_hold(sigset_t *ret_before)
{
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGQUIT);
        sigprocmask(SIG_BLOCK, &set, ret_before);
}

/* Whether one of them waits. */
bool signals_wait(void)
{
        sigset_t set;

        sigpending(&set);
        return sigismember(&set, SIGINT) || sigismember(&set, SIGTERM) ||
               sigismember(&set, SIGHUP) || sigismember(&set, SIGQUIT);
}

int step_signals(struct run *r, struct err *e)
{
        signals_hold(&r->mask);
        r->held = true;
        return 0;
}

void undo_signals(struct run *r)
{
        if (!r->plan)
                sigprocmask(SIG_SETMASK, &r->mask, NULL);
}

/* ---- the container's own directory ---- */

/* store: NULL where they keep nothing in one. */
static unsigned sweep(const struct sandbox_places *p, struct store *store, const char *containers)
{
        const struct workspace_places places = { .containers = containers,
                                                 .store = store,
                                                 .run = store ? p->run : NULL,
                                                 .oci = p->oci,
                                                 .log = p->log };

        return workspace_sweep(&places);
}

/* With --plan only its path is made up. What others left when they were killed goes first. */
int step_workspace(struct run *r, struct err *e)
{
        const struct workspace_owner o = {
                .id = r->s->name, .image = r->image.digest, .name = r->s->image, .oci = r->p->oci
        };
        const char *containers = containers_dir(r);

        r->bundle = r->workspace.path;
        if (r->plan) {
                snprintf(r->workspace.path, sizeof r->workspace.path, "%s/%s", containers,
                         r->s->name);
                return 0;
        }
        if (!r->sweep_later)
                sweep(r->p, r->store, containers);
        return workspace_make(containers, &o, &r->workspace, e);
}

void undo_workspace(struct run *r)
{
        struct err e = { 0 };

        if (workspace_remove(&r->workspace, &e) < 0)
                log_err(r->p->log, LOG_LEVEL_WARNING, &e);
}

void print_workspace(struct run *r, struct buf *out)
{
        buf_printf(out, "engine: make-directory %s\n", r->workspace.path);
}

int private_mounts(struct run *r, int *ret_target, struct err *e)
{
        char path[PATH_MAX];
        int n = snprintf(path, sizeof path, "%s/bundle", r->p->run), status;

        if (n < 0 || (size_t)n >= sizeof path)
                return err_set(e, ERR_INVALID, "--runroot: \"%s\" is too long", r->p->run);
        if ((mkdir(r->p->run, 0711) < 0 && errno != EEXIST) ||
            (mkdir(path, 0700) < 0 && errno != EEXIST))
                return err_sys(e, errno, "cannot make \"%s\"", path);
        if (unshare(CLONE_NEWNS) < 0)
                return err_sys(e, errno, "cannot make a mount namespace");
        status = mount_propagation("/", mount_opt_find("rslave")->value, true);
        if (status < 0)
                return err_sys(e, status, "cannot change the propagation of the host's mounts");
        *ret_target = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return *ret_target < 0 ? err_sys(e, errno, "cannot open \"%s\"", path) : 0;
}

int step_run(struct run *r, struct err *e)
{
        struct runtime rt = { .root = r->p->oci, .log = r->p->log, .systemd = r->p->systemd };
        struct create_options o = { .id = r->s->name,
                                    .bundle = r->plan ? "/" : r->bundle,
                                    .config = buf_str(&r->json),
                                    .die_along = true };

        sigset_t unused;
        int status;

        if (r->plan)
                return runtime_plan(&rt, &o, r->plan, e);
        sigprocmask(SIG_SETMASK, &r->mask, NULL);
        status = runtime_run(&rt, &o, &r->status, e);
        signals_hold(&unused);
        return status;
}

/* ---- the host's root ---- */

/* The workspace of these holds nothing but the record: the bundle is a tmpfs that exists in this
 * process's mount namespace alone, with the overlay's two directories and its mount point. */
static int mount_tmpfs(struct run *r, struct err *e)
{
        static const struct mount_param mode[] = { { "mode", "0755" } };
        AUTO_FD int target = -1;
        const char *what;
        int status;

        if (private_mounts(r, &target, e) < 0)
                return -1;
        r->mount = mount_new("tmpfs", "berth", mode, 1, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, &what,
                             NULL, 0);
        if (r->mount < 0)
                return err_sys(e, r->mount, "cannot make a tmpfs");
        status = mount_attach(r->mount, target);
        return status < 0 ? err_sys(e, status, "cannot mount on \"%s/bundle\"", r->p->run) : 0;
}

/* The host's root below, the tmpfs on top. Only the root's own file system shows: what is
 * mounted on it (/proc, /home on a disk of its own) does not. */
static int mount_host_root(struct run *r, struct err *e)
{
        const char *bundle = arena_printf(&r->arena, "%s/bundle", r->p->run);
        const struct mount_param params[] = {
                { "lowerdir", "/" },
                { "upperdir", arena_printf(&r->arena, "%s/upper", bundle) },
                { "workdir", arena_printf(&r->arena, "%s/work", bundle) }
        };
        const char *what;
        char words[256];
        int status;

        if (mkdirat(r->mount, "upper", 0755) < 0 || mkdirat(r->mount, "work", 0700) < 0 ||
            mkdirat(r->mount, "rootfs", 0755) < 0)
                return err_sys(e, errno, "cannot make the overlay's directories");
        AUTO_FD int fd = mount_new("overlay", "berth", params, ARRAY_SIZE(params), MOUNT_ATTR_NODEV,
                                   &what, words, sizeof words);
        if (fd < 0) {
                err_sys(e, fd, "cannot overlay the host's root%s%s", *words ? ": " : "", words);
                return err_hint(e, "a root that is an overlay itself may be stacked too deep: use "
                                   "--rootfs");
        }
        AUTO_FD int target = openat(r->mount, "rootfs", O_PATH | O_DIRECTORY | O_CLOEXEC);
        status = target < 0 ? -errno : mount_attach(fd, target);
        return status < 0 ? err_sys(e, status, "cannot mount the overlay") : 0;
}

static int make_host(struct run *r, struct err *e)
{
        r->bundle = arena_printf(&r->arena, "%s/bundle", r->p->run);
        r->root_path = arena_printf(&r->arena, "%s/rootfs", r->bundle);
        if (!r->plan && (mount_tmpfs(r, e) < 0 || mount_host_root(r, e) < 0))
                return -1;
        r->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return r->root < 0 ? err_sys(e, errno, "cannot open \"/\"") : 0;
}

static void print_host(struct run *r, struct buf *out)
{
        buf_printf(out,
                   "engine: new-mount-ns\n"
                   "engine: mount tmpfs on %s\n"
                   "engine: mount overlay on %s (lowerdir=/,upperdir=upper,workdir=work)\n",
                   r->bundle, r->root_path);
}

static const struct step host_steps[] = {
        { .make = step_settings, .always = true },
        { .make = step_signals, .undo = undo_signals },
        { .make = step_workspace,
          .undo = undo_workspace,
          .print = print_workspace,
          .always = true },
        { .make = make_host, .print = print_host, .always = true },
        { .make = sandbox_config, .always = true },
        { .make = step_run, .always = true },
        {}
};

/* ---- a directory ---- */

static int find_directory(struct run *r, struct err *e)
{
        char path[PATH_MAX];

        if (!realpath(r->s->rootfs, path))
                return err_sys(e, errno, "--rootfs: cannot open \"%s\"", r->s->rootfs);
        r->root_path = arena_strdup(&r->arena, path);
        r->root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return r->root < 0 ? err_sys(e, errno, "--rootfs: cannot open \"%s\"", path) : 0;
}

static const struct step directory_steps[] = { { .make = step_settings, .always = true },
                                               { .make = find_directory, .always = true },
                                               { .make = step_signals, .undo = undo_signals },
                                               { .make = step_workspace,
                                                 .undo = undo_workspace,
                                                 .print = print_workspace,
                                                 .always = true },
                                               { .make = sandbox_config, .always = true },
                                               { .make = step_run, .always = true },
                                               {} };

/* ---- the table, carried out ---- */

/* Does them in order; how many were begun is *ret_n, to be undone even where one failed midway. */
int steps_make(struct run *r, const struct step *steps, size_t *ret_n, struct err *e)
{
        for (*ret_n = 0; steps[*ret_n].make && !r->stop;) {
                const struct step *s = &steps[(*ret_n)++];

                if (r->held && signals_wait())
                        return err_set(e, ERR_STATE, "ended by a signal before it was there");
                if ((!r->plan || s->always) && s->make(r, e) < 0)
                        return -1;
                if (r->plan && s->print)
                        s->print(r, r->plan);
        }
        return 0;
}

void steps_undo(struct run *r, const struct step *steps, size_t n)
{
        while (n-- > 0)
                if (steps[n].undo)
                        steps[n].undo(r);
}

void run_done(struct run *r)
{
        fd_close(r->mount);
        fd_close(r->root);
        fd_close(r->userns);
        buf_done(&r->json);
        mounts_done(&r->mounts);
        arena_done(&r->arena);
}

int sandbox_run(const struct sandbox *s, const struct sandbox_places *p, struct buf *plan,
                int *ret_status, struct err *e)
{
        const struct step *steps = s->image    ? image_steps
                                   : s->rootfs ? directory_steps
                                               : host_steps;
        struct run r = { .s = s,
                         .p = p,
                         .plan = plan,
                         .workspace = WORKSPACE_INIT,
                         .mount = -1,
                         .root = -1,
                         .userns = -1 };
        size_t n = 0;
        int status;

        if (!plan && geteuid() != 0) {
                err_set(e, ERR_DENIED, "berth run needs root for now");
                return err_hint(e,
                                "run it with sudo; unprivileged users can use `berth-oci` with a "
                                "user namespace");
        }
        status = steps_make(&r, steps, &n, e);
        steps_undo(&r, steps, n);
        *ret_status = r.status;
        run_done(&r);
        return status;
}

unsigned sandbox_sweep(const struct sandbox_places *p, struct store *store)
{
        AUTO_ARENA a = { 0 };

        return sweep(p, store, arena_printf(&a, "%s/containers", store_path(store))) +
               sweep(p, NULL, arena_printf(&a, "%s/sandboxes", p->run));
}
