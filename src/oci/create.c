/* create, run and start. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "kernel/sys.h"
#include "oci/creation.h"
#include "oci/foreground.h"
#include "oci/hook.h"
#include "oci/launch.h"
#include "oci/runtime.h"
#include "oci/sd-notify.h"
#include "oci/sync.h"

void creation_init(struct creation *c, const struct runtime *rt, const struct create_options *o)
{
        *c = (struct creation){ .rt = rt, .o = o, .container = CONTAINER_INIT };
        launch_init(&c->launch);
        c->launch.plan = &c->plan;
        c->launch.arena = &c->arena;
}

void creation_done(struct creation *c)
{
        launch_done(&c->launch);
        container_done(&c->container);
        free(c->config);
        arena_done(&c->arena);
}

static int load(struct creation *c, struct err *e)
{
        const char *bundle = c->o->bundle ? c->o->bundle : ".";
        char path[PATH_MAX];
        int r;

        if (!realpath(bundle, path))
                return err_sys(e, errno, "cannot open bundle \"%s\"", bundle);
        c->bundle = arena_strdup(&c->arena, path);
        if (c->o->config) {
                c->config = mem_strdup(c->o->config);
                c->config_len = strlen(c->config);
        } else {
                AUTO_FD int dir = open(c->bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);

                if (dir < 0)
                        return err_sys(e, errno, "cannot open bundle \"%s\"", c->bundle);
                r = fd_read_regular_at(dir, "config.json", SPEC_MAX_BYTES, &c->config,
                                       &c->config_len);
                if (r == -ENOENT) {
                        err_sys(e, r, "cannot read \"%s/config.json\"", c->bundle);
                        return err_hint(e, "`berth-oci spec` writes a default one");
                }
                if (r == -EFBIG)
                        return err_set(e, ERR_LIMIT, "\"%s/config.json\" is larger than %u MiB",
                                       c->bundle, SPEC_MAX_BYTES >> 20);
                if (r < 0)
                        return err_sys(e, r, "cannot read \"%s/config.json\"", c->bundle);
        }
        if (spec_parse(&c->arena, c->config, c->config_len, &c->spec, e) < 0)
                return err_in(e, "config.json");
        if (c->spec.process)
                c->spec.process->env = strings_both(&c->arena, &c->spec.process->env, &c->o->env);
        return 0;
}

static int make_plan(struct creation *c, struct err *e)
{
        struct plan_input in = {
                .spec = &c->spec,
                .id = c->o->id,
                .bundle = c->bundle,
                .cgroups = &c->cgroups,
                .flags = (c->o->no_pivot ? PLAN_NO_PIVOT : 0) |
                         (c->o->no_new_keyring ? PLAN_NO_KEYRING : 0) |
                         (c->rt->rootless ? PLAN_ROOTLESS : 0) |
                         (c->rt->systemd ? PLAN_SYSTEMD : 0) |
                         (c->rt->no_cgroup ? PLAN_NO_CGROUP : 0),
                .notify_socket = getenv("NOTIFY_SOCKET"),
        };
        int r = c->rt->no_cgroup ? 0 : cgroup_layout_read(&c->arena, &c->cgroups);

        if (r < 0)
                return err_sys(e, r, "cannot read the host's cgroup mounts");
        in.state_dir = arena_printf(&c->arena, "%s/%s", c->rt->root, c->o->id);
        return plan_create(&c->arena, &in, &c->plan, e);
}

/* ---- checks that need no plan ---- */

static bool has_console(const struct creation *c)
{
        return c->o->console_socket || c->o->console_fd != 0;
}

static int check_console(const struct creation *c, bool detached, struct err *e)
{
        bool tty = c->spec.process && c->spec.process->terminal;

        if (tty && detached && !has_console(c)) {
                err_set(e, ERR_INVALID,
                        "cannot allocate tty if berth-oci will detach without setting console "
                        "socket");
                return err_hint(e, "pass --console-socket, or set process.terminal to false");
        }
        if (has_console(c) && (!tty || !detached))
                return err_set(e, ERR_INVALID,
                               "cannot use console socket if berth-oci will not detach or allocate "
                               "tty");
        return 0;
}

int creation_load(struct creation *c, bool detached, struct err *e)
{
        if (load(c, e) < 0 || check_console(c, detached, e) < 0)
                return -1;
        return make_plan(c, e);
}

/* The owner's name from /etc/passwd, read as text: a static program has no name service. */
static const char *owner_name(struct arena *a)
{
        return geteuid() == 0 ? "root" : arena_printf(a, "%u", geteuid());
}

/* What the process gets as its standard descriptors, for a checkpoint to recognize:
 * "pipe:[123]". */
static void note_stdio(struct creation *c)
{
        bool tty = c->spec.process && c->spec.process->terminal;
        char text[256];

        for (int i = 0; i < 3 && !tty; i++) {
                struct fd_path path = fd_path(i);
                ssize_t n = readlink(path.s, text, sizeof text);

                if (n > 0)
                        c->container.stdio[i] = arena_strndup(&c->arena, text, (size_t)n);
        }
}

static void fill_container(struct creation *c)
{
        struct timespec now;
        struct tm tm;

        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &tm);
        c->container.id = c->o->id;
        c->container.bundle = c->bundle;
        c->container.rootfs = c->plan.rootfs;
        c->container.oci_version = c->spec.oci_version;
        c->container.owner = owner_name(&c->arena);
        c->container.notify_socket = c->plan.notify_socket;
        c->container.poststop = c->spec.hooks[HOOK_POSTSTOP].n > 0;
        c->container.created = arena_printf(&c->arena, "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ",
                                            tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                                            tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec);
        note_stdio(c);
}

int creation_open_console(struct creation *c, int *ret_master_sock, struct err *e)
{
        int pair[2];

        if (!c->spec.process || !c->spec.process->terminal)
                return 0;
        if (c->o->console_fd > 0) {
                c->launch.console_sock = c->o->console_fd;
                return 0;
        }
        if (c->o->console_socket) {
                c->launch.console_sock = runtime_connect("console socket", c->o->console_socket, e);
                return c->launch.console_sock < 0 ? -1 : 0;
        }
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return err_sys(e, errno, "cannot make a socket");
        c->launch.console_sock = pair[0];
        *ret_master_sock = pair[1];
        return 0;
}

/* The directory is new and locked: nobody reads the file before state.json says that it counts. */
static int save_config(struct creation *c, struct err *e)
{
        AUTO_FD int fd = openat(c->container.dir, "config.json",
                                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        int r = fd < 0 ? -errno : fd_write_all(fd, c->config, c->config_len);

        return r < 0 ? err_sys(e, r, "cannot save config.json") : 0;
}

int creation_record(struct creation *c, enum launch_mode mode, struct err *e)
{
        if (save_config(c, e) < 0)
                return -1;
        fill_container(c);
        c->launch.mode = mode;
        c->launch.die_along = c->o->die_along;
        c->launch.patience_ms = c->o->patience_ms;
        c->launch.container = &c->container;
        c->launch.log = c->rt->log;
        return 0;
}

int creation_announce(struct creation *c, struct err *e)
{
        if (c->o->ret_pid)
                *c->o->ret_pid = c->launch.init;
        if (c->o->pid_file && runtime_pid_file(c->o->pid_file, c->launch.init, e) < 0)
                return -1;
        if (c->o->pidfd_socket && runtime_pidfd_send(c->o->pidfd_socket, c->launch.pidfd, e) < 0)
                return -1;
        return 0;
}

/* From nothing to an init that is ready. */
static int bring_up(struct creation *c, enum launch_mode mode, struct err *e)
{
        if (creation_record(c, mode, e) < 0 || launch_prepare(&c->launch, e) < 0 ||
            launch_spawn(&c->launch, e) < 0)
                return -1;
        return creation_announce(c, e);
}

void creation_undo(struct creation *c)
{
        struct err ignored = { 0 };

        launch_abort(&c->launch);
        if (!c->launch.cgroup_made)
                c->container.cgroups = NULL;
        if (runtime_destroy(c->rt, &c->container, &c->spec, &ignored) < 0)
                log_err(c->rt->log, LOG_LEVEL_WARNING, &ignored);
}

int runtime_create(const struct runtime *rt, const struct create_options *o, struct err *e)
{
        struct creation c;
        int unused = -1, r = -1;

        creation_init(&c, rt, o);
        if (runtime_preserve_fds(o->preserve_fds, &c.launch.preserve_fds, e) < 0 ||
            creation_load(&c, true, e) < 0 || launch_filter(&c.launch, e) < 0 ||
            creation_open_console(&c, &unused, e) < 0 ||
            container_make(rt->root, o->id, &c.container, e) < 0)
                goto out;
        r = bring_up(&c, LAUNCH_CREATE, e);
        if (r == 0)
                r = launch_release(&c.launch, e);
        if (r < 0)
                creation_undo(&c);
out:
        creation_done(&c);
        return r;
}

int runtime_plan(const struct runtime *rt, const struct create_options *o, struct buf *out,
                 struct err *e)
{
        struct creation c;
        int r = -1;

        creation_init(&c, rt, o);
        if (load(&c, e) == 0 && make_plan(&c, e) == 0) {
                plan_print(&c.plan, out);
                r = 0;
        }
        creation_done(&c);
        return r;
}

/* ---- start ---- */

static bool has_hooks(const struct spec *s, enum spec_hook_kind kind)
{
        return s->hooks[kind].n > 0;
}

/* Poststart hooks; since 1.3 a failing one stops the container (config.md "Poststart"). */
static int run_poststart(const struct runtime *rt, const struct container *c, const struct spec *s,
                         struct err *e)
{
        AUTO_BUF state = { 0 };

        if (!has_hooks(s, HOOK_POSTSTART))
                return 0;
        container_state_json(c, STATUS_RUNNING, &s->annotations, 0, &state);
        for (size_t i = 0; i < s->hooks[HOOK_POSTSTART].n; i++)
                if (hook_run(HOOK_POSTSTART, &s->hooks[HOOK_POSTSTART].v[i], buf_str(&state),
                             c->bundle, environ, e) < 0) {
                        kill(c->pid, SIGKILL);
                        return -1;
                }
        return 0;
}

/* Waits for what init has to say about its exec: nothing, if that worked. */
static int read_result(int fd, struct err *e)
{
        struct pollfd p = { fd, POLLIN, 0 };
        struct sync_msg m;

        while (poll(&p, 1, -1) < 0)
                if (errno != EINTR)
                        return err_sys(e, errno, "cannot wait for init");
        if (sync_recv(fd, &m) != 1 || m.kind != SYNC_ERROR)
                return 0;
        *e = m.err;
        return -1;
}

static int signal_start(struct container *c, struct err *e)
{
        AUTO_FD int result = openat(c->dir, "result", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        AUTO_FD int start = openat(c->dir, "start", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        int r;

        if (result < 0 || start < 0)
                return err_sys(e, errno == ENXIO ? ESRCH : errno,
                               "cannot start container \"%s\": its init does not wait", c->id);
        if (write(start, "", 1) != 1)
                return err_sys(e, errno, "cannot start container \"%s\"", c->id);
        r = read_result(result, e);
        unlinkat(c->dir, "start", 0);
        unlinkat(c->dir, "result", 0);
        return r;
}

static int check_created(const struct container *c, struct err *e)
{
        enum status status = container_status(c);

        if (status == STATUS_CREATED)
                return 0;
        if (status == STATUS_STOPPED)
                return err_set(e, ERR_STATE, "cannot start a container that has stopped");
        return err_set(e, ERR_STATE, "cannot start a container in the %s state",
                       status_names[status]);
}

static int start_notified(const struct runtime *rt, struct container *c, struct err *e)
{
        AUTO_FD int sock = sd_notify_listen(c, e);
        AUTO_FD int pidfd = sys_pidfd_open(c->pid);

        if (sock < 0 || signal_start(c, e) < 0)
                return -1;
        return sd_notify_relay(c, sock, pidfd, false, e);
}

int runtime_start(const struct runtime *rt, const char *id, struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_CONTAINER c = CONTAINER_INIT;
        struct spec s;
        int r;

        if (runtime_open(rt, &a, id, true, &c, e) < 0 || check_created(&c, e) < 0 ||
            container_spec(&a, &c, &s, e) < 0)
                return -1;
        if (!s.process)
                return err_set(e, ERR_INVALID, "process: it is required to start a container");
        r = c.notify_socket ? start_notified(rt, &c, e) : signal_start(&c, e);
        return r < 0 ? -1 : run_poststart(rt, &c, &s, e);
}

/* ---- run ---- */

/* The sd_notify socket must be there before init could use it. */
static int relay_notify(struct creation *c, int sock, struct err *e)
{
        if (sock < 0)
                return 0;
        return sd_notify_relay(&c->container, sock, c->launch.pidfd, false, e);
}

static int run_up(struct creation *c, struct foreground *f, int *ret_status, struct err *e)
{
        AUTO_FD int notify = -1;

        if (bring_up(c, LAUNCH_RUN, e) < 0)
                return -1;
        if (c->plan.notify_socket) {
                notify = sd_notify_listen(&c->container, e);
                if (notify < 0)
                        return -1;
                if (c->o->ret_notify)
                        *c->o->ret_notify = TAKE_FD(notify);
        }
        if (foreground_console(f, e) < 0 || launch_release(&c->launch, e) < 0 ||
            run_poststart(c->rt, &c->container, &c->spec, e) < 0 || relay_notify(c, notify, e) < 0)
                return -1;
        *ret_status = 0;
        if (c->o->detach)
                return 0;
        /* Others may change it while it runs. */
        c->container.lock = fd_close(c->container.lock);
        return foreground_wait(f, c->launch.init, c->launch.pidfd, ret_status, e);
}

/* Whoever finds the parent dead removes what there is under our id, and looks no more. So once our
 * directory is there, and will be found, the parent must still be. */
static int check_parent(const struct create_options *o, struct err *e)
{
        if (o->parent == 0 || getppid() == o->parent)
                return 0;
        return err_set(e, ERR_STATE, "whoever started it has died");
}

int runtime_run(const struct runtime *rt, const struct create_options *o, int *ret_status,
                struct err *e)
{
        struct foreground f = FOREGROUND_INIT;
        struct creation c;
        int r = -1;

        creation_init(&c, rt, o);
        if (creation_load(&c, o->detach, e) < 0 || launch_filter(&c.launch, e) < 0 ||
            (o->ready && o->ready(o->ready_ctx, e) < 0) ||
            runtime_preserve_fds(o->preserve_fds, &c.launch.preserve_fds, e) < 0 ||
            creation_open_console(&c, &f.console_sock, e) < 0 ||
            container_make(rt->root, o->id, &c.container, e) < 0)
                goto out;
        if (!o->detach)
                foreground_begin(&f, !o->no_subreaper);
        r = check_parent(o, e);
        if (r == 0)
                r = run_up(&c, &f, ret_status, e);
        foreground_end(&f);
        if (r < 0)
                creation_undo(&c);
        else if (!o->detach && !o->keep)
                r = runtime_destroy(rt, &c.container, &c.spec, e);
out:
        creation_done(&c);
        return r;
}
