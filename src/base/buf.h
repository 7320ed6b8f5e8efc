/* struct buf: a growing byte string, always ended by a NUL that len does not count. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "base/macro.h"

struct buf {
        char *s; /* NULL while empty: use buf_str() to print */
        size_t len, cap;
};

void buf_add(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
/* The text; "" while empty. Owned by b. */
const char *buf_str(const struct buf *b);
/* Moves the text out: the caller's to free; never NULL. */
char *buf_take(struct buf *b);
void buf_clear(struct buf *b); /* empty, keeps the memory */
void buf_done(struct buf *b);
static inline void buf_done_p(struct buf *b)
{
        buf_done(b);
}
#define AUTO_BUF __attribute__((cleanup(buf_done_p))) struct buf
