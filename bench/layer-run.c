/* layer-run [-p] [-r] STORE RUN IMAGE COMMAND...: the part of a container that depends on what its
 * layers are: mounts them with an upper directory, enters a mount namespace with it as root, and
 * runs COMMAND there. -p: mounts of its own, nothing shared; -r: read-only. Says on standard error
 * how long mounting took. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "image/snapshot.h"
#include "kernel/mount.h"
#include "kernel/sys.h"

static const struct log quiet = { .fd = -1 };

static double now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int die(const char *what, const struct err *e)
{
        fprintf(stderr, "layer-run: %s: %s\n", what, e ? e->chain : strerror(errno));
        return 125;
}

/* A directory of the store for the upper. */
static int upper_make(const char *store, char path[200], struct snapshot *n)
{
        int dir;

        snprintf(path, 200, "%s/bench-XXXXXX", store);
        if (!mkdtemp(path) || (dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
                return -1;
        mkdirat(dir, "upper", 0755);
        mkdirat(dir, "work", 0700);
        n->upper = openat(dir, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        n->work = openat(dir, "work", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        n->upper_new = true;
        close(dir);
        return 0;
}

static int enter(int mount)
{
        AUTO_FD int target = -1;

        if (unshare(CLONE_NEWNS) < 0 || mount_propagation("/", MS_SLAVE, true) < 0)
                return -1;
        target = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (mount_attach(mount, target) < 0 || fchdir(mount) < 0 || chroot(".") < 0)
                return -1;
        return 0;
}

int main(int argc, char **argv)
{
        struct snapshot n = { .upper = -1, .work = -1, .userns = -1, .volatile_ = true };
        struct store *s;
        struct arena a = { 0 };
        struct image image;
        struct err e = { 0 };
        bool read_only = false;
        char path[200] = "";
        double began;
        int mount, opt, status = 0;
        pid_t pid;

        while ((opt = getopt(argc, argv, "+pr")) != -1) {
                if (opt == 'p')
                        n.run = "";
                else
                        read_only = true;
        }
        if (argc - optind < 4)
                return 2;
        argv += optind;
        if (!n.run)
                n.run = argv[1];
        began = now_ms();
        if (store_open(argv[0], &quiet, &s, &e) < 0)
                return die("store", &e);
        if (store_image_find(s, &a, argv[2], &image, &e) < 0)
                return die("image", &e);
        n.layers = &image.layers;
        if (!read_only && upper_make(argv[0], path, &n) < 0)
                return die("upper", NULL);
        if (snapshot_mount(s, &n, &mount, &e) < 0)
                return die("mount", &e);
        store_close(s);
        fprintf(stderr, "mounted_ms=%.3f\n", now_ms() - began);
        pid = fork();
        if (pid == 0) {
                if (enter(mount) < 0)
                        _exit(die("root", NULL));
                execvp(argv[3], argv + 3);
                _exit(die(argv[3], NULL));
        }
        close(mount);
        waitpid(pid, &status, 0);
        if (path[0]) {
                char command[256];

                snprintf(command, sizeof command, "rm -rf %s", path);
                if (system(command) != 0)
                        return die("rm", NULL);
        }
        arena_done(&a);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
