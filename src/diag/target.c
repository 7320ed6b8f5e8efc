#include "diag/target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/str.h"
#include "diag/procfs.h"
#include "kernel/sys.h"

/* How long a command line may take: it is a copy of a few pages, but the machine may be busy. */
#define ARGS_TIMEOUT_MS 1000
#define ARGS_BYTES 8192

static int is_thread(struct arena *a, int proc, pid_t pid, struct err *e)
{
        enum num_state is;
        const char *status = file_text(a, proc, "status", TEXT_SMALL, NULL, &is);
        struct num leader = status ? text_num(status, "Tgid", ':') : num_of(0);

        err_set(e, ERR_INVALID, "%d is a thread, not a process", pid);
        if (num_known(leader))
                err_hint(e, "Look at its process, %d.", (int)leader.v);
        return -1;
}

int target_open(struct arena *a, pid_t pid, struct target *ret, struct err *e)
{
        char path[32];
        AUTO_FD int proc = -1;
        int pidfd;

        snprintf(path, sizeof path, "/proc/%d", pid);
        proc = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (proc < 0 && errno == ENOENT)
                return err_set(e, ERR_NOT_FOUND, "no process %d", pid);
        if (proc < 0)
                return err_sys(e, errno, "cannot open '%s'", path);
        pidfd = sys_pidfd_open(pid);
        if (pidfd < 0) {
                if (errno == ESRCH)
                        return err_set(e, ERR_NOT_FOUND, "no process %d", pid);
                if (errno == EINVAL || errno == ENOENT)
                        return is_thread(a, proc, pid, e);
                return err_sys(e, errno, "cannot open process %d", pid);
        }
        *ret = (struct target){ a, pid, pidfd, TAKE_FD(proc) };
        /* Were the number given to someone else between the two opens, the first would be dead. */
        if (target_alive(ret))
                return 0;
        target_done(ret);
        *ret = TARGET_INIT;
        return err_set(e, ERR_NOT_FOUND, "no process %d any more", pid);
}

void target_done(struct target *t)
{
        t->pidfd = fd_close(t->pidfd);
        t->proc = fd_close(t->proc);
}

bool target_alive(const struct target *t)
{
        char buf[1024];
        ssize_t n = fd_read_text_at(t->proc, "stat", buf, sizeof buf);

        return n > 0 || n == -EFBIG;
}

static const char *into_arena(struct arena *a, int fd, size_t limit, size_t *ret_len,
                              enum num_state *ret_is)
{
        size_t cap = 4096, len = 0;
        AUTO_FREE char *data = mem_alloc(cap);

        for (;;) {
                ssize_t r = read(fd, data + len, cap - len);

                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0 || len + (size_t)r > limit) {
                        *ret_is = r < 0 ? num_state_of(errno) : NUM_BAD;
                        return NULL;
                }
                if (r == 0)
                        break;
                len += (size_t)r;
                if (len == cap)
                        data = mem_realloc(data, cap *= 2);
        }
        if (ret_len)
                *ret_len = len;
        *ret_is = NUM_KNOWN;
        return arena_strndup(a, data, len);
}

const char *target_text(const struct target *t, const char *file, size_t limit,
                        enum num_state *ret_is)
{
        AUTO_FD int fd = openat(t->proc, file, O_RDONLY | O_CLOEXEC);
        enum num_state is = fd < 0 ? num_state_of(errno) : NUM_KNOWN;
        const char *text = fd < 0 ? NULL : into_arena(t->arena, fd, limit, NULL, &is);

        if (ret_is)
                *ret_is = is;
        return text;
}

const char *file_text(struct arena *a, int dir, const char *path, size_t limit, size_t *ret_len,
                      enum num_state *ret_is)
{
        AUTO_FD int fd =
                openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        enum num_state is = NUM_KNOWN;
        const char *text = NULL;
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                is = num_state_of(errno);
        else if (!S_ISREG(st.st_mode))
                is = NUM_BAD;
        else
                text = into_arena(a, fd, limit, ret_len, &is);
        if (ret_is)
                *ret_is = is;
        return text;
}

const char *target_link(const struct target *t, const char *link, enum num_state *ret_is)
{
        char buf[PATH_MAX];
        ssize_t n = readlinkat(t->proc, link, buf, sizeof buf);

        if (ret_is)
                *ret_is = n < 0 ? num_state_of(errno) : NUM_KNOWN;
        return n < 0 ? NULL : arena_strndup(t->arena, buf, (size_t)n);
}

uint64_t ns_inode(int proc, const char *link, enum num_state *ret_is)
{
        char buf[64];
        ssize_t n = readlinkat(proc, link, buf, sizeof buf);
        struct span at = { buf, n < 0 ? 0 : (size_t)n }, name;
        uint64_t inode;

        if (ret_is)
                *ret_is = n < 0 ? num_state_of(errno) : NUM_KNOWN;
        if (n < 0 || !span_next(&at, '[', &name) || !at.s || at.n < 2 ||
            !span_to_u64((struct span){ at.s, at.n - 1 }, 10, &inode))
                return 0;
        return inode;
}

/* The child that may be lost: reads once, answers, ends. */
static void args_child(int proc, int out)
{
        char buf[ARGS_BYTES];
        int fd = openat(proc, "cmdline", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf);

        if (n > 0)
                (void)!write(out, buf, (size_t)n);
        _exit(0);
}

/* How many bytes came, or -ETIMEDOUT. */
static ssize_t args_collect(int in, char *buf, size_t cap)
{
        struct pollfd p = { .fd = in, .events = POLLIN };
        size_t len = 0;

        while (len < cap) {
                ssize_t r;

                if (poll(&p, 1, ARGS_TIMEOUT_MS) <= 0)
                        return -ETIMEDOUT;
                r = read(in, buf + len, cap - len);
                if (r <= 0)
                        break;
                len += (size_t)r;
        }
        return (ssize_t)len;
}

const char **target_args(struct arena *a, int proc, size_t *ret_n, bool *ret_cut)
{
        char buf[ARGS_BYTES];
        const char **args = NULL;
        int pipes[2];
        ssize_t len;
        pid_t child;

        *ret_n = 0;
        if (pipe2(pipes, O_CLOEXEC) < 0)
                return NULL;
        child = fork();
        if (child == 0)
                args_child(proc, pipes[1]);
        close(pipes[1]);
        len = child < 0 ? -EAGAIN : args_collect(pipes[0], buf, sizeof buf);
        close(pipes[0]);
        /* In the rare case that it hangs in the kernel, it can't be waited for: init will. */
        if (child > 0) {
                kill(child, SIGKILL);
                for (int i = 0; i < 100 && waitpid(child, NULL, WNOHANG) == 0; i++)
                        usleep(100);
        }
        if (len < 0)
                return NULL;
        if (len == sizeof buf)
                *ret_cut = true;
        *ret_n = procfs_args(a, buf, (size_t)len, &args, ret_cut);
        return args;
}
