/* Platforms: spellings, what this machine is, and which processor runs what. */
#include <string.h>

#include "base/str.h"
#include "base/test.h"
#include "image/platform.h"

static void test_parse(void **state)
{
        static const struct {
                const char *text, *os, *architecture, *variant;
        } cases[] = {
                { "linux/amd64", "linux", "amd64", "v1" },
                { "Linux/x86_64", "linux", "amd64", "v1" },
                { "arm64", "linux", "arm64", "v8" },
                { "aarch64", "linux", "arm64", "v8" },
                { "linux/arm64/8", "linux", "arm64", "v8" },
                { "linux/arm", "linux", "arm", "v7" },
                { "armhf", "linux", "arm", "v7" },
                { "armel", "linux", "arm", "v6" },
                { "linux/arm/6", "linux", "arm", "v6" },
                { "windows/amd64", "windows", "amd64", "v1" },
                { "linux/riscv64", "linux", "riscv64", "" },
                { "linux/amd64/v3", "linux", "amd64", "v3" },
                { "i686", "linux", "386", "" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                AUTO_ARENA a = { 0 };
                struct platform p;
                struct err e;

                assert_int_equal(platform_parse(&a, cases[i].text, &p, &e), 0);
                assert_string_equal(p.os, cases[i].os);
                assert_string_equal(p.architecture, cases[i].architecture);
                assert_string_equal(p.variant, cases[i].variant);
        }
}

static void test_refuses(void **state)
{
        static const char *const bad[] = { "",        "/",          "linux/", "/amd64",
                                           "a/b/c/d", "linux/am d", "a\tb" };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                AUTO_ARENA a = { 0 };
                struct platform p;
                struct err e = { 0 };

                assert_int_equal(platform_parse(&a, bad[i], &p, &e), -1);
                assert_int_equal(e.code, ERR_INVALID);
        }
}

static void test_host(void **state)
{
        AUTO_ARENA a = { 0 };
        struct platform host, os_alone;
        struct err e;

        platform_host(&host);
        assert_string_equal(host.os, "linux");
        assert_string_not_equal(host.architecture, "unknown");
        assert_int_equal(platform_match(&host, &host), 0);
        assert_int_equal(platform_parse(&a, "linux", &os_alone, &e), 0);
        assert_int_equal(platform_match(&host, &os_alone), 0);
}

static void test_match(void **state)
{
        static const struct {
                const char *want, *have;
                int distance;
        } cases[] = {
                { "linux/amd64", "linux/amd64", 0 },       { "linux/amd64/v3", "linux/amd64", 2 },
                { "linux/amd64/v3", "linux/amd64/v2", 1 }, { "linux/amd64", "linux/amd64/v2", -1 },
                { "linux/amd64", "linux/386", 20 },        { "linux/386", "linux/amd64", -1 },
                { "linux/arm/v7", "linux/arm/v6", 1 },     { "linux/arm/v6", "linux/arm/v7", -1 },
                { "linux/arm64", "linux/arm64/v8", 0 },    { "linux/arm64", "linux/arm/v7", 21 },
                { "linux/arm64", "windows/arm64", -1 },    { "linux/arm", "linux/arm64", -1 },
                { "linux/s390x", "linux/s390x", 0 },       { "linux/s390x", "linux/ppc64le", -1 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                AUTO_ARENA a = { 0 };
                struct platform want, have;
                struct err e;

                assert_int_equal(platform_parse(&a, cases[i].want, &want, &e), 0);
                assert_int_equal(platform_parse(&a, cases[i].have, &have, &e), 0);
                if (platform_match(&want, &have) != cases[i].distance)
                        fail_msg("%s on %s: %d", cases[i].have, cases[i].want,
                                 platform_match(&want, &have));
        }
}

static void test_match_of_foreign_spellings(void **state)
{
        struct platform want = { "linux", "amd64", "v2", "" };
        struct platform have = { "linux", "x86_64", NULL, NULL };
        struct platform unknown = { "unknown", "unknown", "", "" };

        assert_int_equal(platform_match(&want, &have), 1);
        assert_int_equal(platform_match(&want, &unknown), -1);
}

static void test_str(void **state)
{
        AUTO_ARENA a = { 0 };

        assert_string_equal(platform_str(&a, &(struct platform){ "linux", "amd64", "v1", "" }),
                            "linux/amd64");
        assert_string_equal(platform_str(&a, &(struct platform){ "linux", "arm", "v7", "" }),
                            "linux/arm/v7");
        assert_string_equal(platform_str(&a, &(struct platform){ "linux", "s390x", NULL, NULL }),
                            "linux/s390x");
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_parse),
                                            cmocka_unit_test(test_refuses),
                                            cmocka_unit_test(test_host),
                                            cmocka_unit_test(test_match),
                                            cmocka_unit_test(test_match_of_foreign_spellings),
                                            cmocka_unit_test(test_str) };

        return cmocka_run_group_tests_name("platform", tests, NULL, NULL);
}
