#include "image/manifest-json.h"

#include <errno.h>
#include <string.h>

int fields_parse(struct arena *a, const char *what, const char *text, size_t n, size_t limit,
                 struct json *ret, struct err *e)
{
        struct json_error why = { 0 };
        int r;

        if (n > limit)
                return err_set(e, ERR_LIMIT, "the %s has %zu bytes, more than %zu", what, n, limit);
        r = json_parse(a, text, n, NULL, ret, &why);
        if (r == -E2BIG)
                return err_set(e, ERR_LIMIT, "the %s is too complex (line %u: %s)", what, why.line,
                               why.what);
        if (r < 0)
                return err_set(e, ERR_INVALID,
                               "the %s is not valid JSON: line %u, column %u: %s%s%s", what,
                               why.line, why.column, why.what, *why.key ? " " : "", why.key);
        if (ret->type != JSON_OBJECT)
                return err_set(e, ERR_INVALID, "the %s is not a JSON object", what);
        return 0;
}

const struct json *fields_get(const struct json *j, const char *name)
{
        const struct json *v = json_get(j, name);

        return v && v->type != JSON_NULL ? v : NULL;
}

/* A string that means the same to every reader. */
static bool is_text(const struct json *j)
{
        return j->type == JSON_STRING && strlen(j->s) == j->n;
}

static bool read_strings(struct arena *a, const struct json *j, struct strings *ret)
{
        if (j->type != JSON_ARRAY)
                return false;
        ret->v = arena_array(a, const char *, j->n + 1);
        for (ret->n = 0; ret->n < j->n; ret->n++) {
                if (!is_text(&j->items[ret->n]))
                        return false;
                ret->v[ret->n] = j->items[ret->n].s;
        }
        return true;
}

static bool read_keys(struct arena *a, const struct json *j, struct strings *ret)
{
        if (j->type != JSON_OBJECT)
                return false;
        ret->v = arena_array(a, const char *, j->n + 1);
        for (ret->n = 0; ret->n < j->n; ret->n++)
                ret->v[ret->n] = j->members[ret->n].name;
        return true;
}

static bool read_pairs(struct arena *a, const struct json *j, struct key_values *ret)
{
        if (j->type != JSON_OBJECT)
                return false;
        ret->v = arena_array(a, struct key_value, j->n + 1);
        for (ret->n = 0; ret->n < j->n; ret->n++) {
                const struct json_member *m = &j->members[ret->n];

                if (!is_text(&m->value))
                        return false;
                ret->v[ret->n] = (struct key_value){ m->name, m->value.s };
        }
        return true;
}

static bool read_field(struct arena *a, const struct json *j, enum field_kind kind, void *at)
{
        switch (kind) {
        case FIELD_STR:
                if (!is_text(j))
                        return false;
                *(const char **)at = j->s;
                return true;
        case FIELD_STRINGS:
                return read_strings(a, j, at);
        case FIELD_KEYS:
                return read_keys(a, j, at);
        case FIELD_PAIRS:
                return read_pairs(a, j, at);
        case FIELD_I64:
                return json_to_i64(j, at);
        case FIELD_BOOL:
                return json_to_bool(j, at);
        }
        return false;
}

static const char *const expected[] = {
        [FIELD_STR] = "a string",   [FIELD_STRINGS] = "a list of strings",
        [FIELD_KEYS] = "an object", [FIELD_PAIRS] = "an object of strings",
        [FIELD_I64] = "an integer", [FIELD_BOOL] = "true or false",
};

int fields_read(struct arena *a, const char *where, const struct json *j,
                const struct field *fields, void *base, struct err *e)
{
        if (j->type != JSON_OBJECT)
                return err_set(e, ERR_INVALID, "%s is not an object", where);
        for (const struct field *f = fields; f->name; f++) {
                const struct json *v = fields_get(j, f->name);

                if (v && !read_field(a, v, f->kind, (char *)base + f->offset))
                        return err_set(e, ERR_INVALID, "%s: \"%s\" is not %s", where, f->name,
                                       expected[f->kind]);
        }
        return 0;
}
