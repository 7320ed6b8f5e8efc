#include "oci/checkpoint-criu.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "kernel/sys.h"
#include "oci/sync.h"

#define ANSWER_MAX 65536u
/* So many other lines between two errors make them two stories. */
#define BLOCK_GAP 4
#define LOG_MAX (64u << 20)

/* ---- the process ---- */

/* What was blocked or ignored here would stay so in criu, which waits for its children by
 * SIGCHLD. */
static void reset_signals(void)
{
        sigset_t none;

        for (int sig = 1; sig < 32; sig++)
                signal(sig, SIG_DFL);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
}

static int set_stdio(const struct criu_child *child)
{
        int null;

        if (child->keep_stdio)
                return 0;
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int fd = 0; fd < 3; fd++)
                if (null < 0 || dup2(null, fd) < 0)
                        return -errno;
        return 0;
}

static int become(const struct criu_child *child, int sock, struct err *e)
{
        char number[16];
        int r = set_stdio(child);

        if (r < 0)
                return err_sys(e, r, "cannot give criu its standard descriptors");
        reset_signals();
        sys_close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
        fcntl(sock, F_SETFD, 0);
        for (size_t i = 0; i < child->n_fds; i++)
                fcntl(child->fds[i], F_SETFD, 0);
        snprintf(number, sizeof number, "%d", sock);
        execlp("criu", "criu", "swrk", number, (char *)NULL);
        if (errno != ENOENT)
                return err_sys(e, errno, "cannot execute criu");
        err_set(e, ERR_NOT_FOUND, "criu is missing: no program of that name in PATH");
        return err_hint(e, "install criu %d.%d or later", CRIU_VERSION_MIN / 10000,
                        CRIU_VERSION_MIN / 100 % 100);
}

_Noreturn static void child_main(struct criu *c, const struct criu_child *child, int sock, int sync)
{
        struct err e = { 0 };

        /* Our ends of its sockets, or it would never see them closed. */
        fd_close(c->sock);
        fd_close(c->sync);
        int r = child->join ? cgroup_join_self(child->join) : 0;
        if (r < 0)
                err_sys(&e, r, "cannot join the container's cgroup");
        else if (!child->prepare || child->prepare(child->context, sync, &e) == 0)
                become(child, sock, &e);
        sync_send_err(sync, &e);
        _exit(1);
}

static pid_t clone_child(const struct criu_child *child)
{
        struct clone_args args = { .exit_signal = SIGCHLD };

        if (child->join && child->join->v2 >= 0) {
                args.flags = CLONE_INTO_CGROUP;
                args.cgroup = (uint64_t)child->join->v2;
        }
        return sys_clone3(&args);
}

int criu_start(struct criu *c, const struct criu_child *child, struct err *e)
{
        int talk[2], sync[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, talk) < 0)
                return err_sys(e, errno, "cannot make a socket");
        c->sock = talk[0];
        AUTO_FD int theirs = talk[1];
        r = sync_pair(sync);
        if (r < 0)
                return err_sys(e, r, "cannot make a socket");
        c->sync = sync[0];
        AUTO_FD int their_sync = sync[1];
        c->pid = clone_child(child);
        if (c->pid == 0)
                child_main(c, child, theirs, their_sync);
        if (c->pid < 0) {
                c->pid = 0;
                return err_sys(e, errno, "cannot clone a process for criu");
        }
        return 0;
}

void criu_done(struct criu *c)
{
        c->sock = fd_close(c->sock);
        c->sync = fd_close(c->sync);
        while (c->pid > 0 && waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        c->pid = 0;
}

/* ---- its log ---- */

/* A line "(00.0123)     1: Error (criu/mount.c:12): text" from the text on, or NULL for another. */
static const char *error_text(const char *line)
{
        const char *text = strstr(line, "Error (");

        text = text ? strstr(text, "): ") : NULL;
        return text ? text + 3 : NULL;
}

struct criu_errors {
        const char *first, *last; /* of the last block of errors: cause and outcome */
        bool kernel;              /* it could not make sense of this kernel */
};

static void read_errors(struct arena *a, char *log, struct criu_errors *ret)
{
        unsigned since = BLOCK_GAP; /* lines since the last error */

        for (char *line = log, *end; *line; line = end) {
                const char *text;

                end = line + strcspn(line, "\n");
                if (*end)
                        *end++ = 0;
                ret->kernel |= strstr(line, "Error (criu/kerndat.c") != NULL;
                text = error_text(line);
                /* "Dumping FAILED.": its very last word, which we know. */
                if (text && !str_ends(text, "FAILED.")) {
                        ret->last = text;
                        if (since >= BLOCK_GAP)
                                ret->first = text;
                }
                since = text ? 0 : since + 1;
        }
        ret->last = ret->last ? arena_strdup(a, ret->last) : NULL;
        ret->first = ret->first ? arena_strdup(a, ret->first) : NULL;
}

static void hint_kernel(const struct criu *c, struct err *e)
{
        struct utsname u;

        if (uname(&u) == 0)
                err_hint(e, "criu %d.%d.%d does not fit kernel %.40s; `criu check` says more",
                         c->version / 10000, c->version / 100 % 100, c->version % 100, u.release);
}

/* CRIU failed: what its log has to say. */
static int explain(const struct criu *c, const struct criu_response *r, struct err *e)
{
        struct criu_errors found = { 0 };
        AUTO_FREE char *log = NULL;
        const char *last;
        size_t n;

        if (c->log_dir >= 0 && fd_read_file_at(c->log_dir, c->log_name, LOG_MAX, &log, &n) == 0)
                read_errors(c->arena, log, &found);
        last = found.last ? found.last : r && r->message ? r->message : NULL;
        if (last)
                err_set(e, ERR_SYSTEM, "%s", last);
        else if (r && r->sys)
                err_sys(e, r->sys, "no reason in its log");
        else
                err_set(e, ERR_SYSTEM, "it died without a word");
        if (found.first && !str_eq(found.first, found.last))
                err_in(e, "%s, and at last", found.first);
        if (log)
                err_in(e, "criu cannot %s (log \"%s/%s\")", c->doing, c->log_dir_path, c->log_name);
        else
                err_in(e, "criu cannot %s", c->doing);
        if (found.kernel)
                hint_kernel(c, e);
        return -1;
}

/* ---- the conversation ---- */

static int say(struct criu *c, const struct criu_request *r, struct err *e)
{
        AUTO_BUF out = { 0 };

        criu_request_encode(r, &out);
        if (send(c->sock, out.s, out.len, MSG_NOSIGNAL) == (ssize_t)out.len)
                return 0;
        return errno == EPIPE ? explain(c, NULL, e) : err_sys(e, errno, "cannot talk to criu");
}

/* 1: an answer; 0: criu hung up. *ret_fd: what came along, the caller's to close, or -1. */
static int hear(struct criu *c, struct criu_response *ret, int *ret_fd, struct err *e)
{
        AUTO_FREE char *bytes = mem_alloc(ANSWER_MAX);
        size_t n_fds = 1;
        ssize_t n = fd_recv(c->sock, bytes, ANSWER_MAX, ret_fd, &n_fds);

        if (n_fds != 1 || n <= 0)
                *ret_fd = -1;
        if (n == 0 || n == -ECONNRESET)
                return 0;
        if (n < 0)
                return err_sys(e, (int)n, "cannot hear from criu");
        if (criu_response_decode(c->arena, bytes, (size_t)n, ret) == 0)
                return 1;
        *ret_fd = fd_close(*ret_fd);
        return err_set(e, ERR_SYSTEM, "criu sent an answer that is none");
}

/* Before it executes criu the process may say why it can't. */
static int check_started(struct criu *c, struct err *e)
{
        struct sync_msg m;
        int r = c->sync < 0 ? 0 : sync_recv(c->sync, &m);

        c->sync = fd_close(c->sync);
        if (r == 1 && m.kind == SYNC_ERROR) {
                *e = m.err;
                return -1;
        }
        return 0;
}

/* A question that CRIU answers at once, and after which it waits for the next. */
static int ask(struct criu *c, struct criu_request *r, struct criu_response *ret, struct err *e)
{
        int fd = -1, got;

        r->keep_open = true;
        if (say(c, r, e) < 0)
                return -1;
        got = hear(c, ret, &fd, e);
        if (got == 1)
                fd_close(fd);
        return got == 0 ? explain(c, NULL, e) : MIN(got, 0);
}

int criu_meet(struct criu *c, struct err *e)
{
        struct criu_request request = { .type = CRIU_VERSION };
        struct criu_response r;
        const struct criu_version *v;

        if (check_started(c, e) < 0 || ask(c, &request, &r, e) < 0)
                return -1;
        v = r.version;
        if (!r.success || !v)
                return err_set(e, ERR_UNSUPPORTED, "criu does not tell its version");
        c->version = v->major * 10000 + v->minor * 100 + v->sublevel;
        log_debug(c->log, "criu %d", c->version);
        if (c->version >= CRIU_VERSION_MIN)
                return 0;
        return err_set(e, ERR_UNSUPPORTED, "criu %d.%d.%d is too old: %d.%d is needed", v->major,
                       v->minor, v->sublevel, CRIU_VERSION_MIN / 10000,
                       CRIU_VERSION_MIN / 100 % 100);
}

int criu_need(struct criu *c, const struct criu_features *wanted, const char *why, struct err *e)
{
        struct criu_features features = *wanted;
        struct criu_request request = { .type = CRIU_FEATURE_CHECK, .features = &features };
        struct criu_response r;

        if (ask(c, &request, &r, e) < 0)
                return -1;
        /* Where it can't find out, the real request fails for the same reason, and leaves a log. */
        if (!r.success || !r.features)
                return 0;
        if (wanted->mem_track && !r.features->mem_track)
                return err_set(e, ERR_UNSUPPORTED,
                               "%s: this kernel does not track memory (CONFIG_MEM_SOFT_DIRTY)",
                               why);
        if (wanted->lazy_pages && !r.features->lazy_pages)
                return err_set(e, ERR_UNSUPPORTED,
                               "%s: this kernel lacks userfaultfd, or its non-cooperative mode",
                               why);
        return 0;
}

/* Answers a notification; the first failure is kept for the end. */
static int notified(struct criu *c, const struct criu_notify *n, int fd, criu_notify_fn *notify,
                    void *context, struct err *kept)
{
        struct criu_request leave = { .type = CRIU_NOTIFY, .notify_success = true };
        AUTO_FD int came = fd;

        if (!n || !n->script)
                leave.notify_success = false;
        else if (notify && notify(context, n, &came, kept) < 0)
                leave.notify_success = false;
        return say(c, &leave, NULL);
}

int criu_work(struct criu *c, int32_t type, struct criu_opts *opts, criu_notify_fn *notify,
              void *context, struct criu_response *ret, struct err *e)
{
        struct criu_request request = { .type = type, .opts = opts };
        struct err kept = { 0 };
        int fd = -1, r;

        if (say(c, &request, e) < 0)
                return -1;
        while ((r = hear(c, ret, &fd, e)) == 1 && ret->type == CRIU_NOTIFY) {
                log_debug(c->log, "criu: %s",
                          ret->notify && ret->notify->script ? ret->notify->script : "?");
                if (notified(c, ret->notify, TAKE_FD(fd), notify, context, &kept) < 0)
                        break;
        }
        if (r < 0)
                return -1;
        fd_close(fd);
        if (r == 1 && ret->success && ret->type == type && !kept.code)
                return 0;
        if (kept.code) {
                *e = kept;
                return err_in(e, "criu was told to give up");
        }
        return explain(c, r == 1 ? ret : NULL, e);
}
