/* berth update. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/commands/ctr.h"
#include "cli/ctr-args.h"

struct update_args {
        struct opt_u64 blkio_weight, cpu_period, cpu_shares;
        struct opt_i64 cpu_quota, pids_limit, memory, memory_reservation, memory_swap;
        const char *cpus, *cpuset_cpus, *cpuset_mems, *restart;
};

static const struct opt opts[] = {
        MAYBE_UINT(struct update_args, blkio_weight, 0, "blkio-weight", "N",
                   "Weight of its I/O, from 10 to 1000"),
        MAYBE_UINT(struct update_args, cpu_period, 0, "cpu-period", "US", "Length of a CPU period"),
        MAYBE_INT(struct update_args, cpu_quota, 0, "cpu-quota", "US",
                  "CPU time it may use in a period; -1 for no limit"),
        MAYBE_UINT(struct update_args, cpu_shares, 'c', "cpu-shares", "N",
                   "Weight of its CPU time"),
        STR(struct update_args, cpus, 0, "cpus", "N", "How many CPUs it may use, such as 1.5"),
        STR(struct update_args, cpuset_cpus, 0, "cpuset-cpus", "LIST", "CPUs that it may use"),
        STR(struct update_args, cpuset_mems, 0, "cpuset-mems", "LIST",
            "Memory nodes that it may use"),
        MAYBE_SIZE(struct update_args, memory, 'm', "memory", "BYTES",
                   "Limit of its memory; -1 for none"),
        MAYBE_SIZE(struct update_args, memory_reservation, 0, "memory-reservation", "BYTES",
                   "Memory that reclaim leaves to it"),
        MAYBE_SIZE(struct update_args, memory_swap, 0, "memory-swap", "BYTES",
                   "Limit of memory and swap together; -1 for none"),
        MAYBE_INT(struct update_args, pids_limit, 0, "pids-limit", "N",
                  "How many tasks it may have; -1 for any number"),
        REFUSED(0, "blkio-weight-device",
                "give it to `berth run`: devices' limits stay as they are"),
        REFUSED(0, "cpu-rt-period", "give it to `berth run`"),
        REFUSED(0, "cpu-rt-runtime", "give it to `berth run`"),
        REFUSED(0, "device-read-bps", "give it to `berth run`: devices' limits stay as they are"),
        REFUSED(0, "device-read-iops", "give it to `berth run`: devices' limits stay as they are"),
        REFUSED(0, "device-write-bps", "give it to `berth run`: devices' limits stay as they are"),
        REFUSED(0, "device-write-iops", "give it to `berth run`: devices' limits stay as they are"),
        REFUSED(0, "kernel-memory", "the kernel has no such limit any more: use --memory"),
        REFUSED(0, "memory-swappiness", "give it to `berth run`"),
        STR(struct update_args, restart, 0, "restart", "POLICY",
            "When it is started again: no, on-failure[:MAX], always, unless-stopped; from its "
            "next start on"),
        {}
};

/* ---- resources, as a linux.resources object ---- */

/* "1.5": a quota in periods of 100 ms. */
static int take_cpus(const struct update_args *a, struct opt_i64 *quota, struct opt_u64 *period,
                     struct err *e)
{
        char *end;
        double v;

        *quota = a->cpu_quota;
        *period = a->cpu_period;
        if (!a->cpus)
                return 0;
        if (quota->set || period->set)
                return err_set(e, ERR_INVALID,
                               "--cpus excludes --cpu-quota and --cpu-period: it sets both");
        v = strtod(a->cpus, &end);
        if (end == a->cpus || *end || !(v >= 0.01) || v > 100000)
                return err_set(e, ERR_INVALID, "--cpus: \"%s\" is no number of CPUs, such as 1.5",
                               a->cpus);
        *period = (struct opt_u64){ true, 100000 };
        *quota = (struct opt_i64){ true, (int64_t)(v * 100000 + 0.5) };
        return 0;
}

static void put_cpu(const struct update_args *a, const struct opt_i64 *quota,
                    const struct opt_u64 *period, struct json_writer *w)
{
        if (!quota->set && !period->set && !a->cpu_shares.set && !a->cpuset_cpus && !a->cpuset_mems)
                return;
        json_open(w, "cpu", '{');
        json_put_opt_u64(w, "shares", &a->cpu_shares);
        json_put_opt_i64(w, "quota", quota);
        json_put_opt_u64(w, "period", period);
        if (a->cpuset_cpus)
                json_put_str(w, "cpus", a->cpuset_cpus);
        if (a->cpuset_mems)
                json_put_str(w, "mems", a->cpuset_mems);
        json_close(w, '}');
}

static void put_others(const struct update_args *a, struct json_writer *w)
{
        if (a->memory.set || a->memory_reservation.set || a->memory_swap.set) {
                json_open(w, "memory", '{');
                json_put_opt_i64(w, "limit", &a->memory);
                json_put_opt_i64(w, "reservation", &a->memory_reservation);
                json_put_opt_i64(w, "swap", &a->memory_swap);
                json_close(w, '}');
        }
        if (a->blkio_weight.set) {
                json_open(w, "blockIO", '{');
                json_put_opt_u64(w, "weight", &a->blkio_weight);
                json_close(w, '}');
        }
        if (a->pids_limit.set) {
                json_open(w, "pids", '{');
                json_put_opt_i64(w, "limit", &a->pids_limit);
                json_close(w, '}');
        }
}

static int take_resources(const struct update_args *a, struct buf *out, const char **ret,
                          struct err *e)
{
        struct json_writer w = { .out = out, .fresh = true };
        struct opt_i64 quota;
        struct opt_u64 period;

        if (take_cpus(a, &quota, &period, e) < 0)
                return -1;
        json_open(&w, NULL, '{');
        put_cpu(a, &quota, &period, &w);
        put_others(a, &w);
        json_close(&w, '}');
        *ret = out->len > 2 ? out->s : NULL;
        return 0;
}

/* "on-failure:3" */
static int take_restart(const struct update_args *a, struct ctr_update *u, struct err *e)
{
        const char *max = a->restart ? str_after(a->restart, "on-failure:") : NULL;
        int found = !a->restart ? 0
                                : str_index(restart_policy_names, RESTART_POLICY_MAX,
                                            max ? "on-failure" : a->restart);

        if (found < 0 || (max && (str_to_i64(max, &u->restart_max) < 0 || u->restart_max < 0)))
                return err_set(e, ERR_INVALID,
                               "--restart: \"%s\" is none of no, on-failure[:MAX], always and "
                               "unless-stopped",
                               a->restart);
        u->restart_given = a->restart != NULL;
        u->restart = (enum restart_policy)found;
        return 0;
}

static int update_one(struct engine *g, const struct ctr *c, void *update, struct err *e)
{
        return ctr_update(g, c, update, e) < 0
                       ? err_in(e, "cannot update container \"%s\"", c->name)
                       : 0;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct update_args *args = p;
        const struct ctr_choice choice = { 0 };
        struct ctr_update u = { 0 };
        AUTO_BUF text = { 0 };

        if (take_resources(args, &text, &u.resources, e) < 0 || take_restart(args, &u, e) < 0)
                return -1;
        if (!u.resources && !u.restart_given)
                return err_set(e, ERR_INVALID, "nothing was given that is to change");
        return ctr_each(c, &choice, argc, argv, update_one, &u, e);
}

const struct command cmd_update = {
        .name = "update",
        .alias = { "container update" },
        .usage = "CONTAINER...",
        .help = "Change what containers may use",
        .about = "What is not given stays as it is. It holds at once where the container runs, "
                 "and for each start to come; a restart policy from the next start on.",
        .opts = opts,
        .min = 1,
        .max = -1,
        .needs = NEED_ROOT,
        .complete = { COMPLETE_CONTAINER, COMPLETE_CONTAINER, COMPLETE_CONTAINER },
        .args_size = sizeof(struct update_args),
        .run = run,
};
