/* berth volume create, exists, inspect, ls, prune, rm. */
#include "cli/commands/volume.h"

#include <fnmatch.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/ctr-args.h"
#include "cli/image-list.h"
#include "cli/show.h"
#include "cli/table.h"
#include "engine/events.h"
#include "engine/names.h"
#include "engine/volume.h"

/* One struct for all: each command's table names what it takes. */
struct volume_args {
        bool force, quiet, no_heading, all, ignore;
        const char *format, *driver;
        struct strings labels, filters, options;
};

static void print(const struct buf *out)
{
        fd_write_all(STDOUT_FILENO, buf_str(out), out->len);
}

/* ---- create ---- */

static int run_create(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct volume_args *args = p;
        const char *name = argc ? argv[0] : id_make(&c->arena);
        struct key_values labels = key_values_of(&c->arena, &args->labels);
        struct key_values options = key_values_of(&c->arena, &args->options);
        AUTO_BUF out = { 0 };
        struct engine g;
        int r;

        if (volume_check_options(&options, e) < 0)
                return -1;
        if (args->driver && !str_eq(args->driver, "local"))
                return err_set(e, ERR_UNSUPPORTED, "--driver: there is no driver but local");
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = volume_create(g.store, name, &labels, &options, e);
        if (r < 0 && e->code == ERR_EXISTS && args->ignore) {
                err_clear(e);
                r = 0;
        }
        engine_close(&g);
        if (r < 0)
                return -1;
        buf_printf(&out, "%s\n", name);
        print(&out);
        return 0;
}

/* docker's, of a swarm. */
#define CLUSTER "there is no cluster, volumes are this host's"

static const struct opt create_opts[] = {
        STR(struct volume_args, driver, 'd', "driver", "DRIVER", "local, which is the only one"),
        FLAG(struct volume_args, ignore, 0, "ignore", "One that is there is no error"),
        REFUSED(0, "availability", CLUSTER),
        REFUSED(0, "group", CLUSTER),
        REFUSED(0, "limit-bytes", CLUSTER),
        REFUSED(0, "required-bytes", CLUSTER),
        REFUSED(0, "scope", CLUSTER),
        REFUSED(0, "secret", CLUSTER),
        REFUSED(0, "sharing", CLUSTER),
        REFUSED(0, "topology-preferred", CLUSTER),
        REFUSED(0, "topology-required", CLUSTER),
        REFUSED(0, "type", CLUSTER),
        LIST(struct volume_args, labels, 'l', "label", "KEY[=VALUE]", "Label it"),
        LIST(struct volume_args, options, 'o', "opt", "KEY=VALUE",
             "Make it a file system that is mounted while it is used: type, device and o, as "
             "mount(8) has them"),
        {}
};
const struct command cmd_volume_create = {
        .name = "volume create",
        .usage = "[NAME]",
        .help = "Make a volume",
        .about = "Its name is printed; without a NAME it is a random one. Volumes that --volume or "
                 "--mount name and that are not there are made too.",
        .opts = create_opts,
        .max = 1,
        .needs = NEED_ROOT | NEED_STORE,
        .args_size = sizeof(struct volume_args),
        .run = run_create,
};

/* ---- filters ---- */

/* 1, 0, or -1 with e. */
static int passes_one(struct engine *g, struct arena *a, const struct volume *v, const char *filter,
                      struct err *e)
{
        const char *value;
        struct strings users;

        if ((value = str_after(filter, "name=")))
                return strstr(v->name, value) || fnmatch(value, v->name, 0) == 0;
        if ((value = str_after(filter, "label!=")))
                return !key_values_match(&v->labels, value);
        if ((value = str_after(filter, "label=")))
                return key_values_match(&v->labels, value);
        if ((value = str_after(filter, "driver=")))
                return str_eq(value, "local");
        if ((value = str_after(filter, "dangling="))) {
                if (volume_users(g, a, v->name, &users, e) < 0)
                        return -1;
                return (users.n == 0) == (str_eq(value, "true") || str_eq(value, "1"));
        }
        return err_set(
                e, ERR_INVALID,
                "--filter: \"%s\" is none of name=, label=, label!=, driver=, dangling=", filter);
}

/* As docker: filters of one kind are alternatives only for names; here all must pass. */
static int choose(struct engine *g, struct arena *a, const struct strings *filters,
                  struct volume **ret, size_t *ret_n, struct err *e)
{
        struct volume *v;
        size_t n, kept = 0;

        if (volume_list(g->store, a, &v, &n, e) < 0)
                return -1;
        for (size_t i = 0; i < n; i++) {
                int r = 1;

                for (size_t k = 0; k < filters->n && r > 0; k++)
                        r = passes_one(g, a, &v[i], filters->v[k], e);
                if (r < 0)
                        return -1;
                if (r)
                        v[kept++] = v[i];
        }
        *ret = v;
        *ret_n = kept;
        return 0;
}

/* ---- ls ---- */

#define TEXT(name_, expression)                                                                    \
        static const char *text_##name_(struct arena *a, const void *p,                            \
                                        const struct table_options *o)                             \
        {                                                                                          \
                const struct volume *v UNUSED = p;                                                 \
                                                                                                   \
                return expression;                                                                 \
        }

static const char *labels_text(struct arena *a, const struct volume *v)
{
        AUTO_BUF b = { 0 };

        for (size_t i = 0; i < v->labels.n; i++)
                buf_printf(&b, "%s%s=%s", i ? "," : "", v->labels.v[i].key, v->labels.v[i].value);
        return arena_strdup(a, buf_str(&b));
}

TEXT(driver, "local")
TEXT(name, v->name)
TEXT(scope, "local")
TEXT(unknown, "N/A") /* as docker has it: `system df -v` counts */
TEXT(mountpoint, v->mountpoint)
TEXT(labels, labels_text(a, v))
TEXT(created, text_rfc3339(a, v->created_ns / 1000000000))

static struct json value_labels(struct arena *a, const void *p)
{
        const struct volume *v = p;
        struct json_member *m = arena_array(a, struct json_member, v->labels.n + 1);

        for (size_t i = 0; i < v->labels.n; i++)
                m[i] = (struct json_member){ v->labels.v[i].key,
                                             json_of_str(a, v->labels.v[i].value) };
        return (struct json){ .type = JSON_OBJECT, .n = (uint32_t)v->labels.n, .members = m };
}

static const struct column columns[] = {
        { .name = "Driver", .text = text_driver, .json = "Driver", .shown = true },
        { .name = "Name",
          .heading = "VOLUME NAME",
          .text = text_name,
          .json = "Name",
          .shown = true },
        { .name = "Scope", .text = text_scope, .json = "Scope" },
        { .name = "Mountpoint", .text = text_mountpoint, .json = "Mountpoint" },
        { .name = "Labels", .text = text_labels, .json = "Labels", .value = value_labels },
        { .name = "Label", .heading = "LABELS", .value = value_labels }, /* .Label "key" */
        { .name = "Links", .text = text_unknown },
        { .name = "Size", .text = text_unknown },
        { .name = "CreatedAt", .heading = "CREATED AT", .text = text_created, .json = "CreatedAt" },
        {}
};

static int run_ls(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct volume_args *args = p;
        const struct table t = { .columns = columns };
        const struct table_options o = { .format = args->format, .no_heading = args->no_heading };
        AUTO_BUF out = { 0 };
        struct volume *v;
        struct engine g;
        size_t n;
        int r;

        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = choose(&g, &c->arena, &args->filters, &v, &n, e);
        for (size_t i = 0; r == 0 && args->quiet && i < n; i++)
                buf_printf(&out, "%s\n", v[i].name);
        if (r == 0 && !args->quiet)
                r = table_print(&t, v, n, sizeof *v, &o, &out, e);
        engine_close(&g);
        if (r == 0)
                print(&out);
        return r;
}

static const struct opt ls_opts[] = {
        REFUSED(0, "cluster", CLUSTER),
        LIST(struct volume_args, filters, 'f', "filter", "KEY=VALUE",
             "Show those alone that pass: name, label, label!, driver, dangling"),
        STR(struct volume_args, format, 0, "format", "TEMPLATE",
            "Print by a Go template such as {{.Name}}, by `table TEMPLATE`, or `json`"),
        FLAG(struct volume_args, no_heading, 'n', "noheading", "Print no headings"),
        FLAG(struct volume_args, quiet, 'q', "quiet", "Print names alone"),
        {}
};
const struct command cmd_volume_ls = {
        .name = "volume ls",
        .alias = { "volume list" },
        .usage = "",
        .help = "List volumes",
        .about = "Anonymous volumes are part of their containers, and not listed.",
        .opts = ls_opts,
        .needs = NEED_STORE,
        .args_size = sizeof(struct volume_args),
        .run = run_ls,
};

/* ---- inspect ---- */

/* The exit status: 1 where one is not there; the others are shown. */
static int describe(struct ctx *c, struct engine *g, const struct volume_args *args, int argc,
                    char **argv, struct json_writer *w, struct err *e)
{
        struct volume *v = NULL;
        size_t n = 0;
        int status = 0;

        if (args->all && choose(g, &c->arena, &args->filters, &v, &n, e) < 0)
                return -1;
        json_open(w, NULL, '[');
        for (size_t i = 0; i < n; i++)
                volume_write(&v[i], text_rfc3339(&c->arena, v[i].created_ns / 1000000000), w);
        for (int i = 0; i < argc; i++) {
                struct err why = { 0 };
                struct volume one;

                if (volume_find(g->store, &c->arena, argv[i], &one, &why) == 0) {
                        volume_write(&one, text_rfc3339(&c->arena, one.created_ns / 1000000000), w);
                        continue;
                }
                log_err(&c->log, LOG_LEVEL_ERROR, &why);
                status = 1;
        }
        json_close(w, ']');
        return status;
}

static int run_inspect(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct volume_args *args = p;
        AUTO_BUF text = { 0 };
        AUTO_BUF out = { 0 };
        struct json_writer w = { .out = &text, .indent = 4 };
        struct engine g;
        int status;

        if (args->all ? argc > 0 : argc == 0)
                return err_set(e, ERR_INVALID, "volumes are named, or --all is given");
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        status = describe(c, &g, args, argc, argv, &w, e);
        engine_close(&g);
        if (status < 0 || show_list(c, args->format, &text, &out, e) < 0)
                return -1;
        print(&out);
        return status;
}

static const struct opt inspect_opts[] = {
        FLAG(struct volume_args, all, 'a', "all", "Show all volumes"),
        STR(struct volume_args, format, 'f', "format", "TEMPLATE",
            "Print by a Go template such as {{.Mountpoint}}, or `json`"),
        {}
};
const struct command cmd_volume_inspect = {
        .name = "volume inspect",
        .usage = "[VOLUME...]",
        .help = "Show all about volumes, as JSON",
        .about = "A volume is named, or by a beginning of its name that no other has.",
        .opts = inspect_opts,
        .max = -1,
        .needs = NEED_STORE,
        .args_size = sizeof(struct volume_args),
        .run = run_inspect,
};

/* ---- exists ---- */

static int run_exists(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct volume v;
        struct engine g;
        int r;

        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = volume_find(g.store, &c->arena, argv[0], &v, e);
        engine_close(&g);
        if (r < 0 && e->code != ERR_NOT_FOUND)
                return -1;
        err_clear(e);
        return r < 0;
}

const struct command cmd_volume_exists = {
        .name = "volume exists",
        .usage = "VOLUME",
        .help = "Exit with 0 if there is such a volume, with 1 if not",
        .about = "For scripts: nothing is printed.",
        .min = 1,
        .max = 1,
        .needs = NEED_STORE,
        .run = run_exists,
};

/* ---- rm, prune ---- */

static int remove_one(struct ctx *c, struct engine *g, const char *text, bool force, struct err *e)
{
        AUTO_BUF out = { 0 };
        struct volume v;

        if (volume_find(g->store, &c->arena, text, &v, e) < 0) {
                if (!force || e->code != ERR_NOT_FOUND)
                        return -1;
                err_clear(e);
                return 0;
        }
        if (volume_remove(g, v.name, force, e) < 0)
                return -1;
        buf_printf(&out, "%s\n", v.name);
        print(&out);
        return 0;
}

/* podman's exit statuses: 2 where one is in use. */
static int run_rm(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct volume_args *args = p;
        struct volume *v;
        struct engine g;
        size_t n = 0;
        int status = 0;

        if (args->all ? argc > 0 : argc == 0)
                return err_set(e, ERR_INVALID, "volumes are named, or --all is given");
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        if (args->all && volume_list(g.store, &c->arena, &v, &n, e) < 0) {
                engine_close(&g);
                return -1;
        }
        for (size_t i = 0; i < n + (size_t)argc; i++) {
                const char *name = i < n ? v[i].name : argv[i - n];
                struct err why = { 0 };

                if (remove_one(c, &g, name, args->force, &why) == 0)
                        continue;
                log_err(&c->log, LOG_LEVEL_ERROR, &why);
                status = MAX(status, why.code == ERR_STATE ? 2 : 1);
        }
        engine_close(&g);
        return status;
}

static const struct opt rm_opts[] = {
        REFUSED('t', "time", "with --force containers are killed at once: stop them first"),
        FLAG(struct volume_args, all, 'a', "all", "Remove all volumes"),
        FLAG(struct volume_args, force, 'f', "force",
             "Remove the containers that have it first; names of none are no error"),
        {}
};
const struct command cmd_volume_rm = {
        .name = "volume rm",
        .alias = { "volume remove" },
        .usage = "[VOLUME...]",
        .help = "Remove volumes, and what is in them",
        .about = "One that a container has, running or not, is kept, and the exit status is 2.",
        .opts = rm_opts,
        .max = -1,
        .needs = NEED_ROOT | NEED_STORE,
        .args_size = sizeof(struct volume_args),
        .run = run_rm,
};

/* One that comes into use meanwhile is no longer unused. */
int volumes_prune(struct ctx *c, struct engine *g, const struct strings *filters, struct buf *out,
                  uint64_t *ret_bytes, struct err *e)
{
        struct volume_usage *usage;
        struct volume *v;
        uint64_t bytes = 0;
        size_t n;
        int status = 0;

        if (choose(g, &c->arena, filters, &v, &n, e) < 0 ||
            volume_usage(g, &c->arena, v, n, &usage, e) < 0)
                return -1;
        for (size_t i = 0; i < n; i++) {
                struct err why = { 0 };

                if (volume_remove(g, v[i].name, false, &why) == 0) {
                        buf_printf(out, "%s\n", v[i].name);
                        bytes += usage[i].size;
                } else if (why.code != ERR_STATE) {
                        log_err(&c->log, LOG_LEVEL_ERROR, &why);
                        status = 1;
                }
        }
        event_prune(g->store, "volume", bytes);
        *ret_bytes += bytes;
        return status;
}

static int run_prune(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct volume_args *args = p;
        AUTO_BUF out = { 0 };
        struct engine g;
        uint64_t bytes = 0;
        int r;

        if (!args->force && !confirm("WARNING! This will remove all volumes that no container has, "
                                     "and what is in them."))
                return 0;
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = volumes_prune(c, &g, &args->filters, &out, &bytes, e);
        engine_close(&g);
        print(&out);
        return r;
}

static const struct opt prune_opts[] = {
        FLAG(struct volume_args, all, 'a', "all", "Remove named ones too, as is done anyway"),
        LIST(struct volume_args, filters, 0, "filter", "KEY=VALUE",
             "Remove those alone that pass: name, label, label!, driver"),
        FLAG(struct volume_args, force, 'f', "force", "Don't ask"),
        {}
};
const struct command cmd_volume_prune = {
        .name = "volume prune",
        .usage = "",
        .help = "Remove the volumes that no container has",
        .about = "As podman does it, named ones too; the names of those that went are printed.",
        .opts = prune_opts,
        .needs = NEED_ROOT | NEED_STORE,
        .args_size = sizeof(struct volume_args),
        .run = run_prune,
};
