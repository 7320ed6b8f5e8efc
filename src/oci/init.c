/* Init and the joiner: the processes on their way into the container. Each stage is a loop over its
 * ops; what is here is the order of the stages and the waits between them. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/mount.h"
#include "kernel/sys.h"
#include "oci/launch.h"
#include "oci/sync.h"

static int run_hook(struct init *in, const struct op *op, struct err *e)
{
        /* As the namespaces see it in which the hook runs. */
        in->l->container->pid = getpid();
        /* createContainer: the root is not yet /, so the hook starts in it. */
        if (op->stage == STAGE_ROOT && fchdir(in->root) < 0)
                return err_sys(e, errno, "cannot enter the container's root");
        if (op->stage == STAGE_ROOT)
                return launch_hook(in->l, op, STATUS_CREATING, NULL, environ, e);
        return launch_hook(in->l, op, STATUS_CREATED, NULL, in->env, e);
}

static init_fn *const init_ops[OP_MAX] = {
        [OP_NS_JOIN] = enter_ns_join,
        [OP_NS_ENTER] = enter_ns_enter,
        [OP_TIME_OFFSETS] = enter_time_offsets,
        [OP_CGROUP_NS] = mount_cgroup_ns,
        [OP_ROOT_IDS] = mount_root_ids,
        [OP_LOOPBACK] = mount_loopback,
        [OP_HOSTNAME] = mount_hostname,
        [OP_DOMAINNAME] = mount_domainname,
        [OP_PROPAGATION] = mount_propagation_cut,
        [OP_ROOT_MOUNT] = mount_root,
        [OP_MOUNT] = mount_one,
        [OP_CGROUP_MOUNT] = mount_cgroups,
        [OP_DEVICE] = mount_device,
        [OP_DEV_LINK] = mount_dev_link,
        [OP_NOTIFY_MOUNT] = mount_notify,
        [OP_CWD_MAKE] = mount_cwd,
        [OP_CONSOLE] = mount_console,
        [OP_HOOK] = run_hook,
        [OP_SYSCTL] = root_sysctl,
        [OP_PIVOT] = root_pivot,
        [OP_CONSOLE_MOUNT] = root_console_mount,
        [OP_DEV_READONLY] = root_dev_readonly,
        [OP_READONLY_PATH] = root_readonly_path,
        [OP_MASK] = root_mask,
        [OP_ROOT_PROPAGATION] = root_propagation_set,
        [OP_ROOT_READONLY] = root_readonly_set,
        [OP_KEYRING] = process_keyring,
        [OP_RLIMIT] = process_rlimit,
        [OP_PERSONALITY] = process_personality_set,
        [OP_MEMORY_POLICY] = process_memory_policy,
        [OP_SCHEDULER] = process_scheduler,
        [OP_IO_PRIORITY] = process_io_priority,
        [OP_AFFINITY] = process_affinity,
        [OP_UMASK] = process_umask,
        [OP_FIND_EXEC] = process_find_exec,
        [OP_LSM] = process_lsm,
        [OP_SECCOMP] = process_seccomp,
        [OP_CAP_BOUNDING] = process_cap_bounding,
        [OP_USER] = process_user,
        [OP_CAPS] = process_caps,
        [OP_NO_NEW_PRIVS] = process_no_new_privs,
        [OP_CWD] = process_cwd,
        [OP_EXEC] = process_exec,
};

int init_proc(struct init *in)
{
        if (in->proc < 0)
                in->proc = mount_new("proc", "proc", NULL, 0,
                                     MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, NULL,
                                     NULL, 0);
        return in->proc < 0 ? in->l->proc : in->proc;
}

int init_stage(struct init *in, enum stage stage, struct err *e)
{
        const struct plan *p = in->l->plan;

        for (size_t i = 0; i < p->n; i++) {
                const struct op *op = &p->ops[i];

                if (op->stage != stage || !init_ops[op->kind])
                        continue;
                launch_log(in->l, op);
                if (init_ops[op->kind](in, op, e) < 0)
                        return -1;
        }
        return 0;
}

_Noreturn static void fail(struct init *in, const struct err *e)
{
        sync_send_err(in->sync, e);
        _exit(1);
}

/* L1. The signal is lost when the uid changes; from there to the next wait nothing blocks. */
static void die_with_parent(void)
{
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

/* Asks the runtime to do its part and waits until it has. */
static int ask(struct init *in, enum sync_kind kind)
{
        if (sync_send(in->sync, kind, 0) < 0 || sync_wait_go(in->sync) < 0)
                _exit(1);
        return 0;
}

/* ---- joiner: in the host's namespaces, holding the sync socket; waits for nobody ---- */

static pid_t clone_sibling(const struct plan *p)
{
        struct clone_args args = { .flags = CLONE_PARENT | (p->ns_new & ~(uint64_t)CLONE_NEWCGROUP &
                                                            ~(uint64_t)CLONE_NEWTIME) };

        return sys_clone3(&args);
}

_Noreturn void joiner_main(struct init *in)
{
        struct err e = { 0 };
        pid_t pid;
        int r;

        die_with_parent();
        r = cgroup_join_self(&in->l->join);
        if (r < 0) {
                err_sys(&e, r, "cannot join the container's cgroup");
                fail(in, &e);
        }
        in->cgroup_joined = true;
        cgroup_join_done(&in->l->join);
        if (init_stage(in, STAGE_ENTER, &e) < 0)
                fail(in, &e);
        pid = clone_sibling(in->l->plan);
        if (pid == 0)
                init_main(in);
        if (pid < 0) {
                err_sys(&e, errno, "cannot clone the container's init");
                fail(in, &e);
        }
        sync_send(in->sync, SYNC_PID, pid);
        _exit(0);
}

/* ---- init ---- */

/* Where a joiner made us, the runtime must hear our pid from it before it hears from us. */
static void wait_announced(struct init *in)
{
        if (in->cgroup_joined && sync_wait_go(in->sync) < 0)
                _exit(1);
}

static int join_cgroup(struct init *in, struct err *e)
{
        int r;

        if (in->cgroup_joined)
                return 0;
        r = cgroup_join_self(&in->l->join);
        cgroup_join_done(&in->l->join);
        return r < 0 ? err_sys(e, r, "cannot join the container's cgroup") : 0;
}

/* In the container's namespaces, on the host's mounts; ends in its root, before its credentials. */
static int build(struct init *in, struct err *e)
{
        const struct plan *p = in->l->plan;

        if (join_cgroup(in, e) < 0)
                return -1;
        if (plan_has_stage(p, STAGE_ADOPT))
                ask(in, SYNC_UP);
        umask(0);
        setsid();
        if (in->l->mode == LAUNCH_EXEC) {
                in->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (in->root < 0 || fchdir(in->root) < 0)
                        return err_sys(e, errno, "cannot enter the container's root");
        }
        if (init_stage(in, STAGE_MOUNT, e) < 0)
                return -1;
        if (plan_has_stage(p, STAGE_RUNTIME))
                ask(in, SYNC_MOUNTED);
        return init_stage(in, STAGE_ROOT, e);
}

/* Closes every descriptor but the standard ones, those to preserve, and the few that init still
 * needs: in a container that is created but not started, who may look into /proc/1/fd must find
 * nothing of the host (CVE-2016-9962). */
static void close_host(struct init *in)
{
        const int keep[] = { in->sync, in->l->fifo_start, in->l->fifo_result };
        unsigned from = 3 + in->l->preserve_fds;

        in->l->log = NULL;
        while (from <= INT_MAX) {
                int next = -1;

                for (size_t i = 0; i < ARRAY_SIZE(keep); i++)
                        if (keep[i] >= (int)from && (next < 0 || keep[i] < next))
                                next = keep[i];
                if (next != (int)from)
                        sys_close_range(from, next < 0 ? ~0u : (unsigned)next - 1, 0);
                if (next < 0)
                        break;
                from = (unsigned)next + 1;
        }
}

/* The caller's environment lies in this process's memory until the exec: /proc/1/environ. */
static void clear_environment(void)
{
        for (char **e = environ; e && *e; e++)
                explicit_bzero(*e, strlen(*e));
        environ = NULL;
}

static void die_of(int sig)
{
        _exit(128 + sig);
}

/* The kernel spares pid 1 of a namespace a signal that it has no handler for; a created container
 * is stopped by these all the same, as with runc. */
static void heed_signals(void)
{
        static const int deadly[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
        sigset_t none;

        for (size_t i = 0; i < ARRAY_SIZE(deadly); i++)
                signal(deadly[i], die_of);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Waits for start: a byte in the FIFO. From here on errors go to whoever reads `result`. */
static void await_start(struct init *in)
{
        char byte;

        close_host(in);
        clear_environment();
        /* L1: recorded now; it may outlive the runtime. */
        prctl(PR_SET_PDEATHSIG, in->l->die_along ? SIGKILL : 0, 0, 0, 0);
        /* Before `create` can return: what is sent right after it would be lost otherwise. */
        if (in->l->mode == LAUNCH_CREATE)
                heed_signals();
        if (sync_send(in->sync, SYNC_READY, 0) < 0 || sync_wait_go(in->sync) < 0)
                _exit(1);
        if (in->l->mode != LAUNCH_CREATE)
                return;
        in->sync = fd_close(in->sync);
        while (read(in->l->fifo_start, &byte, 1) < 0)
                if (errno != EINTR)
                        _exit(1);
        in->sync = in->l->fifo_result;
}

/* What the caller had blocked or ignored is no business of the container's. */
static void reset_signals(void)
{
        sigset_t none;

        for (int sig = 1; sig < NSIG; sig++)
                signal(sig, SIG_DFL);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn void init_main(struct init *in)
{
        struct err e = { 0 };

        die_with_parent();
        wait_announced(in);
        if (build(in, &e) < 0 || init_stage(in, STAGE_PROCESS, &e) < 0)
                fail(in, &e);
        await_start(in);
        reset_signals();
        init_stage(in, STAGE_START, &e);
        fail(in, &e);
}
