/* Text that someone else chose, made fit for a terminal. Pure. */
#pragma once

#include <stddef.h>

#include "base/buf.h"

/* Appends s[n]: control characters, invalid UTF-8, and what reorders or hides text
 * (bidirectional controls, zero-width characters, line and paragraph separators, tags) come out
 * as \xNN or \u{NNNN}; a backslash is doubled only where one of these could be meant. */
void safe_add(struct buf *out, const char *s, size_t n);
void safe_puts(struct buf *out, const char *s);
/* The same of a line's cells: what is printable ASCII stays byte for byte what it is. */
void safe_put_cell(struct buf *out, const char *s);
/* Columns that printable UTF-8 takes: 2 for East Asian wide characters and emoji, 0 for
 * combining ones. */
size_t safe_columns(const char *s, size_t n);
/* The same text in at most columns, its middle replaced by "...". */
void safe_elide(struct buf *out, const char *s, size_t columns);
/* The same, its end replaced. */
void safe_cut(struct buf *out, const char *s, size_t columns);
