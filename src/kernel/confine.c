#include "kernel/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "kernel/caps.h"
#include "kernel/seccomp.h"
#include "kernel/syscall-names.h"

/* ---- user and capabilities ---- */

int confine_drop_caps(uint64_t keep)
{
        struct caps_sets want = { .v = { [CAPS_EFFECTIVE] = keep, [CAPS_PERMITTED] = keep } };
        int r;

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        r = caps_drop_bounding(keep, caps_known());
        if (r < 0 && r != -EPERM) /* without CAP_SETPCAP: no_new_privs keeps it from mattering */
                return r;
        r = caps_apply(&want, NULL);
        if (r < 0)
                return r;
        return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

int confine_drop_user(void)
{
        int r;

        if (geteuid() != 0)
                return confine_drop_caps(0);
        r = caps_drop_bounding(0, caps_known()); /* setresuid() below takes CAP_SETPCAP away */
        if (r < 0 && r != -EPERM)
                return r;
        /* A user namespace of one user denies setgroups(2), and its groups are its own. */
        if (setgroups(0, NULL) < 0 && errno != EPERM)
                return -errno;
        if (setresgid(CONFINE_NOBODY, CONFINE_NOBODY, CONFINE_NOBODY) < 0 && errno != EINVAL)
                return -errno;
        if (setresuid(CONFINE_NOBODY, CONFINE_NOBODY, CONFINE_NOBODY) < 0 && errno != EINVAL)
                return -errno;
        return confine_drop_caps(0);
}

/* ---- Landlock ---- */

/* What Debian 12's headers lack: ABI 3 (6.2) to 6 (6.12). */
#define ACCESS_FS_TRUNCATE (1ull << 14)
#define ACCESS_FS_IOCTL_DEV (1ull << 15)
#define ACCESS_NET_BIND_TCP (1ull << 0)
#define ACCESS_NET_CONNECT_TCP (1ull << 1)
#define SCOPE_ALL 3ull /* abstract UNIX sockets, signals */

struct ruleset_attr {
        uint64_t fs, net, scoped;
};

#define READING (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define MAKING                                                                                     \
        (LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |                          \
         LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                               \
         LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |                             \
         LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER)
#define MAKING_DEVICES (LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK)
#define WRITING (LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_FS_TRUNCATE)
/* Rights that a rule for a file, no directory, may name. */
#define OF_FILES                                                                                   \
        (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | WRITING | ACCESS_FS_IOCTL_DEV)

/* Everything that Landlock of this kernel can restrict. */
static void ruleset_fill(int abi, bool connect, struct ruleset_attr *ret)
{
        *ret = (struct ruleset_attr){
                .fs = LANDLOCK_ACCESS_FS_EXECUTE | READING | MAKING | MAKING_DEVICES | WRITING |
                      ACCESS_FS_IOCTL_DEV,
        };
        if (abi < 2)
                ret->fs &= ~(uint64_t)LANDLOCK_ACCESS_FS_REFER;
        if (abi < 3)
                ret->fs &= ~ACCESS_FS_TRUNCATE;
        if (abi < 5)
                ret->fs &= ~ACCESS_FS_IOCTL_DEV;
        if (abi >= 4)
                ret->net = ACCESS_NET_BIND_TCP | (connect ? 0 : ACCESS_NET_CONNECT_TCP);
        if (abi >= 6)
                ret->scoped = SCOPE_ALL;
}

static size_t ruleset_size(int abi)
{
        if (abi < 4)
                return offsetof(struct ruleset_attr, net);
        return abi < 6 ? offsetof(struct ruleset_attr, scoped) : sizeof(struct ruleset_attr);
}

static int path_allow(int ruleset, const struct ruleset_attr *attr, const struct confine_path *p)
{
        struct landlock_path_beneath_attr rule = {};
        AUTO_FD int fd = p->path ? openat(p->dir, p->path, O_PATH | O_CLOEXEC)
                                 : fcntl(p->dir, F_DUPFD_CLOEXEC, 0);
        struct stat st;

        if (fd < 0)
                return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        rule.parent_fd = fd;
        rule.allowed_access = (p->rights & CONFINE_READ ? READING : 0) |
                              (p->rights & CONFINE_WRITE ? WRITING | MAKING : 0) |
                              (p->rights & CONFINE_DEVICES ? MAKING_DEVICES : 0);
        rule.allowed_access &= attr->fs & (S_ISDIR(st.st_mode) ? UINT64_MAX : OF_FILES);
        if (rule.allowed_access == 0)
                return 0;
        return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
                       ? -errno
                       : 0;
}

int confine_landlock(const struct confine_path *paths, size_t n, bool connect)
{
        int abi =
                (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
        struct ruleset_attr attr;
        AUTO_FD int ruleset = -1;

        if (abi < 0)
                return -errno;
        ruleset_fill(abi, connect, &attr);
        ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, ruleset_size(abi), 0);
        if (ruleset < 0)
                return -errno;
        for (size_t i = 0; i < n; i++) {
                int r = path_allow(ruleset, &attr, &paths[i]);

                if (r < 0)
                        return r;
        }
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;
}

/* ---- system calls ---- */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#else
#error "which AUDIT_ARCH_ is this?"
#endif
#define X32_BIT 0x40000000
#define FILTER_MAX 1024

#define NR_AT offsetof(struct seccomp_data, nr)
#define ARCH_AT offsetof(struct seccomp_data, arch)
/* The lower half of an argument; all architectures above are little-endian. */
#define ARGUMENT_AT(n) (offsetof(struct seccomp_data, args) + 8 * ((unsigned)(n)-1))

struct filter {
        struct sock_filter code[FILTER_MAX];
        unsigned n;
};

static void put(struct filter *f, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
        if (f->n < FILTER_MAX)
                f->code[f->n] = (struct sock_filter){ .code = code, .jt = jt, .jf = jf, .k = k };
        f->n++;
}

static void put_row(struct filter *f, const struct confine_call *c)
{
        uint32_t action = c->error ? SECCOMP_RET_ERRNO | (uint32_t)c->error : SECCOMP_RET_ALLOW;

        if (c->argument == 0) {
                put(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)c->nr, 0, 1);
                put(f, BPF_RET | BPF_K, action, 0, 0);
                return;
        }
        put(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)c->nr, 0, 5);
        put(f, BPF_LD | BPF_W | BPF_ABS, ARGUMENT_AT(c->argument), 0, 0);
        put(f, BPF_ALU | BPF_AND | BPF_K, c->mask, 0, 0);
        put(f, BPF_JMP | BPF_JEQ | BPF_K, c->value, 0, 1);
        put(f, BPF_RET | BPF_K, action, 0, 0);
        put(f, BPF_LD | BPF_W | BPF_ABS, NR_AT, 0, 0);
}

/* Runs in whatever thread made the call; only what is safe in a signal handler. */
static void say_and_die(int sig, siginfo_t *info, void *context)
{
        const char *name = syscall_name(info->si_syscall);
        char text[160];
        int n = snprintf(text, sizeof text, "system call %d (%s) is not allowed here: killed\n",
                         info->si_syscall, name ? name : "unknown");

        _exit(n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0 ? 127 : 128 + sig);
}

int confine_syscalls(const struct confine_call *calls, size_t n, bool tell)
{
        uint32_t otherwise = tell ? SECCOMP_RET_TRAP : SECCOMP_RET_KILL_PROCESS;
        struct sigaction sa = { .sa_sigaction = say_and_die, .sa_flags = SA_SIGINFO };
        struct filter f = {};

        if (tell && sigaction(SIGSYS, &sa, NULL) < 0)
                return -errno;
        put(&f, BPF_LD | BPF_W | BPF_ABS, ARCH_AT, 0, 0);
        put(&f, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
        put(&f, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
        put(&f, BPF_LD | BPF_W | BPF_ABS, NR_AT, 0, 0);
#if defined(__x86_64__)
        put(&f, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
        put(&f, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
#endif
        for (size_t i = 0; i < n; i++)
                put_row(&f, &calls[i]);
        put(&f, BPF_RET | BPF_K, otherwise, 0, 0);
        if (f.n > FILTER_MAX)
                return -E2BIG;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        return seccomp_install(f.code, f.n, 0, NULL);
}
