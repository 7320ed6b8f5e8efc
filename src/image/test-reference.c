/* Names of images: what every peer takes, what it refuses, and the spellings of docker's hub. */
#include <string.h>

#include "base/str.h"
#include "base/test.h"
#include "image/reference.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX64

static void test_accepts(void **state)
{
        static const struct {
                const char *text, *host, *path, *tag, *digest, *full, *familiar;
        } cases[] = {
                { "busybox", NULL, "busybox", NULL, NULL, "docker.io/library/busybox:latest",
                  "busybox:latest" },
                { "busybox:1.36", NULL, "busybox", "1.36", NULL, "docker.io/library/busybox:1.36",
                  "busybox:1.36" },
                { "user/app", NULL, "user/app", NULL, NULL, "docker.io/user/app:latest",
                  "user/app:latest" },
                { "docker.io/busybox", "docker.io", "library/busybox", NULL, NULL,
                  "docker.io/library/busybox:latest", "busybox:latest" },
                { "index.docker.io/library/busybox:a", "docker.io", "library/busybox", "a", NULL,
                  "docker.io/library/busybox:a", "busybox:a" },
                { "localhost/x", "localhost", "x", NULL, NULL, "localhost/x:latest",
                  "localhost/x:latest" },
                { "localhost:5000/x", "localhost:5000", "x", NULL, NULL, "localhost:5000/x:latest",
                  "localhost:5000/x:latest" },
                { "[::1]:5000/a/b", "[::1]:5000", "a/b", NULL, NULL, "[::1]:5000/a/b:latest",
                  "[::1]:5000/a/b:latest" },
                { "quay.io/a/b.c__d-e--f:T_1@" DIGEST, "quay.io", "a/b.c__d-e--f", "T_1", DIGEST,
                  "quay.io/a/b.c__d-e--f:T_1@" DIGEST, "quay.io/a/b.c__d-e--f:T_1@" DIGEST },
                { "Upper/x", "Upper", "x", NULL, NULL, "Upper/x:latest", "Upper/x:latest" },
                { "a@" DIGEST, NULL, "a", NULL, DIGEST, "docker.io/library/a@" DIGEST,
                  "a@" DIGEST },
                { "h.io/x:5000", "h.io", "x", "5000", NULL, "h.io/x:5000", "h.io/x:5000" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                AUTO_ARENA a = { 0 };
                struct reference r;
                struct err e = { 0 };

                if (reference_parse(&a, cases[i].text, &r, &e) < 0)
                        fail_msg("%s: %s", cases[i].text, e.chain);
                assert_true(str_eq0(r.host, cases[i].host));
                assert_string_equal(r.path, cases[i].path);
                assert_true(str_eq0(r.tag, cases[i].tag));
                assert_true(str_eq0(r.digest, cases[i].digest));
                reference_default(&a, &r);
                assert_string_equal(reference_str(&a, &r), cases[i].full);
                assert_string_equal(reference_familiar(&a, &r), cases[i].familiar);
        }
}

static void test_refuses(void **state)
{
        static const char *const bad[] = {
                "",
                ":tag",
                "/x",
                "x/",
                "a//b",
                "h.io/",
                "h.io/Upper",
                "Busybox",
                "a..b",
                "a___b",
                "a_-b",
                "-a",
                "a-",
                ".a",
                "a:",
                "a:.b",
                "a:-b",
                "a:b/c:",
                "a:b c",
                "a@",
                "a@sha256:123",
                "a@" DIGEST "@" DIGEST,
                "a@sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
                "a@md5:0123456789abcdef0123456789abcdef",
                "h.io:/x",
                "h.io:port/x",
                "h.io:123456/x",
                "h..io/x",
                "-h.io/x",
                "[::1/x",
                "[]:5/x",
                "h.io/../x",
                "../x",
                "a\nb",
                HEX64,
        };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                AUTO_ARENA a = { 0 };
                struct reference r = { 0 };
                struct err e = { 0 };

                if (reference_parse(&a, bad[i], &r, &e) == 0)
                        fail_msg("\"%s\" was taken for %s", bad[i], reference_str(&a, &r));
                assert_true(e.code == ERR_INVALID || e.code == ERR_UNSUPPORTED);
                assert_true(*e.chain);
                assert_null(r.path);
        }
}

static void test_limits(void **state)
{
        char name[300], tag[140], text[500];
        AUTO_ARENA a = { 0 };
        struct reference r;
        struct err e;

        memset(name, 'a', sizeof name);
        name[250] = 0;
        snprintf(text, sizeof text, "h.io/%s", name);
        assert_int_equal(reference_parse(&a, text, &r, &e), 0);
        name[250] = 'a';
        name[251] = 0;
        snprintf(text, sizeof text, "h.io/%s", name);
        assert_int_equal(reference_parse(&a, text, &r, &e), -1);
        memset(tag, 't', sizeof tag);
        tag[128] = 0;
        snprintf(text, sizeof text, "a:%s", tag);
        assert_int_equal(reference_parse(&a, text, &r, &e), 0);
        tag[128] = 't';
        tag[129] = 0;
        snprintf(text, sizeof text, "a:%s", tag);
        assert_int_equal(reference_parse(&a, text, &r, &e), -1);
}

static void test_hints(void **state)
{
        AUTO_ARENA a = { 0 };
        struct reference r;
        struct err e = { 0 };

        reference_parse(&a, "Busybox", &r, &e);
        assert_non_null(strstr(e.hint, "lower case"));
        err_clear(&e);
        reference_parse(&a, "a:b!", &r, &e);
        assert_non_null(strstr(e.hint, "A tag has"));
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_accepts),
                                            cmocka_unit_test(test_refuses),
                                            cmocka_unit_test(test_limits),
                                            cmocka_unit_test(test_hints) };

        return cmocka_run_group_tests_name("reference", tests, NULL, NULL);
}
