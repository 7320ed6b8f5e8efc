/* Private to manifest.c and image-config.c: from a JSON tree to structs, through tables of fields.
 *
 * Unknown properties are passed over and null is as good as absence; a property of another type,
 * or a string with a NUL in it (which a reader in another language would see differently), is an
 * error that names it. */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/value.h"
#include "codec/json.h"

enum field_kind {
        FIELD_STR,     /* const char * */
        FIELD_STRINGS, /* struct strings */
        FIELD_KEYS,    /* struct strings: the names of an object's members */
        FIELD_PAIRS,   /* struct key_values: an object of strings */
        FIELD_I64,     /* int64_t */
        FIELD_BOOL,    /* bool */
};
struct field {
        const char *name;
        enum field_kind kind;
        size_t offset;
};

/* The text as a tree: an object, with no duplicate keys; what names the document in errors. */
int fields_parse(struct arena *a, const char *what, const char *text, size_t n, size_t limit,
                 struct json *ret, struct err *e);
/* The member, or NULL where it is absent or null. */
const struct json *fields_get(const struct json *j, const char *name);
/* Fills base from the object j by fields, which an empty name ends; where names j in errors. */
int fields_read(struct arena *a, const char *where, const struct json *j,
                const struct field *fields, void *base, struct err *e);
