#include "monitor/counters.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"

const char *const counter_names[COUNTER_MAX] = {
        "memoryUsage", "memoryPeak",    "memoryLimit", "memoryAtLimit",       "oom",
        "oomKill",     "cpuUsageNs",    "cpuPeriods",  "cpuThrottledPeriods", "cpuThrottledNs",
        "pids",        "pidsPeak",      "pidsAtLimit", "ioReadBytes",         "ioWrittenBytes",
        "cpuStallUs",  "memoryStallUs", "ioStallUs",
};

/* How a file tells it. */
enum form {
        NONE,
        NUMBER,   /* the file is one number, or "max" */
        KEYED,    /* "key value" lines */
        PRESSURE, /* "some ... total=N" */
        IO_V2,    /* "8:0 rbytes=N wbytes=N ...": summed over devices */
        IO_V1     /* "8:0 Read N": summed */
};
struct source {
        enum form form;
        enum cgroup_controller controller;
        const char *file, *key;
        uint64_t scale; /* 0: 1 */
};
/* v1 and v2, in the order of enum counter. v1's limit and peak are of memory without swap. */
static const struct source sources[COUNTER_MAX][2] = {
        { { NUMBER, CGROUP_MEMORY, "memory.usage_in_bytes" },
          { NUMBER, CGROUP_MEMORY, "memory.current" } },
        { { NUMBER, CGROUP_MEMORY, "memory.max_usage_in_bytes" },
          { NUMBER, CGROUP_MEMORY, "memory.peak" } },
        { { NUMBER, CGROUP_MEMORY, "memory.limit_in_bytes" },
          { NUMBER, CGROUP_MEMORY, "memory.max" } },
        /* v1's failcnt also counts what reclaim could satisfy, and nothing where memsw is lower. */
        { { NUMBER, CGROUP_MEMORY, "memory.failcnt" },
          { KEYED, CGROUP_MEMORY, "memory.events", "max" } },
        { { NONE }, { KEYED, CGROUP_MEMORY, "memory.events", "oom" } },
        { { KEYED, CGROUP_MEMORY, "memory.oom_control", "oom_kill" },
          { KEYED, CGROUP_MEMORY, "memory.events", "oom_kill" } },
        { { NUMBER, CGROUP_CPUACCT, "cpuacct.usage" },
          { KEYED, CGROUP_CPUACCT, "cpu.stat", "usage_usec", 1000 } },
        { { KEYED, CGROUP_CPU, "cpu.stat", "nr_periods" },
          { KEYED, CGROUP_CPU, "cpu.stat", "nr_periods" } },
        { { KEYED, CGROUP_CPU, "cpu.stat", "nr_throttled" },
          { KEYED, CGROUP_CPU, "cpu.stat", "nr_throttled" } },
        { { KEYED, CGROUP_CPU, "cpu.stat", "throttled_time" },
          { KEYED, CGROUP_CPU, "cpu.stat", "throttled_usec", 1000 } },
        { { NUMBER, CGROUP_PIDS, "pids.current" }, { NUMBER, CGROUP_PIDS, "pids.current" } },
        { { NUMBER, CGROUP_PIDS, "pids.peak" }, { NUMBER, CGROUP_PIDS, "pids.peak" } },
        { { KEYED, CGROUP_PIDS, "pids.events", "max" },
          { KEYED, CGROUP_PIDS, "pids.events", "max" } },
        { { IO_V1, CGROUP_IO, "blkio.throttle.io_service_bytes", "Read" },
          { IO_V2, CGROUP_IO, "io.stat", "rbytes=" } },
        { { IO_V1, CGROUP_IO, "blkio.throttle.io_service_bytes", "Write" },
          { IO_V2, CGROUP_IO, "io.stat", "wbytes=" } },
        /* Pressure files need no controller: a v2 leaf beside v1 controllers has them. */
        { { PRESSURE, CGROUP_CORE, "cpu.pressure" }, { PRESSURE, CGROUP_CORE, "cpu.pressure" } },
        { { PRESSURE, CGROUP_CORE, "memory.pressure" },
          { PRESSURE, CGROUP_CORE, "memory.pressure" } },
        { { PRESSURE, CGROUP_CORE, "io.pressure" }, { PRESSURE, CGROUP_CORE, "io.pressure" } },
};

/* The digits at s, or COUNTER_UNKNOWN. */
static uint64_t digits(const char *s)
{
        uint64_t v = 0;

        if (*s < '0' || *s > '9')
                return COUNTER_UNKNOWN;
        for (; *s >= '0' && *s <= '9'; s++)
                v = v * 10 + (uint64_t)(*s - '0');
        return v;
}

static uint64_t keyed(const char *text, const char *key)
{
        size_t n = strlen(key);

        for (const char *line = text; line;
             line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
                if (strncmp(line, key, n) == 0 && line[n] == ' ')
                        return digits(line + n + 1);
        return COUNTER_UNKNOWN;
}

/* Every number that follows key: one per device. A "Total" line of v1 has another key. */
static uint64_t summed(const char *text, const char *key)
{
        uint64_t sum = 0;

        for (const char *at = strstr(text, key); at; at = strstr(at, key)) {
                at += strlen(key);
                at += *at == ' ';
                if (digits(at) != COUNTER_UNKNOWN)
                        sum += digits(at);
        }
        return sum;
}

static uint64_t value(const struct source *s, const char *text)
{
        const char *total;
        uint64_t v = COUNTER_UNKNOWN;

        switch (s->form) {
        case NONE:
                break;
        case NUMBER:
                v = digits(text);
                break;
        case KEYED:
                v = keyed(text, s->key);
                break;
        case PRESSURE:
                total = strstr(text, "total=");
                v = total ? digits(total + 6) : COUNTER_UNKNOWN;
                break;
        case IO_V1:
        case IO_V2:
                v = summed(text, s->key);
                break;
        }
        return v != COUNTER_UNKNOWN && s->scale ? v * s->scale : v;
}

/* v1 says "no limit" with a number that no machine has. */
static uint64_t limit(uint64_t v)
{
        return v > (uint64_t)1 << 60 ? COUNTER_UNKNOWN : v;
}

void counters_read(const struct cgroup *c, unsigned set, struct counters *ret)
{
        const char *last_file = NULL;
        char text[4096];
        bool have = false;

        ret->time_ns = clock_now_ns();
        for (int i = 0; i < COUNTER_MAX; i++) {
                enum cgroup_controller of = sources[i][1].controller;
                unsigned version = of == CGROUP_CORE ? 2 : cgroup_version_of(c, of);
                const struct source *s = &sources[i][version == 2];

                ret->v[i] = COUNTER_UNKNOWN;
                if (!(set & 1u << i) || version == 0 || s->form == NONE)
                        continue;
                /* Neighbours in the table often are lines of one file. */
                if (!last_file || !str_eq(last_file, s->file))
                        have = cgroup_read(c, s->controller, s->file, text, sizeof text) >= 0;
                last_file = s->file;
                if (have)
                        ret->v[i] = value(s, text);
        }
        ret->v[COUNTER_MEMORY_LIMIT] = limit(ret->v[COUNTER_MEMORY_LIMIT]);
}

void counters_json(const struct counters *c, struct json_writer *w, const char *name)
{
        json_open(w, name, '{');
        json_put_i64(w, "time", c->time_ns);
        for (int i = 0; i < COUNTER_MAX; i++)
                if (c->v[i] != COUNTER_UNKNOWN)
                        json_put_u64(w, counter_names[i], c->v[i]);
        json_close(w, '}');
}
