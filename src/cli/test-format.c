/* Templates and lists. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/test.h"

#include "base/str.h"
#include "cli/format.h"
#include "cli/table.h"

static const char data[] =
        "{\"ID\":\"4f2a\",\"Size\":12,\"Big\":1.5,\"On\":true,\"None\":null,\"Empty\":[],"
        "\"Names\":[\"a:1\",\"b:2\"],\"Config\":{\"Env\":[\"A=1\",\"B=2\"],\"User\":\"\","
        "\"Labels\":{\"x.y\":\"z\",\"w\":\"v\"}}}";

static int give(const char *text, struct buf *out, struct err *e)
{
        AUTO_ARENA a = { 0 };
        struct template *t;
        struct json j;

        buf_clear(out);
        assert_int_equal(json_parse(&a, data, strlen(data), NULL, &j, NULL), 0);
        return template_parse(&a, text, &t, e) < 0 ? -1 : template_run(t, &a, &j, out, e);
}

static void test_templates(void **state)
{
        static const char *const cases[][2] = {
                { "", "" },
                { "plain", "plain" },
                { "{{.ID}}", "4f2a" },
                { "{{ .ID }}:{{.Size}}", "4f2a:12" },
                { "{{.Big}} {{.On}} {{.None}}", "1.5 true <no value>" },
                { "{{.Names}}", "[a:1 b:2]" },
                { "{{.Config.Env}}", "[A=1 B=2]" },
                { "{{.Config.Labels}}", "map[x.y:z w:v]" },
                { "{{.Config.Missing}}", "<no value>" },
                { "{{if .Config.Missing}}x{{end}}{{.id}} {{.config.env}}", "4f2a [A=1 B=2]" },
                { "{{.Config.Cmd}}{{.Config.Volumes}}{{with .Config}}{{.Cmd}}{{end}}",
                  "[]map[][]" },
                { "{{index .Config.Labels \"x.y\"}}", "z" },
                { "{{index .Names 1}}", "b:2" },
                { "{{index .Config.Labels \"none\"}}{{index .ID}}{{index .None \"x\"}}", "4f2a" },
                { "{{json .Names}}", "[\"a:1\",\"b:2\"]" },
                { "{{json .Config.User}}", "\"\"" },
                { "{{.Names | json}}", "[\"a:1\",\"b:2\"]" },
                { "{{join .Names \", \"}}", "a:1, b:2" },
                { "{{len .Names}}{{len .ID}}{{len .None}}", "240" },
                { "{{upper .ID}} {{.ID | upper | lower}}", "4F2A 4f2a" },
                { "{{title \"big red\"}}", "Big Red" },
                { "{{range .Names}}<{{.}}>{{end}}", "<a:1><b:2>" },
                { "{{range .Empty}}x{{else}}none{{end}}", "none" },
                { "{{range .Config.Env}}{{println .}}{{end}}", "A=1\nB=2\n" },
                { "{{if .On}}yes{{else}}no{{end}}", "yes" },
                { "{{if .Config.User}}yes{{else}}no{{end}}", "no" },
                { "{{if not .Empty}}empty{{end}}", "empty" },
                { "{{if eq .ID \"4f2a\"}}same{{end}}{{if ne .Size 12}}x{{end}}", "same" },
                { "{{with .Config}}{{.User}}{{len .Env}}{{end}}", "2" },
                { "{{len (index .Config.Labels \"w\")}}", "1" },
                { "a {{- .ID -}} b", "a4f2ab" },
                { "{{.ID}}\\t{{.Size}}\\n", "4f2a\t12\n" },
                { "{{/* nothing */}}x", "x" },
                { "{{\"}}\"}}", "}}" },
                { "{{`raw\\n`}}", "raw\\n" },
                { "{{printf \"%-6s|%3d|%05.1f|%q|%v\" .ID .Size .Big .ID .Names}}",
                  "4f2a  | 12|001.5|\"4f2a\"|[a:1 b:2]" },
                { "{{printf \"%.2s %d%% %t\" .ID .ID .On}}", "4f %!d(string=4f2a)% true" },
                { "{{printf \"%s\"}}", "%!s(MISSING)" },
                { "{{print .ID 1 2}} {{slice .ID 1 3}} {{truncate .ID 2}}", "4f2a1 2 f2 4f" },
                { "{{range split \"a/b\" \"/\"}}<{{.}}>{{end}}", "<a><b>" },
                { "{{pad .ID 1 2}}.", " 4f2a  ." },
                { "{{and .On .ID}} {{or .Config.User \"none\"}} {{eq .Size 1 12}}",
                  "4f2a none true" },
                { "{{if gt .Size 3}}big{{else}}small{{end}}{{if le .Big 1}}x{{end}}", "big" },
                { "{{if .Empty}}a{{else if .On}}b{{else}}c{{end}}", "b" },
                { "{{if .Empty}}a{{else if .None}}b{{else if .Empty}}c{{else}}d{{end}}.", "d." },
                { "{{$id := .ID}}{{range .Names}}{{$id}}-{{.}} {{end}}", "4f2a-a:1 4f2a-b:2 " },
                { "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}},{{end}}", "x.y=z,w=v," },
                { "{{range $i, $n := .Names}}{{$i}}{{$n}}{{end}}", "0a:11b:2" },
                { "{{range .Names}}{{$.ID}}{{end}}", "4f2a4f2a" },
                { "{{with $c := .Config}}{{$c.User}}{{len $c.Env}}{{end}}", "2" },
                { "{{(index .Names 0)}} {{(.Config).Env}}", "a:1 [A=1 B=2]" },
                { "{{.Config.Label \"x\"}}{{with .Config}}{{.Missing}}{{end}}", "<no value>" },
                { "{{json .Config.Labels}}", "{\"x.y\":\"z\",\"w\":\"v\"}" },
        };
        AUTO_BUF out = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct err e = { 0 };

                if (give(cases[i][0], &out, &e) < 0)
                        fail_msg("%s: %s", cases[i][0], e.chain);
                assert_string_equal(buf_str(&out), cases[i][1]);
        }
}

static void test_bad_templates(void **state)
{
        static const char *const cases[][2] = {
                { "{{.ID", "a }} is missing" },
                { "{{.Identity}}", "there is no \".Identity\"" },
                { "{{}}", "a value is missing" },
                { "{{if .On}}x", "an {{end}} is missing" },
                { "{{end}}", "without a beginning" },
                { "{{if .On}}x{{else}}y{{else}}z{{end}}", "is missing" },
                { "{{print_it .Size}}", "\"print_it\" is not known" },
                { "{{$x}}", "there is no variable \"$x\"" },
                { "{{range $x := .Names}}{{end}}{{$x}}", "there is no variable" },
                { "{{slice .ID 3 9}}", "out of range" },
                { "{{lt .ID 3}}", "can't be compared" },
                { "{{printf \"%\" 1}}", "no verb" },
                { "{{$.Nothing}}", "there is no \".Nothing\"" },
                { "{{if .On}}x{{else if}}y{{end}}", "a value is missing" },
                { "{{(.Names).x}}", "has no \".x\"" },
                { "{{.ID .Size}}", "something unexpected" },
                { "{{len}}", "wrong number of arguments" },
                { "{{join .Names}}", "wrong number of arguments" },
                { "{{len .Size}}", "has no length" },
                { "{{.ID.x}}", "has no \".x\"" },
                { "{{index .Names 7}}", "out of range" },
                { "{{index .None 0}}", "out of range" },
                { "{{(index (index .Config.Labels \"80/tcp\") 0).HostPort}}", "has no integer" },
                { "{{.Config.Missing.Deeper}}", "\".Config.Missing\" has no value" },
                { "{{.None.Deeper}}", "\".None\" has no value" },
                { "{{range .ID}}x{{end}}", "range over a string" },
                { "{{\"x}}", "missing" },
                { "{{len (.Names}}", "a ')' is missing" },
                { "{{.ID | .Size}}", "only a function" },
                { "{{..}}", "something unexpected" },
                { "{{.A.}}", "name is missing" },
        };
        AUTO_BUF out = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct err e = { 0 };

                assert_int_equal(give(cases[i][0], &out, &e), -1);
                if (!strstr(e.chain, cases[i][1]))
                        fail_msg("%s: %s", cases[i][0], e.chain);
        }
}

static void test_mistakes_name_the_nearest(void **state)
{
        AUTO_BUF out = { 0 };
        struct err e = { 0 };

        assert_int_equal(give("{{.Nmaes}}", &out, &e), -1);
        assert_string_equal(e.hint, "Did you mean '.Names'?");
        err_clear(&e);
        assert_int_equal(give("{{jsn .}}", &out, &e), -1);
        assert_string_equal(e.hint, "Did you mean 'json'?");
}

static void test_depth_is_limited(void **state)
{
        AUTO_BUF text = { 0 }, out = { 0 };
        struct err e = { 0 };

        for (int i = 0; i < 1000; i++)
                buf_puts(&text, "{{if .On}}");
        assert_int_equal(give(text.s, &out, &e), -1);
        buf_clear(&text);
        buf_puts(&text, "{{");
        for (int i = 0; i < 1000; i++)
                buf_putc(&text, '(');
        buf_puts(&text, "}}");
        assert_int_equal(give(text.s, &out, &e), -1);
}

/* ---- lists ---- */

struct thing {
        const char *name;
        int64_t size;
};
static const char *text_name(struct arena *a, const void *row, const struct table_options *o)
{
        const struct thing *t = row;

        return o->no_trunc ? t->name : arena_printf(a, "%.5s", t->name);
}
static const char *text_bytes(struct arena *a, const void *row, const struct table_options *o)
{
        return text_size(a, (uint64_t)((const struct thing *)row)->size);
}
static struct json value_bytes(struct arena *a, const void *row)
{
        return json_of_i64(((const struct thing *)row)->size);
}
static const struct column columns[] = {
        { .name = "Name", .text = text_name, .json = "name", .shown = true },
        { .name = "Extra", .heading = "MORE", .text = text_name, .optional = true },
        { .name = "Size", .text = text_bytes, .json = "size", .value = value_bytes, .shown = true },
        {}
};
static const struct thing things[] = { { "b\xc3\xbcrgermeister", 1154000000 }, { "x", 12 } };

static void assert_list(const struct table_options *o, const char *optional, const char *expected)
{
        struct table t = { columns, optional };
        AUTO_BUF out = { 0 };
        struct err e = { 0 };

        if (table_print(&t, things, 2, sizeof *things, o, &out, &e) < 0)
                fail_msg("%s", e.chain);
        assert_string_equal(buf_str(&out), expected);
}

static void test_lists(void **state)
{
        assert_list(&(struct table_options){ 0 }, NULL,
                    "NAME      SIZE\nb\xc3\xbcrg      1.15GB\nx         12B\n");
        assert_list(&(struct table_options){ .no_trunc = true, .no_heading = true }, NULL,
                    "b\xc3\xbcrgermeister   1.15GB\nx               12B\n");
        assert_list(&(struct table_options){ .no_heading = true }, "Extra",
                    "b\xc3\xbcrg      b\xc3\xbcrg      1.15GB\nx         x         12B\n");
        assert_list(&(struct table_options){ .format = "{{.Size}}\\t{{.Name}}" }, NULL,
                    "1.15GB\tb\xc3\xbcrg\n12B\tx\n");
        assert_list(&(struct table_options){ .format = "table {{.Extra}}\\t{{.Size}}" }, NULL,
                    "MORE      SIZE\nb\xc3\xbcrg      1.15GB\nx         12B\n");
        assert_list(&(struct table_options){ .format = "json" }, NULL,
                    "[\n    {\n        \"name\": \"b\xc3\xbcrgermeister\",\n        \"size\": "
                    "1154000000\n    },\n    {\n        \"name\": \"x\",\n        \"size\": "
                    "12\n    }\n]\n");
        assert_list(&(struct table_options){ .format = "{{json .}}" }, NULL,
                    "{\"Name\":\"b\xc3\xbcrg\",\"Extra\":\"b\xc3\xbcrg\",\"Size\":\"1.15GB\"}\n"
                    "{\"Name\":\"x\",\"Extra\":\"x\",\"Size\":\"12B\"}\n");
}

static void test_texts(void **state)
{
        static const struct {
                uint64_t bytes;
                const char *text;
        } sizes[] = { { 0, "0B" },
                      { 999, "999B" },
                      { 1000, "1kB" },
                      { 4261550, "4.26MB" },
                      { 133000000, "133MB" },
                      { 999999, "999kB" },
                      { 1154321987, "1.15GB" } };
        static const struct {
                int64_t seconds;
                const char *text;
        } ages[] = { { 0, "Less than a second" }, { 1, "1 second" },
                     { 59, "59 seconds" },        { 60, "About a minute" },
                     { 120, "2 minutes" },        { 3600, "About an hour" },
                     { 5400, "2 hours" },         { 47 * 3600, "47 hours" },
                     { 48 * 3600, "2 days" },     { 14 * 86400, "2 weeks" },
                     { 60 * 86400, "2 months" },  { 730 * 86400, "2 years" } };
        AUTO_ARENA a = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
                assert_string_equal(text_size(&a, sizes[i].bytes), sizes[i].text);
        for (size_t i = 0; i < ARRAY_SIZE(ages); i++)
                assert_string_equal(text_duration(&a, ages[i].seconds), ages[i].text);
        assert_string_equal(text_ago(&a, 0, 100), "N/A");
        assert_string_equal(text_ago(&a, 40, 100), "About a minute ago");
        assert_string_equal(text_rfc3339(&a, 1716000000), "2024-05-18T02:40:00Z");
        assert_string_equal(text_time(&a, 1716000000), "2024-05-18 02:40:00 +0000 UTC");
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_templates),
                cmocka_unit_test(test_bad_templates),
                cmocka_unit_test(test_mistakes_name_the_nearest),
                cmocka_unit_test(test_depth_is_limited),
                cmocka_unit_test(test_lists),
                cmocka_unit_test(test_texts),
        };

        return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
