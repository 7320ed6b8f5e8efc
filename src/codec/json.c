/* The JSON reader.
 *
 * One loop, no recursion. The text is copied into the arena once and strings are unescaped in that
 * copy (an escape is never shorter than what it stands for), so that a string costs no allocation.
 * Values whose container is still open wait on one heap stack; when the container closes, its
 * children move to the arena as one array. An open container's entry keeps, in place of its value,
 * the stack index of the container around it.
 *
 * I1  Nothing is written behind r->at that a later step reads as text.
 * I2  Arena plus stack never exceed limits.memory: charge() comes before each growth.
 * I3  Names are compared when their object closes: in pairs while few, sorted when many, so that a
 *     hostile object costs n log n. */
#include "codec/json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "codec/json-utf8.h"

const struct json_limits json_limits_default = {
        .bytes = 16u << 20,
        .depth = 64,
        .memory = 64u << 20,
};

#define NONE SIZE_MAX
/* Writing a tree recurses: no limit may allow more than a thread's stack takes. */
#define DEPTH_MAX 1024u
/* Up to here comparing all pairs is cheaper than sorting. */
#define PAIRS_MAX 24u

struct reader {
        struct arena *arena;
        struct json_limits limits;
        size_t used_before; /* by others, of the arena */
        char *text, *at, *end;
        struct json_member *stack;
        size_t n, cap;
        size_t open; /* stack index of the innermost open container, or NONE */
        unsigned depth;
        const char *what, *where, *key; /* of the error */
};

static int fail_at(struct reader *r, const char *where, const char *what)
{
        r->what = what;
        r->where = where;
        return -EINVAL;
}

static int fail(struct reader *r, const char *what)
{
        return fail_at(r, r->at, r->at == r->end ? "unexpected end of the text" : what);
}

static int charge(struct reader *r, size_t members, size_t bytes)
{
        size_t used = r->arena->used - r->used_before + (r->n + members) * sizeof *r->stack;

        if (used <= r->limits.memory && bytes <= r->limits.memory - used)
                return 0;
        fail_at(r, r->at, "too many values");
        return -E2BIG;
}

static int push(struct reader *r)
{
        int ret = charge(r, 1, 0);

        if (ret < 0)
                return ret;
        if (r->n == r->cap) {
                r->cap = MIN(r->cap ? r->cap * 2 : 64, r->limits.memory / sizeof *r->stack + 1);
                r->stack = mem_realloc(r->stack, mem_mul(r->cap, sizeof *r->stack));
        }
        r->stack[r->n++] = (struct json_member){ 0 };
        return 0;
}

static void skip_blanks(struct reader *r)
{
        while (r->at < r->end &&
               (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
                r->at++;
}

/* ---- strings ---- */

static int hex4(struct reader *r, uint32_t *ret)
{
        uint32_t v = 0;

        for (int i = 0; i < 4; i++, r->at++) {
                char c = r->at < r->end ? *r->at : 0;
                char low = (char)(c | 0x20);

                if (c >= '0' && c <= '9')
                        v = v << 4 | (uint32_t)(c - '0');
                else if (low >= 'a' && low <= 'f')
                        v = v << 4 | (uint32_t)(low - 'a' + 10);
                else
                        return fail(r, "four hexadecimal digits expected after \\u");
        }
        *ret = v;
        return 0;
}

/* After "\u". */
static int read_code_point(struct reader *r, uint32_t *ret)
{
        const char *start = r->at - 2;
        uint32_t high, low;

        if (hex4(r, &high) < 0)
                return -EINVAL;
        if (high >= 0xdc00 && high <= 0xdfff)
                return fail_at(r, start, "surrogate without its pair");
        if (high < 0xd800 || high > 0xdbff) {
                *ret = high;
                return 0;
        }
        if (r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u')
                return fail_at(r, start, "surrogate without its pair");
        r->at += 2;
        if (hex4(r, &low) < 0)
                return -EINVAL;
        if (low < 0xdc00 || low > 0xdfff)
                return fail_at(r, start, "surrogate without its pair");
        *ret = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return 0;
}

/* At a backslash; writes what it stands for at out, which is behind. */
static int read_escape(struct reader *r, char **out)
{
        static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
        const char *found;
        uint32_t c;

        if (++r->at == r->end)
                return fail(r, "");
        if (*r->at == 'u') {
                r->at++;
                if (read_code_point(r, &c) < 0)
                        return -EINVAL;
                *out += json_utf8_put(*out, c);
                return 0;
        }
        found = *r->at ? strchr(names, *r->at) : NULL;
        if (!found)
                return fail(r, "unknown escape");
        *(*out)++ = values[found - names];
        r->at++;
        return 0;
}

static bool is_plain(unsigned char c)
{
        return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* At a quote. The string stays in the text, ended by a NUL (I1: the closing quote is read by
 * then). */
static int read_string(struct reader *r, const char **ret, uint32_t *ret_len)
{
        char *start = ++r->at, *out = start;

        for (;;) {
                char *run = r->at;
                size_t n;

                while (r->at < r->end && is_plain((unsigned char)*r->at))
                        r->at++;
                if (out != run)
                        memmove(out, run, (size_t)(r->at - run));
                out += r->at - run;
                if (r->at == r->end)
                        return fail(r, "");
                if (*r->at == '"')
                        break;
                if (*r->at == '\\') {
                        if (read_escape(r, &out) < 0)
                                return -EINVAL;
                        continue;
                }
                if ((unsigned char)*r->at < 0x20)
                        return fail(r, "control character in a string");
                n = json_utf8_len(r->at, (size_t)(r->end - r->at));
                if (n == 0)
                        return fail(r, "invalid UTF-8");
                memmove(out, r->at, n);
                out += n;
                r->at += n;
        }
        r->at++;
        *out = 0;
        *ret = start;
        *ret_len = (uint32_t)(out - start);
        return 0;
}

/* ---- numbers and words ---- */

static int read_digits(struct reader *r)
{
        if (r->at == r->end || *r->at < '0' || *r->at > '9')
                return fail(r, "a digit expected");
        while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
                r->at++;
        return 0;
}

/* The digits [s, r->at) as 64 bits; false where they don't fit. */
static bool take_integer(const struct reader *r, const char *s, bool minus, struct json *v)
{
        uint64_t sum = 0;

        for (; s < r->at; s++)
                if (__builtin_mul_overflow(sum, 10u, &sum) ||
                    __builtin_add_overflow(sum, (uint64_t)(*s - '0'), &sum))
                        return false;
        if (sum > (uint64_t)INT64_MAX + minus) {
                v->type = JSON_UINT;
                v->u = sum;
                return !minus;
        }
        v->type = JSON_INT;
        v->i = minus ? (int64_t)-sum : (int64_t)sum;
        return true;
}

static int read_number(struct reader *r, struct json *v)
{
        const char *start = r->at;
        bool minus = *start == '-', whole = true;

        r->at += minus;
        if (r->end - r->at > 1 && r->at[0] == '0' && r->at[1] >= '0' && r->at[1] <= '9')
                return fail(r, "a number can't begin with 0");
        if (read_digits(r) < 0)
                return -EINVAL;
        if (r->at < r->end && *r->at == '.') {
                whole = false;
                r->at++;
                if (read_digits(r) < 0)
                        return -EINVAL;
        }
        if (r->at < r->end && (*r->at | 0x20) == 'e') {
                whole = false;
                r->at++;
                if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
                        r->at++;
                if (read_digits(r) < 0)
                        return -EINVAL;
        }
        if (whole && take_integer(r, start + minus, minus, v))
                return 0;
        /* The grammar is checked and programs stay in the C locale: strtod() stops at r->at. */
        v->type = JSON_DOUBLE;
        v->d = strtod(start, NULL);
        return isfinite(v->d) ? 0 : fail_at(r, start, "number out of range");
}

static int read_word(struct reader *r, struct json *v)
{
        static const struct {
                const char *text;
                struct json value;
        } words[] = {
                { "null", { .type = JSON_NULL } },
                { "true", { .type = JSON_BOOL, .b = true } },
                { "false", { .type = JSON_BOOL, .b = false } },
        };

        for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
                size_t n = strlen(words[i].text);

                if ((size_t)(r->end - r->at) >= n && memcmp(r->at, words[i].text, n) == 0) {
                        r->at += n;
                        *v = words[i].value;
                        return 0;
                }
        }
        return fail(r, "a value expected");
}

/* ---- containers ---- */

static int duplicate(struct reader *r, const char *a, const char *b)
{
        r->key = a > b ? a : b; /* the later one: names lie in the text */
        return fail_at(r, r->key, "duplicate key");
}

static int name_order(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_many_names(struct reader *r, const struct json_member *m, size_t n)
{
        AUTO_FREE const char **names = NULL;

        /* Twice: qsort() of the C library may take as much again. */
        if (charge(r, 0, n * 2 * sizeof *names) < 0)
                return -E2BIG;
        names = mem_realloc(NULL, mem_mul(n, sizeof *names));
        for (size_t i = 0; i < n; i++)
                names[i] = m[i].name;
        qsort(names, n, sizeof *names, name_order);
        for (size_t i = 1; i < n; i++)
                if (str_eq(names[i - 1], names[i]))
                        return duplicate(r, names[i - 1], names[i]);
        return 0;
}

static int check_names(struct reader *r, const struct json_member *m, size_t n)
{
        if (n > PAIRS_MAX)
                return check_many_names(r, m, n);
        for (size_t i = 1; i < n; i++)
                for (size_t k = 0; k < i; k++)
                        if (str_eq(m[i].name, m[k].name))
                                return duplicate(r, m[i].name, m[k].name);
        return 0;
}

/* At a bracket that opens; the top of the stack becomes the innermost container. */
static int open_container(struct reader *r, enum json_type type)
{
        struct json *v = &r->stack[r->n - 1].value;

        if (r->depth == r->limits.depth) {
                fail_at(r, r->at, "nested too deeply");
                return -E2BIG;
        }
        r->depth++;
        v->type = type;
        v->u = r->open;
        r->open = r->n - 1;
        r->at++;
        return 0;
}

/* Moves the children of the innermost container to the arena (I2, I3). */
static int close_container(struct reader *r)
{
        struct json *v = &r->stack[r->open].value;
        const struct json_member *children = &r->stack[r->open + 1];
        size_t n = r->n - r->open - 1, outer = (size_t)v->u;
        bool object = v->type == JSON_OBJECT;
        int ret;

        ret = charge(r, 0, n * (object ? sizeof *v->members : sizeof *v->items));
        if (ret == 0 && object)
                ret = check_names(r, children, n);
        if (ret < 0)
                return ret;
        v->n = (uint32_t)n;
        v->items = NULL;
        if (n > 0 && object) {
                struct json_member *members = arena_array(r->arena, struct json_member, n);

                memcpy(members, children, n * sizeof *members);
                v->members = members;
        } else if (n > 0) {
                struct json *items = arena_array(r->arena, struct json, n);

                for (size_t i = 0; i < n; i++)
                        items[i] = children[i].value;
                v->items = items;
        }
        r->n = r->open + 1;
        r->open = outer;
        r->depth--;
        r->at++;
        return 0;
}

static bool in_object(const struct reader *r)
{
        return r->open != NONE && r->stack[r->open].value.type == JSON_OBJECT;
}

/* `"name" :`, into the top of the stack. */
static int read_name(struct reader *r)
{
        struct json_member *m = &r->stack[r->n - 1];
        const char *quote = r->at;
        uint32_t n;

        if (r->at == r->end || *r->at != '"')
                return fail(r, "a quoted name expected");
        if (read_string(r, &m->name, &n) < 0)
                return -EINVAL;
        if (strlen(m->name) != n)
                return fail_at(r, quote, "a name holds U+0000");
        skip_blanks(r);
        if (r->at == r->end || *r->at != ':')
                return fail(r, "a colon expected");
        r->at++;
        skip_blanks(r);
        return 0;
}

/* One value up to its end, or, for a container, past its opening bracket. */
static int read_value(struct reader *r)
{
        struct json *v;
        int ret = push(r);

        if (ret < 0 || (in_object(r) && (ret = read_name(r)) < 0))
                return ret;
        v = &r->stack[r->n - 1].value;
        if (r->at == r->end)
                return fail(r, "");
        switch (*r->at) {
        case '{':
                return open_container(r, JSON_OBJECT);
        case '[':
                return open_container(r, JSON_ARRAY);
        case '"':
                v->type = JSON_STRING;
                return read_string(r, &v->s, &v->n);
        case '-':
        case '0' ... '9':
                return read_number(r, v);
        default:
                return read_word(r, v);
        }
}

static char closing_bracket(const struct reader *r)
{
        return in_object(r) ? '}' : ']';
}

/* After a complete value: closes what ends here. *ret_more tells whether another value follows. */
static int read_end(struct reader *r, bool *ret_more)
{
        int ret;

        for (;;) {
                skip_blanks(r);
                if (r->open == NONE) {
                        *ret_more = false;
                        return r->at == r->end ? 0 : fail(r, "bytes after the value");
                }
                if (r->at < r->end && *r->at == ',') {
                        r->at++;
                        *ret_more = true;
                        return 0;
                }
                if (r->at == r->end || *r->at != closing_bracket(r))
                        return fail(r,
                                    in_object(r) ? "',' or '}' expected" : "',' or ']' expected");
                ret = close_container(r);
                if (ret < 0)
                        return ret;
        }
}

static int read_text(struct reader *r)
{
        bool more = true;
        int ret;

        if (r->end - r->at >= 3 && memcmp(r->at, "\xef\xbb\xbf", 3) == 0)
                return fail(r, "a byte order mark");
        while (more) {
                bool opened;

                skip_blanks(r);
                ret = read_value(r);
                if (ret < 0)
                        return ret;
                opened = r->open == r->n - 1;
                skip_blanks(r);
                if (opened && (r->at == r->end || *r->at != closing_bracket(r)))
                        continue;
                ret = read_end(r, &more);
                if (ret < 0)
                        return ret;
        }
        return 0;
}

static void describe(const struct reader *r, const char *text, struct json_error *ret)
{
        *ret = (struct json_error){ .what = r->what, .line = 1, .column = 1 };
        ret->offset = r->where ? (size_t)(r->where - r->text) : 0;
        for (size_t i = 0; i < ret->offset; i++) {
                ret->column++;
                if (text[i] == '\n') {
                        ret->line++;
                        ret->column = 1;
                }
        }
        if (!r->key)
                return;
        for (size_t i = 0; r->key[i];) {
                size_t n = json_utf8_len(r->key + i, 4);

                if (i + n >= sizeof ret->key)
                        break;
                memcpy(ret->key + i, r->key + i, n);
                i += n;
        }
}

int json_parse(struct arena *a, const char *text, size_t n, const struct json_limits *l,
               struct json *ret, struct json_error *ret_error)
{
        struct reader r = {
                .arena = a,
                .limits = l ? *l : json_limits_default,
                .used_before = a->used,
                .open = NONE,
        };
        int err;

        r.limits.depth = MIN(r.limits.depth, DEPTH_MAX);
        r.limits.bytes = MIN(r.limits.bytes, (size_t)UINT32_MAX - 1);
        if (n > r.limits.bytes || n >= r.limits.memory) {
                fail_at(&r, NULL, "the text is too long");
                err = -E2BIG;
        } else {
                r.text = r.at = arena_strndup(a, text, n);
                r.end = r.text + n;
                err = read_text(&r);
        }
        if (err == 0)
                *ret = r.stack[0].value;
        else if (ret_error)
                describe(&r, text, ret_error);
        free(r.stack);
        return err;
}
