#include "engine/seccomp-default.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/socket.h>

#include "base/str.h"

#define ALWAYS (-1)
/* Every CLONE_NEW* flag but CLONE_NEWTIME, which clone() can't be given. */
#define CLONE_NEW_ANY 0x7e020000u

const struct seccomp_group seccomp_groups[] = {
        { ALWAYS, "reading, writing and waiting, on descriptors the process has",
          "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek _llseek "
          "close close_range dup dup2 dup3 fcntl fcntl64 ioctl pipe pipe2 sendfile sendfile64 "
          "splice tee copy_file_range readahead fadvise64 fadvise64_64 arm_fadvise64_64 "
          "sync_file_range sync_file_range2 arm_sync_file_range fsync fdatasync sync syncfs "
          "poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 epoll_create "
          "epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait "
          "epoll_pwait2 eventfd eventfd2 signalfd signalfd4 timerfd timerfd_create "
          "timerfd_settime timerfd_settime64 timerfd_gettime timerfd_gettime64" },
        { ALWAYS, "files and directories; permissions are checked where the file is",
          "open openat openat2 creat access faccessat faccessat2 stat stat64 lstat lstat64 fstat "
          "fstat64 fstatat64 newfstatat statx statfs statfs64 fstatfs fstatfs64 getdents "
          "getdents64 readdir readlink readlinkat mkdir mkdirat rmdir link linkat symlink "
          "symlinkat unlink unlinkat rename renameat renameat2 mknod mknodat chmod fchmod "
          "fchmodat fchmodat2 chown chown32 fchown fchown32 lchown lchown32 fchownat truncate "
          "truncate64 ftruncate ftruncate64 fallocate utime utimes futimesat utimensat "
          "utimensat_time64 umask chdir fchdir getcwd flock cachestat" },
        { ALWAYS, "extended attributes; trusted.* needs CAP_SYS_ADMIN in the kernel itself",
          "getxattr lgetxattr fgetxattr setxattr lsetxattr fsetxattr listxattr llistxattr "
          "flistxattr removexattr lremovexattr fremovexattr" },
        { ALWAYS, "being told of changes to files",
          "inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark" },
        { ALWAYS, "asynchronous I/O, without io_uring, whose ring no filter sees",
          "io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents "
          "io_pgetevents_time64" },
        { ALWAYS, "memory of one's own",
          "brk mmap mmap2 munmap mremap mprotect madvise msync mincore mlock mlock2 mlockall "
          "munlock munlockall membarrier memfd_create memfd_secret remap_file_pages pkey_alloc "
          "pkey_free pkey_mprotect map_shadow_stack mseal" },
        { ALWAYS, "where memory is placed; what cpuset allows is all there is to choose from",
          "get_mempolicy set_mempolicy mbind set_mempolicy_home_node" },
        { ALWAYS, "making processes and ending them; clone and clone3 have rules of their own",
          "fork vfork execve execveat exit exit_group wait4 waitid waitpid" },
        { ALWAYS, "who one is, and becoming another: what may be set, capabilities decide",
          "getpid getppid gettid getpgid getpgrp getsid setpgid setsid getuid getuid32 geteuid "
          "geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32 getresgid "
          "getresgid32 getgroups getgroups32 setuid setuid32 setgid setgid32 setreuid setreuid32 "
          "setregid setregid32 setresuid setresuid32 setresgid setresgid32 setfsuid setfsuid32 "
          "setfsgid setfsgid32 setgroups setgroups32 capget capset" },
        { ALWAYS, "threads",
          "futex futex_time64 futex_waitv futex_wait futex_wake futex_requeue set_robust_list "
          "get_robust_list set_tid_address rseq set_thread_area get_thread_area set_tls "
          "arch_prctl modify_ldt cacheflush breakpoint restart_syscall" },
        { ALWAYS, "signals, to processes that one could signal anyway",
          "kill tkill tgkill rt_sigaction rt_sigprocmask rt_sigpending rt_sigqueueinfo "
          "rt_tgsigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 "
          "sigaction sigprocmask sigpending sigreturn sigsuspend sigaltstack signal pause "
          "pidfd_open pidfd_send_signal" },
        { ALWAYS, "clocks and timers, to read and to wait; adjtimex writes with CAP_SYS_TIME only",
          "time times gettimeofday clock_gettime clock_gettime64 clock_getres "
          "clock_getres_time64 clock_nanosleep clock_nanosleep_time64 nanosleep alarm getitimer "
          "setitimer timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 "
          "timer_settime timer_settime64 adjtimex clock_adjtime clock_adjtime64" },
        { ALWAYS, "scheduling; raising needs CAP_SYS_NICE in the kernel itself",
          "sched_yield sched_getparam sched_setparam sched_getscheduler sched_setscheduler "
          "sched_getattr sched_setattr sched_getaffinity sched_setaffinity "
          "sched_get_priority_max sched_get_priority_min sched_rr_get_interval "
          "sched_rr_get_interval_time64 getpriority setpriority ioprio_get ioprio_set getcpu "
          "nice" },
        { ALWAYS, "limits and facts",
          "getrlimit ugetrlimit setrlimit prlimit64 getrusage sysinfo uname getrandom prctl" },
        { ALWAYS, "sockets; socket itself has rules of its own",
          "socketpair bind connect listen accept accept4 getsockname getpeername getsockopt "
          "setsockopt send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg "
          "recvmmsg_time64 shutdown socketcall" },
        { ALWAYS, "System V and POSIX IPC, of the container's own namespace",
          "ipc shmget shmat shmdt shmctl semget semop semctl semtimedop semtimedop_time64 msgget "
          "msgsnd msgrcv msgctl mq_open mq_unlink mq_timedsend mq_timedsend_time64 "
          "mq_timedreceive mq_timedreceive_time64 mq_notify mq_getsetattr" },
        { ALWAYS,
          "looking into one's own processes: since Linux 4.8 a tracer can't get round a "
          "filter",
          "ptrace process_vm_readv process_vm_writev process_mrelease" },
        { ALWAYS, "giving up rights",
          "seccomp landlock_create_ruleset landlock_add_rule "
          "landlock_restrict_self" },
        { ALWAYS, "which file a path is; opening by such a handle needs a capability",
          "name_to_handle_at" },
        { ALWAYS, "what old C libraries wrap others in", "syscall" },

        { CAP_DAC_READ_SEARCH, "files by handle, wherever they are: how containers were escaped",
          "open_by_handle_at" },
        { CAP_SYS_ADMIN, "mounts and namespaces",
          "mount umount umount2 pivot_root mount_setattr move_mount open_tree fsopen fsconfig "
          "fsmount fspick setns unshare statmount listmount" },
        { CAP_SYS_ADMIN, "administration",
          "sethostname setdomainname quotactl quotactl_fd lookup_dcookie fanotify_init" },
        { CAP_SYS_ADMIN, "programs in the kernel, and its counters", "bpf perf_event_open" },
        { CAP_BPF, "programs in the kernel", "bpf" },
        { CAP_PERFMON, "the kernel's counters", "perf_event_open" },
        { CAP_SYS_CHROOT, "another root", "chroot" },
        { CAP_SYS_MODULE, "kernel modules", "init_module finit_module delete_module" },
        { CAP_SYS_PACCT, "process accounting of the whole machine", "acct" },
        { CAP_SYS_PTRACE, "others' memory and descriptors", "kcmp process_madvise pidfd_getfd" },
        { CAP_SYS_RAWIO, "ports", "ioperm iopl" },
        { CAP_SYS_TIME, "setting the machine's clock",
          "settimeofday stime clock_settime clock_settime64" },
        { CAP_SYS_TTY_CONFIG, "hanging up terminals", "vhangup" },
        { CAP_SYS_NICE, "moving others' memory", "migrate_pages move_pages" },
        { CAP_SYS_BOOT, "of a container: ending its own init", "reboot" },
        { CAP_SYSLOG, "the kernel's log", "syslog" },
        {}
};

static bool has_cap(uint64_t caps, int cap)
{
        return cap < 0 || caps >> cap & 1;
}

static void open_rule(struct json_writer *w, const char *names, const char *action)
{
        const char *name;
        size_t len;
        AUTO_ARENA a = { 0 };

        json_open(w, NULL, '{');
        json_open(w, "names", '[');
        while (str_next(&names, ' ', &name, &len))
                json_put_str(w, NULL, arena_strndup(&a, name, len));
        json_close(w, ']');
        json_put_str(w, "action", action);
}

static void put_arg(struct json_writer *w, unsigned index, const char *op, uint64_t value,
                    uint64_t two)
{
        json_open(w, NULL, '{');
        json_put_u64(w, "index", index);
        json_put_u64(w, "value", value);
        json_put_u64(w, "valueTwo", two);
        json_put_str(w, "op", op);
        json_close(w, '}');
}

static void put_refusal(struct json_writer *w, const char *name, unsigned number)
{
        open_rule(w, name, "SCMP_ACT_ERRNO");
        json_put_u64(w, "errnoRet", number);
        json_close(w, '}');
}

/* New namespaces, of users above all, are the door to most kernel bugs. clone() is refused by its
 * flags; clone3() keeps its flags in memory, where a filter can't look, so it is missing and the C
 * library uses clone(). */
static void put_clone(uint64_t caps, struct json_writer *w)
{
        if (has_cap(caps, CAP_SYS_ADMIN)) {
                open_rule(w, "clone clone3", "SCMP_ACT_ALLOW");
                json_close(w, '}');
                return;
        }
        open_rule(w, "clone", "SCMP_ACT_ALLOW");
        json_open(w, "args", '[');
        put_arg(w, 0, "SCMP_CMP_MASKED_EQ", CLONE_NEW_ANY, 0);
        json_close(w, ']');
        json_close(w, '}');
        put_refusal(w, "clone3", ENOSYS);
}

/* Linux as it is, 32-bit machines, and asking; flags like READ_IMPLIES_EXEC weaken what runs. */
static void put_personality(struct json_writer *w)
{
        static const unsigned allowed[] = { PER_LINUX, PER_LINUX32, UNAME26, PER_LINUX32 | UNAME26,
                                            0xffffffff };

        for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
                open_rule(w, "personality", "SCMP_ACT_ALLOW");
                json_open(w, "args", '[');
                put_arg(w, 0, "SCMP_CMP_EQ", allowed[i], 0);
                json_close(w, ']');
                json_close(w, '}');
        }
}

/* vsock knows no network namespace and leads to the hypervisor. The audit socket is answered as on
 * a kernel without audit, which login programs take for a no. */
static void put_socket(uint64_t caps, struct json_writer *w)
{
        if (!has_cap(caps, CAP_AUDIT_WRITE)) {
                open_rule(w, "socket", "SCMP_ACT_ERRNO");
                json_put_u64(w, "errnoRet", EINVAL);
                json_open(w, "args", '[');
                put_arg(w, 0, "SCMP_CMP_EQ", AF_NETLINK, 0);
                put_arg(w, 2, "SCMP_CMP_EQ", NETLINK_AUDIT, 0);
                json_close(w, ']');
                json_close(w, '}');
        }
        open_rule(w, "socket", "SCMP_ACT_ALLOW");
        json_open(w, "args", '[');
        put_arg(w, 0, "SCMP_CMP_NE", AF_VSOCK, 0);
        json_close(w, ']');
        json_close(w, '}');
}

void seccomp_default_write(uint64_t caps, struct json_writer *w)
{
        json_open(w, "seccomp", '{');
        json_put_str(w, "defaultAction", "SCMP_ACT_ERRNO");
        json_put_u64(w, "defaultErrnoRet", EPERM);
        /* The runtime takes those that this machine can execute. */
        json_open(w, "architectures", '[');
        json_put_str(w, NULL, "SCMP_ARCH_X86_64");
        json_put_str(w, NULL, "SCMP_ARCH_X86");
        json_put_str(w, NULL, "SCMP_ARCH_AARCH64");
        json_put_str(w, NULL, "SCMP_ARCH_ARM");
        json_close(w, ']');
        json_open(w, "syscalls", '[');
        for (const struct seccomp_group *g = seccomp_groups; g->names; g++) {
                if (!has_cap(caps, g->cap))
                        continue;
                open_rule(w, g->names, "SCMP_ACT_ALLOW");
                json_close(w, '}');
        }
        put_clone(caps, w);
        put_personality(w);
        put_socket(caps, w);
        json_close(w, ']');
        json_close(w, '}');
}
