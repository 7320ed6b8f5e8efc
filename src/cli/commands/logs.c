/* berth logs. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/commands/ctr.h"
#include "cli/ctr-args.h"
#include "engine/logs.h"

struct logs_args {
        bool follow, timestamps, latest, names, color;
        const char *since, *until, *tail;
};

static const struct opt opts[] = {
        FLAG(struct logs_args, color, 0, "color", "Each container's lines in a colour of its own"),
        IGNORED(0, "details", "Logs have no attributes of their driver's", .hidden = true),
        FLAG(struct logs_args, follow, 'f', "follow", "Wait for more, until the container ends"),
        FLAG(struct logs_args, latest, 'l', "latest", "The container that was created last"),
        FLAG(struct logs_args, names, 0, "names",
             "Begin each line with the container's name; of several with their ids by default"),
        STR(struct logs_args, since, 0, "since", "TIME",
            "What came after TIME: RFC 3339, seconds since 1970, or so long ago, such as 10m"),
        STR(struct logs_args, tail, 'n', "tail", "N", "The last N lines, or all"),
        FLAG(struct logs_args, timestamps, 't', "timestamps", "Begin each line with its time"),
        STR(struct logs_args, until, 0, "until", "TIME", "What came before TIME"),
        {}
};

/* What has come of one stream and is not written yet. */
struct lines {
        struct buf text;
        size_t whole; /* to the end of the last whole line */
        bool begun;   /* a line whose end has not come */
};
struct reading {
        const struct logs_args *args;
        struct engine *g;
        const struct ctr *ctr;
        unsigned number; /* of several, 0 and on */
        bool several;    /* another's line is not to come into one of ours */
        int dir;
        struct log_query q;
        struct log_source *source; /* NULL: it has ended */
        struct lines lines[LOG_STREAM_MAX];
        bool closed; /* nobody reads us */
};

#define LINE_HELD_MAX (1u << 20) /* a longer line is written in pieces */

static void flush_lines(struct reading *r, enum log_stream s, bool all)
{
        int fd = s == LOG_STDERR ? STDERR_FILENO : STDOUT_FILENO;
        struct lines *l = &r->lines[s];
        size_t n = all || !r->several || l->text.len > LINE_HELD_MAX ? l->text.len : l->whole;

        if (n == 0)
                return;
        if (fd_write_all(fd, l->text.s, n) < 0)
                r->closed = true;
        l->text.len -= n;
        memmove(l->text.s, l->text.s + n, l->text.len);
        l->whole = 0;
}

static void flush(struct reading *r)
{
        for (int s = 0; s < LOG_STREAM_MAX; s++)
                flush_lines(r, (enum log_stream)s, false);
}

static void begin_line(const struct reading *r, const struct log_record *record, struct buf *out)
{
        static const int colors[] = { 37, 31, 32, 33, 34, 35, 36 }; /* podman's, in its order */

        if (r->args->color)
                buf_printf(out, "\033[%dm", colors[r->number % ARRAY_SIZE(colors)]);
        if (r->args->names)
                buf_printf(out, "%s ", r->ctr->name);
        else if (r->several)
                buf_printf(out, "%.12s ", r->ctr->id);
        if (r->args->timestamps)
                buf_printf(out, "%s ", record->time);
}

static int put(void *ctx, const struct log_record *record)
{
        struct reading *r = ctx;
        struct lines *l = &r->lines[record->stream];

        /* The streams keep their order as far as two descriptors can. */
        flush_lines(r, record->stream == LOG_STDOUT ? LOG_STDERR : LOG_STDOUT, false);
        if (!l->begun)
                begin_line(r, record, &l->text);
        buf_add(&l->text, record->text, record->len);
        l->begun = record->partial;
        if (!record->partial) {
                buf_puts(&l->text, r->args->color ? "\033[0m\n" : "\n");
                l->whole = l->text.len;
        }
        if (l->text.len > 65536)
                flush_lines(r, record->stream, false);
        return r->closed ? 1 : 0;
}

static bool alive(void *ctx)
{
        struct reading *r = ctx;
        struct ctr_state s;

        flush(r);
        ctr_state(r->g, r->ctr, &s);
        return !r->closed && ctr_is_up(&s);
}

static int take_tail(const struct logs_args *a, struct log_query *q, struct err *e)
{
        q->tail = -1;
        if (!a->tail || str_eq(a->tail, "all"))
                return 0;
        if (str_to_i64(a->tail, &q->tail) == 0)
                return 0;
        err_set(e, ERR_INVALID, "--tail: \"%s\" is neither a number nor all", a->tail);
        return err_hint(e, "-n is --tail, as with docker; podman's -n is --names here.");
}

/* Which format the monitor writes. */
static int driver_of(int dir, enum log_driver *ret, struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_FREE char *text = NULL;
        struct monitor_config m;
        size_t n;
        int r = fd_read_regular_at(dir, "monitor.json", 1 << 20, &text, &n);

        if (r < 0)
                return err_sys(e, r, "cannot read monitor.json");
        if (monitor_config_read(&a, text, n, &m, e) < 0)
                return -1;
        if (m.log_driver == LOG_DRIVER_NONE || m.log_driver == LOG_DRIVER_PASSTHROUGH) {
                err_set(e, ERR_UNSUPPORTED, "the log driver \"%s\" keeps nothing to read",
                        log_driver_names[m.log_driver]);
                return err_hint(e, "create it with --log-driver k8s-file");
        }
        *ret = m.log_driver;
        return 0;
}

static int reading_open(struct reading *r, struct err *e)
{
        const struct logs_args *a = r->args;

        r->dir = ctr_dir(r->g, r->ctr->id, e);
        r->q = (struct log_query){ .dir = r->dir,
                                   .id = r->ctr->id,
                                   .follow = a->follow,
                                   .alive = alive,
                                   .put = put,
                                   .ctx = r };
        if (r->dir < 0 || driver_of(r->dir, &r->q.driver, e) < 0 ||
            log_range_arg(a->since, a->until, clock_now_ns(), &r->q.since, &r->q.until, e) < 0 ||
            take_tail(a, &r->q, e) < 0)
                return -1;
        return logs_open(&r->q, &r->source, e);
}

static void reading_done(struct reading *r)
{
        logs_close(r->source);
        r->source = NULL;
        for (int s = 0; s < LOG_STREAM_MAX; s++) {
                flush_lines(r, (enum log_stream)s, true);
                buf_done(&r->lines[s].text);
        }
        r->dir = fd_close(r->dir);
}

/* One after the other. */
static int read_each(struct reading *v, size_t n, struct err *e)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++) {
                r = reading_open(&v[i], e);
                while (r == 0 && !logs_step(v[i].source))
                        ;
                reading_done(&v[i]);
        }
        return r;
}

/* What has come. How many may have more; 0 too where nobody reads us. */
static size_t step_all(struct reading *v, struct pollfd *p, size_t n)
{
        size_t left = 0;

        for (size_t i = 0; i < n; i++) {
                p[i] = (struct pollfd){ -1, POLLIN, 0 };
                if (!v[i].source)
                        continue;
                if (logs_step(v[i].source)) {
                        reading_done(&v[i]);
                } else {
                        flush(&v[i]);
                        p[i].fd = logs_fd(v[i].source);
                        left++;
                }
                if (v[i].closed)
                        return 0;
        }
        return left;
}

/* All at once, until the last has ended. */
static int follow_all(struct ctx *c, struct reading *v, size_t n, struct err *e)
{
        struct pollfd *p = arena_array(&c->arena, struct pollfd, n);
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++)
                r = reading_open(&v[i], e);
        while (r == 0 && step_all(v, p, n) > 0)
                poll(p, n, LOGS_QUIET_MS);
        for (size_t i = 0; i < n; i++)
                reading_done(&v[i]);
        return r;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct logs_args *a = p;
        const struct ctr_choice choice = { .latest = a->latest };
        struct reading *readings;
        struct engine g;
        struct ctr *v;
        size_t n;
        int missing, r;

        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = ctr_choose(c, &g, &choice, argc, argv, &v, &n, &missing, e);
        if (r == 0 && n > 0) {
                readings = arena_array(&c->arena, struct reading, n);
                for (size_t i = 0; i < n; i++)
                        readings[i] = (struct reading){ .args = a,
                                                        .g = &g,
                                                        .ctr = &v[i],
                                                        .number = (unsigned)i,
                                                        .several = n > 1,
                                                        .dir = -1 };
                r = a->follow ? follow_all(c, readings, n, e) : read_each(readings, n, e);
        }
        engine_close(&g);
        return r < 0 ? -1 : missing > 0;
}

const struct command cmd_logs = {
        .name = "logs",
        .alias = { "container logs" },
        .usage = "CONTAINER...",
        .help = "Show what containers printed",
        .about = "Reads the files that their monitors write, across rotations, or systemd's "
                 "journal; standard output and error go where they went.",
        .opts = opts,
        .max = -1,
        .needs = NEED_ROOT,
        .complete = { COMPLETE_CONTAINER, COMPLETE_CONTAINER, COMPLETE_CONTAINER },
        .args_size = sizeof(struct logs_args),
        .run = run,
};
