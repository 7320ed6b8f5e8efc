/* Completion scripts. Each shell gets the commands, their options and what the values name;
 * container ids and image names are asked of the program itself (program.list_ids, list_images).
 * The first word of a group completes as a command does, then its members follow. */
#include "cli/complete.h"

#include <string.h>

#include "base/str.h"
#include "cli/group.h"
#include "cli/help.h"

static const char signals[] = "HUP INT QUIT KILL USR1 USR2 TERM CONT STOP WINCH";

static bool takes_value(const struct opt *o)
{
        return o->kind != OPT_FLAG && o->kind != OPT_IGNORED && o->kind != OPT_STR_OPTIONAL;
}

static const struct opt *next_shown(const struct opt *o)
{
        while (o && o->kind != OPT_END && (o->kind == OPT_HEADING || !help_shows(o)))
                o++;
        return o && o->kind != OPT_END ? o : NULL;
}

#define EACH_OPT(o, table) for (const struct opt *o = next_shown(table); o; o = next_shown(o + 1))
#define EACH_COMMAND(c, p) for (const struct command *const *c = (p)->commands; *c; c++)

/* Arguments that make the program print what is completed, or NULL. */
static const char *lister(const struct program *p, enum complete kind)
{
        if (kind == COMPLETE_CONTAINER)
                return p->list_ids;
        return kind == COMPLETE_IMAGE ? p->list_images : NULL;
}

/* What may be the first word: commands of one word, aliases too, then the groups. */
static void put_verbs(struct buf *out, const struct program *p)
{
        AUTO_ARENA a = { 0 };
        struct group *groups;
        size_t n = program_groups(p, &a, &groups), had = out->len;

        EACH_COMMAND(c, p)
        EACH_NAME(name, *c)
        if (!(*c)->hidden && !strchr(name, ' '))
                buf_printf(out, "%s%s", out->len > had ? " " : "", name);
        for (size_t i = 0; i < n; i++)
                buf_printf(out, "%s%s", out->len > had ? " " : "", groups[i].name);
}

static void put_members(struct buf *out, const struct group *g)
{
        for (size_t i = 0; i < g->n; i++)
                buf_printf(out, "%s%s", i ? " " : "", g->members[i].word);
}

/* The first word of a name of two. */
static char *group_of(struct arena *a, const char *name)
{
        return arena_strndup(a, name, strcspn(name, " "));
}

/* The program's name as part of a function's. */
static void put_identifier(struct buf *out, const char *name)
{
        for (; *name; name++)
                buf_putc(out, *name == '-' ? '_' : *name);
}

static void put_choices(struct buf *out, const struct opt *o)
{
        for (int i = 0; o->choices[i]; i++)
                buf_printf(out, "%s%s", i ? " " : "", o->choices[i]);
}

/* ---- bash ---- */

/* The compgen arguments that offer what is completed; false: nothing can be offered. */
static bool bash_source(struct buf *out, const struct program *p, enum complete kind)
{
        switch (kind) {
        case COMPLETE_FILE:
                buf_puts(out, "-f");
                return true;
        case COMPLETE_DIR:
                buf_puts(out, "-d");
                return true;
        case COMPLETE_CONTAINER:
        case COMPLETE_IMAGE:
                if (!lister(p, kind))
                        return false;
                buf_printf(out, "-W \"$(%s %s 2>/dev/null)\"", p->name, lister(p, kind));
                return true;
        case COMPLETE_SIGNAL:
                buf_printf(out, "-W '%s'", signals);
                return true;
        case COMPLETE_PID:
                buf_puts(out, "-W \"$(cd /proc && echo [0-9]*)\"");
                return true;
        case COMPLETE_COMMAND:
                buf_puts(out, "-c");
                return true;
        case COMPLETE_VERB:
                buf_puts(out, "-W '");
                put_verbs(out, p);
                buf_putc(out, '\'');
                return true;
        default:
                return false;
        }
}

static void bash_reply(struct buf *out, const char *source)
{
        buf_printf(out, "mapfile -t COMPREPLY < <(compgen %s -- \"$cur\")", source);
}

/* Cases "verb previous-word)" for the options that take a value. */
static void bash_values(struct buf *out, const struct program *p, const char *verb,
                        const struct opt *opts)
{
        EACH_OPT(o, opts)
        {
                AUTO_BUF source = { 0 };

                if (!takes_value(o))
                        continue;
                if (o->kind == OPT_ENUM) {
                        buf_puts(&source, "-W '");
                        put_choices(&source, o);
                        buf_putc(&source, '\'');
                } else if (!bash_source(&source, p, o->complete)) {
                        buf_clear(&source);
                }
                buf_printf(out, "        '%s --%s'", verb, o->name);
                if (o->short_name)
                        buf_printf(out, "|'%s -%c'", verb, o->short_name);
                buf_puts(out, ") ");
                if (source.len)
                        bash_reply(out, source.s);
                buf_puts(out, source.len ? "; return ;;\n" : "return ;;\n");
        }
}

static void bash_words(struct buf *out, const struct opt *opts)
{
        EACH_OPT(o, opts)
        buf_printf(out, "--%s ", o->name);
        buf_puts(out, "--help");
}

static void bash_command(struct buf *out, const struct program *p, const struct command *c)
{
        buf_puts(out, "        ");
        EACH_NAME(name, c)
        buf_printf(out, "%s'%s'", name == c->name ? "" : "|", name);
        buf_puts(out, ")\n            case $cur in -*) ");
        buf_puts(out, "mapfile -t COMPREPLY < <(compgen -W '");
        bash_words(out, c->opts);
        buf_puts(out, "' -- \"$cur\"); return ;; esac\n            case $n in\n");
        for (size_t i = 0; i < ARRAY_SIZE(c->complete); i++) {
                AUTO_BUF source = { 0 };
                bool last = i + 1 == ARRAY_SIZE(c->complete);

                if (last)
                        buf_puts(out, "            *) ");
                else
                        buf_printf(out, "            %zu) ", i);
                if (bash_source(&source, p, c->complete[i]))
                        bash_reply(out, source.s);
                else
                        buf_putc(out, ':');
                buf_puts(out, " ;;\n");
        }
        buf_puts(out, "            esac ;;\n");
}

/* The arm of a verb: its options that take a value. */
static void bash_takers(struct buf *out, const char *verb, const struct opt *opts)
{
        const char *between = "";

        buf_printf(out, "        '%s') case $2 in ", verb);
        EACH_OPT(o, opts)
        {
                if (!takes_value(o))
                        continue;
                buf_printf(out, "%s--%s", between, o->name);
                if (o->short_name)
                        buf_printf(out, "|-%c", o->short_name);
                between = "|";
        }
        buf_puts(out, *between ? ") return 0 ;; esac ;;\n" : "'') ;; esac ;;\n");
}

/* A function that tells whether the word after an option of a verb is its value. */
static void bash_takes(struct buf *out, const struct program *p)
{
        buf_puts(out, "_");
        put_identifier(out, p->name);
        buf_puts(out, "_takes()\n{\n    case $1 in\n");
        bash_takers(out, "", p->opts);
        EACH_COMMAND(c, p)
        EACH_NAME(name, *c)
        bash_takers(out, name, (*c)->opts);
        buf_puts(out, "    esac\n    return 1\n}\n");
}

/* A case for each group: its members. Two words become one verb beforehand, see complete_bash. */
static void bash_groups(struct buf *out, const struct group *groups, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                buf_printf(out, "        '%s') mapfile -t COMPREPLY < <(compgen -W '",
                           groups[i].name);
                put_members(out, &groups[i]);
                buf_puts(out, "' -- \"$cur\") ;;\n");
        }
}

/* The arm that turns "image" and what follows it into the verb "image ls". */
static void bash_second_word(struct buf *out, const struct group *groups, size_t n)
{
        if (n == 0)
                return;
        buf_puts(out, "        *) case \"$verb\" in ");
        for (size_t i = 0; i < n; i++)
                buf_printf(out, "%s'%s'", i ? "|" : "", groups[i].name);
        buf_puts(out, ") verb=\"$verb ${COMP_WORDS[i]}\"; continue ;; esac\n           ");
}

void complete_bash(const struct program *p, struct buf *out)
{
        AUTO_BUF verbs = { 0 };
        AUTO_ARENA a = { 0 };
        struct group *groups;
        size_t ngroups = program_groups(p, &a, &groups);

        bash_source(&verbs, p, COMPLETE_VERB);
        buf_printf(out, "# bash completion of %s; made from its option tables\n", p->name);
        bash_takes(out, p);
        buf_putc(out, '_');
        put_identifier(out, p->name);
        buf_puts(out, "()\n{\n"
                      "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
                      "    local verb='' i n=0\n"
                      "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                      "        case ${COMP_WORDS[i]} in\n        -*) _");
        put_identifier(out, p->name);
        buf_puts(out, "_takes \"$verb\" \"${COMP_WORDS[i]}\" && i=$((i + 1)) ;;\n");
        bash_second_word(out, groups, ngroups);
        buf_puts(out, ngroups ? "" : "        *)");
        buf_puts(out, " if [ \"$verb\" ]; then n=$((n + 1)); "
                      "else verb=${COMP_WORDS[i]}; fi ;;\n        esac\n    done\n"
                      "    COMPREPLY=()\n    case \"$verb $prev\" in\n");
        bash_values(out, p, "", p->opts);
        EACH_COMMAND(c, p)
        EACH_NAME(name, *c)
        bash_values(out, p, name, (*c)->opts);
        buf_puts(out, "        *) : ;;\n    esac\n    case $verb in\n        '')\n"
                      "            case $cur in -*) mapfile -t COMPREPLY < <(compgen -W '");
        bash_words(out, p->opts);
        buf_puts(out, " --version' -- \"$cur\"); return ;; esac\n            ");
        bash_reply(out, verbs.s);
        buf_puts(out, " ;;\n");
        EACH_COMMAND(c, p)
        bash_command(out, p, *c);
        bash_groups(out, groups, ngroups);
        buf_puts(out, "    esac\n}\ncomplete -o filenames -F _");
        put_identifier(out, p->name);
        buf_printf(out, " %s\n", p->name);
}

/* ---- zsh ---- */

/* Text within a single-quoted _arguments specification. */
static void zsh_quote(struct buf *out, const char *s)
{
        for (; *s; s++) {
                if (*s == '\'')
                        buf_puts(out, "'\\'");
                else if (strchr(":[]\\", *s))
                        buf_putc(out, '\\');
                buf_putc(out, *s);
        }
}

static void zsh_action(struct buf *out, const struct program *p, enum complete kind)
{
        static const char *const fixed[COMPLETE_MAX] = {
                [COMPLETE_NONE] = " ",        [COMPLETE_FILE] = "_files",
                [COMPLETE_DIR] = "_files -/", [COMPLETE_SIGNAL] = "_signals",
                [COMPLETE_PID] = "_pids",     [COMPLETE_COMMAND] = "_command_names -e"
        };

        if (fixed[kind]) {
                buf_puts(out, fixed[kind]);
        } else if (kind == COMPLETE_VERB) {
                buf_putc(out, '(');
                put_verbs(out, p);
                buf_putc(out, ')');
        } else if (lister(p, kind)) {
                buf_printf(out, "{compadd -- $(%s %s 2>/dev/null)}", p->name, lister(p, kind));
        } else {
                buf_putc(out, ' ');
        }
}

static void zsh_option(struct buf *out, const struct program *p, const struct opt *o)
{
        const char *repeat = o->kind == OPT_LIST ? "*" : "";

        if (o->short_name)
                buf_printf(out, " \\\n        '%s'{-%c,--%s}'[", repeat, o->short_name, o->name);
        else
                buf_printf(out, " \\\n        '%s--%s[", repeat, o->name);
        zsh_quote(out, o->help);
        buf_putc(out, ']');
        if (takes_value(o)) {
                buf_printf(out, ":%s:", o->meta);
                if (o->kind == OPT_ENUM) {
                        buf_putc(out, '(');
                        put_choices(out, o);
                        buf_putc(out, ')');
                } else {
                        zsh_action(out, p, o->complete);
                }
        }
        buf_putc(out, '\'');
}

static void zsh_command(struct buf *out, const struct program *p, const struct command *c)
{
        buf_puts(out, "    ");
        EACH_NAME(name, c)
        buf_printf(out, "%s'%s'", name == c->name ? "" : "|", name);
        buf_puts(out, ")\n        _arguments -S");
        EACH_OPT(o, c->opts)
        zsh_option(out, p, o);
        buf_puts(out, " \\\n        '--help[Print this help]'");
        for (size_t i = 0; i < ARRAY_SIZE(c->complete); i++) {
                if (c->complete[i] == COMPLETE_NONE)
                        continue;
                if (i + 1 == ARRAY_SIZE(c->complete))
                        buf_puts(out, " '*: :");
                else
                        buf_printf(out, " '%zu: :", i + 1);
                zsh_action(out, p, c->complete[i]);
                buf_putc(out, '\'');
        }
        buf_puts(out, " ;;\n");
}

static void zsh_row(struct buf *out, const char *name, const char *help)
{
        buf_printf(out, "\n        '%s:", name);
        zsh_quote(out, help);
        buf_putc(out, '\'');
}

/* After a group's name: offers its members, or makes both words the verb. */
static void zsh_groups(struct buf *out, const struct group *groups, size_t n)
{
        buf_puts(out, "local verb=$words[1]\ncase $verb in\n");
        for (size_t i = 0; i < n; i++) {
                buf_printf(out, "    '%s')\n        local -a members=(", groups[i].name);
                for (size_t k = 0; k < groups[i].n; k++)
                        zsh_row(out, groups[i].members[k].word, groups[i].members[k].command->help);
                buf_puts(out, ")\n        if (( CURRENT == 2 )); then _describe command members; "
                              "return; fi\n        shift words; (( CURRENT-- )); "
                              "verb+=\" $words[1]\" ;;\n");
        }
        buf_puts(out, "esac\n");
}

void complete_zsh(const struct program *p, struct buf *out)
{
        AUTO_ARENA a = { 0 };
        struct group *groups;
        size_t ngroups = program_groups(p, &a, &groups);

        buf_printf(out, "#compdef %s\n# made from its option tables\n", p->name);
        buf_puts(out, "local curcontext=$curcontext state line\n_arguments -C");
        EACH_OPT(o, p->opts)
        zsh_option(out, p, o);
        buf_puts(out, " \\\n        '--help[Print this help]' '--version[Print the version]' \\\n"
                      "        '1: :->verb' '*:: :->rest'\n"
                      "if [[ $state == verb ]]; then\n    local -a verbs=(");
        EACH_COMMAND(c, p)
        EACH_NAME(name, *c)
        if (!(*c)->hidden && !strchr(name, ' '))
                zsh_row(out, name, (*c)->help);
        for (size_t i = 0; i < ngroups; i++)
                zsh_row(out, groups[i].name, "A group of commands");
        buf_puts(out, ")\n    _describe command verbs\n    return\nfi\n");
        zsh_groups(out, groups, ngroups);
        buf_puts(out, "case $verb in\n");
        EACH_COMMAND(c, p)
        zsh_command(out, p, *c);
        buf_puts(out, "esac\n");
}

/* ---- fish ---- */

static void fish_quote(struct buf *out, const char *s)
{
        buf_putc(out, '\'');
        for (; *s; s++) {
                if (*s == '\'' || *s == '\\')
                        buf_putc(out, '\\');
                buf_putc(out, *s);
        }
        buf_putc(out, '\'');
}

/* The -a argument (or -F for files) of a complete command. */
static void fish_source(struct buf *out, const struct program *p, enum complete kind)
{
        static const char *const fixed[COMPLETE_MAX] = {
                [COMPLETE_FILE] = "-F",
                [COMPLETE_DIR] = "-a '(__fish_complete_directories)'",
                [COMPLETE_PID] = "-a '(__fish_complete_pids)'",
                [COMPLETE_COMMAND] = "-a '(__fish_complete_subcommand)'"
        };

        if (fixed[kind]) {
                buf_puts(out, fixed[kind]);
        } else if (kind == COMPLETE_SIGNAL) {
                buf_printf(out, "-a '%s'", signals);
        } else if (lister(p, kind)) {
                buf_printf(out, "-a '(%s %s 2>/dev/null)'", p->name, lister(p, kind));
        } else if (kind == COMPLETE_VERB) {
                buf_puts(out, "-a '");
                put_verbs(out, p);
                buf_putc(out, '\'');
        }
}

static void fish_options(struct buf *out, const struct program *p, const char *when,
                         const struct opt *opts)
{
        EACH_OPT(o, opts)
        {
                buf_printf(out, "complete -c %s -n '%s' -l %s ", p->name, when, o->name);
                if (o->short_name)
                        buf_printf(out, "-s %c ", o->short_name);
                if (takes_value(o))
                        buf_puts(out, o->complete == COMPLETE_FILE ? "-r " : "-x ");
                if (o->kind == OPT_ENUM) {
                        buf_puts(out, "-a '");
                        put_choices(out, o);
                        buf_putc(out, '\'');
                } else if (takes_value(o)) {
                        fish_source(out, p, o->complete);
                }
                buf_puts(out, " -d ");
                fish_quote(out, o->help);
                buf_putc(out, '\n');
        }
}

/* One name of a command: itself, as a verb or as a member of its group, then its options. */
static void fish_name(struct buf *out, const struct program *p, const struct command *c,
                      const char *name)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF when = { 0 };
        const char *space = strchr(name, ' '), *word = space ? space + 1 : name;

        if (space)
                buf_printf(&when, "__fish_seen_subcommand_from %s; and ", group_of(&a, name));
        buf_printf(out, "complete -c %s -n '", p->name);
        if (space) {
                buf_printf(out, "%snot __fish_seen_subcommand_from ", when.s);
                put_members(out, program_group(p, &a, group_of(&a, name)));
        } else {
                buf_puts(out, "__fish_use_subcommand");
        }
        buf_printf(out, "' -a '%s' -d ", word);
        fish_quote(out, c->help);
        buf_putc(out, '\n');
        buf_printf(&when, "__fish_seen_subcommand_from %s", word);
        fish_options(out, p, when.s, c->opts);
        for (size_t i = 0; i < ARRAY_SIZE(c->complete); i++) {
                if (c->complete[i] == COMPLETE_NONE)
                        continue;
                buf_printf(out, "complete -c %s -n '%s' ", p->name, when.s);
                fish_source(out, p, c->complete[i]);
                buf_putc(out, '\n');
        }
}

void complete_fish(const struct program *p, struct buf *out)
{
        AUTO_ARENA a = { 0 };
        struct group *groups;
        size_t n = program_groups(p, &a, &groups);

        buf_printf(out, "# fish completion of %s; made from its option tables\ncomplete -c %s -f\n",
                   p->name, p->name);
        fish_options(out, p, "__fish_use_subcommand", p->opts);
        EACH_COMMAND(c, p)
        EACH_NAME(name, *c)
        if (!(*c)->hidden)
                fish_name(out, p, *c, name);
        for (size_t i = 0; i < n; i++)
                buf_printf(out,
                           "complete -c %s -n __fish_use_subcommand -a '%s' "
                           "-d 'A group of commands'\n",
                           p->name, groups[i].name);
}
