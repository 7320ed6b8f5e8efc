#include "image/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "kernel/sys.h"

/* ---- where it is ---- */

static bool put_path(char *buf, size_t cap, const char *dir, size_t dir_len, const char *below,
                     const char *name)
{
        int n = snprintf(buf, cap, "%.*s%s/%s", (int)dir_len, dir, below, name);

        return n > 0 && (size_t)n < cap;
}

int helper_path(const char *name, char *buf, size_t cap, struct err *e)
{
        static const char *const places[] = { "/src/libexec", "/../libexec/berth", "" };
        const char *dir = secure_getenv("BERTH_LIBEXEC"), *slash;
        char self[1024];
        ssize_t n;

        if (!str_empty(dir))
                return put_path(buf, cap, dir, strlen(dir), "", name)
                               ? 0
                               : err_set(e, ERR_INVALID, "BERTH_LIBEXEC is too long");
        n = readlink("/proc/self/exe", self, sizeof self - 1);
        self[n > 0 ? n : 0] = 0;
        slash = strrchr(self, '/');
        for (size_t i = 0; slash && i < ARRAY_SIZE(places); i++)
                if (put_path(buf, cap, self, (size_t)(slash - self), places[i], name) &&
                    access(buf, X_OK) == 0)
                        return 0;
        if (!put_path(buf, cap, BERTH_LIBEXECDIR, strlen(BERTH_LIBEXECDIR), "", name))
                return err_set(e, ERR_INTERNAL, "the path of '%s' is too long", name);
        return 0;
}

/* ---- starting it ---- */

/* In the child. 0 or -errno. */
static int fds_place(const int *fds, size_t nfds)
{
        int moved[HELPER_FDS_MAX];
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        if (null < 0)
                return -errno;
        /* Out of the way first: a source may be where another's place is. */
        for (size_t i = 0; i < nfds; i++) {
                int from = fds[i] >= 0 ? fds[i] : i < 2 ? null : i == 2 ? STDERR_FILENO : -1;

                moved[i] = from < 0 ? -1 : fcntl(from, F_DUPFD_CLOEXEC, HELPER_FDS_MAX);
                if (from >= 0 && moved[i] < 0 && i != 2) /* standard error may be closed */
                        return -errno;
        }
        for (size_t i = 0; i < nfds; i++) {
                if (moved[i] < 0)
                        close((int)i);
                else if (dup2(moved[i], (int)i) < 0)
                        return -errno;
        }
        return sys_close_range((unsigned)nfds, ~0u, CLOSE_RANGE_CLOEXEC) < 0 ? -errno : 0;
}

/* What the child needs, and where it leaves a negative errno: it runs in the caller's memory. */
struct start {
        const char *path, *const *argv;
        const int *fds;
        size_t nfds;
        int failed;
};

/* Not inlined: see sys_clone3_vfork(). */
static __attribute__((noinline)) int child(void *p)
{
        static const int defaults[] = { SIGPIPE, SIGINT, SIGTERM, SIGCHLD };
        struct start *s = p;
        sigset_t none;

        s->failed = fds_place(s->fds, s->nfds);
        if (s->failed == 0) {
                for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
                        signal(defaults[i], SIG_DFL);
                sigemptyset(&none);
                sigprocmask(SIG_SETMASK, &none, NULL);
                execv(s->path, (char *const *)s->argv);
                s->failed = -errno;
        }
        /* Not _exit(): what a sanitizer does there would be done in the caller's memory. */
        syscall(SYS_exit_group, 127);
        __builtin_unreachable();
}

static pid_t spawn_here(struct start *s, int *ret_pidfd)
{
        char stack[32768] __attribute__((aligned(16)));
        pid_t pid = clone(child, stack + sizeof stack,
                          CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, s, ret_pidfd);

        return pid < 0 ? -errno : pid;
}

/* clone() can't start it in another cgroup, clone3() can. */
static pid_t spawn_in(struct start *s, int cgroup, int *ret_pidfd)
{
#if SYS_HAVE_CLONE3_VFORK
        struct clone_args a = { .flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_INTO_CGROUP,
                                .pidfd = (uint64_t)(uintptr_t)ret_pidfd,
                                .exit_signal = SIGCHLD,
                                .cgroup = (uint64_t)cgroup };
        long pid = sys_clone3_vfork(&a);

        if (pid == 0)
                child(s);
        return (pid_t)pid;
#else
        return -ENOSYS;
#endif
}

/* As vfork() does it: to copy this program's page tables takes longer than all else here. The mask
 * keeps our handlers from running in the child. */
static pid_t spawn(struct start *s, int cgroup, int *ret_pidfd)
{
        sigset_t all, before;
        pid_t pid;

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &before);
        pid = cgroup < 0 ? -ENOENT : spawn_in(s, cgroup, ret_pidfd);
        if (pid < 0)
                pid = spawn_here(s, ret_pidfd);
        sigprocmask(SIG_SETMASK, &before, NULL);
        return pid;
}

int helper_start(const char *const *argv, const int *fds, size_t nfds, int cgroup, pid_t *ret_pid,
                 int *ret_pidfd, struct err *e)
{
        char path[1100];
        struct start s = { .path = path, .argv = argv, .fds = fds, .nfds = nfds };
        int pidfd = -1;
        pid_t pid;

        if (nfds > HELPER_FDS_MAX)
                return err_set(e, ERR_INTERNAL, "too many descriptors for '%s'", argv[0]);
        if (helper_path(argv[0], path, sizeof path, e) < 0)
                return -1;
        pid = spawn(&s, cgroup, &pidfd);
        if (pid > 0 && s.failed < 0) {
                waitpid(pid, NULL, 0);
                fd_close(pidfd);
        }
        if (pid < 0 || s.failed < 0) {
                err_sys(e, pid < 0 ? pid : s.failed, "cannot run '%s'", path);
                return err_hint(e,
                                "Install %s beside berth, or set BERTH_LIBEXEC to its directory.",
                                argv[0]);
        }
        *ret_pid = pid;
        *ret_pidfd = pidfd;
        return 0;
}
