/* Private to spec*.c: from a JSON tree to structs, through tables of fields.
 *
 * A table says for each property its name, its kind, where it goes and what it may be. Unknown
 * properties are passed over, null is as good as absence, and so is an empty string except in
 * lists and as a map's value. A value that does not fit is an error naming the field, what was
 * expected and what was found. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"

enum spec_kind {
        SPEC_BOOL,     /* bool */
        SPEC_INT,      /* int64_t in [min, max] */
        SPEC_UINT,     /* uint64_t up to max */
        SPEC_U32,      /* uint32_t up to max */
        SPEC_OPT_BOOL, /* struct opt_bool */
        SPEC_OPT_INT,  /* struct opt_i64 */
        SPEC_OPT_UINT, /* struct opt_u64 */
        SPEC_STR,      /* const char * */
        SPEC_LETTER,   /* char, a string of one byte in JSON, of the set in .letters */
        SPEC_STRINGS,  /* struct strings */
        SPEC_PAIRS,    /* struct key_values, an object of strings in JSON */
        SPEC_U32S,     /* uint32_t *, and size_t at .count */
        SPEC_STRUCT,   /* a struct in place, by .table */
        SPEC_POINTER,  /* a pointer to a new struct, by .table; NULL where absent */
        SPEC_ARRAY,    /* a pointer to structs by .table, and size_t at .count */
        SPEC_MAP,      /* the same from an object; the struct begins with const char *: its name */
        SPEC_CUSTOM,   /* .custom */
};

struct spec_decoder {
        struct arena *arena;
        size_t memory; /* how much the arena may hold */
        struct err *e;
};

/* Where in the document we are; the innermost place points outwards. */
struct spec_at {
        const struct spec_at *up;
        const char *name; /* of a property, or NULL: an index */
        bool quoted;      /* the name is the document's, not the specification's */
        size_t index;
};

struct spec_table;
struct spec_field {
        const char *name;
        enum spec_kind kind;
        bool required; /* SPEC_STR, SPEC_LETTER, SPEC_U32 */
        uint32_t offset, count;
        int64_t min, absent; /* absent: what SPEC_INT is without the property */
        uint64_t max;
        union {
                const struct spec_table *table;
                const struct str_flag *values; /* SPEC_STR, SPEC_STRINGS: one of them; NULL: any */
                const char *letters;
                int (*custom)(struct spec_decoder *d, const struct json *j,
                              const struct spec_at *at, void *base);
        };
};

struct spec_table {
        const struct spec_field *fields; /* ended by a NULL name */
        size_t size;                     /* of the struct */
};

/* Fills the struct at base, which must be zeroed, from j. 0, or -1 with the decoder's err
 * filled. */
int spec_decode(struct spec_decoder *d, const struct json *j, const struct spec_table *t,
                const struct spec_at *at, void *base);
/* Allocates n structs of that size within the limit; NULL with err filled beyond it. */
void *spec_decode_alloc(struct spec_decoder *d, size_t n, size_t size);
/* "<path>: expected <what>, found <j>". Returns -1. */
int spec_decode_bad(struct spec_decoder *d, const struct spec_at *at, const struct json *j,
                    const char *expected);
/* "<path>: <text>". Returns -1. */
int spec_decode_fail(struct spec_decoder *d, const struct spec_at *at, const char *fmt, ...)
        PRINTF_LIKE(3, 4);

/* s made fit for a message: quoted, control bytes replaced, cut when long. */
struct spec_quoted {
        char s[72];
};
struct spec_quoted spec_quote(const char *s);

/* The tables (spec-tables.c). */
extern const struct spec_table spec_table_config, spec_table_process, spec_table_resources;
