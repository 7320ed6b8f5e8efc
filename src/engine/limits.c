#include "engine/limits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "engine/sandbox.h"

/* ---- memory, CPU ---- */

/* Without a word on swap there may be as much of it as of memory, as with docker and podman; where
 * the kernel counts none, there is nothing to limit. */
static bool counts_swap(void)
{
        return access("/sys/fs/cgroup/memory", F_OK) == 0
                       ? access("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", F_OK) == 0
                       : access("/proc/swaps", F_OK) == 0;
}

static int put_memory(const struct sandbox *s, struct json_writer *w, struct err *e)
{
        const struct limits *l = &s->limits;

        if (l->memory_swap.set && l->memory_swap.v != -1 &&
            (s->memory <= 0 || l->memory_swap.v < s->memory))
                return err_set(e, ERR_INVALID,
                               "--memory-swap counts memory and swap together: it can't be less "
                               "than --memory, nor go without it");
        if (l->swappiness.set && (l->swappiness.v < -1 || l->swappiness.v > 100))
                return err_set(e, ERR_INVALID, "--memory-swappiness: 0 to 100, or -1");
        if (l->memory_reservation.set && s->memory > 0 && l->memory_reservation.v > s->memory)
                return err_set(e, ERR_INVALID, "--memory-reservation is above --memory");
        json_open(w, "memory", '{');
        if (s->memory > 0)
                json_put_i64(w, "limit", s->memory);
        json_put_opt_i64(w, "reservation", &l->memory_reservation);
        if (!l->memory_swap.set && s->memory > 0 && counts_swap())
                json_put_i64(w, "swap", s->memory * 2);
        json_put_opt_i64(w, "swap", &l->memory_swap);
        if (l->swappiness.v >= 0)
                json_put_opt_i64(w, "swappiness", &l->swappiness);
        json_close(w, '}');
        return 0;
}

static int put_cpu(const struct sandbox *s, struct json_writer *w, struct err *e)
{
        const struct limits *l = &s->limits;

        if (s->cpus_milli > 0 && (l->cpu_period.set || l->cpu_quota.set))
                return err_set(e, ERR_INVALID,
                               "--cpus excludes --cpu-period and --cpu-quota, which say the same");
        json_open(w, "cpu", '{');
        if (s->cpus_milli > 0) {
                json_put_i64(w, "period", 100000);
                json_put_i64(w, "quota", s->cpus_milli * 100);
        }
        json_put_opt_u64(w, "period", &l->cpu_period);
        json_put_opt_i64(w, "quota", &l->cpu_quota);
        json_put_opt_u64(w, "shares", &l->cpu_shares);
        json_put_opt_u64(w, "realtimePeriod", &l->cpu_rt_period);
        json_put_opt_i64(w, "realtimeRuntime", &l->cpu_rt_runtime);
        if (l->cpuset_cpus)
                json_put_str(w, "cpus", l->cpuset_cpus);
        if (l->cpuset_mems)
                json_put_str(w, "mems", l->cpuset_mems);
        json_close(w, '}');
        return 0;
}

/* ---- disks ---- */

struct throttle {
        const char *option, *member, *value;
        const struct strings *list;
        bool size; /* "10m" is a rate */
};

static int put_throttle(const struct throttle *t, const char *text, struct json_writer *w,
                        struct err *e)
{
        const char *colon = strrchr(text, ':');
        char path[4096];
        struct stat st;
        int64_t rate;

        if (!colon || (size_t)(colon - text) >= sizeof path ||
            (t->size ? str_to_size(colon + 1, &rate) : str_to_i64(colon + 1, &rate)) < 0 ||
            rate < 0)
                return err_set(e, ERR_INVALID, "--%s: \"%s\" is not DEVICE:%s", t->option, text,
                               t->size ? "BYTES" : "N");
        snprintf(path, sizeof path, "%.*s", (int)(colon - text), text);
        if (stat(path, &st) < 0)
                return err_sys(e, errno, "--%s: cannot use \"%s\"", t->option, path);
        if (!S_ISBLK(st.st_mode))
                return err_set(e, ERR_INVALID, "--%s: \"%s\" is no block device", t->option, path);
        json_open(w, NULL, '{');
        json_put_i64(w, "major", major(st.st_rdev));
        json_put_i64(w, "minor", minor(st.st_rdev));
        json_put_i64(w, t->value, rate);
        json_close(w, '}');
        return 0;
}

static int put_disks(const struct limits *l, struct json_writer *w, struct err *e)
{
        const struct throttle rows[] = {
                { "blkio-weight-device", "weightDevice", "weight", &l->weight_devices, false },
                { "device-read-bps", "throttleReadBpsDevice", "rate", &l->read_bps, true },
                { "device-write-bps", "throttleWriteBpsDevice", "rate", &l->write_bps, true },
                { "device-read-iops", "throttleReadIOPSDevice", "rate", &l->read_iops, false },
                { "device-write-iops", "throttleWriteIOPSDevice", "rate", &l->write_iops, false },
        };

        if (l->blkio_weight.set && l->blkio_weight.v &&
            (l->blkio_weight.v < 10 || l->blkio_weight.v > 1000))
                return err_set(e, ERR_INVALID, "--blkio-weight: 10 to 1000");
        json_open(w, "blockIO", '{');
        if (l->blkio_weight.v)
                json_put_opt_u64(w, "weight", &l->blkio_weight);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                if (rows[i].list->n == 0)
                        continue;
                json_open(w, rows[i].member, '[');
                for (size_t k = 0; k < rows[i].list->n; k++)
                        if (put_throttle(&rows[i], rows[i].list->v[k], w, e) < 0)
                                return -1;
                json_close(w, ']');
        }
        json_close(w, '}');
        return 0;
}

/* ---- pairs ---- */

static int put_pairs(const char *option, const char *member, const struct strings *list,
                     struct json_writer *w, struct err *e)
{
        AUTO_ARENA a = { 0 };

        if (list->n == 0)
                return 0;
        json_open(w, member, '{');
        for (size_t i = 0; i < list->n; i++) {
                const char *text = list->v[i], *eq = strchr(text, '=');
                bool again = false;

                if (!eq || eq == text)
                        return err_set(e, ERR_INVALID, "--%s: \"%s\" is not NAME=VALUE", option,
                                       text);
                /* Of a name given twice the last counts: a JSON object has each once. */
                for (size_t k = i + 1; k < list->n; k++)
                        again |= strncmp(list->v[k], text, (size_t)(eq - text) + 1) == 0;
                if (!again)
                        json_put_str(w, arena_strndup(&a, text, (size_t)(eq - text)), eq + 1);
        }
        json_close(w, '}');
        return 0;
}

int limits_write_sysctl(const struct limits *l, struct json_writer *w, struct err *e)
{
        return put_pairs("sysctl", "sysctl", &l->sysctls, w, e);
}

int limits_write(const struct sandbox *s, struct json_writer *w, struct err *e)
{
        if (put_memory(s, w, e) < 0 || put_cpu(s, w, e) < 0 || put_disks(&s->limits, w, e) < 0)
                return -1;
        json_open(w, "pids", '{');
        json_put_i64(w, "limit", s->pids_limit);
        json_close(w, '}');
        return put_pairs("cgroup-conf", "unified", &s->limits.cgroup_conf, w, e);
}

/* ---- rlimits ---- */

static const struct rlimit_name {
        const char *name, *type;
        int resource;
} rlimits[] = {
        { "as", "RLIMIT_AS", RLIMIT_AS },
        { "core", "RLIMIT_CORE", RLIMIT_CORE },
        { "cpu", "RLIMIT_CPU", RLIMIT_CPU },
        { "data", "RLIMIT_DATA", RLIMIT_DATA },
        { "fsize", "RLIMIT_FSIZE", RLIMIT_FSIZE },
        { "locks", "RLIMIT_LOCKS", RLIMIT_LOCKS },
        { "memlock", "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
        { "msgqueue", "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
        { "nice", "RLIMIT_NICE", RLIMIT_NICE },
        { "nofile", "RLIMIT_NOFILE", RLIMIT_NOFILE },
        { "nproc", "RLIMIT_NPROC", RLIMIT_NPROC },
        { "rss", "RLIMIT_RSS", RLIMIT_RSS },
        { "rtprio", "RLIMIT_RTPRIO", RLIMIT_RTPRIO },
        { "rttime", "RLIMIT_RTTIME", RLIMIT_RTTIME },
        { "sigpending", "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
        { "stack", "RLIMIT_STACK", RLIMIT_STACK },
};

static const struct rlimit_name *find_rlimit(const char *name, size_t n)
{
        for (size_t i = 0; i < ARRAY_SIZE(rlimits); i++)
                if (strlen(rlimits[i].name) == n && strncmp(rlimits[i].name, name, n) == 0)
                        return &rlimits[i];
        return NULL;
}

static int parse_limit(const char *text, rlim_t *ret)
{
        uint64_t v = RLIM_INFINITY;
        int r = str_eq(text, "-1") || str_eq(text, "unlimited") ? 0 : str_to_u64(text, &v);

        if (r == 0)
                *ret = v;
        return r;
}

static int parse_ulimit(const char *text, struct rlimit *v, bool *given, struct err *e)
{
        const char *eq = strchr(text, '='), *colon = eq ? strchr(eq, ':') : NULL;
        const struct rlimit_name *row = eq ? find_rlimit(text, (size_t)(eq - text)) : NULL;
        struct rlimit l;
        char soft[32];

        if (!eq)
                return err_set(e, ERR_INVALID, "--ulimit: \"%s\" is not NAME=SOFT[:HARD]", text);
        if (!row)
                return err_set(e, ERR_INVALID, "--ulimit: \"%.*s\" is no limit, such as nofile",
                               (int)(eq - text), text);
        snprintf(soft, sizeof soft, "%.*s", colon ? (int)(colon - eq - 1) : 31, eq + 1);
        if (parse_limit(soft, &l.rlim_cur) < 0 ||
            parse_limit(colon ? colon + 1 : soft, &l.rlim_max) < 0 || l.rlim_cur > l.rlim_max)
                return err_set(e, ERR_INVALID,
                               "--ulimit: \"%s\": the limits are numbers or -1, the soft one not "
                               "above the hard one",
                               text);
        v[row - rlimits] = l;
        given[row - rlimits] = true;
        return 0;
}

int limits_write_rlimits(const struct limits *l, struct json_writer *w, struct err *e)
{
        struct rlimit v[ARRAY_SIZE(rlimits)];
        bool given[ARRAY_SIZE(rlimits)] = { false };

        for (size_t i = 0; i < l->ulimits.n; i++) {
                if (!str_eq(l->ulimits.v[i], "host")) {
                        if (parse_ulimit(l->ulimits.v[i], v, given, e) < 0)
                                return -1;
                        continue;
                }
                for (size_t k = 0; k < ARRAY_SIZE(rlimits); k++)
                        given[k] = getrlimit((unsigned)rlimits[k].resource, &v[k]) == 0;
        }
        if (l->ulimits.n == 0)
                return 0;
        json_open(w, "rlimits", '[');
        for (size_t k = 0; k < ARRAY_SIZE(rlimits); k++) {
                if (!given[k])
                        continue;
                json_open(w, NULL, '{');
                json_put_str(w, "type", rlimits[k].type);
                json_put_u64(w, "soft", v[k].rlim_cur);
                json_put_u64(w, "hard", v[k].rlim_max);
                json_close(w, '}');
        }
        json_close(w, ']');
        return 0;
}
