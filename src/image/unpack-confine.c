/* Three degrees. With descriptors only: user nobody, no capability, no path, no way to get another
 * descriptor. With a tree: the capabilities that ownership takes, and Landlock around the tree.
 *
 * Of those capabilities CAP_SYS_ADMIN is the odd one: attributes trusted.*, overlayfs's own among
 * them, can't be set or read without it. The system calls that it would open are not on the
 * list. */
#include "image/unpack-confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "base/macro.h"
#include "kernel/confine.h"

/* What the runtime of a sanitized build does beside: stacks for its signal handlers, names of
 * threads' memory, and waiting for a lock. Its check for leaks stops threads by ptrace, which stays
 * forbidden. */
#if defined(__SANITIZE_ADDRESS__)
#define CALLS_SANITIZER CONFINE_CALL(sigaltstack), CONFINE_CALL(prctl), CONFINE_CALL(sched_yield),
#else
#define CALLS_SANITIZER
#endif
#define CALLS_STREAM                                                                               \
        CONFINE_CALL(read), CONFINE_CALL(write), CONFINE_CALL(pread64), CONFINE_CALL(pwrite64),    \
                CONFINE_CALL(lseek), CONFINE_CALL(close), CONFINE_CALL(fstat),                     \
                CONFINE_CALL(newfstatat), CONFINE_CALL(sync_file_range), CONFINE_CALL(ftruncate),  \
                CONFINE_CALL(mmap), CONFINE_CALL(munmap), CONFINE_CALL(mremap),                    \
                CONFINE_CALL(mprotect), CONFINE_CALL(madvise), CONFINE_CALL(brk),                  \
                CONFINE_CALL(futex), CONFINE_CALL(set_robust_list), CONFINE_CALL(rseq),            \
                CONFINE_CALL(rt_sigprocmask), CONFINE_CALL(rt_sigreturn),                          \
                CONFINE_CALL(rt_sigaction), CONFINE_CALL(sysinfo), CONFINE_CALL(gettid),           \
                CONFINE_CALL(getpid), CONFINE_CALL(tgkill), CONFINE_CALL(sched_getaffinity),       \
                CONFINE_CALL(exit), CONFINE_CALL(exit_group),                                      \
                CALLS_SANITIZER /* threads, and nothing else: */                                   \
                CONFINE_REFUSE(clone3, ENOSYS),                                                    \
        {                                                                                          \
                .nr = SYS_clone, .argument = 1, .mask = CLONE_THREAD, .value = CLONE_THREAD        \
        }
#define CALLS_READ                                                                                 \
        CONFINE_CALL(openat), CONFINE_CALL(openat2), CONFINE_CALL(readlinkat),                     \
                CONFINE_CALL(getdents64), CONFINE_CALL(fgetxattr), CONFINE_CALL(flistxattr),       \
                CONFINE_CALL(lgetxattr), CONFINE_CALL(llistxattr), CONFINE_CALL(fchdir),           \
                CONFINE_CALL(fcntl), CONFINE_CALL(faccessat), CONFINE_CALL(faccessat2)

static const struct confine_call stream[] = { CALLS_STREAM };
static const struct confine_call tree_read[] = { CALLS_STREAM, CALLS_READ };
static const struct confine_call tree[] = {
        CALLS_STREAM,
        CALLS_READ,
        CONFINE_CALL(mkdirat),
        CONFINE_CALL(mknodat),
        CONFINE_CALL(symlinkat),
        CONFINE_CALL(linkat),
        CONFINE_CALL(unlinkat),
#ifdef SYS_renameat /* newer architectures have the other one alone */
        CONFINE_CALL(renameat),
#endif
        CONFINE_CALL(renameat2),
        CONFINE_CALL(fchown),
        CONFINE_CALL(fchownat),
        CONFINE_CALL(fchmod),
        CONFINE_CALL(fchmodat),
        CONFINE_CALL(utimensat),
        CONFINE_CALL(fsetxattr),
        CONFINE_CALL(lsetxattr),
        CONFINE_CALL(fremovexattr),
        CONFINE_CALL(copy_file_range),
};

#define CAP(c) (1ull << CAP_##c)
static const struct {
        const struct confine_call *calls;
        size_t n;
        uint64_t caps;
} degrees[] = {
        [CONFINE_STREAM] = { stream, ARRAY_SIZE(stream), 0 },
        [CONFINE_TREE] = { tree, ARRAY_SIZE(tree),
                           CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(DAC_READ_SEARCH) | CAP(FOWNER) |
                                   CAP(FSETID) | CAP(MKNOD) | CAP(SETFCAP) | CAP(SYS_ADMIN) },
        [CONFINE_TREE_READ] = { tree_read, ARRAY_SIZE(tree_read),
                                CAP(DAC_READ_SEARCH) | CAP(SYS_ADMIN) },
};

static int restrict_paths(enum confinement c, int dir, int other)
{
        struct confine_path paths[2];
        size_t n = 0;

        if (dir >= 0)
                paths[n++] = (struct confine_path){
                        .dir = dir,
                        .rights = c == CONFINE_TREE ? CONFINE_READ | CONFINE_WRITE | CONFINE_DEVICES
                                                    : CONFINE_READ,
                };
        if (other >= 0)
                paths[n++] = (struct confine_path){ .dir = other, .rights = CONFINE_READ };
        return confine_landlock(paths, n, false);
}

int unpack_confine(enum confinement c, int dir, int other, struct err *e)
{
        int r = c == CONFINE_STREAM ? confine_drop_user() : confine_drop_caps(degrees[c].caps);

        if (r < 0)
                return err_sys(e, r, "cannot drop privileges");
        r = restrict_paths(c, dir, other);
        /* A kernel without Landlock: the list of system calls is what is left, and for a tree that
         * every path is resolved below its directory. */
        if (r < 0 && r != -ENOSYS && r != -EOPNOTSUPP)
                return err_sys(e, r, "cannot restrict access to files");
        r = confine_syscalls(degrees[c].calls, degrees[c].n, getenv("BERTH_CONFINE_TELL"));
        return r < 0 ? err_sys(e, r, "cannot restrict system calls") : 0;
}
