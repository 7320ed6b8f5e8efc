/* What a container may consume, as asked for on a command line and written to config.json. What is
 * not set is left to the kernel. */
#pragma once

#include "base/err.h"
#include "base/value.h"
#include "codec/json.h"

struct limits {
        /* bytes; -1: none. memory_swap is memory and swap together, as docker counts it. */
        struct opt_i64 memory_reservation, memory_swap, shm_size;
        struct opt_i64 swappiness;                /* 0 to 100; -1: the kernel's, as if not set */
        struct opt_i64 oom_score_adj;             /* -1000 to 1000 */
        struct opt_u64 cpu_shares;                /* relative, 1024 */
        struct opt_u64 cpu_period, cpu_rt_period; /* microseconds */
        struct opt_i64 cpu_quota, cpu_rt_runtime; /* the same */
        const char *cpuset_cpus, *cpuset_mems;    /* "0-3,7", or NULL */
        struct opt_u64 blkio_weight;              /* 10 to 1000 */
        struct strings weight_devices;            /* "PATH:WEIGHT" */
        struct strings read_bps, write_bps;       /* "PATH:BYTES" */
        struct strings read_iops, write_iops;     /* "PATH:N" */
        struct strings ulimits;                   /* "NAME=SOFT[:HARD]", or "host" */
        struct strings sysctls;                   /* "KEY=VALUE" */
        struct strings cgroup_conf;               /* "FILE=VALUE" of the unified hierarchy */
};

struct sandbox;
/* The members of "resources" but for devices. */
int limits_write(const struct sandbox *s, struct json_writer *w, struct err *e);
/* "rlimits" of "process", "sysctl" of "linux"; nothing where none was asked for. */
int limits_write_rlimits(const struct limits *l, struct json_writer *w, struct err *e);
int limits_write_sysctl(const struct limits *l, struct json_writer *w, struct err *e);
