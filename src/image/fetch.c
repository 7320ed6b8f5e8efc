/* The client of berth-fetch: starts it, writes requests, reads events. The functions that wait put
 * what comes for others aside, for fetch_next(). */
#include "image/fetch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "codec/json.h"
#include "image/fetch-protocol.h"
#include "image/helper.h"

/* Requests that are waited for have ids of their own, above those of callers. */
#define WAITED_IDS 0x80000000u
#define ANSWER_MAX (64u << 20) /* of a list of tags; the others are limited by berth-fetch, too */

static const struct json_limits event_limits = { .bytes = FETCH_MESSAGE_MAX,
                                                 .depth = 8,
                                                 .memory = 1u << 20 };

struct aside {
        struct aside *next;
        struct fetch_event event;
};

struct fetch {
        pid_t pid;
        int pidfd, socket;
        uint32_t last_id;
        struct aside *first, **end; /* events that came while something else was waited for */
        char *repository;
        const struct interrupts *interrupts; /* NULL: nothing interrupts */
};

/* ---- messages ---- */

struct message { /* that came; done with message_done() */
        struct arena arena;
        struct json json;
        uint32_t id;
        int fd; /* -1: none */
};

static void message_done(struct message *m)
{
        fd_close(m->fd);
        arena_done(&m->arena);
}

static int gone(struct fetch *f, struct err *e)
{
        siginfo_t info = {};

        if (f->pidfd >= 0 && waitid(P_PIDFD, (id_t)f->pidfd, &info, WEXITED | WNOWAIT) == 0 &&
            info.si_code != CLD_EXITED && info.si_status == SIGSYS) {
                err_set(e, ERR_INTERNAL, "berth-fetch made a system call that its filter forbids");
                return err_hint(e, "Run again with BERTH_CONFINE_TELL=1 to see which.");
        }
        if (info.si_pid > 0 && info.si_code != CLD_EXITED)
                return err_set(e, ERR_INTERNAL, "berth-fetch was killed by signal %d",
                               info.si_status);
        return err_set(e, ERR_INTERNAL, "berth-fetch ended too early");
}

/* Whether there is something to read, as poll(2) has it; -1: interrupted. */
static int message_wait(const struct fetch *f, int timeout_ms, struct err *e)
{
        struct pollfd p[] = { { .fd = f->socket, .events = POLLIN },
                              { .fd = f->interrupts ? f->interrupts->fd : -1, .events = POLLIN } };
        int r;

        do
                r = poll(p, ARRAY_SIZE(p), timeout_ms);
        while (r < 0 && errno == EINTR);
        return f->interrupts && interrupts_check(f->interrupts, e) < 0 ? -1 : r;
}

/* 1: one came; 0: none in time; -1: interrupted, or berth-fetch is gone. */
static int message_receive(struct fetch *f, int timeout_ms, struct message *ret, struct err *e)
{
        AUTO_FREE char *text = NULL;
        size_t nfds = 1;
        uint64_t id;
        ssize_t n;
        int r = message_wait(f, timeout_ms, e);

        if (r <= 0)
                return r;
        text = mem_alloc(FETCH_MESSAGE_MAX);
        *ret = (struct message){ .fd = -1 };
        n = fd_recv(f->socket, text, FETCH_MESSAGE_MAX, &ret->fd, &nfds);
        if (n <= 0)
                return gone(f, e);
        if (json_parse(&ret->arena, text, (size_t)n, &event_limits, &ret->json, NULL) < 0 ||
            !json_to_u64(json_get(&ret->json, "id"), &id) || id > UINT32_MAX) {
                message_done(ret);
                return err_set(e, ERR_INTERNAL, "berth-fetch answered nothing intelligible");
        }
        ret->id = (uint32_t)id;
        return 1;
}

static const char *event_name(const struct message *m)
{
        return json_str(json_get(&m->json, "event"), "");
}

static void event_err(const struct message *m, struct err *ret)
{
        const char *code = json_str(json_get(&m->json, "code"), "");
        enum err_code c = ERR_INTERNAL;
        int64_t sys = 0;

        for (enum err_code i = ERR_NONE; i < ERR_MAX; i++)
                if (str_eq(err_code_name(i), code))
                        c = i;
        err_set(ret, c, "%s", json_str(json_get(&m->json, "text"), "unknown error"));
        err_hint(ret, "%s", json_str(json_get(&m->json, "hint"), ""));
        json_to_i64(json_get(&m->json, "sys"), &sys);
        ret->sys = (int)sys;
}

/* What a message is to a caller of fetch_next(); false: nothing. */
static bool event_fill(const struct message *m, struct fetch_event *ret)
{
        static const char *const names[] = { [FETCH_PROGRESS] = "progress",
                                             [FETCH_DONE] = "done",
                                             [FETCH_FAILED] = "failed",
                                             [FETCH_NOTE] = "note",
                                             [FETCH_RATE] = "rate" };
        int kind = STR_INDEX(names, event_name(m));

        if (kind < 0)
                return false;
        *ret = (struct fetch_event){ .kind = (enum fetch_event_kind)kind, .id = m->id };
        json_to_u64(json_get(&m->json, "bytes"), &ret->bytes);
        snprintf(ret->text, sizeof ret->text, "%s", json_str(json_get(&m->json, "text"), ""));
        if (ret->kind == FETCH_FAILED) {
                event_err(m, &ret->err);
                ret->text[0] = 0;
        }
        return true;
}

static void put_aside(struct fetch *f, const struct message *m)
{
        struct aside *s = mem_alloc(sizeof *s);

        s->next = NULL;
        if (!event_fill(m, &s->event)) {
                free(s);
                return;
        }
        *f->end = s;
        f->end = &s->next;
}

int fetch_next(struct fetch *f, int timeout_ms, struct fetch_event *ret, struct err *e)
{
        struct aside *s = f->first;
        struct message m;
        bool known;
        int r;

        if (s) {
                *ret = s->event;
                f->first = s->next;
                if (!f->first)
                        f->end = &f->first;
                free(s);
                return 1;
        }
        r = message_receive(f, timeout_ms, &m, e);
        if (r <= 0)
                return r;
        known = event_fill(&m, ret);
        message_done(&m);
        return known ? 1 : fetch_next(f, timeout_ms, ret, e);
}

/* ---- requests ---- */

struct call {
        struct buf text;
        struct json_writer w;
        uint32_t id;
};
static void call_done(struct call *c)
{
        buf_done(&c->text);
}
#define AUTO_CALL __attribute__((cleanup(call_done))) struct call

static void call_open(struct call *c, const char *op, uint32_t id)
{
        *c = (struct call){ .id = id };
        c->w.out = &c->text;
        json_open(&c->w, NULL, '{');
        json_put_str(&c->w, "op", op);
        json_put_u64(&c->w, "id", id);
}

static void call_waited(struct fetch *f, struct call *c, const char *op)
{
        f->last_id = (f->last_id + 1) & ~WAITED_IDS;
        call_open(c, op, WAITED_IDS | f->last_id);
}

static int call_send(struct fetch *f, struct call *c, int fd, struct err *e)
{
        int r;

        c->w.out = &c->text;
        json_close(&c->w, '}');
        if (c->text.len > FETCH_MESSAGE_MAX)
                return err_set(e, ERR_LIMIT, "a request to the registry is too long");
        r = fd_send(f->socket, c->text.s, c->text.len, &fd, fd >= 0);
        if (r == -EPIPE || r == -ECONNRESET)
                return gone(f, e);
        return r < 0 ? err_sys(e, -r, "cannot talk to berth-fetch") : 0;
}

/* Sends and waits for the answer, which is the caller's to message_done(). */
static int call_run(struct fetch *f, struct call *c, int fd, struct message *ret, struct err *e)
{
        if (call_send(f, c, fd, e) < 0)
                return -1;
        for (;;) {
                const char *event;
                struct err why = {};

                if (message_receive(f, -1, ret, e) < 0)
                        return -1;
                event = event_name(ret);
                if (ret->id == c->id && str_eq(event, "done"))
                        return 0;
                if (ret->id == c->id && str_eq(event, "failed")) {
                        event_err(ret, &why);
                        message_done(ret);
                        if (e)
                                *e = why;
                        return -1;
                }
                put_aside(f, ret);
                message_done(ret);
        }
}

static int call_simple(struct fetch *f, struct call *c, int fd, struct err *e)
{
        struct message m;

        if (call_run(f, c, fd, &m, e) < 0)
                return -1;
        message_done(&m);
        return 0;
}

/* The bytes that came with an answer, in a. */
static int answer_data(const struct message *m, struct arena *a, const char **ret, size_t *ret_n,
                       struct err *e)
{
        uint64_t size;
        char *data;
        size_t at = 0;

        if (m->fd < 0 || !json_to_u64(json_get(&m->json, "size"), &size) || size > ANSWER_MAX)
                return err_set(e, ERR_INTERNAL, "berth-fetch answered without what was asked for");
        data = arena_alloc(a, size + 1);
        while (at < size) {
                ssize_t n = pread(m->fd, data + at, size - at, (off_t)at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return err_sys(e, n < 0 ? errno : EIO, "cannot read berth-fetch's answer");
                at += (size_t)n;
        }
        *ret = data;
        *ret_n = size;
        return 0;
}

/* ---- start and end ---- */

static void put_optional(struct json_writer *w, const char *name, const char *value)
{
        if (value)
                json_put_str(w, name, value);
}

static void open_fill(struct json_writer *w, const struct reference *ref,
                      const struct fetch_options *o)
{
        const char *stall = getenv("BERTH_STALL_TIMEOUT");
        uint32_t seconds;

        json_put_str(w, "host", ref->host);
        json_put_str(w, "path", ref->path);
        put_optional(w, "tag", ref->tag);
        put_optional(w, "digest", ref->digest);
        put_optional(w, "root", o->root);
        put_optional(w, "authfile", o->authfile);
        put_optional(w, "creds", o->creds);
        put_optional(w, "cert_dir", o->cert_dir);
        put_optional(w, "registries_conf", o->registries_conf);
        json_put_i64(w, "tls_verify", o->tls_verify);
        json_put_bool(w, "push", o->push);
        json_put_u64(w, "retries", o->retries);
        json_put_u64(w, "retry_delay_ms", o->retry_delay_ms);
        if (!str_empty(stall) && str_to_u32(stall, &seconds) == 0 && seconds > 0)
                json_put_u64(w, "stall_s", seconds);
        json_open(w, "mount_from", '[');
        for (size_t i = 0; i < o->mount_from.n; i++)
                json_put_str(w, NULL, o->mount_from.v[i]);
        json_close(w, ']');
}

int fetch_open(const struct reference *ref, const struct fetch_options *o, const struct log *log,
               struct fetch **ret, struct err *e)
{
        static const char *const argv[] = { "berth-fetch", NULL };
        struct fetch *f;
        int pair[2], r;
        AUTO_CALL c = {};

        if (str_empty(ref->host))
                return err_set(e, ERR_INTERNAL, "a short name is to be fetched");
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return err_sys(e, errno, "cannot make a socket for berth-fetch");
        f = mem_alloc(sizeof *f);
        *f = (struct fetch){ .pidfd = -1, .socket = pair[0] };
        f->end = &f->first;
        f->repository = mem_printf("%s/%s", ref->host, ref->path);
        /* libcurl brings GnuTLS along, through libraries that are not used here; its start takes a
         * fifth of berth-fetch's. */
        setenv("GNUTLS_NO_IMPLICIT_INIT", "1", 1);
        r = helper_start(argv, (int[]){ -1, -1, -1, pair[1] }, 4, -1, &f->pid, &f->pidfd, e);
        unsetenv("GNUTLS_NO_IMPLICIT_INIT");
        fd_close(pair[1]);
        if (r == 0) {
                call_open(&c, "open", 0);
                open_fill(&c.w, ref, o);
                r = call_simple(f, &c, -1, e);
        }
        if (r < 0) {
                fetch_close(f);
                return err_in(e, "cannot reach '%s/%s'", ref->host, ref->path);
        }
        log_debug(log, "berth-fetch for %s is process %d", f->repository, (int)f->pid);
        *ret = f;
        return 0;
}

/* Its status, as waitpid(2) has it. */
static int reap(struct fetch *f)
{
        int status = 0;

        kill(f->pid, SIGKILL);
        while (waitpid(f->pid, &status, 0) < 0 && errno == EINTR)
                ;
        f->pid = 0;
        return status;
}

void fetch_close(struct fetch *f)
{
        if (!f)
                return;
        fd_close(f->socket);
        if (f->pid > 0)
                reap(f); /* it would end by itself, at its own pace; it holds nothing to be saved */
        fd_close(f->pidfd);
        while (f->first) {
                struct aside *s = f->first;

                f->first = s->next;
                free(s);
        }
        free(f->repository);
        free(f);
}

int fetch_give_up(struct fetch *f)
{
        struct pollfd p[] = { { .fd = f->pidfd, .events = POLLIN },
                              { .fd = f->interrupts ? f->interrupts->fd : -1, .events = POLLIN } };
        int status;

        f->socket = fd_close(f->socket);
        while (poll(p, ARRAY_SIZE(p), 2 * FETCH_END_MS) < 0 && errno == EINTR)
                ; /* a second interrupt ends the wait */
        status = reap(f);
        fetch_close(f);
        if (!WIFEXITED(status) || WEXITSTATUS(status) == FETCH_EXIT_KEPT)
                return -1;
        return WEXITSTATUS(status) == FETCH_EXIT_DROPPED;
}

void fetch_interruptible(struct fetch *f, const struct interrupts *i)
{
        f->interrupts = i;
}

int fetch_fd(const struct fetch *f)
{
        return f->socket;
}

/* ---- reading ---- */

static int manifest_take(const struct message *m, struct arena *a, bool head,
                         struct fetched_manifest *ret, struct err *e)
{
        enum hash_alg alg;
        const char *digest = json_str(json_get(&m->json, "digest"), "");
        const char *type = json_str(json_get(&m->json, "content_type"), "");

        *ret = (struct fetched_manifest){};
        if (digest_check(digest, &alg) < 0)
                return err_set(e, ERR_INTERNAL, "berth-fetch answered without a digest");
        snprintf(ret->digest, sizeof ret->digest, "%s", digest);
        ret->content_type = arena_strdup(a, type);
        /* A HEAD may have become a GET. */
        return head ? 0 : answer_data(m, a, &ret->data, &ret->n, e);
}

/* The process that talks to strangers does not vouch for what it hands over. */
static int verify(const char *digest, const char *data, size_t n, const char *what, struct err *e)
{
        char got[DIGEST_CAP];
        enum hash_alg alg;

        if (digest_check(digest, &alg) < 0)
                return err_set(e, ERR_INVALID, "'%.100s' is no digest", digest);
        hash_bytes(alg, data, n, got);
        return str_eq(got, digest) ? 0
                                   : err_set(e, ERR_INVALID, "%s '%s' has other content: '%s'",
                                             what, digest, got);
}

int fetch_manifest(struct fetch *f, struct arena *a, const char *tag_or_digest, bool head,
                   struct fetched_manifest *ret, struct err *e)
{
        struct message m;
        enum hash_alg alg;
        AUTO_CALL c = {};
        int r;

        call_waited(f, &c, "manifest");
        json_put_str(&c.w, "reference", tag_or_digest);
        json_put_bool(&c.w, "head", head);
        if (call_run(f, &c, -1, &m, e) < 0)
                return -1;
        r = manifest_take(&m, a, head, ret, e);
        message_done(&m);
        if (r == 0 && !head)
                r = verify(ret->digest, ret->data, ret->n, "manifest", e);
        if (r == 0 && digest_check(tag_or_digest, &alg) == 0 && !str_eq(ret->digest, tag_or_digest))
                r = err_set(e, ERR_INTERNAL, "berth-fetch answered another manifest");
        return r;
}

int fetch_small_blob(struct fetch *f, struct arena *a, const struct descriptor *d, const char **ret,
                     size_t *ret_n, struct err *e)
{
        struct message m;
        AUTO_CALL c = {};
        int r;

        call_waited(f, &c, "small-blob");
        json_put_str(&c.w, "digest", d->digest);
        json_put_u64(&c.w, "size", d->size);
        if (call_run(f, &c, -1, &m, e) < 0)
                return -1;
        r = answer_data(&m, a, ret, ret_n, e);
        message_done(&m);
        return r < 0 ? r : verify(d->digest, *ret, *ret_n, "blob", e);
}

int fetch_blob(struct fetch *f, unsigned id, const struct descriptor *d, uint64_t offset, int out,
               struct err *e)
{
        AUTO_CALL c = {};
        int r = 0;

        if (id & WAITED_IDS)
                r = err_set(e, ERR_INTERNAL, "%u is no id of a download", id);
        call_open(&c, "blob", id);
        json_put_str(&c.w, "digest", d->digest);
        json_put_u64(&c.w, "size", d->size);
        json_put_u64(&c.w, "offset", offset);
        json_open(&c.w, "urls", '[');
        for (size_t i = 0; i < d->urls.n; i++)
                json_put_str(&c.w, NULL, d->urls.v[i]);
        json_close(&c.w, ']');
        if (r == 0)
                r = call_send(f, &c, out, e);
        fd_close(out);
        return r;
}

static int tags_take(struct arena *a, const char *data, size_t n, struct strings *ret,
                     struct err *e)
{
        static const struct json_limits limits = { .bytes = ANSWER_MAX,
                                                   .depth = 4,
                                                   .memory = 2 * ANSWER_MAX };
        struct json j;

        if (json_parse(a, data, n, &limits, &j, NULL) < 0 || j.type != JSON_ARRAY)
                return err_set(e, ERR_INTERNAL, "berth-fetch answered no list of tags");
        *ret = (struct strings){ .v = arena_array(a, const char *, j.n) };
        for (uint32_t i = 0; i < j.n; i++)
                if (j.items[i].type == JSON_STRING)
                        ret->v[ret->n++] = j.items[i].s;
        return 0;
}

int fetch_tags(struct fetch *f, struct arena *a, struct strings *ret, struct err *e)
{
        struct message m;
        const char *data;
        size_t n;
        AUTO_CALL c = {};
        int r;

        call_waited(f, &c, "tags");
        if (call_run(f, &c, -1, &m, e) < 0)
                return -1;
        r = answer_data(&m, a, &data, &n, e);
        message_done(&m);
        return r < 0 ? r : tags_take(a, data, n, ret, e);
}

int fetch_referrers(struct fetch *f, struct arena *a, const char *digest,
                    struct fetched_manifest *ret, struct err *e)
{
        struct message m;
        AUTO_CALL c = {};
        int r;

        call_waited(f, &c, "referrers");
        json_put_str(&c.w, "digest", digest);
        if (call_run(f, &c, -1, &m, e) < 0)
                return -1;
        r = manifest_take(&m, a, false, ret, e);
        message_done(&m);
        return r;
}

int fetch_login(struct fetch *f, struct err *e)
{
        AUTO_CALL c = {};

        call_waited(f, &c, "login");
        return call_simple(f, &c, -1, e);
}

/* ---- writing ---- */

static int answer_bool(struct fetch *f, struct call *c, const char *name, bool *ret, struct err *e)
{
        struct message m;
        int r = 0;

        if (call_run(f, c, -1, &m, e) < 0)
                return -1;
        if (!json_to_bool(json_get(&m.json, name), ret))
                r = err_set(e, ERR_INTERNAL, "berth-fetch answered without '%s'", name);
        message_done(&m);
        return r;
}

int fetch_blob_exists(struct fetch *f, const char *digest, bool *ret, struct err *e)
{
        AUTO_CALL c = {};

        call_waited(f, &c, "blob-exists");
        json_put_str(&c.w, "digest", digest);
        return answer_bool(f, &c, "exists", ret, e);
}

int fetch_mount(struct fetch *f, const char *digest, const char *from_repository, bool *ret_mounted,
                struct err *e)
{
        AUTO_CALL c = {};

        call_waited(f, &c, "mount");
        json_put_str(&c.w, "digest", digest);
        json_put_str(&c.w, "from", from_repository);
        return answer_bool(f, &c, "mounted", ret_mounted, e);
}

int fetch_upload(struct fetch *f, unsigned id, const char *digest, uint64_t size, int in,
                 struct err *e)
{
        AUTO_CALL c = {};
        int r = 0;

        if (id & WAITED_IDS)
                r = err_set(e, ERR_INTERNAL, "%u is no id of an upload", id);
        call_open(&c, "upload", id);
        json_put_str(&c.w, "digest", digest);
        json_put_u64(&c.w, "size", size);
        if (r == 0)
                r = call_send(f, &c, in, e);
        fd_close(in);
        return r;
}

int fetch_put_manifest(struct fetch *f, const char *tag_or_digest, const char *media_type,
                       const void *data, size_t n, struct err *e)
{
        AUTO_FD int fd = memfd_create("manifest", MFD_CLOEXEC);
        AUTO_CALL c = {};
        int r = fd < 0 ? -errno : fd_write_all(fd, data, n);

        if (r < 0)
                return err_sys(e, -r, "cannot hand over the manifest");
        call_waited(f, &c, "put-manifest");
        json_put_str(&c.w, "reference", tag_or_digest);
        json_put_str(&c.w, "media_type", media_type);
        json_put_u64(&c.w, "size", n);
        return call_simple(f, &c, fd, e);
}

int fetch_delete_manifest(struct fetch *f, const char *digest, struct err *e)
{
        AUTO_CALL c = {};

        call_waited(f, &c, "delete-manifest");
        json_put_str(&c.w, "digest", digest);
        return call_simple(f, &c, -1, e);
}
