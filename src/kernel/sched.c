#include "kernel/sched.h"

#include <errno.h>
#include <linux/ioprio.h>
#include <linux/mempolicy.h>
#include <linux/sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MPOL_WEIGHTED_INTERLEAVE
#define MPOL_WEIGHTED_INTERLEAVE 6 /* Linux 6.9 */
#endif

const struct str_flag sched_policies[] = {
        { "SCHED_OTHER", SCHED_NORMAL },
        { "SCHED_FIFO", SCHED_FIFO },
        { "SCHED_RR", SCHED_RR },
        { "SCHED_BATCH", SCHED_BATCH },
        { "SCHED_ISO", 4 /* reserved */ },
        { "SCHED_IDLE", SCHED_IDLE },
        { "SCHED_DEADLINE", SCHED_DEADLINE },
        { NULL, 0 },
};

const struct str_flag sched_flags[] = {
        { "SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK },
        { "SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM },
        { "SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN },
        { "SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY },
        { "SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS },
        { "SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN },
        { "SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX },
        { NULL, 0 },
};

const struct str_flag sched_io_classes[] = {
        { "IOPRIO_CLASS_RT", IOPRIO_CLASS_RT },
        { "IOPRIO_CLASS_BE", IOPRIO_CLASS_BE },
        { "IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE },
        { NULL, 0 },
};

const struct str_flag sched_mem_modes[] = {
        { "MPOL_DEFAULT", MPOL_DEFAULT },
        { "MPOL_BIND", MPOL_BIND },
        { "MPOL_INTERLEAVE", MPOL_INTERLEAVE },
        { "MPOL_WEIGHTED_INTERLEAVE", MPOL_WEIGHTED_INTERLEAVE },
        { "MPOL_PREFERRED", MPOL_PREFERRED },
        { "MPOL_PREFERRED_MANY", MPOL_PREFERRED_MANY },
        { "MPOL_LOCAL", MPOL_LOCAL },
        { NULL, 0 },
};

const struct str_flag sched_mem_flags[] = {
        { "MPOL_F_NUMA_BALANCING", MPOL_F_NUMA_BALANCING },
        { "MPOL_F_RELATIVE_NODES", MPOL_F_RELATIVE_NODES },
        { "MPOL_F_STATIC_NODES", MPOL_F_STATIC_NODES },
        { NULL, 0 },
};

/* struct sched_attr of linux/sched/types.h, which clashes with <sched.h>. */
struct attr {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
        uint32_t util_min, util_max;
};
static_assert(sizeof(struct attr) == 56, "SCHED_ATTR_SIZE_VER1");

int sched_apply(pid_t pid, const struct sched_attrs *a)
{
        struct attr k = {
                .size = sizeof k,
                .policy = a->policy,
                .flags = a->flags,
                .nice = a->nice,
                .priority = a->priority,
                .runtime = a->runtime,
                .deadline = a->deadline,
                .period = a->period,
        };

        return syscall(SYS_sched_setattr, pid, &k, 0) < 0 ? -errno : 0;
}

int sched_io_apply(pid_t pid, unsigned class, unsigned level)
{
        if (level > 7)
                return -EINVAL;
        if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, IOPRIO_PRIO_VALUE(class, level)) < 0)
                return -errno;
        return 0;
}

int sched_affinity_set(pid_t pid, const struct bitlist *cpus)
{
        size_t words = (cpus->n + BITLIST_WORD - 1) / BITLIST_WORD;

        if (syscall(SYS_sched_setaffinity, pid, words * sizeof(long), cpus->bits) < 0)
                return -errno;
        return 0;
}

unsigned sched_processors(void)
{
        unsigned long bits[BITLIST_MAX / BITLIST_WORD] = { 0 };
        long bytes = syscall(SYS_sched_getaffinity, 0, sizeof bits, bits);
        unsigned n = 0;

        for (size_t i = 0; bytes > 0 && i < (size_t)bytes / sizeof *bits; i++)
                n += (unsigned)__builtin_popcountl(bits[i]);
        return n ? n : 1;
}

int sched_affinity_reset(pid_t pid)
{
        struct bitlist all = { .n = BITLIST_MAX };

        memset(all.bits, 0xff, sizeof all.bits);
        return sched_affinity_set(pid, &all);
}

int sched_mem_apply(unsigned mode, unsigned flags, const struct bitlist *nodes)
{
        /* The kernel reads one bit less than it is told of. */
        unsigned long max = nodes->n ? nodes->n + 1 : 0;

        if (syscall(SYS_set_mempolicy, mode | flags, max ? nodes->bits : NULL, max) < 0)
                return -errno;
        return 0;
}
