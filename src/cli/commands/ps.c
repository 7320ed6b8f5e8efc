/* berth ps: containers, from one query and their monitors' word. */
#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/commands/ctr.h"
#include "cli/ctr-args.h"
#include "cli/table.h"

struct ps_args {
        bool all, quiet, no_trunc, latest, no_heading, names;
        int64_t last;
        const char *format;
        struct strings filters;
};
static const struct ps_args defaults = { .last = -1 };

static const struct opt opts[] = {
        FLAG(struct ps_args, all, 'a', "all", "Show also those that do not run"),
        LIST(struct ps_args, filters, 'f', "filter", "KEY=VALUE",
             "Show those alone that pass: name, id, status, label, ancestor, exited, health, "
             "before, "
             "since, until"),
        STR(struct ps_args, format, 0, "format", "TEMPLATE",
            "Print by a Go template such as {{.Names}}, by `table TEMPLATE`, or `json`"),
        INT(struct ps_args, last, 'n', "last", "N", "Show the N created last, running or not"),
        FLAG(struct ps_args, latest, 'l', "latest", "Show the one created last, running or not"),
        FLAG(struct ps_args, no_heading, 0, "noheading", "Print no headings"),
        FLAG(struct ps_args, no_trunc, 0, "no-trunc", "Shorten nothing"),
        FLAG(struct ps_args, quiet, 'q', "quiet", "Print ids alone"),
        FLAG(struct ps_args, names, 0, "list-names", "Print names alone", .hidden = true),
        {}
};

struct row {
        const struct ctr *c;
        struct ctr_state s;
        int64_t now; /* seconds */
};

/* ---- columns ---- */

#define TEXT(name_, expression)                                                                    \
        static const char *text_##name_(struct arena *a, const void *p,                            \
                                        const struct table_options *o)                             \
        {                                                                                          \
                const struct row *r UNUSED = p;                                                    \
                                                                                                   \
                return expression;                                                                 \
        }

static const char *command_text(struct arena *a, const struct row *r, bool whole)
{
        AUTO_BUF b = { 0 };

        for (size_t i = 0; i < r->c->command.n; i++)
                buf_printf(&b, "%s%s", i ? " " : "", r->c->command.v[i]);
        if (!whole && b.len > 20)
                return arena_printf(a, "\"%.19s…\"", b.s);
        return arena_printf(a, "\"%s\"", buf_str(&b));
}

static const char *labels_text(struct arena *a, const struct row *r)
{
        AUTO_BUF b = { 0 };

        for (size_t i = 0; i < r->c->labels.n; i++)
                buf_printf(&b, "%s%s=%s", i ? "," : "", r->c->labels.v[i].key,
                           r->c->labels.v[i].value);
        return arena_strdup(a, buf_str(&b));
}

static const char *image_text(struct arena *a, const struct row *r)
{
        const char *name = r->c->image_name, *familiar = str_after(name, "docker.io/library/");

        return familiar ? familiar : name;
}

TEXT(id, o->no_trunc ? r->c->id : arena_strndup(a, r->c->id, 12))
TEXT(image, image_text(a, r))
TEXT(command, command_text(a, r, o->no_trunc))
TEXT(created, text_ago(a, r->c->created_ns / 1000000000, r->now))
TEXT(created_at, text_time(a, r->c->created_ns / 1000000000))
TEXT(status, ctr_status_text(a, &r->s))
TEXT(state, ctr_status_names[r->s.status])
TEXT(ports, "")
TEXT(names, r->c->name)
TEXT(labels, labels_text(a, r))
TEXT(networks, r->c->network)
TEXT(pid, arena_printf(a, "%d", r->s.monitor.pid))
TEXT(exit_code, arena_printf(a, "%d", r->s.monitor.exit_code))
TEXT(restarts, arena_printf(a, "%u", r->s.monitor.restarts))
TEXT(mounts, "")
TEXT(local_volumes, "0")
TEXT(running_for, text_ago(a, r->c->created_ns / 1000000000, r->now))
TEXT(unsized, "")

static struct json value_id(struct arena *a, const void *p)
{
        return json_of_str(a, ((const struct row *)p)->c->id);
}
static struct json value_pid(struct arena *a, const void *p)
{
        return json_of_i64(((const struct row *)p)->s.monitor.pid);
}
static struct json value_exit_code(struct arena *a, const void *p)
{
        return json_of_i64(((const struct row *)p)->s.monitor.exit_code);
}
static struct json value_created(struct arena *a, const void *p)
{
        return json_of_i64(((const struct row *)p)->c->created_ns / 1000000000);
}
static struct json value_command(struct arena *a, const void *p)
{
        const struct row *r = p;

        return json_of_list(a, r->c->command.v, r->c->command.n);
}
static struct json value_names(struct arena *a, const void *p)
{
        return json_of_list(a, &((const struct row *)p)->c->name, 1);
}
static struct json value_labels(struct arena *a, const void *p)
{
        const struct row *r = p;
        struct json_member *m = arena_array(a, struct json_member, r->c->labels.n + 1);

        for (size_t i = 0; i < r->c->labels.n; i++)
                m[i] = (struct json_member){ r->c->labels.v[i].key,
                                             json_of_str(a, r->c->labels.v[i].value) };
        return (struct json){ .type = JSON_OBJECT, .n = (uint32_t)r->c->labels.n, .members = m };
}

static const struct column columns[] = {
        { .name = "ID",
          .heading = "CONTAINER ID",
          .text = text_id,
          .json = "Id",
          .value = value_id,
          .shown = true },
        { .name = "Image", .text = text_image, .json = "Image", .shown = true },
        { .name = "Command",
          .text = text_command,
          .json = "Command",
          .value = value_command,
          .shown = true },
        { .name = "RunningFor", .heading = "CREATED", .text = text_running_for, .shown = true },
        { .name = "Created",
          .heading = "CREATED",
          .text = text_created,
          .json = "Created",
          .value = value_created },
        { .name = "CreatedAt",
          .heading = "CREATED AT",
          .text = text_created_at,
          .json = "CreatedAt" },
        { .name = "Status", .text = text_status, .json = "Status", .shown = true },
        { .name = "State", .text = text_state, .json = "State" },
        { .name = "Ports", .text = text_ports, .json = "Ports", .shown = true },
        { .name = "Names",
          .text = text_names,
          .json = "Names",
          .value = value_names,
          .shown = true },
        { .name = "Labels", .text = text_labels, .json = "Labels", .value = value_labels },
        { .name = "Networks", .text = text_networks, .json = "Networks" },
        { .name = "Pid", .text = text_pid, .json = "Pid", .value = value_pid },
        { .name = "ExitCode",
          .heading = "EXIT CODE",
          .text = text_exit_code,
          .json = "ExitCode",
          .value = value_exit_code },
        { .name = "Restarts", .text = text_restarts, .json = "Restarts" },
        { .name = "Mounts", .text = text_mounts },
        { .name = "LocalVolumes", .heading = "LOCAL VOLUMES", .text = text_local_volumes },
        { .name = "Size", .text = text_unsized },
        {}
};

/* ---- filters ---- */

static bool match_name(const struct row *r, const char *v)
{
        return strstr(r->c->name, v) || fnmatch(v, r->c->name, 0) == 0;
}
static bool match_id(const struct row *r, const char *v)
{
        return strncmp(r->c->id, v, strlen(v)) == 0;
}
static bool match_status(const struct row *r, const char *v)
{
        return str_eq(ctr_status_names[r->s.status], v) ||
               (str_eq(v, "stopped") && r->s.status == CTR_EXITED);
}
static bool match_label(const struct row *r, const char *v)
{
        return key_values_match(&r->c->labels, v);
}
static bool match_ancestor(const struct row *r, const char *v)
{
        const char *image = r->c->image_name, *at = strstr(image, v),
                   *id = digest_hex(r->c->image_id);

        /* The whole name, or its end from a slash on, with or without its tag. */
        if (at && (at == image || at[-1] == '/') &&
            (!at[strlen(v)] || at[strlen(v)] == ':' || at[strlen(v)] == '@'))
                return true;
        return strncmp(id, v, strlen(v)) == 0 || str_eq(r->c->image_id, v);
}
static bool match_exited(const struct row *r, const char *v)
{
        int64_t code;

        return r->s.status == CTR_EXITED && str_to_i64(v, &code) == 0 &&
               code == r->s.monitor.exit_code;
}
static bool match_health(const struct row *r, const char *v)
{
        const char *have = health_status_names[r->s.monitor.health];

        return str_eq(have, v) || (str_eq(v, "none") && !*have);
}
static bool match_network(const struct row *r, const char *v)
{
        return str_eq(r->c->network, v);
}

static const struct filter {
        const char *key;
        bool (*match)(const struct row *r, const char *value);
} filters[] = {
        { "name", match_name },         { "id", match_id },
        { "status", match_status },     { "label", match_label },
        { "ancestor", match_ancestor }, { "exited", match_exited },
        { "health", match_health },     { "network", match_network },
};

static const struct filter *filter_of(const char *text, const char **ret_value)
{
        for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
                const char *value = str_after(text, filters[i].key);

                if (value && *value == '=') {
                        *ret_value = value + 1;
                        return &filters[i];
                }
        }
        return NULL;
}

/* before=, since= name another container. */
static int match_times(struct ctx *ctx, struct engine *g, const char *text, const struct row *r,
                       bool *ret, struct err *e)
{
        const char *before = str_after(text, "before="), *since = str_after(text, "since=");
        struct ctr other;

        if (!before && !since) {
                err_set(e, ERR_INVALID, "--filter: \"%s\" is not known", text);
                return err_hint(e, "known are name, id, status, label, ancestor, exited, health, "
                                   "network, before and since, each with =VALUE");
        }
        if (ctr_find(g, &ctx->arena, before ? before : since, &other, e) < 0)
                return -1;
        *ret = before ? r->c->created_ns < other.created_ns : r->c->created_ns > other.created_ns;
        return 0;
}

/* Filters of one key are alternatives, but for labels; different keys must all pass. */
static int passes(struct ctx *ctx, struct engine *g, const struct strings *list,
                  const struct row *r, bool *ret, struct err *e)
{
        bool wanted[ARRAY_SIZE(filters)] = { 0 }, matched[ARRAY_SIZE(filters)] = { 0 }, one = false;

        *ret = true;
        for (size_t i = 0; i < list->n; i++) {
                const char *value;
                const struct filter *f = filter_of(list->v[i], &value);

                if (!f) {
                        if (match_times(ctx, g, list->v[i], r, &one, e) < 0)
                                return -1;
                        *ret = *ret && one;
                        continue;
                }
                one = f->match(r, value);
                if (f->match == match_label)
                        *ret = *ret && one;
                wanted[f - filters] = true;
                matched[f - filters] |= one;
        }
        for (size_t i = 0; i < ARRAY_SIZE(filters); i++)
                *ret = *ret && (!wanted[i] || matched[i]);
        return 0;
}

static bool asks_for_status(const struct strings *list)
{
        for (size_t i = 0; i < list->n; i++)
                if (str_after(list->v[i], "status=") || str_after(list->v[i], "exited="))
                        return true;
        return false;
}

/* ---- the list ---- */

static int collect(struct ctx *ctx, struct engine *g, const struct ps_args *args, struct row **ret,
                   size_t *ret_n, struct err *e)
{
        bool all = args->all || args->latest || args->last >= 0 || asks_for_status(&args->filters);
        int64_t now = time(NULL);
        struct ctr *v;
        size_t n, kept = 0;
        bool keep;

        if (ctr_list(g, &ctx->arena, &v, &n, e) < 0)
                return -1;
        *ret = arena_array(&ctx->arena, struct row, n + 1);
        for (size_t i = 0; i < n; i++) {
                struct row *r = &(*ret)[kept];

                r->c = &v[i];
                r->now = now;
                ctr_state(g, &v[i], &r->s);
                if (!all && !ctr_is_up(&r->s))
                        continue;
                if (passes(ctx, g, &args->filters, r, &keep, e) < 0)
                        return -1;
                kept += keep;
        }
        if (args->latest)
                kept = MIN(kept, (size_t)1);
        if (args->last >= 0)
                kept = MIN(kept, (size_t)args->last);
        *ret_n = kept;
        return 0;
}

static int run(struct ctx *ctx, void *p, int argc, char **argv, struct err *e)
{
        const struct ps_args *args = p;
        const struct table t = { columns, NULL };
        struct table_options o = { .format = args->format,
                                   .no_heading = args->no_heading,
                                   .no_trunc = args->no_trunc };
        AUTO_BUF out = { 0 };
        struct engine g;
        struct row *rows;
        size_t n;
        int r;

        if (ctr_engine(ctx, &g, e) < 0)
                return -1;
        r = collect(ctx, &g, args, &rows, &n, e);
        if (r == 0 && (args->quiet || args->names))
                for (size_t i = 0; i < n; i++)
                        buf_printf(&out, "%.*s\n", args->names || args->no_trunc ? 256 : 12,
                                   args->names ? rows[i].c->name : rows[i].c->id);
        else if (r == 0)
                r = table_print(&t, rows, n, sizeof *rows, &o, &out, e);
        engine_close(&g);
        if (r == 0)
                fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return r;
}

const struct command cmd_ps = {
        .name = "ps",
        .alias = { "container ls", "container list", "container ps" },
        .help = "List containers",
        .opts = opts,
        .needs = NEED_STORE,
        .args_size = sizeof(struct ps_args),
        .defaults = &defaults,
        .run = run,
};
