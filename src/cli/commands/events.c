/* berth events: what happened, and what happens. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/commands/ctr.h"
#include "cli/ctr-args.h"
#include "cli/format.h"
#include "cli/show.h"
#include "engine/events.h"
#include "engine/logs.h"

struct events_args {
        bool stream, no_stream, no_trunc;
        const char *since, *until, *format;
        struct strings filters;
};
static const struct events_args defaults = { .stream = true, .no_trunc = true };

static const struct opt opts[] = {
        LIST(struct events_args, filters, 'f', "filter", "KEY=VALUE",
             "Show those alone that pass: event (or action), container, image, volume, "
             "type, label"),
        STR(struct events_args, format, 0, "format", "TEMPLATE",
            "Print by a Go template such as {{.Action}}, or `json`"),
        FLAG(struct events_args, no_stream, 0, "no-stream", "Show what was, and end"),
        FLAG(struct events_args, no_trunc, 0, "no-trunc", "Show whole ids, as by default"),
        STR(struct events_args, since, 0, "since", "TIME",
            "Begin with what came after TIME: RFC 3339, seconds since 1970, or so long ago, such "
            "as 10m"),
        FLAG(struct events_args, stream, 0, "stream", "Go on with what comes, as by default"),
        STR(struct events_args, until, 0, "until", "TIME", "End with what came before TIME"),
        {}
};

/* What is known of a container whose events are shown: those of its monitor name no image. */
struct known {
        struct known *next;
        const char *id, *image;
        struct key_values labels;
};
struct showing {
        struct ctx *c;
        const struct events_args *args;
        struct engine *g;
        const struct template *template; /* NULL: the usual line, or JSON */
        struct known *known;
        struct buf out;
        struct err *e;
        int status;
};

/* One event, as filters see it. */
struct view {
        const char *type, *action, *id, *name, *image;
        int64_t time_ns;
        const struct json *attributes;
        const struct known *known;
};

/* ---- who it is about ---- */

/* Lives as long as the command: there are not more of them than containers. */
static void learn(struct showing *s, struct known *k, const struct ctr *c)
{
        struct arena *a = &s->c->arena;

        k->image = arena_strdup(a, c->image_name);
        k->labels.v = arena_array(a, struct key_value, c->labels.n + 1);
        for (size_t i = 0; i < c->labels.n; i++)
                k->labels.v[k->labels.n++] =
                        (struct key_value){ arena_strdup(a, c->labels.v[i].key),
                                            arena_strdup(a, c->labels.v[i].value) };
}

static struct known *known_of(struct showing *s, const char *id)
{
        AUTO_ARENA a = { 0 };
        struct known *k = s->known;
        struct ctr c;

        while (k && !str_eq(k->id, id))
                k = k->next;
        if (k)
                return k;
        k = arena_new(&s->c->arena, struct known);
        *k = (struct known){ .next = s->known, .id = arena_strdup(&s->c->arena, id), .image = "" };
        s->known = k;
        if (ctr_find(s->g, &a, id, &c, NULL) == 0)
                learn(s, k, &c);
        return k;
}

/* The container is gone, but an event of it has said it. */
static void learn_from(struct showing *s, struct known *k, const struct json *attributes)
{
        const char *image = json_str(json_get(attributes, "image"), NULL);

        if (image && !*k->image)
                k->image = arena_strdup(&s->c->arena, image);
}

static struct view view_of(struct showing *s, const struct json *j)
{
        struct view v = { .type = json_str(json_get(j, "type"), ""),
                          .action = json_str(json_get(j, "action"), ""),
                          .id = json_str(json_get(j, "id"), ""),
                          .name = json_str(json_get(j, "name"), ""),
                          .image = "",
                          .attributes = json_get(j, "attributes") };

        json_to_i64(json_get(j, "time"), &v.time_ns);
        if (str_eq(v.type, "container")) {
                struct known *k = known_of(s, v.id);

                learn_from(s, k, v.attributes);
                v.known = k;
                v.image = k->image;
        } else if (str_eq(v.type, "image")) {
                v.image = v.name;
        }
        return v;
}

/* ---- filters ---- */

/* Where docker or podman call something else than we do. */
static bool match_action(const struct view *v, const char *want)
{
        static const struct {
                const char *type, *theirs, *ours;
        } names[] = {
                { "container", "destroy", "remove" }, { "container", "died", "die" },
                { "image", "delete", "remove" },      { "image", "loadfromarchive", "load" },
                { "volume", "destroy", "remove" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (str_eq(names[i].type, v->type) && str_eq(names[i].theirs, want))
                        want = names[i].ours;
        return str_eq(v->action, want);
}
static bool match_container(const struct view *v, const char *want)
{
        return str_eq(v->type, "container") &&
               (str_eq(v->name, want) || strncmp(v->id, want, strlen(want)) == 0);
}
/* The name, whole or its end from a slash on, with or without its tag. */
static bool match_image(const struct view *v, const char *want)
{
        const char *at = strstr(v->image, want);
        char after = at ? at[strlen(want)] : 0;

        if (at && (at == v->image || at[-1] == '/') && (!after || after == ':' || after == '@'))
                return true;
        return str_eq(v->type, "image") && strncmp(v->id, want, strlen(want)) == 0;
}
static bool match_volume(const struct view *v, const char *want)
{
        return str_eq(v->type, "volume") && str_eq(v->name, want);
}
static bool match_type(const struct view *v, const char *want)
{
        return str_eq(v->type, want);
}
static bool is_label(const char *key, const char *value, const char *want)
{
        const char *rest = str_after(want, key);

        return rest && (!*rest || (*rest == '=' && str_eq(rest + 1, value)));
}
static bool match_label(const struct view *v, const char *want)
{
        const struct json *j = v->attributes;

        for (size_t i = 0; v->known && i < v->known->labels.n; i++)
                if (is_label(v->known->labels.v[i].key, v->known->labels.v[i].value, want))
                        return true;
        for (uint32_t i = 0; j && j->type == JSON_OBJECT && i < j->n; i++)
                if (is_label(j->members[i].name, json_str(&j->members[i].value, ""), want))
                        return true;
        return false;
}

static const struct filter {
        const char *key;
        bool (*match)(const struct view *v, const char *value);
} filters[] = {
        { "event", match_action },  { "action", match_action }, { "container", match_container },
        { "image", match_image },   { "type", match_type },     { "label", match_label },
        { "volume", match_volume },
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

static int check_filters(const struct strings *list, struct err *e)
{
        const char *value;

        for (size_t i = 0; i < list->n; i++)
                if (!filter_of(list->v[i], &value)) {
                        err_set(e, ERR_INVALID, "--filter: \"%s\" is not known", list->v[i]);
                        return err_hint(e,
                                        "known are event, action, container, image, volume, type "
                                        "and label, each with =VALUE");
                }
        return 0;
}

/* Filters of one key are alternatives, but for labels; different keys must all pass. */
static bool passes(const struct strings *list, const struct view *v)
{
        bool wanted[ARRAY_SIZE(filters)] = { 0 }, matched[ARRAY_SIZE(filters)] = { 0 };

        for (size_t i = 0; i < list->n; i++) {
                const char *value;
                const struct filter *f = filter_of(list->v[i], &value);
                size_t k = (size_t)(f - filters);
                bool one = f->match(v, value);

                if (f->match == match_label && !one)
                        return false;
                k -= k == 1; /* action is event */
                wanted[k] = true;
                matched[k] |= one;
        }
        for (size_t i = 0; i < ARRAY_SIZE(filters); i++)
                if (wanted[i] && !matched[i])
                        return false;
        return true;
}

/* ---- printing ---- */

/* docker's: those of the event, and the image and name. */
static void put_attributes(const struct view *v, struct json_writer *w, const char *name)
{
        const struct json *j = v->attributes;

        json_open(w, name, '{');
        for (uint32_t i = 0; j && j->type == JSON_OBJECT && i < j->n; i++)
                json_put(w, j->members[i].name, &j->members[i].value);
        if (*v->image && !json_get(j, "image") && str_eq(v->type, "container"))
                json_put_str(w, "image", v->image);
        if (!json_get(j, "name"))
                json_put_str(w, "name", v->name);
        json_close(w, '}');
}

/* docker's names as its JSON has them; for templates also as its templates and podman's have
 * them. */
static void put_object(const struct view *v, bool template, struct buf *out)
{
        struct json_writer w = { .out = out };

        json_open(&w, NULL, '{');
        json_put_str(&w, template ? "Status" : "status", v->action);
        json_put_str(&w, template ? "ID" : "id", v->id);
        json_put_str(&w, template ? "From" : "from", v->image);
        json_put_str(&w, "Type", v->type);
        json_put_str(&w, "Action", v->action);
        json_open(&w, "Actor", '{');
        json_put_str(&w, "ID", v->id);
        put_attributes(v, &w, "Attributes");
        json_close(&w, '}');
        json_put_str(&w, template ? "Scope" : "scope", "local");
        json_put_i64(&w, template ? "Time" : "time", v->time_ns / 1000000000);
        json_put_i64(&w, template ? "TimeNano" : "timeNano", v->time_ns);
        if (template) {
                json_put_str(&w, "Name", v->name);
                json_put_str(&w, "Image", v->image);
                put_attributes(v, &w, "Attributes");
                if (json_get(v->attributes, "exitCode"))
                        json_put_str(&w, "ContainerExitCode",
                                     json_str(json_get(v->attributes, "exitCode"), ""));
                else
                        json_put_null(&w, "ContainerExitCode");
                json_put_str(&w, "HealthStatus",
                             json_str(json_get(v->attributes, "health_status"), ""));
        }
        json_close(&w, '}');
}

static void put_line(const struct view *v, bool whole, struct buf *out)
{
        time_t seconds = v->time_ns / 1000000000;
        AUTO_BUF text = { 0 };
        struct json_writer w = { .out = &text };
        AUTO_ARENA a = { 0 };
        struct json j;
        char when[32];
        struct tm tm;

        gmtime_r(&seconds, &tm);
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
        buf_printf(out, "%s.%09" PRId64 "Z %s %s %.*s (", when, v->time_ns % 1000000000, v->type,
                   v->action, whole ? 128 : 12, v->id);
        put_attributes(v, &w, NULL);
        if (json_parse(&a, buf_str(&text), text.len, NULL, &j, NULL) == 0)
                for (uint32_t i = 0; i < j.n; i++)
                        buf_printf(out, "%s%s=%s", i ? ", " : "", j.members[i].name,
                                   json_str(&j.members[i].value, ""));
        buf_puts(out, ")\n");
}

static int print(struct showing *s, const struct view *v)
{
        AUTO_BUF text = { 0 };
        struct json j;

        if (!s->args->format) {
                put_line(v, s->args->no_trunc, &s->out);
                return 0;
        }
        put_object(v, s->template != NULL, s->template ? &text : &s->out);
        if (!s->template) {
                buf_putc(&s->out, '\n');
                return 0;
        }
        /* Of an arena of its own: a stream may go on for months. */
        struct ctx one = { .log = s->c->log };
        int r = json_parse(&one.arena, text.s, text.len, NULL, &j, NULL) < 0
                        ? -1
                        : show_line(&one, s->template, &j, &s->out, s->e);

        arena_done(&one.arena);
        return r;
}

static int put(void *ctx, const struct json *event)
{
        struct showing *s = ctx;

        if (event) {
                struct view v = view_of(s, event);

                if (passes(&s->args->filters, &v))
                        s->status = print(s, &v);
        }
        if (s->out.len > 65536 || !event || s->status < 0) {
                if (s->out.len && fd_write_all(STDOUT_FILENO, s->out.s, s->out.len) < 0)
                        return 1;
                buf_clear(&s->out);
        }
        return s->status < 0;
}

static int take_times(const struct events_args *a, struct event_query *q, struct err *e)
{
        int64_t now_ns = clock_now_ns();

        if (log_range_arg(a->since, a->until, now_ns, &q->since, &q->until, e) < 0)
                return -1;
        q->follow = a->stream && !a->no_stream;
        q->past = a->since || !q->follow || (q->until && q->until < now_ns);
        return 0;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct events_args *args = p;
        struct event_query q = { .reader = STDOUT_FILENO, .put = put };
        struct showing s = { .c = c, .args = args, .e = e };
        struct template *t = NULL;
        struct engine g;
        int r;

        if (args->format && !str_eq(args->format, "json") && !str_eq(args->format, "{{json .}}") &&
            template_parse(&c->arena, args->format, &t, e) < 0)
                return -1;
        if (check_filters(&args->filters, e) < 0 || take_times(args, &q, e) < 0 ||
            ctr_engine(c, &g, e) < 0)
                return -1;
        s.template = t;
        s.g = &g;
        q.ctx = &s;
        r = events_read(&g, &q, e);
        buf_done(&s.out);
        engine_close(&g);
        return r < 0 || s.status < 0 ? -1 : 0;
}

const struct command cmd_events = {
        .name = "events",
        .alias = { "system events" },
        .help = "Show what happens to containers, images and volumes",
        .about = "It begins with what happens from now on, or with --since, and goes on until it "
                 "is interrupted or --until has come. The journal that it reads outlives reboots; "
                 "each event is in it once, in order.",
        .opts = opts,
        .needs = NEED_STORE,
        .args_size = sizeof(struct events_args),
        .defaults = &defaults,
        .run = run,
};
