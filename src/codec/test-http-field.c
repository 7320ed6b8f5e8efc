/* What registries, proxies and specifications write into the fields that are read here. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/str.h"
#include "codec/http-field.h"

/* The challenges as one line: "bearer[realm=x;scope=y] basic{token68}". */
static const char *written(struct arena *a, const struct http_challenges *c)
{
        AUTO_BUF b = { 0 };

        for (size_t i = 0; i < c->n; i++) {
                buf_printf(&b, "%s%s", i ? " " : "", c->v[i].scheme);
                if (c->v[i].token68)
                        buf_printf(&b, "{%s}", c->v[i].token68);
                for (size_t j = 0; j < c->v[i].nparams; j++)
                        buf_printf(&b, "%s%s=%s%s", j ? "" : "[", c->v[i].params[j].name,
                                   c->v[i].params[j].value, j + 1 < c->v[i].nparams ? ";" : "]");
        }
        return arena_strdup(a, buf_str(&b));
}

static void test_challenges(void **state)
{
        static const struct {
                const char *field, *expected; /* NULL: refused */
        } cases[] = {
                { "", "" },
                { " , ,", "" },
                { "Basic", "basic" },
                { "Basic realm=\"a\"", "basic[realm=a]" },
                { "basic REALM=a", "basic[realm=a]" },
                { "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
                  "scope=\"repository:library/busybox:pull,push\"",
                  "bearer[realm=https://auth.docker.io/token;service=registry.docker.io;"
                  "scope=repository:library/busybox:pull,push]" },
                { "Bearer realm=https://a/b?c=d&e=f,service=x",
                  "bearer[realm=https://a/b?c=d&e=f;service=x]" },
                { "Newauth realm=\"apps\", type=1, title=\"Login to \\\"apps\\\"\", Basic "
                  "realm=\"simple\"",
                  "newauth[realm=apps;type=1;title=Login to \"apps\"] basic[realm=simple]" },
                { "Basic realm=\"x\", Bearer realm=\"y\" , service = \"z\"",
                  "basic[realm=x] bearer[realm=y;service=z]" },
                { "Negotiate, NTLM, Basic realm=a", "negotiate ntlm basic[realm=a]" },
                { "Negotiate YWJjZA==", "negotiate{YWJjZA==}" },
                { "Negotiate YWJjZA== , Basic realm=a", "negotiate{YWJjZA==} basic[realm=a]" },
                { "Basic realm=\"\"", "basic[realm=]" },
                { "Basic realm=a,,,charset=UTF-8,", "basic[realm=a;charset=UTF-8]" },
                { "Bearer error=\"invalid_token\",error=\"other\"",
                  "bearer[error=invalid_token;error=other]" },
                { "Basic realm=\"a", NULL },
                { "Basic realm=\"a\\", NULL },
                { "Basic realm=\"a\" b", NULL },
                { "Basic realm=", "basic{realm=}" },
                { "Basic realm=,a=b", NULL },
                { "=a", NULL },
                { "\"Basic\"", NULL },
                { "Basic=\"x\"", NULL },
                { "Basic realm=\"a\"x", NULL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                AUTO_ARENA a = { 0 };
                struct http_challenges c = { 0 };
                int r = http_challenges_add(&a, cases[i].field, &c);

                if ((r < 0) != !cases[i].expected)
                        fail_msg("%s: %d %s", cases[i].field, r, written(&a, &c));
                if (r < 0)
                        assert_int_equal(c.n, 0);
                else
                        assert_string_equal(written(&a, &c), cases[i].expected);
        }
}

static void test_several_fields(void **state)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF many = { 0 };
        struct http_challenges c = { 0 };

        assert_int_equal(http_challenges_add(&a, "Bearer realm=a", &c), 0);
        assert_int_equal(http_challenges_add(&a, "Basic realm=\"", &c), -EINVAL);
        assert_int_equal(http_challenges_add(&a, "Basic realm=b", &c), 0);
        assert_string_equal(written(&a, &c), "bearer[realm=a] basic[realm=b]");
        assert_string_equal(http_challenge_param(http_challenge_find(&c, "basic"), "realm"), "b");
        assert_null(http_challenge_param(http_challenge_find(&c, "basic"), "service"));
        assert_null(http_challenge_find(&c, "digest"));
        for (int i = 0; i < HTTP_CHALLENGES_MAX; i++)
                buf_puts(&many, "x,");
        assert_int_equal(http_challenges_add(&a, many.s, &c), -E2BIG);
        buf_clear(&many);
        buf_puts(&many, "x ");
        for (int i = 0; i <= HTTP_PARAMS_MAX; i++)
                buf_puts(&many, "y=z,");
        assert_int_equal(http_challenges_add(&a, many.s, &c), -E2BIG);
        assert_int_equal(c.n, 2);
}

static void test_link(void **state)
{
        static const struct {
                const char *field, *expected;
                int r;
        } cases[] = {
                { "</v2/a/tags/list?last=b&n=2>; rel=\"next\"", "/v2/a/tags/list?last=b&n=2", 0 },
                { "<a>;rel=next", "a", 0 },
                { "<a>; rel=\"prev NEXT\"", "a", 0 },
                { "<a,b;c>; rel=prev, <d>; title=\"x, <y>\"; rel=next", "d", 0 },
                { "<a>; rel=prev; rel=next, <b>; rel=next", "b", 0 },
                { "<a>; crossorigin; rel=next", "a", 0 },
                { "<>; rel=next", "", 0 },
                { "<a>", NULL, -ENOENT },
                { "", NULL, -ENOENT },
                { "<a>; rel=nextly", NULL, -ENOENT },
                { "a; rel=next", NULL, -EINVAL },
                { "<a; rel=next", NULL, -EINVAL },
                { "<a>; rel=\"next", NULL, -EINVAL },
                { "<a> rel=next", NULL, -EINVAL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                AUTO_ARENA a = { 0 };
                const char *target = NULL;
                int r = http_link(&a, cases[i].field, "next", &target);

                if (r != cases[i].r || !str_eq0(target, cases[i].expected))
                        fail_msg("%s: %d %s", cases[i].field, r, target);
        }
}

static void test_content_range(void **state)
{
        static const char *const bad[] = {
                "",           "bytes",         "bytes ",
                "bytes 0-9",  "bytes 9-0/10",  "bytes 0-10/10",
                "bytes */*",  "items 0-9/10",  "bytes 0-9/10 x",
                "bytes -9/9", "bytes 0-9/1.0", "bytes 0-18446744073709551616/*",
        };
        struct http_range r;

        assert_int_equal(http_content_range("bytes 5-9/100", &r), 0);
        assert_true(!r.unsatisfied && r.first == 5 && r.last == 9 && r.size == 100);
        assert_int_equal(http_content_range(" Bytes  0-0/*", &r), 0);
        assert_true(r.first == 0 && r.last == 0 && r.size == UINT64_MAX);
        assert_int_equal(http_content_range("bytes */7", &r), 0);
        assert_true(r.unsatisfied && r.size == 7);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (http_content_range(bad[i], &r) != -EINVAL)
                        fail_msg("accepted: %s", bad[i]);
}

static void test_upload_range(void **state)
{
        uint64_t next;

        assert_int_equal(http_upload_range("0-1023", &next), 0);
        assert_int_equal(next, 1024);
        assert_int_equal(http_upload_range("bytes=0-9", &next), 0);
        assert_int_equal(next, 10);
        assert_int_equal(http_upload_range("0-0", &next), 0);
        assert_int_equal(next, 0);
        assert_int_equal(http_upload_range("0--1", &next), 0);
        assert_int_equal(next, 0);
        assert_int_equal(http_upload_range("5-9", &next), -EINVAL);
        assert_int_equal(http_upload_range("0-18446744073709551615", &next), -EINVAL);
        assert_int_equal(http_upload_range("", &next), -EINVAL);
}

static void test_dates(void **state)
{
        static const char *const bad[] = {
                "",
                "Sun, 06 Nov 1994 08:49:37",
                "Sun, 06 Now 1994 08:49:37 GMT",
                "Sun, 32 Nov 1994 08:49:37 GMT",
                "Sun, 06 Nov 1994 24:49:37 GMT",
                "Sun, 06 Nov 1994 08:49:37 GMT x",
                "1994-11-06T08:49:37Z",
        };
        int64_t t;

        assert_int_equal(http_date("Sun, 06 Nov 1994 08:49:37 GMT", &t), 0);
        assert_int_equal(t, 784111777);
        assert_int_equal(http_date("Sunday, 06-Nov-94 08:49:37 GMT", &t), 0);
        assert_int_equal(t, 784111777);
        assert_int_equal(http_date("Sun Nov  6 08:49:37 1994", &t), 0);
        assert_int_equal(t, 784111777);
        assert_int_equal(http_date("Thu, 29 Feb 2024 00:00:00 GMT", &t), 0);
        assert_int_equal(t, 1709164800);
        assert_int_equal(http_date("Thu, 01 Jan 1970 00:00:00 GMT", &t), 0);
        assert_int_equal(t, 0);
        assert_int_equal(http_date("Tue, 31 Dec 2199 23:59:60 GMT", &t), 0);
        assert_int_equal(t, 7258118400);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (http_date(bad[i], &t) != -EINVAL)
                        fail_msg("accepted: %s", bad[i]);
}

static void test_retry_after(void **state)
{
        uint32_t s;

        assert_int_equal(http_retry_after("120", 0, &s), 0);
        assert_int_equal(s, 120);
        assert_int_equal(http_retry_after(" 0 ", 0, &s), 0);
        assert_int_equal(s, 0);
        assert_int_equal(http_retry_after("99999999999999999999999", 0, &s), 0);
        assert_int_equal(s, 86400);
        assert_int_equal(http_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111700, &s), 0);
        assert_int_equal(s, 77);
        assert_int_equal(http_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111800, &s), 0);
        assert_int_equal(s, 0);
        assert_int_equal(http_retry_after("soon", 0, &s), -EINVAL);
        assert_int_equal(http_retry_after("-1", 0, &s), -EINVAL);
        assert_int_equal(http_retry_after("1.5", 0, &s), -EINVAL);
}

static void test_warning(void **state)
{
        AUTO_ARENA a = { 0 };
        const char *text;

        assert_int_equal(http_warning(&a, "299 - \"This image is \\\"old\\\"\"", &text), 0);
        assert_string_equal(text, "This image is \"old\"");
        assert_int_equal(http_warning(&a, "299 proxy:80 \"x\" \"date\"", &text), 0);
        assert_string_equal(text, "x");
        assert_int_equal(http_warning(&a, "110 - \"stale\"", &text), -ENOENT);
        assert_int_equal(http_warning(&a, "299 - old", &text), -EINVAL);
        assert_int_equal(http_warning(&a, "299", &text), -EINVAL);
}

static void test_rate(void **state)
{
        struct http_rate r;

        assert_int_equal(http_rate("100;w=21600", &r), 0);
        assert_true(r.count == 100 && r.window == 21600);
        assert_int_equal(http_rate("76", &r), 0);
        assert_true(r.count == 76 && r.window == 0);
        assert_int_equal(http_rate("76; burst=5 ;w=60, 100;w=3600", &r), 0);
        assert_true(r.count == 76 && r.window == 60);
        assert_int_equal(http_rate("many", &r), -EINVAL);
        assert_int_equal(http_rate("1;w=x", &r), -EINVAL);
        assert_int_equal(http_rate("-1", &r), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_challenges),   cmocka_unit_test(test_several_fields),
                cmocka_unit_test(test_link),         cmocka_unit_test(test_content_range),
                cmocka_unit_test(test_upload_range), cmocka_unit_test(test_dates),
                cmocka_unit_test(test_retry_after),  cmocka_unit_test(test_warning),
                cmocka_unit_test(test_rate),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
