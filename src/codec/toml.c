/* Lines, headers and tables of TOML. */
#include "codec/toml.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "codec/json-utf8.h"
#include "codec/toml-reader.h"

int toml_fail(struct toml_reader *r, const char *what)
{
        if (!r->what)
                r->what = what;
        if (!r->at)
                r->at = r->s;
        return -EINVAL;
}

int toml_peek(const struct toml_reader *r)
{
        return r->s < r->end ? (unsigned char)*r->s : -1;
}

void toml_blanks(struct toml_reader *r)
{
        while (toml_peek(r) == ' ' || toml_peek(r) == '\t')
                r->s++;
}

/* A comment up to the end of its line: UTF-8 without control characters. */
static int comment(struct toml_reader *r)
{
        while (r->s < r->end && *r->s != '\n') {
                size_t n = json_utf8_len(r->s, (size_t)(r->end - r->s));
                unsigned char c = (unsigned char)*r->s;

                if (n == 0)
                        return toml_fail(r, "invalid UTF-8");
                if (c == '\r' && r->end - r->s > 1 && r->s[1] == '\n')
                        return 0;
                if ((c < ' ' && c != '\t') || c == 0x7f)
                        return toml_fail(r, "a control character in a comment");
                r->s += n;
        }
        return 0;
}

int toml_line_end(struct toml_reader *r)
{
        int e;

        toml_blanks(r);
        if (toml_peek(r) == '#') {
                e = comment(r);
                if (e < 0)
                        return e;
        }
        if (r->s == r->end)
                return 0;
        if (*r->s == '\r' && r->end - r->s > 1 && r->s[1] == '\n')
                r->s++;
        if (*r->s != '\n')
                return toml_fail(r, "the end of the line expected");
        r->s++;
        return 0;
}

int toml_space(struct toml_reader *r)
{
        for (;;) {
                int c, e;

                toml_blanks(r);
                c = toml_peek(r);
                if (c != '#' && c != '\r' && c != '\n')
                        return 0;
                e = toml_line_end(r);
                if (e < 0)
                        return e;
        }
}

/* ---- tables ---- */

static struct toml_node *child(const struct toml_node *table, const char *name)
{
        struct toml_node *n = table->first;

        while (n && !str_eq(n->name, name))
                n = n->next;
        return n;
}

struct toml_node *toml_add(struct toml_reader *r, struct toml_node *parent, const char *name,
                           enum toml_kind kind)
{
        struct toml_node *n = arena_new(r->a, struct toml_node);

        n->kind = kind;
        n->name = name;
        if (parent->end)
                parent->end->next = n;
        else
                parent->first = n;
        parent->end = n;
        parent->n++;
        if (++r->keys > TOML_KEYS_MAX) {
                r->limit = -E2BIG;
                toml_fail(r, "too many keys and values");
                r->s = r->end; /* ends every loop */
        }
        return n;
}

/* A key's parts, separated by dots; blanks around them. */
static int key_parts(struct toml_reader *r, const char *parts[TOML_DEPTH_MAX], size_t *ret)
{
        size_t n = 0;
        int e;

        for (;;) {
                toml_blanks(r);
                if (n == TOML_DEPTH_MAX) {
                        r->limit = -E2BIG;
                        return toml_fail(r, "too many parts in a key");
                }
                e = toml_key(r, &parts[n]);
                if (e < 0)
                        return e;
                n++;
                toml_blanks(r);
                if (toml_peek(r) != '.')
                        break;
                r->s++;
        }
        *ret = n;
        return 0;
}

static int key_fail(struct toml_reader *r, const char *at, const char *key, const char *what)
{
        r->at = at;
        r->key = key;
        return toml_fail(r, what);
}

int toml_pair(struct toml_reader *r, struct toml_node *table)
{
        const char *parts[TOML_DEPTH_MAX], *at;
        size_t n;
        int e;

        toml_blanks(r);
        at = r->s;
        e = key_parts(r, parts, &n);
        if (e < 0)
                return e;
        for (size_t i = 0; i + 1 < n; i++) {
                struct toml_node *c = child(table, parts[i]);

                if (c && (c->kind != TOML_TABLE || c->origin != TOML_DOTTED))
                        return key_fail(r, at, parts[i], "a dotted key can't add to this");
                if (!c) {
                        c = toml_add(r, table, parts[i], TOML_TABLE);
                        c->origin = TOML_DOTTED;
                }
                table = c;
        }
        if (child(table, parts[n - 1]))
                return key_fail(r, at, parts[n - 1], "duplicate key");
        if (toml_peek(r) != '=')
                return toml_fail(r, "'=' expected");
        r->s++;
        toml_blanks(r);
        return toml_value(r, toml_add(r, table, parts[n - 1], TOML_VALUE));
}

/* The table that a header's part leads to. */
static struct toml_node *descend(struct toml_reader *r, struct toml_node *table, const char *name)
{
        struct toml_node *c = child(table, name);

        if (!c)
                return toml_add(r, table, name, TOML_TABLE);
        if (c->kind == TOML_TABLES)
                return c->end;
        return c->kind == TOML_TABLE && c->origin != TOML_INLINE ? c : NULL;
}

/* [[name]]: one more table of that array. */
static struct toml_node *append(struct toml_reader *r, struct toml_node *table, const char *name)
{
        struct toml_node *c = child(table, name);

        if (c && c->kind != TOML_TABLES)
                return NULL;
        if (!c)
                c = toml_add(r, table, name, TOML_TABLES);
        c = toml_add(r, c, name, TOML_TABLE);
        c->origin = TOML_HEADER;
        return c;
}

/* [name]: each may be written once. */
static struct toml_node *define(struct toml_reader *r, struct toml_node *table, const char *name)
{
        struct toml_node *c = child(table, name);

        if (c && (c->kind != TOML_TABLE || c->origin != TOML_IMPLIED))
                return NULL;
        if (!c)
                c = toml_add(r, table, name, TOML_TABLE);
        c->origin = TOML_HEADER;
        return c;
}

static int header(struct toml_reader *r, struct toml_node *root, struct toml_node **ret)
{
        const char *parts[TOML_DEPTH_MAX], *at = r->s;
        struct toml_node *table = root;
        bool array;
        size_t n;
        int e;

        array = r->end - r->s > 1 && r->s[1] == '[';
        r->s += 1 + array;
        e = key_parts(r, parts, &n);
        if (e < 0)
                return e;
        for (int i = 0; i < 1 + array; i++, r->s++)
                if (toml_peek(r) != ']')
                        return toml_fail(r, "']' expected");
        for (size_t i = 0; i + 1 < n; i++) {
                table = descend(r, table, parts[i]);
                if (!table)
                        return key_fail(r, at, parts[i], "not a table that can be added to");
        }
        table = (array ? append : define)(r, table, parts[n - 1]);
        if (!table)
                return key_fail(r, at, parts[n - 1], "the table is there already");
        *ret = table;
        return toml_line_end(r);
}

/* ---- the whole ---- */

static void freeze(struct arena *a, const struct toml_node *n, struct json *ret);

static void freeze_table(struct arena *a, const struct toml_node *n, struct json *ret)
{
        struct json_member *m = arena_array(a, struct json_member, n->n), *at = m;

        for (const struct toml_node *c = n->first; c; c = c->next, at++) {
                at->name = c->name;
                freeze(a, c, &at->value);
        }
        *ret = (struct json){ .type = JSON_OBJECT, .n = n->n, .members = m };
}

/* The tree that was grown node by node, as the arrays that readers of JSON know. */
static void freeze(struct arena *a, const struct toml_node *n, struct json *ret)
{
        struct json *items, *at;

        if (n->kind == TOML_VALUE) {
                *ret = n->value;
                return;
        }
        if (n->kind == TOML_TABLE) {
                freeze_table(a, n, ret);
                return;
        }
        at = items = arena_array(a, struct json, n->n);
        for (const struct toml_node *c = n->first; c; c = c->next)
                freeze(a, c, at++);
        *ret = (struct json){ .type = JSON_ARRAY, .n = n->n, .items = items };
}

static void describe(const struct toml_reader *r, const char *text, struct toml_error *ret)
{
        *ret = (struct toml_error){ .line = 1, .column = 1, .what = r->what };
        for (const char *s = text; s < r->at; s++) {
                ret->column++;
                if (*s == '\n') {
                        ret->line++;
                        ret->column = 1;
                }
        }
        if (r->key)
                snprintf(ret->key, sizeof ret->key, "%s", r->key);
}

static int lines(struct toml_reader *r, struct toml_node *root)
{
        struct toml_node *table = root;
        int e = toml_space(r);

        while (e == 0 && r->s < r->end) {
                if (*r->s == '[') {
                        e = header(r, root, &table);
                } else {
                        e = toml_pair(r, table);
                        if (e == 0)
                                e = toml_line_end(r);
                }
                if (e == 0)
                        e = toml_space(r);
        }
        return e;
}

int toml_parse(struct arena *a, const char *text, size_t n, struct json *ret,
               struct toml_error *ret_error)
{
        struct toml_reader r = { .a = a, .s = text, .end = text + n };
        struct toml_node root = { .kind = TOML_TABLE, .origin = TOML_HEADER };

        if (n > TOML_MAX) {
                r.limit = -E2BIG;
                toml_fail(&r, "the text is too long");
        } else if (lines(&r, &root) == 0 && !r.what) {
                freeze(a, &root, ret);
                return 0;
        }
        describe(&r, text, ret_error);
        return r.limit ? r.limit : -EINVAL;
}
