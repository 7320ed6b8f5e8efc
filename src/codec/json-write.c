/* The JSON writer. */
#include "codec/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json-utf8.h"

/* Whether what stands there goes out as it is; *len: how many bytes it has. DEL and U+0080 to
 * U+009F do not: they are commands to a terminal, as those below U+0020 are. */
static bool is_plain(const char *s, size_t n, size_t *len)
{
        unsigned char c = (unsigned char)*s;

        if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f)
                return false;
        *len = json_utf8_len(s, n);
        return *len > 0 && !(c == 0xc2 && (unsigned char)s[1] < 0xa0);
}

/* What is not plain; how many bytes that are. */
static size_t put_special(struct buf *out, const char *s, size_t n)
{
        static const char special[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
        const char *found = *s ? strchr(special, *s) : NULL;
        unsigned char c = (unsigned char)*s;

        if (found) {
                buf_add(out, (char[]){ '\\', letters[found - special] }, 2);
        } else if (c < 0x20 || c == 0x7f) {
                buf_printf(out, "\\u%04x", c);
        } else if (json_utf8_len(s, n) == 2) {
                buf_printf(out, "\\u%04x", (unsigned char)s[1]);
                return 2;
        } else {
                buf_puts(out, "\xef\xbf\xbd"); /* U+FFFD for a stray byte */
        }
        return 1;
}

static void put_quoted(struct buf *out, const char *s, size_t n)
{
        size_t i = 0;

        buf_putc(out, '"');
        while (i < n) {
                size_t run = i, len = 0;

                while (i < n && is_plain(s + i, n - i, &len))
                        i += len;
                buf_add(out, s + run, i - run);
                if (i < n)
                        i += put_special(out, s + i, n - i);
        }
        buf_putc(out, '"');
}

static void new_line(struct json_writer *w)
{
        if (w->indent == 0)
                return;
        buf_putc(w->out, '\n');
        for (unsigned i = 0; i < w->indent * w->depth; i++)
                buf_putc(w->out, ' ');
}

/* Everything before a value: comma, line, name. */
static void begin(struct json_writer *w, const char *name)
{
        if (w->depth > 0) {
                if (!w->fresh)
                        buf_putc(w->out, ',');
                new_line(w);
        }
        w->fresh = false;
        if (name) {
                put_quoted(w->out, name, strlen(name));
                buf_puts(w->out, w->indent ? ": " : ":");
        }
}

void json_open(struct json_writer *w, const char *name, char bracket)
{
        begin(w, name);
        buf_putc(w->out, bracket);
        w->depth++;
        w->fresh = true;
}

void json_close(struct json_writer *w, char bracket)
{
        w->depth--;
        if (!w->fresh)
                new_line(w);
        w->fresh = false;
        buf_putc(w->out, bracket);
}

void json_put_str(struct json_writer *w, const char *name, const char *value)
{
        if (!value) {
                json_put_null(w, name);
                return;
        }
        begin(w, name);
        put_quoted(w->out, value, strlen(value));
}

void json_put_i64(struct json_writer *w, const char *name, int64_t value)
{
        begin(w, name);
        buf_printf(w->out, "%" PRId64, value);
}

void json_put_u64(struct json_writer *w, const char *name, uint64_t value)
{
        begin(w, name);
        buf_printf(w->out, "%" PRIu64, value);
}

void json_put_double(struct json_writer *w, const char *name, double value)
{
        char s[40];

        if (!isfinite(value)) { /* JSON has no word for it */
                json_put_null(w, name);
                return;
        }
        begin(w, name);
        /* The shortest of these that reads back as the same number, and as no integer. */
        for (int digits = 15; digits <= 17; digits++) {
                snprintf(s, sizeof s, "%.*g", digits, value);
                if (strtod(s, NULL) == value)
                        break;
        }
        buf_puts(w->out, s);
        if (!strpbrk(s, ".e"))
                buf_puts(w->out, ".0");
}

void json_put_bool(struct json_writer *w, const char *name, bool value)
{
        begin(w, name);
        buf_puts(w->out, value ? "true" : "false");
}

void json_put_null(struct json_writer *w, const char *name)
{
        begin(w, name);
        buf_puts(w->out, "null");
}

/* Recurses as deep as the tree, which the reader bounds. */
void json_put(struct json_writer *w, const char *name, const struct json *value)
{
        switch (value->type) {
        case JSON_BOOL:
                json_put_bool(w, name, value->b);
                return;
        case JSON_INT:
                json_put_i64(w, name, value->i);
                return;
        case JSON_UINT:
                json_put_u64(w, name, value->u);
                return;
        case JSON_DOUBLE:
                json_put_double(w, name, value->d);
                return;
        case JSON_STRING:
                begin(w, name);
                put_quoted(w->out, value->s, value->n);
                return;
        case JSON_ARRAY:
                json_open(w, name, '[');
                for (uint32_t i = 0; i < value->n; i++)
                        json_put(w, NULL, &value->items[i]);
                json_close(w, ']');
                return;
        case JSON_OBJECT:
                json_open(w, name, '{');
                for (uint32_t i = 0; i < value->n; i++)
                        json_put(w, value->members[i].name, &value->members[i].value);
                json_close(w, '}');
                return;
        case JSON_NULL:
        case JSON_TYPE_MAX:
                json_put_null(w, name);
        }
}

void json_put_strings(struct json_writer *w, const char *name, const struct strings *list)
{
        json_open(w, name, '[');
        for (size_t i = 0; i < list->n; i++)
                json_put_str(w, NULL, list->v[i]);
        json_close(w, ']');
}

void json_put_key_values(struct json_writer *w, const char *name, const struct key_values *list)
{
        json_open(w, name, '{');
        for (size_t i = 0; i < list->n; i++)
                json_put_str(w, list->v[i].key, list->v[i].value);
        json_close(w, '}');
}

void json_put_opt_i64(struct json_writer *w, const char *name, const struct opt_i64 *value)
{
        if (value->set)
                json_put_i64(w, name, value->v);
}

void json_put_opt_u64(struct json_writer *w, const char *name, const struct opt_u64 *value)
{
        if (value->set)
                json_put_u64(w, name, value->v);
}
