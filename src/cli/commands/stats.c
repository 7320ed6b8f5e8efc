/* berth stats: what containers use, from their cgroups' counters. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/commands/ctr.h"
#include "cli/ctr-args.h"
#include "cli/table.h"
#include "monitor/counters.h"
#include "oci/container.h"

#define FIRST_MS 250 /* between the two samples that the first list needs */

struct stats_args {
        bool all, latest, no_stream, no_trunc, no_reset;
        int64_t interval;
        const char *format;
};
static const struct stats_args defaults = { .interval = 1 };

static const struct opt opts[] = {
        FLAG(struct stats_args, all, 'a', "all", "Show also those that do not run"),
        STR(struct stats_args, format, 0, "format", "TEMPLATE",
            "Print by a Go template such as {{.Name}} {{.CPUPerc}}, by `table TEMPLATE`, or "
            "`json`"),
        INT(struct stats_args, interval, 'i', "interval", "SECONDS",
            "Show the next list after so long; 1 by default", .min = 1, .max = 86400),
        FLAG(struct stats_args, latest, 'l', "latest", "The container that was created last"),
        FLAG(struct stats_args, no_reset, 0, "no-reset", "Don't clear the terminal between lists"),
        FLAG(struct stats_args, no_stream, 0, "no-stream", "Show one list, and end"),
        FLAG(struct stats_args, no_trunc, 0, "no-trunc", "Shorten nothing"),
        {}
};

struct row {
        const struct ctr *c;
        struct counters before, now;
        uint64_t inactive_file, net_in, net_out;
        bool up;
};

/* ---- reading ---- */

/* Page cache that is given up first is no use of memory, as docker sees it. */
static uint64_t inactive_file(const struct cgroup *g)
{
        bool v2 = cgroup_version_of(g, CGROUP_MEMORY) == 2;
        const char *key = v2 ? "\ninactive_file " : "\ntotal_inactive_file ";
        char text[8192];
        const char *at;

        if (cgroup_read(g, CGROUP_MEMORY, "memory.stat", text, sizeof text) < 0)
                return 0;
        at = strstr(text, key);
        return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

/* All interfaces but lo, in the network namespace of init. */
static void read_network(pid_t pid, struct row *r)
{
        char path[64], text[16384];
        const char *at = text, *line;
        size_t n;

        r->net_in = r->net_out = 0;
        snprintf(path, sizeof path, "/proc/%d/net/dev", (int)pid);
        if (pid <= 0 || fd_read_text_at(-1, path, text, sizeof text) < 0)
                return;
        while (str_next(&at, '\n', &line, &n)) {
                const char *colon = memchr(line, ':', n);
                char *p = colon ? (char *)colon + 1 : NULL;

                while (*line == ' ')
                        line++;
                if (!p || strncmp(line, "lo:", 3) == 0)
                        continue;
                r->net_in += strtoull(p, &p, 10);
                for (int skip = 0; skip < 7; skip++)
                        strtoull(p, &p, 10);
                r->net_out += strtoull(p, &p, 10);
        }
}

static void sample(const struct engine *g, struct row *r)
{
        AUTO_CONTAINER oci = CONTAINER_INIT;
        AUTO_ARENA a = { 0 };
        struct cgroup cgroup;
        struct ctr_state s;

        r->before = r->now;
        ctr_state(g, r->c, &s);
        r->up = ctr_is_up(&s) && container_open(&a, g->places.oci, r->c->id, &oci, NULL) == 0 &&
                container_cgroup(&a, &oci, &cgroup, NULL) == 0 && cgroup.n > 0;
        if (!r->up) {
                r->now = (struct counters){ 0 };
                return;
        }
        counters_read(&cgroup, COUNTERS_ALL, &r->now);
        r->inactive_file = inactive_file(&cgroup);
        read_network(s.monitor.pid, r);
}

/* ---- columns ---- */

static uint64_t known(const struct row *r, enum counter what)
{
        uint64_t v = r->now.v[what];

        return r->up && v != COUNTER_UNKNOWN ? v : 0;
}

static uint64_t memory(const struct row *r)
{
        uint64_t usage = known(r, COUNTER_MEMORY_USAGE);

        return usage - MIN(usage, r->inactive_file);
}

static uint64_t limit(const struct row *r)
{
        uint64_t have = r->now.v[COUNTER_MEMORY_LIMIT], total;
        struct sysinfo s;

        if (!r->up || sysinfo(&s) < 0)
                return 0;
        total = (uint64_t)s.totalram * s.mem_unit;
        return have == COUNTER_UNKNOWN ? total : MIN(have, total);
}

static double cpu_percent(const struct row *r)
{
        int64_t wall = r->now.time_ns - r->before.time_ns;
        uint64_t before = r->before.v[COUNTER_CPU_USAGE], now = known(r, COUNTER_CPU_USAGE);

        return !r->before.time_ns || wall <= 0 || now < before
                       ? 0
                       : 100.0 * (double)(now - before) / (double)wall;
}

/* As docker has it, in powers of 1024: "12.5MiB". */
static const char *text_binary(struct arena *a, uint64_t bytes)
{
        static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
        double v = (double)bytes;
        size_t u = 0;

        for (; v >= 1024 && u + 1 < ARRAY_SIZE(units); u++)
                v /= 1024;
        return arena_printf(a, "%.4g%s", v, units[u]);
}

#define TEXT(name_, expression)                                                                    \
        static const char *text_##name_(struct arena *a, const void *p,                            \
                                        const struct table_options *o)                             \
        {                                                                                          \
                const struct row *r UNUSED = p;                                                    \
                                                                                                   \
                return expression;                                                                 \
        }
TEXT(id, o->no_trunc ? r->c->id : arena_strndup(a, r->c->id, 12))
TEXT(name, r->c->name)
TEXT(cpu, r->up ? arena_printf(a, "%.2f%%", cpu_percent(r)) : "--")
TEXT(memory, r->up ? arena_printf(a, "%s / %s", text_binary(a, memory(r)), text_binary(a, limit(r)))
                   : "-- / --")
TEXT(share, r->up &&limit(r)
                    ? arena_printf(a, "%.2f%%", 100.0 * (double)memory(r) / (double)limit(r))
                    : "--")
TEXT(network, r->up ? arena_printf(a, "%s / %s", text_size(a, r->net_in), text_size(a, r->net_out))
                    : "-- / --")
TEXT(block, r->up ? arena_printf(a, "%s / %s", text_size(a, known(r, COUNTER_IO_READ)),
                                 text_size(a, known(r, COUNTER_IO_WRITTEN)))
                  : "-- / --")
TEXT(pids, r->up ? arena_printf(a, "%" PRIu64, known(r, COUNTER_PIDS)) : "--")

static const struct column columns[] = {
        { "ID", "CONTAINER ID", text_id, "ID", .shown = true },
        { "Container", "CONTAINER", text_id, "Container" },
        { "Name", "NAME", text_name, "Name", .shown = true },
        { "CPUPerc", "CPU %", text_cpu, "CPUPerc", .shown = true },
        { "MemUsage", "MEM USAGE / LIMIT", text_memory, "MemUsage", .shown = true },
        { "MemPerc", "MEM %", text_share, "MemPerc", .shown = true },
        { "NetIO", "NET I/O", text_network, "NetIO", .shown = true },
        { "BlockIO", "BLOCK I/O", text_block, "BlockIO", .shown = true },
        { "PIDs", "PIDS", text_pids, "PIDs", .shown = true },
        {}
};

/* ---- the lists ---- */

/* Those that are shown: the named ones, or all that run. New ones join, ended ones go. */
static int choose(struct ctx *c, struct engine *g, const struct stats_args *args, int argc,
                  char **argv, struct row *old, size_t nold, struct row **ret, size_t *ret_n,
                  int *ret_missing, struct err *e)
{
        const struct ctr_choice choice = { .all = argc == 0 && !args->latest,
                                           .latest = args->latest,
                                           .running = argc == 0 && !args->all };
        struct ctr *v;

        if (ctr_choose(c, g, &choice, argc, argv, &v, ret_n, ret_missing, e) < 0)
                return -1;
        *ret = arena_array(&c->arena, struct row, *ret_n + 1);
        for (size_t i = 0; i < *ret_n; i++) {
                (*ret)[i].c = &v[i];
                for (size_t k = 0; k < nold; k++)
                        if (str_eq(old[k].c->id, v[i].id))
                                (*ret)[i].now = old[k].now;
                sample(g, &(*ret)[i]);
        }
        return 0;
}

/* False once nobody reads us. */
static bool wait_reader(int ms)
{
        struct pollfd p = { STDOUT_FILENO, 0, 0 };

        return poll(&p, 1, ms) == 0 || !(p.revents & (POLLERR | POLLNVAL | POLLHUP));
}

static int print(const struct stats_args *args, const struct row *rows, size_t n, struct err *e)
{
        const struct table t = { columns, NULL };
        const struct table_options o = { .format = args->format, .no_trunc = args->no_trunc };
        AUTO_BUF out = { 0 };

        if (!args->no_stream && !args->no_reset && !args->format && isatty(STDOUT_FILENO))
                buf_puts(&out, "\033[H\033[J");
        if (table_print(&t, rows, n, sizeof *rows, &o, &out, e) < 0)
                return -1;
        return fd_write_all(STDOUT_FILENO, buf_str(&out), out.len) < 0;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct stats_args *args = p;
        /* Each list has an arena; the last one's rows are needed for the difference. */
        struct ctx turns[2] = { { .log = c->log }, { .log = c->log } };
        struct row *rows = NULL;
        struct engine g;
        size_t n = 0;
        int missing = 0, r = 0;

        if (ctr_engine(c, &g, e) < 0)
                return -1;
        for (unsigned turn = 0; r == 0; turn++) {
                struct ctx *now = &turns[turn % 2];

                arena_done(&now->arena);
                now->arena = (struct arena){ 0 };
                r = choose(now, &g, args, argc, argv, rows, n, &rows, &n, &missing, e);
                if (r == 0 && missing)
                        r = 1;
                if (r == 0 && turn > 0)
                        r = print(args, rows, n, e);
                if (r == 0 && turn > 0 && args->no_stream)
                        break;
                if (r == 0 && !wait_reader(turn ? (int)args->interval * 1000 : FIRST_MS))
                        break;
        }
        engine_close(&g);
        arena_done(&turns[0].arena);
        arena_done(&turns[1].arena);
        return r;
}

const struct command cmd_stats = {
        .name = "stats",
        .alias = { "container stats" },
        .usage = "[CONTAINER...]",
        .help = "Show what containers use of CPU, memory, network and disks",
        .about = "Without names, all that run. Memory is without the page cache that is given up "
                 "first; network is what interfaces other than lo have carried.",
        .opts = opts,
        .max = -1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_CONTAINER, COMPLETE_CONTAINER, COMPLETE_CONTAINER },
        .args_size = sizeof(struct stats_args),
        .defaults = &defaults,
        .run = run,
};
