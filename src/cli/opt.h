/* struct opt, struct command, struct program: commands and their options, each declared once.
 *
 * A command's file opens with a table of rows bound to the fields of its argument struct by
 * offset and a compile-time type check. From these tables come the parser below, --help
 * (cli/help.h), the OPTIONS part of the man pages and the shells' completions (cli/gen-docs.c).
 *
 *         struct kill_args { bool all; const char *log; };
 *         static const struct opt opts[] = {
 *                 FLAG(struct kill_args, all, 'a', "all", "Signal every process"),
 *                 STR(struct kill_args, log, 0, "log", "FILE", "Log to FILE",
 *                     .complete = COMPLETE_FILE),
 *                 {} };
 *         const struct command cmd_kill = { .name = "kill", .usage = "ID [SIGNAL]", ... };
 *
 * What is understood: --long VALUE, --long=VALUE, -s VALUE, -sVALUE, -s=VALUE, grouped shorts
 * (-it), -long with one dash as Go's flag package takes it (runc's callers write it), FLAG rows
 * with =true or =false, and -- which ends the options. A value may begin with a dash. Of a
 * repeated scalar the last counts. Nothing here prints or exits. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/value.h"

struct ctx; /* the program's state; each program defines its own */

enum opt_kind {
        OPT_END,           /* the row {} */
        OPT_HEADING,       /* a title above the rows that follow, in help and man pages */
        OPT_FLAG,          /* bool */
        OPT_STR,           /* const char *, pointing into argv */
        OPT_STR_OPTIONAL,  /* the same; its value only after '=', else .fallback */
        OPT_INT,           /* int64_t */
        OPT_UINT,          /* uint64_t */
        OPT_SIZE,          /* int64_t bytes: "64m"; -1 is accepted and means unlimited */
        OPT_MAYBE_INT,     /* struct opt_i64 */
        OPT_MAYBE_UINT,    /* struct opt_u64 */
        OPT_MAYBE_SIZE,    /* struct opt_i64 */
        OPT_ENUM,          /* int or an enum: the index in .choices */
        OPT_LIST,          /* struct strings: each use adds one */
        OPT_IGNORED,       /* no field: accepted for compatibility, without effect */
        OPT_IGNORED_VALUE, /* the same, taking a value */
        OPT_REFUSED,       /* no field: an error whose text is .help */
        OPT_KIND_MAX
};

/* What a value or positional names, for the shells' completions. */
enum complete {
        COMPLETE_NONE,
        COMPLETE_FILE,
        COMPLETE_DIR,
        COMPLETE_CONTAINER, /* ids known to the program */
        COMPLETE_SIGNAL,
        COMPLETE_PID,
        COMPLETE_COMMAND, /* a program on this host, then its arguments */
        COMPLETE_VERB,    /* a command of this program */
        COMPLETE_IMAGE,   /* names of images known to the program */
        COMPLETE_MAX
};

struct opt {
        enum opt_kind kind;
        char short_name; /* 0: none */
        bool hidden;     /* parsed, but in no help, page or completion */
        const char *name;
        const char *meta; /* "FILE", as printed; NULL for flags */
        const char *help; /* one sentence without a final period; man pages and --help wrap it */
        size_t offset;    /* of the field in the argument struct */
        const char *const *choices; /* OPT_ENUM: ended by NULL */
        const char *fallback;       /* OPT_STR_OPTIONAL */
        int64_t min, max;           /* of OPT_*INT and OPT_*SIZE; checked where min < max */
        enum complete complete;
};

/* The offset of T.field; does not compile unless the field has this type. */
#define OPT_FIELD(T, field, type)                                                                  \
        (offsetof(T, field) +                                                                      \
         0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((T *)0)->field), type) ? 1       \
                                                                                         : -1]))
/* The same for an enum, whose signedness is the compiler's choice. */
#define OPT_FIELD_ENUM(T, field)                                                                   \
        (offsetof(T, field) + 0 * sizeof(char[sizeof(((T *)0)->field) == sizeof(int) ? 1 : -1]))

/* Rows. What follows the help text are further initialisers: .hidden, .complete, .min and .max. */
#define HEADING(title)                                                                             \
        {                                                                                          \
                .kind = OPT_HEADING, .help = title                                                 \
        }
#define OPT_ROW(kind_, field_, s, l, meta_, help_, ...)                                            \
        {                                                                                          \
                .kind = kind_, .short_name = s, .name = l, .meta = meta_, .help = help_,           \
                .offset = field_, __VA_ARGS__                                                      \
        }
#define FLAG(T, f, s, l, h, ...)                                                                   \
        OPT_ROW(OPT_FLAG, OPT_FIELD(T, f, bool), s, l, NULL, h, __VA_ARGS__)
#define STR(T, f, s, l, meta, h, ...)                                                              \
        OPT_ROW(OPT_STR, OPT_FIELD(T, f, const char *), s, l, meta, h, __VA_ARGS__)
#define STR_OPTIONAL(T, f, s, l, meta, without, h, ...)                                            \
        OPT_ROW(OPT_STR_OPTIONAL, OPT_FIELD(T, f, const char *), s, l, meta, h,                    \
                .fallback = without, __VA_ARGS__)
#define INT(T, f, s, l, meta, h, ...)                                                              \
        OPT_ROW(OPT_INT, OPT_FIELD(T, f, int64_t), s, l, meta, h, __VA_ARGS__)
#define UINT(T, f, s, l, meta, h, ...)                                                             \
        OPT_ROW(OPT_UINT, OPT_FIELD(T, f, uint64_t), s, l, meta, h, __VA_ARGS__)
#define SIZE(T, f, s, l, meta, h, ...)                                                             \
        OPT_ROW(OPT_SIZE, OPT_FIELD(T, f, int64_t), s, l, meta, h, __VA_ARGS__)
#define MAYBE_INT(T, f, s, l, meta, h, ...)                                                        \
        OPT_ROW(OPT_MAYBE_INT, OPT_FIELD(T, f, struct opt_i64), s, l, meta, h, __VA_ARGS__)
#define MAYBE_UINT(T, f, s, l, meta, h, ...)                                                       \
        OPT_ROW(OPT_MAYBE_UINT, OPT_FIELD(T, f, struct opt_u64), s, l, meta, h, __VA_ARGS__)
#define MAYBE_SIZE(T, f, s, l, meta, h, ...)                                                       \
        OPT_ROW(OPT_MAYBE_SIZE, OPT_FIELD(T, f, struct opt_i64), s, l, meta, h, __VA_ARGS__)
#define ENUM(T, f, s, l, meta, table, h, ...)                                                      \
        OPT_ROW(OPT_ENUM, OPT_FIELD_ENUM(T, f), s, l, meta, h, .choices = table, __VA_ARGS__)
#define LIST(T, f, s, l, meta, h, ...)                                                             \
        OPT_ROW(OPT_LIST, OPT_FIELD(T, f, struct strings), s, l, meta, h, __VA_ARGS__)
#define IGNORED(s, l, h, ...) OPT_ROW(OPT_IGNORED, 0, s, l, NULL, h, __VA_ARGS__)
#define IGNORED_VALUE(s, l, meta, h, ...) OPT_ROW(OPT_IGNORED_VALUE, 0, s, l, meta, h, __VA_ARGS__)
/* why completes the sentence "option '--x' is not supported: <why>". */
#define REFUSED(s, l, why, ...)                                                                    \
        OPT_ROW(OPT_REFUSED, 0, s, l, NULL, why, .hidden = true, __VA_ARGS__)

/* What a command needs before it runs; main sees to it, or says what is missing. */
enum need {
        NEED_ROOT = 1 << 0,  /* uid 0, here or in a user namespace */
        NEED_STATE = 1 << 1, /* the state directory (--root) */
        NEED_STORE = 1 << 2, /* the database of images and containers */
};

struct command {
        const char *name;        /* "create"; of a group two words: "volume ls" */
        const char *alias[4];    /* other names: { "image ls", "image list" } */
        const char *usage;       /* the positionals: "CONTAINER-ID [COMMAND...]" */
        const char *help;        /* one line, capitalised, no final period */
        const char *about;       /* paragraphs for --help, separated by "\n\n", or NULL */
        const struct opt *opts;  /* ended by {}; NULL: none */
        int min, max;            /* positionals; max -1: any number */
        bool stop_at_positional; /* what follows the first one is the caller's: `exec ID ls -l` */
        bool hidden;
        unsigned needs;            /* enum need */
        enum complete complete[3]; /* of the positionals; the third also of those after it */
        size_t args_size;          /* of the argument struct; 0: none */
        const void *defaults;      /* copied into it first; NULL: zeroes */
        /* Runs it: the exit status, or -1 with e filled. args is the filled struct; argv[argc]
         * is NULL. */
        int (*run)(struct ctx *c, void *args, int argc, char **argv, struct err *e);
};

/* A command that users of other engines look for, or a group of them. */
struct refusal {
        const char *name; /* "build", "volume export" */
        const char *why;  /* as of REFUSED() */
};

struct program {
        const char *name;       /* "berth-oci" */
        const char *help;       /* one line, as a command's */
        const char *about;      /* as a command's */
        int section;            /* of its man pages */
        const struct opt *opts; /* before the command, bound to the globals that main passes */
        const struct command *const *commands; /* in the order of help; ended by NULL */
        const struct refusal *refused;         /* ended by {}; or NULL */
        const char *list_ids;    /* arguments that print container ids, one a line; or NULL */
        const char *list_images; /* the same for names of images */
};

/* Defined by each program in its commands.c; read by its main and by cli/gen-docs.c. */
extern const struct program program;

struct invocation {
        const struct command *command; /* NULL: none was named */
        const char *group;             /* of which help was asked ("image"), or NULL */
        void *args;                    /* in the arena */
        int argc;                      /* positionals */
        char **argv;                   /* in the arena; ended by NULL */
        bool help;    /* --help, -h or the command `help`: of .command, or of the program */
        bool version; /* --version or -v before the command */
};

/* Parses a whole command line. argv[0] is skipped; globals receives the program's own options and
 * ret->command the command (which stay filled when a later argument is wrong, so that main can
 * report where --log asked, with that command's status);
 * memory is taken from a, strings stay in argv. 0, or -1 with an ERR_INVALID whose hint names
 * the nearest name or the usage. */
int program_parse(const struct program *p, void *globals, struct arena *a, int argc, char **argv,
                  struct invocation *ret, struct err *e);

/* The command of that name or alias ("image ls"), or NULL. */
const struct command *program_find(const struct program *p, const char *name);
