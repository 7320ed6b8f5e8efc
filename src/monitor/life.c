#include "monitor/life.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "kernel/exe.h"
#include "kernel/proc.h"
#include "kernel/sys.h"
#include "oci/runtime.h"

/* What the child reports, in one write. */
struct report {
        struct err err; /* ERR_NONE: it runs */
        int32_t pid;
};

/* Descriptors of the child. */
enum { CHILD_REPORT = 3, CHILD_CONSOLE = 4, CHILD_FIRST_FREE = 5 };

/* Arguments of the child, as text: it may have to go through an exec. */
enum {
        ARG_PROGRAM,
        ARG_CHILD,
        ARG_ID,
        ARG_BUNDLE,
        ARG_ROOT,
        ARG_FLAGS,  /* "-", or "-t": a terminal */
        ARG_COMMAND /* and on: an exec's; none: start the container */
};

/* ---- in the child ---- */

static int child_start(const struct runtime *rt, char **argv, const struct strings *env,
                       struct report *r)
{
        bool tty = strchr(argv[ARG_FLAGS], 't');
        struct create_options o = {
                .id = argv[ARG_ID],
                .bundle = argv[ARG_BUNDLE],
                .env = *env,
                .console_fd = tty ? CHILD_CONSOLE : 0,
                .ret_pid = &r->pid,
                .detach = true,
                .no_subreaper = true,
        };
        int status;

        return runtime_run(rt, &o, &status, &r->err);
}

static int child_exec(const struct runtime *rt, char **argv, const struct strings *env,
                      struct report *r)
{
        struct exec_options o = {
                .id = argv[ARG_ID], .env = *env, .ret_pid = &r->pid, .detach = true
        };
        size_t n = 0;
        int status;

        while (argv[ARG_COMMAND + n])
                n++;
        o.args.v = (const char **)(argv + ARG_COMMAND);
        o.args.n = n;
        return runtime_exec(rt, &o, &status, &r->err);
}

void life_child(char **argv)
{
        struct runtime rt = { .root = argv[ARG_ROOT] };
        struct report r = { 0 };
        AUTO_ARENA a = { 0 };
        struct strings env;
        int status = exe_detach(argv);

        if (status < 0)
                err_sys(&r.err, status, "cannot let go of the program's file");
        else if (monitor_env_read(&a, argv[ARG_BUNDLE], &env, &r.err) < 0)
                status = -1;
        else if (argv[ARG_COMMAND])
                status = child_exec(&rt, argv, &env, &r);
        else
                status = child_start(&rt, argv, &env, &r);
        fd_write_all(CHILD_REPORT, &r, sizeof r);
        _exit(status < 0);
}

/* dup2() to the places that the child expects; those of the monitor go. */
static void child_descriptors(const int stdio[3], int report, int console)
{
        /* Out of the way first: a source may lie where another belongs. */
        int high[5];
        const int from[5] = { stdio[0], stdio[1], stdio[2], report, console };

        for (int i = 0; i < 5; i++)
                high[i] = from[i] < 0 ? -1 : fcntl(from[i], F_DUPFD, 64);
        for (int i = 0; i < 5; i++)
                if (high[i] < 0 || dup2(high[i], i) < 0)
                        close(i);
        sys_close_range(CHILD_FIRST_FREE, ~0u, 0);
        for (int fd = 0; fd < 3; fd++)
                if (fcntl(fd, F_GETFD) < 0)
                        open("/dev/null", O_RDWR);
}

static _Noreturn void enter_child(char **argv, const int stdio[3], int report, int console)
{
        sigset_t none;
        int fd;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGPIPE, SIG_DFL);
        child_descriptors(stdio, report, console);
        /* The monitor is protected from the OOM killer, its container is not. */
        fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd >= 0) {
                fd_write_all(fd, "0", 1);
                close(fd);
        }
        life_child(argv);
}

/* ---- in the monitor ---- */

/* Forks the child with these descriptors and waits for its report. */
static int run_child(char **argv, const int stdio[3], int console, struct report *ret,
                     struct err *e)
{
        int pair[2], status;
        ssize_t n;
        pid_t pid;

        if (pipe2(pair, O_CLOEXEC) < 0)
                return err_sys(e, errno, "cannot make a pipe");
        pid = fork();
        if (pid == 0)
                enter_child(argv, stdio, pair[1], console);
        close(pair[1]);
        if (pid < 0) {
                close(pair[0]);
                return err_sys(e, errno, "cannot fork");
        }
        do
                n = read(pair[0], ret, sizeof *ret);
        while (n < 0 && errno == EINTR);
        close(pair[0]);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (n != sizeof *ret)
                return err_set(e, ERR_SYSTEM, "the runtime died without a word (%s %d)",
                               WIFSIGNALED(status) ? "signal" : "status",
                               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        if (ret->err.code == ERR_NONE)
                return 0;
        *e = ret->err;
        return -1;
}

/* Both ends of the streams of one container. */
struct ends {
        int theirs[3], ours[3]; /* -1: none */
        int console[2];         /* ours, theirs: over which the pty's master comes */
};

static void ends_close(struct ends *x)
{
        for (int i = 0; i < 3; i++) {
                x->theirs[i] = fd_close(x->theirs[i]);
                x->ours[i] = fd_close(x->ours[i]);
        }
        x->console[0] = fd_close(x->console[0]);
        x->console[1] = fd_close(x->console[1]);
}

static int ends_make(struct ends *x, const struct monitor_config *c, struct err *e)
{
        int pair[2];

        for (int i = 0; i < 3; i++)
                x->theirs[i] = x->ours[i] = -1;
        x->console[0] = x->console[1] = -1;
        if (c->tty) {
                if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, x->console) < 0)
                        return err_sys(e, errno, "cannot make a socket");
                return 0;
        }
        for (int i = 0; i < 3; i++) {
                if (i == 0 && !c->open_stdin)
                        continue;
                if (pipe2(pair, O_CLOEXEC) < 0)
                        return err_sys(e, errno, "cannot make a pipe");
                x->theirs[i] = pair[i == 0 ? 0 : 1];
                x->ours[i] = pair[i == 0 ? 1 : 0];
        }
        return 0;
}

static int take_console(struct ends *x, struct err *e)
{
        char name[64];
        size_t n = 1;

        if (fd_recv(x->console[0], name, sizeof name, &x->ours[1], &n) <= 0 || n != 1)
                return err_set(e, ERR_SYSTEM, "init sent no terminal");
        return 0;
}

static void unblock(int fd)
{
        int flags = fcntl(fd, F_GETFL);

        if (fd >= 0 && flags >= 0)
                fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static void hand_over(struct ends *x, struct streams *s, bool tty)
{
        for (int i = 0; i < 3; i++)
                unblock(x->ours[i]);
        s->tty = tty;
        s->out[LOG_STDOUT] = TAKE_FD(x->ours[1]);
        s->out[LOG_STDERR] = TAKE_FD(x->ours[2]);
        s->in = tty ? s->out[LOG_STDOUT] : TAKE_FD(x->ours[0]);
}

/* The kernel's own name of the cgroup that memory is charged to. */
static void name_cgroup(struct life *l)
{
        const struct cgroup_dir *d = cgroup_dir_of(&l->cgroup, CGROUP_MEMORY);
        const char *path = d ? str_after(d->path, d->mount) : NULL;

        snprintf(l->cgroup_path, sizeof l->cgroup_path, "%s%s",
                 d && !str_eq(d->root, "/") ? d->root : "", path ? path : "");
}

static void cgroup_none(struct cgroup *c)
{
        *c = (struct cgroup){ .v2 = -1 };
        memset(c->of, -1, sizeof c->of);
}

static int learn(struct life *l, const struct monitor_config *c, pid_t pid, struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_CONTAINER container = CONTAINER_INIT;
        struct proc_stat st;

        l->pid = pid;
        l->pidfd = sys_pidfd_open(pid);
        if (l->pidfd < 0)
                return err_sys(e, errno, "cannot watch process %d", pid);
        l->pid_start = proc_stat_read(pid, &st) == 0 ? st.start : 0;
        if (c->pid_file && runtime_pid_file(c->pid_file, pid, e) < 0)
                return err_in(e, "--pidfile");
        if (container_open(&a, c->oci_root, c->id, &container, e) < 0 ||
            container_cgroup(&l->arena, &container, &l->cgroup, e) < 0)
                return -1;
        name_cgroup(l);
        return 0;
}

int life_start(struct life *l, const struct monitor_config *c, struct streams *s,
               const char *program, struct err *e)
{
        char flags[4] = "-";
        char *argv[] = { (char *)program,
                         (char *)LIFE_CHILD,
                         (char *)c->id,
                         (char *)c->bundle,
                         (char *)c->oci_root,
                         flags,
                         NULL };
        struct report report = { 0 };
        struct ends x;
        int r = -1;

        snprintf(flags, sizeof flags, "-%s", c->tty ? "t" : "");
        l->pidfd = -1;
        if (ends_make(&x, c, e) == 0 && run_child(argv, x.theirs, x.console[1], &report, e) == 0 &&
            (!c->tty || take_console(&x, e) == 0) && learn(l, c, report.pid, e) == 0) {
                hand_over(&x, s, c->tty);
                r = 0;
        } else if (report.pid > 0) {
                struct err ignored;

                waitpid(report.pid, NULL, WNOHANG);
                life_end(l, c, &ignored);
        }
        ends_close(&x);
        return r;
}

int life_clean(const struct monitor_config *c, struct err *e)
{
        struct runtime rt = { .root = c->oci_root };

        return runtime_delete(&rt, c->id, true, e);
}

int life_end(struct life *l, const struct monitor_config *c, struct err *e)
{
        l->pidfd = fd_close(l->pidfd);
        l->pid = 0;
        arena_done(&l->arena);
        l->arena = (struct arena){ 0 };
        cgroup_none(&l->cgroup);
        return life_clean(c, e);
}

int life_exec(const struct monitor_config *c, const struct strings *command, int out,
              const char *program, pid_t *ret, struct err *e)
{
        const char *head[] = { program, LIFE_CHILD, c->id, c->bundle, c->oci_root, "-" };
        const int stdio[3] = { -1, out, out };
        struct report report = { 0 };
        AUTO_FREE char **argv = NULL;
        int r;

        argv = mem_alloc(mem_mul(sizeof *argv, ARRAY_SIZE(head) + command->n + 1));
        for (size_t i = 0; i < ARRAY_SIZE(head); i++)
                argv[i] = (char *)head[i];
        for (size_t i = 0; i < command->n; i++)
                argv[ARRAY_SIZE(head) + i] = (char *)command->v[i];
        r = run_child(argv, stdio, -1, &report, e);
        *ret = report.pid;
        return r;
}
