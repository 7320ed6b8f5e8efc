/* Runs a command and writes what it took: wall and CPU seconds, and the peak RSS in KiB of the
 * largest process among it and the descendants that it waited for. Small, because a process begins
 * with the peak of the one that it was cloned from: a command that an interpreter starts would
 * never show less than the interpreter.
 *
 * usage: clock FILE COMMAND [ARG...]
 * build: cc -O2 -static -o clock clock.c */
#define _GNU_SOURCE
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timeval t)
{
        return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static double now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
        struct rusage used;
        double start;
        int status;
        FILE *out;
        pid_t pid;

        if (argc < 3)
                errx(2, "usage: clock FILE COMMAND [ARG...]");
        start = now();
        pid = vfork();
        if (pid < 0)
                err(1, "vfork");
        if (pid == 0) {
                execvp(argv[2], argv + 2);
                _exit(127);
        }
        if (wait4(pid, &status, 0, &used) != pid)
                err(1, "wait4");
        start = now() - start;
        out = fopen(argv[1], "we");
        if (!out)
                err(1, "%s", argv[1]);
        fprintf(out, "{\"wall\": %.6f, \"cpu\": %.6f, \"rss\": %ld}\n", start,
                seconds(used.ru_utime) + seconds(used.ru_stime), used.ru_maxrss);
        fclose(out);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
