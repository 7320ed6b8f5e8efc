/* The physical limit of one `run true`: what the kernel charges for the default bundle, no more.
 *
 * Namespaces, a cgroup in every hierarchy with the default device list, the default mounts,
 * devices, read-only and masked paths, pivot_root, capabilities, execve, wait, removal. No JSON,
 * no state, no recovery, little safety: a yardstick for runtimes, not a design.
 *
 * How the container gets into its cgroups decides most of the time, so it is chosen by -c:
 *   0  no cgroups at all
 *   1  the parent writes the PID into each cgroup.procs, as runc and crun do: the first write waits
 *      for a grace period of RCU (cgroup_threadgroup_rwsem)
 *   2  the child, single-threaded, writes "0" into each v1 `tasks` file, which waits for none;
 *      v2 as above
 *   3  as 2, and v2 is entered by clone3(CLONE_INTO_CGROUP), which waits for none either
 *
 * usage: floor [-c 0|1|2|3] [-m BYTES] [-x SKIP...] [-t] ROOTFS COMMAND [ARG...]
 *   -m BYTES  memory limit (v1)
 *   -x SKIP   leave out: n(etwork namespace) i(pc namespace) c(group namespace) m(ounts) d(evices)
 *             p(ath masks)
 *   -t        print what each phase took, in microseconds
 * build: cc -O2 -static -o floor floor.c */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define N_ELEMENTS(a) (sizeof(a) / sizeof *(a))
#define CGROUP_TOP "/sys/fs/cgroup"

static const char *const hierarchies[] = {
        "unified", "cpu",   "cpuacct", "cpuset",  "memory",  "devices",
        "freezer", "blkio", "pids",    "hugetlb", "systemd",
};
enum { UNIFIED = 0, N_HIERARCHIES = N_ELEMENTS(hierarchies) };

struct floor {
        int mode;           /* -c */
        const char *memory; /* -m, or NULL */
        const char *skip;   /* -x, "" by default */
        int timed;          /* -t */
        const char *rootfs;
        char **command;
        char group[32];          /* name of the cgroup in every hierarchy */
        int dirs[N_HIERARCHIES]; /* the cgroups; -1 where the hierarchy isn't mounted */
        struct timespec lap;     /* when the current phase began */
};

static _Noreturn void die(const char *what)
{
        dprintf(STDERR_FILENO, "floor: %s: %s\n", what, strerror(errno));
        _exit(127);
}

static long must(long result, const char *what)
{
        if (result < 0)
                die(what);
        return result;
}

static int skips(const struct floor *f, char what)
{
        return strchr(f->skip, what) != NULL;
}

/* Ends a phase: with -t, says what it took. */
static void phase(struct floor *f, const char *name)
{
        struct timespec now;
        long us;

        if (!f->timed)
                return;
        clock_gettime(CLOCK_MONOTONIC, &now);
        us = (now.tv_sec - f->lap.tv_sec) * 1000000 + (now.tv_nsec - f->lap.tv_nsec) / 1000;
        dprintf(STDERR_FILENO, "%-24s %6ld\n", name, us);
        clock_gettime(CLOCK_MONOTONIC, &f->lap);
}

static void put(int dir, const char *file, const char *text)
{
        int fd = must(openat(dir, file, O_WRONLY | O_CLOEXEC), file);

        must(write(fd, text, strlen(text)), file);
        close(fd);
}

/* v1 cpuset groups are born empty and take no task before they have both. */
static void cpuset_inherit(int dir, const char *file)
{
        char path[64], text[256];
        ssize_t n;
        int fd;

        snprintf(path, sizeof path, CGROUP_TOP "/cpuset/%s", file);
        fd = must(open(path, O_RDONLY | O_CLOEXEC), path);
        n = must(read(fd, text, sizeof text - 1), path);
        close(fd);
        text[n] = 0;
        put(dir, file, text);
}

static void devices_allow_default(int dir)
{
        static const char *const rules[] = {
                "c *:* m",   "b *:* m",   "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm",
                "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm",
        };

        put(dir, "devices.deny", "a");
        for (size_t i = 0; i < N_ELEMENTS(rules); i++)
                put(dir, "devices.allow", rules[i]);
}

/* On a host with v2 alone, its root is the mount point itself. */
static void cgroup_path(const struct floor *f, int h, char path[static 128])
{
        const char *name = hierarchies[h];

        if (h == UNIFIED && access(CGROUP_TOP "/cgroup.procs", F_OK) == 0)
                name = ".";
        snprintf(path, 128, CGROUP_TOP "/%s/%s", name, f->group);
}

static void cgroup_create(struct floor *f, int h)
{
        const char *name = hierarchies[h];
        char path[128];

        cgroup_path(f, h, path);
        if (mkdir(path, 0755) < 0) {
                if (errno == ENOENT || errno == EPERM || errno == EROFS)
                        return;
                die(path);
        }
        f->dirs[h] = must(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), path);
        /* a plain directory where a hierarchy was mounted once */
        if (faccessat(f->dirs[h], "cgroup.procs", F_OK, 0) < 0) {
                must(rmdir(path), path);
                close(f->dirs[h]);
                f->dirs[h] = -1;
                return;
        }
        if (!strcmp(name, "cpuset")) {
                cpuset_inherit(f->dirs[h], "cpuset.cpus");
                cpuset_inherit(f->dirs[h], "cpuset.mems");
        }
        if (!strcmp(name, "devices"))
                devices_allow_default(f->dirs[h]);
        if (!strcmp(name, "memory") && f->memory)
                put(f->dirs[h], "memory.limit_in_bytes", f->memory);
}

static void cgroup_join(const struct floor *f, const char *pid)
{
        for (int h = 0; h < N_HIERARCHIES; h++) {
                if (f->dirs[h] < 0 || (h == UNIFIED && f->mode == 3))
                        continue;
                put(f->dirs[h], f->mode >= 2 && h != UNIFIED ? "tasks" : "cgroup.procs", pid);
        }
}

static void cgroup_remove(const struct floor *f)
{
        char path[128];

        for (int h = 0; h < N_HIERARCHIES; h++) {
                if (f->dirs[h] < 0)
                        continue;
                cgroup_path(f, h, path);
                must(rmdir(path), path);
        }
}

struct mount_step {
        const char *type, *target;
        unsigned long flags;
        const char *data;
        int make; /* the target is a directory to be made first */
};

static void mount_all(const struct mount_step *steps, size_t n)
{
        for (const struct mount_step *s = steps; s < steps + n; s++) {
                if (s->make)
                        must(mkdir(s->target, 0755), s->target);
                must(mount(s->type, s->target, s->type, s->flags, s->data), s->target);
        }
}

static void mount_cgroups(const struct floor *f)
{
        char target[64], source[128];

        for (int h = UNIFIED + 1; h < N_HIERARCHIES; h++) {
                if (f->dirs[h] < 0)
                        continue;
                snprintf(target, sizeof target, "sys/fs/cgroup/%s", hierarchies[h]);
                must(mkdir(target, 0755), target);
                if (skips(f, 'c')) {
                        snprintf(source, sizeof source, CGROUP_TOP "/%s/%s", hierarchies[h],
                                 f->group);
                        must(mount(source, target, NULL, MS_BIND, NULL), target);
                        continue;
                }
                snprintf(source, sizeof source, "%s%s",
                         strcmp(hierarchies[h], "systemd") ? "" : "none,name=", hierarchies[h]);
                must(mount("cgroup", target, "cgroup", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY,
                           source),
                     target);
        }
}

static void mount_default(const struct floor *f)
{
        enum { NO_ALL = MS_NOSUID | MS_NOEXEC | MS_NODEV };
        static const struct mount_step api[] = {
                { "tmpfs", "dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k", 0 },
                { "devpts", "dev/pts", MS_NOSUID | MS_NOEXEC,
                  "newinstance,ptmxmode=0666,mode=0620,gid=5", 1 },
                { "tmpfs", "dev/shm", NO_ALL, "mode=1777,size=65536k", 1 },
                { "mqueue", "dev/mqueue", NO_ALL, NULL, 1 },
                { "sysfs", "sys", NO_ALL | MS_RDONLY, NULL, 0 },
        };
        static const struct mount_step cgroup[] = {
                { "tmpfs", "sys/fs/cgroup", NO_ALL, "mode=755,size=1024k", 0 },
        };

        mount_all(api, N_ELEMENTS(api));
        if (f->mode) {
                mount_all(cgroup, N_ELEMENTS(cgroup));
                mount_cgroups(f);
        }
}

static void make_devices(void)
{
        static const struct {
                const char *path;
                int major, minor;
        } nodes[] = {
                { "dev/null", 1, 3 },   { "dev/zero", 1, 5 },    { "dev/full", 1, 7 },
                { "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 },
        };
        static const char *const links[][2] = {
                { "/proc/self/fd", "dev/fd" },       { "/proc/self/fd/0", "dev/stdin" },
                { "/proc/self/fd/1", "dev/stdout" }, { "/proc/self/fd/2", "dev/stderr" },
                { "pts/ptmx", "dev/ptmx" },
        };

        umask(0);
        for (size_t i = 0; i < N_ELEMENTS(nodes); i++)
                must(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)),
                     nodes[i].path);
        for (size_t i = 0; i < N_ELEMENTS(links); i++)
                must(symlink(links[i][0], links[i][1]), links[i][1]);
}

/* The runtime-spec's usual lists. What a kernel doesn't have is left out, as runtimes do. */
static void hide_paths(void)
{
        static const char *const readonly[] = { "proc/bus", "proc/fs", "proc/irq", "proc/sys",
                                                "proc/sysrq-trigger" };
        static const char *const masked[] = {
                "proc/acpi",          "proc/asound",     "proc/kcore",       "proc/keys",
                "proc/latency_stats", "proc/timer_list", "proc/timer_stats", "proc/sched_debug",
                "sys/firmware",       "proc/scsi",
        };
        enum { RO = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC };

        for (size_t i = 0; i < N_ELEMENTS(readonly); i++)
                if (mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL) == 0)
                        must(mount(NULL, readonly[i], NULL, RO, NULL), readonly[i]);
        for (size_t i = 0; i < N_ELEMENTS(masked); i++)
                if (mount("dev/null", masked[i], NULL, MS_BIND, NULL) < 0 && errno == ENOTDIR)
                        must(mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, "size=0k"), masked[i]);
}

/* Who: the container's first process, in new namespaces, the host's mounts still visible. After it
 * they are not. */
static void enter_rootfs(struct floor *f)
{
        must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "/");
        must(mount(f->rootfs, f->rootfs, NULL, MS_BIND | MS_REC, NULL), f->rootfs);
        must(chdir(f->rootfs), f->rootfs);
        must(mount("proc", "proc", "proc", 0, NULL), "proc");
        if (!skips(f, 'm'))
                mount_default(f);
        phase(f, "child: mounts");
        if (!skips(f, 'm') && !skips(f, 'd'))
                make_devices();
        phase(f, "child: devices");
        must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
        must(umount2(".", MNT_DETACH), "umount");
        phase(f, "child: pivot_root");
        if (!skips(f, 'p'))
                hide_paths();
        must(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), "/");
        phase(f, "child: masks");
}

static void drop_privileges(void)
{
        const uint32_t keep = 1u << CAP_AUDIT_WRITE | 1u << CAP_KILL | 1u << CAP_NET_BIND_SERVICE;
        struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct sets[2] = { { keep, keep, keep }, { 0 } };

        for (int c = 0; c <= CAP_LAST_CAP; c++)
                if (c >= 32 || !(keep & 1u << c))
                        prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
        must(syscall(SYS_capset, &head, sets), "capset");
        must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
}

/* Who: the container's first process, until execve. In mode 1 it waits on sync for its parent, who
 * places it in the cgroups. */
static _Noreturn void container(struct floor *f, const int sync[2])
{
        static const struct rlimit files = { 1024, 1024 };
        static char *const env[] = { "PATH=/usr/bin:/bin", "TERM=xterm", NULL };
        char byte;

        close(sync[1]);
        if (f->mode == 1 && read(sync[0], &byte, 1) != 1)
                die("sync");
        phase(f, "child: started");
        if (f->mode >= 2)
                cgroup_join(f, "0");
        phase(f, "child: joined cgroups");
        /* only now: a cgroup namespace's root is where its creator stands */
        if (f->mode && !skips(f, 'c'))
                must(unshare(CLONE_NEWCGROUP), "unshare");
        enter_rootfs(f);
        must(sethostname("floor", 5), "sethostname");
        must(setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
        drop_privileges();
        syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC);
        phase(f, "child: before execve");
        execve(f->command[0], f->command, env);
        die(f->command[0]);
}

static pid_t container_clone(struct floor *f, const int sync[2])
{
        struct clone_args args = { .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS,
                                   .exit_signal = SIGCHLD };
        pid_t pid;

        if (!skips(f, 'n'))
                args.flags |= CLONE_NEWNET;
        if (!skips(f, 'i'))
                args.flags |= CLONE_NEWIPC;
        if (f->mode == 3 && f->dirs[UNIFIED] >= 0) {
                args.flags |= CLONE_INTO_CGROUP;
                args.cgroup = f->dirs[UNIFIED];
        }
        pid = must(syscall(SYS_clone3, &args, sizeof args), "clone3");
        if (pid == 0)
                container(f, sync);
        return pid;
}

static int run(struct floor *f)
{
        int sync[2] = { -1, -1 }, status;
        char text[16];
        pid_t pid;

        snprintf(f->group, sizeof f->group, "floor-%d", getpid());
        for (int h = 0; h < N_HIERARCHIES; h++) {
                f->dirs[h] = -1;
                if (f->mode)
                        cgroup_create(f, h);
        }
        phase(f, "cgroups created");
        if (f->mode == 1)
                must(pipe2(sync, O_CLOEXEC), "pipe");
        pid = container_clone(f, sync);
        phase(f, "clone3");
        if (f->mode == 1) {
                snprintf(text, sizeof text, "%d", pid);
                cgroup_join(f, text);
                phase(f, "parent: joined cgroups");
                must(write(sync[1], "", 1), "sync");
        }
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        die("wait");
        phase(f, "waited");
        cgroup_remove(f);
        phase(f, "cgroups removed");
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
        struct floor f = { .mode = 3, .skip = "" };
        int o;

        while ((o = getopt(argc, argv, "+c:m:x:t")) != -1) {
                if (o == 'c' && optarg[0] >= '0' && optarg[0] <= '3' && !optarg[1])
                        f.mode = optarg[0] - '0';
                else if (o == 'm')
                        f.memory = optarg;
                else if (o == 'x')
                        f.skip = optarg;
                else if (o == 't')
                        f.timed = 1;
                else
                        return 2;
        }
        if (argc - optind < 2)
                return 2;
        f.rootfs = argv[optind];
        f.command = argv + optind + 1;
        clock_gettime(CLOCK_MONOTONIC, &f.lap);
        return run(&f);
}
