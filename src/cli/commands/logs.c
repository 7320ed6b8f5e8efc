/* berth logs. */
#include <errno.h>
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
        bool follow, timestamps, latest, names;
        const char *since, *until, *tail;
};

static const struct opt opts[] = {
        IGNORED(0, "color", "Names are not coloured", .hidden = true),
        REFUSED(0, "details", "logs have no attributes of their driver's"),
        FLAG(struct logs_args, follow, 'f', "follow", "Wait for more, until the container ends"),
        FLAG(struct logs_args, latest, 'l', "latest", "The container that was created last"),
        FLAG(struct logs_args, names, 'n', "names", "Begin each line with the container's name"),
        STR(struct logs_args, since, 0, "since", "TIME",
            "What came after TIME: RFC 3339, seconds since 1970, or so long ago, such as 10m"),
        STR(struct logs_args, tail, 0, "tail", "N", "The last N lines, or all"),
        FLAG(struct logs_args, timestamps, 't', "timestamps", "Begin each line with its time"),
        STR(struct logs_args, until, 0, "until", "TIME", "What came before TIME"),
        {}
};

struct reading {
        const struct logs_args *args;
        struct engine *g;
        const struct ctr *ctr;
        bool begun[LOG_STREAM_MAX]; /* a line whose end has not come */
        struct buf out[LOG_STREAM_MAX];
        bool closed; /* nobody reads us */
};

static void flush(struct reading *r)
{
        for (int s = 0; s < LOG_STREAM_MAX; s++) {
                int fd = s == LOG_STDERR ? STDERR_FILENO : STDOUT_FILENO;

                if (r->out[s].len && fd_write_all(fd, r->out[s].s, r->out[s].len) < 0)
                        r->closed = true;
                buf_clear(&r->out[s]);
        }
}

static int put(void *ctx, const struct log_record *record)
{
        struct reading *r = ctx;
        struct buf *out = &r->out[record->stream];

        /* The streams keep their order as far as two descriptors can. */
        if (r->out[record->stream == LOG_STDOUT ? LOG_STDERR : LOG_STDOUT].len)
                flush(r);
        if (!r->begun[record->stream]) {
                if (r->args->names)
                        buf_printf(out, "%s ", r->ctr->name);
                if (r->args->timestamps)
                        buf_printf(out, "%s ", record->time);
        }
        buf_add(out, record->text, record->len);
        if (!record->partial)
                buf_putc(out, '\n');
        r->begun[record->stream] = record->partial;
        if (out->len > 65536)
                flush(r);
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
        if (str_to_i64(a->tail, &q->tail) < 0)
                return err_set(e, ERR_INVALID, "--tail: \"%s\" is neither a number nor all",
                               a->tail);
        return 0;
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

static int read_one(struct engine *g, const struct ctr *c, void *args, struct err *e)
{
        struct reading r = { .args = args, .g = g, .ctr = c };
        AUTO_FD int dir = ctr_dir(g, c->id, e);
        struct log_query q = { .dir = dir,
                               .id = c->id,
                               .follow = r.args->follow,
                               .alive = alive,
                               .put = put,
                               .ctx = &r };
        int status;

        if (dir < 0 || driver_of(dir, &q.driver, e) < 0 ||
            log_range_arg(r.args->since, r.args->until, clock_now_ns(), &q.since, &q.until, e) <
                    0 ||
            take_tail(args, &q, e) < 0)
                return -1;
        status = logs_read(&q, e);
        flush(&r);
        for (int s = 0; s < LOG_STREAM_MAX; s++)
                buf_done(&r.out[s]);
        return status;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct logs_args *a = p;
        const struct ctr_choice choice = { .latest = a->latest };
        struct engine g;
        struct ctr *v;
        size_t n;
        int missing, r;

        if (a->follow && argc > 1)
                return err_set(e, ERR_INVALID, "--follow takes one container");
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = ctr_choose(c, &g, &choice, argc, argv, &v, &n, &missing, e);
        for (size_t i = 0; r == 0 && i < n; i++)
                r = read_one(&g, &v[i], a, e);
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
