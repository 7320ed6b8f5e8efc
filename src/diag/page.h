/* struct page: labelled rows of items, wrapped to a width, for people.
 *
 *         CONSUMES  memory   182M of 256M (own limit), anon 120M, file 55M,
 *                            swap 0
 *
 * A section's label stands on its first row, a row's key before its items; items are separated
 * by commas (or blanks) and wrapped between them. All text is made safe for terminals on its way
 * out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/macro.h"

enum page_style { PAGE_PLAIN, PAGE_DIM, PAGE_STRONG, PAGE_WARN, PAGE_BAD, PAGE_STYLE_MAX };

struct page {
        struct buf *out;
        size_t width; /* columns; at least PAGE_WIDTH_MIN */
        bool color;
        bool full; /* long texts are neither elided nor left out */

        const char *section; /* not yet printed */
        size_t column, indent;
        bool in_row, first; /* no item on this row yet */
};
#define PAGE_WIDTH_MIN 60
#define PAGE_LABEL 10
#define PAGE_KEY 9

void page_init(struct page *p, struct buf *out, size_t width, bool color, bool full);
/* A line of its own, from the first column. */
void page_title(struct page *p, enum page_style style, const char *text);
void page_section(struct page *p, const char *label);
/* Ends the row before it. */
void page_row(struct page *p, const char *key);
/* A row without a key: its items begin where keys do. */
void page_line(struct page *p);
void page_item(struct page *p, enum page_style style, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Separated from what is before it by a blank alone. */
void page_word(struct page *p, enum page_style style, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* A text that is cut in its middle rather than wrapped, at most the rest of a whole line. */
void page_path(struct page *p, enum page_style style, const char *before, const char *path);
/* A text that is cut at its end, "..." telling so. */
void page_text(struct page *p, enum page_style style, const char *text);
void page_end(struct page *p);
