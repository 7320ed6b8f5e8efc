/* The JSON reader and writer: RFC 8259's edge cases, the limits, and json-c as a second opinion. */
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#define json_type json_c_type /* both libraries have the name */
#include <json-c/json.h>
#undef json_type

#include "base/buf.h"
#include "base/str.h"
#include "codec/json-utf8.h"
#include "codec/json.h"

static int parse(struct arena *a, const char *text, struct json *ret)
{
        return json_parse(a, text, strlen(text), NULL, ret, NULL);
}

static const char *written(struct arena *a, const struct json *j, unsigned indent)
{
        AUTO_BUF b = { 0 };

        json_put(&(struct json_writer){ .out = &b, .indent = indent }, NULL, j);
        return arena_strdup(a, buf_str(&b));
}

/* ---- accepted ---- */

static void test_accepts(void **state)
{
        static const struct {
                const char *text, *written; /* NULL: the same */
        } cases[] = {
                { "null", NULL },
                { "true", NULL },
                { "false", NULL },
                { "0", NULL },
                { "-0", "0" },
                { " \t\r\n1 \t\r\n", "1" },
                { "\"\"", NULL },
                { "[]", NULL },
                { "{}", NULL },
                { "[[],{},[[]]]", NULL },
                { "[ ]", "[]" },
                { "{ }", "{}" },
                { "{\"\":0}", NULL },
                { "{\"a\":{\"a\":[{\"a\":1}]}}", NULL },
                { "[1,2 , 3]", "[1,2,3]" },
                { "9223372036854775807", NULL },
                { "-9223372036854775808", NULL },
                { "9223372036854775808", NULL },
                { "18446744073709551615", NULL },
                { "1.5", NULL },
                { "-1.5e3", "-1500.0" },
                { "1E+2", "100.0" },
                { "1e-2", "0.01" },
                { "0.1", NULL },
                { "0e1", "0.0" },
                { "1.7976931348623157e+308", NULL },
                { "1e-400", "0.0" },
                { "18446744073709551616", "1.8446744073709552e+19" },
                { "-9223372036854775809", "-9.223372036854776e+18" },
                { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"" },
                { "\"\\u0041\\u00e9\\u20AC\"", "\"A\xc3\xa9\xe2\x82\xac\"" },
                { "\"\\uD83D\\ude00\"", "\"\xf0\x9f\x98\x80\"" },
                { "\"\\uDBFF\\uDFFF\"", "\"\xf4\x8f\xbf\xbf\"" },
                { "\"\\uFFFF\\uFFFE\"", "\"\xef\xbf\xbf\xef\xbf\xbe\"" },
                { "\"\\u0000\\u001f\"", NULL },
                { "\"\x7f\"", "\"\\u007f\"" },
                { "\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\"",
                  "\"\\u0080\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\"" },
                { "\"\xe2\x80\xa8\"", NULL },
                { "{\"a\":1,\"A\":2,\"a \":3}", NULL },
                { "{\"\\u0061\":1}", "{\"a\":1}" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const char *expected = cases[i].written ? cases[i].written : cases[i].text;
                AUTO_ARENA a = { 0 };
                struct json j;

                if (parse(&a, cases[i].text, &j) < 0)
                        fail_msg("refused: %s", cases[i].text);
                assert_string_equal(written(&a, &j, 0), expected);
        }
}

/* ---- refused ---- */

static void test_refuses(void **state)
{
        static const struct {
                const char *text, *what;
                size_t offset;
        } cases[] = {
                { "", "unexpected end", 0 },
                { "  ", "unexpected end", 2 },
                { "[", "unexpected end", 1 },
                { "{", "unexpected end", 1 },
                { "[1", "unexpected end", 2 },
                { "[1,", "unexpected end", 3 },
                { "{\"a\"", "unexpected end", 4 },
                { "{\"a\":", "unexpected end", 5 },
                { "{\"a\":1", "unexpected end", 6 },
                { "\"a", "unexpected end", 2 },
                { "\"\\", "unexpected end", 2 },
                { "\"\\u12", "unexpected end", 5 },
                { "nul", "a value expected", 0 },
                { "nulL", "a value expected", 0 },
                { "truee", "bytes after", 4 },
                { "NaN", "a value expected", 0 },
                { "Infinity", "a value expected", 0 },
                { "-Infinity", "a digit", 1 },
                { "1 2", "bytes after", 2 },
                { "{}}", "bytes after", 2 },
                { "[]]", "bytes after", 2 },
                { "[1}", "',' or ']'", 2 },
                { "{\"a\":1]", "',' or '}'", 6 },
                { "[1,]", "a value expected", 3 },
                { "[,1]", "a value expected", 1 },
                { "[1,,2]", "a value expected", 3 },
                { "[1 2]", "',' or ']'", 3 },
                { "{,}", "a quoted name", 1 },
                { "{\"a\":1,}", "a quoted name", 7 },
                { "{a:1}", "a quoted name", 1 },
                { "{1:1}", "a quoted name", 1 },
                { "{\"a\" 1}", "a colon", 5 },
                { "{\"a\":}", "a value expected", 5 },
                { "{'a':1}", "a quoted name", 1 },
                { "['a']", "a value expected", 1 },
                { "]", "a value expected", 0 },
                { "01", "can't begin with 0", 0 },
                { "-01", "can't begin with 0", 1 },
                { "00", "can't begin with 0", 0 },
                { "-", "unexpected end", 1 },
                { "--1", "a digit", 1 },
                { "+1", "a value expected", 0 },
                { ".5", "a value expected", 0 },
                { "[1.]", "a digit", 3 },
                { "[1.e1]", "a digit", 3 },
                { "[1e]", "a digit", 3 },
                { "[1e+]", "a digit", 4 },
                { "0x10", "bytes after", 1 },
                { "1_000", "bytes after", 1 },
                { "[1e400]", "out of range", 1 },
                { "-1e400", "out of range", 0 },
                { "\"\\x41\"", "unknown escape", 2 },
                { "\"\\'\"", "unknown escape", 2 },
                { "\"\\U0041\"", "unknown escape", 2 },
                { "\"\\u004g\"", "hexadecimal", 6 },
                { "\"\\u+041\"", "hexadecimal", 3 },
                { "\"\\ud800\"", "surrogate", 1 },
                { "\"\\udc00\"", "surrogate", 1 },
                { "\"\\ud800\\ud800\"", "surrogate", 1 },
                { "\"\\ud800x\"", "surrogate", 1 },
                { "\"\\ud800\\n\"", "surrogate", 1 },
                { "\"a\nb\"", "control character", 2 },
                { "\"a\tb\"", "control character", 2 },
                { "\"\x1f\"", "control character", 1 },
                { "\"\x80\"", "UTF-8", 1 },
                { "\"\xc0\x80\"", "UTF-8", 1 },
                { "\"\xc1\xbf\"", "UTF-8", 1 },
                { "\"\xe0\x9f\xbf\"", "UTF-8", 1 },
                { "\"\xed\xa0\x80\"", "UTF-8", 1 },
                { "\"\xf0\x8f\xbf\xbf\"", "UTF-8", 1 },
                { "\"\xf4\x90\x80\x80\"", "UTF-8", 1 },
                { "\"\xf5\x80\x80\x80\"", "UTF-8", 1 },
                { "\"\xe2\x82\"", "UTF-8", 1 },
                { "\"ok\xff\"", "UTF-8", 3 },
                { "\xef\xbb\xbf{}", "byte order mark", 0 },
                { "\xc2\xa0{}", "a value expected", 0 },
                { "[1,\f2]", "a value expected", 3 },
                { "/*c*/1", "a value expected", 0 },
                { "1//c", "bytes after", 1 },
                { "{\"a\\u0000b\":1}", "U+0000", 1 },
                { "{\"a\":1,\"b\":2,\"a\":3}", "duplicate key", 14 },
                { "{\"a\":1,\"\\u0061\":3}", "duplicate key", 8 },
                { "{\"\":1,\"\":3}", "duplicate key", 7 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct json_error e = { 0 };
                AUTO_ARENA a = { 0 };
                struct json j;
                int r = json_parse(&a, cases[i].text, strlen(cases[i].text), NULL, &j, &e);

                if (r != -EINVAL || !strstr(e.what, cases[i].what) || e.offset != cases[i].offset)
                        fail_msg("%s: %d, %s at %zu", cases[i].text, r, e.what, e.offset);
        }
}

static void test_refuses_nul_bytes(void **state)
{
        static const char in_string[] = "\"a\0b\"", outside[] = "1\0", between[] = "[1,\0002]";
        AUTO_ARENA a = { 0 };
        struct json j;

        assert_int_equal(json_parse(&a, in_string, 5, NULL, &j, NULL), -EINVAL);
        assert_int_equal(json_parse(&a, outside, 2, NULL, &j, NULL), -EINVAL);
        assert_int_equal(json_parse(&a, between, sizeof between - 1, NULL, &j, NULL), -EINVAL);
}

/* Every proper prefix of a text that has no valid one is refused, and never read past. */
static void test_refuses_every_prefix(void **state)
{
        static const char text[] =
                "{\"a\":[1,-2.5e+3,true,null,\"\\u00e9\\ud83d\\ude00\xc3\xa9\"]}";

        for (size_t n = 0; n < sizeof text - 1; n++) {
                AUTO_FREE char *exact = mem_realloc(NULL, n); /* ASan sees a read past it */
                AUTO_ARENA a = { 0 };
                struct json j;

                memcpy(exact, text, n);
                assert_int_equal(json_parse(&a, exact, n, NULL, &j, NULL), -EINVAL);
        }
}

static void test_error_position(void **state)
{
        static const char text[] = "{\n  \"first\": 1,\n  \"a\": {\"long name here\": tru}\n}";
        struct json_error e;
        AUTO_ARENA a = { 0 };
        struct json j;

        assert_int_equal(json_parse(&a, text, strlen(text), NULL, &j, &e), -EINVAL);
        assert_int_equal(e.line, 3);
        assert_int_equal(e.column, 27);
        assert_string_equal(e.key, "");
}

static void test_duplicate_key_is_named(void **state)
{
        struct json_error e;
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };
        struct json j;

        buf_puts(&b, "{\"caf\xc3\xa9\":1,\n\"caf\xc3\xa9\":2}");
        assert_int_equal(json_parse(&a, b.s, b.len, NULL, &j, &e), -EINVAL);
        assert_string_equal(e.key, "caf\xc3\xa9");
        assert_int_equal(e.line, 2);

        /* A long name is cut between characters. */
        buf_clear(&b);
        buf_puts(&b, "{\"x");
        for (int i = 0; i < 50; i++)
                buf_puts(&b, "\xc3\xa9");
        for (const char *half = arena_strndup(&a, b.s + 1, b.len - 1); half; half = NULL)
                buf_printf(&b, "\":1,%s\":2}", half);
        assert_int_equal(json_parse(&a, b.s, b.len, NULL, &j, &e), -EINVAL);
        assert_int_equal(strlen(e.key), 63);
        assert_int_equal(json_utf8_len(e.key + 61, 2), 2);
}

/* ---- limits ---- */

static void add_times(struct buf *b, const char *s, size_t n)
{
        while (n-- > 0)
                buf_puts(b, s);
}

static void test_depth(void **state)
{
        struct json_limits l = { .bytes = 1 << 20, .depth = 3, .memory = 1 << 20 };
        struct json_error e;
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };
        struct json j;

        assert_int_equal(json_parse(&a, "[[[1]]]", 7, &l, &j, &e), 0);
        assert_int_equal(json_parse(&a, "[[{\"a\":1}],[[]]]", 16, &l, &j, &e), 0);
        assert_int_equal(json_parse(&a, "[[[[]]]]", 8, &l, &j, &e), -E2BIG);
        assert_string_equal(e.what, "nested too deeply");
        assert_int_equal(e.offset, 3);

        add_times(&b, "[", 1000000);
        assert_int_equal(json_parse(&a, b.s, b.len, NULL, &j, &e), -E2BIG);
        assert_int_equal(e.offset, json_limits_default.depth);
        buf_clear(&b);
        add_times(&b, "{\"a\":", 1000000);
        assert_int_equal(json_parse(&a, b.s, b.len, NULL, &j, &e), -E2BIG);
}

static void test_memory(void **state)
{
        struct json_limits l = { .bytes = 1 << 20, .depth = 8, .memory = 1 << 20 };
        struct json_error e;
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };
        struct json j;
        size_t before;

        buf_putc(&b, '[');
        add_times(&b, "0,", 400000);
        buf_puts(&b, "0]");
        before = a.used;
        assert_int_equal(json_parse(&a, b.s, b.len, &l, &j, &e), -E2BIG);
        assert_string_equal(e.what, "too many values");
        assert_true(a.used - before <= l.memory);

        /* The same, spread over many small arrays. */
        buf_clear(&b);
        buf_putc(&b, '[');
        add_times(&b, "[0],", 200000);
        buf_puts(&b, "0]");
        before = a.used;
        assert_int_equal(json_parse(&a, b.s, b.len, &l, &j, &e), -E2BIG);
        assert_true(a.used - before <= l.memory);

        l.bytes = 3;
        assert_int_equal(json_parse(&a, "[10]", 4, &l, &j, &e), -E2BIG);
        assert_string_equal(e.what, "the text is too long");
        assert_int_equal(json_parse(&a, "[1]", 3, &l, &j, &e), 0);
}

static void test_many_keys(void **state)
{
        enum { MANY = 100000 };
        struct json_error e;
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };
        struct json j;
        int64_t v;

        buf_putc(&b, '{');
        for (int i = 0; i < MANY; i++)
                buf_printf(&b, "\"key%d\":%d,", i, i);
        buf_puts(&b, "\"last\":0}");
        assert_int_equal(json_parse(&a, b.s, b.len, NULL, &j, &e), 0);
        assert_int_equal(j.n, MANY + 1);
        assert_true(json_to_i64(json_get(&j, "key99999"), &v));
        assert_int_equal(v, 99999);
        assert_string_equal(j.members[5].name, "key5");

        b.len -= strlen("\"last\":0}");
        buf_puts(&b, "\"key777\":0}");
        assert_int_equal(json_parse(&a, b.s, b.len, NULL, &j, &e), -EINVAL);
        assert_string_equal(e.key, "key777");
        assert_int_equal(e.offset, b.len - strlen("key777\":0}"));
}

/* Around the size where the comparison of names changes its method. */
static void test_duplicates_at_every_size(void **state)
{
        for (unsigned n = 2; n < 60; n++)
                for (unsigned twin = 0; twin + 1 < n; twin++) {
                        struct json_error e;
                        AUTO_ARENA a = { 0 };
                        AUTO_BUF b = { 0 };
                        struct json j;

                        for (unsigned i = 0; i < n - 1; i++)
                                buf_printf(&b, "%c\"k%u\":0", i ? ',' : '{', i);
                        buf_printf(&b, ",\"k%u\":0}", twin);
                        assert_int_equal(json_parse(&a, b.s, b.len, NULL, &j, &e), -EINVAL);
                        assert_string_equal(e.what, "duplicate key");
                }
}

/* ---- looking up ---- */

static void test_lookup(void **state)
{
        AUTO_ARENA a = { 0 };
        struct json j;
        uint64_t u = 7;
        int64_t i = 7;
        bool b = false;

        assert_int_equal(
                parse(&a,
                      "{\"s\":\"x\\u0000y\",\"o\":{\"p\":{\"q\":-1}},\"u\":18446744073709551615,"
                      "\"d\":1.0,\"z\":null,\"yes\":true,\"no\":false}",
                      &j),
                0);
        assert_int_equal(json_get(&j, "s")->n, 3);
        assert_memory_equal(json_get(&j, "s")->s, "x\0y", 4);
        assert_string_equal(json_str(json_get(&j, "s"), "?"), "x");
        assert_string_equal(json_str(json_get(&j, "o"), "?"), "?");
        assert_null(json_str(json_get(&j, "none"), NULL));
        assert_null(json_get(NULL, "s"));
        assert_null(json_get(json_get(&j, "s"), "s"));
        assert_null(json_get(&j, ""));
        assert_null(json_get(&j, "so"));

        assert_true(json_to_i64(json_path(&j, "o.p.q"), &i));
        assert_int_equal(i, -1);
        assert_null(json_path(&j, "o.p.q.r"));
        assert_null(json_path(&j, "o..q"));
        assert_null(json_path(&j, "o.pp"));
        assert_false(json_to_u64(json_path(&j, "o.p.q"), &u));
        assert_int_equal(u, 7);
        assert_true(json_to_u64(json_get(&j, "u"), &u));
        assert_true(u == UINT64_MAX);
        assert_false(json_to_i64(json_get(&j, "u"), &i));
        assert_true(json_to_bool(json_get(&j, "yes"), &b) && b);
        assert_false(json_to_bool(json_get(&j, "u"), &b) || !b);
        assert_true(json_to_bool(json_get(&j, "no"), &b) && !b);
        assert_true(json_is_true(json_get(&j, "yes")));
        assert_false(json_is_true(json_get(&j, "no")) || json_is_true(json_get(&j, "s")) ||
                     json_is_true(NULL));
        assert_false(json_to_i64(json_get(&j, "d"), &i));
        assert_false(json_to_i64(json_get(&j, "z"), &i));
        assert_false(json_to_u64(NULL, &u));
        assert_string_equal(json_type_name(json_get(&j, "u")->type), "integer");
        assert_string_equal(json_type_name(JSON_TYPE_MAX), "unknown");
}

/* ---- writing ---- */

static void test_writer(void **state)
{
        AUTO_BUF b = { 0 };
        struct json_writer w = { .out = &b, .indent = 2 };

        json_open(&w, NULL, '{');
        json_put_str(&w, "s", "a\"\x01\xff\xc3\xa9\x7f\xc2\x9b\xc2\xa0");
        json_put_str(&w, "n", NULL);
        json_open(&w, "empty", '[');
        json_close(&w, ']');
        json_open(&w, "list", '[');
        json_put_i64(&w, NULL, INT64_MIN);
        json_put_u64(&w, NULL, UINT64_MAX);
        json_put_bool(&w, NULL, true);
        json_open(&w, NULL, '{');
        json_close(&w, '}');
        json_close(&w, ']');
        json_put_double(&w, "d", 0.1);
        json_put_double(&w, "nan", (double)NAN);
        json_close(&w, '}');
        assert_string_equal(buf_str(&b),
                            "{\n"
                            "  \"s\": \"a\\\"\\u0001\xef\xbf\xbd\xc3\xa9\\u007f\\u009b\xc2\xa0\",\n"
                            "  \"n\": null,\n"
                            "  \"empty\": [],\n"
                            "  \"list\": [\n"
                            "    -9223372036854775808,\n"
                            "    18446744073709551615,\n"
                            "    true,\n"
                            "    {}\n"
                            "  ],\n"
                            "  \"d\": 0.1,\n"
                            "  \"nan\": null\n"
                            "}");
}

static void test_doubles_survive(void **state)
{
        static const double values[] = {
                0.1,     1.0 / 3, DBL_MAX, DBL_MIN, 4.9406564584124654e-324,
                -123e45, 1e15,    1e22,    5.0,     -0.5
        };

        for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
                AUTO_ARENA a = { 0 };
                AUTO_BUF b = { 0 };
                struct json j;

                json_put_double(&(struct json_writer){ .out = &b }, NULL, values[i]);
                assert_int_equal(parse(&a, buf_str(&b), &j), 0);
                assert_int_equal(j.type, JSON_DOUBLE);
                assert_true(j.d == values[i]);
        }
}

/* ---- json-c's opinion ---- */

static bool same(const struct json *j, struct json_object *o)
{
        struct json_object *child;

        switch (j->type) {
        case JSON_NULL:
                return o == NULL;
        case JSON_BOOL:
                return json_object_is_type(o, json_type_boolean) &&
                       json_object_get_boolean(o) == j->b;
        case JSON_INT:
                return json_object_is_type(o, json_type_int) && json_object_get_int64(o) == j->i;
        case JSON_UINT:
                return json_object_is_type(o, json_type_int) && json_object_get_uint64(o) == j->u;
        case JSON_DOUBLE:
                if (json_object_is_type(o, json_type_int)) /* json-c clamps, where we round */
                        return fabs(j->d) > 9.2e18;
                return json_object_is_type(o, json_type_double) &&
                       json_object_get_double(o) == j->d;
        case JSON_STRING:
                return json_object_is_type(o, json_type_string) &&
                       json_object_get_string_len(o) == (int)j->n &&
                       memcmp(json_object_get_string(o), j->s, j->n) == 0;
        case JSON_ARRAY:
                if (!json_object_is_type(o, json_type_array) || json_object_array_length(o) != j->n)
                        return false;
                for (uint32_t i = 0; i < j->n; i++)
                        if (!same(&j->items[i], json_object_array_get_idx(o, i)))
                                return false;
                return true;
        case JSON_OBJECT:
                if (!json_object_is_type(o, json_type_object) ||
                    json_object_object_length(o) != (int)j->n)
                        return false;
                for (uint32_t i = 0; i < j->n; i++)
                        if (!json_object_object_get_ex(o, j->members[i].name, &child) ||
                            !same(&j->members[i].value, child))
                                return false;
                return true;
        default:
                return false;
        }
}

static uint32_t random_next(uint32_t *seed)
{
        *seed ^= *seed << 13;
        *seed ^= *seed >> 17;
        *seed ^= *seed << 5;
        return *seed;
}

static void random_string(struct buf *b, uint32_t *seed)
{
        static const char *const pieces[] = { "a",
                                              "zZ9",
                                              "\\n",
                                              "\\u00e9",
                                              "\\ud83d\\ude00",
                                              "\xc3\xa9",
                                              "\\\"",
                                              "\xf0\x9f\x98\x80",
                                              "\\\\",
                                              " /",
                                              "\\/",
                                              "\\u0001" };

        buf_putc(b, '"');
        for (uint32_t n = random_next(seed) % 6; n > 0; n--)
                buf_puts(b, pieces[random_next(seed) % ARRAY_SIZE(pieces)]);
        buf_putc(b, '"');
}

static void random_value(struct buf *b, uint32_t *seed, int depth)
{
        uint32_t kind = random_next(seed) % (depth > 0 ? 8 : 6);
        uint32_t n = random_next(seed) % 5;

        switch (kind) {
        case 0:
                buf_puts(b, n % 3 == 0 ? "null" : n % 3 == 1 ? "true" : "false");
                return;
        case 1:
                buf_printf(b, "%" PRId32, (int32_t)random_next(seed));
                return;
        case 2:
                buf_printf(b, "%" PRIu64, (uint64_t)random_next(seed) << 32 | random_next(seed));
                return;
        case 3:
                buf_printf(b, "-%u.%ue%d", random_next(seed) % 1000, random_next(seed),
                           (int)(random_next(seed) % 500) - 250);
                return;
        case 4:
        case 5:
                random_string(b, seed);
                return;
        default:
                break;
        }
        buf_putc(b, kind == 6 ? '[' : '{');
        for (uint32_t i = 0; i < n; i++) {
                buf_puts(b, i ? " ,\n" : "\t");
                if (kind == 7)
                        buf_printf(b, "\"%u\\u00e9\" : ", i);
                random_value(b, seed, depth - 1);
        }
        buf_putc(b, kind == 6 ? ']' : '}');
}

static struct json_object *oracle(const char *text, size_t n, bool *ret_ok)
{
        struct json_tokener *t = json_tokener_new_ex(64);
        struct json_object *o;

        json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        o = json_tokener_parse_ex(t, text, (int)n + 1);
        *ret_ok = json_tokener_get_error(t) == json_tokener_success;
        json_tokener_free(t);
        return o;
}

static void test_agrees_with_json_c(void **state)
{
        uint32_t seed = 20240607;
        unsigned containers = 0;

        for (int round = 0; round < 3000; round++) {
                struct json_object *o, *back;
                AUTO_ARENA a = { 0 };
                AUTO_BUF b = { 0 };
                struct json j;
                bool ok;

                random_value(&b, &seed, 5);
                o = oracle(b.s, b.len, &ok);
                if (!ok)
                        fail_msg("json-c refuses %s", b.s);
                if (parse(&a, b.s, &j) < 0 || !same(&j, o))
                        fail_msg("json-c reads otherwise: %s", b.s);
                containers += j.type >= JSON_ARRAY;
                for (unsigned indent = 0; indent < 3; indent += 2) {
                        const char *s = written(&a, &j, indent);

                        back = oracle(s, strlen(s), &ok);
                        if (!ok || !same(&j, back))
                                fail_msg("json-c reads what we wrote otherwise: %s", s);
                        json_object_put(back);
                }
                json_object_put(o);
        }
        assert_true(containers > 300);
}

/* One byte changed at random: we accept nothing that json-c in its strict mode refuses. */
static void test_is_no_laxer_than_json_c(void **state)
{
        uint32_t seed = 4711;
        unsigned refused = 0;

        for (int round = 0; round < 20000; round++) {
                AUTO_ARENA a = { 0 };
                AUTO_BUF b = { 0 };
                struct json_object *o;
                struct json j;
                bool ok;

                random_value(&b, &seed, 4);
                b.s[random_next(&seed) % b.len] = (char)(random_next(&seed) % 255 + 1);
                o = oracle(b.s, b.len, &ok);
                if (parse(&a, b.s, &j) < 0)
                        refused++;
                else if (!ok || !same(&j, o))
                        fail_msg("json-c %s: %s", ok ? "reads otherwise" : "refuses", b.s);
                json_object_put(o);
        }
        assert_true(refused > 5000);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_accepts),
                cmocka_unit_test(test_refuses),
                cmocka_unit_test(test_refuses_nul_bytes),
                cmocka_unit_test(test_refuses_every_prefix),
                cmocka_unit_test(test_error_position),
                cmocka_unit_test(test_duplicate_key_is_named),
                cmocka_unit_test(test_depth),
                cmocka_unit_test(test_memory),
                cmocka_unit_test(test_many_keys),
                cmocka_unit_test(test_duplicates_at_every_size),
                cmocka_unit_test(test_lookup),
                cmocka_unit_test(test_writer),
                cmocka_unit_test(test_doubles_survive),
                cmocka_unit_test(test_agrees_with_json_c),
                cmocka_unit_test(test_is_no_laxer_than_json_c),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
