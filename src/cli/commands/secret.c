/* berth secret create, exists, inspect, ls, rm. */
#include "cli/commands/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/ctr-args.h"
#include "cli/show.h"
#include "cli/table.h"
#include "engine/secret.h"
#include "oci/runtime.h"

/* One struct for all: each command's table names what it takes. */
struct secret_args {
        bool env, replace, quiet, no_heading, all, ignore, pretty;
        const char *format, *driver;
        struct strings labels, filters;
};

static void print(const struct buf *out)
{
        fd_write_all(STDOUT_FILENO, buf_str(out), out->len);
}

/* ---- create ---- */

/* Into data, which has room for SECRET_MAX bytes. Its length, or -1 with e. */
static ssize_t read_file(const char *path, char *data, struct err *e)
{
        bool input = str_eq(path, "-");
        AUTO_FD int file = input ? -1 : open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (input && isatty(STDIN_FILENO))
                return err_set(e, ERR_INVALID, "a secret is not read from a terminal: pipe it in");
        n = !input && file < 0 ? -errno
                               : fd_read_text(input ? STDIN_FILENO : file, data, SECRET_MAX);
        if (n == -EFBIG)
                return err_set(e, ERR_INVALID,
                               "secret data must be larger than 0 and less than %d bytes",
                               SECRET_MAX);
        return n < 0 ? err_sys(e, (int)n, "cannot read \"%s\"", input ? "standard input" : path)
                     : n;
}

static ssize_t read_variable(const char *name, char *data, struct err *e)
{
        const char *value = getenv(name);
        size_t n = value ? strlen(value) : 0;

        if (!value)
                return err_set(e, ERR_NOT_FOUND, "there is no variable \"%s\"", name);
        memcpy(data, value, MIN(n, (size_t)SECRET_MAX));
        return (ssize_t)n; /* one that is too long is refused by its length */
}

static int run_create(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct secret_args *args = p;
        struct secret_new new = { .name = argv[0],
                                  .labels = key_values_of(&c->arena, &args->labels),
                                  .replace = args->replace };
        AUTO_BUF out = { 0 };
        const char *id;
        struct engine g;
        char *data;
        ssize_t n;
        int r = -1;

        if (args->driver && !str_eq(args->driver, "file"))
                return err_set(e, ERR_UNSUPPORTED, "--driver: there is no driver but file");
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        new.data = data = mem_alloc(SECRET_MAX);
        n = args->env ? read_variable(argv[1], data, e) : read_file(argv[1], data, e);
        if (n >= 0) {
                new.n = (size_t)n;
                r = secret_create(g.store, &c->arena, &new, &id, e);
        }
        secret_wipe(data, SECRET_MAX);
        engine_close(&g);
        if (r < 0)
                return -1;
        buf_printf(&out, "%s\n", id);
        print(&out);
        return 0;
}

static const struct opt create_opts[] = {
        STR(struct secret_args, driver, 'd', "driver", "DRIVER", "file, which is the only one"),
        FLAG(struct secret_args, env, 0, "env",
             "FILE is the name of a variable of ours, which holds the secret"),
        LIST(struct secret_args, labels, 'l', "label", "KEY[=VALUE]", "Label it"),
        FLAG(struct secret_args, replace, 0, "replace", "Put it in the place of one of that name"),
        REFUSED(0, "template-driver", "a secret is handed on as it is"),
        REFUSED(0, "driver-opts", "the driver file has none: secrets lie in the store"),
        {}
};
const struct command cmd_secret_create = {
        .name = "secret create",
        .usage = "NAME FILE|-",
        .help = "Make a secret of a file or of standard input",
        .about = "Prints its id. It is less than 512000 bytes and may hold any of them.",
        .opts = create_opts,
        .min = 2,
        .max = 2,
        .needs = NEED_ROOT | NEED_STORE,
        .complete = { COMPLETE_NONE, COMPLETE_FILE },
        .args_size = sizeof(struct secret_args),
        .run = run_create,
};

/* ---- ls ---- */

/* 1, 0, or -1 with e. */
static int passes(const struct secret *s, const char *filter, struct err *e)
{
        const char *value;

        if ((value = str_after(filter, "name=")))
                return strstr(s->name, value) || fnmatch(value, s->name, 0) == 0;
        if ((value = str_after(filter, "id=")))
                return str_after(s->id, value) != NULL;
        if ((value = str_after(filter, "label=")))
                return key_values_match(&s->labels, value);
        return err_set(e, ERR_INVALID, "--filter: \"%s\" is none of name=, id=, label=", filter);
}

/* Filters of one kind are alternatives, as podman has them: one that passes is enough. */
static int choose(struct secret *v, size_t *n, const struct strings *filters, struct err *e)
{
        size_t kept = 0;

        for (size_t i = 0; i < *n; i++) {
                int r = filters->n == 0;

                for (size_t k = 0; k < filters->n && r == 0; k++)
                        r = passes(&v[i], filters->v[k], e);
                if (r < 0)
                        return -1;
                if (r)
                        v[kept++] = v[i];
        }
        *n = kept;
        return 0;
}

#define TEXT(name_, expression)                                                                    \
        static const char *text_##name_(struct arena *a, const void *p,                            \
                                        const struct table_options *o)                             \
        {                                                                                          \
                const struct secret *s = p;                                                        \
                                                                                                   \
                return expression;                                                                 \
        }

TEXT(id, s->id)
TEXT(name, s->name)
TEXT(driver, s->driver)
TEXT(created, text_ago(a, s->created_ns / 1000000000, time(NULL)))
TEXT(updated, text_ago(a, s->updated_ns / 1000000000, time(NULL)))

static const struct column columns[] = {
        { .name = "ID", .text = text_id, .json = "ID", .shown = true },
        { .name = "Name", .text = text_name, .json = "Name", .shown = true },
        { .name = "Driver", .text = text_driver, .json = "Driver", .shown = true },
        { .name = "CreatedAt",
          .heading = "CREATED",
          .text = text_created,
          .json = "CreatedAt",
          .shown = true },
        { .name = "UpdatedAt",
          .heading = "UPDATED",
          .text = text_updated,
          .json = "UpdatedAt",
          .shown = true },
        {}
};

static int run_ls(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct secret_args *args = p;
        const struct table t = { .columns = columns };
        const struct table_options o = { .format = args->format, .no_heading = args->no_heading };
        AUTO_BUF out = { 0 };
        struct secret *v;
        struct engine g;
        size_t n;
        int r;

        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = secret_list(g.store, &c->arena, &v, &n, e);
        engine_close(&g);
        if (r < 0 || choose(v, &n, &args->filters, e) < 0)
                return -1;
        for (size_t i = 0; args->quiet && i < n; i++)
                buf_printf(&out, "%s\n", v[i].id);
        if (!args->quiet && table_print(&t, v, n, sizeof *v, &o, &out, e) < 0)
                return -1;
        print(&out);
        return 0;
}

static const struct opt ls_opts[] = {
        LIST(struct secret_args, filters, 'f', "filter", "KEY=VALUE",
             "Show those alone that pass: name, id, label"),
        STR(struct secret_args, format, 0, "format", "TEMPLATE",
            "Print by a Go template such as {{.Name}}, by `table TEMPLATE`, or `json`"),
        FLAG(struct secret_args, no_heading, 'n', "noheading", "Print no headings"),
        FLAG(struct secret_args, quiet, 'q', "quiet", "Print ids alone"),
        {}
};
const struct command cmd_secret_ls = {
        .name = "secret ls",
        .alias = { "secret list" },
        .usage = "",
        .help = "List secrets",
        .about = "The newest comes first. What they hold is never shown.",
        .opts = ls_opts,
        .needs = NEED_ROOT | NEED_STORE,
        .args_size = sizeof(struct secret_args),
        .run = run_ls,
};

/* ---- inspect ---- */

static void describe(struct arena *a, const struct secret *s, struct json_writer *w)
{
        json_open(w, NULL, '{');
        json_put_str(w, "ID", s->id);
        json_put_str(w, "CreatedAt", text_rfc3339(a, s->created_ns / 1000000000));
        json_put_str(w, "UpdatedAt", text_rfc3339(a, s->updated_ns / 1000000000));
        json_open(w, "Spec", '{');
        json_put_str(w, "Name", s->name);
        json_open(w, "Driver", '{');
        json_put_str(w, "Name", s->driver);
        json_put_key_values(w, "Options", &s->options);
        json_close(w, '}');
        json_put_key_values(w, "Labels", &s->labels);
        json_close(w, '}');
        json_close(w, '}');
}

/* podman's text for people. */
static void describe_pretty(struct arena *a, const struct secret *s, struct buf *out)
{
        buf_printf(out, "ID:              %s\nName:              %s\n", s->id, s->name);
        if (s->labels.n)
                buf_puts(out, "Labels:\n");
        for (size_t i = 0; i < s->labels.n; i++)
                buf_printf(out, " - %s=%s\n", s->labels.v[i].key, s->labels.v[i].value);
        buf_printf(out, "Driver:            %s\nCreated at:        %s\nUpdated at:        %s\n",
                   s->driver, text_time(a, s->created_ns / 1000000000),
                   text_time(a, s->updated_ns / 1000000000));
}

static int run_inspect(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct secret_args *args = p;
        AUTO_BUF text = { 0 };
        AUTO_BUF out = { 0 };
        struct json_writer w = { .out = &text, .indent = 4 };
        struct engine g;
        int status = 0;

        if (args->pretty && args->format)
                return err_set(e, ERR_INVALID, "--pretty and --format exclude each other");
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        json_open(&w, NULL, '[');
        for (int i = 0; i < argc; i++) {
                struct err why = { 0 };
                struct secret s;

                if (secret_find(g.store, &c->arena, argv[i], &s, &why) < 0) {
                        log_err(&c->log, LOG_LEVEL_ERROR, &why);
                        status = STATUS_ENGINE; /* podman's */
                        continue;
                }
                describe(&c->arena, &s, &w);
                if (args->pretty)
                        describe_pretty(&c->arena, &s, &out);
        }
        json_close(&w, ']');
        engine_close(&g);
        if (!args->pretty && show_list(c, args->format, &text, &out, e) < 0)
                return -1;
        print(&out);
        return status;
}

static const struct opt inspect_opts[] = {
        STR(struct secret_args, format, 'f', "format", "TEMPLATE",
            "Print by a Go template such as {{.Spec.Name}}, or `json`"),
        FLAG(struct secret_args, pretty, 0, "pretty", "Print it for people"),
        REFUSED(0, "showsecret", "what a secret holds is for containers alone"),
        {}
};
const struct command cmd_secret_inspect = {
        .name = "secret inspect",
        .usage = "SECRET...",
        .help = "Show all about secrets but what they hold, as JSON",
        .about = "A secret is named, or by a beginning of its id that no other has.",
        .opts = inspect_opts,
        .min = 1,
        .max = -1,
        .needs = NEED_ROOT | NEED_STORE,
        .args_size = sizeof(struct secret_args),
        .run = run_inspect,
};

/* ---- exists ---- */

static int run_exists(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct secret s;
        struct engine g;
        int r;

        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = secret_find(g.store, &c->arena, argv[0], &s, e);
        engine_close(&g);
        if (r < 0 && e->code != ERR_NOT_FOUND)
                return -1;
        err_clear(e);
        return r < 0;
}

const struct command cmd_secret_exists = {
        .name = "secret exists",
        .usage = "SECRET",
        .help = "Exit with 0 if there is such a secret, with 1 if not",
        .about = "For scripts: nothing is printed.",
        .min = 1,
        .max = 1,
        .needs = NEED_ROOT | NEED_STORE,
        .run = run_exists,
};

/* ---- rm ---- */

static int remove_one(struct ctx *c, struct engine *g, const char *text,
                      const struct secret_args *args, struct err *e)
{
        AUTO_BUF out = { 0 };
        struct secret s;

        if (secret_find(g->store, &c->arena, text, &s, e) < 0) {
                if (!args->ignore || e->code != ERR_NOT_FOUND)
                        return -1;
                err_clear(e);
                return 0;
        }
        if (secret_remove(g->store, &s, e) < 0)
                return -1;
        buf_printf(&out, "%s\n", s.id);
        print(&out);
        return 0;
}

static int run_rm(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct secret_args *args = p;
        struct secret *v = NULL;
        struct engine g;
        size_t n = 0;
        int status = 0;

        if (args->all ? argc > 0 : argc == 0)
                return err_set(e, ERR_INVALID, "secrets are named, or --all is given");
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        if (args->all && secret_list(g.store, &c->arena, &v, &n, e) < 0)
                status = -1;
        for (size_t i = 0; status >= 0 && i < n + (size_t)argc; i++) {
                struct err why = { 0 };

                if (remove_one(c, &g, i < n ? v[i].id : argv[i - n], args, &why) == 0)
                        continue;
                log_err(&c->log, LOG_LEVEL_ERROR, &why);
                status = STATUS_ENGINE; /* podman's */
        }
        engine_close(&g);
        return status;
}

static const struct opt rm_opts[] = {
        FLAG(struct secret_args, all, 'a', "all", "Remove all secrets"),
        FLAG(struct secret_args, ignore, 'i', "ignore", "One that isn't there is no error"),
        {}
};
const struct command cmd_secret_rm = {
        .name = "secret rm",
        .alias = { "secret remove" },
        .usage = "[SECRET...]",
        .help = "Remove secrets",
        .about = "Their ids are printed. Containers that were given one keep it.",
        .opts = rm_opts,
        .max = -1,
        .needs = NEED_ROOT | NEED_STORE,
        .args_size = sizeof(struct secret_args),
        .run = run_rm,
};
