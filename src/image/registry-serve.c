/* Messages: requests of the caller come in and get a task each, answers and events go out. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "image/registry-internal.h"

#define PROGRESS_MS 100

static const struct json_limits message_limits = { .bytes = FETCH_MESSAGE_MAX,
                                                   .depth = 8,
                                                   .memory = 1u << 20 };

/* ---- out ---- */

/* Sends a message with a descriptor (owned; -1: none). What must arrive is kept where the socket
 * has no room; what need not is dropped. */
static void packet_send(struct fetcher *f, const struct buf *text, int fd, bool must)
{
        struct packet *p;
        int r = f->packets ? -EAGAIN : fd_send(f->socket, text->s, text->len, &fd, fd >= 0);

        if (r == -EAGAIN && must) {
                p = mem_alloc(sizeof *p);
                *p = (struct packet){ .n = text->len, .fd = TAKE_FD(fd) };
                p->text = mem_alloc(text->len);
                memcpy(p->text, text->s, text->len);
                *f->packets_end = p;
                f->packets_end = &p->next;
        } else if (r < 0 && r != -EAGAIN) {
                f->closed = true;
        }
        fd_close(fd);
}

void serve_flush(struct fetcher *f)
{
        struct packet *p;

        while ((p = f->packets)) {
                int r = fd_send(f->socket, p->text, p->n, &p->fd, p->fd >= 0);

                if (r == -EAGAIN)
                        return;
                if (r < 0)
                        f->closed = true;
                f->packets = p->next;
                if (!f->packets)
                        f->packets_end = &f->packets;
                fd_close(p->fd);
                free(p->text);
                free(p);
        }
}

static void event_open(struct json_writer *w, struct buf *b, uint32_t id, const char *event)
{
        *w = (struct json_writer){ .out = b };
        json_open(w, NULL, '{');
        json_put_u64(w, "id", id);
        json_put_str(w, "event", event);
}

static void event_text(struct fetcher *f, uint32_t id, const char *event, const char *text)
{
        AUTO_BUF b = {};
        struct json_writer w;

        event_open(&w, &b, id, event);
        json_put_str(&w, "text", text);
        json_close(&w, '}');
        packet_send(f, &b, -1, false);
}

static void failed_send(struct fetcher *f, uint32_t id, const struct err *e)
{
        AUTO_BUF b = {};
        struct json_writer w;

        event_open(&w, &b, id, "failed");
        json_put_str(&w, "code", err_code_name(e->code));
        json_put_i64(&w, "sys", e->sys);
        json_put_str(&w, "text", e->chain);
        json_put_str(&w, "hint", e->hint);
        json_close(&w, '}');
        packet_send(f, &b, -1, true);
}

void request_progress(struct request *q, uint64_t bytes, bool last)
{
        uint64_t now = clock_ms();
        AUTO_BUF b = {};
        struct json_writer w;

        if (!last && now < q->told_ms + PROGRESS_MS)
                return;
        q->told_ms = now;
        event_open(&w, &b, q->id, "progress");
        json_put_u64(&w, "bytes", bytes);
        json_close(&w, '}');
        packet_send(q->f, &b, -1, last);
}

void request_note(struct request *q, const char *fmt, ...)
{
        struct fetcher *f = q->f;
        char text[400];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        for (size_t i = 0; i < f->nnotes; i++)
                if (str_eq(f->notes[i], text))
                        return;
        if (f->nnotes < NOTES_MAX)
                f->notes[f->nnotes++] = mem_strdup(text);
        event_text(f, q->id, "note", text);
}

void serve_rate(struct request *q, const char *limit, const char *remaining)
{
        struct fetcher *f = q->f;
        char text[sizeof f->rate];

        if (!*limit || !rate_text(limit, remaining, text, sizeof text) || str_eq(text, f->rate))
                return;
        memcpy(f->rate, text, sizeof text);
        event_text(f, q->id, "rate", text);
}

int request_answer_data(struct request *q, const void *data, size_t n, struct err *e)
{
        AUTO_FD int fd = memfd_create("answer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        int r = fd < 0 ? -errno : fd_write_all(fd, data, n);

        if (r == 0 &&
            fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
                r = -errno;
        if (r < 0)
                return err_sys(e, -r, "cannot hand over %zu bytes", n);
        fd_close(q->answer_fd);
        q->answer_fd = TAKE_FD(fd);
        json_put_u64(&q->w, "size", n);
        return 0;
}

/* ---- a request ---- */

int request_str(const struct request *q, const char *name, const char **ret, struct err *e)
{
        const struct json *j = json_get(&q->json, name);

        if (!j || j->type != JSON_STRING || strlen(j->s) != j->n)
                return err_set(e, ERR_INTERNAL, "request '%s' lacks '%s'", q->op->name, name);
        *ret = j->s;
        return 0;
}

int request_u64(const struct request *q, const char *name, uint64_t *ret, struct err *e)
{
        if (!json_to_u64(json_get(&q->json, name), ret))
                return err_set(e, ERR_INTERNAL, "request '%s' lacks '%s'", q->op->name, name);
        return 0;
}

static void request_free(struct request *q)
{
        for (size_t i = 0; i < q->nfds; i++)
                fd_close(q->fds[i]);
        fd_close(q->answer_fd);
        buf_done(&q->answer);
        arena_done(&q->arena);
        free(q);
}

/* A task. */
static void request_run(void *arg)
{
        struct request *q = arg;
        struct fetcher *f = q->f;
        struct err e = {};
        int r;

        event_open(&q->w, &q->answer, q->id, "done");
        r = q->op->run(q, &e);
        /* Before the answer: a reader that sees the end of its pipe has all of it. */
        while (q->nfds > 0)
                fd_close(q->fds[--q->nfds]);
        if (r < 0) {
                failed_send(f, q->id, &e);
        } else {
                json_close(&q->w, '}');
                packet_send(f, &q->answer, TAKE_FD(q->answer_fd), true);
        }
        f->nrequests--;
        request_free(q);
}

static const struct operation *operation_find(const char *name)
{
        const struct operation *const tables[] = { pull_operations, upload_operations };

        for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
                for (const struct operation *op = tables[i]; op->name; op++)
                        if (str_eq(op->name, name))
                                return op;
        return NULL;
}

/* The caller is ours, and a message that can't be understood its bug: it ends the process. */
static int request_parse(struct request *q, const char *text, size_t n)
{
        uint64_t id;

        if (json_parse(&q->arena, text, n, &message_limits, &q->json, NULL) < 0 ||
            !json_to_u64(json_get(&q->json, "id"), &id) || id > UINT32_MAX)
                return -EBADMSG;
        q->id = (uint32_t)id;
        return 0;
}

static ssize_t message_receive(struct fetcher *f, struct request **ret)
{
        AUTO_FREE char *text = mem_alloc(FETCH_MESSAGE_MAX);
        struct request *q = mem_alloc(sizeof *q);
        ssize_t n;

        *q = (struct request){ .f = f, .answer_fd = -1, .nfds = REQUEST_FDS_MAX };
        n = fd_recv(f->socket, text, FETCH_MESSAGE_MAX, q->fds, &q->nfds);
        if (n < 0)
                q->nfds = 0;
        if (n > 0 && request_parse(q, text, (size_t)n) < 0)
                n = -EBADMSG;
        if (n <= 0) {
                request_free(q);
                return n;
        }
        *ret = q;
        return n;
}

void serve_input(struct fetcher *f)
{
        struct request *q;
        ssize_t n;

        while ((n = message_receive(f, &q)) > 0) {
                const char *name = json_str(json_get(&q->json, "op"), "");
                struct err e = {};

                q->op = operation_find(name);
                if (!q->op || q->nfds != q->op->nfds)
                        err_set(&e, ERR_INTERNAL, "berth-fetch does not understand '%.40s'", name);
                else if (f->nrequests == FETCH_REQUESTS_MAX)
                        err_set(&e, ERR_LIMIT, "too many requests at once");
                if (e.code != ERR_NONE) {
                        failed_send(f, q->id, &e);
                        request_free(q);
                        continue;
                }
                f->nrequests++;
                task_start(f, request_run, q);
        }
        if (n != -EAGAIN)
                f->closed = true;
}

/* ---- opening ---- */

static const char *optional(struct fetcher *f, const struct json *j, const char *name)
{
        const char *s = json_str(json_get(j, name), NULL);

        return s ? arena_strdup(&f->arena, s) : NULL;
}

static void take_u32(const struct json *j, const char *name, uint32_t *ret)
{
        uint64_t v;

        if (json_to_u64(json_get(j, name), &v) && v <= UINT32_MAX)
                *ret = (uint32_t)v;
}

static void take_strings(struct fetcher *f, const struct json *j, struct strings *ret)
{
        if (!j || j->type != JSON_ARRAY)
                return;
        ret->v = arena_array(&f->arena, const char *, j->n);
        for (uint32_t i = 0; i < j->n; i++)
                ret->v[ret->n++] = arena_strdup(&f->arena, json_str(&j->items[i], ""));
}

static int open_take(struct fetcher *f, const struct json *j, struct err *e)
{
        struct registry_options o = { .tls_verify = -1 };
        int64_t tls = -1;

        f->ref.host = optional(f, j, "host");
        f->ref.path = optional(f, j, "path");
        f->ref.tag = optional(f, j, "tag");
        f->ref.digest = optional(f, j, "digest");
        if (!f->ref.host || !f->ref.path)
                return err_set(e, ERR_INTERNAL, "the message 'open' lacks host or path");
        f->repository = arena_printf(&f->arena, "%s/%s", f->ref.host, f->ref.path);
        json_to_i64(json_get(j, "tls_verify"), &tls);
        o.tls_verify = (int)tls;
        o.root = optional(f, j, "root");
        o.registries_conf = optional(f, j, "registries_conf");
        o.authfile = optional(f, j, "authfile");
        o.creds = optional(f, j, "creds");
        o.cert_dir = optional(f, j, "cert_dir");
        o.push = f->push = json_is_true(json_get(j, "push"));
        f->retries = 3;
        f->stall_s = 30;
        take_u32(j, "retries", &f->retries);
        take_u32(j, "retry_delay_ms", &f->retry_delay_ms);
        take_u32(j, "stall_s", &f->stall_s);
        take_strings(f, json_get(j, "mount_from"), &f->mount_from);
        if (registry_config(&f->arena, &f->ref, &o, f->log, &f->config, e) < 0)
                return -1;
        f->state = arena_array(&f->arena, struct endpoint_state, f->config.n);
        return 0;
}

int fetcher_open(struct fetcher *f, struct err *e)
{
        struct request *q;
        ssize_t n = message_receive(f, &q);
        int r;

        f->packets_end = &f->packets;
        if (n <= 0)
                return err_sys(e, n == 0 ? EPIPE : (int)-n, "cannot understand what is asked for");
        if (!str_eq(json_str(json_get(&q->json, "op"), ""), "open"))
                r = err_set(e, ERR_INTERNAL, "the first message is not 'open'");
        else
                r = open_take(f, &q->json, e);
        request_free(q);
        return r;
}

void fetcher_answer_open(struct fetcher *f, const struct err *e)
{
        AUTO_BUF b = {};
        struct json_writer w;

        if (e) {
                failed_send(f, 0, e);
                return;
        }
        event_open(&w, &b, 0, "done");
        json_close(&w, '}');
        packet_send(f, &b, -1, true);
        fcntl(f->socket, F_SETFL, fcntl(f->socket, F_GETFL) | O_NONBLOCK);
}

/* ---- beginning and end ---- */

/* Whether dir holds certificates under the hashes of their names: "3513523f.0". */
static bool dir_is_hashed(const char *path)
{
        AUTO_ARENA a = { 0 };
        struct strings names;
        bool found = false;

        dir_names(AT_FDCWD, path, &a, &names);
        for (size_t i = 0; i < names.n && !found; i++)
                found = strlen(names.v[i]) == 10 && strspn(names.v[i], "0123456789abcdef") == 8 &&
                        str_eq(names.v[i] + 8, ".0");
        return found;
}

/* The system's authorities. A directory with names by hash is better: OpenSSL reads the one file
 * that it needs, where a bundle costs 10 ms and megabytes. */
static void authorities_find(struct fetcher *f)
{
        static const char *const bundles[] = { "/etc/ssl/certs/ca-certificates.crt",
                                               "/etc/pki/tls/certs/ca-bundle.crt",
                                               "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem" };
        const char *file = getenv("SSL_CERT_FILE"), *dir = getenv("SSL_CERT_DIR");
        const char *const usual = "/etc/ssl/certs";

        if (!str_empty(file) || !str_empty(dir)) {
                f->ca_file = str_empty(file) ? NULL : file;
                f->ca_dir = str_empty(dir) ? NULL : dir;
                return;
        }
        if (dir_is_hashed(usual)) {
                f->ca_dir = usual;
                return;
        }
        for (size_t i = 0; i < ARRAY_SIZE(bundles) && !f->ca_file; i++)
                if (access(bundles[i], R_OK) == 0)
                        f->ca_file = bundles[i];
}

int fetcher_prepare(struct fetcher *f, struct err *e)
{
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return err_set(e, ERR_INTERNAL, "libcurl cannot be initialised");
        f->share = curl_share_init();
        if (!f->share || pools_open(f) < 0)
                return err_set(e, ERR_INTERNAL, "libcurl cannot be initialised");
        curl_share_setopt(f->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
        curl_share_setopt(f->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
        authorities_find(f);
        return 0;
}

void fetcher_done(struct fetcher *f)
{
        arena_done(&f->arena);
}

const char *fetcher_repository(const struct fetcher *f)
{
        return f->repository;
}

const struct strings *fetcher_mount_from(const struct fetcher *f)
{
        return &f->mount_from;
}
