/* Operations that read: manifests, blobs, tags, referrers; and login. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "codec/hash.h"
#include "image/manifest.h"
#include "image/registry-internal.h"

#define TAGS_PAGE_MAX (8u << 20)
#define TAGS_MAX 1000000u
#define PAGES_MAX 1000u

static const char accept_manifests[] = "Accept: " MEDIA_OCI_INDEX ", " MEDIA_OCI_MANIFEST
                                       ", " MEDIA_DOCKER_LIST ", " MEDIA_DOCKER_MANIFEST;

static const struct json_limits page_limits = { .bytes = TAGS_PAGE_MAX,
                                                .depth = 16,
                                                .memory = 64u << 20 };

/* ---- manifests ---- */

/* Content-Type without parameters. */
static char *media_type(struct arena *a, const char *content_type)
{
        return text_clean(a, content_type, strcspn(content_type, "; \t,"), 255);
}

static int reference_take(struct request *q, const char **ret, bool *ret_digest, struct err *e)
{
        enum hash_alg alg;

        if (request_str(q, "reference", ret, e) < 0)
                return -1;
        *ret_digest = digest_check(*ret, &alg) == 0;
        if (!*ret_digest && !reference_tag_ok(*ret))
                return err_set(e, ERR_INVALID,
                               "'%.100s' is neither a tag nor a digest that can be "
                               "verified here",
                               *ret);
        return 0;
}

/* The digest of a manifest that has come: by the algorithm of the digest that was asked for, else
 * of the one that the registry names, else SHA-256; and equal to either. */
static int manifest_verify(const struct exchange *x, const char *wanted, char ret[DIGEST_CAP],
                           struct err *e)
{
        const char *told = x->answer.docker_content_digest;
        enum hash_alg alg = HASH_SHA256, told_alg;

        if (digest_check(told, &told_alg) < 0)
                told = NULL;
        else
                alg = told_alg;
        if (wanted)
                digest_check(wanted, &alg);
        hash_bytes(alg, buf_str(&x->answer.body), x->answer.body.len, ret);
        if (wanted && !str_eq(ret, wanted))
                return err_set(e, ERR_INVALID,
                               "%s has the digest '%s': it is not what was asked for", x->what,
                               ret);
        if (told && told_alg == alg && !str_eq(ret, told))
                return err_set(e, ERR_INVALID,
                               "%s has the digest '%s', but the registry calls it '%s'", x->what,
                               ret, told);
        return 0;
}

/* Of a HEAD: what the registry says. False: it says nothing that is of use. */
static bool head_digest(const struct exchange *x, const char *wanted, char ret[DIGEST_CAP])
{
        enum hash_alg alg;
        const char *told = x->answer.docker_content_digest;

        if (digest_check(told, &alg) < 0 || (wanted && !str_eq(told, wanted)))
                return false;
        snprintf(ret, DIGEST_CAP, "%s", told);
        return true;
}

static int manifest_answer(struct request *q, const struct exchange *x, const char *digest,
                           struct err *e)
{
        json_put_str(&q->w, "digest", digest);
        json_put_str(&q->w, "content_type", media_type(&q->arena, x->answer.content_type));
        return x->method == METHOD_HEAD
                       ? 0
                       : request_answer_data(q, buf_str(&x->answer.body), x->answer.body.len, e);
}

/* x: method, what and path filled. */
static int manifest_get(struct request *q, struct exchange *x, const char *wanted, struct err *e)
{
        static const char *const headers[] = { accept_manifests, NULL };
        char digest[DIGEST_CAP];

        x->can = wanted ? ENDPOINT_PULL : ENDPOINT_RESOLVE;
        x->headers = headers;
        x->limit = MANIFEST_MAX;
        if (exchange_run(q, x, e) < 0)
                return -1;
        if (x->method == METHOD_HEAD && (x->answer.status == 405 || x->answer.status / 100 == 2) &&
            !head_digest(x, wanted, digest)) {
                exchange_clear(x);
                x->method = METHOD_GET;
                if (exchange_run(q, x, e) < 0)
                        return -1;
        }
        if (x->answer.status != 200)
                return exchange_refused(q, x, e);
        if (x->method == METHOD_GET && manifest_verify(x, wanted, digest, e) < 0)
                return -1;
        return manifest_answer(q, x, digest, e);
}

static int op_manifest(struct request *q, struct err *e)
{
        bool head = json_is_true(json_get(&q->json, "head"));
        struct exchange x = { .method = head ? METHOD_HEAD : METHOD_GET };
        const char *reference;
        bool by_digest;
        int r;

        if (reference_take(q, &reference, &by_digest, e) < 0)
                return -1;
        x.path = arena_printf(&q->arena, "/manifests/%s", reference);
        x.what = arena_printf(&q->arena, by_digest ? "manifest %s" : "tag '%s'", reference);
        r = manifest_get(q, &x, by_digest ? reference : NULL, e);
        exchange_done(&x);
        return r;
}

/* ---- blobs ---- */

static int digest_take(struct request *q, const char **ret, struct err *e)
{
        enum hash_alg alg;

        if (request_str(q, "digest", ret, e) < 0)
                return -1;
        if (digest_check(*ret, &alg) < 0)
                return err_set(e, ERR_INVALID, "'%.100s' is no digest that can be verified here",
                               *ret);
        return 0;
}

static int small_blob_get(struct request *q, struct exchange *x, const char *digest, uint64_t size,
                          struct err *e)
{
        char got[DIGEST_CAP];
        enum hash_alg alg;

        if (exchange_run(q, x, e) < 0)
                return -1;
        if (x->answer.status != 200)
                return exchange_refused(q, x, e);
        if (x->answer.body.len != size)
                return err_set(e, ERR_INVALID, "%s has %zu bytes, its descriptor says %llu",
                               x->what, x->answer.body.len, (unsigned long long)size);
        digest_check(digest, &alg);
        hash_bytes(alg, buf_str(&x->answer.body), size, got);
        if (!str_eq(got, digest))
                return err_set(e, ERR_INVALID, "%s has other content: its digest is '%s'", x->what,
                               got);
        return request_answer_data(q, buf_str(&x->answer.body), size, e);
}

static int op_small_blob(struct request *q, struct err *e)
{
        struct exchange x = { .method = METHOD_GET, .can = ENDPOINT_PULL };
        const char *digest;
        uint64_t size;
        int r;

        if (digest_take(q, &digest, e) < 0 || request_u64(q, "size", &size, e) < 0)
                return -1;
        if (size > CONFIG_MAX)
                return err_set(e, ERR_LIMIT, "blob %s is larger than %u bytes", digest, CONFIG_MAX);
        x.path = arena_printf(&q->arena, "/blobs/%s", digest);
        x.what = arena_printf(&q->arena, "blob %s", digest);
        x.limit = MAX(size, (uint64_t)1);
        r = small_blob_get(q, &x, digest, size, e);
        exchange_done(&x);
        return r;
}

/* Layers that a registry may not pass on name other places (descriptor.md, "urls"); none gets
 * credentials. */
static int blob_elsewhere(struct request *q, struct exchange *x, struct err *e)
{
        const struct json *urls = json_get(&q->json, "urls");
        uint32_t n = urls && urls->type == JSON_ARRAY ? urls->n : 0;

        for (uint32_t i = 0; i < n && x->answer.status == 404; i++) {
                const char *url = json_str(&urls->items[i], "");

                exchange_clear(x);
                x->path = x->at = url;
                if (exchange_run(q, x, e) < 0)
                        return -1;
        }
        return 0;
}

static int blob_get(struct request *q, struct exchange *x, struct err *e)
{
        struct flow *flow = x->flow;

        if (!flow_complete(flow) && (exchange_run(q, x, e) < 0 || blob_elsewhere(q, x, e) < 0))
                return -1;
        if (!flow_complete(flow))
                return exchange_refused(q, x, e);
        request_progress(q, flow->at, true);
        return 0;
}

static int op_blob(struct request *q, struct err *e)
{
        struct flow flow = { .fd = q->fds[0] };
        struct exchange x = { .method = METHOD_GET, .can = ENDPOINT_PULL, .flow = &flow };
        const char *digest;
        int r;

        if (digest_take(q, &digest, e) < 0 || request_u64(q, "size", &flow.size, e) < 0 ||
            request_u64(q, "offset", &flow.at, e) < 0)
                return -1;
        if (flow.at > flow.size)
                return err_set(e, ERR_INTERNAL, "a blob is asked for from behind its end");
        if (fcntl(flow.fd, F_SETFL, O_WRONLY | O_NONBLOCK) < 0)
                return err_sys(e, errno, "cannot use the pipe for a blob");
        r = fcntl(flow.fd, F_GETPIPE_SZ);
        flow.fits = r > 0 && flow.size <= (uint64_t)r;
        x.path = arena_printf(&q->arena, "/blobs/%s", digest);
        x.what = arena_printf(&q->arena, "blob %s", digest);
        r = blob_get(q, &x, e);
        exchange_done(&x);
        flow_done(&flow);
        return r;
}

/* ---- lists in pages ---- */

/* Makes x ask for the page after the one that it has: true, if there is one. */
static bool page_next(struct request *q, struct exchange *x, unsigned page)
{
        const char *next;

        if (page >= PAGES_MAX || http_link(&q->arena, x->answer.link, "next", &next) < 0)
                return false;
        x->at = arena_strdup(&q->arena, x->answer.url);
        x->path = next;
        return true;
}

static int tags_add(struct request *q, const struct exchange *x, struct json_writer *w,
                    size_t *count, struct err *e)
{
        AUTO_ARENA a = {};
        struct json j;
        const struct json *tags;

        if (json_parse(&a, buf_str(&x->answer.body), x->answer.body.len, &page_limits, &j, NULL) <
            0)
                return err_set(e, ERR_INVALID, "'%s' answered a list of tags that is no JSON",
                               q->f->ref.host);
        tags = json_get(&j, "tags");
        for (uint32_t i = 0; tags && tags->type == JSON_ARRAY && i < tags->n; i++) {
                const char *tag = json_str(&tags->items[i], "");

                if (!reference_tag_ok(tag))
                        continue;
                if (++*count > TAGS_MAX)
                        return err_set(e, ERR_LIMIT, "'%s' has more than %u tags", q->f->repository,
                                       TAGS_MAX);
                json_put_str(w, NULL, tag);
        }
        return 0;
}

static int tags_get(struct request *q, struct exchange *x, struct json_writer *w, struct err *e)
{
        size_t count = 0;

        for (unsigned page = 1;; page++) {
                if (exchange_run(q, x, e) < 0)
                        return -1;
                if (x->answer.status != 200)
                        return exchange_refused(q, x, e);
                if (tags_add(q, x, w, &count, e) < 0)
                        return -1;
                if (!page_next(q, x, page))
                        return 0;
                exchange_clear(x);
        }
}

static int op_tags(struct request *q, struct err *e)
{
        struct exchange x = { .method = METHOD_GET,
                              .can = ENDPOINT_RESOLVE,
                              .path = "/tags/list?n=1000",
                              .limit = TAGS_PAGE_MAX };
        AUTO_BUF list = {};
        struct json_writer w = { .out = &list };
        int r;

        x.what = "the list of tags";
        json_open(&w, NULL, '[');
        r = tags_get(q, &x, &w, e);
        json_close(&w, ']');
        exchange_done(&x);
        return r < 0 ? -1 : request_answer_data(q, list.s, list.len, e);
}

/* ---- referrers (distribution-spec, "Listing Referrers") ---- */

static int referrers_answer(struct request *q, const char *data, size_t n, struct err *e)
{
        char digest[DIGEST_CAP];

        hash_bytes(HASH_SHA256, data, n, digest);
        json_put_str(&q->w, "digest", digest);
        json_put_str(&q->w, "content_type", MEDIA_OCI_INDEX);
        return request_answer_data(q, data, n, e);
}

/* The descriptors of a page go into the index that w writes. */
static int referrers_add(struct request *q, const struct exchange *x, struct json_writer *w,
                         struct err *e)
{
        AUTO_ARENA a = {};
        struct json j;
        const struct json *list;

        if (json_parse(&a, buf_str(&x->answer.body), x->answer.body.len, &page_limits, &j, NULL) <
            0)
                return err_set(e, ERR_INVALID, "'%s' answered %s that are no JSON", q->f->ref.host,
                               x->what);
        list = json_get(&j, "manifests");
        for (uint32_t i = 0; list && list->type == JSON_ARRAY && i < list->n; i++)
                json_put(w, NULL, &list->items[i]);
        return w->out->len > 4 * MANIFEST_MAX ? err_set(e, ERR_LIMIT, "%s are more than %u bytes",
                                                        x->what, 4 * MANIFEST_MAX)
                                              : 0;
}

static bool is_index(struct request *q, const struct exchange *x)
{
        return x->answer.status == 200 &&
               str_eq(media_type(&q->arena, x->answer.content_type), MEDIA_OCI_INDEX);
}

/* 1: the registry has the API; 0: it does not. */
static int referrers_api(struct request *q, struct exchange *x, struct json_writer *w,
                         struct err *e)
{
        for (unsigned page = 1;; page++) {
                if (exchange_run(q, x, e) < 0)
                        return -1;
                if (!is_index(q, x))
                        return page == 1 ? 0 : exchange_refused(q, x, e);
                if (referrers_add(q, x, w, e) < 0)
                        return -1;
                if (!page_next(q, x, page))
                        return 1;
                exchange_clear(x);
        }
}

/* The index under the tag that clients keep by hand where there is no API; none is an empty one. */
static int referrers_tag(struct request *q, struct exchange *x, struct json_writer *w,
                         struct err *e)
{
        if (exchange_run(q, x, e) < 0)
                return -1;
        if (x->answer.status == 404)
                return 0;
        return x->answer.status == 200 ? referrers_add(q, x, w, e) : exchange_refused(q, x, e);
}

static int op_referrers(struct request *q, struct err *e)
{
        static const char *const headers[] = { "Accept: " MEDIA_OCI_INDEX, NULL };
        struct exchange x = { .method = METHOD_GET,
                              .can = ENDPOINT_PULL,
                              .headers = headers,
                              .limit = MANIFEST_MAX,
                              .what = "the referrers" };
        AUTO_BUF index = {};
        struct json_writer w = { .out = &index };
        const char *digest;
        int r;

        if (digest_take(q, &digest, e) < 0)
                return -1;
        json_open(&w, NULL, '{');
        json_put_u64(&w, "schemaVersion", 2);
        json_put_str(&w, "mediaType", MEDIA_OCI_INDEX);
        json_open(&w, "manifests", '[');
        x.path = arena_printf(&q->arena, "/referrers/%s", digest);
        r = referrers_api(q, &x, &w, e);
        if (r == 0) {
                exchange_clear(&x);
                x.can = ENDPOINT_RESOLVE;
                x.path = arena_printf(&q->arena, "/manifests/%.*s-%s", (int)strcspn(digest, ":"),
                                      digest, digest_hex(digest));
                r = referrers_tag(q, &x, &w, e);
        }
        exchange_done(&x);
        json_close(&w, ']');
        json_close(&w, '}');
        return r < 0 ? -1 : referrers_answer(q, index.s, index.len, e);
}

/* ---- login ---- */

static int op_login(struct request *q, struct err *e)
{
        struct exchange x = {
                .method = METHOD_GET, .root = true, .upstream = true, .what = "its greeting"
        };
        int r;

        q->f->login = true;
        r = exchange_run(q, &x, e);
        if (r == 0 && x.answer.status != 200)
                r = exchange_refused(q, &x, e);
        q->f->login = false;
        exchange_done(&x);
        return r;
}

const struct operation pull_operations[] = {
        { "login", 0, op_login },
        { "manifest", 0, op_manifest },
        { "small-blob", 0, op_small_blob },
        { "blob", 1, op_blob },
        { "tags", 0, op_tags },
        { "referrers", 0, op_referrers },
        {},
};
