/* The pure parts of berth-fetch: positions of a blob on its way into a pipe, URLs, and what
 * registries say. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/test.h"
#include "image/registry-internal.h"

/* ---- flow ---- */

struct pipe_pair {
        int r, w;
};

static struct pipe_pair pipe_open(void)
{
        int p[2];

        assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
        return (struct pipe_pair){ p[0], p[1] };
}

static size_t pipe_read(struct pipe_pair p, char *buf, size_t cap)
{
        size_t n = 0;
        ssize_t r;

        while (n < cap && (r = read(p.r, buf + n, cap - n)) > 0)
                n += (size_t)r;
        return n;
}

static void pipe_close(struct pipe_pair *p)
{
        p->r = fd_close(p->r);
        p->w = fd_close(p->w);
}

static void test_flow_in_order(void **state)
{
        struct pipe_pair p = pipe_open();
        struct flow f = { .fd = p.w, .size = 10 };
        char got[16] = "";

        assert_true(flow_begin(&f, 200, ""));
        assert_true(flow_put(&f, "01234", 5));
        assert_false(flow_complete(&f));
        assert_true(flow_put(&f, "56789", 5));
        assert_true(flow_complete(&f));
        assert_int_equal(pipe_read(p, got, sizeof got), 10);
        assert_memory_equal(got, "0123456789", 10);
        assert_false(flow_put(&f, "x", 1));
        assert_int_equal(f.state, FLOW_TOO_LONG);
        flow_done(&f);
        pipe_close(&p);
}

/* Every way in which the second answer may begin, after an error at `at`. */
static void test_flow_resumes(void **state)
{
        static const struct {
                uint64_t at;
                int status;
                const char *range;
                bool whole, ok;
                uint64_t pos;
        } cases[] = {
                { 4, 206, "bytes 4-9/10", false, true, 4 },
                { 4, 206, "bytes 2-9/10", false, true, 2 },
                { 4, 206, "bytes 0-9/*", false, true, 0 },
                { 4, 200, "", false, true, 0 },
                { 4, 200, "bytes 4-9/10", false, true, 0 }, /* not what 200 means */
                { 4, 206, "bytes 5-9/10", false, false, 0 },
                { 4, 206, "bytes 4-9/11", false, false, 0 },
                { 4, 206, "", false, false, 0 },
                { 4, 206, "bytes */10", false, false, 0 },
                { 4, 206, "bytes 4-9/10", true, false, 0 }, /* was not asked for */
                { 0, 206, "bytes 0-9/10", false, true, 0 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct pipe_pair p = pipe_open();
                struct flow f = {
                        .fd = p.w, .size = 10, .at = cases[i].at, .whole = cases[i].whole
                };
                char got[16] = "";
                size_t n = 10 - cases[i].at;

                assert_int_equal(flow_begin(&f, cases[i].status, cases[i].range), cases[i].ok);
                assert_int_equal(f.state, cases[i].ok ? FLOW_OK : FLOW_BAD_RANGE);
                if (cases[i].ok) {
                        assert_int_equal(f.pos, cases[i].pos);
                        for (uint64_t k = f.pos; k < 10; k++) /* byte by byte */
                                assert_true(flow_put(&f, &"0123456789"[k], 1));
                        assert_true(flow_complete(&f));
                        assert_int_equal(pipe_read(p, got, sizeof got), n);
                        assert_memory_equal(got, &"0123456789"[cases[i].at], n);
                }
                flow_done(&f);
                pipe_close(&p);
        }
}

static void test_flow_holds_what_the_pipe_cannot_take(void **state)
{
        struct pipe_pair p = pipe_open();
        size_t room = (size_t)fcntl(p.w, F_SETPIPE_SZ, 4096), size = 3 * room, n = 0;
        struct flow f = { .fd = p.w, .size = size };
        char *data = malloc(size), *got = malloc(size);

        for (size_t i = 0; i < size; i++)
                data[i] = (char)(i * 7 + i / 251);
        assert_true(flow_begin(&f, 200, ""));
        assert_true(flow_put(&f, data, 2 * room));
        assert_true(flow_full(&f));
        assert_true(flow_put(&f, data + 2 * room, room)); /* what curl had read already */
        assert_false(flow_complete(&f));
        while (flow_full(&f)) {
                n += pipe_read(p, got + n, size - n);
                assert_true(flow_drain(&f));
        }
        n += pipe_read(p, got + n, size - n);
        assert_true(flow_complete(&f));
        assert_int_equal(n, size);
        assert_memory_equal(got, data, size);
        free(data);
        free(got);
        flow_done(&f);
        pipe_close(&p);
}

static void test_flow_without_reader(void **state)
{
        struct pipe_pair p = pipe_open();
        struct flow f = { .fd = p.w, .size = 10 };

        signal(SIGPIPE, SIG_IGN);
        p.r = fd_close(p.r);
        assert_true(flow_begin(&f, 200, ""));
        assert_false(flow_put(&f, "01234", 5));
        assert_int_equal(f.state, FLOW_CLOSED);
        flow_done(&f);
        pipe_close(&p);
}

/* ---- URLs ---- */

static void test_urls_resolve(void **state)
{
        static const struct {
                const char *base, *reference, *want;
        } cases[] = {
                { "http://h:5000/v2/a/b", "/v2/x?y=z", "http://h:5000/v2/x?y=z" },
                { "http://h:5000/v2/a/b", "c", "http://h:5000/v2/a/c" },
                { "http://h:5000/v2/a/b", "//other/c", "http://other/c" },
                { "http://h:5000/v2/a/b", "https://other:1/c#part", "https://other:1/c" },
                { "https://h/v2/", "http://user:word@other/c", "http://other/c" },
                { "https://h/v2/?n=1", "?last=a%2Fb", "https://h/v2/?last=a%2Fb" },
                { "https://h/a", "/with blank", "https://h/with%20blank" },
                { "https://h/a", "file:///etc/passwd", NULL },
                { "https://h/a", "gopher://x/", NULL },
                { "https://h/a", "http://", NULL },
                { "https://h/a", "http://h:99999/", NULL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                AUTO_ARENA a = {};
                const char *got = NULL;
                struct err e = {};
                int r = url_resolve(&a, cases[i].base, cases[i].reference, &got, &e);

                if (cases[i].want) {
                        assert_int_equal(r, 0);
                        assert_string_equal(got, cases[i].want);
                } else {
                        assert_int_equal(r, -1);
                        assert_int_equal(e.code, ERR_INVALID);
                }
        }
}

static bool same_origin(const char *a, const char *b)
{
        struct origin x, y;

        assert_int_equal(url_origin(a, &x), 0);
        assert_int_equal(url_origin(b, &y), 0);
        return origin_equal(&x, &y);
}

static void test_origins(void **state)
{
        assert_true(same_origin("https://h/a", "https://H:443/b?c"));
        assert_true(same_origin("http://h/", "http://h:80/"));
        assert_true(same_origin("http://[::1]:5000/", "http://[::1]:5000/x"));
        assert_false(same_origin("http://h/", "https://h/"));
        assert_false(same_origin("https://h/", "https://h:5000/"));
        assert_false(same_origin("https://h/", "https://h.example/"));
        assert_false(same_origin("https://h/", "https://xh/"));
}

static void test_loopback(void **state)
{
        static const char *const yes[] = { "localhost", "localhost:5000", "127.0.0.1:1",
                                           "127.9.8.7", "[::1]:5000",     "::1",
                                           "LOCALHOST" };
        static const char *const no[] = { "localhost.example",
                                          "128.0.0.1",
                                          "127.0.0.1.example",
                                          "[::2]:5000",
                                          "example.test",
                                          "",
                                          "127.1" };

        for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
                assert_true(host_is_loopback(yes[i]));
        for (size_t i = 0; i < ARRAY_SIZE(no); i++)
                assert_false(host_is_loopback(no[i]));
}

static void test_query(void **state)
{
        AUTO_BUF b = {};

        buf_puts(&b, "https://h/token");
        url_add_query(&b, "service", "a b&c");
        url_add_query(&b, "scope", "repository:x/y:pull");
        assert_string_equal(b.s,
                            "https://h/token?service=a%20b%26c&scope=repository%3Ax%2Fy%3Apull");
}

/* ---- what registries say ---- */

static void test_error_bodies(void **state)
{
        static const struct {
                const char *body, *said, *code;
        } cases[] = {
                { "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}",
                  "manifest unknown", "MANIFEST_UNKNOWN" },
                { "{\"errors\":[{\"code\":\"DENIED\"}]}", "DENIED", "DENIED" },
                { "{\"details\":\"incorrect username or password\"}",
                  "incorrect username or password", "" },
                { "{\"error\":\"invalid_grant\"}", "invalid_grant", "" },
                { "{\"errors\":[]}", NULL, "" },
                { "{\"errors\":[7]}", NULL, "" },
                { "[]", NULL, "" },
                { "<html>", NULL, "" },
                { "", NULL, "" },
                { "{\"errors\":[{\"message\":\"a\\u001b[31mb\\nc\\u00e9\"}]}", "a?[31mb c??", "" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                AUTO_ARENA a = {};
                const char *code = NULL;
                const char *said = error_body(&a, cases[i].body, strlen(cases[i].body), &code);

                assert_true(str_eq0(said, cases[i].said));
                assert_string_equal(code, cases[i].code);
        }
}

static void test_rates(void **state)
{
        char text[80];

        assert_true(rate_text("100;w=21600", "76;w=21600", text, sizeof text));
        assert_string_equal(text, "76 of 100 pulls left in 6 h");
        assert_true(rate_text("100", "0;w=90", text, sizeof text));
        assert_string_equal(text, "0 of 100 pulls left in 90 s");
        assert_true(rate_text("5", "4", text, sizeof text));
        assert_string_equal(text, "4 of 5 pulls left");
        assert_false(rate_text("", "76", text, sizeof text));
        assert_false(rate_text("many", "76", text, sizeof text));
}

static void test_clean(void **state)
{
        AUTO_ARENA a = {};

        assert_string_equal(text_clean(&a, "a\x01\x7f\xff\tb", 6, 100), "a??? b");
        assert_string_equal(text_clean(&a, "abcdef", 6, 3), "abc...");
        assert_string_equal(text_clean(&a, "abc", 3, 3), "abc");
        assert_string_equal(text_clean(&a, "", 0, 3), "");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_flow_in_order),
                cmocka_unit_test(test_flow_resumes),
                cmocka_unit_test(test_flow_holds_what_the_pipe_cannot_take),
                cmocka_unit_test(test_flow_without_reader),
                cmocka_unit_test(test_urls_resolve),
                cmocka_unit_test(test_origins),
                cmocka_unit_test(test_loopback),
                cmocka_unit_test(test_query),
                cmocka_unit_test(test_error_bodies),
                cmocka_unit_test(test_rates),
                cmocka_unit_test(test_clean),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
