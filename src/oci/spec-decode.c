#include "oci/spec-decode.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/value.h"

/* ---- messages ---- */

struct spec_quoted spec_quote(const char *s)
{
        struct spec_quoted q;
        size_t n = 0, room = sizeof q.s - sizeof "...\"";

        q.s[n++] = '"';
        for (; *s && n < room; s++)
                q.s[n++] = (unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s;
        /* A cut must not leave half a character behind. */
        if (*s)
                while (n > 1 && ((unsigned char)*s & 0xc0) == 0x80) {
                        s--;
                        n--;
                }
        snprintf(q.s + n, sizeof q.s - n, "%s\"", *s ? "..." : "");
        return q;
}

#define PATH_MAX_TEXT 200

static void path_text(const struct spec_at *at, char *buf, size_t cap)
{
        size_t len;

        buf[0] = 0;
        if (at->up)
                path_text(at->up, buf, cap);
        len = strlen(buf);
        if (!at->name)
                snprintf(buf + len, cap - len, "[%zu]", at->index);
        else if (at->quoted)
                snprintf(buf + len, cap - len, "[%s]", spec_quote(at->name).s);
        else
                snprintf(buf + len, cap - len, "%s%s", len ? "." : "", at->name);
}

int spec_decode_fail(struct spec_decoder *d, const struct spec_at *at, const char *fmt, ...)
{
        char path[PATH_MAX_TEXT] = "", text[250];
        va_list ap;

        if (at)
                path_text(at, path, sizeof path);
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        return err_set(d->e, ERR_INVALID, "%s%s%s", path, path[0] ? ": " : "", text);
}

static struct spec_quoted describe(const struct json *j)
{
        struct spec_quoted q;

        switch (j->type) {
        case JSON_STRING:
                return spec_quote(j->s);
        case JSON_INT:
                snprintf(q.s, sizeof q.s, "%" PRId64, j->i);
                return q;
        case JSON_UINT:
                snprintf(q.s, sizeof q.s, "%" PRIu64, j->u);
                return q;
        case JSON_DOUBLE:
                snprintf(q.s, sizeof q.s, "%g", j->d);
                if (!strpbrk(q.s, ".e")) /* 1.0 must not look like the integer that was expected */
                        snprintf(q.s, sizeof q.s, "%.1f", j->d);
                return q;
        case JSON_BOOL:
                snprintf(q.s, sizeof q.s, "%s", j->b ? "true" : "false");
                return q;
        case JSON_ARRAY:
                return (struct spec_quoted){ "an array" };
        case JSON_OBJECT:
                return (struct spec_quoted){ "an object" };
        default:
                return (struct spec_quoted){ "null" };
        }
}

int spec_decode_bad(struct spec_decoder *d, const struct spec_at *at, const struct json *j,
                    const char *expected)
{
        return spec_decode_fail(d, at, "expected %s, found %s", expected, describe(j).s);
}

void *spec_decode_alloc(struct spec_decoder *d, size_t n, size_t size)
{
        if (n > 0 && (d->arena->used > d->memory || (d->memory - d->arena->used) / n < size)) {
                err_set(d->e, ERR_LIMIT, "the document holds too many values");
                return NULL;
        }
        return arena_alloc(d->arena, mem_mul(n, size));
}

/* ---- scalars ---- */

static int take_bool(struct spec_decoder *d, const struct json *j, const struct spec_at *at,
                     bool *ret)
{
        return json_to_bool(j, ret) ? 0 : spec_decode_bad(d, at, j, "true or false");
}

static int bad_number(struct spec_decoder *d, const struct spec_field *f, const struct json *j,
                      const struct spec_at *at)
{
        char expected[80];

        if (j->type != JSON_INT && j->type != JSON_UINT)
                return spec_decode_bad(d, at, j, "an integer");
        snprintf(expected, sizeof expected, "an integer from %" PRId64 " to %" PRIu64, f->min,
                 f->max);
        return spec_decode_bad(d, at, j, expected);
}

static int take_int(struct spec_decoder *d, const struct spec_field *f, const struct json *j,
                    const struct spec_at *at, int64_t *ret)
{
        if (j->type != JSON_INT || j->i < f->min || (j->i >= 0 && (uint64_t)j->i > f->max))
                return bad_number(d, f, j, at);
        *ret = j->i;
        return 0;
}

static int take_uint(struct spec_decoder *d, const struct spec_field *f, const struct json *j,
                     const struct spec_at *at, uint64_t *ret)
{
        uint64_t v;

        if (!json_to_u64(j, &v) || v > f->max || (f->min > 0 && v < (uint64_t)f->min))
                return bad_number(d, f, j, at);
        *ret = v;
        return 0;
}

static int take_str(struct spec_decoder *d, const struct json *j, const struct spec_at *at,
                    const char **ret)
{
        if (j->type != JSON_STRING)
                return spec_decode_bad(d, at, j, "a string");
        /* What follows a NUL would be checked by nobody and used by no one. */
        if (strlen(j->s) != j->n)
                return spec_decode_fail(d, at, "holds a null byte");
        *ret = j->s;
        return 0;
}

static int check_value(struct spec_decoder *d, const struct spec_field *f, const struct spec_at *at,
                       const char *s)
{
        if (!f->values || str_flag_find(f->values, s))
                return 0;
        return spec_decode_fail(d, at, "unknown value %s", spec_quote(s).s);
}

static int take_letter(struct spec_decoder *d, const struct spec_field *f, const struct json *j,
                       const struct spec_at *at, char *ret)
{
        const char *s = "";

        if (take_str(d, j, at, &s) < 0)
                return -1;
        if (!s[0])
                return f->required ? spec_decode_fail(d, at, "required, but empty") : 0;
        if (s[1] || !strchr(f->letters, s[0]))
                return spec_decode_fail(d, at, "unknown type %s", spec_quote(s).s);
        *ret = s[0];
        return 0;
}

static int take_named(struct spec_decoder *d, const struct spec_field *f, const struct json *j,
                      const struct spec_at *at, const char **ret)
{
        const char *s = "";

        if (take_str(d, j, at, &s) < 0)
                return -1;
        if (!s[0])
                return f->required ? spec_decode_fail(d, at, "required, but empty") : 0;
        *ret = s;
        return check_value(d, f, at, s);
}

/* ---- lists ---- */

static int take_strings(struct spec_decoder *d, const struct spec_field *f, const struct json *j,
                        const struct spec_at *at, struct strings *ret)
{
        if (j->type != JSON_ARRAY)
                return spec_decode_bad(d, at, j, "an array of strings");
        ret->v = spec_decode_alloc(d, j->n, sizeof *ret->v);
        if (!ret->v)
                return -1;
        for (uint32_t i = 0; i < j->n; i++) {
                struct spec_at here = { .up = at, .index = i };

                if (take_str(d, &j->items[i], &here, &ret->v[i]) < 0 ||
                    check_value(d, f, &here, ret->v[i]) < 0)
                        return -1;
        }
        ret->n = j->n;
        return 0;
}

static int take_pairs(struct spec_decoder *d, const struct json *j, const struct spec_at *at,
                      struct key_values *ret)
{
        if (j->type != JSON_OBJECT)
                return spec_decode_bad(d, at, j, "an object of strings");
        ret->v = spec_decode_alloc(d, j->n, sizeof *ret->v);
        if (!ret->v)
                return -1;
        for (uint32_t i = 0; i < j->n; i++) {
                const struct json_member *m = &j->members[i];
                struct spec_at here = { .up = at, .name = m->name, .quoted = true };

                ret->v[i].key = m->name;
                if (take_str(d, &m->value, &here, &ret->v[i].value) < 0)
                        return -1;
        }
        ret->n = j->n;
        return 0;
}

static int take_u32s(struct spec_decoder *d, const struct spec_field *f, const struct json *j,
                     const struct spec_at *at, uint32_t **ret, size_t *ret_n)
{
        if (j->type != JSON_ARRAY)
                return spec_decode_bad(d, at, j, "an array of integers");
        *ret = spec_decode_alloc(d, j->n, sizeof **ret);
        if (!*ret)
                return -1;
        for (uint32_t i = 0; i < j->n; i++) {
                struct spec_at here = { .up = at, .index = i };
                uint64_t v = 0;

                if (take_uint(d, f, &j->items[i], &here, &v) < 0)
                        return -1;
                (*ret)[i] = (uint32_t)v;
        }
        *ret_n = j->n;
        return 0;
}

static int take_array(struct spec_decoder *d, const struct spec_field *f, const struct json *j,
                      const struct spec_at *at, void **ret, size_t *ret_n)
{
        bool map = f->kind == SPEC_MAP;
        char *v;

        if (j->type != (map ? JSON_OBJECT : JSON_ARRAY))
                return spec_decode_bad(d, at, j,
                                       map ? "an object of objects" : "an array of objects");
        *ret = v = spec_decode_alloc(d, j->n, f->table->size);
        if (!v)
                return -1;
        for (uint32_t i = 0; i < j->n; i++, v += f->table->size) {
                const char *name = map ? j->members[i].name : NULL;
                struct spec_at here = { .up = at, .index = i, .name = name, .quoted = true };

                if (map)
                        memcpy(v, &name, sizeof name);
                if (spec_decode(d, map ? &j->members[i].value : &j->items[i], f->table, &here, v) <
                    0)
                        return -1;
        }
        *ret_n = j->n;
        return 0;
}

static int take_pointer(struct spec_decoder *d, const struct spec_field *f, const struct json *j,
                        const struct spec_at *at, void **ret)
{
        *ret = spec_decode_alloc(d, 1, f->table->size);
        return *ret ? spec_decode(d, j, f->table, at, *ret) : -1;
}

/* ---- structs ---- */

static int take(struct spec_decoder *d, const struct spec_field *f, const struct json *j,
                const struct spec_at *at, char *base)
{
        void *p = base + f->offset, *count = base + f->count;
        uint64_t v = 0;

        switch (f->kind) {
        case SPEC_BOOL:
                return take_bool(d, j, at, p);
        case SPEC_OPT_BOOL:
                ((struct opt_bool *)p)->set = true;
                return take_bool(d, j, at, &((struct opt_bool *)p)->v);
        case SPEC_INT:
                return take_int(d, f, j, at, p);
        case SPEC_OPT_INT:
                ((struct opt_i64 *)p)->set = true;
                return take_int(d, f, j, at, &((struct opt_i64 *)p)->v);
        case SPEC_UINT:
                return take_uint(d, f, j, at, p);
        case SPEC_OPT_UINT:
                ((struct opt_u64 *)p)->set = true;
                return take_uint(d, f, j, at, &((struct opt_u64 *)p)->v);
        case SPEC_U32:
                if (take_uint(d, f, j, at, &v) < 0)
                        return -1;
                *(uint32_t *)p = (uint32_t)v;
                return 0;
        case SPEC_STR:
                return take_named(d, f, j, at, p);
        case SPEC_LETTER:
                return take_letter(d, f, j, at, p);
        case SPEC_STRINGS:
                return take_strings(d, f, j, at, p);
        case SPEC_PAIRS:
                return take_pairs(d, j, at, p);
        case SPEC_U32S:
                return take_u32s(d, f, j, at, p, count);
        case SPEC_STRUCT:
                return spec_decode(d, j, f->table, at, p);
        case SPEC_POINTER:
                return take_pointer(d, f, j, at, p);
        case SPEC_ARRAY:
        case SPEC_MAP:
                return take_array(d, f, j, at, p, count);
        case SPEC_CUSTOM:
                return f->custom(d, j, at, base);
        }
        return -1;
}

int spec_decode(struct spec_decoder *d, const struct json *j, const struct spec_table *t,
                const struct spec_at *at, void *base)
{
        /* null stands for an object without members, so that what is required gets asked for. */
        if (j->type != JSON_OBJECT && j->type != JSON_NULL)
                return spec_decode_bad(d, at, j, "an object");
        for (const struct spec_field *f = t->fields; f->name; f++) {
                const struct json *value = json_get(j, f->name);
                struct spec_at here = { .up = at, .name = f->name };

                if (value && value->type != JSON_NULL) {
                        if (take(d, f, value, &here, base) < 0)
                                return -1;
                        continue;
                }
                if (f->required)
                        return spec_decode_fail(d, &here, "required, but missing");
                if (f->absent)
                        *(int64_t *)((char *)base + f->offset) = f->absent;
        }
        return 0;
}
