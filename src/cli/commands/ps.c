/* berth ps: containers, from one query and their monitors' word. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/commands/ctr.h"
#include "cli/ctr-args.h"
#include "cli/ctr-filter.h"
#include "cli/table.h"

struct ps_args {
        bool all, quiet, no_trunc, latest, no_heading, names, size, namespaces;
        int64_t last, watch;
        int order;
        const char *format;
        struct strings filters;
};
static const struct ps_args defaults = { .last = -1, .order = -1 };

/* podman's names; without one, the newest comes first. */
static const char *const orders[] = { "command", "created",    "id",   "image",  "names",
                                      "pod",     "runningfor", "size", "status", NULL };
enum order {
        ORDER_COMMAND,
        ORDER_CREATED,
        ORDER_ID,
        ORDER_IMAGE,
        ORDER_NAMES,
        ORDER_POD,
        ORDER_RUNNING,
        ORDER_SIZE,
        ORDER_STATUS
};

static const struct opt opts[] = {
        FLAG(struct ps_args, all, 'a', "all", "Show also those that do not run"),
        LIST(struct ps_args, filters, 'f', "filter", "KEY=VALUE",
             "Show those alone that pass: " CTR_FILTER_KEYS),
        STR(struct ps_args, format, 0, "format", "TEMPLATE",
            "Print by a Go template such as {{.Names}}, by `table TEMPLATE`, or `json`"),
        INT(struct ps_args, last, 'n', "last", "N", "Show the N created last, running or not"),
        FLAG(struct ps_args, latest, 'l', "latest", "Show the one created last, running or not"),
        FLAG(struct ps_args, no_heading, 0, "noheading", "Print no headings"),
        FLAG(struct ps_args, no_trunc, 0, "no-trunc", "Shorten nothing"),
        FLAG(struct ps_args, namespaces, 0, "namespace",
             "Show the namespaces of their first processes instead"),
        FLAG(struct ps_args, namespaces, 0, "ns", "As --namespace", .hidden = true),
        REFUSED('p', "pod", "pods are not built yet"),
        FLAG(struct ps_args, quiet, 'q', "quiet", "Print ids alone"),
        FLAG(struct ps_args, size, 's', "size",
             "Show what they have written, and with it their images' sizes"),
        ENUM(struct ps_args, order, 0, "sort", "KEY", orders,
             "Order by KEY: command, created, id, image, names, runningfor, size, status"),
        IGNORED(0, "sync", "What is shown is the truth of the moment", .hidden = true),
        IGNORED(0, "external", "There are no containers of others in the store", .hidden = true),
        INT(struct ps_args, watch, 'w', "watch", "SECONDS", "Show it again every so often",
            .min = 1, .max = 86400),
        FLAG(struct ps_args, names, 0, "list-names", "Print names alone", .hidden = true),
        {}
};

struct row {
        const struct ctr *c;
        struct ctr_state s;
        int64_t now;             /* seconds */
        uint64_t written, image; /* bytes; where sizes are asked for */
        const struct ps_args *args;
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

static const char *health_text(struct arena *a, const struct monitor_state *m)
{
        if (m->health == HEALTH_OFF)
                return "";
        return m->health == HEALTH_BEGINNING
                       ? " (health: starting)"
                       : arena_printf(a, " (%s)", health_status_names[m->health]);
}

/* "Up 3 minutes (healthy)", "Exited (1) 2 hours ago", ... */
static const char *status_text(struct arena *a, const struct row *r)
{
        const struct monitor_state *m = &r->s.monitor;
        const char *up = text_duration(a, r->now - m->started_ns / 1000000000);
        const char *ago = text_ago(a, m->finished_ns / 1000000000, r->now);

        switch (r->s.status) {
        case CTR_RUNNING:
        case CTR_STOPPING:
                return arena_printf(a, "Up %s%s", up, health_text(a, m));
        case CTR_PAUSED:
                return arena_printf(a, "Up %s (Paused)", up);
        case CTR_RESTARTING:
                return arena_printf(a, "Restarting (%d) %s", m->exit_code, ago);
        case CTR_EXITED:
                return m->finished_ns ? arena_printf(a, "Exited (%d) %s", m->exit_code, ago)
                                      : arena_printf(a, "Exited (%d)", m->exit_code);
        case CTR_LOST:
                return "Dead";
        default:
                return "Created";
        }
}

static const struct json *mount_at(const struct row *r, uint32_t i)
{
        const struct json *list = json_get(r->c->record, "mounts");

        return list && list->type == JSON_ARRAY && i < list->n ? &list->items[i] : NULL;
}

/* docker's: volumes by name, others by source; each cut off where lines have to be short. */
static const char *mounts_text(struct arena *a, const struct row *r, bool whole)
{
        const struct json *m;
        AUTO_BUF b = { 0 };

        for (uint32_t i = 0; (m = mount_at(r, i)); i++) {
                const char *name = json_str(json_get(m, "name"), "");
                const char *text = *name ? name : json_str(json_get(m, "source"), "");

                if (!*text)
                        continue; /* a tmpfs */
                buf_puts(&b, b.len ? "," : "");
                buf_printf(&b, !whole && strlen(text) > 15 ? "%.14s…" : "%s", text);
        }
        return arena_strdup(a, buf_str(&b));
}

static const char *volumes_text(struct arena *a, const struct row *r)
{
        const struct json *m;
        unsigned n = 0;

        for (uint32_t i = 0; (m = mount_at(r, i)); i++)
                n += str_eq(json_str(json_get(m, "type"), ""), "volume");
        return arena_printf(a, "%u", n);
}

/* The number of a namespace of its first process. */
static const char *namespace_text(struct arena *a, const struct row *r, const char *name)
{
        char text[64];
        const char *path = arena_printf(a, "/proc/%d/ns/%s", r->s.monitor.pid, name), *number;
        ssize_t n = ctr_is_up(&r->s) && r->s.monitor.pid > 0 ? readlink(path, text, sizeof text - 1)
                                                             : -1;

        if (n <= 0)
                return "";
        text[n] = 0;
        number = strchr(text, '[');
        return number ? arena_strndup(a, number + 1, strcspn(number + 1, "]")) : "";
}

TEXT(id, o->no_trunc ? r->c->id : arena_strndup(a, r->c->id, 12))
TEXT(image, image_text(a, r))
TEXT(command, command_text(a, r, o->no_trunc))
TEXT(created, text_ago(a, r->c->created_ns / 1000000000, r->now))
TEXT(created_at, text_time(a, r->c->created_ns / 1000000000))
TEXT(status, status_text(a, r))
TEXT(state, ctr_status_names[r->s.status])
TEXT(ports, "")
TEXT(names, r->c->name)
TEXT(labels, labels_text(a, r))
TEXT(networks, r->c->network)
TEXT(pid, arena_printf(a, "%d", r->s.monitor.pid))
TEXT(exit_code, arena_printf(a, "%d", r->s.monitor.exit_code))
TEXT(restarts, arena_printf(a, "%u", r->s.monitor.restarts))
TEXT(mounts, mounts_text(a, r, o->no_trunc))
TEXT(local_volumes, volumes_text(a, r))
TEXT(running_for, text_ago(a, r->c->created_ns / 1000000000, r->now))
TEXT(size_of, arena_printf(a, "%s (virtual %s)", text_size(a, r->written),
                           text_size(a, r->written + r->image)))
TEXT(started, arena_printf(a, "%" PRId64, r->s.monitor.started_ns / 1000000000))
TEXT(image_id, o->no_trunc ? r->c->image_id : arena_strndup(a, digest_hex(r->c->image_id), 12))
TEXT(health, health_status_names[r->s.monitor.health])
TEXT(cgroupns, namespace_text(a, r, "cgroup"))
TEXT(ipcns, namespace_text(a, r, "ipc"))
TEXT(mntns, namespace_text(a, r, "mnt"))
TEXT(netns, namespace_text(a, r, "net"))
TEXT(pidns, namespace_text(a, r, "pid"))
TEXT(userns, namespace_text(a, r, "user"))
TEXT(utsns, namespace_text(a, r, "uts"))

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

/* Where things are mounted, as podman has it. */
static struct json value_mounts(struct arena *a, const void *p)
{
        const struct json *list = json_get(((const struct row *)p)->c->record, "mounts");
        uint32_t n = list && list->type == JSON_ARRAY ? list->n : 0;
        struct json *items = arena_array(a, struct json, n + 1);

        for (uint32_t i = 0; i < n; i++)
                items[i] = json_of_str(a, json_str(json_get(&list->items[i], "destination"), ""));
        return (struct json){ .type = JSON_ARRAY, .n = n, .items = items };
}

static struct json value_size(struct arena *a, const void *p)
{
        const struct row *r = p;
        struct json_member *m;

        if (!r->args->size)
                return (struct json){ .type = JSON_NULL };
        m = arena_array(a, struct json_member, 2);
        m[0] = (struct json_member){ "rootFsSize", json_of_i64((int64_t)(r->written + r->image)) };
        m[1] = (struct json_member){ "rwSize", json_of_i64((int64_t)r->written) };
        return (struct json){ .type = JSON_OBJECT, .n = 2, .members = m };
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
        { .name = "Size",
          .text = text_size_of,
          .json = "Size",
          .value = value_size,
          .optional = true },
        { .name = "Labels", .text = text_labels, .json = "Labels", .value = value_labels },
        { .name = "Label", .heading = "LABELS", .value = value_labels }, /* .Label "key" */
        { .name = "Networks", .text = text_networks, .json = "Networks" },
        { .name = "Pid", .text = text_pid, .json = "Pid", .value = value_pid },
        { .name = "ExitCode",
          .heading = "EXIT CODE",
          .text = text_exit_code,
          .json = "ExitCode",
          .value = value_exit_code },
        { .name = "Restarts", .text = text_restarts, .json = "Restarts" },
        { .name = "Mounts", .text = text_mounts, .json = "Mounts", .value = value_mounts },
        { .name = "LocalVolumes", .heading = "LOCAL VOLUMES", .text = text_local_volumes },
        { .name = "ImageID", .heading = "IMAGE ID", .text = text_image_id, .json = "ImageID" },
        { .name = "Health", .text = text_health },
        { .name = "StartedAt", .heading = "STARTED AT", .text = text_started },
        {}
};

/* podman's, of `ps --namespace`. */
static const struct column namespace_columns[] = {
        { .name = "ID",
          .heading = "CONTAINER ID",
          .text = text_id,
          .json = "Id",
          .value = value_id,
          .shown = true },
        { .name = "Names", .text = text_names, .json = "Names", .shown = true },
        { .name = "Pid", .text = text_pid, .json = "Pid", .value = value_pid, .shown = true },
        { .name = "CGROUPNS", .text = text_cgroupns, .json = "Cgroup", .shown = true },
        { .name = "IPC", .text = text_ipcns, .json = "Ipc", .shown = true },
        { .name = "MNT", .text = text_mntns, .json = "Mnt", .shown = true },
        { .name = "NET", .text = text_netns, .json = "Net", .shown = true },
        { .name = "PIDNS", .text = text_pidns, .json = "PidNs", .shown = true },
        { .name = "USERNS", .text = text_userns, .json = "User", .shown = true },
        { .name = "UTS", .text = text_utsns, .json = "Uts", .shown = true },
        {}
};

/* ---- order ---- */

static int compare(const void *pa, const void *pb, void *order)
{
        const struct row *a = pa, *b = pb;
        AUTO_ARENA arena = { 0 };

        switch (*(const enum order *)order) {
        case ORDER_COMMAND:
                return strcmp(command_text(&arena, a, true), command_text(&arena, b, true));
        case ORDER_ID:
                return strcmp(a->c->id, b->c->id);
        case ORDER_IMAGE:
                return strcmp(a->c->image_name, b->c->image_name);
        case ORDER_NAMES:
                return strcmp(a->c->name, b->c->name);
        case ORDER_SIZE:
                return (a->written > b->written) - (a->written < b->written);
        case ORDER_STATUS:
                return strcmp(status_text(&arena, a), status_text(&arena, b));
        case ORDER_RUNNING:
                return (a->s.monitor.started_ns > b->s.monitor.started_ns) -
                       (a->s.monitor.started_ns < b->s.monitor.started_ns);
        default:
                return (a->c->created_ns > b->c->created_ns) -
                       (a->c->created_ns < b->c->created_ns);
        }
}

/* ---- the list ---- */

/* An image that is gone counts as nothing. */
static void measure(struct ctx *ctx, struct engine *g, struct row *r)
{
        struct image image;

        r->written = ctr_written(g, r->c);
        if (store_image_find(g->store, &ctx->arena, r->c->image_digest, &image, NULL) == 0)
                r->image = image.size;
}

static int collect(struct ctx *ctx, struct engine *g, const struct ps_args *args, struct row **ret,
                   size_t *ret_n, struct err *e)
{
        bool all = args->all || args->latest || args->last >= 0;
        const struct ctr_filters *filters;
        enum order order = (enum order)args->order;
        bool brief = !args->format && args->filters.n == 0; /* no mounts, that is */
        int64_t now = time(NULL);
        struct ctr_state *states;
        struct ctr *v;
        size_t n, kept = 0;

        if (ctr_filters_parse(ctx, g, &args->filters, &filters, e) < 0 ||
            (brief ? ctr_list_brief : ctr_list)(g, &ctx->arena, &v, &n, e) < 0)
                return -1;
        states = arena_array(&ctx->arena, struct ctr_state, n + 1);
        ctr_states(g, v, n, states);
        all = all || ctr_filters_want_all(filters);
        *ret = arena_array(&ctx->arena, struct row, n + 1);
        for (size_t i = 0; i < n; i++) {
                struct row *r = &(*ret)[kept];

                *r = (struct row){ .c = &v[i], .s = states[i], .now = now, .args = args };
                kept += (all || ctr_is_up(&r->s)) && ctr_filters_pass(filters, r->c, &r->s);
        }
        if (args->latest)
                kept = MIN(kept, (size_t)1);
        if (args->last >= 0)
                kept = MIN(kept, (size_t)args->last);
        for (size_t i = 0; i < kept && args->size; i++)
                measure(ctx, g, &(*ret)[i]);
        if (args->order >= 0)
                qsort_r(*ret, kept, sizeof **ret, compare, &order);
        *ret_n = kept;
        return 0;
}

static int show(struct ctx *ctx, struct engine *g, const struct ps_args *args, struct buf *out,
                struct err *e)
{
        const struct table t = { args->namespaces ? namespace_columns : columns,
                                 args->size ? "Size" : NULL };
        const struct table_options o = { .format = args->format,
                                         .no_heading = args->no_heading,
                                         .no_trunc = args->no_trunc };
        struct row *rows;
        size_t n;

        if (collect(ctx, g, args, &rows, &n, e) < 0)
                return -1;
        if (!args->quiet && !args->names)
                return table_print(&t, rows, n, sizeof *rows, &o, out, e);
        for (size_t i = 0; i < n; i++)
                buf_printf(out, "%.*s\n", args->names || args->no_trunc ? 256 : 12,
                           args->names ? rows[i].c->name : rows[i].c->id);
        return 0;
}

static int check(struct ps_args *args, struct err *e)
{
        if (args->quiet && args->format)
                return err_set(e, ERR_INVALID, "--quiet and --format exclude each other");
        if (args->order == ORDER_POD)
                return err_set(e, ERR_UNSUPPORTED, "--sort pod: pods are not built yet");
        args->size = args->size || args->order == ORDER_SIZE ||
                     (args->format && strstr(args->format, ".Size"));
        return 0;
}

static int run(struct ctx *ctx, void *p, int argc, char **argv, struct err *e)
{
        struct ps_args *args = p;
        struct engine g;
        int r;

        if (check(args, e) < 0 || ctr_engine(ctx, &g, e) < 0)
                return -1;
        do {
                /* An arena for each list: it may be watched for months. */
                struct ctx one = *ctx;
                AUTO_BUF out = { 0 };

                one.arena = (struct arena){ 0 };
                if (args->watch && isatty(STDOUT_FILENO))
                        buf_puts(&out, "\033[H\033[J");
                r = show(&one, &g, args, &out, e);
                arena_done(&one.arena);
                if (r == 0 && fd_write_all(STDOUT_FILENO, buf_str(&out), out.len) < 0)
                        break;
        } while (r == 0 && args->watch && sleep((unsigned)args->watch) == 0);
        engine_close(&g);
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
