/* Statistics of a container's cgroup in the JSON of runc's `events --stats`.
 *
 * Members that runc leaves out when they are zero are left out here too, so that its consumers
 * see the same shapes. A file that can't be read leaves its members out: statistics never fail. */
#include "oci/cgroup-stats.h"
#include "base/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

#define NS_PER_US 1000ull
#define TEXT_MAX 65536 /* of a file: io.stat on a host with a thousand disks */

struct stats {
        const struct cgroup *c;
        struct json_writer *w;
        char *text; /* TEXT_MAX bytes for the file at hand */
};

/* ---- reading ---- */

static bool is_v2(const struct stats *s, enum cgroup_controller c)
{
        return cgroup_version_of(s->c, c) == 2;
}

static const char *text_of(struct stats *s, enum cgroup_controller c, const char *file)
{
        return cgroup_read(s->c, c, file, s->text, TEXT_MAX) < 0 ? NULL : s->text;
}

static uint64_t number_of(struct stats *s, enum cgroup_controller c, const char *file)
{
        uint64_t v = 0;

        cgroup_read_u64(s->c, c, file, &v);
        return v;
}

/* The next "key value" line; both are ended in place. */
static bool next_pair(char **at, const char **key, uint64_t *value)
{
        while (**at) {
                char *line = *at, *end = strchrnul(line, '\n'), *blank;

                *at = *end ? end + 1 : end;
                *end = 0;
                blank = strchr(line, ' ');
                if (!blank)
                        continue;
                *blank = 0;
                *key = line;
                if (str_to_u64(blank + 1, value) == 0)
                        return true;
        }
        return false;
}

static uint64_t keyed(struct stats *s, enum cgroup_controller c, const char *file, const char *key)
{
        const char *name;
        uint64_t v;

        if (!text_of(s, c, file))
                return 0;
        for (char *at = s->text; next_pair(&at, &name, &v);)
                if (str_eq(name, key))
                        return v;
        return 0;
}

static void put_some(struct stats *s, const char *name, uint64_t v)
{
        if (v)
                json_put_u64(s->w, name, v);
}

/* ---- pressure: v2's files, on hybrid hosts too ---- */

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" */
static void put_pressure_line(struct stats *s, const char *line)
{
        static const char *const names[] = { "avg10", "avg60", "avg300" };
        const char *at;

        json_open(s->w, strncmp(line, "some", 4) == 0 ? "some" : "full", '{');
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                at = strstr(line, names[i]);
                json_put_double(s->w, names[i], at ? strtod(at + strlen(names[i]) + 1, NULL) : 0);
        }
        at = strstr(line, "total=");
        json_put_u64(s->w, "total", at ? strtoull(at + 6, NULL, 10) : 0);
        json_close(s->w, '}');
}

static void put_pressure(struct stats *s, const char *file)
{
        char *full;

        if (s->c->v2 < 0 || !text_of(s, CGROUP_CORE, file) || !str_after(s->text, "some "))
                return;
        full = strchr(s->text, '\n');
        if (full)
                *full++ = 0;
        json_open(s->w, "psi", '{');
        put_pressure_line(s, s->text);
        if (full && str_after(full, "full "))
                put_pressure_line(s, full);
        json_close(s->w, '}');
}

/* ---- cpu ---- */

static void put_list(struct stats *s, const char *name, char *text)
{
        char *end;

        if (!text || *text < '0' || *text > '9')
                return;
        json_open(s->w, name, '[');
        for (char *at = text; *at >= '0' && *at <= '9'; at = end + strspn(end, " ")) {
                json_put_u64(s->w, NULL, strtoull(at, &end, 10));
        }
        json_close(s->w, ']');
}

/* cpuacct.usage_all: a line per CPU, "cpu user system". */
static void put_percpu(struct stats *s)
{
        static const struct {
                const char *name;
                int column;
        } columns[] = { { "percpu_kernel", 2 }, { "percpu_user", 1 } };

        if (text_of(s, CGROUP_CPUACCT, "cpuacct.usage_percpu"))
                put_list(s, "percpu", s->text);
        for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
                const char *line = text_of(s, CGROUP_CPUACCT, "cpuacct.usage_all");

                line = line ? strchr(line, '\n') : NULL;
                if (!line)
                        continue;
                json_open(s->w, columns[i].name, '[');
                for (; *line && line[1]; line = strchrnul(line + 1, '\n')) {
                        unsigned long long v[3];

                        if (sscanf(line + 1, "%llu %llu %llu", &v[0], &v[1], &v[2]) == 3)
                                json_put_u64(s->w, NULL, v[columns[i].column]);
                }
                json_close(s->w, ']');
        }
}

static void put_cpu_usage(struct stats *s)
{
        json_open(s->w, "usage", '{');
        if (is_v2(s, CGROUP_CPUACCT)) {
                put_some(s, "total",
                         keyed(s, CGROUP_CPUACCT, "cpu.stat", "usage_usec") * NS_PER_US);
                json_put_u64(s->w, "kernel",
                             keyed(s, CGROUP_CPUACCT, "cpu.stat", "system_usec") * NS_PER_US);
                json_put_u64(s->w, "user",
                             keyed(s, CGROUP_CPUACCT, "cpu.stat", "user_usec") * NS_PER_US);
        } else {
                uint64_t tick = 1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK);

                put_some(s, "total", number_of(s, CGROUP_CPUACCT, "cpuacct.usage"));
                put_percpu(s);
                json_put_u64(s->w, "kernel",
                             keyed(s, CGROUP_CPUACCT, "cpuacct.stat", "system") * tick);
                json_put_u64(s->w, "user", keyed(s, CGROUP_CPUACCT, "cpuacct.stat", "user") * tick);
        }
        json_close(s->w, '}');
}

static void put_cpu(struct stats *s)
{
        bool v2 = is_v2(s, CGROUP_CPU);

        json_open(s->w, "cpu", '{');
        put_cpu_usage(s);
        json_open(s->w, "throttling", '{');
        put_some(s, "periods", keyed(s, CGROUP_CPU, "cpu.stat", "nr_periods"));
        put_some(s, "throttledPeriods", keyed(s, CGROUP_CPU, "cpu.stat", "nr_throttled"));
        put_some(s, "throttledTime",
                 v2 ? keyed(s, CGROUP_CPU, "cpu.stat", "throttled_usec") * NS_PER_US
                    : keyed(s, CGROUP_CPU, "cpu.stat", "throttled_time"));
        json_close(s->w, '}');
        put_pressure(s, "cpu.pressure");
        json_close(s->w, '}');
}

/* "0-2,7" as an array. A range is as long as the kernel says there are CPUs. */
static void put_ranges(struct stats *s, const char *name, const char *text)
{
        char *end;

        if (!text || *text < '0' || *text > '9')
                return;
        json_open(s->w, name, '[');
        while (*text >= '0' && *text <= '9') {
                unsigned long low = strtoul(text, &end, 10), high = low;

                if (*end == '-')
                        high = strtoul(end + 1, &end, 10);
                for (; low <= high && low < 65536; low++)
                        json_put_u64(s->w, NULL, low);
                text = *end == ',' ? end + 1 : "";
        }
        json_close(s->w, ']');
}

static void put_cpuset(struct stats *s)
{
        static const struct {
                const char *name, *file;
        } flags[] = {
                { "memory_migrate", "cpuset.memory_migrate" },
                { "memory_spread_page", "cpuset.memory_spread_page" },
                { "memory_spread_slab", "cpuset.memory_spread_slab" },
                { "memory_pressure", "cpuset.memory_pressure" },
                { "sched_load_balance", "cpuset.sched_load_balance" },
        };
        bool v2 = is_v2(s, CGROUP_CPUSET);
        const char *level;

        json_open(s->w, "cpuset", '{');
        put_ranges(s, "cpus",
                   text_of(s, CGROUP_CPUSET, v2 ? "cpuset.cpus.effective" : "cpuset.cpus"));
        json_put_u64(s->w, "cpu_exclusive", number_of(s, CGROUP_CPUSET, "cpuset.cpu_exclusive"));
        put_ranges(s, "mems",
                   text_of(s, CGROUP_CPUSET, v2 ? "cpuset.mems.effective" : "cpuset.mems"));
        json_put_u64(s->w, "mem_hardwall", number_of(s, CGROUP_CPUSET, "cpuset.mem_hardwall"));
        json_put_u64(s->w, "mem_exclusive", number_of(s, CGROUP_CPUSET, "cpuset.mem_exclusive"));
        for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
                json_put_u64(s->w, flags[i].name, number_of(s, CGROUP_CPUSET, flags[i].file));
        level = text_of(s, CGROUP_CPUSET, "cpuset.sched_relax_domain_level");
        json_put_i64(s->w, "sched_relax_domain_level", level ? strtol(level, NULL, 10) : 0);
        json_close(s->w, '}');
}

/* ---- memory ---- */

struct memory_entry {
        const char *name;
        uint64_t limit, usage, max, failcnt;
};

static void put_entry(struct stats *s, const struct memory_entry *e)
{
        json_open(s->w, e->name, '{');
        json_put_u64(s->w, "limit", e->limit);
        put_some(s, "usage", e->usage);
        put_some(s, "max", e->max);
        json_put_u64(s->w, "failcnt", e->failcnt);
        json_close(s->w, '}');
}

static void put_memory_v1(struct stats *s)
{
        static const struct {
                const char *name, *prefix;
        } kinds[] = {
                { "usage", "memory" },
                { "swap", "memory.memsw" },
                { "kernel", "memory.kmem" },
                { "kernelTCP", "memory.kmem.tcp" },
        };
        static const char *const files[] = { "limit_in_bytes", "usage_in_bytes",
                                             "max_usage_in_bytes", "failcnt" };

        put_some(s, "cache", keyed(s, CGROUP_MEMORY, "memory.stat", "cache"));
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                uint64_t v[ARRAY_SIZE(files)];
                char file[64];

                for (size_t k = 0; k < ARRAY_SIZE(files); k++) {
                        snprintf(file, sizeof file, "%s.%s", kinds[i].prefix, files[k]);
                        v[k] = number_of(s, CGROUP_MEMORY, file);
                }
                put_entry(s, &(struct memory_entry){ kinds[i].name, v[0], v[1], v[2], v[3] });
        }
}

/* runc counts memory into v2's swap numbers, as v1's memsw does. */
static void put_memory_v2(struct stats *s)
{
        struct memory_entry usage = { "usage" }, swap = { "swap" };

        usage.limit = number_of(s, CGROUP_MEMORY, "memory.max");
        usage.usage = number_of(s, CGROUP_MEMORY, "memory.current");
        usage.max = number_of(s, CGROUP_MEMORY, "memory.peak");
        usage.failcnt = keyed(s, CGROUP_MEMORY, "memory.events", "max");
        swap.limit = number_of(s, CGROUP_MEMORY, "memory.swap.max");
        if (__builtin_add_overflow(swap.limit, usage.limit, &swap.limit))
                swap.limit = UINT64_MAX;
        swap.usage = usage.usage + number_of(s, CGROUP_MEMORY, "memory.swap.current");
        swap.failcnt = keyed(s, CGROUP_MEMORY, "memory.swap.events", "max");
        put_some(s, "cache", keyed(s, CGROUP_MEMORY, "memory.stat", "file"));
        put_entry(s, &usage);
        put_entry(s, &swap);
        put_entry(s, &(struct memory_entry){ "kernel" });
        put_entry(s, &(struct memory_entry){ "kernelTCP" });
}

static void put_memory(struct stats *s)
{
        const char *key;
        uint64_t v;

        json_open(s->w, "memory", '{');
        if (is_v2(s, CGROUP_MEMORY))
                put_memory_v2(s);
        else
                put_memory_v1(s);
        if (text_of(s, CGROUP_MEMORY, "memory.stat")) {
                json_open(s->w, "raw", '{');
                for (char *at = s->text; next_pair(&at, &key, &v);)
                        json_put_u64(s->w, key, v);
                json_close(s->w, '}');
        }
        put_pressure(s, "memory.pressure");
        json_close(s->w, '}');
}

/* ---- pids ---- */

static void put_pids(struct stats *s)
{
        uint64_t limit = number_of(s, CGROUP_PIDS, "pids.max");

        json_open(s->w, "pids", '{');
        put_some(s, "current", number_of(s, CGROUP_PIDS, "pids.current"));
        if (limit != UINT64_MAX)
                put_some(s, "limit", limit);
        json_close(s->w, '}');
}

/* ---- block I/O ---- */

static void put_io_entry(struct stats *s, unsigned major, unsigned minor, const char *op,
                         unsigned long long v)
{
        json_open(s->w, NULL, '{');
        put_some(s, "major", major);
        put_some(s, "minor", minor);
        json_put_str(s->w, "op", op);
        put_some(s, "value", v);
        json_close(s->w, '}');
}

/* v2: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6" */
static void put_io_v2(struct stats *s, const char *name, const char *const keys[3])
{
        static const char *const ops[] = { "Read", "Write", "Discard" };
        const char *text = text_of(s, CGROUP_IO, "io.stat");
        bool any = false;

        for (const char *line = text; line && *line; line = strchrnul(line, '\n')) {
                const char *end = strchrnul(line += *line == '\n', '\n');
                unsigned major, minor;

                if (sscanf(line, "%u:%u", &major, &minor) != 2)
                        continue;
                for (int i = 0; i < 3; i++) {
                        const char *at = strstr(line, keys[i]);

                        if (!at || at > end)
                                continue;
                        if (!any)
                                json_open(s->w, name, '[');
                        any = true;
                        put_io_entry(s, major, minor, ops[i],
                                     strtoull(at + strlen(keys[i]), NULL, 10));
                }
        }
        if (any)
                json_close(s->w, ']');
}

/* v1: "8:0 Read 4096", and "Total 4096" at the end. */
static void put_io_v1(struct stats *s, const char *name, const char *file)
{
        const char *text = text_of(s, CGROUP_IO, file);
        bool any = false;

        for (const char *line = text; line && *line; line = strchrnul(line, '\n')) {
                unsigned long long v;
                unsigned major, minor;
                char op[16];

                line += *line == '\n';
                if (sscanf(line, "%u:%u %15s %llu", &major, &minor, op, &v) != 4)
                        continue;
                if (!any)
                        json_open(s->w, name, '[');
                any = true;
                put_io_entry(s, major, minor, op, v);
        }
        if (any)
                json_close(s->w, ']');
}

static void put_io(struct stats *s)
{
        static const char *const bytes[] = { " rbytes=", " wbytes=", " dbytes=" };
        static const char *const ops[] = { " rios=", " wios=", " dios=" };

        json_open(s->w, "blkio", '{');
        if (is_v2(s, CGROUP_IO)) {
                put_io_v2(s, "ioServiceBytesRecursive", bytes);
                put_io_v2(s, "ioServicedRecursive", ops);
        } else {
                put_io_v1(s, "ioServiceBytesRecursive",
                          "blkio.throttle.io_service_bytes_recursive");
                put_io_v1(s, "ioServicedRecursive", "blkio.throttle.io_serviced_recursive");
        }
        put_pressure(s, "io.pressure");
        json_close(s->w, '}');
}

/* ---- huge pages ---- */

static void put_hugetlb_size(struct stats *s, const char *size)
{
        bool v2 = is_v2(s, CGROUP_HUGETLB);
        char file[96];

        json_open(s->w, size, '{');
        snprintf(file, sizeof file, "hugetlb.%s.%s", size, v2 ? "current" : "usage_in_bytes");
        put_some(s, "usage", number_of(s, CGROUP_HUGETLB, file));
        snprintf(file, sizeof file, "hugetlb.%s.max_usage_in_bytes", size);
        put_some(s, "max", v2 ? 0 : number_of(s, CGROUP_HUGETLB, file));
        snprintf(file, sizeof file, "hugetlb.%s.%s", size, v2 ? "events" : "failcnt");
        json_put_u64(s->w, "failcnt",
                     v2 ? keyed(s, CGROUP_HUGETLB, file, "max")
                        : number_of(s, CGROUP_HUGETLB, file));
        json_close(s->w, '}');
}

/* The sizes that the kernel has: directories "hugepages-2048kB". */
static void put_hugetlb(struct stats *s)
{
        AUTO_ARENA a = { 0 };
        struct strings names = { 0 };

        if (cgroup_version_of(s->c, CGROUP_HUGETLB))
                dir_names(AT_FDCWD, "/sys/kernel/mm/hugepages", &a, &names);
        json_open(s->w, "hugetlb", '{');
        for (size_t i = 0; i < names.n; i++) {
                static const char units[] = "KMG";
                unsigned long long kb;
                unsigned unit = 0;
                char size[32];

                if (sscanf(names.v[i], "hugepages-%llukB", &kb) != 1)
                        continue;
                for (; kb >= 1024 && unit < 2; unit++)
                        kb /= 1024;
                snprintf(size, sizeof size, "%llu%cB", kb, units[unit]);
                put_hugetlb_size(s, size);
        }
        json_close(s->w, '}');
}

/* ---- all of it ---- */

void cgroup_stats_json(const struct cgroup *c, struct json_writer *w, const char *name)
{
        static const struct cgroup none = { .v2 = -1,
                                            .of = { [0 ... CGROUP_CONTROLLER_MAX - 1] = -1 } };
        AUTO_FREE char *text = mem_alloc(TEXT_MAX);
        struct stats s = { .c = c ? c : &none, .w = w, .text = text };

        json_open(w, name, '{');
        put_cpu(&s);
        put_cpuset(&s);
        put_memory(&s);
        put_pids(&s);
        put_io(&s);
        put_hugetlb(&s);
        json_open(w, "intel_rdt", '{');
        json_close(w, '}');
        json_put_null(w, "network_interfaces");
        json_close(w, '}');
}
