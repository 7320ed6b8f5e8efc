/* linux.resources -> writes to cgroup files (runtime-spec config-linux.md "Control groups").
 *
 * Where the specification speaks v1 and the controller lives on v2, values are converted:
 *   cpu.shares 2..262144 -> cpu.weight 1..10000: with l = log2(shares),
 *     weight = ceil(10^((l^2 + 125 l) / 612 - 7 / 34)), which maps ends to ends and 1024 to 100
 *     (what runc since 1.3.2 and crun since 1.23 use; the older linear formula gave 39 for 1024);
 *   blkio.weight 10..1000 -> io.weight 1..10000: 1 + (w - 10) * 9999 / 990;
 *   memory+swap -> memory.swap.max: swap - limit;
 *   cfs quota and period -> "quota period" in cpu.max.
 *
 * P1. As in runc, 0 means "unset" for every limit of memory, shares, quota, period and weight;
 *     but a pids limit of 0 is one.
 * P2. A limit whose controller this host lacks is an error, never dropped: only the fields that
 *     v2 has no counterpart for, and that runc ignores there, become warnings. */
#include "oci/plan-cgroup.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "oci/plan-cgroup-internal.h"

const struct cgroup_now cgroup_now_fresh = {
        .memory_limit = UINT64_MAX,
        .memory_swap = UINT64_MAX,
        .cpu_quota = -1,
        .cpu_period = 100000,
};

/* ---- building blocks ---- */

void plan_put(struct cgroup_planner *p, enum cgroup_controller controller, unsigned flags,
              const char *field, const char *file, const char *fmt, ...)
{
        struct cgroup_plan *out = p->out;
        char value[512];
        va_list ap;

        if (out->n == p->cap) {
                struct cgroup_setting *old = out->v;

                p->cap = p->cap ? p->cap * 2 : 32;
                out->v = arena_array(p->a, struct cgroup_setting, p->cap);
                if (out->n)
                        memcpy(out->v, old, out->n * sizeof *old);
        }
        va_start(ap, fmt);
        vsnprintf(value, sizeof value, fmt, ap);
        va_end(ap);
        out->v[out->n++] = (struct cgroup_setting){
                .controller = controller,
                .file = file,
                .value = arena_strdup(p->a, value),
                .field = field,
                .flags = flags,
        };
        if (controller < CGROUP_CONTROLLER_MAX)
                out->required |= CGROUP_BIT(controller);
}

void plan_warn(struct cgroup_planner *p, const char *fmt, ...)
{
        struct strings *w = &p->out->warnings;
        const char **v = arena_array(p->a, const char *, w->n + 1);
        char text[256];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        if (w->n)
                memcpy(v, w->v, w->n * sizeof *v);
        v[w->n++] = arena_strdup(p->a, text);
        w->v = v;
}

int plan_need(struct cgroup_planner *p, enum cgroup_controller controller, const char *field)
{
        unsigned version = cgroup_version_of(p->c, controller);
        const char *name = cgroup_controller_name(controller, true);

        if (version)
                return (int)version;
        if (!name)
                name = cgroup_controller_name(controller, false);
        err_set(p->e, ERR_UNSUPPORTED, "linux.resources.%s: %s has no %s controller", field,
                p->updates ? "the container's cgroup" : "this host", name);
        return err_hint(p->e,
                        "See /proc/cgroups and cgroup.controllers for what is there, or remove "
                        "the setting.");
}

int plan_invalid(struct cgroup_planner *p, const char *field, const char *fmt, ...)
{
        char text[256];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        return err_set(p->e, ERR_INVALID, "linux.resources.%s: %s", field, text);
}

static const char *limit_text(char *buf, size_t cap, int64_t v, int version)
{
        if (v < 0)
                return version == 2 ? "max" : "-1";
        snprintf(buf, cap, "%lld", (long long)v);
        return buf;
}
#define LIMIT_TEXT(v, version) limit_text((char[24]){}, 24, (v), (version))

/* ---- memory ---- */

static bool given(struct opt_i64 v)
{
        return v.set && v.v != 0; /* P1 */
}

/* checkBeforeUpdate: a limit below usage is refused here, before the kernel kills for it. */
static int check_usage(struct cgroup_planner *p, const struct spec_memory *m)
{
        const struct {
                const char *field, *what;
                struct opt_i64 v;
        } limits[] = {
                { "memory.swap", "memory+swap", m->swap },
                { "memory.limit", "memory", m->limit },
        };

        if (!p->updates || !m->check_before_update.set || !m->check_before_update.v)
                return 0;
        for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
                if (given(limits[i].v) && limits[i].v.v > 0 &&
                    (uint64_t)limits[i].v.v < p->now->memory_usage)
                        return err_set(
                                p->e, ERR_LIMIT,
                                "linux.resources.%s: rejecting %s limit %lld: %llu bytes are "
                                "in use, and checkBeforeUpdate is set",
                                limits[i].field, limits[i].what, (long long)limits[i].v.v,
                                (unsigned long long)p->now->memory_usage);
        return 0;
}

static int memory_check(struct cgroup_planner *p, const struct spec_memory *m)
{
        const struct {
                const char *field;
                struct opt_i64 v;
        } limits[] = {
                { "memory.limit", m->limit },
                { "memory.swap", m->swap },
                { "memory.reservation", m->reservation },
                { "memory.kernelTCP", m->kernel_tcp },
        };

        for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
                if (limits[i].v.set && limits[i].v.v < -1)
                        return plan_invalid(p, limits[i].field, "%lld is neither a size nor -1",
                                            (long long)limits[i].v.v);
        if (given(m->limit) && given(m->swap) && m->swap.v > 0 &&
            (m->limit.v < 0 || m->swap.v < m->limit.v)) {
                plan_invalid(p, "memory.swap", "%lld is less than the memory limit",
                             (long long)m->swap.v);
                return err_hint(p->e, "It limits memory and swap together: memory.limit is %lld.",
                                (long long)m->limit.v);
        }
        if (m->swappiness.set && m->swappiness.v > 100 && m->swappiness.v != UINT64_MAX)
                return plan_invalid(p, "memory.swappiness", "%llu is not within 0-100",
                                    (unsigned long long)m->swappiness.v);
        return check_usage(p, m);
}

/* v1 keeps limit <= memory+swap at every moment, so the one that widens comes first. */
static void memory_v1_limits(struct cgroup_planner *p, const struct spec_memory *m)
{
        bool limit = given(m->limit), unlimits = limit && m->limit.v < 0;
        bool swap = given(m->swap) || unlimits;
        int64_t swap_v = given(m->swap) ? m->swap.v : -1;
        bool swap_first = limit && (unlimits || (uint64_t)m->limit.v > p->now->memory_swap);
        /* Without swap accounting there is no file, and nothing to limit. */
        unsigned flags = CGROUP_SET_LIMIT | (swap_v < 0 ? CGROUP_SET_OPTIONAL : 0);

        if (swap && swap_first)
                plan_put(p, CGROUP_MEMORY, flags, "memory.swap", "memory.memsw.limit_in_bytes",
                         "%s", LIMIT_TEXT(swap_v, 1));
        if (limit)
                plan_put(p, CGROUP_MEMORY, CGROUP_SET_LIMIT, "memory.limit",
                         "memory.limit_in_bytes", "%s", LIMIT_TEXT(m->limit.v, 1));
        if (swap && !swap_first)
                plan_put(p, CGROUP_MEMORY, flags, "memory.swap", "memory.memsw.limit_in_bytes",
                         "%s", LIMIT_TEXT(swap_v, 1));
}

static void memory_v1(struct cgroup_planner *p, const struct spec_memory *m)
{
        memory_v1_limits(p, m);
        if (given(m->reservation))
                plan_put(p, CGROUP_MEMORY, 0, "memory.reservation", "memory.soft_limit_in_bytes",
                         "%s", LIMIT_TEXT(m->reservation.v, 1));
        if (given(m->kernel_tcp))
                plan_put(p, CGROUP_MEMORY, m->kernel_tcp.v < 0 ? CGROUP_SET_OPTIONAL : 0,
                         "memory.kernelTCP", "memory.kmem.tcp.limit_in_bytes", "%s",
                         LIMIT_TEXT(m->kernel_tcp.v, 1));
        if (m->swappiness.set && m->swappiness.v != UINT64_MAX)
                plan_put(p, CGROUP_MEMORY, 0, "memory.swappiness", "memory.swappiness", "%llu",
                         (unsigned long long)m->swappiness.v);
        if (m->disable_oom_killer.set && (m->disable_oom_killer.v || p->updates))
                plan_put(p, CGROUP_MEMORY, 0, "memory.disableOOMKiller", "memory.oom_control", "%d",
                         m->disable_oom_killer.v);
}

/* v2 limits swap alone: what config.json gives for both, less the memory limit. */
static int memory_v2_swap(struct cgroup_planner *p, const struct spec_memory *m)
{
        int64_t swap = given(m->swap) ? m->swap.v : given(m->limit) && m->limit.v < 0 ? -1 : 0;
        uint64_t limit = given(m->limit) ? (uint64_t)m->limit.v : p->now->memory_limit;
        unsigned flags = CGROUP_SET_LIMIT;

        if (swap == 0)
                return 0;
        if (swap > 0) {
                if (limit > INT64_MAX) {
                        plan_invalid(p, "memory.swap", "there is no memory limit to take off it");
                        return err_hint(p->e, "cgroup v2 limits swap alone: set "
                                              "linux.resources.memory.limit too.");
                }
                if ((uint64_t)swap < limit)
                        return plan_invalid(p, "memory.swap", "%lld is less than the memory limit",
                                            (long long)swap);
                swap -= (int64_t)limit;
        }
        if (swap <= 0) /* no swap, or no limit of it: true anyway where the kernel has none */
                flags |= CGROUP_SET_OPTIONAL;
        plan_put(p, CGROUP_MEMORY, flags, "memory.swap", "memory.swap.max", "%s",
                 LIMIT_TEXT(swap, 2));
        return 0;
}

static int memory_v2(struct cgroup_planner *p, const struct spec_memory *m)
{
        if (memory_v2_swap(p, m) < 0)
                return -1;
        if (given(m->limit))
                plan_put(p, CGROUP_MEMORY, CGROUP_SET_LIMIT, "memory.limit", "memory.max", "%s",
                         LIMIT_TEXT(m->limit.v, 2));
        if (given(m->reservation))
                plan_put(p, CGROUP_MEMORY, 0, "memory.reservation", "memory.low", "%s",
                         LIMIT_TEXT(m->reservation.v, 2));
        if (given(m->kernel_tcp) && m->kernel_tcp.v > 0)
                plan_warn(p, "linux.resources.memory.kernelTCP has no counterpart on cgroup v2: "
                             "ignored");
        if (m->swappiness.set && m->swappiness.v != UINT64_MAX)
                plan_warn(p, "linux.resources.memory.swappiness has no counterpart on cgroup v2: "
                             "ignored");
        if (m->disable_oom_killer.set && m->disable_oom_killer.v)
                plan_warn(p, "linux.resources.memory.disableOOMKiller has no counterpart on "
                             "cgroup v2: ignored");
        return 0;
}

static int plan_memory(struct cgroup_planner *p)
{
        const struct spec_memory *m = p->r->memory;
        int version;

        if (!m)
                return 0;
        if (m->kernel.set && m->kernel.v > 0)
                plan_warn(p, "linux.resources.memory.kernel does nothing in this kernel: ignored");
        if (!given(m->limit) && !given(m->swap) && !given(m->reservation) &&
            !given(m->kernel_tcp) && !m->swappiness.set &&
            !(m->disable_oom_killer.set && m->disable_oom_killer.v))
                return 0;
        if (memory_check(p, m) < 0)
                return -1;
        version = plan_need(p, CGROUP_MEMORY, given(m->limit) ? "memory.limit" : "memory");
        if (version < 0)
                return -1;
        if (version == 2)
                return memory_v2(p, m);
        memory_v1(p, m);
        return 0;
}

/* ---- cpu ---- */

#define SHARES_MIN 2
#define SHARES_MAX 262144
#define WEIGHT_MAX 10000

uint64_t cgroup_weight_of_shares(uint64_t shares)
{
        double l, weight;

        if (shares <= SHARES_MIN)
                return 1;
        if (shares >= SHARES_MAX)
                return WEIGHT_MAX;
        l = log2((double)shares);
        /* The small step down keeps exact powers (1024 -> 100) from being lifted by rounding. */
        weight = ceil(pow(10, (l * l + 125 * l) / 612 - 7.0 / 34) - 1e-9);
        return (uint64_t)weight;
}

uint64_t cgroup_shares_of_weight(uint64_t weight)
{
        uint64_t low = SHARES_MIN, high = SHARES_MAX;

        while (low < high) { /* the most shares that don't exceed the weight: 100 -> 1024 */
                uint64_t middle = (low + high + 1) / 2;

                if (cgroup_weight_of_shares(middle) > weight)
                        high = middle - 1;
                else
                        low = middle;
        }
        return low;
}

static int cpu_weight(struct cgroup_planner *p, const struct spec_cpu *c, int version)
{
        bool idle = c->idle.set && c->idle.v == 1;

        if (c->idle.set) {
                if (c->idle.v != 0 && c->idle.v != 1)
                        return plan_invalid(p, "cpu.idle", "%lld is neither 0 nor 1",
                                            (long long)c->idle.v);
                plan_put(p, CGROUP_CPU, c->idle.v ? 0 : CGROUP_SET_OPTIONAL, "cpu.idle", "cpu.idle",
                         "%lld", (long long)c->idle.v);
        }
        if (!c->shares.set || !c->shares.v)
                return 0;
        if (idle) { /* an idle cgroup has no weight of its own: the kernel refuses it */
                plan_warn(p, "linux.resources.cpu: unable to apply both shares and idle: shares is "
                             "ignored");
                return 0;
        }
        if (version == 2) {
                plan_put(p, CGROUP_CPU, 0, "cpu.shares", "cpu.weight", "%llu",
                         (unsigned long long)cgroup_weight_of_shares(c->shares.v));
                return 0;
        }
        if (c->shares.v < SHARES_MIN || c->shares.v > SHARES_MAX) /* v1 would clamp in silence */
                return plan_invalid(p, "cpu.shares", "%llu is not within %d-%d",
                                    (unsigned long long)c->shares.v, SHARES_MIN, SHARES_MAX);
        plan_put(p, CGROUP_CPU, 0, "cpu.shares", "cpu.shares", "%llu",
                 (unsigned long long)c->shares.v);
        return 0;
}

static void cpu_burst(struct cgroup_planner *p, const struct spec_cpu *c, int version)
{
        plan_put(p, CGROUP_CPU, c->burst.v ? 0 : CGROUP_SET_OPTIONAL, "cpu.burst",
                 version == 2 ? "cpu.max.burst" : "cpu.cfs_burst_us", "%llu",
                 (unsigned long long)c->burst.v);
}

static void cpu_quota(struct cgroup_planner *p, bool has_quota, int64_t quota, uint64_t period,
                      int version)
{
        /* v1 checks each write against the parent's share: lengthening the period first, or
         * changing the quota first before shortening it, never asks for more than the end
         * result. */
        bool period_first = period >= p->now->cpu_period;

        if (!has_quota && !period)
                return;
        if (p->updates || !has_quota) {
                /* Both, since systemd has to be told their ratio. */
                period = period ? period : p->now->cpu_period;
                quota = has_quota ? quota : p->now->cpu_quota;
                has_quota |= p->updates;
        }
        if (version == 2) {
                if (period)
                        plan_put(p, CGROUP_CPU, 0, "cpu.quota", "cpu.max", "%s %llu",
                                 LIMIT_TEXT(quota, 2), (unsigned long long)period);
                else
                        plan_put(p, CGROUP_CPU, 0, "cpu.quota", "cpu.max", "%s",
                                 LIMIT_TEXT(quota, 2));
                return;
        }
        if (period && period_first)
                plan_put(p, CGROUP_CPU, 0, "cpu.period", "cpu.cfs_period_us", "%llu",
                         (unsigned long long)period);
        if (has_quota)
                plan_put(p, CGROUP_CPU, 0, "cpu.quota", "cpu.cfs_quota_us", "%s",
                         LIMIT_TEXT(quota, 1));
        if (period && !period_first)
                plan_put(p, CGROUP_CPU, 0, "cpu.period", "cpu.cfs_period_us", "%llu",
                         (unsigned long long)period);
}

static int cpu_bandwidth(struct cgroup_planner *p, const struct spec_cpu *c, int version)
{
        bool has_quota = given(c->quota);
        int64_t quota = c->quota.v < 0 ? -1 : c->quota.v;
        uint64_t period = c->period.set ? c->period.v : 0;
        /* A burst may not exceed the quota at any moment. */
        bool burst_first =
                c->burst.set && has_quota && quota >= 0 && p->now->cpu_burst > (uint64_t)quota;

        if (period && (period < 1000 || period > 1000000))
                return plan_invalid(p, "cpu.period", "%llu us is not within 1000-1000000",
                                    (unsigned long long)period);
        if (has_quota && quota > 0 && quota < 1000)
                return plan_invalid(p, "cpu.quota", "%lld us is less than 1000", (long long)quota);
        if (c->burst.set && burst_first)
                cpu_burst(p, c, version);
        cpu_quota(p, has_quota, quota, period, version);
        if (c->burst.set && !burst_first)
                cpu_burst(p, c, version);
        return 0;
}

static void cpu_realtime(struct cgroup_planner *p, const struct spec_cpu *c, int version)
{
        bool period = c->realtime_period.set && c->realtime_period.v;
        bool runtime = given(c->realtime_runtime);

        if (version == 2 && (period || runtime)) {
                plan_warn(p, "linux.resources.cpu.realtimeRuntime and realtimePeriod have no "
                             "counterpart on cgroup v2: ignored");
                return;
        }
        /* A runtime may not exceed its period at any moment. */
        if (period && c->realtime_period.v >= p->now->cpu_rt_period)
                plan_put(p, CGROUP_CPU, 0, "cpu.realtimePeriod", "cpu.rt_period_us", "%llu",
                         (unsigned long long)c->realtime_period.v);
        if (runtime)
                plan_put(p, CGROUP_CPU, 0, "cpu.realtimeRuntime", "cpu.rt_runtime_us", "%lld",
                         (long long)c->realtime_runtime.v);
        if (period && c->realtime_period.v < p->now->cpu_rt_period)
                plan_put(p, CGROUP_CPU, 0, "cpu.realtimePeriod", "cpu.rt_period_us", "%llu",
                         (unsigned long long)c->realtime_period.v);
}

static int plan_cpuset(struct cgroup_planner *p, const struct spec_cpu *c)
{
        const struct {
                const char *field, *file, *value;
        } lists[] = {
                { "cpu.cpus", "cpuset.cpus", c->cpus },
                { "cpu.mems", "cpuset.mems", c->mems },
        };

        for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
                if (str_empty(lists[i].value))
                        continue;
                if (plan_need(p, CGROUP_CPUSET, lists[i].field) < 0)
                        return -1;
                if (lists[i].value[strspn(lists[i].value, "0123456789-,: /NQ")] ||
                    strlen(lists[i].value) > 500)
                        return plan_invalid(p, lists[i].field, "'%.40s' is no list of numbers",
                                            lists[i].value);
                plan_put(p, CGROUP_CPUSET, 0, lists[i].field, lists[i].file, "%s", lists[i].value);
        }
        return 0;
}

static int plan_cpu(struct cgroup_planner *p)
{
        const struct spec_cpu *c = p->r->cpu;
        int version;

        if (!c)
                return 0;
        if (plan_cpuset(p, c) < 0)
                return -1;
        if (!(c->shares.set && c->shares.v) && !given(c->quota) &&
            !(c->period.set && c->period.v) && !c->burst.set && !c->idle.set &&
            !c->realtime_period.set && !c->realtime_runtime.set)
                return 0;
        version = plan_need(p, CGROUP_CPU, "cpu");
        if (version < 0 || cpu_weight(p, c, version) < 0 || cpu_bandwidth(p, c, version) < 0)
                return -1;
        cpu_realtime(p, c, version);
        return 0;
}

/* ---- pids, hugetlb, network, rdma ---- */

/* A limit of 0 is a limit, not "unset"; but no cgroup with a process in it can have fewer than
 * one, and systemd refuses TasksMax=0: as in runc, it means 1. */
static int plan_pids(struct cgroup_planner *p)
{
        int64_t limit = p->r->pids_limit.v;

        if (!p->r->pids_limit.set)
                return 0;
        if (plan_need(p, CGROUP_PIDS, "pids.limit") < 0)
                return -1;
        plan_put(p, CGROUP_PIDS, 0, "pids.limit", "pids.max", "%s",
                 LIMIT_TEXT(limit == 0 ? 1 : limit, 2));
        return 0;
}

/* "64KB", "2MB", "1GB": the kernel's names, which go into a file name. */
static bool is_page_size(const char *s)
{
        size_t digits = strspn(s, "0123456789");

        return digits > 0 && digits < 8 && s[0] != '0' && s[digits] && strchr("KMG", s[digits]) &&
               str_eq(s + digits + 1, "B");
}

static int plan_hugetlb(struct cgroup_planner *p)
{
        for (size_t i = 0; i < p->r->n_hugepages; i++) {
                const struct spec_hugepage_limit *h = &p->r->hugepages[i];
                const char *field = arena_printf(p->a, "hugepageLimits[%zu]", i);
                int version = plan_need(p, CGROUP_HUGETLB, field);
                const char *end = version == 2 ? "max" : "limit_in_bytes";

                if (version < 0)
                        return -1;
                if (!is_page_size(h->page_size))
                        return plan_invalid(p, field, "'%.40s' is no page size, such as 2MB",
                                            h->page_size);
                /* Reservations first: a page that is reserved counts there before it is used. */
                plan_put(p, CGROUP_HUGETLB, CGROUP_SET_OPTIONAL, field,
                         arena_printf(p->a, "hugetlb.%s.rsvd.%s", h->page_size, end), "%llu",
                         (unsigned long long)h->limit);
                plan_put(p, CGROUP_HUGETLB, 0, field,
                         arena_printf(p->a, "hugetlb.%s.%s", h->page_size, end), "%llu",
                         (unsigned long long)h->limit);
        }
        return 0;
}

static int plan_network(struct cgroup_planner *p)
{
        const struct spec_network *n = p->r->network;

        if (!n)
                return 0;
        if (n->class_id.set && n->class_id.v) {
                if (plan_need(p, CGROUP_NET_CLS, "network.classID") < 0)
                        return -1;
                plan_put(p, CGROUP_NET_CLS, 0, "network.classID", "net_cls.classid", "%llu",
                         (unsigned long long)n->class_id.v);
        }
        for (size_t i = 0; i < n->n_priorities; i++) {
                if (plan_need(p, CGROUP_NET_PRIO, "network.priorities") < 0)
                        return -1;
                plan_put(p, CGROUP_NET_PRIO, 0, arena_printf(p->a, "network.priorities[%zu]", i),
                         "net_prio.ifpriomap", "%s %llu", n->priorities[i].name,
                         (unsigned long long)n->priorities[i].priority);
        }
        return 0;
}

static int plan_rdma(struct cgroup_planner *p)
{
        for (size_t i = 0; i < p->r->n_rdma; i++) {
                const struct spec_rdma *d = &p->r->rdma[i];
                const char *field = arena_printf(p->a, "rdma[\"%.64s\"]", d->device);
                char handles[48] = "", objects[48] = "";

                if (plan_need(p, CGROUP_RDMA, field) < 0)
                        return -1;
                if (strpbrk(d->device, " \n"))
                        return plan_invalid(p, field, "no device is called so");
                if (d->hca_handles.set)
                        snprintf(handles, sizeof handles, " hca_handle=%llu",
                                 (unsigned long long)d->hca_handles.v);
                if (d->hca_objects.set)
                        snprintf(objects, sizeof objects, " hca_object=%llu",
                                 (unsigned long long)d->hca_objects.v);
                plan_put(p, CGROUP_RDMA, 0, field, "rdma.max", "%s%s%s", d->device, handles,
                         objects);
        }
        return 0;
}

/* ---- all of it ---- */

int plan_cgroup_resources(struct arena *a, const struct cgroup *c, const struct spec_resources *r,
                          const struct cgroup_now *now, unsigned flags, struct cgroup_plan *ret,
                          struct err *e)
{
        /* Devices come last: the file system may need some to serve the other writes. */
        static int (*const parts[])(struct cgroup_planner *) = {
                plan_cpu,     plan_memory, plan_io,      plan_pids,    plan_hugetlb,
                plan_network, plan_rdma,   plan_unified, plan_devices,
        };
        static const struct spec_resources none;
        struct cgroup_plan plan = { .updates = flags & CGROUP_PLAN_UPDATE };
        struct cgroup_planner p = {
                .a = a,
                .c = c,
                .r = r ? r : &none,
                .now = now ? now : &cgroup_now_fresh,
                .updates = plan.updates,
                .no_devices = flags & CGROUP_PLAN_NO_DEVICES,
                .out = &plan,
                .e = e,
        };

        for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
                if (parts[i](&p) < 0)
                        return -1;
        *ret = plan;
        return 0;
}

void cgroup_setting_print(const struct cgroup_setting *s, struct buf *out)
{
        const char *name = s->controller == CGROUP_CORE
                                   ? "cgroup"
                                   : cgroup_controller_name(s->controller, true);

        if (!name)
                name = cgroup_controller_name(s->controller, false);
        buf_printf(out, "%s %s = %s", name, s->file, s->value);
}
