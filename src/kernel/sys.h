/* Raw system calls and constants that glibc 2.36 or musl 1.2.3 lack a wrapper for. Each returns
 * what the kernel does through syscall(2): -1 with errno, or a value. */
#pragma once

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif
#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1u << 2)
#endif

/* glibc's <sys/mount.h> and <linux/mount.h> clash before 2.37: this is all that is used of the
 * first. */
int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);
#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif
#ifndef UMOUNT_NOFOLLOW
#define UMOUNT_NOFOLLOW 8
#endif

static inline int sys_openat2(int dir, const char *path, const struct open_how *how)
{
        return (int)syscall(SYS_openat2, dir, path, how, sizeof *how);
}
static inline int sys_renameat2(int from, const char *fpath, int to, const char *tpath,
                                unsigned flags)
{
        return (int)syscall(SYS_renameat2, from, fpath, to, tpath, flags);
}
static inline int sys_open_tree(int dir, const char *path, unsigned flags)
{
        return (int)syscall(SYS_open_tree, dir, path, flags);
}
static inline int sys_move_mount(int from, const char *fpath, int to, const char *tpath,
                                 unsigned fl)
{
        return (int)syscall(SYS_move_mount, from, fpath, to, tpath, fl);
}
static inline int sys_fsopen(const char *type, unsigned flags)
{
        return (int)syscall(SYS_fsopen, type, flags);
}
static inline int sys_fsconfig(int fs, unsigned cmd, const char *key, const void *value, int aux)
{
        return (int)syscall(SYS_fsconfig, fs, cmd, key, value, aux);
}
static inline int sys_fspick(int dir, const char *path, unsigned flags)
{
        return (int)syscall(SYS_fspick, dir, path, flags);
}
static inline int sys_fsmount(int fs, unsigned flags, unsigned attr)
{
        return (int)syscall(SYS_fsmount, fs, flags, attr);
}
static inline int sys_mount_setattr(int dir, const char *path, unsigned flags, struct mount_attr *a)
{
        return (int)syscall(SYS_mount_setattr, dir, path, flags, a, sizeof *a);
}
static inline pid_t sys_clone3(struct clone_args *a)
{
        return (pid_t)syscall(SYS_clone3, a, sizeof *a);
}
/* With CLONE_VM and CLONE_VFORK, and no stack: the child goes on in the caller's frame, as after a
 * vfork(): all it may do there is to call a function that doesn't return. A wrapper's return
 * address on the stack would be overwritten, hence the instruction itself. A pid or -errno. */
#if defined(__x86_64__)
#define SYS_HAVE_CLONE3_VFORK 1
static inline __attribute__((always_inline)) long sys_clone3_vfork(struct clone_args *a)
{
        long r;

        __asm__ volatile("syscall"
                         : "=a"(r)
                         : "0"(SYS_clone3), "D"(a), "S"(sizeof *a)
                         : "rcx", "r11", "memory");
        return r;
}
#elif defined(__aarch64__)
#define SYS_HAVE_CLONE3_VFORK 1
static inline __attribute__((always_inline)) long sys_clone3_vfork(struct clone_args *a)
{
        register long nr __asm__("x8") = SYS_clone3, size __asm__("x1") = sizeof *a;
        register long r __asm__("x0") = (long)a;

        __asm__ volatile("svc #0" : "+r"(r) : "r"(nr), "r"(size) : "memory");
        return r;
}
#else
#define SYS_HAVE_CLONE3_VFORK 0
#endif
static inline int sys_pidfd_open(pid_t pid)
{
        return (int)syscall(SYS_pidfd_open, pid, 0);
}
static inline int sys_pidfd_getfd(int pidfd, int fd)
{
        return (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
}
static inline int sys_pidfd_send_signal(int pidfd, int sig)
{
        return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, (siginfo_t *)NULL, 0);
}
static inline int sys_close_range(unsigned first, unsigned last, unsigned flags)
{
        return (int)syscall(SYS_close_range, first, last, flags);
}
static inline int sys_pivot_root(const char *new_root, const char *put_old)
{
        return (int)syscall(SYS_pivot_root, new_root, put_old);
}
