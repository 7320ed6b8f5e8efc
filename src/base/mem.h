/* Memory: an arena for data that lives and dies together, and heap helpers that can't return
 * NULL.
 *
 * A failed small allocation aborts the program: under Linux overcommit it does not happen before
 * the OOM killer acts, and every program here is safe to kill at any step. Allocations whose
 * size someone else chooses are limited by their callers first. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "base/macro.h"

struct arena_block;
struct arena {
        struct arena_block *blocks; /* newest first */
        size_t used;                /* bytes handed out, for limits */
};

/* Zeroed memory that lives until arena_done(); aligned for any type. */
void *arena_alloc(struct arena *a, size_t n);
/* A copy of n bytes of s, ended by a NUL. */
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_strdup(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
void arena_done(struct arena *a);
static inline void arena_done_p(struct arena *a)
{
        arena_done(a);
}
#define AUTO_ARENA __attribute__((cleanup(arena_done_p))) struct arena

#define arena_new(a, T) ((T *)arena_alloc((a), sizeof(T)))
#define arena_array(a, T, n) ((T *)arena_alloc((a), mem_mul(sizeof(T), (n))))

void *mem_alloc(size_t n);                                /* zeroed; free() */
void *mem_realloc(void *p, size_t n);                     /* free() */
char *mem_strdup(const char *s);                          /* free(); NULL for NULL */
char *mem_printf(const char *fmt, ...) PRINTF_LIKE(1, 2); /* free() */
size_t mem_mul(size_t a, size_t b);                       /* a * b, aborting on overflow */

void mem_free_p(void *pp);
#define AUTO_FREE __attribute__((cleanup(mem_free_p)))
