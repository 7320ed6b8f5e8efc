/* Looking into a parsed tree. */
#include "codec/json.h"

#include <string.h>

#include "base/str.h"

static const char *const type_names[] = {
        [JSON_NULL] = "null",    [JSON_BOOL] = "boolean",  [JSON_INT] = "integer",
        [JSON_UINT] = "integer", [JSON_DOUBLE] = "number", [JSON_STRING] = "string",
        [JSON_ARRAY] = "array",  [JSON_OBJECT] = "object",
};
static_assert(ARRAY_SIZE(type_names) == JSON_TYPE_MAX, "each type has a name");

const char *json_type_name(enum json_type t)
{
        return t < JSON_TYPE_MAX ? type_names[t] : "unknown";
}

static const struct json *get(const struct json *j, const char *name, size_t n)
{
        if (!j || j->type != JSON_OBJECT)
                return NULL;
        for (uint32_t i = 0; i < j->n; i++) {
                const char *s = j->members[i].name;

                if (strncmp(s, name, n) == 0 && s[n] == 0)
                        return &j->members[i].value;
        }
        return NULL;
}

const struct json *json_get(const struct json *j, const char *name)
{
        return get(j, name, strlen(name));
}

const struct json *json_path(const struct json *j, const char *path)
{
        const char *name;
        size_t n;

        while (j && str_next(&path, '.', &name, &n))
                j = get(j, name, n);
        return j;
}

const char *json_str(const struct json *j, const char *fallback)
{
        return j && j->type == JSON_STRING ? j->s : fallback;
}

bool json_to_bool(const struct json *j, bool *ret)
{
        if (!j || j->type != JSON_BOOL)
                return false;
        *ret = j->b;
        return true;
}

bool json_is_true(const struct json *j)
{
        bool value = false;

        return json_to_bool(j, &value) && value;
}

bool json_to_i64(const struct json *j, int64_t *ret)
{
        if (!j || j->type != JSON_INT)
                return false;
        *ret = j->i;
        return true;
}

bool json_to_u64(const struct json *j, uint64_t *ret)
{
        if (!j || (j->type != JSON_UINT && (j->type != JSON_INT || j->i < 0)))
                return false;
        *ret = j->u; /* the same bits for an integer that is not negative */
        return true;
}

struct key_values json_to_key_values(struct arena *a, const struct json *j)
{
        struct key_values l = { 0 };

        if (!j || j->type != JSON_OBJECT)
                return l;
        l.v = arena_array(a, struct key_value, j->n + 1u);
        for (uint32_t i = 0; i < j->n; i++)
                l.v[l.n++] = (struct key_value){ j->members[i].name,
                                                 json_str(&j->members[i].value, "") };
        return l;
}
