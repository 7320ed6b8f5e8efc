#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static void reserve(struct buf *b, size_t more)
{
        size_t need = b->len + more + 1;

        if (need <= b->cap)
                return;
        b->cap = MAX(need, b->cap ? b->cap * 2 : 256);
        b->s = mem_realloc(b->s, b->cap);
}

void buf_add(struct buf *b, const void *p, size_t n)
{
        reserve(b, n);
        if (n)
                memcpy(b->s + b->len, p, n);
        b->len += n;
        b->s[b->len] = 0;
}

void buf_puts(struct buf *b, const char *s)
{
        buf_add(b, s, strlen(s));
}

void buf_putc(struct buf *b, char c)
{
        buf_add(b, &c, 1);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
        va_list again;
        int n;

        va_copy(again, ap);
        n = vsnprintf(NULL, 0, fmt, again);
        va_end(again);
        if (n < 0)
                return;
        reserve(b, (size_t)n);
        vsnprintf(b->s + b->len, (size_t)n + 1, fmt, ap);
        b->len += (size_t)n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        buf_vprintf(b, fmt, ap);
        va_end(ap);
}

const char *buf_str(const struct buf *b)
{
        return b->s ? b->s : "";
}

char *buf_take(struct buf *b)
{
        char *s;

        reserve(b, 0);
        b->s[b->len] = 0;
        s = TAKE_PTR(b->s);
        b->len = b->cap = 0;
        return s;
}

void buf_clear(struct buf *b)
{
        b->len = 0;
        if (b->s)
                b->s[0] = 0;
}

void buf_done(struct buf *b)
{
        free(b->s);
        *b = (struct buf){ 0 };
}
