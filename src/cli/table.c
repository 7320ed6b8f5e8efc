#include "cli/table.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/safe.h"
#include "base/str.h"
#include "cli/format.h"

enum { GAP = 3, WIDTH_MIN = 10, CELLS_MAX = 32 };

/* ---- values ---- */

struct json json_of_str(struct arena *a, const char *s)
{
        size_t n = s ? strlen(s) : 0;

        return (struct json){ .type = JSON_STRING,
                              .n = (uint32_t)n,
                              .s = arena_strndup(a, s ? s : "", n) };
}

struct json json_of_i64(int64_t v)
{
        return (struct json){ .type = JSON_INT, .i = v };
}

struct json json_of_bool(bool v)
{
        return (struct json){ .type = JSON_BOOL, .b = v };
}

struct json json_of_list(struct arena *a, const char *const *v, size_t n)
{
        struct json *items = arena_array(a, struct json, n + 1);

        for (size_t i = 0; i < n; i++)
                items[i] = json_of_str(a, v[i]);
        return (struct json){ .type = JSON_ARRAY, .n = (uint32_t)n, .items = items };
}

const char *text_size(struct arena *a, uint64_t bytes)
{
        static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
        double v = (double)bytes;
        size_t unit = 0;

        for (; v >= 1000 && unit + 1 < ARRAY_SIZE(units); unit++)
                v /= 1000;
        return arena_printf(a, "%.3g%s", v >= 999.5 ? (double)(uint64_t)v : v, units[unit]);
}

/* docker's: hours are rounded, and what is longer is made of rounded hours. */
const char *text_duration(struct arena *a, int64_t seconds)
{
        static const struct {
                int64_t below, unit; /* hours */
                const char *name;
        } steps[] = {
                { 48, 1, "hours" },
                { 14 * 24, 24, "days" },
                { 60 * 24, 7 * 24, "weeks" },
                { 730 * 24, 30 * 24, "months" },
        };
        int64_t hours = (seconds + 1800) / 3600;

        if (seconds < 1)
                return "Less than a second";
        if (seconds == 1)
                return "1 second";
        if (seconds < 60)
                return arena_printf(a, "%" PRId64 " seconds", seconds);
        if (seconds < 120)
                return "About a minute";
        if (seconds < 3600)
                return arena_printf(a, "%" PRId64 " minutes", seconds / 60);
        if (hours == 1)
                return "About an hour";
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
                if (hours < steps[i].below)
                        return arena_printf(a, "%" PRId64 " %s", hours / steps[i].unit,
                                            steps[i].name);
        return arena_printf(a, "%" PRId64 " years", hours / (365 * 24));
}

const char *text_ago(struct arena *a, int64_t then, int64_t now)
{
        return then == 0 ? "N/A" : arena_printf(a, "%s ago", text_duration(a, now - then));
}

const char *text_time(struct arena *a, int64_t when)
{
        time_t t = (time_t)when;
        char text[64];
        struct tm tm;

        if (!gmtime_r(&t, &tm))
                return "";
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S +0000 UTC", &tm);
        return arena_strdup(a, text);
}

const char *text_rfc3339(struct arena *a, int64_t when)
{
        time_t t = (time_t)when;
        char text[64];
        struct tm tm;

        if (!gmtime_r(&t, &tm))
                return "";
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
        return arena_strdup(a, text);
}

/* ---- aligning ---- */

/* Columns on a terminal: characters, not bytes. */
static size_t width(const char *s, size_t n)
{
        size_t w = 0;

        for (size_t i = 0; i < n; i++)
                w += ((unsigned char)s[i] & 0xc0) != 0x80;
        return w;
}

static void measure(const char *text, size_t n, size_t widths[CELLS_MAX])
{
        size_t cell = 0, from = 0;

        for (size_t i = 0; i < n; i++) {
                if (text[i] == '\t' && cell < CELLS_MAX) {
                        widths[cell] = MAX(widths[cell], MAX(width(text + from, i - from) + GAP,
                                                             (size_t)WIDTH_MIN));
                        cell++;
                }
                if (text[i] == '\n')
                        cell = 0;
                if (text[i] == '\t' || text[i] == '\n')
                        from = i + 1;
        }
}

void table_align(const char *text, size_t n, struct buf *out)
{
        size_t widths[CELLS_MAX] = { 0 }, cell = 0, from = 0;

        measure(text, n, widths);
        for (size_t i = 0; i < n; i++) {
                if (text[i] != '\t' && text[i] != '\n')
                        continue;
                buf_add(out, text + from, i - from);
                if (text[i] == '\n')
                        buf_putc(out, '\n');
                else if (cell < CELLS_MAX)
                        buf_printf(out, "%*s", (int)(widths[cell] - width(text + from, i - from)),
                                   "");
                cell = text[i] == '\n' ? 0 : cell + 1;
                from = i + 1;
        }
        buf_add(out, text + from, n - from);
}

/* ---- lists ---- */

static bool is_shown(const struct table *t, const struct column *c)
{
        const char *part;
        size_t n;

        if (!c->optional)
                return c->shown;
        for (const char *at = t->optional; at && str_next(&at, ' ', &part, &n);)
                if (strlen(c->name) == n && memcmp(part, c->name, n) == 0)
                        return true;
        return false;
}

static const char *heading(struct arena *a, const struct column *c)
{
        char *text;

        if (c->heading)
                return c->heading;
        text = arena_strdup(a, c->name);
        for (char *s = text; *s; s++)
                *s = (char)toupper((unsigned char)*s);
        return text;
}

static size_t count(const struct column *c)
{
        size_t n = 0;

        while (c[n].name)
                n++;
        return n;
}

static struct json value_of(struct arena *a, const struct column *c, const void *row,
                            const struct table_options *o)
{
        struct table_options whole = *o;

        whole.no_trunc = true;
        return c->value ? c->value(a, row) : json_of_str(a, c->text(a, row, &whole));
}

static const char *safe_cell(struct arena *a, const char *text)
{
        AUTO_BUF out = { 0 };

        safe_put_cell(&out, text);
        return arena_strdup(a, buf_str(&out));
}

/* What a template's dot is: the columns' texts; or with headings their headings. Aligned they are
 * for people's eyes, otherwise for programs: exactly what they are. */
static struct json dot_of(const struct table *t, struct arena *a, const void *row, bool headings,
                          bool aligned, const struct table_options *o)
{
        size_t n = count(t->columns);
        struct json_member *members = arena_array(a, struct json_member, n + 1);

        for (size_t i = 0; i < n; i++) {
                const struct column *c = &t->columns[i];

                members[i].name = c->name;
                if (headings)
                        members[i].value = json_of_str(a, heading(a, c));
                else if (c->text && aligned)
                        members[i].value = json_of_str(a, safe_cell(a, c->text(a, row, o)));
                else if (c->text)
                        members[i].value = json_of_str(a, c->text(a, row, o));
                else
                        members[i].value = c->value(a, row);
        }
        return (struct json){ .type = JSON_OBJECT, .n = (uint32_t)n, .members = members };
}

static const void *row_at(const void *rows, size_t i, size_t stride)
{
        return (const char *)rows + i * stride;
}

static void print_columns(const struct table *t, const void *rows, size_t n, size_t stride,
                          const struct table_options *o, struct buf *out)
{
        AUTO_BUF text = { 0 };

        for (size_t i = o->no_heading; i <= n; i++) {
                AUTO_ARENA a = { 0 };
                bool first = true;

                for (const struct column *c = t->columns; c->name; c++) {
                        if (!is_shown(t, c))
                                continue;
                        buf_puts(&text, first ? "" : "\t");
                        safe_put_cell(&text, i == 0 ? heading(&a, c)
                                                    : c->text(&a, row_at(rows, i - 1, stride), o));
                        first = false;
                }
                buf_putc(&text, '\n');
        }
        table_align(buf_str(&text), text.len, out);
}

static void print_json(const struct table *t, const void *rows, size_t n, size_t stride,
                       const struct table_options *o, struct buf *out)
{
        struct json_writer w = { .out = out, .indent = 4 };

        json_open(&w, NULL, '[');
        for (size_t i = 0; i < n; i++) {
                AUTO_ARENA a = { 0 };

                json_open(&w, NULL, '{');
                for (const struct column *c = t->columns; c->name; c++) {
                        struct json v;

                        if (!c->json)
                                continue;
                        v = value_of(&a, c, row_at(rows, i, stride), o);
                        json_put(&w, c->json, &v);
                }
                json_close(&w, '}');
        }
        json_close(&w, ']');
        buf_putc(out, '\n');
}

static int print_template(const struct table *t, const char *text, bool aligned, const void *rows,
                          size_t n, size_t stride, const struct table_options *o, struct buf *out,
                          struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF lines = { 0 };
        struct template *template;

        if (template_parse(&a, text, &template, e) < 0)
                return -1;
        for (size_t i = aligned && !o->no_heading ? 0 : 1; i <= n; i++) {
                AUTO_ARENA row = { 0 };
                struct json dot =
                        dot_of(t, &row, i ? row_at(rows, i - 1, stride) : NULL, i == 0, aligned, o);

                if (template_run(template, &row, &dot, &lines, e) < 0)
                        return -1;
                buf_putc(&lines, '\n');
        }
        if (aligned)
                table_align(buf_str(&lines), lines.len, out);
        else
                buf_add(out, buf_str(&lines), lines.len);
        return 0;
}

int table_print(const struct table *t, const void *rows, size_t n, size_t stride,
                const struct table_options *o, struct buf *out, struct err *e)
{
        const char *after;

        if (!o->format || str_eq(o->format, "table")) {
                print_columns(t, rows, n, stride, o, out);
                return 0;
        }
        if (str_eq(o->format, "json")) {
                print_json(t, rows, n, stride, o, out);
                return 0;
        }
        after = str_after(o->format, "table ");
        return print_template(t, after ? after : o->format, after != NULL, rows, n, stride, o, out,
                              e);
}
