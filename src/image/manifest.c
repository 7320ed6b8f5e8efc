#include "image/manifest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "codec/base64.h"
#include "image/manifest-json.h"

#define MEDIA_EMPTY "application/vnd.oci.empty.v1+json"
#define MEDIA_SCHEMA1 "application/vnd.docker.distribution.manifest.v1"
#define MEDIA_IN_TOTO "application/vnd.in-toto+json"
/* Of "{}" (image-spec manifest.md, "Guidance for an Empty Descriptor"). */
#define EMPTY_DIGEST "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

/* What static web servers call any file of JSON: says nothing that the body could contradict. */
static const char *const vague_types[] = { "application/json", "application/octet-stream",
                                           "text/plain", "binary/octet-stream" };
static const struct {
        const char *type;
        enum manifest_kind kind;
        bool docker;
} known_types[] = {
        { MEDIA_OCI_MANIFEST, MANIFEST_IMAGE, false },
        { MEDIA_OCI_INDEX, MANIFEST_INDEX, false },
        { MEDIA_DOCKER_MANIFEST, MANIFEST_IMAGE, true },
        { MEDIA_DOCKER_LIST, MANIFEST_INDEX, true },
};

/* ---- descriptors ---- */

static const struct field descriptor_fields[] = {
        { "mediaType", FIELD_STR, offsetof(struct descriptor, media_type) },
        { "digest", FIELD_STR, offsetof(struct descriptor, digest) },
        { "artifactType", FIELD_STR, offsetof(struct descriptor, artifact_type) },
        { "annotations", FIELD_PAIRS, offsetof(struct descriptor, annotations) },
        { "urls", FIELD_STRINGS, offsetof(struct descriptor, urls) },
        { "data", FIELD_STR, offsetof(struct descriptor, data) },
        {}
};
static const struct field platform_fields[] = {
        { "os", FIELD_STR, offsetof(struct platform, os) },
        { "architecture", FIELD_STR, offsetof(struct platform, architecture) },
        { "variant", FIELD_STR, offsetof(struct platform, variant) },
        { "os.version", FIELD_STR, offsetof(struct platform, os_version) },
        {}
};
static const struct platform no_platform = { "", "", "", "" };

static int check_digest(const char *where, const char *digest, enum hash_alg *ret, struct err *e)
{
        int r = digest ? digest_check(digest, ret) : -EINVAL;

        if (r == -EOPNOTSUPP)
                return err_set(e, ERR_UNSUPPORTED,
                               "%s: \"%.40s...\" is a digest of an algorithm "
                               "that is not supported",
                               where, digest);
        if (r < 0)
                return err_set(e, ERR_INVALID, "%s: \"%.140s\" is no digest", where,
                               digest ? digest : "");
        return 0;
}

/* Embedded content must be what the descriptor describes (descriptor.md, "Embedded Content"). */
static int read_data(struct arena *a, const char *where, enum hash_alg alg, struct descriptor *d,
                     struct err *e)
{
        size_t n = strlen(d->data);
        char *plain = arena_alloc(a, BASE64_DECODED_MAX(n) + 1), digest[DIGEST_CAP];
        ssize_t len = base64_decode(d->data, n, plain);

        if (len < 0)
                return err_set(e, ERR_INVALID, "%s: \"data\" is not base64", where);
        hash_bytes(alg, plain, (size_t)len, digest);
        if ((uint64_t)len != d->size || !str_eq(digest, d->digest))
                return err_set(e, ERR_INVALID, "%s: the embedded data is not what %s names", where,
                               d->digest);
        plain[len] = 0;
        d->data = plain;
        return 0;
}

static int read_descriptor(struct arena *a, const char *where, const struct json *j,
                           struct descriptor *ret, struct err *e)
{
        const struct json *size = json_get(j, "size"), *platform = fields_get(j, "platform");
        struct descriptor d = { .media_type = "", .platform = no_platform };
        enum hash_alg alg;

        if (fields_read(a, where, j, descriptor_fields, &d, e) < 0 ||
            check_digest(where, d.digest, &alg, e) < 0)
                return -1;
        if (!size || !json_to_u64(size, &d.size) || d.size > INT64_MAX)
                return err_set(e, ERR_INVALID, "%s: the size of %s is missing or no number", where,
                               d.digest);
        if (platform && fields_read(a, where, platform, platform_fields, &d.platform, e) < 0)
                return -1;
        if (str_eq(d.digest, EMPTY_DIGEST)) {
                if (d.size != 2)
                        return err_set(e, ERR_INVALID, "%s: the empty blob has 2 bytes, not %llu",
                                       where, (unsigned long long)d.size);
                if (!d.data)
                        d.data = "e30=";
        } else if (str_eq(d.media_type, MEDIA_EMPTY)) {
                return err_set(e, ERR_INVALID, "%s: %s is not the digest of the empty blob", where,
                               d.digest);
        }
        if (d.data && read_data(a, where, alg, &d, e) < 0)
                return -1;
        *ret = d;
        return 0;
}

static int read_descriptors(struct arena *a, const char *name, const struct json *list,
                            struct manifest *m, struct err *e)
{
        char where[32];

        if (list->type != JSON_ARRAY)
                return err_set(e, ERR_INVALID, "\"%s\" is not a list", name);
        m->layers = arena_array(a, struct descriptor, list->n + 1);
        for (; m->nlayers < list->n; m->nlayers++) {
                snprintf(where, sizeof where, "%s[%zu]", name, m->nlayers);
                if (read_descriptor(a, where, &list->items[m->nlayers], &m->layers[m->nlayers], e) <
                    0)
                        return -1;
        }
        return 0;
}

/* ---- manifests ---- */

static int refuse_schema1(struct err *e)
{
        err_set(e, ERR_UNSUPPORTED, "this is docker's schema 1, which nobody reads any more");
        return err_hint(e, "Pull it with an old docker and push it again: that writes schema 2.");
}

static int check_version(const struct json *j, struct err *e)
{
        const struct json *v = fields_get(j, "schemaVersion");
        int64_t n = 2;

        if (v && !json_to_i64(v, &n))
                return err_set(e, ERR_INVALID, "\"schemaVersion\" is not a number");
        if (n == 1)
                return refuse_schema1(e);
        if (n != 2)
                return err_set(e, ERR_UNSUPPORTED, "\"schemaVersion\" is %lld; only 2 is known",
                               (long long)n);
        return 0;
}

/* What two readers may take for different things is refused, whatever its type says. */
static int check_ambiguity(const struct json *j, bool *ret_index, struct err *e)
{
        static const char *const of_images[] = { "layers", "config", "fsLayers", "blobs" };
        bool index = fields_get(j, "manifests");

        for (size_t i = 0; index && i < ARRAY_SIZE(of_images); i++)
                if (fields_get(j, of_images[i]))
                        return err_set(e, ERR_INVALID,
                                       "it has both \"manifests\" and \"%s\": nobody can say "
                                       "what it is",
                                       of_images[i]);
        if (fields_get(j, "fsLayers"))
                return refuse_schema1(e);
        *ret_index = index;
        return 0;
}

/* Without parameters and blanks: "a/b; charset=utf-8" -> "a/b". */
static const char *bare_type(struct arena *a, const char *content_type)
{
        size_t n = strcspn(content_type, "; \t");

        return arena_strndup(a, content_type, n);
}

static int check_type(const char *body, const char *transport, bool index, struct manifest *m,
                      struct err *e)
{
        if (transport && STR_INDEX(vague_types, transport) >= 0)
                transport = NULL;
        if (body && transport && strcasecmp(body, transport) != 0)
                return err_set(e, ERR_INVALID,
                               "it says that it is %s, but the registry calls it %s", body,
                               transport);
        m->media_type = body ? body : transport;
        m->kind = index ? MANIFEST_INDEX : MANIFEST_IMAGE;
        if (!m->media_type)
                m->media_type = index ? MEDIA_OCI_INDEX : MEDIA_OCI_MANIFEST;
        if (str_after(m->media_type, MEDIA_SCHEMA1))
                return refuse_schema1(e);
        for (size_t i = 0; i < ARRAY_SIZE(known_types); i++) {
                if (strcasecmp(known_types[i].type, m->media_type) != 0)
                        continue;
                m->docker = known_types[i].docker;
                if (known_types[i].kind != m->kind)
                        return err_set(e, ERR_INVALID, "it is called %s, but holds %s",
                                       m->media_type, index ? "\"manifests\"" : "none");
        }
        return 0;
}

/* An image's or artifact's: config, layers (or `blobs`, of artifact manifests before OCI 1.1). */
static int read_image(struct arena *a, const struct json *j, struct manifest *m, struct err *e)
{
        const struct json *config = fields_get(j, "config"), *layers = fields_get(j, "layers");
        const struct json *blobs = fields_get(j, "blobs");

        if (config) {
                if (read_descriptor(a, "config", config, &m->config, e) < 0)
                        return -1;
        } else if (!blobs) {
                return err_set(e, ERR_INVALID,
                               "it has neither \"config\" nor \"manifests\": no image");
        }
        if (layers  ? read_descriptors(a, "layers", layers, m, e) < 0
            : blobs ? read_descriptors(a, "blobs", blobs, m, e) < 0
                    : false)
                return -1;
        if (manifest_is_image(m) && m->nlayers > MANIFEST_LAYERS_MAX)
                return err_set(e, ERR_LIMIT, "it has %zu layers; the kernel stacks %d at the most",
                               m->nlayers, MANIFEST_LAYERS_MAX);
        return 0;
}

static const struct field manifest_fields[] = {
        { "artifactType", FIELD_STR, offsetof(struct manifest, artifact_type) },
        { "annotations", FIELD_PAIRS, offsetof(struct manifest, annotations) },
        {}
};

static int parse(struct arena *a, const char *text, size_t n, const char *content_type,
                 struct manifest *m, struct err *e)
{
        struct {
                const char *media_type;
        } body = { NULL };
        static const struct field type[] = { { "mediaType", FIELD_STR, 0 }, {} };
        const char *transport = str_empty(content_type) ? NULL : bare_type(a, content_type);
        const struct json *subject;
        struct json j;
        bool index = false;

        if (transport && str_after(transport, MEDIA_SCHEMA1))
                return refuse_schema1(e);
        if (fields_parse(a, "manifest", text, n, MANIFEST_MAX, &j, e) < 0 ||
            check_version(&j, e) < 0 || check_ambiguity(&j, &index, e) < 0 ||
            fields_read(a, "the manifest", &j, type, &body, e) < 0 ||
            check_type(str_empty(body.media_type) ? NULL : body.media_type, transport, index, m,
                       e) < 0 ||
            fields_read(a, "the manifest", &j, manifest_fields, m, e) < 0)
                return -1;
        if (str_empty(m->artifact_type))
                m->artifact_type = NULL;
        if ((subject = fields_get(&j, "subject"))) {
                m->subject = arena_new(a, struct descriptor);
                if (read_descriptor(a, "subject", subject, m->subject, e) < 0)
                        return -1;
        }
        return index ? read_descriptors(a, "manifests", fields_get(&j, "manifests"), m, e)
                     : read_image(a, &j, m, e);
}

int manifest_parse(struct arena *a, const char *text, size_t n, const char *content_type,
                   struct manifest *ret, struct err *e)
{
        struct manifest m = { .config = { .media_type = "", .platform = no_platform } };

        if (parse(a, text, n, content_type, &m, e) < 0)
                return -1;
        *ret = m;
        return 0;
}

/* ---- choosing ---- */

/* Made by build tools beside each image: what it was built from, signed. */
static bool is_attestation(const struct descriptor *d)
{
        return str_eq(d->platform.os, "unknown") && str_eq(d->platform.architecture, "unknown");
}

static int nothing_fits(const struct manifest *index, const struct platform *want, struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF have = { 0 };

        for (size_t i = 0; i < index->nlayers && have.len < 100; i++)
                if (!is_attestation(&index->layers[i]) && *index->layers[i].platform.os)
                        buf_printf(&have, "%s%s", have.len ? ", " : "",
                                   platform_str(&a, &index->layers[i].platform));
        err_set(e, ERR_NOT_FOUND, "there is nothing for %s in it", platform_str(&a, want));
        if (!have.len)
                return err_hint(e, "None of its entries names a platform.");
        return err_hint(e, "Choose with --platform; there is %s.", buf_str(&have));
}

int manifest_choose(const struct manifest *index, const struct platform *want,
                    const struct descriptor **ret, struct err *e)
{
        const struct descriptor *best = NULL;
        int least = -1;

        for (size_t i = 0; i < index->nlayers; i++) {
                const struct descriptor *d = &index->layers[i];
                int m = is_attestation(d) ? -1 : platform_match(want, &d->platform);

                if (m >= 0 && (!best || m < least)) {
                        best = d;
                        least = m;
                }
        }
        /* An index of one image that names no platform means that image (`oras`, `umoci`). */
        if (!best && index->nlayers == 1 && !*index->layers[0].platform.os)
                best = &index->layers[0];
        if (!best)
                return nothing_fits(index, want, e);
        *ret = best;
        return 0;
}

bool manifest_is_image(const struct manifest *m)
{
        if (m->kind != MANIFEST_IMAGE || (!str_eq(m->config.media_type, MEDIA_OCI_CONFIG) &&
                                          !str_eq(m->config.media_type, MEDIA_DOCKER_CONFIG)))
                return false;
        for (size_t i = 0; i < m->nlayers; i++)
                if (str_eq(m->layers[i].media_type, MEDIA_IN_TOTO))
                        return false;
        return true;
}

bool media_type_distributable(const char *media_type)
{
        return !strstr(media_type, "nondistributable") && !strstr(media_type, ".foreign.");
}
