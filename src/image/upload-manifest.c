/* Manifests: PUT, DELETE, and the list of referrers that clients keep by hand where a registry
 * doesn't (distribution-spec, "Pushing Manifests with Subject"). */
#include <errno.h>
#include <unistd.h>

#include "base/str.h"
#include "codec/hash.h"
#include "codec/json.h"
#include "image/manifest.h"
#include "image/upload-internal.h"

static const struct json_limits limits = { .bytes = MANIFEST_MAX,
                                           .depth = 32,
                                           .memory = 64u << 20 };

struct pushed {
        const char *reference, *media_type, *data;
        size_t size;
        char digest[DIGEST_CAP];
};

static int read_data(struct request *q, struct pushed *p, struct err *e)
{
        char *data;
        uint64_t size;

        if (request_u64(q, "size", &size, e) < 0)
                return -1;
        if (size > MANIFEST_MAX)
                return err_set(e, ERR_LIMIT, "the manifest is larger than %u bytes", MANIFEST_MAX);
        data = arena_alloc(&q->arena, size + 1);
        if (pread(q->fds[0], data, size, 0) != (ssize_t)size)
                return err_set(e, ERR_INTERNAL, "the manifest is shorter than it should be");
        p->data = data;
        p->size = size;
        return 0;
}

static int put(struct request *q, struct exchange *x, const char *tag_or_digest,
               const char *media_type, const void *data, size_t n, struct err *e)
{
        const char *headers[] = { arena_printf(&q->arena, "Content-Type: %s", media_type), NULL };

        x->method = METHOD_PUT;
        x->can = ENDPOINT_PUSH;
        x->headers = headers;
        x->path = arena_printf(&q->arena, "/manifests/%s", tag_or_digest);
        x->what = arena_printf(&q->arena, "manifest '%s'", tag_or_digest);
        x->body = (struct body){ .data = data, .size = n };
        if (exchange_run(q, x, e) < 0)
                return -1;
        x->headers = NULL;
        return x->answer.status / 100 == 2 ? 0 : exchange_refused(q, x, e);
}

/* ---- the referrers tag ---- */

/* An image's type among referrers: its artifactType, else its configuration's type. */
static const char *artifact_type(const struct json *manifest)
{
        const char *type = json_str(json_get(manifest, "artifactType"), "");

        return *type ? type : json_str(json_path(manifest, "config.mediaType"), "");
}

static void put_descriptor(struct json_writer *w, const struct pushed *p,
                           const struct json *manifest)
{
        const struct json *annotations = json_get(manifest, "annotations");

        json_open(w, NULL, '{');
        json_put_str(w, "mediaType", p->media_type);
        json_put_str(w, "digest", p->digest);
        json_put_u64(w, "size", p->size);
        if (*artifact_type(manifest))
                json_put_str(w, "artifactType", artifact_type(manifest));
        if (annotations)
                json_put(w, "annotations", annotations);
        json_close(w, '}');
}

/* The index with one more referrer; false: it is in it already. */
static bool extend(const struct pushed *p, const struct json *manifest, const struct json *index,
                   struct buf *out)
{
        const struct json *list = json_get(index, "manifests");
        struct json_writer w = { .out = out };

        json_open(&w, NULL, '{');
        json_put_u64(&w, "schemaVersion", 2);
        json_put_str(&w, "mediaType", MEDIA_OCI_INDEX);
        json_open(&w, "manifests", '[');
        for (uint32_t i = 0; list && list->type == JSON_ARRAY && i < list->n; i++) {
                if (str_eq(json_str(json_get(&list->items[i], "digest"), ""), p->digest))
                        return false;
                json_put(&w, NULL, &list->items[i]);
        }
        put_descriptor(&w, p, manifest);
        json_close(&w, ']');
        if (json_get(index, "annotations"))
                json_put(&w, "annotations", json_get(index, "annotations"));
        json_close(&w, '}');
        return true;
}

/* What is under the tag; nothing is success, and leaves ret an empty object. */
static int fetch_index(struct request *q, const char *tag, struct json *ret, struct err *e)
{
        static const char *const headers[] = { "Accept: " MEDIA_OCI_INDEX, NULL };
        struct exchange x = { .method = METHOD_GET,
                              .can = ENDPOINT_PUSH,
                              .headers = headers,
                              .path = arena_printf(&q->arena, "/manifests/%s", tag),
                              .what = "the list of referrers",
                              .limit = MANIFEST_MAX };
        int r = exchange_run(q, &x, e);

        *ret = (struct json){ .type = JSON_OBJECT };
        if (r == 0 && x.answer.status == 200 &&
            (json_parse(&q->arena, buf_str(&x.answer.body), x.answer.body.len, &limits, ret, NULL) <
                     0 ||
             !str_eq(json_str(json_get(ret, "mediaType"), MEDIA_OCI_INDEX), MEDIA_OCI_INDEX)))
                r = err_set(e, ERR_INVALID, "the tag '%s' holds no index", tag);
        else if (r == 0 && x.answer.status != 200 && x.answer.status != 404)
                r = exchange_refused(q, &x, e);
        exchange_done(&x);
        return r;
}

static int list_referrer(struct request *q, const struct pushed *p, const struct json *manifest,
                         const char *subject, struct err *e)
{
        struct exchange x = { .body = { .size = 0 } };
        AUTO_BUF text = { 0 };
        struct json index;
        const char *tag = arena_printf(&q->arena, "%.*s-%s", (int)strcspn(subject, ":"), subject,
                                       digest_hex(subject));
        int r;

        if (fetch_index(q, tag, &index, e) < 0)
                return -1;
        if (!extend(p, manifest, &index, &text))
                return 0;
        r = put(q, &x, tag, MEDIA_OCI_INDEX, text.s, text.len, e);
        exchange_done(&x);
        return r;
}

/* The digest of what the manifest refers to; NULL: nothing. */
static const char *subject_of(struct request *q, const struct pushed *p, struct json *ret)
{
        const char *subject;
        enum hash_alg alg;

        if (json_parse(&q->arena, p->data, p->size, &limits, ret, NULL) < 0)
                return NULL;
        subject = json_str(json_path(ret, "subject.digest"), NULL);
        return subject && digest_check(subject, &alg) == 0 ? subject : NULL;
}

/* ---- operations ---- */

static int put_manifest(struct request *q, const struct pushed *p, struct err *e)
{
        struct exchange x = { .body = { .size = 0 } };
        const char *subject;
        struct json manifest;
        int r = put(q, &x, p->reference, p->media_type, p->data, p->size, e);

        if (r == 0)
                r = upload_verify(&x, p->digest, e);
        if (r == 0 && !*x.answer.oci_subject) {
                subject = subject_of(q, p, &manifest);
                if (subject && list_referrer(q, p, &manifest, subject, e) < 0)
                        r = err_in(e, "cannot list %s as a referrer of %s", x.what, subject);
        }
        exchange_done(&x);
        return r;
}

int upload_put_manifest(struct request *q, struct err *e)
{
        struct pushed p = { .data = NULL };
        enum hash_alg alg = HASH_SHA256;

        if (request_str(q, "reference", &p.reference, e) < 0 ||
            request_str(q, "media_type", &p.media_type, e) < 0 || read_data(q, &p, e) < 0)
                return -1;
        if (digest_check(p.reference, &alg) < 0 && !reference_tag_ok(p.reference))
                return err_set(e, ERR_INVALID, "'%.140s' is neither a tag nor a digest",
                               p.reference);
        if (strpbrk(p.media_type, "\r\n"))
                return err_set(e, ERR_INVALID, "the manifest's media type can't be sent");
        hash_bytes(alg, p.data, p.size, p.digest);
        if (strchr(p.reference, ':') && !str_eq(p.reference, p.digest))
                return err_set(e, ERR_INVALID, "the manifest's digest is '%s', not '%s'", p.digest,
                               p.reference);
        if (put_manifest(q, &p, e) < 0)
                return -1;
        json_put_str(&q->w, "digest", p.digest);
        return 0;
}

int upload_delete_manifest(struct request *q, struct err *e)
{
        struct exchange x = { .method = METHOD_DELETE, .can = ENDPOINT_PUSH };
        const char *digest;
        int r;

        if (upload_digest(q, &digest, e) < 0)
                return -1;
        x.path = arena_printf(&q->arena, "/manifests/%s", digest);
        x.what = arena_printf(&q->arena, "manifest %s", digest);
        r = exchange_run(q, &x, e);
        if (r == 0 && x.answer.status / 100 != 2)
                r = exchange_refused(q, &x, e);
        exchange_done(&x);
        return r;
}

const struct operation upload_operations[] = {
        { "blob-exists", 0, upload_exists },
        { "mount", 0, upload_mount },
        { "upload", 1, upload_blob },
        { "put-manifest", 1, upload_put_manifest },
        { "delete-manifest", 0, upload_delete_manifest },
        { NULL, 0, NULL },
};
