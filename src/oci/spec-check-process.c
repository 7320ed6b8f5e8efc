/* Rules of config.md, "Process". */
#include <errno.h>
#include <inttypes.h>

#include "base/macro.h"
#include "base/str.h"
#include "kernel/bitlist.h"
#include "kernel/process.h"
#include "kernel/sched.h"
#include "oci/spec-check.h"
#include "oci/spec-decode.h"

static int check_command(const struct spec_process *p, struct err *e)
{
        if (p->cwd[0] != '/')
                return err_set(e, ERR_INVALID, "process.cwd: expected an absolute path, found %s",
                               spec_quote(p->cwd).s);
        if (p->args.n == 0)
                return err_set(e, ERR_INVALID, "process.args: at least one string is required");
        return 0;
}

static int check_env(const struct spec_process *p, struct err *e)
{
        for (size_t i = 0; i < p->env.n; i++) {
                const char *sign = strchr(p->env.v[i], '=');

                if (!sign || sign == p->env.v[i])
                        return err_set(e, ERR_INVALID,
                                       "process.env[%zu]: expected NAME=value, found %s", i,
                                       spec_quote(p->env.v[i]).s);
        }
        return 0;
}

static int check_rlimits(const struct spec_process *p, struct err *e)
{
        uint64_t seen = 0;

        for (size_t i = 0; i < p->n_rlimits; i++) {
                const struct spec_rlimit *r = &p->rlimits[i];
                uint64_t bit = 1ull << str_flag_find(process_rlimits, r->type)->value;

                if (seen & bit)
                        return err_set(e, ERR_INVALID,
                                       "process.rlimits[%zu].type: a second limit of type %s", i,
                                       r->type);
                seen |= bit;
                if (r->soft > r->hard)
                        return err_set(e, ERR_INVALID,
                                       "process.rlimits[%zu].soft: %" PRIu64
                                       " is above the hard limit %" PRIu64,
                                       i, r->soft, r->hard);
        }
        return 0;
}

static bool has_flag(const struct spec_scheduler *s, const char *name)
{
        for (size_t i = 0; i < s->flags.n; i++)
                if (str_eq(s->flags.v[i], name))
                        return true;
        return false;
}

/* sched_setattr(2): runtime <= deadline <= period, where a period of 0 means the deadline. */
static int check_deadline(const struct spec_scheduler *s, struct err *e)
{
        if (has_flag(s, "SCHED_FLAG_KEEP_PARAMS"))
                return 0;
        if (s->runtime == 0 || s->deadline == 0)
                return err_set(e, ERR_INVALID,
                               "process.scheduler.%s: SCHED_DEADLINE requires it to be above 0",
                               s->runtime == 0 ? "runtime" : "deadline");
        if (s->runtime > s->deadline)
                return err_set(e, ERR_INVALID,
                               "process.scheduler.runtime: %" PRIu64
                               " is above the deadline %" PRIu64,
                               s->runtime, s->deadline);
        if (s->period > 0 && s->deadline > s->period)
                return err_set(e, ERR_INVALID,
                               "process.scheduler.deadline: %" PRIu64
                               " is above the period %" PRIu64,
                               s->deadline, s->period);
        return 0;
}

/* What each policy takes: config.md, "scheduler", and sched(7). */
static const struct policy_rule {
        const char *policy;
        bool nice, priority, deadline;
} policy_rules[] = {
        { "SCHED_OTHER", .nice = true },        { "SCHED_BATCH", .nice = true },
        { "SCHED_FIFO", .priority = true },     { "SCHED_RR", .priority = true },
        { "SCHED_DEADLINE", .deadline = true },
};

static int check_scheduler(const struct spec_process *p, struct err *e)
{
        const struct spec_scheduler *s = p->scheduler;
        struct policy_rule rule = { 0 };

        if (!s)
                return 0;
        for (size_t i = 0; i < ARRAY_SIZE(policy_rules); i++)
                if (str_eq(policy_rules[i].policy, s->policy))
                        rule = policy_rules[i];
        if (rule.nice && (s->nice < -20 || s->nice > 19))
                return err_set(e, ERR_INVALID,
                               "process.scheduler.nice: expected an integer from -20 to 19, found "
                               "%" PRId64,
                               s->nice);
        if (!rule.priority && s->priority != 0)
                return err_set(e, ERR_INVALID,
                               "process.scheduler.priority: only SCHED_FIFO and SCHED_RR have one");
        if (rule.priority && (s->priority < 1 || s->priority > 99))
                return err_set(e, ERR_INVALID,
                               "process.scheduler.priority: expected an integer from 1 to 99, "
                               "found %" PRId64,
                               s->priority);
        if (rule.deadline)
                return check_deadline(s, e);
        if (s->runtime || s->deadline || s->period)
                return err_set(e, ERR_INVALID, "process.scheduler.%s: only SCHED_DEADLINE has one",
                               s->runtime    ? "runtime"
                               : s->deadline ? "deadline"
                                             : "period");
        return 0;
}

static int check_cpu_list(const char *list, const char *field, struct err *e)
{
        struct bitlist b;
        int r;

        if (!list)
                return 0;
        r = bitlist_parse(list, &b);
        if (r == -ERANGE)
                return err_set(e, ERR_INVALID, "%s: %s goes beyond CPU %d", field,
                               spec_quote(list).s, BITLIST_MAX - 1);
        if (r < 0 || b.n == 0)
                return err_set(e, ERR_INVALID,
                               "%s: expected a list of CPUs such as 0-3,7, found %s", field,
                               spec_quote(list).s);
        return 0;
}

static int check_affinity(const struct spec_process *p, struct err *e)
{
        if (check_cpu_list(p->exec_cpu_affinity.initial, "process.execCPUAffinity.initial", e) < 0)
                return -1;
        return check_cpu_list(p->exec_cpu_affinity.final, "process.execCPUAffinity.final", e);
}

int spec_check_process(const struct spec_process *p, struct err *e)
{
        static int (*const checks[])(const struct spec_process *p, struct err *e) = {
                check_command, check_env, check_rlimits, check_scheduler, check_affinity,
        };

        for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
                if (checks[i](p, e) < 0)
                        return -1;
        return 0;
}
