#include "base/mem.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct arena_block {
        struct arena_block *next;
        size_t size, used;
        alignas(max_align_t) char data[];
};

#define BLOCK_SIZE 8192u

static void *or_abort(void *p)
{
        static const char text[] = "berth: out of memory\n";

        if (p)
                return p;
        if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
                abort();
        abort();
}

size_t mem_mul(size_t a, size_t b)
{
        size_t r;

        if (__builtin_mul_overflow(a, b, &r))
                or_abort(NULL);
        return r;
}

void *mem_alloc(size_t n)
{
        return or_abort(calloc(1, n ? n : 1));
}

void *mem_realloc(void *p, size_t n)
{
        return or_abort(realloc(p, n ? n : 1));
}

char *mem_strdup(const char *s)
{
        return s ? or_abort(strdup(s)) : NULL;
}

char *mem_printf(const char *fmt, ...)
{
        va_list ap;
        char *s;
        int n;

        va_start(ap, fmt);
        n = vasprintf(&s, fmt, ap);
        va_end(ap);
        return or_abort(n < 0 ? NULL : s);
}

void mem_free_p(void *pp)
{
        void *p;

        memcpy(&p, pp, sizeof p);
        free(p);
}

void *arena_alloc(struct arena *a, size_t n)
{
        struct arena_block *b = a->blocks;
        size_t need = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
        void *p;

        if (need < n)
                or_abort(NULL);
        if (!b || b->size - b->used < need) {
                size_t size = MAX(need, (size_t)BLOCK_SIZE - sizeof *b);

                b = mem_alloc(sizeof *b + size);
                b->size = size;
                b->next = a->blocks;
                a->blocks = b;
        }
        p = b->data + b->used;
        b->used += need;
        a->used += need;
        return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
        char *copy = arena_alloc(a, n + 1);

        memcpy(copy, s, n);
        return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
        return s ? arena_strndup(a, s, strlen(s)) : NULL;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
        va_list ap, again;
        char *s;
        int n;

        va_start(ap, fmt);
        va_copy(again, ap);
        n = vsnprintf(NULL, 0, fmt, ap);
        s = arena_alloc(a, (size_t)(n < 0 ? 0 : n) + 1);
        vsnprintf(s, (size_t)n + 1, fmt, again);
        va_end(again);
        va_end(ap);
        return s;
}

void arena_done(struct arena *a)
{
        while (a->blocks) {
                struct arena_block *next = a->blocks->next;

                free(a->blocks);
                a->blocks = next;
        }
        a->used = 0;
}
