/* TOML 1.0 (toml.io/en/v1.0.0), as registries.conf and hosts.toml use it: a strict reader into the
 * tree of codec/json.h. Tables, arrays of tables, dotted keys, inline tables, the four kinds of
 * strings, integers, booleans and arrays. Floats and dates are an error that says so: nothing
 * that is read here has them. */
#pragma once

#include <stddef.h>

#include "base/mem.h"
#include "codec/json.h"

#define TOML_MAX (1u << 20) /* bytes of text */
#define TOML_KEYS_MAX 20000 /* and values, in the whole text */
#define TOML_DEPTH_MAX 32   /* of values, and parts of a key */

struct toml_error {
        unsigned line, column; /* from 1; columns count bytes */
        const char *what;      /* static text: "duplicate key", ... */
        char key[64];          /* the key it is about, shortened; else empty */
};

/* Parses text[0..n) into *ret, an object; everything lives in a. 0, or -EINVAL or (for a limit)
 * -E2BIG with *ret_error filled. */
int toml_parse(struct arena *a, const char *text, size_t n, struct json *ret,
               struct toml_error *ret_error);
