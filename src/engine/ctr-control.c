/* Stopping, killing, pausing, waiting, renaming, removing. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "engine/ctr-internal.h"
#include "engine/events.h"
#include "engine/names.h"
#include "engine/workspace.h"
#include "image/store-container.h"
#include "kernel/sys.h"
#include "kernel/tree.h"
#include "monitor/journal.h"
#include "oci/runtime.h"

#define REMOVE_TRIES 20

void ctr_event(const struct engine *g, const struct ctr *c, const char *action, const char *key,
               const char *value)
{
        struct key_value attributes[2] = { { "image", c->image_name }, { key, value } };
        struct event event = { .type = "container",
                               .action = action,
                               .id = c->id,
                               .name = c->name,
                               .attributes = { attributes, key ? 2 : 1 } };

        event_append(g->store, &event);
}

static struct runtime runtime_of(const struct engine *g)
{
        return (struct runtime){ .root = g->places.oci, .log = g->places.log };
}

int ctr_call(const struct engine *g, const struct ctr *c, const struct wire_request *q,
             int timeout_ms, struct wire_reply *ret, struct err *e)
{
        AUTO_FD int run = ctr_run_dir(g, c->id, false, &(struct err){ 0 });
        int r = run < 0 ? -ENOENT : wire_call(run, q, timeout_ms, ret);

        if (r == 0)
                return 0;
        if (r == -ESTALE || r == -ETIMEDOUT || r == -EUSERS)
                return wire_no_answer(r, e), err_in(e, "container \"%s\"", c->name);
        return err_set(e, ERR_STATE, "container \"%s\" is not running", c->name);
}

/* ---- stop and kill ---- */

/* Its monitor is dead, the container may not be. */
static int stop_orphan(struct engine *g, const struct ctr *c, struct err *e)
{
        AUTO_FD int lock = ctr_lock_any(g, c, e);
        struct runtime rt = runtime_of(g);
        struct ctr_state s;

        if (lock < 0)
                return -1;
        ctr_state(g, c, &s);
        return s.status == CTR_LOST ? runtime_delete(&rt, c->id, true, e) : 0;
}

/* Its monitor listens already; what it is asked it answers once the container runs. */
static bool is_starting(const struct ctr_state *s)
{
        return s->status == CTR_CREATED && s->monitor.monitor > 0 &&
               s->monitor.status != MONITOR_EXITED;
}

/* For the next boot (ctr_starts_at_boot()); starting it removes the mark. */
static void mark_stopped(const struct engine *g, const struct ctr *c)
{
        AUTO_FD int dir = ctr_dir(g, c->id, &(struct err){ 0 });

        if (dir >= 0)
                fd_close(openat(dir, CTR_STOPPED, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                                0600));
}

int ctr_shut_down(struct engine *g, const struct ctr *c, int64_t timeout_ms, struct err *e)
{
        struct wire_request q = { .op = WIRE_STOP,
                                  .timeout_ms = timeout_ms,
                                  .why = "the machine goes down" };
        AUTO_FD int run = ctr_run_dir(g, c->id, false, &(struct err){ 0 });
        struct wire_reply reply;
        struct ctr_state s;
        int r;

        ctr_state(g, c, &s);
        if (!ctr_is_up(&s))
                return 0;
        if (s.status == CTR_PAUSED && ctr_pause(g, c, false, e) < 0)
                return -1;
        r = run < 0 ? -ENOENT : wire_call(run, &q, 1, &reply);
        return r == 0 || r == -ETIMEDOUT || r == -ECONNRESET || r == -ENOENT
                       ? 0
                       : err_sys(e, r, "cannot reach container \"%s\"'s monitor", c->name);
}

/* The monitor has sent SIGKILL. init's end waits for the last process of its PID namespace to be
 * reaped, an exec's by the command outside that is its parent. */
static int held_up(const struct ctr *c, struct err *e)
{
        err_set(e, ERR_UNAVAILABLE, "container \"%s\" has outlived SIGKILL for long", c->name);
        return err_hint(e,
                        "is a cgroup above it or a `berth exec` into it stopped, or does it wait "
                        "for a device or a network file system?");
}

int ctr_stop(struct engine *g, const struct ctr *c, int sig, int64_t timeout_ms, const char *why,
             struct err *e)
{
        struct wire_request q = { .op = WIRE_STOP, .signal = sig, .timeout_ms = timeout_ms };
        struct wire_reply reply = { 0 };
        struct ctr_state s;

        snprintf(q.why, sizeof q.why, "%s", why);
        mark_stopped(g, c);
        ctr_state(g, c, &s);
        if (s.status == CTR_LOST)
                return stop_orphan(g, c, e);
        if (!ctr_is_up(&s) && !is_starting(&s))
                return 0;
        /* SIGTERM would wait until it is thawed. */
        if (s.status == CTR_PAUSED && ctr_pause(g, c, false, e) < 0)
                return -1;
        if (ctr_call(g, c, &q, -1, &reply, e) < 0) {
                ctr_state(g, c, &s);
                if (ctr_is_up(&s))
                        return -1;
                err_clear(e); /* it ended meanwhile */
        }
        if (reply.status < 0)
                return held_up(c, e);
        ctr_volumes_release(g, c);
        return 0;
}

int ctr_cleanup(struct engine *g, const struct ctr *c, struct err *e)
{
        struct ctr_state s;

        ctr_state(g, c, &s);
        if (ctr_is_up(&s) || is_starting(&s))
                return err_set(e, ERR_STATE, "container \"%s\" is %s", c->name,
                               ctr_status_names[s.status]);
        ctr_volumes_release(g, c);
        return 0;
}

int ctr_kill(struct engine *g, const struct ctr *c, int sig, const char *why, struct err *e)
{
        struct wire_request q = { .op = WIRE_SIGNAL, .signal = sig, .timeout_ms = -1 };
        struct runtime rt = runtime_of(g);
        struct wire_reply reply;
        struct ctr_state s;
        char text[16];

        snprintf(q.why, sizeof q.why, "%s", why);
        snprintf(text, sizeof text, "%d", sig);
        ctr_state(g, c, &s);
        if (!ctr_is_up(&s))
                return err_set(e, ERR_STATE, "container \"%s\" is not running: it is %s", c->name,
                               ctr_status_names[s.status]);
        if (sig == SIGKILL)
                mark_stopped(g, c);
        /* The runtime where the monitor does not answer. */
        if (ctr_call(g, c, &q, 5000, &reply, NULL) < 0) {
                if (runtime_kill(&rt, c->id, sig, false, e) < 0)
                        return -1;
        } else if (reply.status < 0) {
                return err_sys(e, reply.status, "cannot send signal %d to container \"%s\"", sig,
                               c->name);
        }
        ctr_event(g, c, "kill", "signal", text);
        return 0;
}

int ctr_restart(struct engine *g, const struct ctr *c, int sig, int64_t timeout_ms, struct err *e)
{
        struct wire_request q = {
                .op = WIRE_RESTART, .signal = sig, .timeout_ms = timeout_ms, .why = "berth restart"
        };
        struct wire_reply reply;
        struct ctr_state s;

        ctr_state(g, c, &s);
        if (!ctr_is_up(&s))
                return ctr_start(g, c, NULL, NULL, e);
        if (s.status == CTR_PAUSED && ctr_pause(g, c, false, e) < 0)
                return -1;
        if (ctr_call(g, c, &q, -1, &reply, e) < 0)
                return -1;
        if (reply.status == 0)
                return 0;
        if (reply.status == -EBUSY)
                return held_up(c, e);
        ctr_state(g, c, &s);
        return err_set(e, ERR_SYSTEM, "container \"%s\" did not start again: %s", c->name,
                       s.monitor.error);
}

int ctr_pause(struct engine *g, const struct ctr *c, bool pause, struct err *e)
{
        struct runtime rt = runtime_of(g);
        AUTO_FD int run = -1, mark = -1;
        struct ctr_state s;

        ctr_state(g, c, &s);
        if (s.status != (pause ? CTR_RUNNING : CTR_PAUSED))
                return err_set(e, ERR_STATE, "container \"%s\" is not %s: it is %s", c->name,
                               pause ? "running" : "paused", ctr_status_names[s.status]);
        run = ctr_run_dir(g, c->id, false, e);
        if (run < 0)
                return -1;
        if (pause) /* before it is: what is paused must show as such */
                mark = openat(run, "paused", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if ((pause ? runtime_pause : runtime_resume)(&rt, c->id, e) < 0)
                return -1;
        if (!pause)
                unlinkat(run, "paused", 0);
        ctr_event(g, c, pause ? "pause" : "unpause", NULL, NULL);
        return 0;
}

int ctr_wait(struct engine *g, const struct ctr *c, int *ret_status, struct err *e)
{
        struct wire_request q = { .op = WIRE_WAIT };
        struct wire_reply reply;
        struct ctr_state s;

        ctr_state(g, c, &s);
        if (ctr_is_up(&s) && ctr_call(g, c, &q, -1, &reply, e) == 0) {
                *ret_status = reply.exit_code;
                return 0;
        }
        ctr_state(g, c, &s);
        if (e->code == ERR_UNAVAILABLE && ctr_is_up(&s)) /* it can't tell */
                return -1;
        err_clear(e);
        if (s.status == CTR_CREATED)
                return err_set(e, ERR_STATE, "container \"%s\" has never been started", c->name);
        *ret_status = s.monitor.exit_code;
        return 0;
}

/* ---- names ---- */

/* The index has the new name; here it is for who makes that again, and for the monitor. */
static int rename_files(const struct ctr *c, int dir, const struct buf *record, struct err *e)
{
        AUTO_ARENA a = { 0 };
        struct monitor_config m;
        int r = fd_replace_at(dir, "container.json", record->s, record->len, 0600, 0);

        if (r < 0)
                return err_sys(e, r, "cannot write container.json");
        if (ctr_monitor_read(&a, dir, &m, e) < 0)
                return -1;
        m.name = c->name;
        return ctr_monitor_write(dir, &m, e);
}

int ctr_rename(struct engine *g, const struct ctr *c, const char *name, struct err *e)
{
        AUTO_FD int lock = ctr_lock(g, c, e);
        struct ctr renamed = *c;
        AUTO_BUF text = { 0 };

        if (lock < 0)
                return -1;
        if (name_check(name) < 0)
                return err_set(e, ERR_INVALID, "\"%s\" can't be a container's name", name);
        renamed.name = name;
        ctr_record_again(&renamed, &text);
        if (store_container_put(g->store, c->id, buf_str(&text), e) < 0)
                return -1;
        if (rename_files(&renamed, lock, &text, e) < 0)
                return -1;
        ctr_reload(g, c);
        ctr_event(g, &renamed, "rename", "oldName", c->name);
        return 0;
}

/* ---- removal (E3) ---- */

static int remove_dir(const struct engine *g, const char *id, struct err *e)
{
        AUTO_FD int parent =
                openat(store_dir(g->store), "containers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = parent < 0 ? -errno : tree_remove(parent, id);

        return r < 0 && r != -ENOENT ? err_sys(e, r, "cannot remove \"%s/containers/%s\"",
                                               store_path(g->store), id)
                                     : 0;
}

/* A monitor that has said "exited" uses the directories no more; its own end, with the unmounting
 * of the root, need not be waited for. One that has not been heard of may be about to. */
static void await_monitor(const struct ctr_state *s)
{
        AUTO_FD int pidfd = s->monitor.monitor > 0 ? sys_pidfd_open(s->monitor.monitor) : -1;

        if (pidfd >= 0 && proc_alive(s->monitor.monitor, s->monitor.monitor_start))
                poll(&(struct pollfd){ pidfd, POLLIN, 0 }, 1, 5000);
}

/* Brings it down, where that is allowed. */
static int bring_down(struct engine *g, const struct ctr *c, bool force, int64_t timeout_ms,
                      struct err *e)
{
        struct ctr_state s;

        ctr_state(g, c, &s);
        if (!force && (ctr_is_up(&s) || is_starting(&s))) {
                err_set(e, ERR_STATE, "cannot remove container \"%s\": it is %s", c->name,
                        is_starting(&s) ? "starting" : ctr_status_names[s.status]);
                return err_hint(e, "stop it first (`berth stop %.60s`), or use --force", c->name);
        }
        if ((ctr_is_up(&s) || is_starting(&s)) &&
            ctr_stop(g, c, timeout_ms > 0 ? 0 : SIGKILL, timeout_ms, "berth rm", e) < 0)
                return -1;
        ctr_state(g, c, &s);
        if (s.monitor.status != MONITOR_EXITED)
                await_monitor(&s);
        return 0;
}

/* Under the lock; dir -1: the directory is gone. Without container.json a container is nobody's:
 * who finds it so removes it (workspace_sweep()), should we be killed on the way. monitor: who
 * removes the directory, still under the lock (ctr_remove_attended()); or -1. */
static int remove_all(struct engine *g, const struct ctr *c, int dir, int monitor, struct err *e)
{
        struct runtime rt = runtime_of(g);
        bool was_there = dir >= 0 && unlinkat(dir, "container.json", 0) == 0;

        if (runtime_delete(&rt, c->id, true, e) < 0 ||
            workspace_remove_run(g->places.run, c->id, e) < 0 ||
            store_container_remove(g->store, c->id, e) < 0 ||
            ((monitor < 0 || dir < 0 || wire_leave(monitor, dir) < 0) &&
             remove_dir(g, c->id, e) < 0))
                return err_in(e, "cannot remove container \"%s\"", c->name);
        if (was_there)
                ctr_event(g, c, "remove", NULL, NULL);
        ctr_volumes_release(g, c);
        return 0;
}

static int remove_by(struct engine *g, const struct ctr *c, bool force, int64_t timeout_ms,
                     int monitor, struct err *e)
{
        for (int tries = 0; tries < REMOVE_TRIES; tries++) {
                struct ctr_state s;

                if (bring_down(g, c, force, timeout_ms, e) < 0)
                        return -1;
                AUTO_FD int lock = ctr_lock_any(g, c, e);
                if (lock < 0 && e->code != ERR_NOT_FOUND)
                        return -1;
                err_clear(e);
                ctr_state(g, c, &s);
                if (!ctr_is_up(&s) && !is_starting(&s))
                        return ctr_volumes_free(g, c, e) < 0 ? -1
                                                             : remove_all(g, c, lock, monitor, e);
        }
        return err_set(e, ERR_STATE, "container \"%s\" is started again and again", c->name);
}

int ctr_remove(struct engine *g, const struct ctr *c, bool force, int64_t timeout_ms, struct err *e)
{
        return remove_by(g, c, force, timeout_ms, -1, e);
}

int ctr_remove_attended(struct engine *g, const struct ctr *c, int sock, struct err *e)
{
        return remove_by(g, c, true, 0, sock, e);
}
