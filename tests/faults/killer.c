/* killer: runs a command and, at the N-th system call of one of its processes, kills that process,
 * sends it a signal, or makes the call fail.
 *
 *   killer [-k CHILD] [-s SIGNAL] [-e ERRNO] [-o REPORT] N COMMAND...
 *
 * CHILD is 0 for the command itself, K for the K-th process that it creates. With -e, only calls
 * that change something are counted, and the N-th of them fails with ERRNO without being made.
 * The report is one line, STEP being how many calls were counted before:
 *   killed STEP CALL | failed STEP CALL | completed COUNT 0 | hung STEP CALL
 * The exit status is the command's, 128+n after a signal.
 *
 * Only the process aimed at stops at each of its system calls; the others run freely. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANG_SECONDS 20
#define FOLLOWED_MAX 16
#define SYSCALL_STOP (SIGTRAP | 0x80)
#define FOLLOW (PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE)

struct killer {
        int child; /* which process is aimed at */
        int error; /* errno to inject, 0 to kill */
        int signal;
        long at; /* at which of its calls */
        const char *report;

        pid_t main, target;
        pid_t followed[FOLLOWED_MAX]; /* created before the target: they may be its parents */
        int n_followed;
        int seen;       /* processes that the command has created so far */
        bool inside;    /* the target is between entry and exit of a call */
        bool injecting; /* the call that it is in is the one to fail */
        bool struck;
        long count, call;
};

static struct killer k = { .signal = SIGKILL };

/* System calls whose failure a runtime has to cope with: they change the system, or make something
 * that may run out. Calls that clean up are left alone, as are those that can't fail so. */
static const int changing[] = {
        SYS_mount,      SYS_mkdir,        SYS_mkdirat,       SYS_mknod,      SYS_mknodat,
        SYS_openat,     SYS_openat2,      SYS_open_tree,     SYS_move_mount, SYS_fsopen,
        SYS_fsconfig,   SYS_fsmount,      SYS_mount_setattr, SYS_clone,      SYS_clone3,
        SYS_pivot_root, SYS_chroot,       SYS_chdir,         SYS_fchdir,     SYS_setns,
        SYS_unshare,    SYS_symlink,      SYS_symlinkat,     SYS_linkat,     SYS_rename,
        SYS_renameat,   SYS_renameat2,    SYS_write,         SYS_pwrite64,   SYS_ftruncate,
        SYS_fchmod,     SYS_fchmodat,     SYS_fchown,        SYS_fchownat,   SYS_socket,
        SYS_socketpair, SYS_bind,         SYS_connect,       SYS_sendmsg,    SYS_sendto,
        SYS_pipe2,      SYS_memfd_create, SYS_execve,        SYS_prctl,      SYS_capset,
        SYS_seccomp,    SYS_setresuid,    SYS_setresgid,     SYS_setgroups,  SYS_setuid,
        SYS_setgid,     SYS_sethostname,  SYS_prlimit64,     SYS_pidfd_open, SYS_dup2,
        SYS_dup3,       SYS_fcntl,        SYS_keyctl,        SYS_setsid,     SYS_fork,
        SYS_vfork,      SYS_flock,        SYS_getdents64,    SYS_newfstatat, SYS_statx,
};

static bool is_changing(long call)
{
        for (size_t i = 0; i < sizeof changing / sizeof *changing; i++)
                if (changing[i] == call)
                        return true;
        return false;
}

static void say(const char *what, long a, long b)
{
        FILE *f = k.report ? fopen(k.report, "w") : stderr;
        if (!f)
                return;
        fprintf(f, "%s %ld %ld\n", what, a, b);
        if (k.report)
                fclose(f);
}

static void on_alarm(int sig)
{
        say("hung", k.count, k.call);
        kill(k.main, SIGKILL);
        _exit(99);
}

static long call_number(pid_t pid)
{
        struct user_regs_struct regs;
        return ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0 ? -1 : (long)regs.orig_rax;
}

/* At the entry: asks for a call that doesn't exist. */
static void call_skip(pid_t pid)
{
        struct user_regs_struct regs;
        if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) == 0) {
                regs.orig_rax = (unsigned long long)-1;
                ptrace(PTRACE_SETREGS, pid, NULL, &regs);
        }
}

/* At the exit: what the caller is told instead of ENOSYS. */
static void call_answer(pid_t pid, int error)
{
        struct user_regs_struct regs;
        if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) == 0) {
                regs.rax = (unsigned long long)-(long long)error;
                ptrace(PTRACE_SETREGS, pid, NULL, &regs);
        }
}

static void on_entry(pid_t pid)
{
        long call = call_number(pid);
        if (k.struck || (k.error && !is_changing(call)))
                return;
        if (k.count++ != k.at)
                return;
        k.struck = true;
        k.call = call;
        if (k.error) {
                call_skip(pid);
                k.injecting = true;
        } else {
                kill(pid, k.signal);
        }
}

static void on_syscall_stop(pid_t pid)
{
        k.inside = !k.inside;
        if (k.inside)
                on_entry(pid);
        else if (k.injecting) {
                call_answer(pid, k.error);
                k.injecting = false;
        }
}

static void resume(pid_t pid, int sig)
{
        bool step = pid == k.target && (!k.struck || k.injecting);
        ptrace(step ? PTRACE_SYSCALL : PTRACE_CONT, pid, NULL, (void *)(intptr_t)sig);
}

static bool is_followed(pid_t pid)
{
        for (int i = 0; i < k.n_followed; i++)
                if (k.followed[i] == pid)
                        return true;
        return pid == k.main || pid == k.target;
}

/* A process that appeared: aimed at, followed for its children, or let go. */
static void on_new(pid_t pid)
{
        if (++k.seen == k.child)
                k.target = pid;
        else if (k.seen < k.child && k.n_followed < FOLLOWED_MAX)
                k.followed[k.n_followed++] = pid;
        else {
                ptrace(PTRACE_DETACH, pid, NULL, NULL);
                return;
        }
        resume(pid, 0);
}

static void on_stop(pid_t pid, int status)
{
        int sig = WSTOPSIG(status);
        if (!is_followed(pid))
                on_new(pid);
        else if (sig == SYSCALL_STOP) {
                on_syscall_stop(pid);
                resume(pid, 0);
        } else if (status >> 16 || sig == SIGSTOP)
                resume(pid, 0);
        else
                resume(pid, sig);
}

/* Until the command has ended; its wait status. */
static int attend(void)
{
        for (;;) {
                int status;
                pid_t pid = waitpid(-1, &status, __WALL);
                if (pid < 0)
                        return 0;
                if (WIFSTOPPED(status))
                        on_stop(pid, status);
                else if (pid == k.main)
                        return status;
        }
}

static void start(char **argv)
{
        k.main = fork();
        if (k.main == 0) {
                ptrace(PTRACE_TRACEME, 0, NULL, NULL);
                raise(SIGSTOP);
                execvp(argv[0], argv);
                _exit(127);
        }
        int status;
        waitpid(k.main, &status, 0);
        k.target = k.child ? 0 : k.main;
        long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | (k.child ? FOLLOW : 0);
        ptrace(PTRACE_SETOPTIONS, k.main, NULL, (void *)options);
        /* Up to the end of execve: what comes before is not the command's. */
        ptrace(PTRACE_CONT, k.main, NULL, NULL);
        waitpid(k.main, &status, 0);
        resume(k.main, 0);
}

static int options_take(int argc, char **argv)
{
        int c;
        while ((c = getopt(argc, argv, "+k:s:e:o:")) != -1) {
                if (c == 'k')
                        k.child = (int)strtol(optarg, NULL, 10);
                else if (c == 's')
                        k.signal = (int)strtol(optarg, NULL, 10);
                else if (c == 'e')
                        k.error = (int)strtol(optarg, NULL, 10);
                else if (c == 'o')
                        k.report = optarg;
                else
                        return -1;
        }
        if (argc - optind < 2)
                return -1;
        k.at = strtol(argv[optind++], NULL, 10);
        return optind;
}

int main(int argc, char **argv)
{
        int first = options_take(argc, argv);
        if (first < 0) {
                fputs("usage: killer [-k CHILD] [-s SIGNAL] [-e ERRNO] [-o REPORT] N COMMAND...\n",
                      stderr);
                return 98;
        }
        signal(SIGALRM, on_alarm);
        start(argv + first);
        alarm(HANG_SECONDS);
        int status = attend();
        if (!k.struck)
                say("completed", k.count, 0);
        else
                say(k.error ? "failed" : "killed", k.count - 1, k.call);
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
