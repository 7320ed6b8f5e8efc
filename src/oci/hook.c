#include "oci/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "kernel/sys.h"

#define STDERR_KEPT 200

struct run {
        pid_t pid;
        int pidfd, in, err; /* the hook's standard input and error, our ends */
        const char *state;  /* what is left to write */
        size_t left;
        char text[STDERR_KEPT + 1]; /* the end of its standard error */
        size_t kept;
};

static char **vector(const struct strings *s, const char *first)
{
        char **v = mem_alloc(mem_mul(s->n + 2, sizeof *v));

        if (s->n == 0 && first)
                v[0] = (char *)first;
        for (size_t i = 0; i < s->n; i++)
                v[i] = (char *)s->v[i];
        return v;
}

_Noreturn static void become(const struct spec_hook *h, int in, int out, const char *cwd,
                             char **env)
{
        static const char failed[] = "cannot be executed: ";
        sigset_t none;
        int saved;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGPIPE, SIG_DFL);
        if (dup2(in, 0) < 0 || dup2(out, 2) < 0)
                _exit(127);
        if (cwd && chdir(cwd) < 0)
                cwd = "/"; /* the bundle may be gone, or out of sight */
        sys_close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
        execve(h->path, vector(&h->args, h->path), h->env.v ? vector(&h->env, NULL) : env);
        saved = errno;
        if (write(2, failed, sizeof failed - 1) < 0 ||
            write(2, strerror(saved), strlen(strerror(saved))) < 0)
                _exit(126);
        _exit(127);
}

static int spawn(struct run *r, const struct spec_hook *h, const char *cwd, char **env)
{
        int in[2], out[2];

        if (pipe2(in, O_CLOEXEC) < 0)
                return -errno;
        if (pipe2(out, O_CLOEXEC) < 0) {
                fd_close(in[0]);
                fd_close(in[1]);
                return -errno;
        }
        r->in = in[1];
        r->err = out[0];
        r->pid = fork();
        if (r->pid == 0)
                become(h, in[0], out[1], cwd, env);
        fd_close(in[0]);
        fd_close(out[1]);
        if (r->pid < 0)
                return -errno;
        fcntl(r->in, F_SETFL, O_NONBLOCK);
        r->pidfd = sys_pidfd_open(r->pid);
        return r->pidfd < 0 ? -errno : 0;
}

static void keep_tail(struct run *r, const char *p, size_t n)
{
        if (n > STDERR_KEPT) {
                p += n - STDERR_KEPT;
                n = STDERR_KEPT;
        }
        if (r->kept + n > STDERR_KEPT) {
                size_t drop = r->kept + n - STDERR_KEPT;

                memmove(r->text, r->text + drop, r->kept - drop);
                r->kept -= drop;
        }
        memcpy(r->text + r->kept, p, n);
        r->kept += n;
        r->text[r->kept] = 0;
}

static void feed(struct run *r)
{
        ssize_t w = write(r->in, r->state, r->left);

        if (w > 0) {
                r->state += w;
                r->left -= (size_t)w;
        }
        if (r->left == 0 || (w < 0 && errno != EAGAIN && errno != EINTR))
                r->in = fd_close(r->in);
}

static void drain(struct run *r)
{
        char buf[1024];
        ssize_t n = read(r->err, buf, sizeof buf);

        if (n > 0)
                keep_tail(r, buf, (size_t)n);
        else if (n == 0 || errno != EINTR)
                r->err = fd_close(r->err);
}

/* Until it exits (0) or the deadline passes (-ETIMEDOUT). A daemon that it left behind may hold its
 * standard error open, so the exit decides, not the end of that pipe. */
static int attend(struct run *r, int64_t deadline)
{
        for (;;) {
                struct pollfd p[] = { { r->pidfd, POLLIN, 0 },
                                      { r->in, POLLOUT, 0 },
                                      { r->err, POLLIN, 0 } };
                int64_t left = deadline < 0 ? -1 : MAX(deadline - clock_ms(), 0);
                int n = poll(p, 3, (int)MIN(left, (int64_t)1 << 30));

                if (n == 0 && left == 0)
                        return -ETIMEDOUT;
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n < 0)
                        continue;
                if (p[2].revents)
                        drain(r);
                if (p[0].revents && !(p[2].revents & POLLIN))
                        return 0;
                if (p[1].revents)
                        feed(r);
        }
}

static int verdict(const char *where, const struct spec_hook *h, const struct run *r, int status,
                   struct err *e)
{
        const char *says = r->kept ? ": " : "";

        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return 0;
        if (WIFSIGNALED(status))
                return err_set(e, ERR_SYSTEM, "%s hook \"%s\" was killed by signal %d%s%s", where,
                               h->path, WTERMSIG(status), says, r->text);
        return err_set(e, ERR_SYSTEM, "%s hook \"%s\" exited with status %d%s%s", where, h->path,
                       WEXITSTATUS(status), says, r->text);
}

int hook_run(enum spec_hook_kind kind, const struct spec_hook *h, const char *state,
             const char *cwd, char **env, struct err *e)
{
        const char *where = spec_hook_names[kind];
        struct run r = { .pidfd = -1, .in = -1, .err = -1, .state = state, .left = strlen(state) };
        int64_t deadline = h->timeout.set ? clock_ms() + h->timeout.v * 1000 : -1;
        int status = 0, rc = spawn(&r, h, cwd, env);

        if (rc == 0)
                rc = attend(&r, deadline);
        if (rc < 0 && r.pid > 0)
                kill(r.pid, SIGKILL);
        if (r.pid > 0)
                while (waitpid(r.pid, &status, 0) < 0 && errno == EINTR)
                        ;
        fd_close(r.pidfd);
        fd_close(r.in);
        fd_close(r.err);
        while (r.kept && r.text[r.kept - 1] == '\n')
                r.text[--r.kept] = 0;
        if (rc == -ETIMEDOUT)
                return err_set(e, ERR_LIMIT,
                               "%s hook \"%s\" took longer than its timeout of %lld s", where,
                               h->path, (long long)h->timeout.v);
        if (rc < 0)
                return err_sys(e, rc, "cannot run %s hook \"%s\"", where, h->path);
        return verdict(where, h, &r, status, e);
}
