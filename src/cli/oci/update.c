/* update. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/oci/ctx.h"

#define RESOURCES_MAX (1u << 20)

struct update_args {
        const char *file, *l3, *mb;
        struct opt_u64 blkio_weight, cpu_period, cpu_burst, cpu_share, cpu_rt_period;
        struct opt_i64 cpu_quota, cpu_rt_runtime, cpu_idle, pids_limit;
        struct opt_i64 memory, memory_reservation, memory_swap, kernel_memory, kernel_memory_tcp;
        const char *cpus, *mems;
};

static const struct opt opts[] = {
        STR(struct update_args, file, 'r', "resources", "FILE",
            "Take the limits from FILE, a linux.resources object in JSON; - for standard input",
            .complete = COMPLETE_FILE),
        MAYBE_UINT(struct update_args, blkio_weight, 0, "blkio-weight", "N", "Weight of its I/O"),
        MAYBE_UINT(struct update_args, cpu_period, 0, "cpu-period", "US", "Length of a CPU period"),
        MAYBE_INT(struct update_args, cpu_quota, 0, "cpu-quota", "US",
                  "CPU time it may use in a period; -1 for no limit"),
        MAYBE_UINT(struct update_args, cpu_burst, 0, "cpu-burst", "US",
                   "Unused quota that it may save up"),
        MAYBE_UINT(struct update_args, cpu_share, 0, "cpu-share", "N", "Weight of its CPU time"),
        MAYBE_UINT(struct update_args, cpu_rt_period, 0, "cpu-rt-period", "US",
                   "Length of a period for real-time tasks"),
        MAYBE_INT(struct update_args, cpu_rt_runtime, 0, "cpu-rt-runtime", "US",
                  "CPU time of real-time tasks in a period"),
        MAYBE_INT(struct update_args, cpu_idle, 0, "cpu-idle", "0|1",
                  "Run it only when nothing else wants the CPU"),
        STR(struct update_args, cpus, 0, "cpuset-cpus", "LIST", "CPUs that it may use"),
        STR(struct update_args, mems, 0, "cpuset-mems", "LIST", "Memory nodes that it may use"),
        MAYBE_SIZE(struct update_args, memory, 0, "memory", "BYTES",
                   "Limit of its memory; -1 for none"),
        MAYBE_SIZE(struct update_args, memory_reservation, 0, "memory-reservation", "BYTES",
                   "Memory that reclaim leaves to it"),
        MAYBE_SIZE(struct update_args, memory_swap, 0, "memory-swap", "BYTES",
                   "Limit of memory and swap together; -1 for none"),
        MAYBE_SIZE(struct update_args, kernel_memory, 0, "kernel-memory", "BYTES",
                   "Obsolete, without effect"),
        MAYBE_SIZE(struct update_args, kernel_memory_tcp, 0, "kernel-memory-tcp", "BYTES",
                   "Obsolete, without effect"),
        MAYBE_INT(struct update_args, pids_limit, 0, "pids-limit", "N",
                  "How many tasks it may have; -1 for any number"),
        STR(struct update_args, l3, 0, "l3-cache-schema", "TEXT", "resctrl's L3 schema"),
        STR(struct update_args, mb, 0, "mem-bw-schema", "TEXT", "resctrl's MB schema"),
        {}
};

static int read_file(struct ctx *c, const char *path, struct spec_resources *r, struct err *e)
{
        AUTO_FREE char *text = NULL;
        size_t n;
        int rc = fd_read_file_at(AT_FDCWD, str_eq(path, "-") ? "/dev/stdin" : path, RESOURCES_MAX,
                                 &text, &n);

        if (rc < 0)
                return err_sys(e, rc, "cannot read resources from \"%s\"", path);
        return spec_parse_resources(&c->arena, text, n, r, e);
}

static void from_flags(struct ctx *c, const struct update_args *a, struct spec_resources *r)
{
        r->memory = arena_new(&c->arena, struct spec_memory);
        r->cpu = arena_new(&c->arena, struct spec_cpu);
        r->block_io = arena_new(&c->arena, struct spec_block_io);
        *r->memory = (struct spec_memory){ .limit = a->memory,
                                           .reservation = a->memory_reservation,
                                           .swap = a->memory_swap,
                                           .kernel = a->kernel_memory,
                                           .kernel_tcp = a->kernel_memory_tcp };
        *r->cpu = (struct spec_cpu){ .shares = a->cpu_share,
                                     .quota = a->cpu_quota,
                                     .period = a->cpu_period,
                                     .burst = a->cpu_burst,
                                     .realtime_period = a->cpu_rt_period,
                                     .realtime_runtime = a->cpu_rt_runtime,
                                     .idle = a->cpu_idle,
                                     .cpus = a->cpus,
                                     .mems = a->mems };
        r->block_io->weight = a->blkio_weight;
        r->pids_limit = a->pids_limit;
}

static int update(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        const struct update_args *a = args;
        struct spec_resources r = { 0 };
        struct update_options o = { .resources = &r,
                                    .l3_cache_schema = a->l3,
                                    .mem_bw_schema = a->mb };

        if (a->file && read_file(c, a->file, &r, e) < 0)
                return -1;
        if (!a->file)
                from_flags(c, a, &r);
        return runtime_update(&c->rt, argv[0], &o, e);
}

const struct command oci_update = {
        .name = "update",
        .usage = "CONTAINER-ID",
        .help = "Change the limits of a container",
        .about = "What is not given stays as it is.",
        .opts = opts,
        .min = 1,
        .max = 1,
        .complete = { COMPLETE_CONTAINER },
        .args_size = sizeof(struct update_args),
        .run = update,
};
