#include "engine/placement.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "image/helper.h"
#include "kernel/sys.h"
#include "oci/systemd.h"

#define TOP "/sys/fs/cgroup"
#define MONITORS "berth-monitors"
/* What comes back at boot is stopped before anything else of it: units/berth-restart.service. */
#define STOPPED_BY "berth-restart.service"

const char *const cgroup_manager_names[MANAGER_MAX + 1] = {
        [MANAGER_AUTO] = "auto",
        [MANAGER_SYSTEMD] = "systemd",
        [MANAGER_CGROUPFS] = "cgroupfs",
};

/* As sd_booted(3) has it. On v1 a scope's cgroups are removed one by one, as systemd likes: there
 * ours are beside it. */
static bool have_systemd(void)
{
        return access("/run/systemd/system", F_OK) == 0 &&
               access(TOP "/cgroup.controllers", F_OK) == 0;
}

int placement_manager(enum cgroup_manager asked, bool *ret_systemd, struct err *e)
{
        bool have = asked != MANAGER_CGROUPFS && have_systemd();

        if (asked == MANAGER_SYSTEMD && !have) {
                err_set(e, ERR_UNAVAILABLE,
                        "--cgroup-manager: systemd is not running here, or not with cgroup v2 "
                        "alone");
                return err_hint(e, "leave it out, or use --cgroup-manager cgroupfs");
        }
        *ret_systemd = have;
        return 0;
}

/* ---- names ---- */

static bool is_slice_name(const char *s)
{
        return str_ends(s, ".slice") && !strchr(s, '/');
}

static int check_parent(bool systemd, const char *parent, struct err *e)
{
        if (!parent || is_slice_name(parent) == systemd)
                return 0;
        if (systemd) {
                err_set(e, ERR_INVALID,
                        "--cgroup-parent: \"%s\" is no slice, and systemd manages the cgroups",
                        parent);
                return err_hint(e, "name one such as machine.slice, or use `berth "
                                   "--cgroup-manager cgroupfs`");
        }
        err_set(e, ERR_INVALID,
                "--cgroup-parent: \"%s\" is a slice, and it is not systemd that manages the "
                "cgroups here",
                parent);
        return err_hint(e, "give a path, such as /batch");
}

int placement_path(struct arena *a, bool systemd, const char *parent, const char *id,
                   const char **ret, struct err *e)
{
        const char *slice;

        if (check_parent(systemd, parent, e) < 0)
                return -1;
        if (!systemd)
                return placement_direct(a, false, parent, id, ret, e);
        if (systemd_slice_expand(a, parent ? parent : PLACEMENT_SLICE, &slice, e) < 0)
                return err_in(e, "--cgroup-parent");
        *ret = arena_printf(a, "%s/berth-%s.scope/container", str_eq(slice, "/") ? "" : slice, id);
        return 0;
}

int placement_direct(struct arena *a, bool systemd, const char *parent, const char *id,
                     const char **ret, struct err *e)
{
        if (check_parent(systemd, parent, e) < 0)
                return -1;
        if (systemd)
                *ret = arena_printf(a, "%s:berth:%s", parent ? parent : PLACEMENT_SLICE, id);
        else
                *ret = arena_printf(a, "%s%s/berth-%s",
                                    str_empty(parent) || *parent == '/' ? "" : "/",
                                    parent ? parent : "", id);
        return 0;
}

/* ---- a process that keeps a cgroup ---- */

static pid_t hold(int cgroup)
{
        struct clone_args args = { .exit_signal = SIGCHLD };
        pid_t parent = getpid(), pid;

        if (cgroup >= 0) {
                args.flags = CLONE_INTO_CGROUP;
                args.cgroup = (uint64_t)cgroup;
        }
        pid = sys_clone3(&args);
        if (pid != 0)
                return pid;
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        while (getppid() == parent)
                pause();
        _exit(0);
}

static void let_go(pid_t pid)
{
        if (pid <= 0)
                return;
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
}

/* ---- with systemd ---- */

static int start_scope(struct arena *a, const char *slice, const char *id, pid_t holder,
                       const char **ret_group, struct err *e)
{
        char helper[PATH_MAX];
        struct systemd_start s = { .unit = { .slice = slice,
                                             .name = arena_printf(a, "berth-%s.scope", id),
                                             .helper = helper },
                                   .id = id,
                                   .pid = holder,
                                   .before = STOPPED_BY };

        if (holder < 0)
                return err_sys(e, errno, "cannot fork");
        if (helper_path("berth-systemd", helper, sizeof helper, e) < 0)
                return -1;
        if (systemd_start(a, &s, ret_group, e) == 0)
                return 0;
        /* Of a life that ended a moment ago, or whose monitor was killed. */
        if (e->code != ERR_EXISTS)
                return -1;
        err_clear(e);
        return systemd_stop(&s.unit, e) < 0 ? -1 : systemd_start(a, &s, ret_group, e);
}

/* v2 has no processes in a cgroup that passes controllers on, so the monitor is born in a cgroup
 * below the scope's, which only systemd can make; and systemd makes one only around a process. */
static int make_in_scope(struct arena *a, const char *slice, const char *id, pid_t first,
                         struct placement *ret, struct err *e)
{
        const char *group, *path;

        if (start_scope(a, slice, id, first, &group, e) < 0)
                return -1;
        path = arena_printf(a, TOP "%s/monitor", group);
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
                return err_sys(e, errno, "cannot make cgroup \"%s\"", path);
        ret->cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (ret->cgroup < 0)
                return err_sys(e, errno, "cannot open cgroup \"%s\"", path);
        ret->holder = hold(ret->cgroup);
        return ret->holder < 0 ? err_sys(e, errno, "cannot enter cgroup \"%s\"", path) : 0;
}

/* ---- without ---- */

/* Where there is no v2, or it is not ours to change, the monitor stays where its starter is. */
static int open_monitors(void)
{
        static const char *const tops[] = { TOP "/unified", TOP };
        int fd = -1;

        for (size_t i = 0; i < ARRAY_SIZE(tops) && fd < 0; i++) {
                AUTO_FD int top = open(tops[i], O_PATH | O_DIRECTORY | O_CLOEXEC);

                if (top < 0 || faccessat(top, "cgroup.controllers", F_OK, 0) < 0)
                        continue;
                fd = openat(top, MONITORS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (fd < 0 && errno == ENOENT && mkdirat(top, MONITORS, 0755) == 0)
                        fd = openat(top, MONITORS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
        return fd;
}

int placement_make(const char *slice, const char *id, struct placement *ret, struct err *e)
{
        AUTO_ARENA a = { 0 };
        struct placement p = { .cgroup = -1 };
        pid_t first;
        int r;

        if (!slice) {
                p.cgroup = open_monitors();
                *ret = p;
                return 0;
        }
        first = hold(-1);
        r = make_in_scope(&a, slice, id, first, &p, e);
        let_go(first);
        if (r < 0)
                placement_done(&p);
        else
                *ret = p;
        return r;
}

void placement_done(struct placement *p)
{
        p->cgroup = fd_close(p->cgroup);
        let_go(p->holder);
        p->holder = 0;
}
