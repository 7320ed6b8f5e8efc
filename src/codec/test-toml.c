/* The TOML reader: what the specification's pages show, what they forbid, and where errors are. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/str.h"
#include "codec/toml.h"

static void test_accepts(void **state)
{
        static const struct {
                const char *text, *json;
        } cases[] = {
                { "", "{}" },
                { "# only a comment", "{}" },
                { "a = 1\nb=2", "{\"a\":1,\"b\":2}" },
                { "a = 1 # x\r\nb = true\r\n", "{\"a\":1,\"b\":true}" },
                { "\"a b\" = 'c\\d'\n'' = \"\"", "{\"a b\":\"c\\\\d\",\"\":\"\"}" },
                { "a.b.c = 1\na.b.d = 2\na . \"e.f\" = 3",
                  "{\"a\":{\"b\":{\"c\":1,\"d\":2},\"e.f\":3}}" },
                { "1.2 = 3", "{\"1\":{\"2\":3}}" },
                { "a = \"\\t\\\"\\\\\\u00e9\\U0001F600\"",
                  "{\"a\":\"\\t\\\"\\\\\xc3\xa9\xf0\x9f\x98\x80\"}" },
                { "a = \"\"\"\nx\n  y \\\n   z\"\"\"\"\"", "{\"a\":\"x\\n  y z\\\"\\\"\"}" },
                { "a = '''\nx\\n'y''z'''", "{\"a\":\"x\\\\n'y''z\"}" },
                { "a = \"\"\"\"\"\"", "{\"a\":\"\"}" },
                { "a = [ 1, [2, 'x'], # c\n {b=1},\n]", "{\"a\":[1,[2,\"x\"],{\"b\":1}]}" },
                { "a = []\nb = {}", "{\"a\":[],\"b\":{}}" },
                { "a = { b.c = 1, 'd' = [2] }", "{\"a\":{\"b\":{\"c\":1},\"d\":[2]}}" },
                { "a=+7\nb=-1_000\nc=0xDEAD_beef\nd=0o17\ne=0b11\nf=-9223372036854775808",
                  "{\"a\":7,\"b\":-1000,\"c\":3735928559,\"d\":15,\"e\":3,"
                  "\"f\":-9223372036854775808}" },
                { "[a]\nx=1\n[a.b]\ny=2\n[c.d]\n[c]\nz=3",
                  "{\"a\":{\"x\":1,\"b\":{\"y\":2}},\"c\":{\"d\":{},\"z\":3}}" },
                { "[[r]]\nx=1\n[[r.m]]\ny=1\n[[r.m]]\ny=2\n[[r]]\n[r.s]\nz=1",
                  "{\"r\":[{\"x\":1,\"m\":[{\"y\":1},{\"y\":2}]},{\"s\":{\"z\":1}}]}" },
                { "[host.\"https://a:5000\"]\n  capabilities = [\"pull\"]\n"
                  "  [host.\"https://a:5000\".header]\n    x = [\"1\", \"2\"]",
                  "{\"host\":{\"https://a:5000\":{\"capabilities\":[\"pull\"],"
                  "\"header\":{\"x\":[\"1\",\"2\"]}}}}" },
                { "[fruit]\napple.color = 1\n[fruit.apple.taste]\nsweet = true",
                  "{\"fruit\":{\"apple\":{\"color\":1,\"taste\":{\"sweet\":true}}}}" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                AUTO_ARENA a = { 0 };
                AUTO_BUF out = { 0 };
                struct toml_error e;
                struct json j;

                if (toml_parse(&a, cases[i].text, strlen(cases[i].text), &j, &e) < 0)
                        fail_msg("refused: %s: %u:%u %s", cases[i].text, e.line, e.column, e.what);
                json_put(&(struct json_writer){ .out = &out }, NULL, &j);
                assert_string_equal(buf_str(&out), cases[i].json);
        }
}

static void test_refuses(void **state)
{
        static const struct {
                const char *text;
                unsigned line, column;
                const char *what, *key;
        } cases[] = {
                { "a", 1, 2, "'=' expected", "" },
                { "= 1", 1, 1, "a key expected", "" },
                { "a = ", 1, 5, "a value expected", "" },
                { "a = 1 b = 2", 1, 7, "end of the line", "" },
                { "a = x", 1, 5, "not quoted", "" },
                { "a = 1.5", 1, 5, "floats and dates", "" },
                { "a = 1979-05-27", 1, 5, "floats and dates", "" },
                { "a = inf", 1, 5, "floats and dates", "" },
                { "a = 01", 1, 5, "no such value", "" },
                { "a = 1__0", 1, 5, "no such value", "" },
                { "a = 1_", 1, 5, "no such value", "" },
                { "a = 9223372036854775808", 1, 5, "no such value", "" },
                { "a = 0xg", 1, 5, "no such value", "" },
                { "a = True", 1, 5, "no such value", "" },
                { "a = \"x", 1, 7, "not ended", "" },
                { "a = \"x\ny\"", 1, 7, "not ended on its line", "" },
                { "a = '''x", 1, 9, "not ended", "" },
                { "a = \"\\x\"", 1, 7, "unknown escape", "" },
                { "a = \"\\ x\"", 1, 7, "unknown escape", "" },
                { "a = \"\\ud800\"", 1, 12, "no such character", "" },
                { "a = \"\\u00g0\"", 1, 10, "hexadecimal", "" },
                { "a = \"\x01\"", 1, 6, "control character", "" },
                { "a = \"\xff\"", 1, 6, "UTF-8", "" },
                { "# \x01", 1, 3, "control character", "" },
                { "a = 1\n\na = 2", 3, 1, "duplicate key", "a" },
                { "a.b = 1\na.b = 2", 2, 1, "duplicate key", "b" },
                { "a = 1\na.b = 2", 2, 1, "can't add", "a" },
                { "a = {b=1}\na.c = 2", 2, 1, "can't add", "a" },
                { "a = {b=1}\n[a.c]", 2, 1, "not a table", "a" },
                { "[a]\n[a]", 2, 1, "there already", "a" },
                { "a.b = 1\n[a]", 2, 1, "there already", "a" },
                { "[a]\n[[a]]", 2, 1, "there already", "a" },
                { "a = []\n[[a]]", 2, 1, "there already", "a" },
                { "[[a]]\n[a]", 2, 1, "there already", "a" },
                { "[a.b]\n[a]\nb.c = 1", 3, 1, "can't add", "b" },
                { "[a", 1, 3, "']' expected", "" },
                { "[[a]", 1, 5, "']' expected", "" },
                { "[]", 1, 2, "a key expected", "" },
                { "[a] x", 1, 5, "end of the line", "" },
                { "a = [1 2]", 1, 8, "',' or ']'", "" },
                { "a = [1,,2]", 1, 8, "a value expected", "" },
                { "a = [1", 1, 7, "',' or ']'", "" },
                { "a = {b=1,}", 1, 10, "a key expected", "" },
                { "a = {b=1\n}", 1, 9, "',' or '}'", "" },
                { "a = {b=1, b=2}", 1, 11, "duplicate key", "b" },
                { "\"\"\"a\"\"\" = 1", 1, 3, "'=' expected", "" },
                { "a = 1\r", 1, 6, "end of the line", "" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                AUTO_ARENA a = { 0 };
                struct toml_error e;
                struct json j;

                if (toml_parse(&a, cases[i].text, strlen(cases[i].text), &j, &e) != -EINVAL)
                        fail_msg("accepted: %s", cases[i].text);
                if (e.line != cases[i].line || e.column != cases[i].column ||
                    !strstr(e.what, cases[i].what) || !str_eq(e.key, cases[i].key))
                        fail_msg("%s: %u:%u %s '%s'", cases[i].text, e.line, e.column, e.what,
                                 e.key);
        }
}

static void test_limits(void **state)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF text = { 0 };
        struct toml_error e;
        struct json j;

        buf_puts(&text, "a = ");
        for (int i = 0; i < 100; i++)
                buf_putc(&text, '[');
        assert_int_equal(toml_parse(&a, text.s, text.len, &j, &e), -E2BIG);
        assert_string_equal(e.what, "nested too deeply");
        buf_clear(&text);
        buf_puts(&text, "a = [");
        for (int i = 0; i <= TOML_KEYS_MAX; i++)
                buf_puts(&text, "1,");
        assert_int_equal(toml_parse(&a, text.s, text.len, &j, &e), -E2BIG);
        buf_clear(&text);
        for (int i = 0; i < 40; i++)
                buf_puts(&text, "a.");
        assert_int_equal(toml_parse(&a, text.s, text.len, &j, &e), -E2BIG);
        buf_clear(&text);
        for (unsigned i = 0; i <= TOML_MAX; i++)
                buf_putc(&text, '\n');
        assert_int_equal(toml_parse(&a, text.s, text.len, &j, &e), -E2BIG);
        assert_int_equal(toml_parse(&a, "a = \"\0\"", 8, &j, &e), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_accepts),
                cmocka_unit_test(test_refuses),
                cmocka_unit_test(test_limits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
