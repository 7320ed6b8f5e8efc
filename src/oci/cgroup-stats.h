/* What a container consumes: `events` and `events --stats` in runc's JSON, and word of
 * out-of-memory kills. Reads v1 or v2 files per controller; a controller that the host lacks
 * leaves its part empty. */
#pragma once

#include "codec/json.h"
#include "kernel/cgroup.h"

/* Writes {"cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt",
 * "network_interfaces"} as the member name of w's object: the "data" of an event of type
 * "stats". Times are in ns, sizes in bytes. Without a container or its cgroup (already removed)
 * everything is zero or absent. */
void cgroup_stats_json(const struct cgroup *c, struct json_writer *w, const char *name);

/* How often the kernel killed a process of c for want of memory; on v2 c's children included.
 * -ENOENT where no hierarchy has the memory controller. */
int cgroup_oom_kills(const struct cgroup *c, uint64_t *ret);

/* Word of out-of-memory events: poll fd for POLLIN, then ask cgroup_oom_check(). */
struct cgroup_oom {
        int fd; /* v2: inotify on memory.events; v1: an eventfd tied to memory.oom_control */
        bool v2;
        int control;    /* v1: memory.oom_control, kept open; v2: the watch of cgroup.events; -1 */
        uint64_t kills; /* v2: oom_kill as last seen */
        const struct cgroup *c;
};
#define CGROUP_OOM_INIT                                                                            \
        (struct cgroup_oom)                                                                        \
        {                                                                                          \
                .fd = -1, .control = -1                                                            \
        }
/* c must outlive *ret. -ENOENT where no hierarchy has the memory controller. */
int cgroup_oom_open(const struct cgroup *c, struct cgroup_oom *ret);
/* Consumes what fd has to say. 1: memory ran out since the last call; 0: not; -ENODEV: the
 * cgroup is gone or (v2) its last process has left, nothing more will come. Does not block. */
int cgroup_oom_check(struct cgroup_oom *o);
void cgroup_oom_done(struct cgroup_oom *o);
