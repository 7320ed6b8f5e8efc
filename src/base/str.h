/* Strings: comparisons that read well, strict number parsing, and name tables.
 *
 * str_to_* accept decimal digits only: no sign unless signed, no blanks, no trailing bytes, no
 * overflow (CVE-2026-30892 was a sloppy one). They return 0, -EINVAL or -ERANGE. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/macro.h"

static inline bool str_eq(const char *a, const char *b)
{
        return strcmp(a, b) == 0;
}
static inline bool str_eq0(const char *a, const char *b) /* NULL equals only NULL */
{
        return a == b || (a && b && strcmp(a, b) == 0);
}
static inline bool str_empty(const char *s)
{
        return !s || !*s;
}
/* What follows prefix in s, or NULL. */
const char *str_after(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);

int str_to_u64(const char *s, uint64_t *ret);
int str_to_u32(const char *s, uint32_t *ret);
int str_to_i64(const char *s, int64_t *ret);
/* "512", "64k", "1.5g", "1GiB" in powers of 1024, as docker's --memory; no sign. */
int str_to_size(const char *s, int64_t *ret);

/* Index of s in table, or -1; entries may be NULL. */
int str_index(const char *const *table, size_t n, const char *s);
#define STR_INDEX(table, s) str_index((table), ARRAY_SIZE(table), (s))

/* A flag name table: {"nosuid", MS_NOSUID}. NULL name ends it. */
struct str_flag {
        const char *name;
        uint64_t value;
};
const struct str_flag *str_flag_find(const struct str_flag *table, const char *name);
/* Iterates the fields of a list split at sep: `for (s = list; (n = str_next(&s, ',', &f)); )`.
 * Returns false at the end; the field is not ended by a NUL. */
bool str_next(const char **at, char sep, const char **ret_field, size_t *ret_len);
