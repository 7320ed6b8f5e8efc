/* events. */
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/oci/ctx.h"
#include "oci/events.h"

struct events_args {
        bool stats;
        const char *interval;
};
static const struct opt opts[] = { STR(struct events_args, interval, 0, "interval", "TIME",
                                       "Time between statistics: 5s (the default), 500ms, 1m"),
                                   FLAG(struct events_args, stats, 0, "stats",
                                        "Print the statistics once and return"),
                                   {} };

static void put(const struct buf *line)
{
        fd_write_all(STDOUT_FILENO, line->s, line->len);
}

/* "500ms", "5s", "1m", or seconds. */
static int parse_interval(const char *text, int64_t *ret)
{
        static const struct {
                const char *unit;
                int64_t ms;
        } units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "", 1000 } };
        size_t digits = strspn(text, "0123456789");
        char number[16];
        uint32_t n;

        if (digits == 0 || digits >= sizeof number)
                return -1;
        memcpy(number, text, digits);
        number[digits] = 0;
        for (size_t i = 0; i < ARRAY_SIZE(units); i++)
                if (str_eq(text + digits, units[i].unit) && str_to_u32(number, &n) == 0 && n > 0) {
                        *ret = n * units[i].ms;
                        return *ret > 86400000 ? -1 : 0;
                }
        return -1;
}

static int events(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        const struct events_args *a = args;
        int64_t ms = 5000;

        if (a->interval && parse_interval(a->interval, &ms) < 0)
                return err_set(e, ERR_INVALID, "--interval: \"%s\" is not a time such as 5s",
                               a->interval);
        return runtime_events(&c->rt, argv[0], a->stats, ms, put, e);
}

const struct command oci_events = {
        .name = "events",
        .usage = "CONTAINER-ID",
        .help = "Print statistics and out-of-memory kills as JSON",
        .opts = opts,
        .min = 1,
        .max = 1,
        .complete = { COMPLETE_CONTAINER },
        .args_size = sizeof(struct events_args),
        .run = events,
};
