/* The runtime's side of a launch: clone, then serve init's requests in the order that sync.c
 * allows. */
#include "oci/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "kernel/proc.h"
#include "kernel/sys.h"
#include "oci/cgroup-apply.h"
#include "oci/cgroup-stats.h"
#include "oci/hook.h"
#include "oci/seccomp-notify.h"
#include "oci/sync.h"
#include "oci/systemd.h"

void launch_init(struct launch *l)
{
        *l = (struct launch){ .console_sock = -1,
                              .proc = -1,
                              .sync = -1,
                              .fifo_start = -1,
                              .fifo_result = -1,
                              .netns = -1,
                              .notify_source = -1,
                              .root_source = -1,
                              .idmap_userns = -1,
                              .target = -1,
                              .rdt = -1,
                              .pidfd = -1,
                              .join = CGROUP_JOIN_INIT };
}

void launch_done(struct launch *l)
{
        l->proc = fd_close(l->proc);
        l->sync = fd_close(l->sync);
        l->fifo_start = fd_close(l->fifo_start);
        l->fifo_result = fd_close(l->fifo_result);
        l->netns = fd_close(l->netns);
        l->notify_source = fd_close(l->notify_source);
        l->root_source = fd_close(l->root_source);
        l->idmap_userns = fd_close(l->idmap_userns);
        for (unsigned i = 0; l->sources && i < l->plan->n_sources; i++)
                l->sources[i] = fd_close(l->sources[i]);
        cgroup_join_done(&l->join);
        l->target = fd_close(l->target);
        l->rdt = fd_close(l->rdt);
        l->pidfd = fd_close(l->pidfd);
        l->console_sock = fd_close(l->console_sock);
}

void launch_log(const struct launch *l, const struct op *op)
{
        AUTO_BUF text = { 0 };

        if (!l->log || l->log->level > LOG_LEVEL_DEBUG)
                return;
        plan_print_op(l->plan, op, &text);
        log_debug(l->log, "id=%s %s", l->plan->id, buf_str(&text));
}

int launch_stage(struct launch *l, enum stage stage, struct err *e)
{
        for (size_t i = 0; i < l->plan->n; i++) {
                const struct op *op = &l->plan->ops[i];

                if (op->stage != stage || !runtime_ops[op->kind])
                        continue;
                launch_log(l, op);
                if (runtime_ops[op->kind](l, op, e) < 0)
                        return -1;
        }
        return 0;
}

int launch_hook(struct launch *l, const struct op *op, enum status status, const char *cwd,
                char **env, struct err *e)
{
        AUTO_BUF state = { 0 };

        container_state_json(l->container, status, &l->plan->spec->annotations, 0, &state);
        return hook_run(op->hook.kind, op->hook.hook, buf_str(&state), cwd, env, e);
}

int launch_filter(struct launch *l, struct err *e)
{
        const struct spec_seccomp *s = l->plan->process ? l->plan->spec->linux_.seccomp : NULL;

        return s ? seccomp_plan_make(l->arena, s, &l->seccomp, e) : 0;
}

int launch_prepare(struct launch *l, struct err *e)
{
        l->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (l->proc < 0)
                return err_sys(e, errno, "cannot open /proc");
        l->sources = arena_array(l->arena, int, l->plan->n_sources);
        for (unsigned i = 0; i < l->plan->n_sources; i++)
                l->sources[i] = -1;
        return launch_stage(l, STAGE_HOST, e);
}

/* ---- cloning ---- */

static bool needs_joiner(const struct plan *p)
{
        for (size_t i = 0; i < p->n; i++) {
                enum op_kind k = p->ops[i].kind;

                if (p->ops[i].stage == STAGE_ENTER && k != OP_CGROUP_JOIN && k != OP_NS_NEW)
                        return true;
        }
        return false;
}

/* Clones one process: the joiner, or init itself. In the child returns 0. */
static pid_t clone_first(struct launch *l, bool joiner)
{
        struct clone_args args = {
                .flags = CLONE_PIDFD | (joiner ? 0 : l->plan->ns_new & ~CLONE_NEWCGROUP),
                .pidfd = (uint64_t)(uintptr_t)&l->pidfd,
                .exit_signal = SIGCHLD,
        };

        if (l->join.v2 >= 0) {
                args.flags |= CLONE_INTO_CGROUP;
                args.cgroup = (uint64_t)l->join.v2;
        }
        return sys_clone3(&args);
}

static int spawn_first(struct launch *l, bool joiner, struct err *e)
{
        int fds[2], r = sync_pair(fds);
        pid_t pid;

        if (r < 0)
                return err_sys(e, r, "cannot make the sync socket");
        l->sync = fds[0];
        /* Nobody inside may look into a process that holds the host's descriptors. An unprivileged
         * runtime needs its own /proc files, though, which this would give to root. */
        if (geteuid() == 0)
                prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        pid = clone_first(l, joiner);
        if (pid < 0 && (errno == EACCES || errno == EPERM) && l->join.v2 >= 0 &&
            l->plan->flags & PLAN_ROOTLESS) {
                /* An unprivileged user may not move processes into a scope from another one:
                 * on_ready() asks systemd to. */
                l->join.v2 = fd_close(l->join.v2);
                l->outside = true;
                pid = clone_first(l, joiner);
        }
        if (pid == 0) {
                struct init in = { .l = l,
                                   .sync = fds[1],
                                   .root = -1,
                                   .console = -1,
                                   .proc = -1,
                                   .mask_dir = -1 };

                l->sync = fd_close(l->sync);
                /* A flock lives as long as any copy of its descriptor. */
                l->container->lock = fd_close(l->container->lock);
                if (joiner)
                        joiner_main(&in);
                init_main(&in);
        }
        fd_close(fds[1]);
        if (pid < 0) {
                err_sys(e, errno, "cannot clone the container's process");
                if (errno == EPERM && l->plan->ns_new & CLONE_NEWUSER)
                        err_hint(e, "this host may forbid user namespaces: see "
                                    "/proc/sys/user/max_user_namespaces");
                return -1;
        }
        if (!joiner)
                l->init = pid;
        return pid;
}

/* One that is late has been killed, but may be frozen: whoever inherits it from us collects it. */
static void reap(const struct launch *l, pid_t pid)
{
        while (waitpid(pid, NULL, l->late ? WNOHANG : 0) < 0)
                if (errno != EINTR)
                        return;
}

/* ---- serving init ---- */

static int on_pid(struct launch *l, const struct sync_msg *m, struct err *e)
{
        l->init = m->value;
        fd_close(l->pidfd);
        l->pidfd = sys_pidfd_open(l->init);
        if (l->pidfd < 0)
                return err_sys(e, errno, "cannot watch init %d", l->init);
        sync_send(l->sync, SYNC_GO, 0);
        return 0;
}

static int on_up(struct launch *l, const struct sync_msg *m, struct err *e)
{
        if (launch_stage(l, STAGE_ADOPT, e) < 0)
                return -1;
        sync_send(l->sync, SYNC_GO, 0);
        return 0;
}

static int on_mounted(struct launch *l, const struct sync_msg *m, struct err *e)
{
        l->container->pid = l->init;
        if (launch_stage(l, STAGE_RUNTIME, e) < 0)
                return -1;
        sync_send(l->sync, SYNC_GO, 0);
        return 0;
}

static int on_notify(struct launch *l, const struct sync_msg *m, struct err *e)
{
        AUTO_FD int fd = sys_pidfd_getfd(l->pidfd, m->value);

        if (fd < 0)
                return err_sys(e, errno, "cannot take the seccomp listener from init");
        if (l->mode != LAUNCH_EXEC)
                l->container->pid = l->init;
        if (seccomp_notify_send(l, fd, e) < 0)
                return -1;
        sync_send(l->sync, SYNC_GO, 0);
        return 0;
}

static int attach_to_scope(struct launch *l, struct err *e)
{
        struct systemd_unit unit;

        if (!l->outside || !l->container->scope)
                return 0;
        if (systemd_unit_parse(l->arena, l->container->scope, l->container->id,
                               l->container->scope_user, &unit, e) < 0)
                return -1;
        return systemd_attach(&unit, l->init, "", e);
}

static int on_ready(struct launch *l, const struct sync_msg *m, struct err *e)
{
        struct proc_stat st;
        int r = proc_stat_read(l->init, &st);

        if (attach_to_scope(l, e) < 0)
                return -1;

        if (r < 0)
                return err_sys(e, r, "init %d is gone", l->init);
        if (launch_stage(l, STAGE_READY, e) < 0)
                return -1;
        if (l->mode == LAUNCH_EXEC)
                return 0;
        l->container->pid = l->init;
        l->container->pid_start = st.start;
        return container_save(l->container, e);
}

static int on_error(struct launch *l, const struct sync_msg *m, struct err *e)
{
        *e = m->err;
        return -1;
}

typedef int sync_fn(struct launch *l, const struct sync_msg *m, struct err *e);
static sync_fn *const handlers[SYNC_MAX] = {
        [SYNC_PID] = on_pid,       [SYNC_UP] = on_up,       [SYNC_MOUNTED] = on_mounted,
        [SYNC_NOTIFY] = on_notify, [SYNC_READY] = on_ready, [SYNC_ERROR] = on_error,
};

/* Init or the joiner closed the socket without a word: it was killed, most likely by the kernel. */
static int explain_death(struct launch *l, struct err *e)
{
        uint64_t kills = 0;

        l->killed_early = true;
        if (l->plan->cgroup && cgroup_oom_kills(l->plan->cgroup, &kills) == 0 && kills > 0) {
                const struct spec_resources *r = l->plan->spec->linux_.resources;
                long long limit = r && r->memory ? (long long)r->memory->limit.v : -1;

                err_set(e, ERR_LIMIT,
                        "container init was killed by the kernel: out of memory "
                        "(linux.resources.memory.limit is %lld bytes)",
                        limit);
                return err_hint(e, "raise the memory limit; 512 KiB is enough to start a small "
                                   "program");
        }
        return err_set(e, ERR_SYSTEM, "container init died before it was ready");
}

/* Receives a message, as sync_recv(). Before the joiner has told init's pid its death counts as the
 * end: an init that it has cloned by then holds the socket open and waits for us. -ETIMEDOUT: our
 * patience is at its end. */
static int await_message(struct launch *l, bool from_joiner, struct sync_msg *ret)
{
        struct pollfd p[] = { { l->sync, POLLIN, 0 }, { from_joiner ? l->pidfd : -1, POLLIN, 0 } };
        int r;

        do
                r = poll(p, 2,
                         l->patience_ms ? (int)MAX(l->deadline - clock_ms(), (int64_t)0) : -1);
        while (r < 0 && errno == EINTR);
        if (r == 0) {
                l->late = true;
                return -ETIMEDOUT;
        }
        return r > 0 && !p[0].revents ? 0 : sync_recv(l->sync, ret);
}

static int no_message(const struct launch *l, int sys, struct err *e)
{
        if (!l->late)
                return err_sys(e, sys, "cannot read from init");
        err_set(e, ERR_UNAVAILABLE, "the process was not ready within %lld s",
                (long long)(l->patience_ms + 999) / 1000);
        return err_hint(e,
                        "is the container's cgroup frozen, or one above it? A process inside can "
                        "stop it too");
}

static int serve(struct launch *l, bool joiner, struct err *e)
{
        enum sync_kind prev = SYNC_MAX;

        for (;;) {
                struct sync_msg m;
                int r = await_message(l, joiner && prev == SYNC_MAX, &m);

                if (r < 0)
                        return no_message(l, r, e);
                if (r == 0)
                        return explain_death(l, e);
                if (!sync_allowed(prev, m.kind))
                        return err_set(e, ERR_INTERNAL, "init said \"%s\" out of turn",
                                       sync_names[m.kind]);
                prev = m.kind;
                if (handlers[m.kind](l, &m, e) < 0)
                        return -1;
                if (m.kind == SYNC_READY)
                        return 0;
        }
}

/* On 6.12 to 6.18 a child cloned into a cgroup whose cgroup.kill was ever written gets SIGKILL
 * at once; cgroup_join_prepare() knows of ours, not of what others wrote. Such a child never
 * said a word, so it is safe to try once more by the slow way in. */
static int spawn_again(struct launch *l, bool joiner, struct err *e)
{
        AUTO_FD int v2 = TAKE_FD(l->join.v2);

        l->join.procs = openat(v2, "cgroup.procs", O_WRONLY | O_CLOEXEC);
        if (l->join.procs < 0)
                return -1;
        l->join.killed = true;
        l->killed_early = false;
        l->init = 0;
        l->sync = fd_close(l->sync);
        l->pidfd = fd_close(l->pidfd);
        return spawn_first(l, joiner, e);
}

/* An init whose pid the joiner could not tell: it exits when the socket closes. No other child. */
static void reap_unknown(struct launch *l)
{
        l->sync = fd_close(l->sync);
        while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
                ;
}

static int spawn_and_serve(struct launch *l, bool joiner, struct err *e)
{
        int first = spawn_first(l, joiner, e), r;

        if (first < 0)
                return -1;
        r = serve(l, joiner, e);
        if (r < 0 && l->killed_early && l->mode == LAUNCH_EXEC && l->join.v2 >= 0) {
                reap(l, first);
                first = spawn_again(l, joiner, e);
                if (first < 0)
                        return -1;
                r = serve(l, joiner, e);
        }
        if (joiner && l->late)
                kill(first, SIGKILL); /* not reaped yet: it is ours */
        if (joiner)
                reap(l, first);
        if (r < 0 && joiner && l->init == 0 && !l->late)
                reap_unknown(l);
        return r;
}

/* Pipes that we made for the container are root's of the host, whom its user namespace does not
 * have: nobody in it could reopen /dev/stdout. The namespace's root hands them on to the process's
 * user (apply-process.c). */
static void give_pipes(const struct launch *l)
{
        const struct spec_linux *s = &l->plan->spec->linux_;
        struct stat st;
        uint32_t uid, gid;

        if (!l->plan->userns || l->plan->flags & PLAN_ROOTLESS ||
            !id_to_host(&s->uid_mappings, 0, &uid) || !id_to_host(&s->gid_mappings, 0, &gid))
                return;
        for (int fd = 0; fd < 3; fd++)
                if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && st.st_uid == geteuid() &&
                    fchown(fd, uid, gid) < 0)
                        continue;
}

int launch_spawn(struct launch *l, struct err *e)
{
        give_pipes(l);
        l->deadline = clock_ms() + l->patience_ms;
        if (spawn_and_serve(l, needs_joiner(l->plan), e) == 0)
                return 0;
        launch_abort(l);
        return -1;
}

int launch_release(struct launch *l, struct err *e)
{
        struct sync_msg m;
        int r;

        if (sync_send(l->sync, SYNC_GO, 0) < 0)
                return err_set(e, ERR_SYSTEM, "container init died before it was started");
        if (l->mode == LAUNCH_CREATE)
                return 0;
        r = await_message(l, false, &m);
        l->sync = fd_close(l->sync);
        if (r < 0)
                return no_message(l, r, e);
        if (r == 1 && m.kind == SYNC_ERROR) {
                *e = m.err;
                return -1;
        }
        return 0;
}

void launch_abort(struct launch *l)
{
        if (l->init <= 0)
                return;
        launch_return_net(l);
        if (l->pidfd >= 0)
                sys_pidfd_send_signal(l->pidfd, SIGKILL);
        reap(l, l->init);
        l->init = 0;
        l->container->pid = 0;
}
