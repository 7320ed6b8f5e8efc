/* The client of berth-layer: starts it with what a job says, takes its record, words its death. */
#include "image/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "image/helper.h"
#include "image/layer-wire.h"
#include "kernel/signals.h"

#define PROGRAM "berth-layer"
#define ARGS_MAX 24

/* ---- arguments ---- */

struct args {
        const char *v[ARGS_MAX];
        size_t n;
        struct arena a;
};

static void arg(struct args *a, const char *text)
{
        a->v[a->n++] = text;
}

static void arg_str(struct args *a, const char *key, const char *value)
{
        if (value)
                arg(a, arena_printf(&a->a, "%s=%s", key, value));
}

static void arg_u64(struct args *a, const char *key, uint64_t value)
{
        arg(a, arena_printf(&a->a, "%s=%llu", key, (unsigned long long)value));
}

static void args_begin(struct args *a, const char *mode)
{
        *a = (struct args){ .n = 0 };
        arg(a, PROGRAM);
        arg(a, mode);
}

static void args_limits(struct args *a, const struct tar_limits *l)
{
        arg_u64(a, "limit-entries", l->entries);
        arg_u64(a, "limit-bytes", l->bytes);
        arg_u64(a, "limit-file", l->file_size);
        arg_u64(a, "limit-path", l->path);
        arg_u64(a, "limit-pax", l->pax);
        arg_u64(a, "limit-xattr", l->xattr_value);
        arg_u64(a, "limit-xattrs", l->xattrs);
        arg_u64(a, "limit-extents", l->extents);
}

static void args_job(struct args *a, const struct layer_job *j)
{
        arg_str(a, "backend", layer_backend_names[j->backend]);
        arg_str(a, "digest", j->digest);
        arg_str(a, "diff-id", j->diff_id);
        arg_u64(a, "size", j->size);
        arg_u64(a, "resume", j->resume);
        arg_u64(a, "threads", j->threads);
        arg_u64(a, "spool", j->keep_blob || (j->spool && j->size >= LAYER_SPOOL_MIN));
        arg_u64(a, "userxattr", j->userxattr);
        args_limits(a, &j->limits);
}

/* ---- the process ---- */

static int start(struct args *a, int in, int out, int dir, int lower, struct layer_process *ret,
                 struct err *e)
{
        int fds[LAYER_FD_MAX] = { in, out, STDERR_FILENO, dir, -1, lower }, pair[2], r;

        if (pipe2(pair, O_CLOEXEC) < 0)
                return err_sys(e, errno, "cannot make a pipe");
        fds[LAYER_FD_RESULT] = pair[1];
        arg(a, NULL);
        r = helper_start(a->v, fds, LAYER_FD_MAX, -1, &ret->pid, &ret->pidfd, e);
        fd_close(pair[1]);
        if (r < 0) {
                fd_close(pair[0]);
                return -1;
        }
        ret->result = pair[0];
        return 0;
}

static int died(int status, struct err *e)
{
        int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

        if (sig == SIGSYS) {
                err_set(e, ERR_INTERNAL,
                        PROGRAM " was stopped for a system call that it is not allowed to make");
                return err_hint(e, "Set BERTH_CONFINE_TELL=1 to see which one it was.");
        }
        if (sig == SIGKILL) {
                err_set(e, ERR_SYSTEM, PROGRAM " was killed");
                return err_hint(e, "The kernel log says whether memory had run out.");
        }
        if (sig)
                return err_set(e, ERR_INTERNAL, PROGRAM " was ended by signal %d (%s)", sig,
                               signal_name(sig) ? signal_name(sig) : "?");
        return err_set(e, ERR_INTERNAL, PROGRAM " ended with status %d and no result",
                       WEXITSTATUS(status));
}

static int take_text(char *to, size_t cap, const char *from)
{
        size_t n = strnlen(from, cap);

        if (n == cap)
                return -EINVAL;
        memcpy(to, from, n + 1);
        return 0;
}

/* Trusts nothing: -EINVAL. */
static int wire_take(const struct layer_wire *w, struct layer_result *ret)
{
        *ret = (struct layer_result){ .size = w->size,
                                      .tar_size = w->tar_size,
                                      .entries = w->entries,
                                      .corrupt_spool = w->corrupt_spool != 0,
                                      .leans = w->leans != 0 };
        if (w->magic != LAYER_WIRE_MAGIC || w->code >= ERR_MAX ||
            take_text(ret->err.chain, sizeof ret->err.chain, w->chain) < 0 ||
            take_text(ret->err.hint, sizeof ret->err.hint, w->hint) < 0 ||
            take_text(ret->digest, sizeof ret->digest, w->digest) < 0 ||
            take_text(ret->diff_id, sizeof ret->diff_id, w->diff_id) < 0)
                return -EINVAL;
        if ((ret->digest[0] && digest_check(ret->digest, NULL) < 0) ||
            (ret->diff_id[0] && digest_check(ret->diff_id, NULL) < 0))
                return -EINVAL;
        ret->err.code = (enum err_code)w->code;
        ret->err.sys = w->sys;
        return 0;
}

static ssize_t read_record(int fd, void *p, size_t cap)
{
        size_t n = 0;

        while (n < cap) {
                ssize_t r = read(fd, (char *)p + n, cap - n);

                if (r < 0 && errno == EINTR)
                        continue;
                if (r <= 0)
                        break;
                n += (size_t)r;
        }
        return (ssize_t)n;
}

static void let_go(struct layer_process *p)
{
        p->result = fd_close(p->result);
        p->pidfd = fd_close(p->pidfd);
        p->progress = fd_close(p->progress);
        p->pid = 0;
}

/* Reaps it. ret->err is what it says; the return value is what was found out about it. */
static int finish(struct layer_process *p, struct layer_result *ret, struct err *e)
{
        struct layer_wire wire;
        ssize_t n = read_record(p->result, &wire, sizeof wire);
        int status = 0;

        while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
                ;
        let_go(p);
        if (n != (ssize_t)sizeof wire || (WIFSIGNALED(status)))
                return died(status, e);
        if (wire_take(&wire, ret) < 0)
                return err_set(e, ERR_INTERNAL, PROGRAM " gave an answer that makes no sense");
        return 0;
}

/* finish() for who has no use for the result but its success. */
static int finish_plainly(struct layer_process *p, struct layer_result *ret, struct err *e)
{
        if (finish(p, ret, e) < 0)
                return -1;
        if (ret->err.code == ERR_NONE)
                return 0;
        if (e)
                *e = ret->err;
        return -1;
}

/* ---- unpacking ---- */

int layer_start(const struct layer_job *j, const struct log *log, struct layer_process *ret,
                struct err *e)
{
        struct args a;
        int r;

        args_begin(&a, "unpack");
        args_job(&a, j);
        *ret = (struct layer_process){ .stage = j->stage, .keep_blob = j->keep_blob };
        ret->begin = lseek(j->input, 0, SEEK_CUR);
        /* A pipe's end is not held here: who writes to it shall see that its reader died. */
        ret->progress = ret->begin < 0 ? -1 : fcntl(j->input, F_DUPFD_CLOEXEC, 3);
        snprintf(ret->digest, sizeof ret->digest, "%s", j->digest ? j->digest : "");
        r = start(&a, j->input, -1, j->stage, -1, ret, e);
        arena_done(&a.a);
        if (r == 0)
                log_debug(log, "%s pid=%d blob=%s size=%llu resume=%llu threads=%u backend=%s",
                          PROGRAM, (int)ret->pid, ret->digest, (unsigned long long)j->size,
                          (unsigned long long)j->resume, j->threads,
                          layer_backend_names[j->backend]);
        return r;
}

int layer_wait(struct layer_process *p, struct layer_result *ret, struct err *e)
{
        int r = finish_plainly(p, ret, e);

        /* Nobody, whom it ran as, can't remove a file. */
        if (r == 0 && !p->keep_blob)
                unlinkat(p->stage, "spool", 0);
        if (r == 0 || !p->digest[0])
                return r;
        return err_in(e, "cannot unpack blob '%s'", p->digest);
}

void layer_kill(struct layer_process *p)
{
        if (p->pid <= 0)
                return;
        kill(p->pid, SIGKILL);
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        let_go(p);
}

uint64_t layer_spooled(int stage)
{
        struct stat st;

        if (fstatat(stage, "spool", &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
                return 0;
        return (uint64_t)st.st_size;
}

/* ---- the other modes ---- */

static int call(struct args *a, int in, int out, int dir, int lower, struct layer_result *ret,
                struct err *e)
{
        struct layer_process p = { .progress = -1 };
        struct layer_result own;
        int r = start(a, in, out, dir, lower, &p, e);

        arena_done(&a->a);
        return r < 0 ? -1 : finish_plainly(&p, ret ? ret : &own, e);
}

int layer_settle(enum layer_backend backend, int stage, int lower, const struct log *log,
                 struct err *e)
{
        struct args a;

        args_begin(&a, "settle");
        arg_str(&a, "backend", layer_backend_names[backend]);
        if (call(&a, -1, -1, stage, lower, NULL, e) < 0)
                return err_in(e, "cannot settle what the layer takes from those below it");
        return 0;
}

static void args_layer(struct args *a, const struct layer *l)
{
        arg_str(a, "backend", layer_backend_names[l->backend]);
        arg_str(a, "diff-id", l->diff_id);
        arg_u64(a, "size", l->size);
}

static void args_pack(struct args *a, const struct layer *l, const char *compression, int level)
{
        args_begin(a, compression ? "pack" : "tar");
        args_layer(a, l);
        arg_str(a, "compression", compression);
        if (compression)
                arg_u64(a, "level", (uint64_t)level);
}

int layer_tar(const struct layer *l, int dir, int out, const struct log *log, struct err *e)
{
        struct args a;

        args_pack(&a, l, NULL, 0);
        if (call(&a, -1, out, dir, -1, NULL, e) < 0)
                return err_in(e, "cannot read layer '%s'", l->key);
        return 0;
}

int layer_pack_start(const struct layer *l, int dir, int out, const char *compression, int level,
                     const struct log *log, struct layer_process *ret, struct err *e)
{
        AUTO_FD int progress = memfd_create("progress", MFD_CLOEXEC);
        struct layer_process p = { .stage = -1 };
        struct args a;
        int r;

        if (progress < 0)
                return err_sys(e, errno, "cannot watch a layer");
        args_pack(&a, l, compression, level);
        r = start(&a, progress, out, dir, -1, &p, e);
        arena_done(&a.a);
        if (r < 0)
                return -1;
        p.progress = TAKE_FD(progress);
        log_debug(log, "%s pid=%d layer=%s compression=%s", PROGRAM, (int)p.pid, l->key,
                  compression ? compression : "none");
        *ret = p;
        return 0;
}

int layer_pack_end(struct layer_process *p, char ret_digest[DIGEST_CAP], uint64_t *ret_size,
                   struct err *e)
{
        struct layer_result result;

        if (finish_plainly(p, &result, e) < 0)
                return -1;
        memcpy(ret_digest, result.digest, DIGEST_CAP);
        *ret_size = result.size;
        return 0;
}

uint64_t layer_progress(const struct layer_process *p)
{
        off_t at = p->progress < 0 ? -1 : lseek(p->progress, 0, SEEK_CUR);

        return at > p->begin ? (uint64_t)(at - p->begin) : 0;
}

int layer_inflate(int in, int out, const struct log *log, struct err *e)
{
        struct args a;

        args_begin(&a, "inflate");
        if (call(&a, in, out, -1, -1, NULL, e) < 0)
                return err_in(e, "cannot decompress the archive");
        return 0;
}
