/* delete, and the undoing of everything that a container is. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/str.h"
#include "kernel/proc.h"
#include "kernel/rdt.h"
#include "kernel/sys.h"
#include "oci/cgroup-apply.h"
#include "oci/hook.h"
#include "oci/runtime.h"
#include "oci/systemd.h"

#define KILL_TIMEOUT_MS 10000
#define REMOVE_TIMEOUT_MS 10000

/* v1's freezer holds back even SIGKILL. */
static void thaw(const struct container *c)
{
        AUTO_ARENA a = { 0 };
        struct cgroup_fail f = { 0 };
        struct cgroup cgroup;

        if (container_cgroup(&a, c, &cgroup, NULL) == 0 && cgroup.n &&
            cgroup_is_frozen(&cgroup) == 1)
                cgroup_thaw(&cgroup, KILL_TIMEOUT_MS, &f);
}

/* Kills init and waits until it is gone or a zombie whose parent has yet to look. */
static void kill_init(const struct container *c)
{
        AUTO_FD int pidfd = -1;

        if (!proc_alive(c->pid, c->pid_start))
                return;
        pidfd = sys_pidfd_open(c->pid);
        /* C3: between the look and the open the pid may have changed hands. */
        if (pidfd < 0 || !proc_alive(c->pid, c->pid_start))
                return;
        sys_pidfd_send_signal(pidfd, SIGKILL);
        thaw(c);
        while (poll(&(struct pollfd){ pidfd, POLLIN, 0 }, 1, KILL_TIMEOUT_MS) < 0)
                if (errno != EINTR)
                        return;
}

static int destroy_cgroup(struct container *c, struct err *e)
{
        AUTO_ARENA a = { 0 };
        struct cgroup_fail f = { 0 };
        struct cgroup cgroup;

        if (container_cgroup(&a, c, &cgroup, e) < 0)
                return -1;
        if (cgroup.n == 0)
                return 0;
        if (cgroup_is_empty(&cgroup) == 0 && cgroup_kill(&cgroup, SIGKILL, KILL_TIMEOUT_MS, &f) < 0)
                return cgroup_err(e, &f);
        if (cgroup_remove(&cgroup, REMOVE_TIMEOUT_MS, &f) < 0)
                return cgroup_err(e, &f);
        return 0;
}

static int stop_scope(const struct container *c, struct err *e)
{
        AUTO_ARENA a = { 0 };
        struct systemd_unit unit;

        if (!c->scope)
                return 0;
        if (systemd_unit_parse(&a, c->scope, c->id, c->scope_user, &unit, e) < 0)
                return -1;
        return systemd_stop(&unit, e);
}

static int remove_rdt(const struct container *c, struct err *e)
{
        AUTO_FD int root = -1;
        int r = 0;

        if (!c->rdt || (!c->rdt_made && !c->rdt_monitor))
                return 0;
        root = rdt_open();
        if (root < 0)
                return 0;
        AUTO_FD int class = rdt_class_open(root, c->rdt, false, NULL);
        if (class >= 0 && c->rdt_monitor)
                r = rdt_monitor_remove(class, c->id);
        if (r == 0 && c->rdt_made)
                r = rdt_class_remove(root, c->rdt);
        return r < 0 ? err_sys(e, r, "cannot remove resctrl class \"%s\"", c->rdt) : 0;
}

/* runtime.md: a failing poststop hook is logged, and the others run all the same. */
static void run_poststop(const struct runtime *rt, const struct container *c, const struct spec *s)
{
        AUTO_BUF state = { 0 };

        if (!s || s->hooks[HOOK_POSTSTOP].n == 0)
                return;
        container_state_json(c, STATUS_STOPPED, &s->annotations, 0, &state);
        for (size_t i = 0; i < s->hooks[HOOK_POSTSTOP].n; i++) {
                struct err e = { 0 };

                if (hook_run(HOOK_POSTSTOP, &s->hooks[HOOK_POSTSTOP].v[i], buf_str(&state),
                             c->bundle, environ, &e) < 0)
                        log_err(rt->log, LOG_LEVEL_WARNING, &e);
        }
}

int runtime_destroy(const struct runtime *rt, struct container *c, const struct spec *spec,
                    struct err *e)
{
        kill_init(c);
        if (destroy_cgroup(c, e) < 0 || stop_scope(c, e) < 0 || remove_rdt(c, e) < 0 ||
            container_remove(rt->root, c, e) < 0)
                return -1;
        run_poststop(rt, c, spec);
        return 0;
}

/* With force, a create in progress is no obstacle: without init it fails, and cleans up after
 * itself; its lock is free then. */
static int open_forced(const struct runtime *rt, struct arena *a, const char *id,
                       struct container *c, struct err *e)
{
        AUTO_ARENA scratch = { 0 };
        struct cgroup cgroup;

        if (container_open_locked(a, rt->root, id, 0, c, e) == 0)
                return 0;
        container_done(c);
        if (e->code != ERR_STATE)
                return -1;
        err_clear(e);
        if (container_open(&scratch, rt->root, id, c, e) < 0)
                return -1;
        kill_init(c);
        if (container_cgroup(&scratch, c, &cgroup, NULL) == 0 && cgroup.n)
                cgroup_kill(&cgroup, SIGKILL, KILL_TIMEOUT_MS, &(struct cgroup_fail){ 0 });
        container_done(c);
        *c = (struct container)CONTAINER_INIT;
        return runtime_open(rt, a, id, true, c, e);
}

int runtime_delete(const struct runtime *rt, const char *id, bool force, struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_CONTAINER c = CONTAINER_INIT;
        struct spec spec;
        enum status status;
        bool have_spec;
        int r = force ? open_forced(rt, &a, id, &c, e) : runtime_open(rt, &a, id, true, &c, e);

        if (r < 0 && force && e->code == ERR_NOT_FOUND) {
                err_clear(e);
                return 0;
        }
        if (r < 0)
                return -1;
        status = container_status(&c);
        /* A created container may go too, as with runc and crun, though runtime.md says otherwise:
         * engines rely on it. */
        if (!force && (status == STATUS_RUNNING || status == STATUS_PAUSED)) {
                err_set(e, ERR_STATE,
                        "cannot delete container \"%s\" that is not stopped: it is %s", id,
                        status_names[status]);
                return err_hint(e, "stop it with `kill %.60s`, or use --force", id);
        }
        have_spec = c.poststop && container_spec(&a, &c, &spec, NULL) == 0;
        return runtime_destroy(rt, &c, have_spec ? &spec : NULL, e);
}
