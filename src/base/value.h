/* Plain shapes that several layers share: optional scalars, lists of strings, key-value pairs.
 * They own nothing: what they point to lives in the arena of whoever filled them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct opt_i64 {
        bool set;
        int64_t v;
};
struct opt_u64 {
        bool set;
        uint64_t v;
};
struct opt_bool {
        bool set;
        bool v;
};
struct strings {
        const char **v;
        size_t n;
};
struct arena;
/* x's, then y's; the array is in a. */
struct strings strings_both(struct arena *a, const struct strings *x, const struct strings *y);

struct key_value {
        const char *key, *value;
};
struct key_values {
        struct key_value *v;
        size_t n;
};
/* Of "KEY=VALUE" and "KEY", whose value is ""; in a. */
struct key_values key_values_of(struct arena *a, const struct strings *list);
/* Whether one of l is as wanted, "KEY" or "KEY=VALUE", says; what label filters ask. */
bool key_values_match(const struct key_values *l, const char *wanted);
