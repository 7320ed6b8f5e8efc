/* Strings, numbers, arrays and inline tables of TOML. */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "codec/json-utf8.h"
#include "codec/toml-reader.h"

/* ---- strings ---- */

static bool starts(const struct toml_reader *r, const char *text)
{
        size_t n = strlen(text);

        return (size_t)(r->end - r->s) >= n && memcmp(r->s, text, n) == 0;
}

/* \uXXXX and \UXXXXXXXX: r->s is behind the letter. */
static int code_point(struct toml_reader *r, size_t digits, struct buf *out)
{
        char utf8[4];
        uint32_t c = 0;

        for (size_t i = 0; i < digits; i++, r->s++) {
                int d = toml_peek(r);

                if (d >= '0' && d <= '9')
                        d -= '0';
                else if ((d | 0x20) >= 'a' && (d | 0x20) <= 'f')
                        d = (d | 0x20) - 'a' + 10;
                else
                        return toml_fail(r, "a hexadecimal digit expected");
                c = c << 4 | (uint32_t)d;
        }
        if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return toml_fail(r, "no such character");
        buf_add(out, utf8, json_utf8_put(utf8, c));
        return 0;
}

/* A backslash at the end of a line takes the blanks and line ends that follow. */
static int fold(struct toml_reader *r)
{
        toml_blanks(r);
        if (toml_peek(r) != '\n' && toml_peek(r) != '\r')
                return toml_fail(r, "unknown escape");
        while (r->s < r->end && strchr(" \t\r\n", *r->s) && *r->s)
                r->s++;
        return 0;
}

/* An escape; r->s is behind the backslash. */
static int escape(struct toml_reader *r, bool lines, struct buf *out)
{
        static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
        int c = toml_peek(r);
        const char *found = c > 0 ? strchr(from, c) : NULL;

        if (lines && c > 0 && strchr(" \t\r\n", c))
                return fold(r);
        if (c == 'u' || c == 'U') {
                r->s++;
                return code_point(r, c == 'u' ? 4 : 8, out);
        }
        if (!found)
                return toml_fail(r, "unknown escape");
        r->s++;
        buf_putc(out, to[found - from]);
        return 0;
}

/* One character that stands for itself. */
static int plain(struct toml_reader *r, bool lines, struct buf *out)
{
        size_t n = json_utf8_len(r->s, (size_t)(r->end - r->s));
        unsigned char c;

        if (r->s == r->end)
                return toml_fail(r, "the string is not ended");
        c = (unsigned char)*r->s;
        if (n == 0)
                return toml_fail(r, "invalid UTF-8");
        if (c == '\n' || (c == '\r' && r->end - r->s > 1 && r->s[1] == '\n')) {
                if (!lines)
                        return toml_fail(r, "the string is not ended on its line");
        } else if ((c < ' ' && c != '\t') || c == 0x7f) {
                return toml_fail(r, "a control character in a string");
        }
        buf_add(out, r->s, n);
        r->s += n;
        return 0;
}

/* A string that begins with quote, one or three of them; quote[0] decides about escapes. */
static int string(struct toml_reader *r, const char *quote, struct buf *out)
{
        bool lines = quote[1];
        int e;

        r->s += strlen(quote);
        if (lines) /* a line end right behind the quotes is not part of it */
                r->s += starts(r, "\r\n") ? 2 : starts(r, "\n");
        while (!starts(r, quote)) {
                if (*quote == '"' && toml_peek(r) == '\\') {
                        r->s++;
                        e = escape(r, lines, out);
                } else {
                        e = plain(r, lines, out);
                }
                if (e < 0)
                        return e;
        }
        r->s += strlen(quote);
        for (int i = 0; lines && i < 2 && toml_peek(r) == *quote; i++, r->s++)
                buf_putc(out, *quote); /* up to two quotes may precede the three */
        return 0;
}

static int put_string(struct toml_reader *r, const char *quote, struct json *ret)
{
        AUTO_BUF out = { 0 };
        int e = string(r, quote, &out);

        if (e < 0)
                return e;
        *ret = (struct json){ .type = JSON_STRING,
                              .n = (uint32_t)out.len,
                              .s = arena_strndup(r->a, buf_str(&out), out.len) };
        return 0;
}

int toml_key(struct toml_reader *r, const char **ret)
{
        static const char bare[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                   "0123456789_-";
        const char *s = r->s;
        struct json quoted;
        int c = toml_peek(r), e;

        if (c == '"' || c == '\'') {
                e = put_string(r, c == '"' ? "\"" : "'", &quoted);
                if (e == 0)
                        *ret = quoted.s;
                return e;
        }
        while (r->s < r->end && *r->s && strchr(bare, *r->s))
                r->s++;
        if (r->s == s)
                return toml_fail(r, "a key expected");
        *ret = arena_strndup(r->a, s, (size_t)(r->s - s));
        return 0;
}

/* ---- numbers ---- */

/* Digits of base with single underscores between them. */
static bool digits(const char *s, unsigned base, uint64_t *ret)
{
        uint64_t v = 0;

        if (!*s || *s == '_')
                return false;
        for (; *s; s++) {
                unsigned d;

                if (*s == '_' && s[1] && s[1] != '_')
                        continue;
                d = *s >= '0' && *s <= '9'                     ? (unsigned)(*s - '0')
                    : (*s | 0x20) >= 'a' && (*s | 0x20) <= 'f' ? (unsigned)((*s | 0x20) - 'a' + 10)
                                                               : base;
                if (d >= base || __builtin_mul_overflow(v, base, &v) ||
                    __builtin_add_overflow(v, d, &v))
                        return false;
        }
        *ret = v;
        return true;
}

static bool integer(const char *s, int64_t *ret)
{
        static const struct {
                const char *prefix;
                unsigned base;
        } bases[] = { { "0x", 16 }, { "0o", 8 }, { "0b", 2 } };
        bool minus = *s == '-';
        uint64_t v;

        for (size_t i = 0; i < ARRAY_SIZE(bases); i++)
                if (str_after(s, bases[i].prefix)) {
                        if (!digits(s + 2, bases[i].base, &v) || v > INT64_MAX)
                                return false;
                        *ret = (int64_t)v;
                        return true;
                }
        s += *s == '-' || *s == '+';
        if ((s[0] == '0' && s[1]) || !digits(s, 10, &v) || v > (uint64_t)INT64_MAX + minus)
                return false;
        *ret = minus ? (int64_t)(-v) : (int64_t)v;
        return true;
}

static int scalar(struct toml_reader *r, struct json *ret)
{
        static const char other[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "0123456789_+-.:";
        const char *s = r->s;
        char word[80];
        size_t n = 0;

        while (s + n < r->end && s[n] && strchr(other, s[n]))
                n++;
        if (n == 0 || n >= sizeof word)
                return toml_fail(r, n ? "no such value" : "a value expected");
        memcpy(word, s, n);
        word[n] = 0;
        if (str_eq(word, "true") || str_eq(word, "false")) {
                *ret = (struct json){ .type = JSON_BOOL, .b = *word == 't' };
        } else if (integer(word, &ret->i)) {
                ret->type = JSON_INT;
        } else if ((*word >= '0' && *word <= '9' && strpbrk(word, ".:-eE")) ||
                   strstr(word, "inf") || strstr(word, "nan") ||
                   ((*word == '+' || *word == '-') && strpbrk(word, ".eE"))) {
                return toml_fail(r, "floats and dates are not understood here");
        } else {
                return toml_fail(r, "no such value (is a string not quoted?)");
        }
        r->s += n;
        return 0;
}

/* ---- compounds ---- */

static int array(struct toml_reader *r, struct toml_node *n)
{
        int e;

        n->kind = TOML_ARRAY;
        for (r->s++;;) {
                e = toml_space(r);
                if (e == 0 && toml_peek(r) == ']')
                        break;
                if (e == 0)
                        e = toml_value(r, toml_add(r, n, NULL, TOML_VALUE));
                if (e == 0)
                        e = toml_space(r);
                if (e < 0)
                        return e;
                if (toml_peek(r) == ',')
                        r->s++;
                else if (toml_peek(r) != ']')
                        return toml_fail(r, "',' or ']' expected");
        }
        r->s++;
        return 0;
}

/* An inline table is on one line, with no comma behind its last pair. */
static int inline_table(struct toml_reader *r, struct toml_node *n)
{
        n->kind = TOML_TABLE;
        r->s++;
        toml_blanks(r);
        while (n->n || toml_peek(r) != '}') {
                int e = toml_pair(r, n);

                if (e < 0)
                        return e;
                toml_blanks(r);
                if (toml_peek(r) == '}')
                        break;
                if (toml_peek(r) != ',')
                        return toml_fail(r, "',' or '}' expected");
                r->s++;
                toml_blanks(r);
        }
        r->s++;
        n->origin = TOML_INLINE;
        return 0;
}

int toml_value(struct toml_reader *r, struct toml_node *n)
{
        static const char *const quotes[] = { "\"\"\"", "'''", "\"", "'" };
        int e;

        for (size_t i = 0; i < ARRAY_SIZE(quotes); i++)
                if (starts(r, quotes[i]))
                        return put_string(r, quotes[i], &n->value);
        if (toml_peek(r) != '[' && toml_peek(r) != '{')
                return scalar(r, &n->value);
        if (r->depth == TOML_DEPTH_MAX) {
                r->limit = -E2BIG;
                return toml_fail(r, "nested too deeply");
        }
        r->depth++;
        e = toml_peek(r) == '[' ? array(r, n) : inline_table(r, n);
        r->depth--;
        return e;
}
