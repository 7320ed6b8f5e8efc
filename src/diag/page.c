#include "diag/page.h"

#include <stdarg.h>
#include <string.h>

#include "base/safe.h"

static const char *const codes[PAGE_STYLE_MAX] = {
        [PAGE_PLAIN] = "",        [PAGE_DIM] = "\033[2m",    [PAGE_STRONG] = "\033[1m",
        [PAGE_WARN] = "\033[33m", [PAGE_BAD] = "\033[1;31m",
};

void page_init(struct page *p, struct buf *out, size_t width, bool color, bool full)
{
        *p = (struct page){ .out = out,
                            .width = width < PAGE_WIDTH_MIN ? PAGE_WIDTH_MIN : width,
                            .color = color,
                            .full = full };
}

static void put(struct page *p, enum page_style style, const char *text, size_t n)
{
        bool color = p->color && style != PAGE_PLAIN;

        if (color)
                buf_puts(p->out, codes[style]);
        buf_add(p->out, text, n);
        if (color)
                buf_puts(p->out, "\033[0m");
        p->column += safe_columns(text, n);
}

static void pad(struct page *p, size_t to)
{
        while (p->column < to) {
                buf_putc(p->out, ' ');
                p->column++;
        }
}

void page_end(struct page *p)
{
        if (!p->in_row)
                return;
        buf_putc(p->out, '\n');
        p->in_row = false;
        p->column = 0;
}

void page_title(struct page *p, enum page_style style, const char *text)
{
        AUTO_BUF safe = { 0 };

        page_end(p);
        safe_puts(&safe, text);
        put(p, style, buf_str(&safe), safe.len);
        buf_putc(p->out, '\n');
        p->column = 0;
}

void page_section(struct page *p, const char *label)
{
        page_end(p);
        p->section = label;
}

void page_line(struct page *p)
{
        page_end(p);
        if (p->section)
                put(p, PAGE_STRONG, p->section, strlen(p->section));
        p->section = NULL;
        pad(p, PAGE_LABEL);
        p->indent = PAGE_LABEL;
        p->in_row = p->first = true;
}

void page_row(struct page *p, const char *key)
{
        page_line(p);
        put(p, PAGE_DIM, key, strlen(key));
        if (p->column >= PAGE_LABEL + PAGE_KEY)
                put(p, PAGE_PLAIN, " ", 1);
        pad(p, PAGE_LABEL + PAGE_KEY);
        p->indent = PAGE_LABEL + PAGE_KEY;
}

static void line_break(struct page *p)
{
        buf_putc(p->out, '\n');
        p->column = 0;
        pad(p, p->indent);
}

/* Puts safe text, breaking it between words where it is longer than a line. */
static void put_wrapped(struct page *p, enum page_style style, const char *text, size_t n)
{
        while (n > 0) {
                size_t room = p->width > p->column ? p->width - p->column : 1, word = 0, fits = 0;

                if (safe_columns(text, n) <= room || p->full) {
                        put(p, style, text, n);
                        return;
                }
                while (word < n) {
                        size_t end = word;

                        while (end < n && text[end] != ' ')
                                end++;
                        if (safe_columns(text, end) > room)
                                break;
                        fits = end;
                        word = end + 1;
                }
                /* One word wider than a line: let it stand out rather than cut it. */
                if (fits == 0 && p->column <= p->indent)
                        fits = strcspn(text, " ") < n ? strcspn(text, " ") : n;
                put(p, style, text, fits);
                text += fits;
                n -= fits;
                while (n > 0 && *text == ' ') {
                        text++;
                        n--;
                }
                if (n > 0)
                        line_break(p);
        }
}

static void add(struct page *p, enum page_style style, const char *separator, const char *text,
                size_t n)
{
        size_t columns = safe_columns(text, n);

        if (!p->first) {
                buf_puts(p->out, separator);
                p->column += strlen(separator);
                /* A comma stays at the end of its line. */
                if (p->column + 1 + columns > p->width - (*separator == ',')) {
                        line_break(p);
                } else {
                        buf_putc(p->out, ' ');
                        p->column++;
                }
        }
        p->first = false;
        put_wrapped(p, style, text, n);
}

static void add_format(struct page *p, enum page_style style, const char *separator,
                       const char *fmt, va_list ap) __attribute__((format(printf, 4, 0)));
static void add_format(struct page *p, enum page_style style, const char *separator,
                       const char *fmt, va_list ap)
{
        AUTO_BUF raw = { 0 };
        AUTO_BUF safe = { 0 };

        buf_vprintf(&raw, fmt, ap);
        safe_add(&safe, buf_str(&raw), raw.len);
        add(p, style, separator, buf_str(&safe), safe.len);
}

void page_item(struct page *p, enum page_style style, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        add_format(p, style, ",", fmt, ap);
        va_end(ap);
}

void page_word(struct page *p, enum page_style style, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        add_format(p, style, "", fmt, ap);
        va_end(ap);
}

void page_path(struct page *p, enum page_style style, const char *before, const char *path)
{
        AUTO_BUF safe = { 0 };
        AUTO_BUF text = { 0 };
        size_t room = p->width - p->indent - 1, lead = strlen(before);

        safe_puts(&safe, path);
        buf_puts(&text, before);
        if (p->full || lead + 8 > room)
                buf_puts(&text, buf_str(&safe));
        else
                safe_elide(&text, buf_str(&safe), room - lead);
        add(p, style, "", buf_str(&text), text.len);
}

void page_text(struct page *p, enum page_style style, const char *text)
{
        AUTO_BUF safe = { 0 };
        AUTO_BUF cut = { 0 };

        safe_puts(&safe, text);
        if (p->full)
                buf_puts(&cut, buf_str(&safe));
        else
                safe_cut(&cut, buf_str(&safe), p->width - p->indent);
        add(p, style, "", buf_str(&cut), cut.len);
}
