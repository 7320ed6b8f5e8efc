/* Starting a container: its root is mounted, its monitor started, its word awaited. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "engine/ctr-internal.h"
#include "engine/placement.h"
#include "image/helper.h"
#include "image/snapshot.h"
#include "monitor/monitor.h"
#include "oci/id-map.h"
#include "oci/runtime.h"
#include "oci/sd-notify.h"

/* ---- the lock (E1) ---- */

/* Directories go last (E3): one that has no name any more was removed while we waited. */
static bool is_removed(int dir)
{
        struct stat st;

        return fstat(dir, &st) < 0 || st.st_nlink == 0;
}

int ctr_lock_any(const struct engine *g, const struct ctr *c, struct err *e)
{
        AUTO_FD int dir = ctr_dir(g, c->id, e);

        if (dir < 0)
                return -1;
        while (flock(dir, LOCK_EX) < 0)
                if (errno != EINTR)
                        return err_sys(e, errno, "cannot lock container \"%s\"", c->name);
        if (is_removed(dir))
                return err_set(e, ERR_NOT_FOUND, "container \"%s\" has been removed", c->name);
        return TAKE_FD(dir);
}

int ctr_lock(const struct engine *g, const struct ctr *c, struct err *e)
{
        AUTO_FD int dir = ctr_lock_any(g, c, e);

        if (dir >= 0 && faccessat(dir, "container.json", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                return err_set(e, ERR_NOT_FOUND, "container \"%s\" has been removed", c->name);
        return TAKE_FD(dir);
}

/* ---- the root ---- */

int ctr_userns(const struct ctr *c, int *ret, struct err *e)
{
        AUTO_ARENA a = { 0 };
        struct userns u;

        *ret = -1;
        userns_read(&a, c->record, &u);
        if (u.mode == USERNS_HOST)
                return 0;
        *ret = id_map_userns(&u.uids, &u.gids, e);
        return *ret < 0 ? -1 : 0;
}

int ctr_mount(struct engine *g, const struct ctr *c, bool mapped, int *ret_root, struct err *e)
{
        AUTO_FD int dir = ctr_dir(g, c->id, e);
        AUTO_FD int userns = -1;
        struct snapshot n = { .layers = &c->layers,
                              .volatile_ = c->auto_remove,
                              .run = g->places.run };

        if (dir < 0)
                return -1;
        AUTO_FD int upper = openat(dir, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        AUTO_FD int work = openat(dir, "work", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (upper < 0 || work < 0)
                return err_sys(e, errno, "cannot open container \"%.12s\"'s upper directory",
                               c->id);
        if (mapped && ctr_userns(c, &userns, e) < 0)
                return -1;
        n.upper = upper;
        n.work = work;
        n.userns = userns;
        return snapshot_mount(g->store, &n, ret_root, e);
}

/* ---- the monitor ---- */

int standby_start(struct standby *s, const struct ctr *c, struct err *e)
{
        static const char *const argv[] = { "berth-monitor", NULL };
        AUTO_FD int pidfd = -1;
        struct placement place;
        AUTO_FD int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        int pair[2], fds[MONITOR_FD_STARTED + 1], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return err_sys(e, errno, "cannot make a socket");
        fds[0] = fds[1] = -1;
        /* Our own standard error would keep whoever reads it waiting for the monitor's end. */
        fds[2] = null;
        fds[MONITOR_FD_STARTED] = pair[1];
        r = placement_make(c->slice, c->id, &place, e);
        if (r == 0) {
                r = helper_start(argv, fds, ARRAY_SIZE(fds), place.cgroup, &s->pid, &pidfd, e);
                placement_done(&place);
        }
        close(pair[1]);
        s->sock = r < 0 ? fd_close(pair[0]) : pair[0];
        return r;
}

static int reap(pid_t pid)
{
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        return -1;
}

void standby_dismiss(struct standby *s)
{
        if (s->sock < 0)
                return;
        s->sock = fd_close(s->sock);
        reap(s->pid);
}

/* What it says when the container runs, or has failed to. */
static int await(struct standby *s, struct err *e)
{
        struct wire_started started;
        ssize_t n;

        do
                n = recv(s->sock, &started, sizeof started, 0);
        while (n < 0 && errno == EINTR);
        s->sock = fd_close(s->sock);
        if (n != sizeof started) {
                err_set(e, ERR_SYSTEM, "its monitor died without a word");
                return reap(s->pid);
        }
        if (started.err.code == ERR_NONE)
                return 0;
        *e = started.err;
        return reap(s->pid);
}

/* lock: the container's directory, locked. The monitor gets the same descriptor and gives the lock
 * back once it runs (E1): should we be killed meanwhile, nobody removes what it is starting. */
static int launch_locked(struct engine *g, const struct ctr *c, int lock, struct standby *s,
                         int root, int attach, struct err *e)
{
        AUTO_FD int run = ctr_run_dir(g, c->id, true, e);
        AUTO_FD int journal = run < 0 ? -1 : engine_journal(g->store, e);
        const int all[MONITOR_FD_END] = {
                [MONITOR_FD_STARTED] = -1,
                [MONITOR_FD_BUNDLE] = lock,
                [MONITOR_FD_RUN] = run,
                [MONITOR_FD_JOURNAL] = journal,
                [MONITOR_FD_ROOT] = root,
                [MONITOR_FD_ATTACH] = attach,
                [MONITOR_FD_STDIN] = c->passthrough ? STDIN_FILENO : -1,
                [MONITOR_FD_STDOUT] = c->passthrough ? STDOUT_FILENO : -1,
                [MONITOR_FD_STDERR] = c->passthrough ? STDERR_FILENO : -1,
        };
        struct wire_order order = { 0 };
        int fds[MONITOR_FD_END + WIRE_MOUNTS_MAX + WIRE_PRESERVED_MAX], mounts;
        unsigned preserved = 0;
        size_t n = 0;

        if (journal < 0 || runtime_preserve_fds(c->preserve_fds, &preserved, e) < 0)
                return -1;
        if (preserved > WIRE_PRESERVED_MAX)
                return err_set(e, ERR_INVALID, "--preserve-fds: at most %d descriptors can pass",
                               WIRE_PRESERVED_MAX);
        for (int i = MONITOR_FD_BUNDLE; i < MONITOR_FD_END; i++)
                if (all[i] >= 0) {
                        order.which |= 1u << i;
                        fds[n++] = all[i];
                }
        mounts = ctr_prepare(g, c, lock, fds + n, e);
        if (mounts < 0)
                return -1;
        order.mounts = (uint32_t)mounts;
        order.preserved = preserved;
        n += order.mounts;
        for (unsigned i = 0; i < preserved; i++)
                fds[n++] = 3 + (int)i;
        /* A monitor that has died already has said why. */
        fd_send(s->sock, &order, sizeof order, fds, n);
        for (n -= preserved; mounts > 0; mounts--)
                fd_close(fds[--n]);
        /* It is at work: time to look at every other container. */
        sandbox_sweep(&g->places, g->store);
        return await(s, e);
}

int ctr_launch(struct engine *g, const struct ctr *c, int lock, struct standby *s, int root,
               int attach, struct err *e)
{
        AUTO_FD int mount = root;
        struct ctr_state state;

        ctr_state(g, c, &state);
        if (ctr_is_up(&state))
                return err_set(e, ERR_STATE, "container \"%s\" is %s already", c->name,
                               ctr_status_names[state.status]);
        if (c->passthrough && (isatty(0) || isatty(1) || isatty(2))) {
                err_set(e, ERR_INVALID, "--log-driver passthrough is not for terminals");
                return err_hint(e, "it is for systemd's units, and for streams that are files or "
                                   "pipes; on a terminal use --tty");
        }
        if (s->sock < 0 && standby_start(s, c, e) < 0)
                return -1;
        if (root < 0 && ctr_rejoin(g, c, lock, e) < 0)
                return -1;
        if (mount < 0 && ctr_mount(g, c, true, &mount, e) < 0)
                return -1;
        unlinkat(lock, CTR_STOPPED, 0);
        return launch_locked(g, c, lock, s, mount, attach, e);
}

int ctr_attach_pair(const struct attach *attach, int pair[2], struct err *e)
{
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return err_sys(e, errno, "cannot make a socket");
        attach_request(pair[0], attach);
        return 0;
}

/* ---- what it requires, and who is told ---- */

#define REQUIRED_DEPTH 32 /* longer chains than that nobody makes */

static int start_required(struct engine *g, const struct ctr *c, unsigned depth, struct err *e)
{
        AUTO_ARENA a = { 0 };

        if (depth == 0)
                return err_set(e, ERR_INVALID, "too many containers require one another");
        for (size_t i = 0; i < c->required.n; i++) {
                struct ctr_state s;
                struct ctr one;

                if (ctr_find(g, &a, c->required.v[i], &one, e) < 0)
                        return err_in(e, "what container \"%s\" requires", c->name);
                if (start_required(g, &one, depth - 1, e) < 0)
                        return -1;
                ctr_state(g, &one, &s);
                if (ctr_is_up(&s) || ctr_start(g, &one, NULL, NULL, e) == 0)
                        continue;
                ctr_state(g, &one, &s);
                if (e->code != ERR_STATE || !ctr_is_up(&s))
                        return err_in(e, "cannot start container \"%s\", which \"%s\" requires",
                                      one.name, c->name);
                err_clear(e); /* another was quicker */
        }
        return 0;
}

int ctr_start_required(struct engine *g, const struct ctr *c, struct err *e)
{
        return start_required(g, c, REQUIRED_DEPTH, e);
}

int ctr_notify(struct engine *g, const struct ctr *c, struct err *e)
{
        const struct wire_request q = { .op = WIRE_READY, .timeout_ms = -1, .why = "berth start" };
        const char *path = getenv("NOTIFY_SOCKET");
        AUTO_ARENA a = { 0 };
        struct monitor_config m;
        struct wire_reply reply;
        struct ctr_state s;

        if (str_empty(path))
                return 0;
        if (ctr_monitor_config(g, &a, c, &m, e) < 0)
                return -1;
        if (m.notify == NOTIFY_IGNORE)
                return 0;
        ctr_state(g, c, &s);
        /* One that has ended meanwhile is not ready, and that is no failure to start it. */
        if (ctr_call(g, c, &q, -1, &reply, &(struct err){ 0 }) < 0 || reply.status < 0)
                return 0;
        return sd_notify_send(path, arena_printf(&a, "MAINPID=%d\nREADY=1\n", s.monitor.monitor),
                              e);
}

int ctr_start(struct engine *g, const struct ctr *c, const struct attach *attach, int *ret_sock,
              struct err *e)
{
        struct standby standby = { .sock = -1 };
        AUTO_FD int lock = -1;
        int pair[2] = { -1, -1 }, r;

        if (ctr_start_required(g, c, e) < 0)
                return -1;
        lock = ctr_lock(g, c, e);
        if (lock < 0)
                return -1;
        if (attach && ctr_attach_pair(attach, pair, e) < 0)
                return -1;
        r = ctr_launch(g, c, lock, &standby, -1, pair[1], e);
        standby_dismiss(&standby);
        fd_close(pair[1]);
        if (r == 0 && attach)
                return (*ret_sock = attach_accepted(pair[0], e)) < 0 ? -1 : 0;
        fd_close(pair[0]);
        return r;
}
