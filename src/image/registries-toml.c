/* TOML files into structs. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/fd.h"
#include "base/str.h"
#include "codec/toml.h"
#include "image/registries-internal.h"

int registries_read(struct arena *a, const char *path, bool required, struct json *ret,
                    bool *ret_there, struct err *e)
{
        AUTO_FREE char *text = NULL;
        struct toml_error te;
        size_t n;
        int r = fd_read_file_at(AT_FDCWD, path, REGISTRIES_FILE_MAX, &text, &n);

        *ret_there = r == 0;
        if ((r == -ENOENT || r == -ENOTDIR) && !required)
                return 0;
        if (r < 0)
                return err_sys(e, r, "cannot read '%s'", path);
        if (toml_parse(a, text, n, ret, &te) < 0)
                return err_set(e, ERR_INVALID, "'%s', line %u, column %u: %s%s%s%s", path, te.line,
                               te.column, te.what, *te.key ? " ('" : "", te.key,
                               *te.key ? "')" : "");
        return 0;
}

static int strings(struct arena *a, const struct json *j, struct strings *ret)
{
        uint32_t n = j->type == JSON_ARRAY ? j->n : 1;

        ret->v = arena_array(a, const char *, n);
        ret->n = n;
        for (uint32_t i = 0; i < n; i++) {
                ret->v[i] = json_str(j->type == JSON_ARRAY ? &j->items[i] : j, NULL);
                if (!ret->v[i])
                        return -EINVAL;
        }
        return 0;
}

static int field(struct arena *a, const struct toml_field *f, const struct json *j, char *out)
{
        switch (f->type) {
        case JSON_STRING:
                *(const char **)(out + f->offset) = json_str(j, NULL);
                return j->type == JSON_STRING ? 0 : -EINVAL;
        case JSON_BOOL:
                return json_to_bool(j, (bool *)(out + f->offset)) ? 0 : -EINVAL;
        default:
                return strings(a, j, (struct strings *)(out + f->offset));
        }
}

int registries_fields(struct arena *a, const char *file, const struct json *table,
                      const struct toml_field *fields, size_t n, void *out, struct err *e)
{
        for (size_t i = 0; i < n; i++) {
                const struct json *j = json_get(table, fields[i].name);

                if (j && field(a, &fields[i], j, out) < 0)
                        return err_set(e, ERR_INVALID, "'%s': '%s' is no %s", file, fields[i].name,
                                       fields[i].type == JSON_ARRAY
                                               ? "array of strings"
                                               : json_type_name(fields[i].type));
        }
        return 0;
}

const char *registries_home(struct arena *a, const struct registry_options *o)
{
        const char *home = getenv("HOME");

        return str_empty(home) ? NULL : arena_printf(a, "%s%s", o->root ? o->root : "", home);
}
