#include "cli/help.h"

#include <string.h>

#include "base/str.h"
#include "cli/group.h"

enum { WIDTH = 80, TEXT_MAX = 30 };

/* Puts text as words from column at on, breaking before column WIDTH and indenting what follows by
 * indent. The text's own newlines are kept. */
static void wrap(struct buf *out, const char *text, size_t at, size_t indent)
{
        const char *word = text;
        bool fresh = true;

        while (*word) {
                size_t n = strcspn(word, " \n");

                if (!fresh && at + 1 + n >= WIDTH) {
                        buf_printf(out, "\n%*s", (int)indent, "");
                        at = indent;
                        fresh = true;
                }
                if (!fresh)
                        buf_putc(out, ' ');
                buf_add(out, word, n);
                at += n + !fresh;
                fresh = false;
                word += n;
                for (; *word == '\n'; word++, at = indent, fresh = true)
                        buf_printf(out, "\n%*s", word[1] == '\n' ? 0 : (int)indent, "");
                word += strspn(word, " ");
        }
        buf_putc(out, '\n');
}

static void column(struct buf *out, const char *label, size_t text_at, const char *text)
{
        size_t n = strlen(label);

        buf_puts(out, label);
        if (n + 2 > text_at) {
                buf_putc(out, '\n');
                n = 0;
        }
        buf_printf(out, "%*s", (int)(text_at - n), "");
        wrap(out, text, text_at, text_at);
}

bool help_shows(const struct opt *o)
{
        return !o->hidden && o->kind != OPT_REFUSED;
}

static void label(struct buf *out, const struct opt *o)
{
        const char *meta = o->meta ? o->meta : "VALUE";

        if (o->short_name)
                buf_printf(out, "  -%c, --%s", o->short_name, o->name);
        else
                buf_printf(out, "      --%s", o->name);
        if (o->kind == OPT_STR_OPTIONAL)
                buf_printf(out, "[=%s]", meta);
        else if (o->kind != OPT_FLAG && o->kind != OPT_IGNORED)
                buf_printf(out, " %s", meta);
}

/* The column at which texts start: past the longest label, unless that is a long one. */
static size_t text_column(const struct opt *opts)
{
        size_t at = sizeof "  -h, --help" + 1;

        for (const struct opt *o = opts; o && o->kind != OPT_END; o++) {
                AUTO_BUF b = { 0 };

                if (o->kind == OPT_HEADING || !help_shows(o))
                        continue;
                label(&b, o);
                if (b.len + 2 <= TEXT_MAX)
                        at = MAX(at, b.len + 2);
        }
        return at;
}

bool help_lists_choices(const struct opt *o)
{
        for (int i = 0; o->kind == OPT_ENUM && o->choices[i]; i++)
                if (!strstr(o->help, o->choices[i]))
                        return true;
        return false;
}

static void text_of(struct buf *out, const struct opt *o)
{
        bool list = help_lists_choices(o);

        buf_puts(out, o->help);
        for (int i = 0; list && o->choices[i]; i++)
                buf_printf(out, "%s%s", i ? ", " : " (", o->choices[i]);
        if (list)
                buf_putc(out, ')');
}

static void options(struct buf *out, const struct opt *opts, const char *title, bool version)
{
        size_t at = text_column(opts);
        bool headings = false;

        if (!opts || opts->kind != OPT_HEADING)
                buf_printf(out, "\n%s:\n", title);
        for (const struct opt *o = opts; o && o->kind != OPT_END; o++) {
                AUTO_BUF left = { 0 }, text = { 0 };

                if (o->kind == OPT_HEADING) {
                        buf_printf(out, "\n%s:\n", o->help);
                        headings = true;
                        continue;
                }
                if (!help_shows(o))
                        continue;
                label(&left, o);
                text_of(&text, o);
                column(out, left.s, at, text.s);
        }
        if (headings)
                buf_puts(out, "\nOther:\n");
        column(out, "  -h, --help", at, "Print this help");
        if (version)
                column(out, "  -v, --version", at, "Print the version");
}

static void about(struct buf *out, const char *help, const char *text)
{
        buf_printf(out, "\n%s.\n", help);
        if (text) {
                buf_putc(out, '\n');
                wrap(out, text, 0, 0);
        }
}

void help_usage(const struct command *c, struct buf *out)
{
        buf_printf(out, "%s [OPTION...]%s%s", c->name, str_empty(c->usage) ? "" : " ",
                   c->usage ? c->usage : "");
}

void help_command(const struct program *p, const struct command *c, struct buf *out)
{
        AUTO_BUF usage = { 0 };

        help_usage(c, &usage);
        buf_printf(out, "Usage: %s ", p->name);
        wrap(out, usage.s, strlen(p->name) + 8, 8);
        about(out, c->help, c->about);
        if (c->alias[0])
                buf_puts(out, "\nAlso called ");
        for (size_t i = 1; command_name(c, i); i++)
                buf_printf(out, "'%s'%s", command_name(c, i),
                           command_name(c, i + 1) ? ", " : ".\n");
        options(out, c->opts, "Options", false);
}

static void command_row(struct buf *out, const struct command *c, const char *name, size_t at)
{
        AUTO_BUF left = { 0 };

        buf_printf(&left, "  %s", name);
        column(out, left.s, at, c->help);
}

/* Members in rows; with own, only those that have no shorter name. False: there are none. */
static bool member_rows(struct buf *out, const struct group *g, bool own, size_t at)
{
        bool any = false;

        for (size_t i = 0; i < g->n; i++) {
                if (own && g->members[i].alias)
                        continue;
                command_row(out, g->members[i].command, g->members[i].word, at);
                any = true;
        }
        return any;
}

void help_group(const struct program *p, const char *name, struct buf *out)
{
        AUTO_ARENA a = { 0 };
        const struct group *g = program_group(p, &a, name);
        size_t at = 0;

        for (size_t i = 0; g && i < g->n; i++)
                at = MAX(at, strlen(g->members[i].word) + 4);
        buf_printf(out, "Usage: %s %s COMMAND [OPTION...] [ARGUMENT...]\n\nCommands:\n", p->name,
                   name);
        if (g)
                member_rows(out, g, false, at);
        buf_printf(out, "\nSee '%s %s COMMAND --help' for one command.\n", p->name, name);
}

static void group_rows(const struct program *p, struct buf *out, size_t at)
{
        AUTO_ARENA a = { 0 };
        struct group *groups;
        size_t n = program_groups(p, &a, &groups);

        for (size_t i = 0; i < n; i++) {
                AUTO_BUF rows = { 0 };

                if (member_rows(&rows, &groups[i], true, at))
                        buf_printf(out, "\nCommands after '%s %s':\n%s", p->name, groups[i].name,
                                   rows.s);
        }
}

void help_program(const struct program *p, struct buf *out)
{
        size_t at = 0;

        buf_printf(out, "Usage: %s [OPTION...] COMMAND [ARGUMENT...]\n", p->name);
        about(out, p->help, p->about);
        for (const struct command *const *c = p->commands; *c; c++)
                at = MAX(at, (*c)->hidden || strchr((*c)->name, ' ') ? 0 : strlen((*c)->name) + 4);
        buf_puts(out, "\nCommands:\n");
        for (const struct command *const *c = p->commands; *c; c++)
                if (!(*c)->hidden && !strchr((*c)->name, ' '))
                        command_row(out, *c, (*c)->name, at);
        group_rows(p, out, at);
        options(out, p->opts, "Options", true);
        buf_printf(out, "\nSee '%s COMMAND --help' for one command.\n", p->name);
}
