/* state, kill, pause, resume, ps: looking at a container and poking it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "kernel/proc.h"
#include "kernel/sys.h"
#include "oci/cgroup-apply.h"
#include "oci/runtime.h"

#define FREEZE_TIMEOUT_MS 10000

/* Only the annotations are wanted of config.json, so it is not decoded: state is asked for
 * often. */
static void read_annotations(struct arena *a, const struct container *c, struct key_values *ret)
{
        AUTO_FREE char *text = NULL;
        const struct json *notes;
        struct json j;
        size_t n;

        *ret = (struct key_values){ 0 };
        if (fd_read_file_at(c->dir, "config.json", SPEC_MAX_BYTES, &text, &n) < 0 ||
            json_parse(a, text, n, NULL, &j, NULL) < 0)
                return;
        notes = json_get(&j, "annotations");
        if (!notes || notes->type != JSON_OBJECT)
                return;
        ret->v = arena_array(a, struct key_value, notes->n);
        for (uint32_t i = 0; i < notes->n; i++)
                ret->v[ret->n++] = (struct key_value){ notes->members[i].name,
                                                       json_str(&notes->members[i].value, "") };
}

int runtime_state(const struct runtime *rt, const char *id, struct buf *out, struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_CONTAINER c = CONTAINER_INIT;
        struct key_values notes;

        if (runtime_open(rt, &a, id, false, &c, e) < 0)
                return -1;
        read_annotations(&a, &c, &notes);
        container_state_json(&c, container_status(&c), &notes, 2, out);
        buf_putc(out, '\n');
        return 0;
}

/* ---- kill ---- */

static int not_running(const struct container *c, struct err *e)
{
        return err_set(e, ERR_STATE, "container not running: \"%s\" has stopped", c->id);
}

static int kill_all(const struct cgroup *cgroup, int sig, struct err *e)
{
        struct cgroup_fail f = { 0 };

        return cgroup_kill(cgroup, sig, 0, &f) < 0 && f.what != CGROUP_FAULT_TIMEOUT
                       ? cgroup_err(e, &f)
                       : 0;
}

static int kill_init(const struct container *c, int sig, struct err *e)
{
        AUTO_FD int pidfd = c->pid > 0 ? sys_pidfd_open(c->pid) : -1;

        /* C3: checked with the pidfd in hand, so the signal can only reach this process. */
        if (pidfd < 0 || !proc_alive(c->pid, c->pid_start))
                return not_running(c, e);
        if (sys_pidfd_send_signal(pidfd, sig) < 0) {
                if (errno == ESRCH)
                        return not_running(c, e);
                return err_sys(e, errno, "cannot send signal %d to container \"%s\"", sig, c->id);
        }
        return 0;
}

/* Without a pid namespace of its own the others outlive init, so killing means all of them. */
static bool shares_pids(struct arena *a, const struct container *c)
{
        struct spec s;

        if (container_spec(a, c, &s, NULL) < 0)
                return false;
        return !s.linux_.namespaces[NS_PID].present || s.linux_.namespaces[NS_PID].path;
}

int runtime_kill(const struct runtime *rt, const char *id, int sig, bool all, struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_CONTAINER c = CONTAINER_INIT;
        struct cgroup cgroup;
        struct cgroup_fail f = { 0 };

        if (runtime_open(rt, &a, id, false, &c, e) < 0 || container_cgroup(&a, &c, &cgroup, e) < 0)
                return -1;
        if (cgroup.n && (all || (sig == SIGKILL && shares_pids(&a, &c)))) {
                if (!all && !proc_alive(c.pid, c.pid_start) && cgroup_is_empty(&cgroup) != 0)
                        return not_running(&c, e);
                return kill_all(&cgroup, sig, e);
        }
        if (kill_init(&c, sig, e) < 0)
                return -1;
        /* v1's freezer holds back even SIGKILL; v2's does not. */
        if (sig == SIGKILL && cgroup.n && cgroup_is_frozen(&cgroup) == 1)
                cgroup_thaw(&cgroup, FREEZE_TIMEOUT_MS, &f);
        return 0;
}

/* ---- pause, resume, ps ---- */

static int open_with_cgroup(const struct runtime *rt, struct arena *a, const char *id, bool lock,
                            struct container *c, struct cgroup *cgroup, struct err *e)
{
        if (runtime_open(rt, a, id, lock, c, e) < 0 || container_cgroup(a, c, cgroup, e) < 0)
                return -1;
        if (cgroup->n == 0)
                return err_set(e, ERR_UNSUPPORTED, "container \"%s\" has no cgroup", id);
        return 0;
}

static int refuse_state(const char *what, const struct container *c, enum status s, struct err *e)
{
        return err_set(e, ERR_STATE, "container not running: cannot %s \"%s\", which is %s", what,
                       c->id, status_names[s]);
}

int runtime_pause(const struct runtime *rt, const char *id, struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_CONTAINER c = CONTAINER_INIT;
        struct cgroup cgroup;
        struct cgroup_fail f = { 0 };
        enum status s;

        if (open_with_cgroup(rt, &a, id, true, &c, &cgroup, e) < 0)
                return -1;
        s = container_status(&c);
        if (s != STATUS_RUNNING && s != STATUS_CREATED)
                return refuse_state("pause", &c, s, e);
        if (cgroup_freeze(&cgroup, FREEZE_TIMEOUT_MS, &f) < 0)
                return cgroup_err(e, &f);
        return 0;
}

int runtime_resume(const struct runtime *rt, const char *id, struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_CONTAINER c = CONTAINER_INIT;
        struct cgroup cgroup;
        struct cgroup_fail f = { 0 };
        enum status s;

        if (open_with_cgroup(rt, &a, id, true, &c, &cgroup, e) < 0)
                return -1;
        s = container_status(&c);
        if (s != STATUS_PAUSED && cgroup_is_frozen(&cgroup) != 1)
                return err_set(e, ERR_STATE, "container not paused: \"%s\" is %s", id,
                               status_names[s]);
        if (cgroup_thaw(&cgroup, FREEZE_TIMEOUT_MS, &f) < 0)
                return cgroup_err(e, &f);
        return 0;
}

int runtime_ps(const struct runtime *rt, const char *id, pid_t **ret, size_t *ret_n, struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_CONTAINER c = CONTAINER_INIT;
        struct cgroup cgroup;
        int r;

        if (open_with_cgroup(rt, &a, id, false, &c, &cgroup, e) < 0)
                return -1;
        r = cgroup_pids(&cgroup, ret, ret_n);
        return r < 0 ? err_sys(e, r, "cannot list the processes of container \"%s\"", id) : 0;
}
