/* What a container's cgroup has counted, as numbers of fixed meaning whatever the cgroup version:
 * cgroup-v2.rst and cgroup-v1/ of the kernel's admin-guide. Values that the host can't tell are
 * COUNTER_UNKNOWN. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "codec/json.h"
#include "kernel/cgroup.h"

#define COUNTER_UNKNOWN UINT64_MAX

enum counter {
        COUNTER_MEMORY_USAGE, /* bytes */
        COUNTER_MEMORY_PEAK,
        COUNTER_MEMORY_LIMIT,  /* COUNTER_UNKNOWN: none */
        COUNTER_MEMORY_AT_MAX, /* times that usage hit the limit */
        COUNTER_MEMORY_OOM,
        COUNTER_MEMORY_OOM_KILL,
        COUNTER_CPU_USAGE, /* ns */
        COUNTER_CPU_PERIODS,
        COUNTER_CPU_THROTTLED_PERIODS,
        COUNTER_CPU_THROTTLED, /* ns */
        COUNTER_PIDS,
        COUNTER_PIDS_PEAK,
        COUNTER_PIDS_AT_MAX, /* forks refused */
        COUNTER_IO_READ,     /* bytes */
        COUNTER_IO_WRITTEN,
        COUNTER_CPU_STALL, /* us that some task waited (PSI) */
        COUNTER_MEMORY_STALL,
        COUNTER_IO_STALL,
        COUNTER_MAX
};
extern const char *const counter_names[COUNTER_MAX];

struct counters {
        int64_t time_ns; /* since 1970 */
        uint64_t v[COUNTER_MAX];
};
/* Reads those of a set of 1 << COUNTER_x, the others are unknown; allocates nothing. */
#define COUNTERS_ALL ((1u << COUNTER_MAX) - 1)
void counters_read(const struct cgroup *c, unsigned set, struct counters *ret);
/* As an object; unknown ones are left out. */
void counters_json(const struct counters *c, struct json_writer *w, const char *name);
