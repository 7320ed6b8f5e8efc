#include "monitor/begin.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "kernel/mount.h"
#include "kernel/sys.h"
#include "monitor/monitor.h"

#define FREE_FD 64 /* above all that have places */

int begin_alone(int *ret_home)
{
        setsid();
        /* Needs CAP_SYS_RESOURCE; without it the OOM killer may choose us. */
        fd_put_at(AT_FDCWD, "/proc/self/oom_score_adj", "-999");
        signal(SIGPIPE, SIG_IGN);
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        umask(022);
        AUTO_FD int home = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
        *ret_home = fcntl(home, F_DUPFD_CLOEXEC, FREE_FD);
        if (*ret_home < 0 || chdir("/") < 0 || unshare(CLONE_NEWNS) < 0)
                return -errno;
        return mount_propagation("/", mount_opt_find("rslave")->value, true);
}

/* The numbers up to MONITOR_FD_END were free: none has come above its place. */
static int put_in_place(const int *got, size_t n, uint32_t which)
{
        for (int fd = MONITOR_FD_END - 1; fd > MONITOR_FD_STARTED; fd--) {
                if (!(which & 1u << fd))
                        continue;
                if (n == 0 || got[n - 1] > fd)
                        return -EPROTO;
                if (got[--n] == fd)
                        continue;
                if (dup3(got[n], fd, O_CLOEXEC) < 0)
                        return -errno;
                close(got[n]);
        }
        return n ? -EPROTO : 0;
}

/* Out of the way of those that have places: the last of what has come. */
static int take_away(const int *got, size_t n, int *ret)
{
        for (size_t i = 0; i < n; i++) {
                ret[i] = fcntl(got[i], F_DUPFD_CLOEXEC, FREE_FD);
                if (ret[i] < 0)
                        return -errno;
                close(got[i]);
        }
        return 0;
}

bool begin_ahead(struct wire_ahead *ret)
{
        uint32_t which = 1;

        /* One that has gone is seen by begin_receive(). */
        if (recv(MONITOR_FD_STARTED, &which, sizeof which, MSG_PEEK) != sizeof which || which)
                return false;
        return recv(MONITOR_FD_STARTED, ret, sizeof *ret, 0) == sizeof *ret;
}

int begin_receive(struct wire_order *ret, int mounts[WIRE_MOUNTS_MAX],
                  int preserved[WIRE_PRESERVED_MAX])
{
        int got[MONITOR_FD_END + WIRE_MOUNTS_MAX + WIRE_PRESERVED_MAX], r;
        size_t n = ARRAY_SIZE(got);
        ssize_t len = fd_recv(MONITOR_FD_STARTED, ret, sizeof *ret, got, &n);

        if (len <= 0)
                return len < 0 ? (int)len : -ENOTCONN;
        if (len != sizeof *ret || ret->mounts > WIRE_MOUNTS_MAX ||
            ret->preserved > WIRE_PRESERVED_MAX || (size_t)ret->mounts + ret->preserved > n)
                return -EPROTO;
        n -= ret->preserved;
        r = take_away(got + n, ret->preserved, preserved);
        n -= ret->mounts;
        if (r == 0)
                r = take_away(got + n, ret->mounts, mounts);
        return r < 0 ? r : put_in_place(got, n, ret->which);
}

/* By its path: MONITOR_FD_BUNDLE is of the mount namespace that we have left, and mounts are
 * attached in one's own only. */
static int attach(int mount, const char *bundle, const char *name, int flags)
{
        char path[PATH_MAX];
        int r = path_join(bundle, name, path, sizeof path);

        if (r < 0)
                return r;
        AUTO_FD int target = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC | flags);
        r = target < 0 ? -errno : mount_attach(mount, target);
        close(mount);
        return r;
}

int begin_root(const char *bundle)
{
        return attach(MONITOR_FD_ROOT, bundle, "rootfs", O_DIRECTORY);
}

int begin_mounts(const char *bundle, const int *mounts, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                char name[32];
                int r;

                snprintf(name, sizeof name, "mounts/%zu", i);
                r = attach(mounts[i], bundle, name, 0);
                if (r < 0)
                        return r;
        }
        return 0;
}
