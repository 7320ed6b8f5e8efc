/* gen-docs: what is made from a program's tables at build time. One is linked per program.
 *
 *     gen-docs pages                     name and section of each man page that must exist
 *     gen-docs man PAGE < TEMPLATE.in    the page, placeholders replaced
 *     gen-docs help                      every help text, for the width check
 *     gen-docs bash | zsh | fish         the completion script
 *     gen-docs parse WORD...             whether a command line is understood, else why not
 *
 * Placeholders are whole lines: @NAME@ (the NAME section), @SYNOPSIS@, @ABOUT@, @COMMANDS@ and
 * @OPTIONS@ (a section each); and the line @HEAD@, which becomes .Dd, .Dt and .Os. The date is
 * that of SOURCE_DATE_EPOCH, or of the build. Pages are mdoc(7). */
#include <ctype.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/complete.h"
#include "cli/group.h"
#include "cli/help.h"
#include "cli/opt.h"

struct page {
        const char *name;        /* "berth-oci-create" */
        const struct command *c; /* NULL: the program's own page */
};

static void page_name(struct buf *out, const struct command *c)
{
        buf_printf(out, "%s-%s", program.name, c->name);
        for (size_t i = 0; i < out->len; i++)
                if (out->s[i] == ' ')
                        out->s[i] = '-';
}

/* Running text: backslashes and a leading control character are made literal, and a sentence starts
 * on a line of its own, as mdoc(7) wants it. */
static void put_text(struct buf *out, const char *s, size_t n)
{
        if (n > 0 && (*s == '.' || *s == '\''))
                buf_puts(out, "\\&");
        for (size_t i = 0; i < n; i++) {
                bool sentence = i >= 1 && i + 1 < n && s[i] == ' ' && s[i - 1] == '.' &&
                                isupper((unsigned char)s[i + 1]);

                if (s[i] == '\\')
                        buf_puts(out, "\\e");
                else
                        buf_putc(out, sentence ? '\n' : s[i]);
        }
        buf_putc(out, '\n');
}

/* A macro's argument: quoted where it holds blanks. */
static void put_argument(struct buf *out, const char *s)
{
        buf_printf(out, strchr(s, ' ') ? " \"%s\"" : " %s", s);
}

static void put_aliases(struct buf *out, const struct command *c)
{
        if (c && c->alias[0])
                buf_puts(out, ".Pp\nAlso called\n");
        for (size_t i = 1; c && command_name(c, i); i++)
                buf_printf(out, ".Cm %s%s\n", command_name(c, i),
                           command_name(c, i + 1) ? " ," : " .");
}

static void put_paragraphs(struct buf *out, const char *text)
{
        const char *line;
        size_t n;

        for (const char *at = text; str_next(&at, '\n', &line, &n);) {
                if (n == 0)
                        buf_puts(out, ".Pp\n");
                else
                        put_text(out, line, n);
        }
}

static void put_head(struct buf *out, const struct page *page)
{
        const char *epoch = getenv("SOURCE_DATE_EPOCH");
        uint64_t seconds;
        time_t when;
        char date[64];
        struct tm tm;

        when = epoch && str_to_u64(epoch, &seconds) == 0 ? (time_t)seconds : time(NULL);
        gmtime_r(&when, &tm);
        strftime(date, sizeof date, "%B %e, %Y", &tm);
        buf_printf(out, ".Dd %s\n.Dt ", date);
        for (const char *s = page->name; *s; s++)
                buf_putc(out, (char)toupper((unsigned char)*s));
        buf_printf(out, " %d\n.Os berth %s\n", program.section, BERTH_VERSION);
}

static void put_name(struct buf *out, const struct page *page)
{
        const char *help = page->c ? page->c->help : program.help;

        buf_printf(out, ".Sh NAME\n.Nm %s\n.Nd %c%s\n", page->name, tolower((unsigned char)*help),
                   help + 1);
}

static void put_synopsis(struct buf *out, const struct page *page)
{
        buf_printf(out, ".Sh SYNOPSIS\n.Nm %s\n", program.name);
        if (!page->c) {
                buf_puts(out, ".Op Ar option ...\n.Ar command\n.Op Ar argument ...\n");
                return;
        }
        buf_puts(out, ".Op Ar global-option ...\n.Cm");
        put_argument(out, page->c->name);
        buf_puts(out, "\n.Op Ar option ...\n");
        if (!str_empty(page->c->usage)) {
                buf_puts(out, ".Ar");
                put_argument(out, page->c->usage);
                buf_putc(out, '\n');
        }
}

static void put_option(struct buf *out, const struct opt *o)
{
        const char *meta = o->meta ? o->meta : "VALUE";
        bool list = help_lists_choices(o);

        buf_puts(out, ".It");
        if (o->short_name)
                buf_printf(out, " Fl %c ,", o->short_name);
        buf_printf(out, " Fl -%s", o->name);
        if (o->kind == OPT_STR_OPTIONAL)
                buf_printf(out, " Ns Op = Ns Ar %s", meta);
        else if (o->kind != OPT_FLAG && o->kind != OPT_IGNORED)
                buf_printf(out, " Ar %s", meta);
        buf_putc(out, '\n');
        put_text(out, o->help, strlen(o->help));
        out->len--; /* its newline */
        buf_puts(out, list ? "\n" : ".\n");
        for (int i = 0; list && o->choices[i]; i++)
                buf_printf(out, "%s.Cm %s%s\n", i ? "" : "(one of\n", o->choices[i],
                           o->choices[i + 1] ? " ," : " ) .");
}

static void put_options(struct buf *out, const struct opt *opts, const char *title)
{
        bool open = false;

        buf_printf(out, ".Sh %s\n", title);
        if (!opts || opts->kind == OPT_END)
                buf_puts(out, "None.\n");
        for (const struct opt *o = opts; o && o->kind != OPT_END; o++) {
                if (o->kind == OPT_HEADING) {
                        buf_printf(out, "%s.Ss %s\n", open ? ".El\n" : "", o->help);
                        open = false;
                        continue;
                }
                if (!help_shows(o))
                        continue;
                if (!open)
                        buf_puts(out, ".Bl -tag -width Ds\n");
                open = true;
                put_option(out, o);
        }
        if (open)
                buf_puts(out, ".El\n");
}

static void put_commands(struct buf *out)
{
        buf_puts(out, ".Sh COMMANDS\n.Bl -tag -width Ds\n");
        for (const struct command *const *c = program.commands; *c; c++) {
                AUTO_BUF name = { 0 };

                if ((*c)->hidden)
                        continue;
                page_name(&name, *c);
                buf_puts(out, ".It Cm");
                put_argument(out, (*c)->name);
                buf_putc(out, '\n');
                put_text(out, (*c)->help, strlen((*c)->help));
                buf_printf(out, "See\n.Xr %s %d .\n", name.s, program.section);
        }
        buf_puts(out, ".El\n");
}

static void put_about(struct buf *out, const struct page *page)
{
        const char *about = page->c ? page->c->about : program.about;

        put_paragraphs(out, about ? about : "");
        put_aliases(out, page->c);
}

/* Copies one line of a template, or what stands for it. */
static void put_line(struct buf *out, const struct page *page, const char *line, size_t n)
{
        AUTO_FREE char *text = mem_printf("%.*s", (int)n, line);

        if (str_eq(text, "@HEAD@"))
                put_head(out, page);
        else if (str_eq(text, "@NAME@"))
                put_name(out, page);
        else if (str_eq(text, "@SYNOPSIS@"))
                put_synopsis(out, page);
        else if (str_eq(text, "@ABOUT@"))
                put_about(out, page);
        else if (str_eq(text, "@COMMANDS@"))
                put_commands(out);
        else if (str_eq(text, "@OPTIONS@"))
                put_options(out, page->c ? page->c->opts : program.opts,
                            page->c ? "OPTIONS" : "GLOBAL OPTIONS");
        else
                buf_printf(out, "%s\n", text);
}

static int put_page(struct buf *out, const char *name)
{
        struct page page = { .name = name };
        char template[65536];
        const char *line;
        size_t n;

        for (const struct command *const *c = program.commands; *c; c++) {
                AUTO_BUF own = { 0 };

                page_name(&own, *c);
                if (str_eq(own.s, name))
                        page.c = *c;
        }
        if (!page.c && !str_eq(name, program.name)) {
                fprintf(stderr, "gen-docs: no command has the page '%s'\n", name);
                return 1;
        }
        if (fd_read_text(STDIN_FILENO, template, sizeof template) < 0)
                return 1;
        for (const char *at = template; str_next(&at, '\n', &line, &n);)
                if (at || n > 0)
                        put_line(out, &page, line, n);
        return 0;
}

static void put_pages(struct buf *out)
{
        buf_printf(out, "%s %d\n", program.name, program.section);
        for (const struct command *const *c = program.commands; *c; c++) {
                if ((*c)->hidden)
                        continue;
                AUTO_BUF name = { 0 };
                page_name(&name, *c);
                buf_printf(out, "%s %d\n", name.s, program.section);
        }
}

static void put_help(struct buf *out)
{
        AUTO_ARENA a = { 0 };
        struct group *groups;
        size_t n = program_groups(&program, &a, &groups);

        help_program(&program, out);
        for (size_t i = 0; i < n; i++)
                help_group(&program, groups[i].name, out);
        for (const struct command *const *c = program.commands; *c; c++)
                help_command(&program, *c, out);
}

/* Parses what would follow the program's name; argv[0] is skipped. */
static int put_parsed(struct buf *out, int argc, char **argv)
{
        AUTO_ARENA a = { 0 };
        struct invocation v;
        struct err e = { 0 };
        void *globals = arena_alloc(&a, 4096); /* whatever struct main binds the program's to */

        if (program_parse(&program, globals, &a, argc, argv, &v, &e) == 0)
                return 0;
        buf_printf(out, "%s\n", e.chain);
        (void)fd_write_all(STDOUT_FILENO, buf_str(out), out->len);
        return 1;
}

int main(int argc, char **argv)
{
        const char *what = argc > 1 ? argv[1] : "";
        AUTO_BUF out = { 0 };
        int status = 0;

        if (str_eq(what, "man") && argc == 3)
                status = put_page(&out, argv[2]);
        else if (str_eq(what, "parse"))
                status = put_parsed(&out, argc - 1, argv + 1);
        else if (str_eq(what, "pages"))
                put_pages(&out);
        else if (str_eq(what, "help"))
                put_help(&out);
        else if (str_eq(what, "bash"))
                complete_bash(&program, &out);
        else if (str_eq(what, "zsh"))
                complete_zsh(&program, &out);
        else if (str_eq(what, "fish"))
                complete_fish(&program, &out);
        else
                status = 2;
        return status ? status : -fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
}
