/* berth-init [--] PROGRAM [ARG...]: process 1 of a container run with --init. It starts PROGRAM,
 * passes on what signals it gets, reaps what becomes orphaned, and ends as PROGRAM ends. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_ENGINE = 125, EXIT_CANNOT_EXEC = 126, EXIT_NOT_FOUND = 127 };

/* In a group of its own, so that the terminal's signals reach it once; with a terminal, in front.
 * Being in the background until then, it must not be stopped for asking. */
static void become(char **argv, const sigset_t *before)
{
        setpgid(0, 0);
        if (isatty(STDIN_FILENO)) {
                signal(SIGTTOU, SIG_IGN);
                tcsetpgrp(STDIN_FILENO, getpgrp());
                signal(SIGTTOU, SIG_DFL);
        }
        sigprocmask(SIG_SETMASK, before, NULL);
        execvp(argv[0], argv);
        fprintf(stderr, "berth-init: cannot execute \"%s\": %s\n", argv[0], strerror(errno));
        _exit(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXEC);
}

/* Whether child has ended, with its status; others are forgotten. */
static int reap(pid_t child, int *ret_status)
{
        int status, ended = 0;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
                if (pid != child)
                        continue;
                *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
                ended = 1;
        }
        return ended;
}

int main(int argc, char **argv)
{
        int at = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1, status = 0;
        sigset_t all, before;
        siginfo_t info;
        pid_t child;

        if (at >= argc) {
                fputs("usage: berth-init [--] PROGRAM [ARG...]\n", stderr);
                return EXIT_ENGINE;
        }
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, &before);
        child = fork();
        if (child < 0) {
                perror("berth-init: fork");
                return EXIT_ENGINE;
        }
        if (child == 0)
                become(argv + at, &before);
        for (;;) {
                int sig = sigwaitinfo(&all, &info);

                if (sig == SIGCHLD) {
                        if (reap(child, &status))
                                return status;
                } else if (sig > 0 && sig != SIGTTOU && sig != SIGTTIN) {
                        kill(child, sig);
                }
        }
}
