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
/* Appends s itself, no copy; the array is in a. Only for lists that were empty or made by this. */
void strings_add(struct arena *a, struct strings *l, const char *s);
bool strings_has(const struct strings *l, const char *s);
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
/* Of user or group ids between a user namespace and the host: user_namespaces(7). */
struct id_mapping {
        uint32_t container_id, host_id, size;
};
struct id_mappings {
        struct id_mapping *v;
        size_t n;
};
struct id_owners {
        struct id_mappings uids, gids; /* none: nothing is mapped, all ids are the host's */
};
/* The id on the other side; false, and *ret as it was, where it is not mapped. */
bool id_to_host(const struct id_mappings *m, uint32_t id, uint32_t *ret);
bool id_to_container(const struct id_mappings *m, uint32_t id, uint32_t *ret);
/* As a container of these mappings sees it: 65534, nobody, where it has no number for it. Without
 * any mapping it is the same. */
uint32_t id_seen(const struct id_mappings *m, uint32_t id);
/* Whether one of l is as wanted, "KEY" or "KEY=VALUE", says; what label filters ask. */
bool key_values_match(const struct key_values *l, const char *wanted);
