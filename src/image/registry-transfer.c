/* One HTTP request and its answer, through curl. Nothing here decides anything: that is
 * registry-exchange.c's business. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/fd.h"
#include "base/str.h"
#include "image/registry-internal.h"

#define CONNECT_TIMEOUT_S 20
#define BUFFER_SIZE (256l << 10)
/* Servers think long about a blob that has been sent: they hash it, or copy it elsewhere. */
#define UPLOAD_STALL_S 300l

const char *const method_names[METHOD_MAX] = { "GET", "HEAD", "PUT", "POST", "PATCH", "DELETE" };

/* ---- the answer's fields ---- */

static const struct {
        const char *name;
        size_t offset;
} fields[] = {
#define FIELD(name, member)                                                                        \
        {                                                                                          \
                name, offsetof(struct answer, member)                                              \
        }
        FIELD("content-range", content_range),
        FIELD("content-type", content_type),
        FIELD("docker-content-digest", docker_content_digest),
        FIELD("docker-upload-uuid", upload_uuid),
        FIELD("etag", etag),
        FIELD("link", link),
        FIELD("location", location),
        FIELD("oci-chunk-min-length", oci_chunk_min),
        FIELD("oci-filters-applied", oci_filters),
        FIELD("oci-subject", oci_subject),
        FIELD("range", range),
        FIELD("ratelimit-limit", rate_limit),
        FIELD("ratelimit-remaining", rate_remaining),
        FIELD("retry-after", retry_after),
};

static const char **answer_field(struct answer *a, size_t i)
{
        return (const char **)((char *)a + fields[i].offset);
}

static void answer_reset(struct answer *a)
{
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
                *answer_field(a, i) = "";
        a->content_length = UINT64_MAX;
        a->status = 0;
        buf_clear(&a->body);
}

static void field_take(struct transfer *t, const char *name, const char *value)
{
        struct exchange *x = t->x;
        const char *warning;

        if (strcasecmp(name, "www-authenticate") == 0) {
                http_challenges_add(&x->arena, value, &t->challenges);
        } else if (strcasecmp(name, "warning") == 0) {
                if (http_warning(&x->arena, value, &warning) == 0)
                        request_note(t->q, "the registry says: %s",
                                     text_clean(&x->arena, warning, strlen(warning), 250));
        } else if (strcasecmp(name, "content-length") == 0) {
                if (str_to_u64(value, &x->answer.content_length) < 0)
                        x->answer.content_length = UINT64_MAX;
        } else if (strlen(value) < ANSWER_FIELD_MAX) {
                for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
                        if (strcasecmp(name, fields[i].name) == 0)
                                *answer_field(&x->answer, i) = arena_strdup(&x->arena, value);
        }
}

static bool stop(struct transfer *t, enum abort_reason why)
{
        t->aborted = why;
        return false;
}

/* The empty line after the fields. */
static bool fields_end(struct transfer *t)
{
        struct exchange *x = t->x;
        long status = 0;

        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        x->answer.status = (int)status;
        if (status < 200) /* another answer follows */
                return true;
        t->body_begun = true;
        serve_rate(t->q, x->answer.rate_limit, x->answer.rate_remaining);
        if (x->flow && status / 100 == 2 &&
            !flow_begin(x->flow, x->answer.status, x->answer.content_range))
                return stop(t, ABORT_FLOW);
        return true;
}

static bool field_line(struct transfer *t, const char *line, size_t n)
{
        char *copy, *value;

        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r' || line[n - 1] == ' '))
                n--;
        t->fields_size += n + 2;
        if (t->fields_size > FIELDS_MAX)
                return stop(t, ABORT_FIELDS);
        if (t->body_begun) /* trailers say nothing to us */
                return true;
        if (n == 0)
                return fields_end(t);
        copy = arena_strndup(&t->x->arena, line, n);
        if (str_after(copy, "HTTP/")) {
                answer_reset(&t->x->answer);
                return true;
        }
        value = strchr(copy, ':');
        if (!value)
                return true;
        *value++ = 0;
        field_take(t, copy, value + strspn(value, " \t"));
        return true;
}

static size_t on_field(char *line, size_t size, size_t n, void *arg)
{
        return field_line(arg, line, size * n) ? size * n : 0;
}

/* ---- the answer's body ---- */

static bool body_keep(struct transfer *t, const char *data, size_t n)
{
        struct exchange *x = t->x;
        bool wanted = x->answer.status / 100 == 2;
        size_t limit = wanted && x->limit ? x->limit : ERROR_BODY_MAX;

        if (wanted && n > limit - x->answer.body.len)
                return stop(t, ABORT_TOO_LARGE);
        buf_add(&x->answer.body, data, MIN(n, limit - x->answer.body.len));
        return true;
}

static bool body_flow(struct transfer *t, const char *data, size_t n)
{
        struct flow *flow = t->x->flow;

        if (!flow_put(flow, data, n))
                return stop(t, ABORT_FLOW);
        request_progress(t->q, flow->at, false);
        if (flow_full(flow) && !t->recv_paused) {
                t->recv_paused = true;
                curl_easy_pause(t->easy, CURLPAUSE_RECV | (t->send_paused ? CURLPAUSE_SEND : 0));
        }
        return true;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
        struct transfer *t = arg;
        bool flows = t->x->flow && t->x->answer.status / 100 == 2;

        return (flows ? body_flow : body_keep)(t, data, size * n) ? size * n : 0;
}

/* ---- the request's body ---- */

static size_t on_send(char *buf, size_t size, size_t n, void *arg)
{
        struct transfer *t = arg;
        const struct body *b = &t->x->body;
        uint64_t left = b->size - t->sent;
        size_t want = (size_t)MIN(left, (uint64_t)(size * n));
        ssize_t got = (ssize_t)want;

        if (!b->use_fd)
                memcpy(buf, (const char *)b->data + t->sent, want);
        else
                got = pread(b->fd, buf, want, (off_t)(b->offset + t->sent));
        if (got < 0 && errno == ESPIPE)
                got = read(b->fd, buf, want);
        if (got < 0 && errno == EAGAIN) {
                t->send_paused = true;
                return CURL_READFUNC_PAUSE;
        }
        if (got < 0 || (got == 0 && left > 0 && b->size != BODY_UNKNOWN)) {
                stop(t, ABORT_SOURCE);
                t->os_error = got < 0 ? errno : 0;
                return CURL_READFUNC_ABORT;
        }
        t->sent += (uint64_t)got;
        if (b->progress)
                request_progress(t->q, b->base + t->sent, false);
        return (size_t)got;
}

/* curl found a reused connection closed, and begins again. */
static int on_rewind(void *arg, curl_off_t offset, int origin)
{
        struct transfer *t = arg;
        const struct body *b = &t->x->body;

        if (b->use_fd && lseek(b->fd, 0, SEEK_CUR) < 0)
                return CURL_SEEKFUNC_CANTSEEK;
        t->sent = (uint64_t)offset;
        return origin == SEEK_SET ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

/* ---- setting it up ---- */

static void add_field(struct transfer *t, const char *name, const char *value)
{
        AUTO_FREE char *line = mem_printf("%s: %s", name, value);

        t->fields = curl_slist_append(t->fields, line);
}

static void set_fields(struct transfer *t, const struct hop *hop)
{
        for (const char *const *h = t->x->headers; h && *h; h++)
                t->fields = curl_slist_append(t->fields, *h);
        if (hop->own)
                for (size_t i = 0; i < hop->endpoint->headers.n; i++)
                        add_field(t, hop->endpoint->headers.v[i].key,
                                  hop->endpoint->headers.v[i].value);
        if (hop->authorization)
                add_field(t, "Authorization", hop->authorization);
        curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->fields);
}

static void set_method(struct transfer *t, const struct hop *hop)
{
        struct exchange *x = t->x;
        CURL *c = t->easy;

        if (hop->form) {
                curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, hop->form);
                return;
        }
        curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method_names[x->method]);
        if (x->method == METHOD_HEAD) {
                curl_easy_setopt(c, CURLOPT_NOBODY, 1l);
        } else if (x->method != METHOD_GET && x->method != METHOD_DELETE) {
                curl_easy_setopt(c, CURLOPT_UPLOAD, 1l);
                curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_SIZE);
                curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE,
                                 x->body.size == BODY_UNKNOWN ? (curl_off_t)-1
                                                              : (curl_off_t)x->body.size);
                curl_easy_setopt(c, CURLOPT_READFUNCTION, on_send);
                curl_easy_setopt(c, CURLOPT_READDATA, t);
                curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_rewind);
                curl_easy_setopt(c, CURLOPT_SEEKDATA, t);
        }
}

static void put_pem(struct buf *b, const char *text, size_t n)
{
        buf_add(b, text, n);
        buf_putc(b, '\n');
}

/* The endpoint's certificates are added to the system's, as peers do; curl's blob replaces its
 * file, not its directory. */
static void set_authorities(struct transfer *t, const struct endpoint *p)
{
        const struct fetcher *f = t->q->f;
        struct curl_blob blob = { .flags = CURL_BLOB_COPY };
        AUTO_BUF all = {};
        AUTO_FREE char *system = NULL;
        size_t n = 0;

        curl_easy_setopt(t->easy, CURLOPT_CAPATH, f->ca_dir);
        curl_easy_setopt(t->easy, CURLOPT_CAINFO, f->ca_file);
        if (p->nca == 0)
                return;
        if (f->ca_file && fd_read_file_at(AT_FDCWD, f->ca_file, 8u << 20, &system, &n) == 0)
                put_pem(&all, system, n);
        for (size_t i = 0; i < p->nca; i++)
                put_pem(&all, p->ca[i].data, p->ca[i].n);
        blob.data = all.s;
        blob.len = all.len;
        curl_easy_setopt(t->easy, CURLOPT_CAINFO_BLOB, &blob);
}

static void set_tls(struct transfer *t, const struct hop *hop)
{
        const struct endpoint *p = hop->endpoint;
        CURL *c = t->easy;

        if (!str_after(hop->url, "https:"))
                return;
        curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        if (p->skip_verify) {
                curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0l);
                curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0l);
        } else {
                set_authorities(t, p);
        }
        if (hop->own && p->nclients > 0) {
                const struct client_cert *k = &p->clients[0];
                struct curl_blob cert = { .data = (void *)k->cert.data,
                                          .len = k->cert.n,
                                          .flags = CURL_BLOB_NOCOPY };
                struct curl_blob key = { .data = (void *)k->key.data,
                                         .len = k->key.n,
                                         .flags = CURL_BLOB_NOCOPY };

                curl_easy_setopt(c, CURLOPT_SSLCERT_BLOB, &cert);
                curl_easy_setopt(c, CURLOPT_SSLKEY_BLOB, &key);
        }
}

/* A blob that fits its pipe never pauses its transfer, so it may share a connection. Any other gets
 * its own: when curl 7.88 pauses an HTTP/2 stream, it stops reading the connection once something
 * more of that stream comes, and the others stand still. */
static bool is_alone(const struct exchange *x)
{
        return x->flow && !x->flow->fits;
}

static void set_connection(struct transfer *t, const struct hop *hop)
{
        const struct exchange *x = t->x;
        bool alone = is_alone(x);
        long stall = (long)t->q->f->stall_s;
        struct origin o;
        CURL *c = t->easy;

        if (x->body.size > 0)
                stall = MAX(stall, UPLOAD_STALL_S);
        curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1l);
        curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0l);
        curl_easy_setopt(c, CURLOPT_USERAGENT, "berth/" BERTH_VERSION);
        curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
        curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1l);
        curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, stall);
        curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1l);
        curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1l);
        curl_easy_setopt(c, CURLOPT_SHARE, t->q->f->share);
        curl_easy_setopt(c, CURLOPT_HTTP_VERSION,
                         (long)(alone ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS));
        curl_easy_setopt(c, CURLOPT_PIPEWAIT, alone ? 0l : 1l);
        if (x->flow)
                curl_easy_setopt(c, CURLOPT_BUFFERSIZE, BUFFER_SIZE);
        /* A proxy can't reach this machine's loopback. */
        if (url_origin(hop->url, &o) == 0 && host_is_loopback(o.host))
                curl_easy_setopt(c, CURLOPT_PROXY, "");
}

static void set_range(struct transfer *t)
{
        const struct flow *flow = t->x->flow;
        char range[40];

        if (!flow || flow->at == 0 || flow->whole)
                return;
        snprintf(range, sizeof range, "%llu-", (unsigned long long)flow->at);
        curl_easy_setopt(t->easy, CURLOPT_RANGE, range);
}

static void set_callbacks(struct transfer *t)
{
        CURL *c = t->easy;

        curl_easy_setopt(c, CURLOPT_PRIVATE, t);
        curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->text);
        curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_field);
        curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
        curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
}

/* ---- running it ---- */

void transfer_run(struct request *q, struct exchange *x, const struct hop *hop, struct transfer *t)
{
        struct fetcher *f = q->f;
        long os_error = 0;

        *t = (struct transfer){ .q = q, .task = f->current, .x = x, .next = f->transfers };
        answer_reset(&x->answer);
        x->answer.url = arena_strdup(&x->arena, hop->url);
        t->easy = curl_easy_init();
        if (!t->easy)
                abort(); /* as of any small allocation: base/mem.h */
        curl_easy_setopt(t->easy, CURLOPT_URL, hop->url);
        set_callbacks(t);
        set_connection(t, hop);
        set_method(t, hop);
        set_fields(t, hop);
        set_tls(t, hop);
        set_range(t);
        log_debug(f->log, "%s %s", method_names[x->method], hop->url);
        f->transfers = t;
        t->multi = f->pools[is_alone(x) ? POOL_ALONE : POOL_SHARED].multi;
        curl_multi_add_handle(t->multi, t->easy);
        while (!t->over || (x->flow && flow_full(x->flow)))
                task_wait(f);
        curl_multi_remove_handle(t->multi, t->easy);
        for (struct transfer **at = &f->transfers; *at; at = &(*at)->next)
                if (*at == t) {
                        *at = t->next;
                        break;
                }
        /* What is delivered by curl_easy_pause(), or drained, can't end a transfer. */
        if (t->result == CURLE_OK && x->flow && x->flow->state != FLOW_OK) {
                t->result = CURLE_WRITE_ERROR;
                t->aborted = ABORT_FLOW;
        }
        if (t->aborted == ABORT_NONE) {
                curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &os_error);
                t->os_error = (int)os_error;
        }
        log_debug(f->log, "%s %s: %d %s", method_names[x->method], hop->url, x->answer.status,
                  t->result == CURLE_OK ? "" : curl_easy_strerror(t->result));
}

void transfer_done(struct transfer *t)
{
        curl_easy_cleanup(t->easy);
        curl_slist_free_all(t->fields);
        t->easy = NULL;
        t->fields = NULL;
}

int transfer_waits(const struct transfer *t, short *ret_events)
{
        if (t->x->flow && flow_full(t->x->flow)) {
                *ret_events = POLLOUT;
                return t->x->flow->fd;
        }
        if (t->send_paused && !t->over) {
                *ret_events = POLLIN;
                return t->x->body.fd;
        }
        return -1;
}

/* What is held goes on into the pipe. True once nothing is held any more. */
static bool drained(struct flow *flow)
{
        if (!flow_drain(flow)) {
                /* The pipe has no reader: flow->state says so to whoever puts or waits next. */
                buf_clear(&flow->held);
                flow->held_at = 0;
        }
        return !flow_full(flow);
}

void transfer_ready(struct transfer *t)
{
        struct flow *flow = t->x->flow;

        if (flow && flow_full(flow)) {
                if (!drained(flow))
                        return;
                t->recv_paused = false;
        } else {
                t->send_paused = false;
        }
        if (t->over)
                task_wake(t->task);
        else
                curl_easy_pause(t->easy, (t->recv_paused ? CURLPAUSE_RECV : 0) |
                                                 (t->send_paused ? CURLPAUSE_SEND : 0));
}
