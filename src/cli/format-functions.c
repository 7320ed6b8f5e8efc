#include "cli/format-functions.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/suggest.h"

enum { WIDTH_MAX = 999 };

/* ---- values ---- */

static struct json string_value(struct arena *a, const char *s, size_t n)
{
        return (struct json){ .type = JSON_STRING, .n = (uint32_t)n, .s = arena_strndup(a, s, n) };
}

bool format_truth(const struct json *j)
{
        switch (j->type) {
        case JSON_NULL:
                return false;
        case JSON_BOOL:
                return j->b;
        case JSON_INT:
                return j->i != 0;
        case JSON_UINT:
                return true;
        case JSON_DOUBLE:
                return j->d != 0;
        default:
                return j->n > 0;
        }
}

void format_print(const struct json *j, struct buf *out)
{
        switch (j->type) {
        case JSON_NULL:
                buf_puts(out, "<no value>");
                break;
        case JSON_BOOL:
                buf_puts(out, j->b ? "true" : "false");
                break;
        case JSON_INT:
                buf_printf(out, "%" PRId64, j->i);
                break;
        case JSON_UINT:
                buf_printf(out, "%" PRIu64, j->u);
                break;
        case JSON_DOUBLE:
                buf_printf(out, "%g", j->d);
                break;
        case JSON_STRING:
                buf_add(out, j->s, j->n);
                break;
        case JSON_ARRAY:
                buf_putc(out, '[');
                for (uint32_t i = 0; i < j->n; i++) {
                        buf_puts(out, i ? " " : "");
                        format_print(&j->items[i], out);
                }
                buf_putc(out, ']');
                break;
        default:
                buf_puts(out, "map[");
                for (uint32_t i = 0; i < j->n; i++) {
                        buf_printf(out, "%s%s:", i ? " " : "", j->members[i].name);
                        format_print(&j->members[i].value, out);
                }
                buf_putc(out, ']');
        }
}

static struct json printed(struct arena *a, const struct json *j)
{
        AUTO_BUF b = { 0 };

        format_print(j, &b);
        return string_value(a, buf_str(&b), b.len);
}

/* ---- functions ---- */

static int run_json(struct format_call *c, struct json *ret)
{
        AUTO_BUF b = { 0 };
        struct json_writer w = { .out = &b };

        json_put(&w, NULL, &c->args[0]);
        *ret = string_value(c->a, buf_str(&b), b.len);
        return 0;
}

static int run_len(struct format_call *c, struct json *ret)
{
        const struct json *j = &c->args[0];

        if (j->type != JSON_STRING && j->type != JSON_ARRAY && j->type != JSON_OBJECT &&
            j->type != JSON_NULL)
                return err_set(c->e, ERR_INVALID, "a %s has no length", json_type_name(j->type));
        *ret = (struct json){ .type = JSON_INT, .i = j->type == JSON_NULL ? 0 : j->n };
        return 0;
}

/* Of podman and docker alike: list first; piped, the list comes last. */
static int run_join(struct format_call *c, struct json *ret)
{
        const struct json *list = &c->args[0], *between = &c->args[1];
        AUTO_BUF b = { 0 };

        if (list->type != JSON_ARRAY && list->type != JSON_NULL) {
                list = &c->args[1];
                between = &c->args[0];
        }
        if ((list->type != JSON_ARRAY && list->type != JSON_NULL) || between->type != JSON_STRING)
                return err_set(c->e, ERR_INVALID, "join takes a list and a string");
        for (uint32_t i = 0; list->type == JSON_ARRAY && i < list->n; i++) {
                if (i)
                        buf_add(&b, between->s, between->n);
                format_print(&list->items[i], &b);
        }
        *ret = string_value(c->a, buf_str(&b), b.len);
        return 0;
}

static struct json changed(struct format_call *c, int (*change)(int), bool initials)
{
        struct json s = printed(c->a, &c->args[0]);
        char *text = (char *)s.s; /* just made */

        for (uint32_t i = 0; i < s.n; i++)
                if (!initials || i == 0 || text[i - 1] == ' ')
                        text[i] = (char)change((unsigned char)text[i]);
        return s;
}

static int run_upper(struct format_call *c, struct json *ret)
{
        *ret = changed(c, toupper, false);
        return 0;
}

static int run_lower(struct format_call *c, struct json *ret)
{
        *ret = changed(c, tolower, false);
        return 0;
}

static int run_title(struct format_call *c, struct json *ret)
{
        *ret = changed(c, toupper, true);
        return 0;
}

static int run_println(struct format_call *c, struct json *ret)
{
        AUTO_BUF b = { 0 };

        for (size_t i = 0; i < c->n; i++) {
                buf_puts(&b, i ? " " : "");
                format_print(&c->args[i], &b);
        }
        buf_putc(&b, '\n');
        *ret = string_value(c->a, b.s, b.len);
        return 0;
}

/* What a map lacks is "", as in Go's maps of strings; null is an empty map, or an empty list. */
static int run_index(struct format_call *c, struct json *ret)
{
        struct json at = c->args[0];

        for (size_t i = 1; i < c->n; i++) {
                const struct json *key = &c->args[i], *found = NULL;

                if (at.type == JSON_OBJECT && key->type == JSON_STRING) {
                        found = json_get(&at, key->s);
                } else if ((at.type == JSON_ARRAY || at.type == JSON_NULL) &&
                           key->type == JSON_INT) {
                        if (key->i < 0 || key->i >= at.n || at.type == JSON_NULL)
                                return err_set(c->e, ERR_INVALID,
                                               "index %" PRId64 " is out of range", key->i);
                        found = &at.items[key->i];
                } else if (at.type != JSON_NULL || key->type != JSON_STRING) {
                        return err_set(c->e, ERR_INVALID, "index: a %s has no %s as an index",
                                       json_type_name(at.type), json_type_name(key->type));
                }
                at = found ? *found : string_value(c->a, "", 0);
        }
        *ret = at;
        return 0;
}

static int run_split(struct format_call *c, struct json *ret)
{
        struct json s = printed(c->a, &c->args[0]), by = printed(c->a, &c->args[1]);
        struct json *items = arena_array(c->a, struct json, s.n + 1);
        uint32_t n = 0;
        const char *at = s.s;

        for (const char *end; by.n && (end = strstr(at, by.s)); at = end + by.n)
                items[n++] = string_value(c->a, at, (size_t)(end - at));
        items[n++] = string_value(c->a, at, strlen(at));
        *ret = (struct json){ .type = JSON_ARRAY, .n = n, .items = items };
        return 0;
}

/* Of a string or list: slice X [FROM [TO]]; podman's and docker's truncate X N too. */
static int cut(struct format_call *c, const struct json *x, int64_t from, int64_t to,
               struct json *ret)
{
        if (x->type != JSON_STRING && x->type != JSON_ARRAY)
                return err_set(c->e, ERR_INVALID, "slice of a %s", json_type_name(x->type));
        if (from < 0 || to < from || to > x->n)
                return err_set(c->e, ERR_INVALID,
                               "slice: %" PRId64 " to %" PRId64 " is out of range", from, to);
        if (x->type == JSON_STRING)
                *ret = string_value(c->a, x->s + from, (size_t)(to - from));
        else
                *ret = (struct json){ .type = JSON_ARRAY,
                                      .n = (uint32_t)(to - from),
                                      .items = x->items + from };
        return 0;
}

static int run_slice(struct format_call *c, struct json *ret)
{
        const struct json *x = &c->args[0];

        for (size_t i = 1; i < c->n; i++)
                if (c->args[i].type != JSON_INT)
                        return err_set(c->e, ERR_INVALID, "slice takes numbers");
        return cut(c, x, c->n > 1 ? c->args[1].i : 0, c->n > 2 ? c->args[2].i : x->n, ret);
}

static int run_truncate(struct format_call *c, struct json *ret)
{
        struct json s = printed(c->a, &c->args[0]);

        if (c->args[1].type != JSON_INT || c->args[1].i < 0)
                return err_set(c->e, ERR_INVALID, "truncate takes a value and a number");
        return cut(c, &s, 0, MIN(c->args[1].i, (int64_t)s.n), ret);
}

/* pad X BEFORE AFTER: blanks. */
static int run_pad(struct format_call *c, struct json *ret)
{
        AUTO_BUF b = { 0 };

        for (size_t i = 1; i < 3; i++)
                if (c->args[i].type != JSON_INT || c->args[i].i < 0 || c->args[i].i > WIDTH_MAX)
                        return err_set(c->e, ERR_INVALID, "pad takes a value and two numbers");
        buf_printf(&b, "%*s", (int)c->args[1].i, "");
        format_print(&c->args[0], &b);
        buf_printf(&b, "%*s", (int)c->args[2].i, "");
        *ret = string_value(c->a, buf_str(&b), b.len);
        return 0;
}

/* Go puts blanks between two of which neither is a string. */
static int run_print(struct format_call *c, struct json *ret)
{
        AUTO_BUF b = { 0 };

        for (size_t i = 0; i < c->n; i++) {
                if (i && c->args[i].type != JSON_STRING && c->args[i - 1].type != JSON_STRING)
                        buf_putc(&b, ' ');
                format_print(&c->args[i], &b);
        }
        *ret = string_value(c->a, buf_str(&b), b.len);
        return 0;
}

/* ---- printf ---- */

/* One verb, its flags and width checked, as C's printf takes them. */
struct verb {
        char flags[8];
        int width, precision; /* -1: none */
        char letter;
};

static int read_number(const char **at, int *ret)
{
        if (!isdigit((unsigned char)**at))
                return 0;
        for (*ret = 0; isdigit((unsigned char)**at); ++*at)
                if ((*ret = *ret * 10 + **at - '0') > WIDTH_MAX)
                        return -1;
        return 0;
}

static int read_verb(const char **at, struct verb *v)
{
        size_t n = strspn(*at, "+-# 0");

        *v = (struct verb){ .width = -1, .precision = -1 };
        if (n >= sizeof v->flags)
                return -1;
        memcpy(v->flags, *at, n);
        *at += n;
        if (read_number(at, &v->width) < 0)
                return -1;
        if (**at == '.') {
                ++*at;
                v->precision = 0;
                if (read_number(at, &v->precision) < 0)
                        return -1;
        }
        v->letter = **at;
        return v->letter ? (++*at, 0) : -1;
}

static void put_padded(const struct verb *v, const char *text, struct buf *out)
{
        int n = (int)strlen(text), cut_at = v->precision >= 0 ? MIN(v->precision, n) : n;
        int blanks = MAX(v->width - cut_at, 0);
        bool left = strchr(v->flags, '-') != NULL;

        buf_printf(out, "%*s%.*s%*s", left ? 0 : blanks, "", cut_at, text, left ? blanks : 0, "");
}

static double number_of(const struct json *j)
{
        return j->type == JSON_INT      ? (double)j->i
               : j->type == JSON_UINT   ? (double)j->u
               : j->type == JSON_DOUBLE ? j->d
                                        : 0;
}

static void number_text(const struct verb *v, const struct json *j, char *text, size_t size)
{
        double d = number_of(j);
        int precision = v->precision < 0 ? 6 : v->precision;
        unsigned long long n = j->type == JSON_UINT ? j->u : (unsigned long long)j->i;

        switch (v->letter) {
        case 'f':
                snprintf(text, size, "%.*f", precision, d);
                break;
        case 'e':
                snprintf(text, size, "%.*e", precision, d);
                break;
        case 'g':
                snprintf(text, size, "%.*g", precision, d);
                break;
        case 'x':
                snprintf(text, size, "%llx", n);
                break;
        case 'X':
                snprintf(text, size, "%llX", n);
                break;
        case 'o':
                snprintf(text, size, "%llo", n);
                break;
        default:
                snprintf(text, size, j->type == JSON_UINT ? "%llu" : "%lld", n);
        }
}

static void put_number(const struct verb *v, const struct json *j, struct buf *out)
{
        bool zeros = strchr(v->flags, '0') && !strchr(v->flags, '-');
        struct verb plain = *v;
        char digits[WIDTH_MAX + 400], *text = digits;
        AUTO_BUF whole = { 0 };

        plain.precision = -1; /* of text it would be where that is cut off */
        number_text(v, j, digits, sizeof digits);
        if (*text == '-')
                buf_putc(&whole, *text++);
        else if (strchr(v->flags, '+'))
                buf_putc(&whole, '+');
        if (zeros)
                for (int n = (int)(strlen(text) + whole.len); n < v->width; n++)
                        buf_putc(&whole, '0');
        buf_puts(&whole, text);
        put_padded(&plain, buf_str(&whole), out);
}

static bool is_number(const struct json *j, bool whole)
{
        return j->type == JSON_INT || j->type == JSON_UINT || (!whole && j->type == JSON_DOUBLE);
}

/* Go says so in the text itself: %!d(string=x). */
static void put_verb(struct format_call *c, const struct verb *v, const struct json *j,
                     struct buf *out)
{
        struct json text = printed(c->a, j);
        AUTO_BUF quoted = { 0 };
        struct json_writer w = { .out = &quoted };

        if (v->letter == 'v' || (v->letter == 's' && !is_number(j, false)) ||
            (v->letter == 't' && j->type == JSON_BOOL)) {
                put_padded(v, text.s, out);
        } else if (v->letter == 'q' && j->type == JSON_STRING) {
                json_put(&w, NULL, j);
                put_padded(v, buf_str(&quoted), out);
        } else if ((strchr("dxXo", v->letter) && is_number(j, true)) ||
                   (strchr("feg", v->letter) && is_number(j, false))) {
                put_number(v, j, out);
        } else {
                buf_printf(out, "%%!%c(%s=%s)", v->letter, json_type_name(j->type), text.s);
        }
}

static int run_printf(struct format_call *c, struct json *ret)
{
        const char *at = c->args[0].s;
        AUTO_BUF b = { 0 };
        size_t used = 1;
        struct verb v;

        if (c->args[0].type != JSON_STRING)
                return err_set(c->e, ERR_INVALID, "printf takes a format first");
        while (*at) {
                if (*at != '%') {
                        buf_putc(&b, *at++);
                        continue;
                }
                at++;
                if (*at == '%') {
                        buf_putc(&b, *at++);
                        continue;
                }
                if (read_verb(&at, &v) < 0)
                        return err_set(c->e, ERR_INVALID, "printf: \"%.40s\" is no verb", at);
                if (used >= c->n)
                        buf_printf(&b, "%%!%c(MISSING)", v.letter);
                else
                        put_verb(c, &v, &c->args[used++], &b);
        }
        *ret = string_value(c->a, buf_str(&b), b.len);
        return 0;
}

/* ---- comparing ---- */

static bool equal(struct format_call *c, size_t i, size_t k)
{
        struct json a = printed(c->a, &c->args[i]), b = printed(c->a, &c->args[k]);

        return a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
}

static struct json truth_value(bool v)
{
        return (struct json){ .type = JSON_BOOL, .b = v };
}

/* The first is one of the others. */
static int run_eq(struct format_call *c, struct json *ret)
{
        bool any = false;

        for (size_t i = 1; i < c->n; i++)
                any = any || equal(c, 0, i);
        *ret = truth_value(any);
        return 0;
}

static int run_ne(struct format_call *c, struct json *ret)
{
        *ret = truth_value(!equal(c, 0, 1));
        return 0;
}

/* Negative, 0 or positive. */
static int compare(struct format_call *c, int *ret)
{
        const struct json *a = &c->args[0], *b = &c->args[1];
        double x = number_of(a), y = number_of(b);

        if (a->type == JSON_STRING && b->type == JSON_STRING)
                *ret = strcmp(a->s, b->s);
        else if (is_number(a, false) && is_number(b, false))
                *ret = (x > y) - (x < y);
        else
                return err_set(c->e, ERR_INVALID, "a %s can't be compared with a %s",
                               json_type_name(a->type), json_type_name(b->type));
        return 0;
}

#define COMPARE(name, condition)                                                                   \
        static int run_##name(struct format_call *c, struct json *ret)                             \
        {                                                                                          \
                int order = 0;                                                                     \
                                                                                                   \
                if (compare(c, &order) < 0)                                                        \
                        return -1;                                                                 \
                *ret = truth_value(condition);                                                     \
                return 0;                                                                          \
        }
COMPARE(lt, order < 0)
COMPARE(le, order <= 0)
COMPARE(gt, order > 0)
COMPARE(ge, order >= 0)

static int run_not(struct format_call *c, struct json *ret)
{
        *ret = truth_value(!format_truth(&c->args[0]));
        return 0;
}

/* Their value is that of the argument that decides. */
static int run_and(struct format_call *c, struct json *ret)
{
        size_t i = 0;

        while (i + 1 < c->n && format_truth(&c->args[i]))
                i++;
        *ret = c->args[i];
        return 0;
}

static int run_or(struct format_call *c, struct json *ret)
{
        size_t i = 0;

        while (i + 1 < c->n && !format_truth(&c->args[i]))
                i++;
        *ret = c->args[i];
        return 0;
}

/* .Label "key" of lists: "" where there is no such label; a heading stays what it is. */
static int run_label(struct format_call *c, struct json *ret)
{
        const struct json *labels = &c->args[0], *found = NULL;

        if (labels->type == JSON_OBJECT && c->args[1].type == JSON_STRING)
                found = json_get(labels, c->args[1].s);
        *ret = labels->type == JSON_STRING ? *labels : found ? *found : string_value(c->a, "", 0);
        return 0;
}

static const struct format_function functions[] = {
        { "and", 1, 8, run_and },       { "eq", 2, 8, run_eq },
        { "ge", 2, 2, run_ge },         { "gt", 2, 2, run_gt },
        { "index", 1, 8, run_index },   { "join", 2, 2, run_join },
        { "json", 1, 1, run_json },     { "le", 2, 2, run_le },
        { "len", 1, 1, run_len },       { "lower", 1, 1, run_lower },
        { "lt", 2, 2, run_lt },         { "ne", 2, 2, run_ne },
        { "not", 1, 1, run_not },       { "or", 1, 8, run_or },
        { "pad", 3, 3, run_pad },       { "print", 0, 8, run_print },
        { "printf", 1, 8, run_printf }, { "println", 0, 8, run_println },
        { "slice", 1, 3, run_slice },   { "split", 2, 2, run_split },
        { "title", 1, 1, run_title },   { "truncate", 2, 2, run_truncate },
        { "upper", 1, 1, run_upper },   { FORMAT_LABEL, 2, 2, run_label },
};

const struct format_function *format_function(const char *name, struct err *e)
{
        struct suggest near = { .wrong = name };

        for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
                if (str_eq(functions[i].name, name))
                        return &functions[i];
                if (functions[i].run != run_label)
                        suggest_offer(&near, functions[i].name);
        }
        err_set(e, ERR_INVALID, "--format: the function \"%.40s\" is not known", name);
        if (near.best)
                err_hint(e, "Did you mean '%s'?", near.best);
        else
                err_hint(e, "There are and, eq, ge, gt, index, join, json, le, len, lower, lt, ne, "
                            "not, or, pad, print, printf, println, slice, split, title, truncate "
                            "and upper.");
        return NULL;
}
