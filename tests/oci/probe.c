/* probe: what a process inside a container finds out about itself, printed for the tests to read.
 *
 * Each subcommand prints lines of "key value". Static, since the test root file system has no C
 * library. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int do_fds(int argc, char **argv)
{
        DIR *d = opendir("/proc/self/fd");
        if (!d)
                return 1;
        struct dirent *entry;
        while ((entry = readdir(d))) {
                char path[64], target[512];
                int fd = (int)strtol(entry->d_name, NULL, 10);
                if (entry->d_name[0] == '.' || fd == dirfd(d))
                        continue;
                snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
                ssize_t n = readlink(path, target, sizeof target - 1);
                target[n < 0 ? 0 : n] = 0;
                printf("%d %s\n", fd, target);
        }
        closedir(d);
        return 0;
}

/* The layout of sched_getattr(2), which glibc 2.36 lacks. */
struct attr {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
};

static int do_sched(int argc, char **argv)
{
        struct attr a = { 0 };
        if (syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) < 0)
                return 1;
        printf("policy %u\nflags %llu\nnice %d\npriority %u\n", a.policy,
               (unsigned long long)a.flags, a.nice, a.priority);
        printf("runtime %llu\ndeadline %llu\nperiod %llu\n", (unsigned long long)a.runtime,
               (unsigned long long)a.deadline, (unsigned long long)a.period);
        return 0;
}

static int do_ioprio(int argc, char **argv)
{
        long v = syscall(SYS_ioprio_get, 1, 0);
        printf("class %ld\npriority %ld\n", v >> 13, v & 0x1fff);
        return v < 0;
}

static int do_mempolicy(int argc, char **argv)
{
        unsigned long nodes[16] = { 0 };
        int mode = -1;
        if (syscall(SYS_get_mempolicy, &mode, nodes, sizeof nodes * 8, NULL, 0) < 0) {
                perror("get_mempolicy");
                return 1;
        }
        printf("mode %d\nflags %d\nnodes %lx\n", mode & 0xfff, mode & ~0xfff, nodes[0]);
        return 0;
}

static int do_affinity(int argc, char **argv)
{
        cpu_set_t set;
        if (sched_getaffinity(0, sizeof set, &set) < 0)
                return 1;
        for (int i = 0; i < CPU_SETSIZE; i++)
                if (CPU_ISSET(i, &set))
                        printf("%d\n", i);
        return 0;
}

static int do_clock(int argc, char **argv)
{
        struct timespec mono, boot;
        clock_gettime(CLOCK_MONOTONIC, &mono);
        clock_gettime(CLOCK_BOOTTIME, &boot);
        printf("monotonic %lld\nboottime %lld\n", (long long)mono.tv_sec, (long long)boot.tv_sec);
        return 0;
}

static int do_personality(int argc, char **argv)
{
        printf("%x\n", personality(0xffffffff));
        return 0;
}

static long number(const char *s)
{
        return (long)strtoull(s, NULL, 0);
}

/* Makes one system call in a child: "ok VALUE", "errno N" or "signal N". */
static int do_syscall(int argc, char **argv)
{
        long a[7] = { 0 };
        for (int i = 0; i < 7 && i + 2 < argc; i++)
                a[i] = number(argv[i + 2]);
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
                long v = syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
                if (v < 0)
                        printf("errno %d\n", errno);
                else
                        printf("ok %ld\n", v);
                fflush(stdout);
                _exit(0);
        }
        int status;
        waitpid(pid, &status, 0);
        if (WIFSIGNALED(status))
                printf("signal %d\n", WTERMSIG(status));
        return 0;
}

/* Sends a message to $NOTIFY_SOCKET, as a service does that says it is ready. */
static int do_notify(int argc, char **argv)
{
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        if (!path || argc < 3 || strlen(path) >= sizeof sa.sun_path)
                return 1;
        memcpy(sa.sun_path, path, strlen(path) + 1);
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (sendto(fd, argv[2], strlen(argv[2]), 0, (struct sockaddr *)&sa, sizeof sa) < 0) {
                perror(path);
                return 1;
        }
        return 0;
}

/* Opens a path: "ok" or "errno N". Modes: r, w, x (write without O_CREAT, truncating). */
static int do_open(int argc, char **argv)
{
        if (argc < 4)
                return 1;
        int flags = argv[3][0] == 'r' ? O_RDONLY : argv[3][0] == 'w' ? O_WRONLY : O_RDWR;
        int fd = open(argv[2], flags | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                printf("errno %d\n", errno);
        else
                printf("ok\n");
        return 0;
}

/* Whether the terminal is the controlling one, and who leads the session. */
static int do_tty(int argc, char **argv)
{
        int fd = open("/dev/tty", O_RDWR);
        struct winsize ws = { 0 };
        ioctl(0, TIOCGWINSZ, &ws);
        printf("isatty %d%d%d\ncontrolling %d\nleader %d\n", isatty(0), isatty(1), isatty(2),
               fd >= 0, getsid(0) == getpid());
        printf("rows %d\ncolumns %d\nname %s\n", ws.ws_row, ws.ws_col,
               ttyname(0) ? ttyname(0) : "none");
        return 0;
}

static int do_securebits(int argc, char **argv)
{
        printf("securebits %d\nkeepcaps %d\ndumpable %d\n", prctl(PR_GET_SECUREBITS),
               prctl(PR_GET_KEEPCAPS), prctl(PR_GET_DUMPABLE));
        return 0;
}

/* Exits on SIGTERM with 7, so that a test sees that the signal arrived and was handled. */
static void on_term(int sig)
{
        static const char text[] = "got TERM\n";
        if (write(1, text, sizeof text - 1) < 0)
                _exit(8);
        _exit(7);
}

static int do_term(int argc, char **argv)
{
        signal(SIGTERM, on_term);
        puts("waiting");
        fflush(stdout);
        while (pause())
                continue;
        return 0;
}

/* Allocates and touches N bytes. */
static int do_eat(int argc, char **argv)
{
        size_t n = argc > 2 ? (size_t)number(argv[2]) : 0;
        char *p = malloc(n);
        for (size_t i = 0; p && i < n; i += 4096)
                p[i] = 1;
        printf("ate %zu\n", n);
        return p == NULL;
}

static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
} commands[] = {
        { "fds", do_fds },
        { "sched", do_sched },
        { "ioprio", do_ioprio },
        { "mempolicy", do_mempolicy },
        { "affinity", do_affinity },
        { "clock", do_clock },
        { "personality", do_personality },
        { "syscall", do_syscall },
        { "notify", do_notify },
        { "open", do_open },
        { "tty", do_tty },
        { "securebits", do_securebits },
        { "term", do_term },
        { "eat", do_eat },
};

int main(int argc, char **argv)
{
        for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
                if (strcmp(argv[1], commands[i].name) == 0)
                        return commands[i].run(argc, argv);
        fprintf(stderr, "probe: no such command\n");
        return 64;
}
