/* naive: what a container runtime does that has none of the defences.
 *
 * Each attack of test_security.py runs against this first: an attack that doesn't bite here proves
 * nothing about the runtime under test. Every subcommand does one job of a runtime the simple way,
 * with plain path strings and no thought of who chose them. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int fail(const char *what)
{
        fprintf(stderr, "naive: %s: %s\n", what, strerror(errno));
        return 1;
}

static int path_in(char *buf, size_t cap, const char *root, const char *path)
{
        return snprintf(buf, cap, "%s/%s", root, path) >= (int)cap;
}

static int join(const char *pid, const char *ns)
{
        char path[64];
        snprintf(path, sizeof path, "/proc/%s/ns/%s", pid, ns);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -1 : setns(fd, 0);
}

/* exec PID PROGRAM: joins a container and becomes a program there, without first leaving its own
 * executable file behind (CVE-2019-5736). The pause stands for what a runtime still has to do. */
static int do_exec(char **argv)
{
        if (join(argv[0], "pid") < 0 || join(argv[0], "mnt") < 0)
                return fail("setns");
        pid_t pid = fork();
        if (pid == 0) {
                usleep(20000);
                execv(argv[1], argv + 1);
                _exit(127);
        }
        int status;
        waitpid(pid, &status, 0);
        return 0;
}

/* run ROOT CWD SCRIPT: changes to a directory that the container chose while descriptors of the
 * host are still open, as 3 here (CVE-2024-21626). */
static int do_run(char **argv)
{
        int host = open("/", O_RDONLY | O_DIRECTORY);
        if (host != 3 && (dup2(host, 3) < 0 || close(host) < 0))
                return fail("open");
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return fail("unshare");
        char proc[4096];
        if (path_in(proc, sizeof proc, argv[0], "proc") || mount("proc", proc, "proc", 0, NULL) < 0)
                return fail(proc);
        if (chroot(argv[0]) < 0 || chdir(argv[1]) < 0)
                return fail(argv[1]);
        execl("/bin/sh", "sh", "-c", argv[2], NULL);
        return fail("exec");
}

/* mask ROOT PATH: binds the container's /dev/null over a path and shows what is read there
 * (CVE-2025-31133). */
static int do_mask(char **argv)
{
        char buf[256];
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return fail("unshare");
        if (chroot(argv[0]) < 0 || chdir("/") < 0)
                return fail("chroot");
        if (mount("/dev/null", argv[1], NULL, MS_BIND, NULL) < 0)
                return fail(argv[1]);
        int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, buf, sizeof buf);
        return n > 0 ? fwrite(buf, 1, (size_t)n, stdout) != (size_t)n : 0;
}

/* write ROOT PATH TEXT: writes a setting through the container's own view of procfs
 * (CVE-2019-19921, CVE-2025-52881). */
static int do_write(char **argv)
{
        char path[4096];
        if (path_in(path, sizeof path, argv[0], argv[1]))
                return 1;
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return fail(path);
        return write(fd, argv[2], strlen(argv[2])) < 0;
}

/* mkdir ROOT PATH: makes a mount point by joining two strings. */
static int do_mkdir(char **argv)
{
        char path[4096];
        if (path_in(path, sizeof path, argv[0], argv[1]))
                return 1;
        return mkdir(path, 0755) < 0 ? fail(path) : 0;
}

/* user TEXT: the user id that a sloppy parser makes of it (CVE-2026-30892). */
static int do_user(char **argv)
{
        printf("%d\n", (int)strtol(argv[0], NULL, 10));
        return 0;
}

static const struct {
        const char *name;
        int args;
        int (*run)(char **argv);
} commands[] = {
        { "exec", 2, do_exec },   { "run", 3, do_run },     { "mask", 2, do_mask },
        { "write", 3, do_write }, { "mkdir", 2, do_mkdir }, { "user", 1, do_user },
};

int main(int argc, char **argv)
{
        for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
                if (strcmp(argv[1], commands[i].name) == 0 && argc - 2 >= commands[i].args)
                        return commands[i].run(argv + 2);
        /* Started as the interpreter of a script: stays a moment, as a runtime would. */
        usleep(50000);
        return 64;
}
