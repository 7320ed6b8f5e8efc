/* Uploads of blobs: from a file in one PUT, whose rest is sent where it broke off; from a pipe in
 * chunks, each kept until the registry has it.
 *
 *   POST /blobs/uploads/ -> 202 Location      (or the one that a refused mount has opened)
 *   file: PUT Location?digest=                the whole, or what the registry lacks
 *   pipe: PATCH Location, ..., PUT Location?digest=
 *
 * What fails on the way is followed by a question how far it got (GET Location); where the upload
 * is gone a file is sent again from its start. What is given up is deleted. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "codec/hash.h"
#include "image/upload-internal.h"
#include "image/upload-session.h"

#define CHUNK (4u << 20)
#define CHUNK_MAX (64u << 20) /* what a registry may ask for at least */
#define PIPE_WAIT_MS 2

struct upload {
        const char *digest, *what;
        uint64_t size;
        int fd;
        uint64_t begin; /* of the blob in the file */
        struct upload_session s;
        struct patience patience;
};

int upload_digest(const struct request *q, const char **ret, struct err *e)
{
        enum hash_alg alg;

        if (request_str(q, "digest", ret, e) < 0)
                return -1;
        if (digest_check(*ret, &alg) < 0)
                return err_set(e, ERR_INVALID, "'%.100s' is no digest", *ret);
        return 0;
}

int upload_verify(const struct exchange *x, const char *digest, struct err *e)
{
        const char *told = x->answer.docker_content_digest;
        enum hash_alg alg, told_alg;

        if (digest_check(told, &told_alg) < 0 || digest_check(digest, &alg) < 0 ||
            alg != told_alg || str_eq(told, digest))
                return 0;
        return err_set(e, ERR_INVALID, "the registry calls %s '%s' after its upload", x->what,
                       told);
}

/* ---- is it there ---- */

int upload_exists(struct request *q, struct err *e)
{
        struct exchange x = { .method = METHOD_HEAD, .can = ENDPOINT_PUSH };
        const char *digest;
        int r;

        if (upload_digest(q, &digest, e) < 0)
                return -1;
        x.path = arena_printf(&q->arena, "/blobs/%s", digest);
        x.what = arena_printf(&q->arena, "blob %s", digest);
        r = exchange_run(q, &x, e);
        if (r == 0 && x.answer.status != 200 && x.answer.status != 404)
                r = exchange_refused(q, &x, e);
        if (r == 0)
                json_put_bool(&q->w, "exists", x.answer.status == 200);
        exchange_done(&x);
        return r;
}

/* ---- mounts ---- */

/* Keeps the upload that was opened instead of a mount, for the one that follows. */
static int keep_session(struct request *q, const struct exchange *x, const char *digest,
                        struct err *e)
{
        struct fetcher *f = q->f;
        struct upload_session s = { .at = NULL }, *kept;

        if (session_take(q, x, &s, e) < 0)
                return -1;
        kept = arena_new(&f->arena, struct upload_session);
        *kept = s;
        kept->digest = arena_strdup(&f->arena, digest);
        kept->at = arena_strdup(&f->arena, s.at);
        kept->location = arena_strdup(&f->arena, s.location);
        if (str_to_u64(x->answer.oci_chunk_min, &kept->chunk_min) < 0)
                kept->chunk_min = 0;
        kept->next_session = f->sessions;
        f->sessions = kept;
        return 0;
}

static bool take_session(struct fetcher *f, const char *digest, struct upload_session *ret)
{
        for (struct upload_session **at = &f->sessions; *at; at = &(*at)->next_session)
                if (str_eq((*at)->digest, digest)) {
                        *ret = **at;
                        *at = ret->next_session;
                        return true;
                }
        return false;
}

int upload_mount(struct request *q, struct err *e)
{
        struct exchange x = { .method = METHOD_POST, .can = ENDPOINT_PUSH };
        AUTO_BUF path = { 0 };
        struct err inner = { 0 };
        const char *digest, *from;
        int r;

        if (upload_digest(q, &digest, e) < 0 || request_str(q, "from", &from, e) < 0)
                return -1;
        buf_puts(&path, "/blobs/uploads/");
        url_add_query(&path, "mount", digest);
        url_add_query(&path, "from", from);
        x.path = path.s;
        x.what = arena_printf(&q->arena, "blob %s of '%s'", digest, from);
        r = exchange_run(q, &x, &inner);
        if (r < 0 && inner.code == ERR_DENIED) { /* nothing may be mounted from there */
                json_put_bool(&q->w, "mounted", false);
                r = 0;
        } else if (r == 0) {
                json_put_bool(&q->w, "mounted", x.answer.status == 201);
                r = x.answer.status == 202   ? keep_session(q, &x, digest, &inner)
                    : x.answer.status == 201 ? upload_verify(&x, digest, &inner)
                                             : 0; /* refused, whyever: it is uploaded */
        }
        if (r < 0 && e)
                *e = inner;
        exchange_done(&x);
        return r;
}

/* A task. */
static void forget(void *arg)
{
        struct upload_session *s = arg;
        struct request q = { .f = s->fetcher, .answer_fd = -1 };

        session_drop(&q, s, arena_printf(&q.arena, "blob %s", s->digest));
        arena_done(&q.arena);
}

void uploads_forget(struct fetcher *f)
{
        for (struct upload_session *s; (s = f->sessions);) {
                f->sessions = s->next_session;
                s->fetcher = f;
                task_start(f, forget, s);
        }
}

/* ---- what files and pipes share ---- */

/* The Location with ?digest=, which ends an upload. */
static const char *closing(struct request *q, const struct upload *u)
{
        AUTO_BUF b = { 0 };

        buf_puts(&b, u->s.location);
        url_add_query(&b, "digest", u->digest);
        return arena_strdup(&q->arena, b.s);
}

static int begin(struct request *q, struct upload *u, struct err *e)
{
        return take_session(q->f, u->digest, &u->s) ? 0 : session_open(q, &u->s, u->what, e);
}

/* Whether a failed request may be followed by another try: something broke, or the registry and we
 * disagree about how far we are. */
static bool worth_asking(int r, const struct exchange *x, const struct err *e)
{
        return r < 0 ? e->code == ERR_UNAVAILABLE
                     : x->answer.status == 416 || x->answer.status == 404;
}

static int finished(struct request *q, const struct exchange *x, const struct upload *u,
                    struct err *e)
{
        if (upload_verify(x, u->digest, e) < 0)
                return -1;
        request_progress(q, u->size, true);
        return 0;
}

/* After a failure: waits, and finds out where to go on. -1: it is over. */
static int recover(struct request *q, struct upload *u, struct err *e)
{
        uint64_t before = u->s.next;

        if (!patience_wait(q, &u->patience, e, 0)) {
                if (e->code != ERR_UNAVAILABLE || q->f->closed)
                        session_drop(q, &u->s, u->what);
                return -1;
        }
        session_ask(q, &u->s, u->what);
        if (u->s.location && u->s.next > before)
                u->patience.failures = 0;
        return 0;
}

/* ---- from a file ---- */

/* One PUT of what the registry lacks. 0: it has all; 1: another try; -1. */
static int put_rest(struct request *q, struct upload *u, struct err *e)
{
        const char *headers[] = { "Content-Type: application/octet-stream", NULL, NULL };
        struct exchange x = { .method = METHOD_PUT,
                              .headers = headers,
                              .what = u->what,
                              .once = true,
                              .body = { .use_fd = true,
                                        .fd = u->fd,
                                        .offset = u->begin + u->s.next,
                                        .size = u->size - u->s.next,
                                        .progress = true,
                                        .base = u->s.next } };
        int r;

        if (u->s.next > 0 && u->s.next < u->size)
                headers[1] = arena_printf(&q->arena, "Content-Range: %llu-%llu",
                                          (unsigned long long)u->s.next,
                                          (unsigned long long)u->size - 1);
        session_aim(&u->s, &x);
        x.path = closing(q, u);
        r = exchange_run(q, &x, e);
        if (r == 0 && x.answer.status / 100 == 2) {
                r = finished(q, &x, u, e);
        } else {
                bool again = worth_asking(r, &x, e);

                if (r == 0)
                        exchange_refused(q, &x, e);
                r = again ? 1 : -1;
                if (!again)
                        session_drop(q, &u->s, u->what);
        }
        exchange_done(&x);
        return r;
}

static int upload_file(struct request *q, struct upload *u, struct err *e)
{
        int r = begin(q, u, e);

        while (r == 0) {
                r = put_rest(q, u, e);
                if (r <= 0)
                        return r;
                r = recover(q, u, e);
                if (r == 0 && u->s.location && u->s.next > u->size)
                        session_drop(q, &u->s, u->what); /* it can't be ours */
                if (r == 0 && !u->s.location)
                        r = session_open(q, &u->s, u->what, e);
        }
        return -1;
}

/* ---- from a pipe ---- */

/* Reads up to cap bytes: the whole chunk, or what there is before the end. -errno. */
static ssize_t fill(struct fetcher *f, int fd, char *chunk, size_t cap)
{
        size_t n = 0;

        while (n < cap) {
                ssize_t got = read(fd, chunk + n, cap - n);

                if (got == 0)
                        break;
                if (got > 0)
                        n += (size_t)got;
                else if (f->closed)
                        return -ECANCELED;
                else if (errno == EAGAIN)
                        task_sleep(f, PIPE_WAIT_MS);
                else if (errno != EINTR)
                        return -errno;
        }
        return (ssize_t)n;
}

/* One PATCH with bytes from s.next on; the chunk begins at base. */
static int patch(struct request *q, struct upload *u, const char *chunk, size_t n, uint64_t base,
                 struct err *e)
{
        size_t done = (size_t)(u->s.next - base);
        const char *headers[] = { "Content-Type: application/octet-stream",
                                  arena_printf(&q->arena, "Content-Range: %llu-%llu",
                                               (unsigned long long)u->s.next,
                                               (unsigned long long)(base + n - 1)),
                                  NULL };
        struct exchange x = { .method = METHOD_PATCH,
                              .headers = headers,
                              .what = u->what,
                              .once = true,
                              .body = { .data = chunk + done,
                                        .size = n - done,
                                        .progress = true,
                                        .base = u->s.next } };
        int r;

        session_aim(&u->s, &x);
        r = exchange_run(q, &x, e);
        if (r == 0 && x.answer.status / 100 == 2) {
                u->s.next = base + n;
                r = session_take(q, &x, &u->s, e);
        } else {
                bool again = worth_asking(r, &x, e);

                if (r == 0)
                        exchange_refused(q, &x, e);
                r = again ? 1 : -1;
        }
        exchange_done(&x);
        return r;
}

/* A chunk, until the registry has all of it. */
static int send_chunk(struct request *q, struct upload *u, const char *chunk, size_t n,
                      struct err *e)
{
        uint64_t base = u->s.next;

        while (u->s.next < base + n) {
                int r = patch(q, u, chunk, n, base, e);

                if (r < 0)
                        return -1;
                if (r == 0)
                        continue;
                if (recover(q, u, e) < 0)
                        return -1;
                if (!u->s.location || u->s.next < base || u->s.next > base + n)
                        return err_in(e,
                                      "the registry has lost the upload of %s, which can't be "
                                      "read again",
                                      u->what);
        }
        return 0;
}

static int send_chunks(struct request *q, struct upload *u, struct err *e)
{
        size_t cap = (size_t)MAX((uint64_t)CHUNK, u->s.chunk_min);
        AUTO_FREE char *chunk = NULL;
        ssize_t n;

        if (u->s.chunk_min > CHUNK_MAX)
                return err_set(e, ERR_LIMIT, "the registry takes no chunks of less than %llu bytes",
                               (unsigned long long)u->s.chunk_min);
        chunk = mem_alloc(cap);
        do {
                n = fill(q->f, u->fd, chunk, cap);
                if (n < 0)
                        return err_sys(e, (int)n, "cannot read %s", u->what);
                if (n > 0 && send_chunk(q, u, chunk, (size_t)n, e) < 0)
                        return -1;
        } while ((size_t)n == cap);
        if (u->size && u->s.next != u->size)
                return err_set(e, ERR_INVALID, "%s has %llu bytes, not %llu", u->what,
                               (unsigned long long)u->s.next, (unsigned long long)u->size);
        u->size = u->s.next;
        return 0;
}

static int upload_pipe(struct request *q, struct upload *u, struct err *e)
{
        int r;

        if (fcntl(u->fd, F_SETFL, O_RDONLY | O_NONBLOCK) < 0)
                return err_sys(e, errno, "cannot use the pipe for %s", u->what);
        if (begin(q, u, e) < 0)
                return -1;
        if (send_chunks(q, u, e) < 0) {
                session_drop(q, &u->s, u->what);
                return -1;
        }
        while ((r = put_rest(q, u, e)) > 0) {
                if (recover(q, u, e) < 0)
                        return -1;
                if (!u->s.location || u->s.next != u->size)
                        return err_in(e,
                                      "the registry has lost the upload of %s, which can't be "
                                      "read again",
                                      u->what);
        }
        return r;
}

int upload_blob(struct request *q, struct err *e)
{
        struct upload u = { .fd = q->fds[0] };
        struct stat st;
        off_t at;

        if (upload_digest(q, &u.digest, e) < 0 || request_u64(q, "size", &u.size, e) < 0)
                return -1;
        u.what = arena_printf(&q->arena, "blob %s", u.digest);
        if (fstat(u.fd, &st) < 0)
                return err_sys(e, errno, "cannot read %s", u.what);
        if (!S_ISREG(st.st_mode))
                return upload_pipe(q, &u, e);
        at = lseek(u.fd, 0, SEEK_CUR);
        u.begin = at > 0 ? (uint64_t)at : 0;
        if ((uint64_t)st.st_size < u.begin || (u.size && u.size > (uint64_t)st.st_size - u.begin))
                return err_set(e, ERR_INVALID, "the file with %s is too short", u.what);
        if (u.size == 0)
                u.size = (uint64_t)st.st_size - u.begin;
        return upload_file(q, &u, e);
}
