#include "monitor/life.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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
#include "monitor/monitor.h"
#include "oci/runtime.h"

/* What the child reports, in one packet. */
struct report {
        struct err err; /* ERR_NONE: it runs */
        int32_t pid;
};

/* The child's descriptor, over which its order comes and its report goes (with a descriptor of the
 * container's sd_notify socket, where it has one). */
#define CHILD_SOCK 3

/* An order: its words, each ended by a NUL; then, in a packet of their own, the descriptors, with
 * letters of "012c" for the standard streams and a console, in this order, "-": none; then those
 * that the container gets. The words may come long before: what they tell of is read and planned
 * meanwhile, and nothing made yet. */
enum {
        WORD_CONSOLE, /* "c": one will come; "-": none */
        WORD_ID,
        WORD_BUNDLE,
        WORD_ROOT,
        WORD_PARENT,   /* the monitor's pid */
        WORD_PATIENCE, /* ms; 0: for ever */
        WORD_NOTIFY,   /* "1": it gets an sd_notify socket, where there is a $NOTIFY_SOCKET */
        WORD_COMMAND   /* and on: an exec's; none: start the container */
};
static const char fd_letters[] = "012c";
enum { FD_CONSOLE = 3, FD_KINDS = 4 };

struct order {
        struct strings words;
        int fds[FD_KINDS]; /* -1: not given */
        int preserved[WIRE_PRESERVED_MAX];
        size_t n_preserved;
        int sock; /* CHILD_SOCK, or where it had to go */
};

/* ---- in the child ---- */

/* Waits for its words. 0; -ENOTCONN where the monitor has died, or -errno. */
static int take_words(struct arena *a, struct order *o)
{
        size_t nwords = 0;
        ssize_t n = recv(CHILD_SOCK, NULL, 0, MSG_PEEK | MSG_TRUNC);
        char *text;

        if (n <= 0)
                return n < 0 ? -errno : -ENOTCONN;
        text = arena_alloc(a, (size_t)n + 1);
        n = fd_recv(CHILD_SOCK, text, (size_t)n, NULL, NULL);
        if (n < 0)
                return (int)n;
        for (ssize_t i = 0; i < n; i++)
                nwords += text[i] == 0;
        o->words.v = arena_array(a, const char *, nwords + 1);
        for (; o->words.n < nwords; text += strlen(text) + 1)
                o->words.v[o->words.n++] = text;
        return nwords < WORD_COMMAND ? -EPROTO : 0;
}

/* Its descriptors; the same. */
static int take_fds(struct order *o)
{
        char letters[FD_KINDS + 1] = "";
        int got[FD_KINDS + WIRE_PRESERVED_MAX];
        size_t ngot = ARRAY_SIZE(got), at = 0;
        ssize_t n = fd_recv(CHILD_SOCK, letters, FD_KINDS, got, &ngot);

        if (n <= 0)
                return n < 0 ? (int)n : -ENOTCONN;
        for (size_t i = 0; i < FD_KINDS; i++)
                o->fds[i] = strchr(letters, fd_letters[i]) && at < ngot ? got[at++] : -1;
        while (at < ngot && o->n_preserved < WIRE_PRESERVED_MAX)
                o->preserved[o->n_preserved++] = got[at++];
        return 0;
}

static int move_away(int *fd)
{
        int to = *fd < 0 ? -1 : fcntl(*fd, F_DUPFD_CLOEXEC, 2 * WIRE_PRESERVED_MAX);

        if (*fd >= 0 && to < 0)
                return -errno;
        fd_close(*fd);
        *fd = to;
        return 0;
}

/* From 3 on, for the container; what lies there, our socket among it, gives way. */
static int place_preserved(struct order *o)
{
        int r = o->n_preserved ? move_away(&o->sock) : 0;

        for (size_t i = 0; r == 0 && i < FD_KINDS; i++)
                r = o->n_preserved ? move_away(&o->fds[i]) : 0;
        for (size_t i = 0; r == 0 && i < o->n_preserved; i++)
                r = move_away(&o->preserved[i]);
        for (size_t i = 0; r == 0 && i < o->n_preserved; i++) {
                if (dup2(o->preserved[i], 3 + (int)i) < 0)
                        return -errno;
                close(o->preserved[i]);
        }
        return r;
}

/* How many of the descriptors $LISTEN_FDS counts: only the first life gets any. */
static uint32_t settle_listen(const struct order *o)
{
        const char *text = getenv("LISTEN_FDS");
        uint32_t listening = 0;

        if (o->n_preserved == 0)
                unsetenv("LISTEN_FDS");
        else if (text && str_to_u32(text, &listening) < 0)
                listening = 0;
        return MIN(listening, (uint32_t)o->n_preserved);
}

/* Those that were not given are /dev/null already. */
static int place_streams(const struct order *o)
{
        for (int i = 0; i < 3; i++)
                if (o->fds[i] >= 0 && (dup2(o->fds[i], i) < 0 || close(o->fds[i]) < 0))
                        return -errno;
        return 0;
}

static int take_streams(struct order *o, struct err *e)
{
        int r = take_fds(o);

        if (r == -ENOTCONN) /* nothing is to be done, and nothing has been */
                _exit(0);
        if (r < 0)
                return err_sys(e, r, "cannot take the monitor's order");
        r = place_preserved(o);
        if (r == 0)
                r = place_streams(o);
        return r < 0 ? err_sys(e, r, "cannot place the container's descriptors") : 0;
}

struct start {
        struct order *order;
        struct create_options options;
};

static int start_ready(void *ctx, struct err *e)
{
        struct start *s = ctx;

        if (take_streams(s->order, e) < 0)
                return -1;
        s->options.console_fd = MAX(s->order->fds[FD_CONSOLE], 0);
        s->options.preserve_fds = (int64_t)s->order->n_preserved - settle_listen(s->order);
        return 0;
}

static int child_start(const struct runtime *rt, struct order *o, const struct strings *env,
                       struct report *r, int *ret_notify)
{
        struct start s = { .order = o };
        int status;

        s.options = (struct create_options){
                .id = o->words.v[WORD_ID],
                .bundle = o->words.v[WORD_BUNDLE],
                .env = *env,
                .console_fd = *o->words.v[WORD_CONSOLE] == 'c' ? -1 : 0,
                .ret_pid = &r->pid,
                .detach = true,
                .no_subreaper = true,
                .parent = (pid_t)strtol(o->words.v[WORD_PARENT], NULL, 10),
                .patience_ms = strtoll(o->words.v[WORD_PATIENCE], NULL, 10),
                .ret_notify = ret_notify,
                .ready = start_ready,
                .ready_ctx = &s,
        };
        return runtime_run(rt, &s.options, &status, &r->err);
}

static int child_exec(const struct runtime *rt, struct order *o, const struct strings *env,
                      struct report *r)
{
        struct exec_options x = { .id = o->words.v[WORD_ID],
                                  .args = { o->words.v + WORD_COMMAND, o->words.n - WORD_COMMAND },
                                  .env = *env,
                                  .ret_pid = &r->pid,
                                  .detach = true,
                                  .patience_ms = strtoll(o->words.v[WORD_PATIENCE], NULL, 10) };
        int status;

        unsetenv("LISTEN_FDS");
        return take_streams(o, &r->err) < 0 ? -1 : runtime_exec(rt, &x, &status, &r->err);
}

static int carry_out(struct arena *a, struct order *o, struct report *r, int *ret_notify)
{
        struct runtime rt = { .root = o->words.v[WORD_ROOT] };
        struct strings env;

        if (monitor_env_read(a, o->words.v[WORD_BUNDLE], &env, &r->err) < 0)
                return -1;
        if (!str_eq(o->words.v[WORD_NOTIFY], "1"))
                unsetenv("NOTIFY_SOCKET");
        return o->words.n > WORD_COMMAND ? child_exec(&rt, o, &env, r)
                                         : child_start(&rt, o, &env, r, ret_notify);
}

void life_child(char **argv)
{
        struct report r = { 0 };
        struct order o = { .sock = CHILD_SOCK };
        AUTO_ARENA a = { 0 };
        int notify = -1;
        int detached = exe_detach(argv), status = take_words(&a, &o);

        if (status == -ENOTCONN)
                _exit(0);
        if (detached < 0)
                status = err_sys(&r.err, detached, "cannot let go of the program's file");
        else if (status < 0)
                status = err_sys(&r.err, status, "cannot take the monitor's order");
        else
                status = carry_out(&a, &o, &r, &notify);
        fd_send(o.sock, &r, sizeof r, &notify, notify >= 0);
        _exit(status < 0);
}

static _Noreturn void enter_child(const char *program, int sock)
{
        char *argv[] = { (char *)program, (char *)LIFE_CHILD, NULL };
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGPIPE, SIG_DFL);
        if (dup2(sock, CHILD_SOCK) < 0)
                _exit(1);
        sys_close_range(CHILD_SOCK + 1, ~0u, 0);
        /* The monitor is protected from the OOM killer, its container is not. */
        fd_put_at(AT_FDCWD, "/proc/self/oom_score_adj", "0");
        life_child(argv);
}

/* ---- in the monitor ---- */

int life_ready(struct life_spare *c, const char *program, struct err *e)
{
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return err_sys(e, errno, "cannot make a socket");
        c->pid = fork();
        if (c->pid == 0)
                enter_child(program, pair[1]);
        close(pair[1]);
        if (c->pid < 0) {
                close(pair[0]);
                return err_sys(e, errno, "cannot fork");
        }
        /* Low numbers are those of enum monitor_fd. */
        c->sock = fcntl(pair[0], F_DUPFD_CLOEXEC, 32);
        close(pair[0]);
        return c->sock < 0 ? err_sys(e, errno, "cannot make a socket") : 0;
}

static int send_words(struct life_spare *c, const struct strings *words, struct err *e)
{
        AUTO_BUF text = { 0 };
        int r;

        for (size_t i = 0; i < words->n; i++)
                buf_add(&text, words->v[i], strlen(words->v[i]) + 1);
        r = fd_send(c->sock, text.s, text.len, NULL, 0);
        return r < 0 ? err_sys(e, r, "cannot give the runtime its order") : 0;
}

/* One that has failed by now has told why. */
static void send_fds(int sock, const int fds[FD_KINDS], const struct life_fds *preserved)
{
        char letters[FD_KINDS];
        int given[FD_KINDS + WIRE_PRESERVED_MAX];
        size_t n = 0;

        for (size_t i = 0; i < FD_KINDS; i++)
                if (fds[i] >= 0) {
                        letters[n] = fd_letters[i];
                        given[n++] = fds[i];
                }
        memcpy(given + n, preserved->v, preserved->n * sizeof *given);
        fd_send(sock, n ? letters : "-", n ? n : 1, given, n + preserved->n);
}

/* What child_start() is told. */
static int send_start(struct life_spare *c, const struct monitor_config *m, struct err *e)
{
        char self[16], patience[24];
        const char *words[] = { m->tty ? "c" : "-",
                                m->id,
                                m->bundle,
                                m->oci_root,
                                self,
                                patience,
                                notify_is_own(m->notify) ? "1" : "0" };

        snprintf(self, sizeof self, "%d", getpid());
        snprintf(patience, sizeof patience, "%" PRId64, m->start_timeout_ms);
        return send_words(c, &(struct strings){ words, ARRAY_SIZE(words) }, e);
}

void life_ahead(struct life_spare *c, const struct wire_ahead *w)
{
        const struct monitor_config m = { .id = w->id,
                                          .bundle = w->bundle,
                                          .oci_root = w->oci_root,
                                          .tty = w->tty,
                                          .start_timeout_ms = w->start_timeout_ms,
                                          .notify = w->notify ? NOTIFY_CONTAINER : NOTIFY_IGNORE };

        c->told = send_start(c, &m, &(struct err){ 0 }) == 0;
}

/* Has the child, which knows what to do, do it with these, and waits for its report. */
static int run_child(struct life_spare *c, const int fds[FD_KINDS],
                     const struct life_fds *preserved, struct report *ret, int *ret_notify,
                     struct err *e)
{
        size_t nfds = 1;
        ssize_t n;
        int status;

        send_fds(c->sock, fds, preserved);
        /* ECONNRESET: it ended without having read that; what it said of it comes next. */
        while ((n = fd_recv(c->sock, ret, sizeof *ret, ret_notify, &nfds)) == -ECONNRESET)
                ;
        c->sock = fd_close(c->sock);
        c->told = false;
        while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
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

/* A child for a life: the one that is ready, or one forked now; told what it is to start. */
static int tell_child(struct life_spare *c, const struct monitor_config *m, const char *program,
                      struct err *e)
{
        if (c->sock < 0 && life_ready(c, program, e) < 0)
                return -1;
        return c->told ? 0 : send_start(c, m, e);
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
        if (c->log_driver == LOG_DRIVER_PASSTHROUGH) {
                for (int i = 0; i < 3; i++)
                        x->theirs[i] = fcntl(MONITOR_FD_STDIN + i, F_DUPFD_CLOEXEC, 0);
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

int life_start(struct life *l, const struct monitor_config *c, const struct life_fds *preserved,
               struct streams *s, const char *program, struct err *e)
{
        struct report report = { 0 };
        struct ends x;
        int r = -1, notify = -1;

        l->pidfd = -1;
        if (ends_make(&x, c, e) == 0 && tell_child(&l->spare, c, program, e) == 0 &&
            run_child(&l->spare, (int[]){ x.theirs[0], x.theirs[1], x.theirs[2], x.console[1] },
                      preserved, &report, &notify, e) == 0 &&
            (!c->tty || take_console(&x, e) == 0) && learn(l, c, report.pid, e) == 0) {
                hand_over(&x, s, c->tty);
                l->notify = TAKE_FD(notify);
                r = 0;
        } else {
                struct err ignored;

                /* A runtime that was killed has told nothing of the init that it left. */
                life_end(l, c, &ignored);
                if (report.pid > 0)
                        waitpid(report.pid, NULL, WNOHANG);
        }
        fd_close(notify);
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
        l->notify = fd_close(l->notify);
        l->pid = 0;
        arena_done(&l->arena);
        l->arena = (struct arena){ 0 };
        cgroup_none(&l->cgroup);
        return life_clean(c, e);
}

int life_exec(const struct monitor_config *c, const struct strings *command, int out,
              int64_t patience_ms, const char *program, struct life_spare *ret, struct err *e)
{
        char patience[24];
        const char *head[] = { "-", c->id, c->bundle, c->oci_root, "-", patience, "0" };
        AUTO_ARENA a = { 0 };
        struct strings words = { arena_array(&a, const char *, ARRAY_SIZE(head) + command->n), 0 };

        snprintf(patience, sizeof patience, "%" PRId64, patience_ms);
        for (size_t i = 0; i < ARRAY_SIZE(head); i++)
                words.v[words.n++] = head[i];
        for (size_t i = 0; i < command->n; i++)
                words.v[words.n++] = command->v[i];
        *ret = (struct life_spare)LIFE_SPARE_NONE;
        if (life_ready(ret, program, e) < 0)
                return -1;
        if (send_words(ret, &words, e) == 0) {
                send_fds(ret->sock, (int[]){ -1, out, out, -1 }, &(struct life_fds){ 0 });
                return 0;
        }
        ret->sock = fd_close(ret->sock); /* it ends where no order comes */
        return -1;
}

int life_exec_report(struct life_spare *c, pid_t *ret, struct err *e)
{
        struct report report;
        ssize_t n = recv(c->sock, &report, sizeof report, MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNRESET))
                return 0;
        c->sock = fd_close(c->sock);
        if (n != sizeof report)
                return err_set(e, ERR_SYSTEM, "the runtime died without a word");
        if (report.err.code != ERR_NONE) {
                *e = report.err;
                return -1;
        }
        *ret = report.pid;
        return 1;
}
