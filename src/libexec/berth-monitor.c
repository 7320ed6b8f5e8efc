/* berth-monitor: the supervisor of one container (monitor/monitor.h). Not for people: the engine
 * starts it. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "kernel/mount.h"
#include "kernel/sys.h"
#include "monitor/life.h"
#include "monitor/monitor.h"

/* The root file system is mounted where only this process and its container see it: the host's
 * mount table stays short, and it is gone with them. */
static int mount_root(void)
{
        int r;

        if (fcntl(MONITOR_FD_ROOT, F_GETFD) < 0)
                return 0;
        /* Mounts are attached in one's own namespace only, and the descriptor is of the old one:
         * the working directory is what unshare() takes along. */
        if (fchdir(MONITOR_FD_BUNDLE) < 0 || unshare(CLONE_NEWNS) < 0)
                return -errno;
        r = mount_propagation("/", mount_opt_find("rslave")->value, true);
        if (r < 0)
                return r;
        AUTO_FD int target = open("rootfs", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        r = target < 0 ? -errno : mount_attach(MONITOR_FD_ROOT, target);
        close(MONITOR_FD_ROOT);
        return r < 0 ? r : chdir("/") < 0 ? -errno : 0;
}

static void protect(void)
{
        /* Needs CAP_SYS_RESOURCE; without it the OOM killer may choose us. */
        fd_put_at(AT_FDCWD, "/proc/self/oom_score_adj", "-999");
        signal(SIGPIPE, SIG_IGN);
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        umask(022);
}

int main(int argc, char **argv)
{
        int r;

        if (argc > 1 && str_eq(argv[1], LIFE_CHILD))
                life_child(argv);
        if (fcntl(MONITOR_FD_BUNDLE, F_GETFD) < 0 || fcntl(MONITOR_FD_RUN, F_GETFD) < 0) {
                fprintf(stderr, "berth-monitor is started by berth; see berth-run(1)\n");
                return 2;
        }
        for (int fd = MONITOR_FD_BUNDLE; fd < MONITOR_FD_END; fd++)
                fcntl(fd, F_SETFD, FD_CLOEXEC);
        sys_close_range(MONITOR_FD_END, ~0u, 0);
        setsid();
        protect();
        r = mount_root();
        if (r < 0) {
                struct err e = { 0 };

                err_sys(&e, r, "cannot mount the container's root");
                return monitor_refuse(&e);
        }
        return monitor_run(argv[0]);
}
