/* What we write is one text for one meaning, and --change means what a Dockerfile's line does. */
#include <stdlib.h>

#include "base/str.h"
#include "base/test.h"
#include "image/compose.h"

#define DIGEST_A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

#define LIST(...)                                                                                  \
        {                                                                                          \
                (const char *[]){ __VA_ARGS__ }, ARRAY_SIZE(((const char *[]){ __VA_ARGS__ }))     \
        }

static void test_config(void **state)
{
        struct image_history history[] = {
                { .created_by = "made", .created = "1970-01-01T00:00:00Z" },
                { .created_by = "CMD", .empty_layer = true },
        };
        struct image_config c = {
                .platform = { "linux", "arm64", "v8", "" },
                .created = "1970-01-01T00:00:00Z",
                .diff_ids = LIST(DIGEST_A),
                .exposed_ports = LIST("80/tcp", "53/udp", "80/tcp"),
                .has_cmd = true,
                .labels = { (struct key_value[]){ { "z", "\"" }, { "a", "" } }, 2 },
                .history = history,
                .nhistory = 2,
        };
        AUTO_BUF out = { 0 };

        compose_config(&c, &out);
        assert_string_equal(
                buf_str(&out),
                "{\"architecture\":\"arm64\",\"config\":{\"Cmd\":[],\"ExposedPorts\":{\"53/"
                "udp\":{},"
                "\"80/tcp\":{}},\"Labels\":{\"a\":\"\",\"z\":\"\\\"\"}},"
                "\"created\":\"1970-01-01T00:00:00Z\",\"history\":["
                "{\"created\":\"1970-01-01T00:00:00Z\",\"created_by\":\"made\"},"
                "{\"created_by\":\"CMD\",\"empty_layer\":true}],\"os\":\"linux\",\"rootfs\":"
                "{\"diff_ids\":[\"" DIGEST_A "\"],\"type\":\"layers\"},\"variant\":\"v8\"}");
}

static void test_manifest(void **state)
{
        struct descriptor layer = { .media_type = MEDIA_OCI_LAYER, .digest = DIGEST_B, .size = 5 };
        struct manifest m = {
                .config = { .media_type = MEDIA_OCI_CONFIG, .digest = DIGEST_A, .size = 2 },
                .layers = &layer,
                .nlayers = 1,
                .annotations = { (struct key_value[]){ { "k", "v" } }, 1 },
        };
        AUTO_BUF out = { 0 };

        compose_manifest(&m, &out);
        assert_string_equal(buf_str(&out),
                            "{\"annotations\":{\"k\":\"v\"},\"config\":{\"digest\":\"" DIGEST_A
                            "\",\"mediaType\":\"" MEDIA_OCI_CONFIG
                            "\",\"size\":2},\"layers\":[{\"digest\":"
                            "\"" DIGEST_B "\",\"mediaType\":\"" MEDIA_OCI_LAYER "\",\"size\":5}],"
                            "\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"schemaVersion\":2}");
        buf_clear(&out);
        m.docker = true; /* schema 2 has no annotations */
        compose_manifest(&m, &out);
        assert_null(strstr(buf_str(&out), "annotations"));
        assert_non_null(strstr(buf_str(&out), MEDIA_DOCKER_MANIFEST));
}

static void test_index(void **state)
{
        struct descriptor d = { .media_type = MEDIA_OCI_MANIFEST,
                                .digest = DIGEST_A,
                                .size = 2,
                                .data = "{}",
                                .platform = { "linux", "arm", "v7", "" },
                                .urls = LIST("https://example.org/x") };
        struct manifest m = { .kind = MANIFEST_INDEX, .layers = &d, .nlayers = 1 };
        AUTO_BUF out = { 0 };

        compose_manifest(&m, &out);
        assert_string_equal(buf_str(&out),
                            "{\"manifests\":[{\"data\":\"e30=\",\"digest\":\"" DIGEST_A
                            "\",\"mediaType\":\"" MEDIA_OCI_MANIFEST
                            "\",\"platform\":{\"architecture\":\"arm\",\"os\":\"linux\","
                            "\"variant\":\"v7\"},\"size\":2,\"urls\":[\"https://example.org/x\"]}],"
                            "\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"schemaVersion\":2}");
}

static void test_layer_types(void **state)
{
        assert_string_equal(compose_layer_type(false, "zstd"), MEDIA_OCI_LAYER "+zstd");
        assert_string_equal(compose_layer_type(true, "gzip"), MEDIA_DOCKER_LAYER);
        assert_null(compose_layer_type(true, "zstd"));
        assert_null(compose_layer_type(false, "xz"));
}

static void test_time(void **state)
{
        AUTO_ARENA a = { 0 };
        struct err e = { 0 };
        int64_t t;

        setenv("SOURCE_DATE_EPOCH", "1767225599", 1);
        assert_int_equal(compose_time(&t, &e), 0);
        assert_string_equal(compose_time_str(&a, t), "2025-12-31T23:59:59Z");
        setenv("SOURCE_DATE_EPOCH", "yesterday", 1);
        assert_int_equal(compose_time(&t, &e), -1);
        assert_int_equal(e.code, ERR_INVALID);
        unsetenv("SOURCE_DATE_EPOCH");
        assert_int_equal(compose_time(&t, &e), 0);
        assert_true(t > 1767225599);
}

/* The configuration that one change makes of nothing, or its error. */
static void test_change(void **state)
{
        static const struct {
                const char *change, *config;
        } cases[] = {
                { "CMD [\"a\", \"b c\"]", "\"Cmd\":[\"a\",\"b c\"]" },
                { "cmd echo $HOME", "\"Cmd\":[\"/bin/sh\",\"-c\",\"echo $HOME\"]" },
                { "CMD [not json", "\"Cmd\":[\"/bin/sh\",\"-c\",\"[not json\"]" },
                { "CMD []", "\"Cmd\":[]" },
                { "CMD=/bin/bash", "\"Cmd\":[\"/bin/sh\",\"-c\",\"/bin/bash\"]" },
                { "ENTRYPOINT [\"/init\"]", "\"Entrypoint\":[\"/init\"]" },
                { "ENV A=b", "\"Env\":[\"A=b\"]" },
                { "ENV A=\"b c\" D='e\\' F=g\\ h", "\"Env\":[\"A=b c\",\"D=e\\\\\",\"F=g h\"]" },
                { "ENV A b  c=d", "\"Env\":[\"A=b  c=d\"]" },
                { "ENV=A=b", "\"Env\":[\"A=b\"]" },
                { "ENV A=b A=", "\"Env\":[\"A=\"]" },
                { "EXPOSE 80 53/UDP", "\"ExposedPorts\":{\"53/udp\":{},\"80/tcp\":{}}" },
                { "EXPOSE 8-9", "\"ExposedPorts\":{\"8/tcp\":{},\"9/tcp\":{}}" },
                { "LABEL \"a b\"=c d=e", "\"Labels\":{\"a b\":\"c\",\"d\":\"e\"}" },
                { "LABEL=a=b", "\"Labels\":{\"a\":\"b\"}" },
                { "ONBUILD RUN true", "\"OnBuild\":[\"RUN true\"]" },
                { "STOPSIGNAL SIGQUIT", "\"StopSignal\":\"SIGQUIT\"" },
                { "USER 1000:1000 ", "\"User\":\"1000:1000\"" },
                { "VOLUME [\"/b\", \"/a\"]", "\"Volumes\":{\"/a\":{},\"/b\":{}}" },
                { "VOLUME /a /a", "\"Volumes\":{\"/a\":{}}" },
                { "WORKDIR srv", "\"WorkingDir\":\"/srv\"" },
                { "RUN true", NULL },
                { "CMD", NULL },
                { "CMD ", NULL },
                { "", NULL },
                { "ENV A='b", NULL },
                { "ENV A=b c", NULL },
                { "ENV =b", NULL },
                { "EXPOSE 0", NULL },
                { "EXPOSE 65536", NULL },
                { "EXPOSE 9-8", NULL },
                { "EXPOSE 80/icmp", NULL },
                { "EXPOSE 1-60000", NULL },
                { "ONBUILD ONBUILD RUN true", NULL },
                { "ONBUILD from scratch", NULL },
                { "STOPSIGNAL SIGNONE", NULL },
                { "VOLUME [\"\"]", NULL },
                { "USER \xff", NULL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                AUTO_ARENA a = { 0 };
                AUTO_BUF out = { 0 };
                struct strings changes = LIST(cases[i].change);
                struct image_config c = { 0 };
                struct err e = { 0 };
                int r = compose_change(&a, &changes, &c, &e);

                print_message("# %s\n", cases[i].change);
                assert_int_equal(r, cases[i].config ? 0 : -1);
                if (r < 0)
                        continue;
                compose_config(&c, &out);
                assert_string_equal(
                        buf_str(&out),
                        arena_printf(&a,
                                     "{\"config\":{%s},\"rootfs\":{\"diff_ids\":[],\"type\":"
                                     "\"layers\"}}",
                                     cases[i].config));
        }
}

static void test_entrypoint_drops_cmd(void **state)
{
        AUTO_ARENA a = { 0 };
        struct strings one = LIST("ENTRYPOINT [\"x\"]"),
                       both = LIST("CMD [\"y\"]", "ENTRYPOINT [\"x\"]");
        struct image_config c = { .has_cmd = true, .cmd = LIST("sh") };
        struct err e;

        assert_int_equal(compose_change(&a, &both, &c, &e), 0);
        assert_true(c.has_cmd);
        assert_string_equal(c.cmd.v[0], "y");
        assert_int_equal(compose_change(&a, &one, &c, &e), 0);
        assert_false(c.has_cmd);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_config),
                cmocka_unit_test(test_manifest),
                cmocka_unit_test(test_index),
                cmocka_unit_test(test_layer_types),
                cmocka_unit_test(test_time),
                cmocka_unit_test(test_change),
                cmocka_unit_test(test_entrypoint_drops_cmd),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
