/* The option parser against a small made-up program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "cli/help.h"
#include "cli/opt.h"
#include "cli/suggest.h"

struct globals {
        bool debug;
        const char *root;
};
static const struct opt global_opts[] = { FLAG(struct globals, debug, 0, "debug", "Log more"),
                                          STR(struct globals, root, 0, "root", "DIR", "State",
                                              .complete = COMPLETE_DIR),
                                          {} };

enum mode { MODE_SLOW, MODE_FAST };
static const char *const modes[] = { "slow", "fast", NULL };

struct make_args {
        bool tty, interactive, remove;
        const char *bundle, *color;
        int64_t timeout, size;
        uint64_t count;
        struct opt_i64 limit, memory;
        struct opt_u64 shares;
        enum mode mode;
        struct strings env;
};
static const struct opt make_opts[] = {
        FLAG(struct make_args, tty, 't', "tty", "A terminal"),
        FLAG(struct make_args, interactive, 'i', "interactive", "Keep stdin"),
        FLAG(struct make_args, remove, 0, "rm", "Remove it"),
        HEADING("Values"),
        STR(struct make_args, bundle, 'b', "bundle", "DIR", "Where", .complete = COMPLETE_DIR),
        STR_OPTIONAL(struct make_args, color, 0, "color", "WHEN", "always", "Colours"),
        INT(struct make_args, timeout, 0, "timeout", "S", "Seconds", .min = -1, .max = 60),
        SIZE(struct make_args, size, 'm', "size", "BYTES", "Size"),
        UINT(struct make_args, count, 0, "count", "N", "Count", .min = 1, .max = 9),
        MAYBE_INT(struct make_args, limit, 0, "limit", "N", "Limit"),
        MAYBE_SIZE(struct make_args, memory, 0, "memory", "BYTES", "Memory"),
        MAYBE_UINT(struct make_args, shares, 0, "shares", "N", "Shares"),
        ENUM(struct make_args, mode, 0, "mode", "MODE", modes, "Mode"),
        LIST(struct make_args, env, 'e', "env", "K=V", "Environment"),
        IGNORED(0, "old", "Without effect"),
        IGNORED_VALUE(0, "older", "X", "Without effect"),
        REFUSED('R', "risky", "it never worked"),
        {}
};
static const struct make_args make_defaults = { .timeout = 7, .bundle = "." };
static const struct command cmd_make = { .name = "make",
                                         .usage = "ID [NAME]",
                                         .help = "Make a thing",
                                         .opts = make_opts,
                                         .min = 1,
                                         .max = 2,
                                         .args_size = sizeof(struct make_args),
                                         .defaults = &make_defaults };
static const struct command cmd_exec = { .name = "exec",
                                         .alias = { "x", "volume exec" },
                                         .usage = "ID [COMMAND...]",
                                         .help = "Run a thing",
                                         .opts = make_opts,
                                         .min = 1,
                                         .max = -1,
                                         .stop_at_positional = true,
                                         .args_size = sizeof(struct make_args) };
static const struct command cmd_volume_ls = { .name = "volume ls", .help = "List volumes" };
static const struct command cmd_secret = {
        .name = "secret", .alias = { "store secret" }, .hidden = true, .help = "Not shown"
};
static const struct command *const commands[] = { &cmd_make, &cmd_exec, &cmd_volume_ls, &cmd_secret,
                                                  NULL };
static const struct refusal refused[] = { { "break", "things are whole" },
                                          { "volume lose", "look for it" },
                                          {} };
const struct program program = { .name = "thing",
                                 .help = "Does things",
                                 .section = 8,
                                 .opts = global_opts,
                                 .commands = commands,
                                 .refused = refused };

struct run {
        struct arena arena;
        struct globals globals;
        struct invocation v;
        struct err e;
        const struct make_args *args;
};

#define PARSE(r, ...) parse((r), (const char *[]){ "thing", __VA_ARGS__, NULL })
static int parse(struct run *r, const char **argv)
{
        int argc = 0, result;

        while (argv[argc])
                argc++;
        arena_done(&r->arena);
        *r = (struct run){ 0 };
        result = program_parse(&program, &r->globals, &r->arena, argc, (char **)argv, &r->v, &r->e);
        r->args = r->v.args;
        return result;
}
#define AUTO_RUN __attribute__((cleanup(run_done))) struct run
static void run_done(struct run *r)
{
        arena_done(&r->arena);
}

static void test_forms_of_a_value(void **state)
{
        static const char *const forms[][2] = { { "--bundle", "/x" },  { "--bundle=/x", NULL },
                                                { "-b", "/x" },        { "-b/x", NULL },
                                                { "-b=/x", NULL },     { "-bundle", "/x" },
                                                { "-bundle=/x", NULL } };
        AUTO_RUN r = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
                const char *first = forms[i][0], *second = forms[i][1];

                assert_int_equal(second ? PARSE(&r, "make", "id", first, second)
                                        : PARSE(&r, "make", "id", first),
                                 0);
                assert_string_equal(r.args->bundle, "/x");
                assert_int_equal(r.v.argc, 1);
                assert_string_equal(r.v.argv[0], "id");
                assert_null(r.v.argv[1]);
        }
}

static void test_defaults_and_grouped_shorts(void **state)
{
        AUTO_RUN r = { 0 };

        assert_int_equal(PARSE(&r, "make", "-it", "a", "b"), 0);
        assert_true(r.args->tty && r.args->interactive && !r.args->remove);
        assert_int_equal(r.args->timeout, 7);
        assert_string_equal(r.args->bundle, ".");
        assert_int_equal(PARSE(&r, "make", "-itb", "/x", "a"), 0);
        assert_string_equal(r.args->bundle, "/x");
        assert_int_equal(PARSE(&r, "make", "-rm", "--tty=false", "a"), 0);
        assert_true(r.args->remove && !r.args->tty);
        assert_int_equal(PARSE(&r, "make", "--tty=perhaps", "a"), -1);
}

static void test_numbers(void **state)
{
        AUTO_RUN r = { 0 };

        assert_int_equal(PARSE(&r, "make", "a", "--timeout", "-1", "--size=64m", "--count", "9",
                               "--limit", "-5", "--memory=-1", "--shares", "2"),
                         0);
        assert_int_equal(r.args->timeout, -1);
        assert_int_equal(r.args->size, 64 << 20);
        assert_int_equal(r.args->count, 9);
        assert_true(r.args->limit.set && r.args->limit.v == -5);
        assert_true(r.args->memory.set && r.args->memory.v == -1);
        assert_true(r.args->shares.set && r.args->shares.v == 2);
        assert_int_equal(PARSE(&r, "make", "a"), 0);
        assert_false(r.args->limit.set || r.args->shares.set);
        static const char *const bad[] = { "--timeout=61",
                                           "--timeout=-2",
                                           "--timeout=1x",
                                           "--timeout=",
                                           "--count=0",
                                           "--count=-1",
                                           "--count=10",
                                           "--size=-2",
                                           "--size=1x",
                                           "--shares= 1",
                                           "--limit=9223372036854775808" };
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                assert_int_equal(PARSE(&r, "make", "a", bad[i]), -1);
                assert_int_equal(r.e.code, ERR_INVALID);
        }
}

static void test_choices_lists_and_optional_values(void **state)
{
        AUTO_RUN r = { 0 };

        assert_int_equal(PARSE(&r, "make", "a", "--mode", "fast", "-e", "A=1", "--env=B=2", "-eC=3",
                               "--color"),
                         0);
        assert_int_equal(r.args->mode, MODE_FAST);
        assert_int_equal(r.args->env.n, 3);
        assert_string_equal(r.args->env.v[0], "A=1");
        assert_string_equal(r.args->env.v[1], "B=2");
        assert_string_equal(r.args->env.v[2], "C=3");
        assert_string_equal(r.args->color, "always");
        assert_int_equal(PARSE(&r, "make", "a", "--color=never"), 0);
        assert_string_equal(r.args->color, "never");
        assert_int_equal(PARSE(&r, "make", "a", "--mode=warp"), -1);
        assert_non_null(strstr(r.e.chain, "one of slow, fast"));
}

static void test_compatibility_rows(void **state)
{
        AUTO_RUN r = { 0 };

        assert_int_equal(PARSE(&r, "make", "--old", "--older", "x", "a"), 0);
        assert_int_equal(r.v.argc, 1);
        assert_int_equal(PARSE(&r, "make", "-R", "a"), -1);
        assert_int_equal(r.e.code, ERR_UNSUPPORTED);
        assert_non_null(strstr(r.e.chain, "it never worked"));
}

static void test_where_options_end(void **state)
{
        AUTO_RUN r = { 0 };

        assert_int_equal(PARSE(&r, "--debug", "--root", "/r", "exec", "-t", "id", "ls", "-l",
                               "--tty", "--", "x"),
                         0);
        assert_true(r.globals.debug);
        assert_string_equal(r.globals.root, "/r");
        assert_ptr_equal(r.v.command, &cmd_exec);
        assert_int_equal(r.v.argc, 6);
        assert_string_equal(r.v.argv[2], "-l");
        assert_string_equal(r.v.argv[4], "--");
        assert_int_equal(PARSE(&r, "make", "--", "-t", "--bundle"), 0);
        assert_int_equal(r.v.argc, 2);
        assert_false(r.args->tty);
        assert_int_equal(PARSE(&r, "x", "--", "-id"), 0);
        assert_string_equal(r.v.argv[0], "-id");
        assert_int_equal(PARSE(&r, "make", "-"), 0);
        assert_string_equal(r.v.argv[0], "-");
}

static void test_commands(void **state)
{
        AUTO_RUN r = { 0 };

        assert_int_equal(PARSE(&r, "x", "id"), 0);
        assert_ptr_equal(r.v.command, &cmd_exec);
        assert_int_equal(PARSE(&r, "volume", "ls"), 0);
        assert_ptr_equal(r.v.command, &cmd_volume_ls);
        assert_int_equal(PARSE(&r, "volume", "exec", "id"), 0);
        assert_ptr_equal(r.v.command, &cmd_exec);
        assert_string_equal(r.v.argv[0], "id");
        assert_int_equal(PARSE(&r, "volume"), -1);
        assert_string_equal(r.e.chain, "'volume' needs a command after it");
        assert_int_equal(PARSE(&r, "volume", "lz"), -1);
        assert_string_equal(r.e.chain, "unknown command 'volume lz'");
        assert_string_equal(r.e.hint, "Did you mean 'thing volume ls'?");
        assert_int_equal(PARSE(&r, "store"), -1);
        assert_string_equal(r.e.chain, "unknown command 'store'");
        assert_int_equal(PARSE(&r, "break", "it", "--all"), -1);
        assert_string_equal(r.e.chain, "command 'break' is not supported: things are whole");
        assert_int_equal(PARSE(&r, "volume", "lose"), -1);
        assert_int_equal(r.e.code, ERR_UNSUPPORTED);
        assert_ptr_equal(program_find(&program, "volume exec"), &cmd_exec);
        assert_int_equal(PARSE(&r, "maek"), -1);
        assert_string_equal(r.e.chain, "unknown command 'maek'");
        assert_string_equal(r.e.hint, "Did you mean 'thing make'?");
        assert_int_equal(PARSE(&r, "--root", "/r"), 0);
        assert_null(r.v.command);
}

static void test_counts(void **state)
{
        AUTO_RUN r = { 0 };

        assert_int_equal(PARSE(&r, "make"), -1);
        assert_string_equal(r.e.chain, "'make' needs at least 1 argument, got 0");
        assert_string_equal(r.e.hint, "Usage: thing make [OPTION...] ID [NAME]");
        assert_int_equal(PARSE(&r, "make", "1", "2", "3"), -1);
        assert_string_equal(r.e.chain, "'make' takes at most 2 arguments, got 3");
}

static void test_mistakes_name_the_nearest(void **state)
{
        AUTO_RUN r = { 0 };

        assert_int_equal(PARSE(&r, "make", "--bundel=/x", "a"), -1);
        assert_string_equal(r.e.chain, "unknown option '--bundel'");
        assert_string_equal(r.e.hint, "Did you mean '--bundle'?");
        assert_int_equal(PARSE(&r, "make", "--nothing-like-it", "a"), -1);
        assert_string_equal(r.e.hint, "See 'thing make --help'.");
        assert_int_equal(PARSE(&r, "make", "-z", "a"), -1);
        assert_int_equal(PARSE(&r, "make", "a", "--bundle"), -1);
        assert_string_equal(r.e.chain, "option '--bundle' needs a value: DIR");
        /* Global options stay filled, so that main can report where they asked. */
        assert_int_equal(PARSE(&r, "--root", "/r", "make", "--bad"), -1);
        assert_string_equal(r.globals.root, "/r");
}

static void test_help_and_version(void **state)
{
        AUTO_RUN r = { 0 };

        assert_int_equal(PARSE(&r, "--version"), 0);
        assert_true(r.v.version);
        assert_int_equal(PARSE(&r, "-v"), 0);
        assert_true(r.v.version);
        assert_int_equal(PARSE(&r, "make", "--help"), 0);
        assert_true(r.v.help && r.v.command == &cmd_make);
        assert_int_equal(PARSE(&r, "make", "-h", "--bad"), 0);
        assert_true(r.v.help);
        assert_int_equal(PARSE(&r, "help", "exec"), 0);
        assert_true(r.v.help && r.v.command == &cmd_exec);
        assert_int_equal(PARSE(&r, "volume", "--help"), 0);
        assert_true(r.v.help && !r.v.command);
        assert_string_equal(r.v.group, "volume");
        assert_int_equal(PARSE(&r, "help", "volume"), 0);
        assert_string_equal(r.v.group, "volume");
        assert_int_equal(PARSE(&r, "help", "volume", "ls"), 0);
        assert_ptr_equal(r.v.command, &cmd_volume_ls);
        assert_int_equal(PARSE(&r, "-help"), 0);
        assert_true(r.v.help && !r.v.command);
        /* Help after the first positional belongs to the command that is run. */
        assert_int_equal(PARSE(&r, "exec", "id", "ls", "--help"), 0);
        assert_false(r.v.help);
}

static void test_help_text(void **state)
{
        AUTO_BUF b = { 0 };

        help_command(&program, &cmd_make, &b);
        assert_non_null(strstr(b.s, "Usage: thing make [OPTION...] ID [NAME]\n\nMake a thing.\n"));
        assert_non_null(strstr(b.s, "\n  -b, --bundle DIR    Where\n"));
        assert_non_null(strstr(b.s, "\nValues:\n"));
        assert_non_null(strstr(b.s, "--color[=WHEN]"));
        assert_non_null(strstr(b.s, "Mode (slow, fast)"));
        assert_null(strstr(b.s, "risky"));
        buf_clear(&b);
        help_program(&program, &b);
        assert_non_null(strstr(b.s, "\nCommands after 'thing volume':\n  ls    List volumes\n"));
        assert_null(strstr(b.s, "secret"));
        for (const char *line = b.s, *end; (end = strchr(line, '\n')); line = end + 1)
                assert_true(end - line <= 80);
        buf_clear(&b);
        help_command(&program, &cmd_exec, &b);
        assert_non_null(strstr(b.s, "\nAlso called 'x', 'volume exec'.\n"));
        buf_clear(&b);
        help_group(&program, "volume", &b);
        assert_non_null(strstr(b.s, "\n  exec  Run a thing\n  ls    List volumes\n"));
        for (const char *line = b.s, *end; (end = strchr(line, '\n')); line = end + 1)
                assert_true(end - line <= 80);
}

static void test_distance(void **state)
{
        static const struct {
                const char *a, *b;
                unsigned d;
        } cases[] = { { "", "", 0 },          { "a", "", 1 },          { "create", "creaet", 1 },
                      { "kill", "kil", 1 },   { "state", "start", 2 }, { "abc", "xyz", 3 },
                      { "list", "lists", 1 }, { "pause", "resume", 4 } };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                assert_int_equal(suggest_distance(cases[i].a, cases[i].b), cases[i].d);
                assert_int_equal(suggest_distance(cases[i].b, cases[i].a), cases[i].d);
        }
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_forms_of_a_value),
                cmocka_unit_test(test_defaults_and_grouped_shorts),
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_choices_lists_and_optional_values),
                cmocka_unit_test(test_compatibility_rows),
                cmocka_unit_test(test_where_options_end),
                cmocka_unit_test(test_commands),
                cmocka_unit_test(test_counts),
                cmocka_unit_test(test_mistakes_name_the_nearest),
                cmocka_unit_test(test_help_and_version),
                cmocka_unit_test(test_help_text),
                cmocka_unit_test(test_distance),
        };

        return cmocka_run_group_tests_name("opt", tests, NULL, NULL);
}
