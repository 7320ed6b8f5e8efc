/* Manifests, indexes and configurations: what real tools write is read; where two readers could
 * disagree nothing is. */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/test.h"
#include "image/manifest.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define D "sha256:" HEX
#define D2 "sha256:ff23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define EMPTY "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
#define CONFIG "\"config\":{\"mediaType\":\"" MEDIA_OCI_CONFIG "\",\"digest\":\"" D "\",\"size\":7}"
#define LAYER "{\"mediaType\":\"" MEDIA_OCI_LAYER "+gzip\",\"digest\":\"" D2 "\",\"size\":100}"
#define IMAGE "{\"schemaVersion\":2," CONFIG ",\"layers\":[" LAYER "]}"

static int parse(struct arena *a, const char *text, const char *type, struct manifest *m,
                 struct err *e)
{
        err_clear(e);
        return manifest_parse(a, text, strlen(text), type, m, e);
}

static void test_image(void **state)
{
        AUTO_ARENA a = { 0 };
        struct manifest m;
        struct err e;

        assert_int_equal(parse(&a, IMAGE, MEDIA_OCI_MANIFEST "; charset=utf-8", &m, &e), 0);
        assert_int_equal(m.kind, MANIFEST_IMAGE);
        assert_false(m.docker);
        assert_string_equal(m.media_type, MEDIA_OCI_MANIFEST);
        assert_string_equal(m.config.digest, D);
        assert_int_equal(m.config.size, 7);
        assert_int_equal(m.nlayers, 1);
        assert_string_equal(m.layers[0].digest, D2);
        assert_int_equal(m.layers[0].size, 100);
        assert_true(manifest_is_image(&m));
        assert_null(m.subject);
        assert_null(m.artifact_type);
}

static void test_docker(void **state)
{
        AUTO_ARENA a = { 0 };
        struct manifest m;
        struct err e;
        const char *text = "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_DOCKER_MANIFEST
                           "\",\"config\":{\"mediaType\":\"" MEDIA_DOCKER_CONFIG
                           "\",\"digest\":\"" D "\",\"size\":7},\"layers\":null}";

        assert_int_equal(parse(&a, text, "application/json", &m, &e), 0);
        assert_true(m.docker);
        assert_true(manifest_is_image(&m));
        assert_int_equal(m.nlayers, 0);
}

static void test_artifact(void **state)
{
        AUTO_ARENA a = { 0 };
        struct manifest m;
        struct err e;
        const char *text = "{\"schemaVersion\":2,\"artifactType\":\"application/x.sbom\","
                           "\"config\":{\"mediaType\":\"application/vnd.oci.empty.v1+json\","
                           "\"digest\":\"" EMPTY "\",\"size\":2},\"layers\":[],\"subject\":{"
                           "\"mediaType\":\"a/b\",\"digest\":\"" D "\",\"size\":1},"
                           "\"annotations\":{\"k\":\"v\"},\"unknown\":[1,{}]}";

        assert_int_equal(parse(&a, text, MEDIA_OCI_MANIFEST, &m, &e), 0);
        assert_false(manifest_is_image(&m));
        assert_string_equal(m.artifact_type, "application/x.sbom");
        assert_string_equal(m.config.data, "{}");
        assert_string_equal(m.subject->digest, D);
        assert_int_equal(m.annotations.n, 1);
        text = "{\"mediaType\":\"application/vnd.x.future\",\"blobs\":[" LAYER "]}";
        assert_int_equal(parse(&a, text, "application/vnd.x.future", &m, &e), 0);
        assert_false(manifest_is_image(&m));
        assert_int_equal(m.nlayers, 1);
        text = "{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"mediaType\":"
               "\"application/vnd.in-toto+json\",\"digest\":\"" D "\",\"size\":1}]}";
        assert_int_equal(parse(&a, text, NULL, &m, &e), 0);
        assert_false(manifest_is_image(&m));
}

static void test_embedded_data(void **state)
{
        AUTO_ARENA a = { 0 };
        struct manifest m;
        struct err e;
        char text[600], digest[DIGEST_CAP];

        hash_bytes(HASH_SHA256, "hello", 5, digest);
        for (int size = 4; size <= 6; size++) {
                snprintf(text, sizeof text,
                         "{\"config\":{\"mediaType\":\"a/b\",\"digest\":\"%s\",\"size\":%d,"
                         "\"data\":\"aGVsbG8=\"},\"layers\":[]}",
                         digest, size);
                assert_int_equal(parse(&a, text, NULL, &m, &e), size == 5 ? 0 : -1);
                if (size == 5)
                        assert_string_equal(m.config.data, "hello");
        }
        snprintf(text, sizeof text,
                 "{\"config\":{\"mediaType\":\"a/b\",\"digest\":\"%s\",\"size\":5,"
                 "\"data\":\"aGVsbG9=\"},\"layers\":[]}",
                 digest);
        assert_int_equal(parse(&a, text, NULL, &m, &e), -1);
        assert_non_null(strstr(e.chain, "base64"));
}

static void test_refuses(void **state)
{
        static const struct {
                const char *text, *type, *says;
        } cases[] = {
                { "", NULL, "not valid JSON" },
                { "[]", NULL, "not a JSON object" },
                { "{\"a\":1,\"a\":2}", NULL, "duplicate key" },
                { "{\"schemaVersion\":2,\"layers\":[],\"manifests\":[]}", NULL, "both" },
                { "{\"schemaVersion\":2,\"manifests\":[]," CONFIG "}", NULL, "both" },
                { "{\"schemaVersion\":1,\"name\":\"x\",\"fsLayers\":[]}", NULL, "schema 1" },
                { IMAGE, "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1" },
                { "{\"schemaVersion\":3}", NULL, "only 2 is known" },
                { "{\"schemaVersion\":2}", NULL, "neither" },
                { "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST "\"," CONFIG
                  ",\"layers\":[]}",
                  MEDIA_DOCKER_MANIFEST, "but the registry calls it" },
                { IMAGE, MEDIA_OCI_INDEX, "but holds none" },
                { "{\"manifests\":[]}", MEDIA_OCI_MANIFEST, "but holds \"manifests\"" },
                { "{\"config\":{\"digest\":\"sha256:1\",\"size\":1}}", NULL, "no digest" },
                { "{\"config\":{\"digest\":\"sha256:../../../../etc/passwd\",\"size\":1}}", NULL,
                  "no digest" },
                { "{\"config\":{\"digest\":\"blake3:" HEX "\",\"size\":1}}", NULL,
                  "not supported" },
                { "{\"config\":{\"digest\":\"" D "\",\"size\":-1}}", NULL, "no number" },
                { "{\"config\":{\"digest\":\"" D "\",\"size\":1.5}}", NULL, "no number" },
                { "{\"config\":{\"digest\":\"" D "\"}}", NULL, "no number" },
                { "{\"config\":{\"digest\":\"" D "\",\"size\":18446744073709551615}}", NULL,
                  "no number" },
                { "{\"config\":{\"digest\":\"" D "\\u0000x\",\"size\":1}}", NULL,
                  "\"digest\" is not a string" },
                { "{\"config\":{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\"digest\":\"" D
                  "\",\"size\":2}}",
                  NULL, "empty blob" },
                { "{\"config\":{\"digest\":\"" EMPTY "\",\"size\":3}}", NULL, "2 bytes" },
                { "{\"config\":[]}", NULL, "config is not an object" },
                { "{" CONFIG ",\"layers\":{}}", NULL, "\"layers\" is not a list" },
                { "{" CONFIG ",\"layers\":[1]}", NULL, "layers[0] is not an object" },
                { "{" CONFIG ",\"layers\":[],\"annotations\":{\"a\":1}}", NULL,
                  "\"annotations\" is not an object of strings" },
                { "{" CONFIG ",\"layers\":[],\"subject\":{}}", NULL, "subject" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                AUTO_ARENA a = { 0 };
                struct manifest m = { 0 };
                struct err e;

                assert_int_equal(parse(&a, cases[i].text, cases[i].type, &m, &e), -1);
                if (!strstr(e.chain, cases[i].says))
                        fail_msg("%s: %s", cases[i].text, e.chain);
                assert_null(m.media_type);
        }
}

static void test_too_many_layers(void **state)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };
        struct manifest m;
        struct err e;

        buf_puts(&b, "{" CONFIG ",\"layers\":[" LAYER);
        for (int i = 1; i < MANIFEST_LAYERS_MAX; i++)
                buf_puts(&b, "," LAYER);
        buf_puts(&b, "]}");
        assert_int_equal(parse(&a, b.s, NULL, &m, &e), 0);
        b.len -= 2;
        buf_puts(&b, "," LAYER "]}");
        assert_int_equal(parse(&a, b.s, NULL, &m, &e), -1);
        assert_int_equal(e.code, ERR_LIMIT);
}

#define ENTRY(d, os, arch, variant)                                                                \
        "{\"mediaType\":\"x\",\"digest\":\"" d "\",\"size\":1,\"platform\":{\"os\":\"" os          \
        "\",\"architecture\":\"" arch "\"" variant "}}"

static void test_choose(void **state)
{
        AUTO_ARENA a = { 0 };
        const char *text =
                "{\"schemaVersion\":2,\"manifests\":[" ENTRY(D, "unknown", "unknown", "") "," ENTRY(
                        D2, "linux", "arm",
                        ",\"variant\":\"v6\"") ","
                                               "{\"digest\":\"" EMPTY
                                               "\",\"size\":2,\"platform\":{\"os\":\"linux\","
                                               "\"architecture\":\"arm\",\"variant\":\"v7\"}}"
                                               "," ENTRY(D, "linux", "arm", "") "]}";
        struct platform want;
        const struct descriptor *d;
        struct manifest m;
        struct err e;

        assert_int_equal(parse(&a, text, MEDIA_OCI_INDEX, &m, &e), 0);
        assert_int_equal(m.kind, MANIFEST_INDEX);
        assert_int_equal(platform_parse(&a, "linux/arm/v7", &want, &e), 0);
        assert_int_equal(manifest_choose(&m, &want, &d, &e), 0);
        assert_string_equal(d->digest, EMPTY); /* exact, and the first that is */
        assert_int_equal(platform_parse(&a, "linux/arm/v6", &want, &e), 0);
        assert_int_equal(manifest_choose(&m, &want, &d, &e), 0);
        assert_string_equal(d->digest, D2);
        assert_int_equal(platform_parse(&a, "linux/arm/v5", &want, &e), 0);
        assert_int_equal(manifest_choose(&m, &want, &d, &e), -1);
        assert_int_equal(e.code, ERR_NOT_FOUND);
        assert_string_equal(e.hint, "Choose with --platform; there is linux/arm/v6, linux/arm/v7, "
                                    "linux/arm.");
        want = (struct platform){ "unknown", "unknown", "", "" };
        assert_int_equal(manifest_choose(&m, &want, &d, &e), -1);
}

static void test_config(void **state)
{
        AUTO_ARENA a = { 0 };
        struct image_config c;
        struct err e = { 0 };
        const char *text =
                "{\"os\":\"linux\",\"architecture\":\"amd64\",\"created\":\"2024-02-29T12:00:00."
                "5Z\","
                "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D "\",\"" D2 "\"]},"
                "\"config\":{\"User\":\"1000:1000\",\"Env\":[\"A=b\"],\"Entrypoint\":null,\"Cmd\":["
                "],"
                "\"Volumes\":{\"/data\":{}},\"ExposedPorts\":{\"80/"
                "tcp\":{}},\"Labels\":{\"l\":\"m\"},"
                "\"WorkingDir\":\"/w\",\"StopSignal\":\"SIGINT\",\"ArgsEscaped\":true,"
                "\"Healthcheck\":{\"Test\":[\"CMD\",\"true\"],\"Interval\":1000,\"Retries\":3}},"
                "\"history\":[{\"created_by\":\"x\"},{\"empty_layer\":true}],\"moby.x\":1}";

        assert_int_equal(image_config_parse(&a, text, strlen(text), &c, &e), 0);
        assert_string_equal(c.platform.architecture, "amd64");
        assert_string_equal(c.platform.variant, "");
        assert_int_equal(c.diff_ids.n, 2);
        assert_string_equal(c.user, "1000:1000");
        assert_false(c.has_entrypoint);
        assert_true(c.has_cmd);
        assert_int_equal(c.cmd.n, 0);
        assert_string_equal(c.volumes.v[0], "/data");
        assert_string_equal(c.exposed_ports.v[0], "80/tcp");
        assert_string_equal(c.labels.v[0].value, "m");
        assert_int_equal(c.health_test.n, 2);
        assert_int_equal(c.health_interval_ns, 1000);
        assert_int_equal(c.nhistory, 2);
        assert_true(c.history[1].empty_layer);
        assert_int_equal(image_time(c.created), 1709208000);
}

static void test_config_refuses(void **state)
{
        static const struct {
                const char *text, *says;
        } cases[] = {
                { "{}", "\"rootfs\" is missing" },
                { "{\"rootfs\":{\"diff_ids\":[]}}", "only \"layers\"" },
                { "{\"rootfs\":{\"type\":\"base\",\"diff_ids\":[]}}", "only \"layers\"" },
                { "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"../x\"]}}", "no digest" },
                { "{\"rootfs\":{\"type\":\"layers\"},\"config\":{\"Env\":\"A=b\"}}",
                  "\"Env\" is not a list of strings" },
                { "{\"rootfs\":{\"type\":\"layers\"},\"config\":{\"Env\":[1]}}",
                  "\"Env\" is not a list of strings" },
                { "{\"rootfs\":{\"type\":\"layers\"},\"config\":{\"Env\":[\"A=\\u0000\"]}}",
                  "\"Env\" is not a list of strings" },
                { "{\"rootfs\":{\"type\":\"layers\"},\"history\":[{\"empty_layer\":1}]}",
                  "history[0]: \"empty_layer\" is not true or false" },
                { "{\"rootfs\":{\"type\":\"layers\"},\"os\":7}", "\"os\" is not a string" },
                { "{\"os\":\"a\",\"os\":\"b\",\"rootfs\":{\"type\":\"layers\"}}", "duplicate key" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                AUTO_ARENA a = { 0 };
                struct image_config c;
                struct err e = { 0 };

                assert_int_equal(
                        image_config_parse(&a, cases[i].text, strlen(cases[i].text), &c, &e), -1);
                if (!strstr(e.chain, cases[i].says))
                        fail_msg("%s: %s", cases[i].text, e.chain);
        }
}

/* image-spec config.md, "Layer ChainID": computed with sha256sum. */
static void test_chain_id(void **state)
{
        const char *ids[] = { D, D2 };
        struct strings s = { ids, 2 };
        char chain[DIGEST_CAP], expected[DIGEST_CAP];

        chain_id(&s, 1, chain);
        assert_string_equal(chain, D);
        hash_bytes(HASH_SHA256, D " " D2, strlen(D " " D2), expected);
        chain_id(&s, 2, chain);
        assert_string_equal(chain, expected);
}

static void test_time(void **state)
{
        assert_int_equal(image_time("1970-01-01T00:00:01Z"), 1);
        assert_int_equal(image_time("1970-01-01T01:00:00.123456789+01:00"), 0);
        assert_int_equal(image_time("2024-01-01T00:00:00-05:30"), 1704067200 + 19800);
        assert_int_equal(image_time(NULL), 0);
        assert_int_equal(image_time("yesterday"), 0);
        assert_int_equal(image_time("2024-01-01T00:00:00"), 0);
        assert_int_equal(image_time("0001-01-01T00:00:00Z"), -62135596800);
}

static void test_distributable(void **state)
{
        assert_true(media_type_distributable(MEDIA_DOCKER_LAYER));
        assert_false(media_type_distributable(
                "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"));
        assert_false(media_type_distributable(
                "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_image),          cmocka_unit_test(test_docker),
                cmocka_unit_test(test_artifact),       cmocka_unit_test(test_embedded_data),
                cmocka_unit_test(test_refuses),        cmocka_unit_test(test_too_many_layers),
                cmocka_unit_test(test_choose),         cmocka_unit_test(test_config),
                cmocka_unit_test(test_config_refuses), cmocka_unit_test(test_chain_id),
                cmocka_unit_test(test_time),           cmocka_unit_test(test_distributable),
        };

        return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
