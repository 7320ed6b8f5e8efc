/* Parsing of command lines by the tables of opt.h.
 *
 * struct scan walks argv once for one table: the program's own options first, up to the
 * command's name, then the command's. Each option word is resolved to a row and perhaps a value;
 * store() writes it. */
#include "cli/opt.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "cli/group.h"
#include "cli/suggest.h"

struct scan {
        const struct program *program;
        const struct command *command; /* NULL: the program's own options */
        const struct opt *opts;
        void *into;
        struct arena *arena;
        int argc, at;
        char **argv;
        bool help, version;
};

static const struct opt no_opts[] = { {} };

static bool takes_value(const struct opt *o)
{
        switch (o->kind) {
        case OPT_FLAG:
        case OPT_STR_OPTIONAL:
        case OPT_IGNORED:
        case OPT_REFUSED:
                return false;
        default:
                return true;
        }
}

static const struct opt *find_long(const struct opt *o, const char *name, size_t n)
{
        for (; o->kind != OPT_END; o++)
                if (o->name && strlen(o->name) == n && memcmp(o->name, name, n) == 0)
                        return o;
        return NULL;
}

static const struct opt *find_short(const struct opt *o, char c)
{
        for (; o->kind != OPT_END; o++)
                if (o->short_name == c)
                        return o;
        return NULL;
}

static int see_help(const struct scan *s, struct err *e)
{
        return err_hint(e, "See '%s%s%s --help'.", s->program->name, s->command ? " " : "",
                        s->command ? s->command->name : "");
}

static int bad_option(const struct scan *s, const char *word, struct err *e)
{
        const char *eq = strchr(word, '='), *name = word + strspn(word, "-");
        size_t n = eq ? (size_t)(eq - word) : strlen(word);
        char typed[64];
        struct suggest near = { .wrong = typed };

        err_set(e, ERR_INVALID, "unknown option '%.*s'", (int)MIN(n, (size_t)64), word);
        n -= (size_t)(name - word);
        if (n < sizeof typed) {
                memcpy(typed, name, n);
                typed[n] = 0;
                for (const struct opt *o = s->opts; o->kind != OPT_END; o++)
                        if (o->name && !o->hidden)
                                suggest_offer(&near, o->name);
        }
        if (!near.best)
                return see_help(s, e);
        return err_hint(e, "Did you mean '--%s'?", near.best);
}

static int bad_value(const struct opt *o, const char *value, const char *expected, struct err *e)
{
        return err_set(e, ERR_INVALID, "invalid value '%.100s' of option '--%s': expected %s",
                       value, o->name, expected);
}

static int store_choice(const struct opt *o, int *field, const char *value, struct err *e)
{
        char all[256] = "";
        size_t len = 0;

        for (int i = 0; o->choices[i]; i++) {
                if (str_eq(o->choices[i], value)) {
                        *field = i;
                        return 0;
                }
                len += (size_t)snprintf(all + len, sizeof all - len, "%s%s", i ? ", " : "one of ",
                                        o->choices[i]);
                if (len >= sizeof all)
                        len = sizeof all - 1;
        }
        return bad_value(o, value, all, e);
}

static int store_flag(const struct opt *o, bool *field, const char *value, struct err *e)
{
        if (!value || str_eq(value, "true") || str_eq(value, "1"))
                *field = true;
        else if (str_eq(value, "false") || str_eq(value, "0"))
                *field = false;
        else
                return bad_value(o, value, "true or false", e);
        return 0;
}

static int store_list(struct arena *a, struct strings *field, const char *value)
{
        const char **more;

        /* Room is taken in powers of two; the arena keeps what is outgrown. */
        if ((field->n & (field->n - 1)) == 0) {
                more = arena_array(a, const char *, field->n ? field->n * 2 : 1);
                if (field->n)
                        memcpy(more, field->v, field->n * sizeof *more);
                field->v = more;
        }
        field->v[field->n++] = value;
        return 0;
}

static int to_signed(const struct opt *o, const char *value, int64_t *ret, struct err *e)
{
        bool size = o->kind == OPT_SIZE || o->kind == OPT_MAYBE_SIZE;
        int64_t v;
        int r;

        if (size && str_eq(value, "-1")) {
                *ret = -1;
                return 0;
        }
        r = size ? str_to_size(value, &v) : str_to_i64(value, &v);
        if (r == -ERANGE || (r == 0 && o->min < o->max && (v < o->min || v > o->max)))
                return err_set(e, ERR_INVALID, "value '%.100s' of option '--%s' is out of range",
                               value, o->name);
        if (r < 0)
                return bad_value(o, value, size ? "a size such as 512m or 2g" : "a number", e);
        *ret = v;
        return 0;
}

static int to_unsigned(const struct opt *o, const char *value, uint64_t *ret, struct err *e)
{
        uint64_t v;
        int r = str_to_u64(value, &v);

        if (r == -ERANGE ||
            (r == 0 && o->min < o->max && (v > (uint64_t)o->max || v < (uint64_t)o->min)))
                return err_set(e, ERR_INVALID, "value '%.100s' of option '--%s' is out of range",
                               value, o->name);
        if (r < 0)
                return bad_value(o, value, "a number that is not negative", e);
        *ret = v;
        return 0;
}

static int store_maybe_signed(const struct opt *o, struct opt_i64 *field, const char *value,
                              struct err *e)
{
        if (to_signed(o, value, &field->v, e) < 0)
                return -1;
        field->set = true;
        return 0;
}

static int store_maybe_unsigned(const struct opt *o, struct opt_u64 *field, const char *value,
                                struct err *e)
{
        if (to_unsigned(o, value, &field->v, e) < 0)
                return -1;
        field->set = true;
        return 0;
}

/* Writes value (NULL: none was given) into the field of row o. */
static int store(struct scan *s, const struct opt *o, const char *value, struct err *e)
{
        void *field = (char *)s->into + o->offset;

        switch (o->kind) {
        case OPT_FLAG:
                return store_flag(o, field, value, e);
        case OPT_STR:
                *(const char **)field = value;
                return 0;
        case OPT_STR_OPTIONAL:
                *(const char **)field = value ? value : o->fallback;
                return 0;
        case OPT_INT:
        case OPT_SIZE:
                return to_signed(o, value, field, e);
        case OPT_UINT:
                return to_unsigned(o, value, field, e);
        case OPT_MAYBE_INT:
        case OPT_MAYBE_SIZE:
                return store_maybe_signed(o, field, value, e);
        case OPT_MAYBE_UINT:
                return store_maybe_unsigned(o, field, value, e);
        case OPT_ENUM:
                return store_choice(o, field, value, e);
        case OPT_LIST:
                return store_list(s->arena, field, value);
        case OPT_IGNORED:
        case OPT_IGNORED_VALUE:
                return 0;
        case OPT_REFUSED:
                return err_set(e, ERR_UNSUPPORTED, "option '--%s' is not supported: %s", o->name,
                               o->help);
        default:
                return err_set(e, ERR_INTERNAL, "option '--%s' has no kind", o->name);
        }
}

/* Stores row o, taking its value from the next word where it needs one and none was attached. */
static int take(struct scan *s, const struct opt *o, const char *attached, struct err *e)
{
        if (!attached && takes_value(o)) {
                if (s->at >= s->argc)
                        return err_set(e, ERR_INVALID, "option '--%s' needs a value: %s", o->name,
                                       o->meta ? o->meta : "VALUE");
                attached = s->argv[s->at++];
        }
        return store(s, o, attached, e);
}

/* --help everywhere, --version before the command, unless a table has rows of these names. */
static bool built_in(struct scan *s, const char *name)
{
        bool version = str_eq(name, "version") || str_eq(name, "v");

        if (str_eq(name, "help") || str_eq(name, "h"))
                return s->help = true;
        return !s->command && version ? (s->version = true) : false;
}

/* A word after one dash that is no long name: shorts, the last of which may have a value
 * attached. */
static int scan_shorts(struct scan *s, const char *word, struct err *e)
{
        for (const char *c = word + 1; *c; c++) {
                const struct opt *o = find_short(s->opts, *c);
                const char *attached = NULL;
                char name[2] = { *c, 0 };

                if (!o && built_in(s, name))
                        continue;
                if (!o)
                        return bad_option(s, word, e);
                if (c[1] == '=')
                        attached = c + 2;
                else if (c[1] && takes_value(o))
                        attached = c + 1;
                if (take(s, o, attached, e) < 0)
                        return -1;
                if (attached)
                        break;
        }
        return 0;
}

static int scan_option(struct scan *s, struct err *e)
{
        const char *word = s->argv[s->at++], *name = word + 1 + (word[1] == '-');
        const char *eq = strchr(name, '=');
        size_t n = eq ? (size_t)(eq - name) : strlen(name);
        const struct opt *o = find_long(s->opts, name, n);

        /* A single letter after one dash is a short name, whatever long names there are. */
        if (word[1] != '-' && (n == 1 || !o) && !str_eq(word, "-help") && !str_eq(word, "-version"))
                return scan_shorts(s, word, e);
        if (o)
                return take(s, o, eq ? eq + 1 : NULL, e);
        if (n > 1 && built_in(s, name))
                return 0;
        return bad_option(s, word, e);
}

/* Scans options and collects positionals into *ret_argv until the end, or with stop until the
 * first. */
static int scan_words(struct scan *s, bool stop, char **out, int *ret_n, struct err *e)
{
        int n = 0;

        while (s->at < s->argc && !s->help) {
                char *word = s->argv[s->at];

                if (str_eq(word, "--")) {
                        s->at++;
                        break;
                }
                if (word[0] == '-' && word[1]) {
                        if (scan_option(s, e) < 0)
                                return -1;
                        continue;
                }
                if (stop)
                        break;
                out[n++] = word;
                s->at++;
        }
        while (out && s->at < s->argc && !s->help)
                out[n++] = s->argv[s->at++];
        *ret_n = n;
        return 0;
}

/* How many of the words spell out name, which may be of several words; 0 where they do not. */
static int matches(const char *name, char *const *words, int n)
{
        const char *part;
        size_t len;
        int used = 0;

        if (!name)
                return 0;
        for (const char *at = name; str_next(&at, ' ', &part, &len); used++)
                if (used >= n || strlen(words[used]) != len || memcmp(words[used], part, len) != 0)
                        return 0;
        return used;
}

static const struct command *find_command(const struct program *p, char *const *words, int n,
                                          int *ret_used)
{
        for (const struct command *const *c = p->commands; *c; c++)
                EACH_NAME(name, *c)
        if ((*ret_used = matches(name, words, n)) > 0)
                return *c;
        return NULL;
}

const struct command *program_find(const struct program *p, const char *name)
{
        for (const struct command *const *c = p->commands; *c; c++)
                EACH_NAME(other, *c)
        if (str_eq(other, name))
                return *c;
        return NULL;
}

/* The words after a group's name are none of its commands: "image", "image --help", "image foo". */
static int bad_member(const struct program *p, const struct group *g, const char *word,
                      struct invocation *v, struct err *e)
{
        struct suggest near = { .wrong = word };

        if (v->help || (word && (str_eq(word, "--help") || str_eq(word, "-h")))) {
                v->group = g->name;
                v->help = true;
                return 0;
        }
        if (!word) {
                err_set(e, ERR_INVALID, "'%s' needs a command after it", g->name);
                return err_hint(e, "See '%s %s --help' for the list.", p->name, g->name);
        }
        for (size_t i = 0; i < g->n; i++)
                suggest_offer(&near, g->members[i].word);
        err_set(e, ERR_INVALID, "unknown command '%s %.64s'", g->name, word);
        if (near.best)
                return err_hint(e, "Did you mean '%s %s %s'?", p->name, g->name, near.best);
        return err_hint(e, "See '%s %s --help' for the list.", p->name, g->name);
}

/* Whether the words are a command that is not there on purpose. */
static bool refuse(const struct program *p, char *const *words, struct err *e)
{
        int n = words[0] && words[1] ? 2 : 1;

        for (const struct refusal *r = p->refused; r && r->name; r++)
                if (matches(r->name, words, n)) {
                        err_set(e, ERR_UNSUPPORTED, "command '%s' is not supported: %s", r->name,
                                r->why);
                        return true;
                }
        return false;
}

static int bad_command(const struct program *p, const char *word, struct err *e)
{
        struct suggest near = { .wrong = word };

        for (const struct command *const *c = p->commands; *c; c++)
                EACH_NAME(name, *c)
        if (!(*c)->hidden && !strchr(name, ' '))
                suggest_offer(&near, name);
        err_set(e, ERR_INVALID, "unknown command '%.64s'", word);
        if (near.best)
                return err_hint(e, "Did you mean '%s %s'?", p->name, near.best);
        return err_hint(e, "See '%s --help' for the list of commands.", p->name);
}

static int check_count(const struct program *p, const struct command *c, int n, struct err *e)
{
        if (n < c->min)
                err_set(e, ERR_INVALID, "'%s' needs %s%d argument%s, got %d", c->name,
                        c->max == c->min ? "" : "at least ", c->min, c->min == 1 ? "" : "s", n);
        else if (c->max >= 0 && n > c->max)
                err_set(e, ERR_INVALID, "'%s' takes %s%d argument%s, got %d", c->name,
                        c->max == c->min ? "" : "at most ", c->max, c->max == 1 ? "" : "s", n);
        else
                return 0;
        return err_hint(e, "Usage: %s %s%s%s%s", p->name, c->name, c->opts ? " [OPTION...]" : "",
                        str_empty(c->usage) ? "" : " ", c->usage ? c->usage : "");
}

static int parse_command(const struct program *p, struct arena *a, int argc, char **argv,
                         struct invocation *v, struct err *e)
{
        const struct command *c = v->command;
        struct scan s = { .program = p,
                          .command = c,
                          .opts = c->opts ? c->opts : no_opts,
                          .arena = a,
                          .argc = argc,
                          .argv = argv };

        v->args = s.into = arena_alloc(a, c->args_size + 1);
        if (c->defaults)
                memcpy(v->args, c->defaults, c->args_size);
        v->argv = arena_array(a, char *, (size_t)argc + 1);
        if (c->stop_at_positional) {
                int ignored;

                if (scan_words(&s, true, NULL, &ignored, e) < 0)
                        return -1;
                for (; s.at < argc; s.at++)
                        v->argv[v->argc++] = argv[s.at];
        } else if (scan_words(&s, false, v->argv, &v->argc, e) < 0) {
                return -1;
        }
        v->help = s.help;
        return v->help ? 0 : check_count(p, c, v->argc, e);
}

/* No command has the name words[0] or words[0..1]; the words are ended by a NULL. */
static int not_found(const struct program *p, struct arena *a, char *const *words,
                     struct invocation *v, struct invocation *ret, struct err *e)
{
        const struct group *g = program_group(p, a, words[0]);

        if (!v->help && refuse(p, words, e))
                return -1;
        if (!g)
                return bad_command(p, words[0], e);
        if (bad_member(p, g, words[1], v, e) < 0)
                return -1;
        *ret = *v;
        return 0;
}

int program_parse(const struct program *p, void *globals, struct arena *a, int argc, char **argv,
                  struct invocation *ret, struct err *e)
{
        struct scan s = { .program = p,
                          .opts = p->opts ? p->opts : no_opts,
                          .into = globals,
                          .arena = a,
                          .argc = argc,
                          .at = 1,
                          .argv = argv };
        struct invocation v = { 0 };
        int used = 0;

        if (scan_words(&s, true, NULL, &used, e) < 0)
                return -1;
        v.help = s.help;
        v.version = s.version;
        if (!v.help && !v.version && s.at < argc && str_eq(argv[s.at], "help")) {
                v.help = true;
                s.at++;
        }
        if (s.at < argc && !v.version) {
                v.command = find_command(p, argv + s.at, argc - s.at, &used);
                if (!v.command)
                        return not_found(p, a, argv + s.at, &v, ret, e);
                ret->command = v.command;
        }
        if (v.command && !v.help &&
            parse_command(p, a, argc - s.at - used, argv + s.at + used, &v, e) < 0)
                return -1;
        *ret = v;
        return 0;
}
