/* Programs that keep credentials: docker-credential-NAME (docker's credential-helpers protocol:
 * a verb as argument, a server or JSON on standard input, JSON on standard output). */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "image/auth-internal.h"
#include "kernel/sys.h"

#define TIMEOUT_MS 30000
#define OUTPUT_MAX 65536
#define NAME_MAX_LENGTH 64

/* A name becomes part of a program's: nothing in it may leave the directories of PATH. */
static bool name_ok(const char *name)
{
        size_t n =
                strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

        return n && !name[n] && n <= NAME_MAX_LENGTH && *name != '.';
}

static int64_t now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The input as a file: nobody has to write it while the other side may not read. */
static int input_open(const char *text, int *ret)
{
        AUTO_FD int fd = memfd_create("credential", MFD_CLOEXEC);
        int r = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));

        if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
                r = -errno;
        if (r == 0)
                *ret = TAKE_FD(fd);
        return r;
}

static int spawn(const char *program, const char *verb, int in, int out, pid_t *ret)
{
        char *argv[] = { (char *)program, (char *)verb, NULL };
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attr;
        sigset_t set;
        int r;

        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, in, 0);
        posix_spawn_file_actions_adddup2(&actions, out, 1);
        posix_spawnattr_init(&attr);
        sigemptyset(&set);
        posix_spawnattr_setsigmask(&attr, &set);
        sigaddset(&set, SIGPIPE);
        posix_spawnattr_setsigdefault(&attr, &set);
        posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        r = posix_spawnp(ret, program, &actions, &attr, argv, environ);
        posix_spawnattr_destroy(&attr);
        posix_spawn_file_actions_destroy(&actions);
        return -r;
}

/* Everything up to the end of out or of the process, whose own children may keep out open. 0,
 * -ETIMEDOUT or -EFBIG. */
static int collect(int out, int pidfd, struct buf *ret)
{
        int64_t deadline = now_ms() + TIMEOUT_MS;

        for (bool ended = false;;) {
                struct pollfd p[] = { { .fd = out, .events = POLLIN },
                                      { .fd = pidfd, .events = POLLIN } };
                int64_t left = deadline - now_ms();
                char part[4096];
                ssize_t n;

                if (left <= 0)
                        return -ETIMEDOUT;
                if (poll(p, 2, ended ? 0 : (int)left) < 0 && errno != EINTR)
                        return -errno;
                if (!p[0].revents && ended)
                        return 0;
                ended = ended || p[1].revents;
                if (!p[0].revents)
                        continue;
                n = read(out, part, sizeof part);
                if (n == 0)
                        return 0;
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n > 0)
                        buf_add(ret, part, (size_t)n);
                if (ret->len > OUTPUT_MAX)
                        return -EFBIG;
        }
}

/* The first line of what a helper said, without what a terminal would obey. */
static const char *said(struct arena *a, const char *text)
{
        char *line = arena_strndup(a, text, MIN(strcspn(text, "\r\n"), (size_t)200));

        for (char *s = line; *s; s++)
                if ((unsigned char)*s < ' ' || *s == 0x7f)
                        *s = '?';
        return line;
}

static int failed(struct arena *a, const char *program, const char *verb, int status,
                  const char *output, struct err *e)
{
        if (strstr(output, "credentials not found"))
                return err_set(e, ERR_NOT_FOUND, "'%s' has no such credentials", program);
        if (WIFSIGNALED(status))
                return err_set(e, ERR_SYSTEM, "'%s %s' was killed by signal %d", program, verb,
                               WTERMSIG(status));
        return err_set(e, ERR_SYSTEM, "'%s %s' failed with status %d: %s", program, verb,
                       WEXITSTATUS(status), said(a, output));
}

static int run(struct arena *a, const char *program, const char *verb, int in, const char **ret,
               struct err *e)
{
        AUTO_BUF output = { 0 };
        AUTO_FD int reading = -1, pidfd = -1;
        int pair[2], status = 0, r;
        pid_t pid;

        if (pipe2(pair, O_CLOEXEC) < 0)
                return err_sys(e, errno, "cannot make a pipe");
        reading = pair[0];
        r = spawn(program, verb, in, pair[1], &pid);
        fd_close(pair[1]);
        if (r < 0) {
                err_set(e, ERR_UNAVAILABLE, "cannot run the credential helper '%s': %s", program,
                        strerror(-r));
                return err_hint(e, "Install it, or remove it from credHelpers, credsStore or "
                                   "credential-helpers.");
        }
        pidfd = sys_pidfd_open(pid);
        r = pidfd < 0 ? -errno : collect(reading, pidfd, &output);
        if (r < 0)
                kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (r == -ETIMEDOUT)
                return err_set(e, ERR_UNAVAILABLE, "'%s %s' did not answer within %d s", program,
                               verb, TIMEOUT_MS / 1000);
        if (r < 0)
                return err_sys(e, r, "cannot read the answer of '%s %s'", program, verb);
        if (status)
                return failed(a, program, verb, status, buf_str(&output), e);
        *ret = arena_strndup(a, buf_str(&output), output.len);
        return 0;
}

int auth_helper(struct arena *a, const char *name, const char *verb, const char *input,
                const char **ret, struct err *e)
{
        AUTO_FD int in = -1;
        int r;

        if (!name_ok(name))
                return err_set(e, ERR_INVALID, "'%s' is no name of a credential helper", name);
        r = input_open(input, &in);
        if (r < 0)
                return err_sys(e, r, "cannot prepare the input of a credential helper");
        return run(a, arena_printf(a, "docker-credential-%s", name), verb, in, ret, e);
}
