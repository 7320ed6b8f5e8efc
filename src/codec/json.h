/* JSON (RFC 8259): a strict reader into an arena-owned tree, and a streaming writer.
 *
 * The reader refuses what lets two parsers disagree: duplicate keys in an object, bytes after the
 * value, invalid UTF-8, lone surrogates; and what exhausts memory: nesting, size and count beyond
 * struct json_limits. Integers keep all 64 bits, signed or unsigned. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/value.h"

enum json_type {
        JSON_NULL,
        JSON_BOOL,
        JSON_INT,    /* fits int64_t: .i */
        JSON_UINT,   /* over INT64_MAX: .u */
        JSON_DOUBLE, /* has a fraction or exponent, or exceeds 64 bits: .d */
        JSON_STRING, /* .s, NUL-ended; .n its length (a string may hold \u0000) */
        JSON_ARRAY,  /* .items[.n] */
        JSON_OBJECT, /* .members[.n], in the order of the text */
        JSON_TYPE_MAX
};

struct json {
        enum json_type type;
        uint32_t n;
        union {
                bool b;
                int64_t i;
                uint64_t u;
                double d;
                const char *s;
                const struct json *items;
                const struct json_member *members;
        };
};

struct json_member {
        const char *name;
        struct json value;
};

struct json_limits {
        size_t bytes;   /* of input */
        unsigned depth; /* of nesting */
        size_t memory;  /* of the tree */
};
/* 16 MiB of text, depth 64, 64 MiB of tree: what config.json and manifests get. */
extern const struct json_limits json_limits_default;

struct json_error {
        size_t offset;         /* of the byte where reading stopped, from 0 */
        unsigned line, column; /* from 1 */
        const char *what;      /* static text: "duplicate key", "nested too deeply", ... */
        char key[64];          /* the duplicate key, shortened; else empty */
};

/* Parses text[0..n) into *ret; everything lives in a. 0, or -EINVAL with *ret_error filled (which
 * may be NULL), or -E2BIG for a limit of l (NULL: the default limits). */
int json_parse(struct arena *a, const char *text, size_t n, const struct json_limits *l,
               struct json *ret, struct json_error *ret_error);

/* The member of an object, or NULL (also where j is NULL or no object). */
const struct json *json_get(const struct json *j, const char *name);
/* Descends by names separated by dots: json_path(j, "linux.resources.memory"). */
const struct json *json_path(const struct json *j, const char *path);
/* The string, or fallback where j is NULL or of another type. */
const char *json_str(const struct json *j, const char *fallback);
/* The members of an object, "" for what is no string; none where j is no object. The array is in a,
 * its strings are j's. */
struct key_values json_to_key_values(struct arena *a, const struct json *j);
/* True where j is the value true; false also where j is NULL or of another type. */
bool json_is_true(const struct json *j);
/* The value, of just that type; false, and *ret as it was, where j is NULL or anything else. */
bool json_to_bool(const struct json *j, bool *ret);
bool json_to_i64(const struct json *j, int64_t *ret);
bool json_to_u64(const struct json *j, uint64_t *ret);
const char *json_type_name(enum json_type t); /* "string", ... */

/* Writer: commas, quoting and indentation are its business. Invalid UTF-8 in strings becomes
 * U+FFFD. A name is NULL inside arrays and at the top. indent 0 writes one line. */
struct json_writer {
        struct buf *out;
        unsigned indent; /* spaces per level */
        unsigned depth;
        bool fresh; /* nothing written yet at this level */
};
void json_open(struct json_writer *w, const char *name, char bracket);         /* '{' or '[' */
void json_close(struct json_writer *w, char bracket);                          /* '}' or ']' */
void json_put_str(struct json_writer *w, const char *name, const char *value); /* NULL: null */
void json_put_i64(struct json_writer *w, const char *name, int64_t value);
void json_put_u64(struct json_writer *w, const char *name, uint64_t value);
void json_put_double(struct json_writer *w, const char *name, double value);
void json_put_bool(struct json_writer *w, const char *name, bool value);
void json_put_null(struct json_writer *w, const char *name);
/* An object of strings. */
void json_put_key_values(struct json_writer *w, const char *name, const struct key_values *list);
void json_put_strings(struct json_writer *w, const char *name, const struct strings *list);
/* What is set; nothing otherwise. */
void json_put_opt_i64(struct json_writer *w, const char *name, const struct opt_i64 *value);
void json_put_opt_u64(struct json_writer *w, const char *name, const struct opt_u64 *value);
/* Writes a parsed tree again. */
void json_put(struct json_writer *w, const char *name, const struct json *value);
