/* linux.resources.unified: files of cgroup v2 by name. Where the controller is on v2 they are
 * written as they are, known to us or not; where it is on v1 (hybrid hosts), those with an
 * equivalent there are converted. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "oci/plan-cgroup-internal.h"

/* ---- v1 equivalents ---- */

typedef int convert_fn(struct cgroup_planner *p, enum cgroup_controller c, const char *field,
                       const char *file, const char *value);

static int convert_same(struct cgroup_planner *p, enum cgroup_controller c, const char *field,
                        const char *file, const char *value)
{
        plan_put(p, c, 0, field, file, "%s", value);
        return 0;
}

/* "max" is -1 there. */
static int convert_bytes(struct cgroup_planner *p, enum cgroup_controller c, const char *field,
                         const char *file, const char *value)
{
        plan_put(p, c, CGROUP_SET_LIMIT, field, file, "%s", str_eq(value, "max") ? "-1" : value);
        return 0;
}

static int convert_weight(struct cgroup_planner *p, enum cgroup_controller c, const char *field,
                          const char *file, const char *value)
{
        uint64_t weight;

        if (str_to_u64(value, &weight) < 0 || weight < 1 || weight > 10000)
                return plan_invalid(p, field, "'%.20s' is no weight from 1 to 10000", value);
        plan_put(p, c, 0, field, file, "%llu", (unsigned long long)cgroup_shares_of_weight(weight));
        return 0;
}

/* "quota period" or "quota". */
static int convert_cpu_max(struct cgroup_planner *p, enum cgroup_controller c, const char *field,
                           const char *file, const char *value)
{
        char quota[24] = "", period[24] = "";
        uint64_t number;

        if (sscanf(value, "%23s %23s", quota, period) < 1 ||
            (!str_eq(quota, "max") && str_to_u64(quota, &number) < 0) ||
            (*period && str_to_u64(period, &number) < 0))
                return plan_invalid(p, field, "'%.40s' is not \"QUOTA PERIOD\"", value);
        if (*period)
                plan_put(p, c, 0, field, "cpu.cfs_period_us", "%s", period);
        plan_put(p, c, 0, field, file, "%s", str_eq(quota, "max") ? "-1" : quota);
        return 0;
}

static const struct {
        const char *v2, *v1;
        convert_fn *convert;
} equivalents[] = {
        { "cpu.idle", "cpu.idle", convert_same },
        { "cpu.max", "cpu.cfs_quota_us", convert_cpu_max },
        { "cpu.max.burst", "cpu.cfs_burst_us", convert_same },
        { "cpu.weight", "cpu.shares", convert_weight },
        { "cpuset.cpus", "cpuset.cpus", convert_same },
        { "cpuset.mems", "cpuset.mems", convert_same },
        { "memory.low", "memory.soft_limit_in_bytes", convert_bytes },
        { "memory.max", "memory.limit_in_bytes", convert_bytes },
        { "pids.max", "pids.max", convert_same },
        { "rdma.max", "rdma.max", convert_same },
};

static int convert(struct cgroup_planner *p, enum cgroup_controller c, const char *field,
                   const char *file, const char *value)
{
        for (size_t i = 0; i < ARRAY_SIZE(equivalents); i++)
                if (str_eq(equivalents[i].v2, file))
                        return equivalents[i].convert(p, c, field, equivalents[i].v1, value);
        if (c == CGROUP_HUGETLB && str_ends(file, ".max")) /* hugetlb.2MB[.rsvd].max */
                return convert_bytes(
                        p, c, field,
                        arena_printf(p->a, "%.*s.limit_in_bytes", (int)strlen(file) - 4, file),
                        value);
        err_set(p->e, ERR_UNSUPPORTED,
                "linux.resources.%s: invalid configuration: on this host the %s controller is on "
                "cgroup v1, where '%s' "
                "has "
                "no equivalent",
                field, cgroup_controller_name(c, true), file);
        return err_hint(p->e, "Boot with systemd.unified_cgroup_hierarchy=1 to have it on v2.");
}

/* ---- v2 ---- */

/* The kernel takes one line a write: io.max of several devices comes as several lines. */
static int put_lines(struct cgroup_planner *p, enum cgroup_controller c, const char *field,
                     const char *file, const char *value)
{
        const char *line;
        size_t n;

        for (const char *at = value; str_next(&at, '\n', &line, &n);) {
                if (n > 500)
                        return plan_invalid(p, field, "a line of the value is too long");
                if (n > 0 || !strchr(value, '\n'))
                        plan_put(p, c, 0, field, file, "%.*s", (int)n, line);
        }
        return 0;
}

/* Files that v2 has on every cgroup, whichever controllers are enabled. */
static bool is_core_file(const char *file, const char *dot)
{
        static const char *const words[] = { "cgroup", "irq" };

        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (strlen(words[i]) == (size_t)(dot - file) &&
                    strncmp(words[i], file, (size_t)(dot - file)) == 0)
                        return true;
        return str_ends(file, ".pressure");
}

static int plan_one(struct cgroup_planner *p, const char *file, const char *value)
{
        const char *field = arena_printf(p->a, "unified[\"%.80s\"]", file);
        const char *dot = strchr(file, '.'), *name;
        int c, version;

        if (strchr(file, '/') || !dot || dot == file || strlen(file) > 128)
                return plan_invalid(p, field, "the name is not CONTROLLER.FILE");
        c = cgroup_controller_find(file, (size_t)(dot - file));
        name = c < 0 ? NULL : cgroup_controller_name(c, true);
        if (c >= 0 && (!name || strncmp(name, file, (size_t)(dot - file)) != 0))
                return plan_invalid(p, field, "cgroup v2 has no controller '%.*s'",
                                    (int)(dot - file), file);
        if (c < 0 || is_core_file(file, dot)) {
                if (p->c->v2 < 0)
                        return plan_invalid(p, field, "no cgroup v2 is mounted on this host");
                return put_lines(p, CGROUP_CORE, field, file, value);
        }
        version = plan_need(p, c, field);
        if (version < 0)
                return -1;
        return version == 1 ? convert(p, c, field, file, value)
                            : put_lines(p, c, field, file, value);
}

/* While cpu.idle is 1 the kernel refuses a weight. */
static bool is_idle(const struct key_values *unified)
{
        for (size_t i = 0; i < unified->n; i++)
                if (str_eq(unified->v[i].key, "cpu.idle") && str_eq(unified->v[i].value, "1"))
                        return true;
        return false;
}

int plan_unified(struct cgroup_planner *p)
{
        bool idle = is_idle(&p->r->unified);

        for (size_t i = 0; i < p->r->unified.n; i++)
                if (idle && str_eq(p->r->unified.v[i].key, "cpu.weight"))
                        plan_warn(p, "linux.resources.unified: unable to apply both cpu.weight and "
                                     "cpu.idle: cpu.weight is ignored");
                else if (plan_one(p, p->r->unified.v[i].key, p->r->unified.v[i].value) < 0)
                        return -1;
        return 0;
}
