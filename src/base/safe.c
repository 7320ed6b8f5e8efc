#include "base/safe.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct range {
        uint32_t first, last;
};

/* Invisible, or changing how what follows is shown. */
static const struct range hiding[] = {
        { 0x0000, 0x001F },    { 0x007F, 0x009F }, { 0x00AD, 0x00AD }, { 0x061C, 0x061C },
        { 0x115F, 0x1160 },    { 0x180E, 0x180E }, { 0x200B, 0x200F }, { 0x2028, 0x202E },
        { 0x2060, 0x206F },    { 0x3164, 0x3164 }, { 0xD800, 0xDFFF }, { 0xFE00, 0xFE0F },
        { 0xFEFF, 0xFEFF },    { 0xFFA0, 0xFFA0 }, { 0xFFF0, 0xFFFB }, { 0xE0000, 0xE0FFF },
        { 0xF0000, 0x10FFFF },
};
static const struct range wide[] = {
        { 0x1100, 0x115E },   { 0x2E80, 0x303E },   { 0x3041, 0xA4CF },   { 0xA960, 0xA97C },
        { 0xAC00, 0xD7A3 },   { 0xF900, 0xFAFF },   { 0xFE30, 0xFE6F },   { 0xFF00, 0xFF60 },
        { 0xFFE0, 0xFFE6 },   { 0x1F300, 0x1F64F }, { 0x1F680, 0x1F6FF }, { 0x1F900, 0x1FAFF },
        { 0x20000, 0x3FFFD },
};
static const struct range combining[] = {
        { 0x0300, 0x036F }, { 0x0483, 0x0489 }, { 0x0591, 0x05BD }, { 0x064B, 0x065F },
        { 0x1AB0, 0x1AFF }, { 0x1DC0, 0x1DFF }, { 0x20D0, 0x20FF }, { 0xFE20, 0xFE2F },
};

static bool in_ranges(const struct range *r, size_t n, uint32_t c)
{
        for (size_t i = 0; i < n; i++)
                if (c >= r[i].first && c <= r[i].last)
                        return true;
        return false;
}
#define IN(table, c) in_ranges(table, sizeof(table) / sizeof *(table), c)

/* The length of the character at s, or 0 where it is not UTF-8 in its shortest form. */
static size_t decode(const char *s, size_t n, uint32_t *ret)
{
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        const unsigned char *u = (const unsigned char *)s;
        size_t len = u[0] < 0x80   ? 1
                     : u[0] < 0xC2 ? 0
                     : u[0] < 0xE0 ? 2
                     : u[0] < 0xF0 ? 3
                     : u[0] < 0xF5 ? 4
                                   : 0;
        uint32_t c;

        if (len == 0 || len > n)
                return 0;
        if (len == 1) {
                *ret = u[0];
                return 1;
        }
        c = u[0] & (0xFFu >> (len + 1));
        for (size_t i = 1; i < len; i++) {
                if ((u[i] & 0xC0) != 0x80)
                        return 0;
                c = c << 6 | (u[i] & 0x3F);
        }
        if (c < least[len] || c > 0x10FFFF)
                return 0;
        *ret = c;
        return len;
}

void safe_add(struct buf *out, const char *s, size_t n)
{
        while (n > 0) {
                uint32_t c = 0;
                size_t len = decode(s, n, &c);

                if (len == 0)
                        buf_printf(out, "\\x%02x", (unsigned char)*s);
                else if (IN(hiding, c))
                        buf_printf(out, c < 0x100 ? "\\x%02x" : "\\u{%x}", c);
                else if (c == '\\' && n > 1 && (s[1] == 'x' || s[1] == 'u' || s[1] == '\\'))
                        buf_puts(out, "\\\\"); /* so that an escape can't be faked */
                else
                        buf_add(out, s, len);
                len = len ? len : 1;
                s += len;
                n -= len;
        }
}

void safe_put_cell(struct buf *out, const char *s)
{
        for (const char *at = s; *at; at++)
                if (*at < ' ' || *at > '~') {
                        safe_puts(out, s);
                        return;
                }
        buf_puts(out, s);
}

void safe_puts(struct buf *out, const char *s)
{
        safe_add(out, s, strlen(s));
}

static size_t columns_of(uint32_t c)
{
        return IN(combining, c) ? 0 : IN(wide, c) ? 2 : 1;
}

size_t safe_columns(const char *s, size_t n)
{
        size_t columns = 0;

        while (n > 0) {
                uint32_t c = 0;
                size_t len = decode(s, n, &c);

                columns += len ? columns_of(c) : 1;
                len = len ? len : 1;
                s += len;
                n -= len;
        }
        return columns;
}

/* How many bytes of s fit into columns, from the front. */
static size_t fit(const char *s, size_t n, size_t columns)
{
        size_t at = 0;

        while (at < n) {
                uint32_t c = 0;
                size_t len = decode(s + at, n - at, &c), need = len ? columns_of(c) : 1;

                if (need > columns)
                        break;
                columns -= need;
                at += len ? len : 1;
        }
        return at;
}

void safe_elide(struct buf *out, const char *s, size_t columns)
{
        size_t n = strlen(s), head, tail;

        if (safe_columns(s, n) <= columns || columns < 8) {
                buf_puts(out, s);
                return;
        }
        /* The end of a path tells more than its beginning. */
        head = fit(s, n, (columns - 3) / 3);
        for (tail = head; safe_columns(s + tail, n - tail) > columns - 3 - (columns - 3) / 3;) {
                uint32_t c = 0;
                size_t len = decode(s + tail, n - tail, &c);

                tail += len ? len : 1;
        }
        buf_add(out, s, head);
        buf_puts(out, "...");
        buf_puts(out, s + tail);
}

void safe_cut(struct buf *out, const char *s, size_t columns)
{
        size_t n = strlen(s);

        if (safe_columns(s, n) <= columns || columns < 8) {
                buf_puts(out, s);
                return;
        }
        buf_add(out, s, fit(s, n, columns - 3));
        buf_puts(out, "...");
}
