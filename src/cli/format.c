/* Templates: a list of nodes, read by recursive descent; a node's expression is a call with
 * arguments, a piped value being the last argument of the next. */
#include "cli/format.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "cli/format-functions.h"
#include "cli/suggest.h"

enum { DEPTH_MAX = 16, TEXT_MAX = 65536, VARS_MAX = 32, OUTPUT_MAX = 64 << 20 };

enum expr_kind { EXPR_PATH, EXPR_LITERAL, EXPR_CALL, EXPR_VARIABLE };

struct expr {
        enum expr_kind kind;
        struct expr *of;      /* EXPR_PATH: what it is followed from; NULL: dot */
        const char *path;     /* "Config.Env"; "" is dot itself */
        const char *variable; /* "$name"; "$" is the dot that the template began with */
        struct json literal;
        const struct format_function *function;
        struct expr *args[FORMAT_ARGS_MAX];
        size_t nargs;
};

enum node_kind { NODE_TEXT, NODE_VALUE, NODE_SET, NODE_IF, NODE_RANGE, NODE_WITH };

struct node {
        enum node_kind kind;
        const char *text;
        size_t n;
        const char *key, *variable; /* {{$variable := ...}}, {{range $key, $variable := ...}} */
        struct expr *expr;
        struct node *body, *otherwise, *next;
};

struct template
{
        struct node *first;
};

/* ---- parsing ---- */

struct parser {
        struct arena *a;
        const char *at, *end;  /* of the whole text */
        const char *in, *stop; /* within {{ }} */
        unsigned depth;
        const char *word; /* that ended a list of nodes: "end", "else", "else if", or NULL */
        const char *vars[VARS_MAX]; /* those that can be seen */
        size_t nvars;
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
        ret->literal = (struct json){ .type = JSON_STRING,
                                      .n = (uint32_t)b.len,
                                      .s = arena_strndup(p->a, buf_str(&b), b.len) };
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

        p->in += n;
        if (str_eq(name, "true") || str_eq(name, "false")) {
                ret->kind = EXPR_LITERAL;
                ret->literal = (struct json){ .type = JSON_BOOL, .b = *name == 't' };
                return 0;
        }
        if (str_eq(name, "nil")) {
                ret->kind = EXPR_LITERAL;
                ret->literal = (struct json){ .type = JSON_NULL };
                return 0;
        }
        ret->kind = EXPR_CALL;
        ret->function = format_function(name, p->e);
        return ret->function ? 0 : -1;
}

static const char *take_variable(struct parser *p)
{
        const char *from = p->in++;

        p->in += name_length(p);
        return arena_strndup(p->a, from, (size_t)(p->in - from));
}

/* $x, $x.Name; (...).Name */
static int parse_path_of(struct parser *p, struct expr *of, struct expr **ret)
{
        struct expr *x;

        *ret = of;
        if (p->in >= p->stop || *p->in != '.')
                return 0;
        *ret = x = arena_new(p->a, struct expr);
        x->of = of;
        return parse_path(p, x);
}

static int parse_variable(struct parser *p, struct expr *x, struct expr **ret)
{
        x->kind = EXPR_VARIABLE;
        x->variable = take_variable(p);
        for (size_t i = 0; i < p->nvars; i++)
                if (str_eq(p->vars[i], x->variable))
                        return parse_path_of(p, x, ret);
        if (str_eq(x->variable, "$"))
                return parse_path_of(p, x, ret);
        return err_set(p->e, ERR_INVALID, "--format: there is no variable \"%.40s\"", x->variable);
}

static int parse_nested(struct parser *p, struct expr **ret)
{
        if (++p->depth > DEPTH_MAX)
                return bad(p, "nested too deeply");
        p->in++;
        if (parse_pipeline(p, ret) < 0)
                return -1;
        p->depth--;
        if (p->in >= p->stop || *p->in != ')')
                return bad(p, "a ')' is missing");
        p->in++;
        return parse_path_of(p, *ret, ret);
}

static int parse_operand(struct parser *p, struct expr **ret)
{
        struct expr *x = arena_new(p->a, struct expr);

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
                return parse_variable(p, x, ret);
        if (*p->in != '(')
                return bad(p, "something unexpected");
        return parse_nested(p, ret);
}

/* A method of lists: its value is found by the function of that name. */
static bool is_label(const struct expr *x)
{
        size_t n = x->kind == EXPR_PATH ? strlen(x->path) : 0, len = strlen(FORMAT_LABEL);

        return (n == len - 1 && str_eq(x->path, &FORMAT_LABEL[1])) ||
               (n >= len && str_eq(x->path + n - len, FORMAT_LABEL));
}

static struct expr *label_of(struct parser *p, struct expr *labels)
{
        struct expr *x = arena_new(p->a, struct expr);

        *x = (struct expr){ .kind = EXPR_CALL,
                            .function = format_function(FORMAT_LABEL, p->e),
                            .args = { labels },
                            .nargs = 1 };
        return x;
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
                if (is_label(x))
                        x = label_of(p, x);
                if (x->kind != EXPR_CALL || x->nargs >= FORMAT_ARGS_MAX - 1)
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

/* "$x :=" or, of range, "$k, $x :=", where it is there. */
static int parse_declaration(struct parser *p, struct node *n, bool two)
{
        const char *from = p->in, *first, *second = NULL;

        skip_blanks(p);
        if (p->in >= p->stop || *p->in != '$')
                return 0;
        first = take_variable(p);
        skip_blanks(p);
        if (two && p->in < p->stop && *p->in == ',') {
                p->in++;
                skip_blanks(p);
                if (p->in >= p->stop || *p->in != '$')
                        return bad(p, "a variable is missing");
                second = take_variable(p);
                skip_blanks(p);
        }
        if (p->in + 1 >= p->stop || p->in[0] != ':' || p->in[1] != '=') {
                p->in = from; /* a value */
                return 0;
        }
        p->in += 2;
        n->key = second ? first : NULL;
        n->variable = second ? second : first;
        return 0;
}

static int declare(struct parser *p, const struct node *n)
{
        if (p->nvars + 2 > VARS_MAX)
                return bad(p, "too many variables");
        if (n->key)
                p->vars[p->nvars++] = n->key;
        if (n->variable)
                p->vars[p->nvars++] = n->variable;
        return 0;
}

static int parse_block(struct parser *p, struct node *n);

/* The nodes after {{else}}; those of {{else if}} are a block in its place, with the same end. */
static int parse_else(struct parser *p, struct node *n)
{
        if (!p->word || str_eq(p->word, "end"))
                return 0;
        if (str_eq(p->word, "else"))
                return parse_nodes(p, &n->otherwise);
        n->otherwise = arena_new(p->a, struct node);
        n->otherwise->kind = NODE_IF;
        if (parse_block(p, n->otherwise) < 0)
                return -1;
        p->word = "end";
        return 0;
}

/* The nodes up to {{end}}, and those after {{else}}. */
static int parse_block(struct parser *p, struct node *n)
{
        size_t nvars = p->nvars;

        if (parse_declaration(p, n, n->kind == NODE_RANGE) < 0 || parse_pipeline(p, &n->expr) < 0)
                return -1;
        if (p->in < p->stop)
                return bad(p, "something unexpected");
        if (++p->depth > DEPTH_MAX)
                return bad(p, "nested too deeply");
        if (declare(p, n) < 0 || parse_nodes(p, &n->body) < 0)
                return -1;
        p->nvars = nvars;
        if (parse_else(p, n) < 0)
                return -1;
        p->nvars = nvars;
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
        struct node *n;

        skip_blanks(p);
        word = arena_strndup(p->a, p->in, name_length(p));
        if (str_eq(word, "end") || str_eq(word, "else")) {
                p->in += strlen(word);
                skip_blanks(p);
                p->word = word;
                if (str_eq(word, "else") && name_length(p) == 2 && strncmp(p->in, "if", 2) == 0) {
                        p->in += 2;
                        p->word = "else if";
                        return 0;
                }
                return p->in < p->stop ? bad(p, "something unexpected") : 0;
        }
        for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
                if (str_eq(word, blocks[i].word)) {
                        p->in += strlen(word);
                        return parse_block(p, node_add(p, tail, blocks[i].kind));
                }
        if (p->in + 1 < p->stop && p->in[0] == '/' && p->in[1] == '*') /* a comment */
                return 0;
        n = node_add(p, tail, NODE_VALUE);
        if (parse_declaration(p, n, false) < 0 || parse_pipeline(p, &n->expr) < 0)
                return -1;
        if (n->variable)
                n->kind = NODE_SET;
        return p->in < p->stop ? bad(p, "something unexpected") : declare(p, n);
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
                if (p->word)
                        break;
                p->in = NULL;
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

struct variable {
        const char *name;
        struct json value;
};
struct run {
        struct arena *a;
        struct buf *out;
        const struct json *root;
        struct variable vars[VARS_MAX];
        size_t nvars;
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

/* Go's names of fields differ from JSON's in case: .ID and .Id, .Host.OCIRuntime and
 * .host.ociRuntime. Where an object has both, the exact one counts. */
static const struct json *member(const struct json *j, const char *name)
{
        const struct json *found = j->type == JSON_OBJECT ? json_get(j, name) : NULL;

        for (uint32_t i = 0; !found && j->type == JSON_OBJECT && i < j->n; i++)
                if (strcasecmp(j->members[i].name, name) == 0)
                        found = &j->members[i].value;
        return found;
}

static int follow(struct run *r, const char *path, const struct json *dot, struct json *ret)
{
        const struct json *at = dot;
        const char *part;
        size_t n;

        for (const char *next = *path ? path : NULL; next && str_next(&next, '.', &part, &n);) {
                char *name = arena_strndup(r->a, part, n);
                const struct json *found = at ? member(at, name) : NULL;

                if (!found && at == r->root && at->type == JSON_OBJECT)
                        return no_member(r, dot, name);
                if (!at || at->type == JSON_NULL)
                        return err_set(r->e, ERR_INVALID,
                                       "--format: \".%.*s\" has no value, so no \".%s\"",
                                       part > path ? (int)(part - path - 1) : 0, path, name);
                if (!found && at->type != JSON_OBJECT)
                        return err_set(r->e, ERR_INVALID, "--format: a %s has no \".%s\"",
                                       json_type_name(at->type), name);
                at = found;
        }
        *ret = at ? *at : (struct json){ .type = JSON_NULL };
        return 0;
}

/* The innermost of the name; the parser has seen to it that there is one. */
static struct json variable_of(const struct run *r, const char *name)
{
        for (size_t i = r->nvars; i-- > 0;)
                if (str_eq(r->vars[i].name, name))
                        return r->vars[i].value;
        return *r->root;
}

static void set_variable(struct run *r, const char *name, const struct json *value)
{
        if (name)
                r->vars[r->nvars++] = (struct variable){ name, *value };
}

static int evaluate(struct run *r, const struct expr *x, const struct json *dot, struct json *ret)
{
        struct format_call c = { .a = r->a, .n = x->nargs, .e = r->e };
        struct json of;

        switch (x->kind) {
        case EXPR_PATH:
                if (!x->of)
                        return follow(r, x->path, dot, ret);
                if (x->of->kind == EXPR_VARIABLE && str_eq(x->of->variable, "$"))
                        return follow(r, x->path, r->root, ret);
                return evaluate(r, x->of, dot, &of) < 0 ? -1 : follow(r, x->path, &of, ret);
        case EXPR_LITERAL:
                *ret = x->literal;
                return 0;
        case EXPR_VARIABLE:
                *ret = variable_of(r, x->variable);
                return 0;
        default:
                for (size_t i = 0; i < x->nargs; i++)
                        if (evaluate(r, x->args[i], dot, &c.args[i]) < 0)
                                return -1;
                return x->function->run(&c, ret) < 0 ? err_in(r->e, "--format") : 0;
        }
}

static int run_nodes(struct run *r, const struct node *n, const struct json *dot);

/* The members of an object are in its order. */
static int run_range(struct run *r, const struct node *n, const struct json *list)
{
        bool object = list->type == JSON_OBJECT;
        size_t nvars = r->nvars;

        if (list->type != JSON_ARRAY && !object)
                return err_set(r->e, ERR_INVALID, "--format: range over a %s",
                               json_type_name(list->type));
        for (uint32_t i = 0; i < list->n; i++) {
                const struct json *item = object ? &list->members[i].value : &list->items[i];
                struct json key = { .type = JSON_INT, .i = i };

                if (object) {
                        const char *name = list->members[i].name;

                        key = (struct json){ .type = JSON_STRING,
                                             .n = (uint32_t)strlen(name),
                                             .s = name };
                }
                set_variable(r, n->key, &key);
                set_variable(r, n->variable, item);
                if (run_nodes(r, n->body, item) < 0)
                        return -1;
                r->nvars = nvars;
        }
        return 0;
}

static int run_block(struct run *r, const struct node *n, const struct json *dot,
                     const struct json *v)
{
        size_t nvars = r->nvars;
        int result;

        if (n->kind == NODE_RANGE && format_truth(v))
                return run_range(r, n, v);
        set_variable(r, n->kind == NODE_RANGE ? NULL : n->variable, v);
        result = run_nodes(r, format_truth(v) ? n->body : n->otherwise,
                           n->kind == NODE_WITH && format_truth(v) ? v : dot);
        r->nvars = nvars;
        return result;
}

/* Lists and maps that a configuration leaves out: Go prints them as empty ones. */
static const char *nothing(const struct expr *x)
{
        static const char *const empty[][2] = {
                { "Cmd", "[]" },        { "Entrypoint", "[]" },      { "Env", "[]" },
                { "OnBuild", "[]" },    { "ExposedPorts", "map[]" }, { "Labels", "map[]" },
                { "Volumes", "map[]" },
        };
        const char *name = x->kind == EXPR_PATH ? strrchr(x->path, '.') : NULL;

        for (size_t i = 0; i < ARRAY_SIZE(empty); i++)
                if (x->kind == EXPR_PATH && str_eq(name ? name + 1 : x->path, empty[i][0]))
                        return empty[i][1];
        return NULL;
}

static void print_value(struct run *r, const struct expr *x, const struct json *v)
{
        const char *text = v->type == JSON_NULL ? nothing(x) : NULL;

        if (text)
                buf_puts(r->out, text);
        else
                format_print(v, r->out);
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
        if (n->kind == NODE_VALUE)
                print_value(r, n->expr, &v);
        else if (n->kind == NODE_SET)
                set_variable(r, n->variable, &v);
        else
                return run_block(r, n, dot, &v);
        return 0;
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
        struct run r = { .a = a, .out = out, .root = dot, .e = e };

        return run_nodes(&r, t->first, dot);
}
