/* Scheduling of one process: policy (sched_setattr(2)), I/O priority (ioprio_set(2)), CPU affinity,
 * NUMA memory policy (set_mempolicy(2)). A pid of 0 means the calling thread. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"
#include "kernel/bitlist.h"

/* Ended by a NULL name: "SCHED_OTHER", ... and "SCHED_FLAG_RESET_ON_FORK", ... */
extern const struct str_flag sched_policies[];
extern const struct str_flag sched_flags[];
/* "IOPRIO_CLASS_RT", ... */
extern const struct str_flag sched_io_classes[];
/* "MPOL_DEFAULT", ... and "MPOL_F_STATIC_NODES", ... */
extern const struct str_flag sched_mem_modes[];
extern const struct str_flag sched_mem_flags[];

struct sched_attrs {
        uint32_t policy;                    /* a value of sched_policies */
        uint64_t flags;                     /* of sched_flags */
        int32_t nice;                       /* -20..19, for OTHER and BATCH */
        uint32_t priority;                  /* 1..99, for FIFO and RR */
        uint64_t runtime, deadline, period; /* ns, for DEADLINE */
};

/* 0, or -errno: -EINVAL for a combination that the kernel refuses or a policy that it lacks (ISO),
 * -EPERM without CAP_SYS_NICE, -EBUSY when DEADLINE's admission control refuses the bandwidth. */
int sched_apply(pid_t pid, const struct sched_attrs *a);

/* class is a value of sched_io_classes, level 0 (highest) to 7. 0 or -errno. */
int sched_io_apply(pid_t pid, unsigned class, unsigned level);

/* 0, or -errno: -EINVAL when no CPU of the list is both online and allowed by the cpuset. */
int sched_affinity_set(pid_t pid, const struct bitlist *cpus);
/* How many CPUs this process may run on; 1 where that can't be known. */
unsigned sched_processors(void);
/* Allows every CPU, which the kernel reduces to those of the cpuset: for a process that was started
 * with an affinity of its starter's, and is about to get its container's cpuset. 0 or -errno; a
 * caller has no reason to fail on it. */
int sched_affinity_reset(pid_t pid);

/* For the calling thread and what it will execute. mode and flags from the tables; nodes may be
 * empty. 0, or -errno: -EINVAL for a combination or node that the kernel refuses, or a mode that it
 * lacks, -ENOSYS without CONFIG_NUMA, -EPERM when a seccomp profile forbids it. */
int sched_mem_apply(unsigned mode, unsigned flags, const struct bitlist *nodes);
