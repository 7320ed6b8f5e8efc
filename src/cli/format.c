/* Templates: a list of nodes, read by recursive descent; a node's expression is a call with
 * arguments, a piped value being the last argument of the next. */
#include "cli/format.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/suggest.h"

enum { DEPTH_MAX = 16, TEXT_MAX = 65536, ARGS_MAX = 8, OUTPUT_MAX = 64 << 20 };

enum expr_kind { EXPR_PATH, EXPR_LITERAL, EXPR_CALL };

struct expr {
        enum expr_kind kind;
        const char *path; /* "Config.Env"; "" is dot itself */
        struct json literal;
        const struct function *function;
        struct expr *args[ARGS_MAX];
        size_t nargs;
};

enum node_kind { NODE_TEXT, NODE_VALUE, NODE_IF, NODE_RANGE, NODE_WITH };

struct node {
        enum node_kind kind;
        const char *text;
        size_t n;
        struct expr *expr;
        struct node *body, *otherwise, *next;
};

struct template
{
        struct node *first;
};

struct call {
        struct arena *a;
        struct json args[ARGS_MAX];
        size_t n;
        struct err *e;
};
struct function {
        const char *name;
        size_t min, max;
        int (*run)(struct call *c, struct json *ret);
};

/* ---- values ---- */

static struct json string_value(struct arena *a, const char *s, size_t n)
{
        return (struct json){ .type = JSON_STRING, .n = (uint32_t)n, .s = arena_strndup(a, s, n) };
}

static bool truth(const struct json *j)
{
        switch (j->type) {
        case JSON_NULL:
                return false;
        case JSON_BOOL:
                return j->b;
        case JSON_INT:
                return j->i != 0;
        case JSON_UINT:
                return true;
        case JSON_DOUBLE:
                return j->d != 0;
        default:
                return j->n > 0;
        }
}

/* As Go's fmt prints a value. */
static void print_value(const struct json *j, struct buf *out)
{
        switch (j->type) {
        case JSON_NULL:
                buf_puts(out, "<no value>");
                break;
        case JSON_BOOL:
                buf_puts(out, j->b ? "true" : "false");
                break;
        case JSON_INT:
                buf_printf(out, "%" PRId64, j->i);
                break;
        case JSON_UINT:
                buf_printf(out, "%" PRIu64, j->u);
                break;
        case JSON_DOUBLE:
                buf_printf(out, "%g", j->d);
                break;
        case JSON_STRING:
                buf_add(out, j->s, j->n);
                break;
        case JSON_ARRAY:
                buf_putc(out, '[');
                for (uint32_t i = 0; i < j->n; i++) {
                        buf_puts(out, i ? " " : "");
                        print_value(&j->items[i], out);
                }
                buf_putc(out, ']');
                break;
        default:
                buf_puts(out, "map[");
                for (uint32_t i = 0; i < j->n; i++) {
                        buf_printf(out, "%s%s:", i ? " " : "", j->members[i].name);
                        print_value(&j->members[i].value, out);
                }
                buf_putc(out, ']');
        }
}

static struct json printed(struct arena *a, const struct json *j)
{
        AUTO_BUF b = { 0 };

        print_value(j, &b);
        return string_value(a, buf_str(&b), b.len);
}

/* ---- functions ---- */

static int run_json(struct call *c, struct json *ret)
{
        AUTO_BUF b = { 0 };
        struct json_writer w = { .out = &b };

        json_put(&w, NULL, &c->args[0]);
        *ret = string_value(c->a, buf_str(&b), b.len);
        return 0;
}

static int run_len(struct call *c, struct json *ret)
{
        const struct json *j = &c->args[0];

        if (j->type != JSON_STRING && j->type != JSON_ARRAY && j->type != JSON_OBJECT &&
            j->type != JSON_NULL)
                return err_set(c->e, ERR_INVALID, "a %s has no length", json_type_name(j->type));
        *ret = (struct json){ .type = JSON_INT, .i = j->type == JSON_NULL ? 0 : j->n };
        return 0;
}

/* Of podman and docker alike: list first; piped, the list comes last. */
static int run_join(struct call *c, struct json *ret)
{
        const struct json *list = &c->args[0], *between = &c->args[1];
        AUTO_BUF b = { 0 };

        if (list->type != JSON_ARRAY && list->type != JSON_NULL) {
                list = &c->args[1];
                between = &c->args[0];
        }
        if ((list->type != JSON_ARRAY && list->type != JSON_NULL) || between->type != JSON_STRING)
                return err_set(c->e, ERR_INVALID, "join takes a list and a string");
        for (uint32_t i = 0; list->type == JSON_ARRAY && i < list->n; i++) {
                if (i)
                        buf_add(&b, between->s, between->n);
                print_value(&list->items[i], &b);
        }
        *ret = string_value(c->a, buf_str(&b), b.len);
        return 0;
}

static struct json changed(struct call *c, int (*change)(int), bool initials)
{
        struct json s = printed(c->a, &c->args[0]);
        char *text = (char *)s.s; /* just made */

        for (uint32_t i = 0; i < s.n; i++)
                if (!initials || i == 0 || text[i - 1] == ' ')
                        text[i] = (char)change((unsigned char)text[i]);
        return s;
}

static int run_upper(struct call *c, struct json *ret)
{
        *ret = changed(c, toupper, false);
        return 0;
}

static int run_lower(struct call *c, struct json *ret)
{
        *ret = changed(c, tolower, false);
        return 0;
}

static int run_title(struct call *c, struct json *ret)
{
        *ret = changed(c, toupper, true);
        return 0;
}

static int run_println(struct call *c, struct json *ret)
{
        AUTO_BUF b = { 0 };

        for (size_t i = 0; i < c->n; i++) {
                buf_puts(&b, i ? " " : "");
                print_value(&c->args[i], &b);
        }
        buf_putc(&b, '\n');
        *ret = string_value(c->a, b.s, b.len);
        return 0;
}

static int run_index(struct call *c, struct json *ret)
{
        struct json at = c->args[0];

        for (size_t i = 1; i < c->n; i++) {
                const struct json *key = &c->args[i], *found = NULL;

                if (at.type == JSON_OBJECT && key->type == JSON_STRING) {
                        found = json_get(&at, key->s);
                } else if (at.type == JSON_ARRAY && key->type == JSON_INT) {
                        if (key->i < 0 || key->i >= at.n)
                                return err_set(c->e, ERR_INVALID,
                                               "index %" PRId64 " is out of range", key->i);
                        found = &at.items[key->i];
                } else if (at.type != JSON_NULL) {
                        return err_set(c->e, ERR_INVALID, "index: a %s has no %s as an index",
                                       json_type_name(at.type), json_type_name(key->type));
                }
                at = found ? *found : (struct json){ .type = JSON_NULL };
        }
        *ret = at;
        return 0;
}

static bool equal(struct call *c)
{
        struct json a = printed(c->a, &c->args[0]), b = printed(c->a, &c->args[1]);

        return a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
}

static int run_eq(struct call *c, struct json *ret)
{
        *ret = (struct json){ .type = JSON_BOOL, .b = equal(c) };
        return 0;
}

static int run_ne(struct call *c, struct json *ret)
{
        *ret = (struct json){ .type = JSON_BOOL, .b = !equal(c) };
        return 0;
}

static int run_not(struct call *c, struct json *ret)
{
        *ret = (struct json){ .type = JSON_BOOL, .b = !truth(&c->args[0]) };
        return 0;
}

static const struct function functions[] = {
        { "json", 1, 1, run_json },   { "len", 1, 1, run_len },
        { "join", 2, 2, run_join },   { "upper", 1, 1, run_upper },
        { "lower", 1, 1, run_lower }, { "title", 1, 1, run_title },
        { "index", 2, 8, run_index }, { "println", 0, 8, run_println },
        { "eq", 2, 2, run_eq },       { "ne", 2, 2, run_ne },
        { "not", 1, 1, run_not },
};

/* ---- parsing ---- */

struct parser {
        struct arena *a;
        const char *at, *end;  /* of the whole text */
        const char *in, *stop; /* within {{ }} */
        unsigned depth;
        const char *word; /* that ended a list of nodes: "end", "else", or NULL */
        struct err *e;
};

static int bad(struct parser *p, const char *what)
{
        return err_set(p->e, ERR_INVALID, "--format: %s at \"%.40s\"", what,
                       p->in ? arena_strndup(p->a, p->in, (size_t)(p->stop - p->in)) : p->at);
}

static void skip_blanks(struct parser *p)
{
        while (p->in < p->stop && isspace((unsigned char)*p->in))
                p->in++;
}

static size_t name_length(const struct parser *p)
{
        const char *c = p->in;

        while (c < p->stop && (isalnum((unsigned char)*c) || *c == '_' || *c == '-'))
                c++;
        return (size_t)(c - p->in);
}

static int parse_path(struct parser *p, struct expr *ret)
{
        const char *from = ++p->in;

        while (p->in < p->stop && name_length(p) > 0) {
                p->in += name_length(p);
                if (p->in >= p->stop || *p->in != '.')
                        break;
                p->in++;
        }
        if (p->in > from && p->in[-1] == '.')
                return bad(p, "a name is missing");
        ret->kind = EXPR_PATH;
        ret->path = arena_strndup(p->a, from, (size_t)(p->in - from));
        return 0;
}

static int parse_string(struct parser *p, struct expr *ret)
{
        char quote = *p->in++;
        AUTO_BUF b = { 0 };

        for (; p->in < p->stop && *p->in != quote; p->in++) {
                if (*p->in == '\\' && quote == '"' && p->in + 1 < p->stop) {
                        p->in++;
                        buf_putc(&b, *p->in == 'n' ? '\n' : *p->in == 't' ? '\t' : *p->in);
                } else {
                        buf_putc(&b, *p->in);
                }
        }
        if (p->in >= p->stop)
                return bad(p, "a string without an end");
        p->in++;
        ret->kind = EXPR_LITERAL;
        ret->literal = string_value(p->a, buf_str(&b), b.len);
        return 0;
}

static int parse_number(struct parser *p, struct expr *ret)
{
        size_t n = name_length(p);
        int64_t v;

        if (str_to_i64(arena_strndup(p->a, p->in, n), &v) < 0)
                return bad(p, "no number");
        p->in += n;
        ret->kind = EXPR_LITERAL;
        ret->literal = (struct json){ .type = JSON_INT, .i = v };
        return 0;
}

static int parse_pipeline(struct parser *p, struct expr **ret);

static int parse_function(struct parser *p, struct expr *ret)
{
        size_t n = name_length(p);
        const char *name = arena_strndup(p->a, p->in, n);
        struct suggest near = { .wrong = name };

        if (str_eq(name, "true") || str_eq(name, "false")) {
                ret->kind = EXPR_LITERAL;
                ret->literal = (struct json){ .type = JSON_BOOL, .b = *name == 't' };
                p->in += n;
                return 0;
        }
        for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
                if (str_eq(functions[i].name, name)) {
                        ret->kind = EXPR_CALL;
                        ret->function = &functions[i];
                        p->in += n;
                        return 0;
                }
                suggest_offer(&near, functions[i].name);
        }
        err_set(p->e, ERR_INVALID, "--format: the function \"%.40s\" is not known", name);
        return err_hint(p->e,
                        near.best ? "Did you mean '%s'?"
                                  : "There are json, join, index, len, upper, lower, title, "
                                    "println, eq, ne and not.",
                        near.best);
}

static int parse_operand(struct parser *p, struct expr **ret)
{
        struct expr *x = arena_new(p->a, struct expr);
        int r;

        *ret = x;
        if (*p->in == '.')
                return parse_path(p, x);
        if (*p->in == '"' || *p->in == '`')
                return parse_string(p, x);
        if (isdigit((unsigned char)*p->in) || *p->in == '-')
                return parse_number(p, x);
        if (isalpha((unsigned char)*p->in))
                return parse_function(p, x);
        if (*p->in == '$')
                return bad(p, "variables are not supported");
        if (*p->in != '(')
                return bad(p, "something unexpected");
        if (++p->depth > DEPTH_MAX)
                return bad(p, "nested too deeply");
        p->in++;
        r = parse_pipeline(p, ret);
        p->depth--;
        if (r < 0)
                return r;
        if (p->in >= p->stop || *p->in != ')')
                return bad(p, "a ')' is missing");
        p->in++;
        return 0;
}

/* A value, or a function with what follows it as arguments; first is what was piped in. */
static int parse_command(struct parser *p, struct expr *piped, struct expr **ret)
{
        struct expr *x;

        skip_blanks(p);
        if (p->in >= p->stop)
                return bad(p, "a value is missing");
        if (parse_operand(p, &x) < 0)
                return -1;
        for (skip_blanks(p); p->in < p->stop && *p->in != '|' && *p->in != ')'; skip_blanks(p)) {
                if (x->kind != EXPR_CALL || x->nargs >= ARGS_MAX - 1)
                        return bad(p, "something unexpected");
                if (parse_operand(p, &x->args[x->nargs]) < 0)
                        return -1;
                if (x->args[x->nargs]->kind == EXPR_CALL && x->args[x->nargs]->nargs == 0 &&
                    x->args[x->nargs]->function->min > 0)
                        return bad(p, "put a function's call into (...)");
                x->nargs++;
        }
        if (piped && x->kind != EXPR_CALL)
                return bad(p, "only a function takes what is piped to it");
        if (piped)
                x->args[x->nargs++] = piped;
        if (x->kind == EXPR_CALL && (x->nargs < x->function->min || x->nargs > x->function->max))
                return err_set(p->e, ERR_INVALID, "--format: wrong number of arguments of \"%s\"",
                               x->function->name);
        *ret = x;
        return 0;
}

static int parse_pipeline(struct parser *p, struct expr **ret)
{
        struct expr *x = NULL;

        for (;;) {
                if (parse_command(p, x, &x) < 0)
                        return -1;
                if (p->in >= p->stop || *p->in != '|')
                        break;
                p->in++;
        }
        *ret = x;
        return 0;
}

static int parse_nodes(struct parser *p, struct node **ret);

/* The nodes up to {{end}}, and those after {{else}}. */
static int parse_block(struct parser *p, struct node *n)
{
        if (parse_pipeline(p, &n->expr) < 0)
                return -1;
        if (p->in < p->stop)
                return bad(p, "something unexpected");
        if (++p->depth > DEPTH_MAX)
                return bad(p, "nested too deeply");
        if (parse_nodes(p, &n->body) < 0)
                return -1;
        if (p->word && str_eq(p->word, "else") && parse_nodes(p, &n->otherwise) < 0)
                return -1;
        p->depth--;
        if (!p->word || !str_eq(p->word, "end"))
                return err_set(p->e, ERR_INVALID, "--format: an {{end}} is missing");
        p->word = NULL;
        return 0;
}

/* Finds the }} of an action, strings skipped. */
static const char *action_end(const struct parser *p, const char *from)
{
        char quote = 0;

        for (const char *c = from; c + 1 < p->end; c++) {
                if (quote) {
                        if (*c == '\\' && quote == '"')
                                c++;
                        else if (*c == quote)
                                quote = 0;
                } else if (*c == '"' || *c == '`') {
                        quote = *c;
                } else if (c[0] == '}' && c[1] == '}') {
                        return c;
                }
        }
        return NULL;
}

static struct node *node_add(struct parser *p, struct node ***tail, enum node_kind kind)
{
        struct node *n = arena_new(p->a, struct node);

        n->kind = kind;
        **tail = n;
        *tail = &n->next;
        return n;
}

/* Text, its \t and \n made what they stand for. */
static void text_add(struct parser *p, struct node ***tail, const char *s, size_t n)
{
        AUTO_BUF b = { 0 };
        struct node *node;

        for (size_t i = 0; i < n; i++) {
                bool escape = s[i] == '\\' && i + 1 < n && (s[i + 1] == 't' || s[i + 1] == 'n');

                buf_putc(&b, !escape ? s[i] : s[i + 1] == 't' ? '\t' : '\n');
                i += escape;
        }
        if (b.len == 0)
                return;
        node = node_add(p, tail, NODE_TEXT);
        node->text = arena_strndup(p->a, b.s, b.len);
        node->n = b.len;
}

static size_t trim_end(const char *s, size_t n)
{
        while (n > 0 && isspace((unsigned char)s[n - 1]))
                n--;
        return n;
}

static int parse_action(struct parser *p, struct node ***tail)
{
        static const struct {
                const char *word;
                enum node_kind kind;
        } blocks[] = { { "if", NODE_IF }, { "range", NODE_RANGE }, { "with", NODE_WITH } };
        const char *word;

        skip_blanks(p);
        word = arena_strndup(p->a, p->in, name_length(p));
        if (str_eq(word, "end") || str_eq(word, "else")) {
                p->in += strlen(word);
                skip_blanks(p);
                p->word = word;
                return p->in < p->stop ? bad(p, "something unexpected") : 0;
        }
        for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
                if (str_eq(word, blocks[i].word)) {
                        p->in += strlen(word);
                        return parse_block(p, node_add(p, tail, blocks[i].kind));
                }
        if (p->in + 1 < p->stop && p->in[0] == '/' && p->in[1] == '*') /* a comment */
                return 0;
        if (parse_pipeline(p, &node_add(p, tail, NODE_VALUE)->expr) < 0)
                return -1;
        return p->in < p->stop ? bad(p, "something unexpected") : 0;
}

/* Up to the end of the text, or a word that p->word then holds. */
static int parse_nodes(struct parser *p, struct node **ret)
{
        struct node **tail = ret;

        p->word = NULL;
        while (p->at < p->end) {
                const char *open = memmem(p->at, (size_t)(p->end - p->at), "{{", 2), *close;
                size_t n = (size_t)((open ? open : p->end) - p->at);
                bool trim;

                if (!open) {
                        text_add(p, &tail, p->at, n);
                        p->at = p->end;
                        break;
                }
                trim = open + 2 < p->end && open[2] == '-';
                text_add(p, &tail, p->at, trim ? trim_end(p->at, n) : n);
                p->at = open;
                close = action_end(p, open + 2);
                if (!close)
                        return err_set(p->e, ERR_INVALID, "--format: a }} is missing");
                p->in = open + 2 + trim;
                p->stop = close;
                trim = close > p->in && close[-1] == '-';
                if (trim)
                        p->stop--;
                p->at = close + 2;
                while (trim && p->at < p->end && isspace((unsigned char)*p->at))
                        p->at++;
                if (parse_action(p, &tail) < 0)
                        return -1;
                p->in = NULL;
                if (p->word)
                        break;
        }
        return 0;
}

int template_parse(struct arena *a, const char *text, struct template **ret, struct err *e)
{
        struct parser p = { .a = a, .at = text, .end = text + strlen(text), .e = e };
        struct template *t = arena_new(a, struct template);

        if (p.end - p.at > TEXT_MAX)
                return err_set(e, ERR_LIMIT, "--format: longer than %d bytes", TEXT_MAX);
        if (parse_nodes(&p, &t->first) < 0)
                return -1;
        if (p.word)
                return err_set(e, ERR_INVALID, "--format: {{%s}} without a beginning", p.word);
        *ret = t;
        return 0;
}

/* ---- running ---- */

struct run {
        struct arena *a;
        struct buf *out;
        unsigned level; /* of range and with: what dot is made of */
        struct err *e;
};

static int no_member(struct run *r, const struct json *dot, const char *name)
{
        struct suggest near = { .wrong = name };

        for (uint32_t i = 0; i < dot->n; i++)
                suggest_offer(&near, dot->members[i].name);
        err_set(r->e, ERR_INVALID, "--format: there is no \".%s\"", name);
        if (near.best)
                return err_hint(r->e, "Did you mean '.%s'?", near.best);
        return err_hint(r->e, "`--format '{{json .}}'` shows what there is.");
}

static int follow(struct run *r, const char *path, const struct json *dot, struct json *ret)
{
        const struct json *at = dot;
        const char *part;
        size_t n;

        for (const char *next = *path ? path : NULL; next && str_next(&next, '.', &part, &n);) {
                char *name = arena_strndup(r->a, part, n);
                const struct json *found =
                        at && at->type == JSON_OBJECT ? json_get(at, name) : NULL;

                if (!found && at == dot && r->level == 0 && at->type == JSON_OBJECT)
                        return no_member(r, dot, name);
                if (!found && at && at->type != JSON_OBJECT && at->type != JSON_NULL)
                        return err_set(r->e, ERR_INVALID, "--format: a %s has no \".%s\"",
                                       json_type_name(at->type), name);
                at = found;
        }
        *ret = at ? *at : (struct json){ .type = JSON_NULL };
        return 0;
}

static int evaluate(struct run *r, const struct expr *x, const struct json *dot, struct json *ret)
{
        struct call c = { .a = r->a, .n = x->nargs, .e = r->e };

        if (x->kind == EXPR_PATH)
                return follow(r, x->path, dot, ret);
        if (x->kind == EXPR_LITERAL) {
                *ret = x->literal;
                return 0;
        }
        for (size_t i = 0; i < x->nargs; i++)
                if (evaluate(r, x->args[i], dot, &c.args[i]) < 0)
                        return -1;
        return x->function->run(&c, ret) < 0 ? err_in(r->e, "--format") : 0;
}

static int run_nodes(struct run *r, const struct node *n, const struct json *dot);

static int run_range(struct run *r, const struct node *n, const struct json *list)
{
        bool any = (list->type == JSON_ARRAY || list->type == JSON_OBJECT) && list->n > 0;
        int result = 0;

        if (!any && list->type != JSON_ARRAY && list->type != JSON_OBJECT &&
            list->type != JSON_NULL)
                return err_set(r->e, ERR_INVALID, "--format: range over a %s",
                               json_type_name(list->type));
        r->level++;
        for (uint32_t i = 0; any && result == 0 && i < list->n; i++)
                result = run_nodes(r, n->body,
                                   list->type == JSON_ARRAY ? &list->items[i]
                                                            : &list->members[i].value);
        r->level--;
        return result;
}

static int run_node(struct run *r, const struct node *n, const struct json *dot)
{
        struct json v;

        if (n->kind == NODE_TEXT) {
                buf_add(r->out, n->text, n->n);
                return 0;
        }
        if (evaluate(r, n->expr, dot, &v) < 0)
                return -1;
        switch (n->kind) {
        case NODE_VALUE:
                print_value(&v, r->out);
                return 0;
        case NODE_IF:
                return run_nodes(r, truth(&v) ? n->body : n->otherwise, dot);
        case NODE_RANGE:
                if (truth(&v))
                        return run_range(r, n, &v);
                return run_nodes(r, n->otherwise, dot);
        default: {
                int result;

                if (!truth(&v))
                        return run_nodes(r, n->otherwise, dot);
                r->level++;
                result = run_nodes(r, n->body, &v);
                r->level--;
                return result;
        }
        }
}

static int run_nodes(struct run *r, const struct node *n, const struct json *dot)
{
        for (; n; n = n->next) {
                if (run_node(r, n, dot) < 0)
                        return -1;
                if (r->out->len > OUTPUT_MAX)
                        return err_set(r->e, ERR_LIMIT, "--format: it gives too much");
        }
        return 0;
}

int template_run(const struct template *t, struct arena *a, const struct json *dot, struct buf *out,
                 struct err *e)
{
        struct run r = { .a = a, .out = out, .e = e };

        return run_nodes(&r, t->first, dot);
}
