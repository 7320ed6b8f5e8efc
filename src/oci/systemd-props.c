/* A cgroup plan as unit properties (systemd.resource-control(5), org.freedesktop.systemd1(5)).
 *
 * The plan says what each cgroup file shall hold; this table says which property makes systemd
 * write that file. Both are needed: systemd rewrites what it knows about at every reload. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "kernel/bitlist.h"
#include "oci/systemd-internal.h"
#include "oci/systemd.h"

/* ---- lines ---- */

void systemd_put_word(struct buf *out, const char *s, size_t n)
{
        buf_putc(out, ' ');
        if (n == 0)
                buf_putc(out, '%');
        for (size_t i = 0; i < n; i++)
                if (s[i] > ' ' && s[i] < 127 && s[i] != '%')
                        buf_putc(out, s[i]);
                else
                        buf_printf(out, "%%%02x", (unsigned char)s[i]);
}

void systemd_put_property(struct buf *out, const char *name, const char *signature, int optional)
{
        buf_printf(out, "property%s %s %s", optional ? "?" : "", name, signature);
}

void systemd_put_text(struct buf *out, const char *name, const char *value)
{
        systemd_put_property(out, name, "s", 0);
        systemd_put_word(out, value, strlen(value));
        buf_putc(out, '\n');
}

void systemd_put_flag(struct buf *out, const char *name, int value)
{
        buf_printf(out, "property %s b %d\n", name, value);
}

static void put_number(struct buf *out, const char *name, uint64_t value)
{
        buf_printf(out, "property? %s t %llu\n", name, (unsigned long long)value);
}

/* ---- values ---- */

struct props {
        struct buf *out;
        uint64_t period; /* of the CPU quota, us; 0: not given */
        uint64_t quota;  /* us; UINT64_MAX: none */
        bool has_quota;
};

static bool number_parse(const char *value, uint64_t *ret)
{
        if (str_eq(value, "max") || str_eq(value, "-1")) {
                *ret = UINT64_MAX; /* systemd's "infinity" */
                return true;
        }
        return str_to_u64(value, ret) == 0;
}

static void put_limit(struct props *p, const char *name, const char *value)
{
        uint64_t v;

        if (number_parse(value, &v))
                put_number(p->out, name, v);
}

/* systemd refuses 0, which linux.resources.unified may ask for. */
static void put_tasks(struct props *p, const char *name, const char *value)
{
        put_limit(p, name, str_eq(value, "0") ? "1" : value);
}

/* An idle cgroup is one of weight 0 (systemd 252). */
static void put_idle(struct props *p, const char *name, const char *value)
{
        if (str_eq(value, "1"))
                put_number(p->out, name, 0);
}

static void put_oom_group(struct props *p, const char *name, const char *value)
{
        systemd_put_property(p->out, name, "s", 1);
        buf_printf(p->out, " %s\n", str_eq(value, "1") ? "kill" : "continue");
}

/* A list of numbers as a bit mask, lowest byte first. */
static void put_mask(struct props *p, const char *name, const char *value)
{
        struct bitlist list;

        if (bitlist_parse(value, &list) < 0 || list.n == 0)
                return;
        systemd_put_property(p->out, name, "ay", 1);
        buf_putc(p->out, ' ');
        for (unsigned i = 0; i < list.n; i += 8) {
                unsigned byte = 0;

                for (unsigned bit = 0; bit < 8 && i + bit < list.n; bit++)
                        byte |= (unsigned)bitlist_has(&list, i + bit) << bit;
                buf_printf(p->out, "%02x", byte);
        }
        buf_putc(p->out, '\n');
}

static void take_quota(struct props *p, const char *name, const char *value)
{
        p->has_quota = number_parse(value, &p->quota);
}

static void take_period(struct props *p, const char *name, const char *value)
{
        str_to_u64(value, &p->period);
}

/* cpu.max: "QUOTA [PERIOD]". */
static void take_cpu_max(struct props *p, const char *name, const char *value)
{
        char quota[24] = "", period[24] = "";

        sscanf(value, "%23s %23s", quota, period);
        take_quota(p, name, quota);
        take_period(p, name, period);
}

/* systemd counts in whole per cents of a CPU: rounded up, so that a cgroup below may have what
 * it was promised. */
static void put_quota(struct props *p)
{
        uint64_t period = p->period ? p->period : 100000, per_second = UINT64_MAX;

        if (p->period)
                put_number(p->out, "CPUQuotaPeriodUSec", p->period);
        if (!p->has_quota)
                return;
        if (p->quota < UINT64_MAX / 1000000) {
                per_second = p->quota * 1000000 / period;
                per_second = (per_second + 9999) / 10000 * 10000;
        }
        put_number(p->out, "CPUQuotaPerSecUSec", per_second);
}

static const struct {
        const char *file, *property;
        void (*put)(struct props *p, const char *name, const char *value);
} table[] = {
        { "memory.max", "MemoryMax", put_limit },
        { "memory.high", "MemoryHigh", put_limit },
        { "memory.low", "MemoryLow", put_limit },
        { "memory.min", "MemoryMin", put_limit },
        { "memory.swap.max", "MemorySwapMax", put_limit },
        { "memory.zswap.max", "MemoryZSwapMax", put_limit },
        { "memory.oom.group", "OOMPolicy", put_oom_group },
        { "memory.limit_in_bytes", "MemoryLimit", put_limit },
        { "cpu.weight", "CPUWeight", put_limit },
        { "cpu.shares", "CPUShares", put_limit },
        { "cpu.idle", "CPUWeight", put_idle },
        { "cpu.max", NULL, take_cpu_max },
        { "cpu.cfs_quota_us", NULL, take_quota },
        { "cpu.cfs_period_us", NULL, take_period },
        { "cpuset.cpus", "AllowedCPUs", put_mask },
        { "cpuset.mems", "AllowedMemoryNodes", put_mask },
        { "pids.max", "TasksMax", put_tasks },
        { "io.weight", "IOWeight", put_limit },
        { "blkio.weight", "BlockIOWeight", put_limit },
};

/* ---- devices ---- */

/* "Character devices:\n  1 mem\n...\n\nBlock devices:\n": the name of a major. */
static bool major_name(const char *devices, char type, int64_t major, char *buf, size_t cap)
{
        const char *at = devices ? strstr(devices, type == 'c' ? "Character" : "Block") : NULL;
        long long number;
        char name[64];

        for (at = at ? strchr(at, '\n') : NULL; at && at[1] && at[1] != '\n';
             at = strchr(at + 1, '\n'))
                if (sscanf(at + 1, "%lld %63s", &number, name) == 2 && number == major) {
                        snprintf(buf, cap, "%s", name);
                        return true;
                }
        if (type != 'c' || major != 136)
                return false;
        snprintf(buf, cap, "pts");
        return true;
}

/* The specifier of DeviceAllow=, or false where it has no words for the rule. */
static bool device_text(const struct device_rule *r, char type, const char *devices, char *buf,
                        size_t cap)
{
        const char *kind = type == 'c' ? "char" : "block";
        char name[64];

        if (r->major >= 0 && r->minor >= 0)
                return snprintf(buf, cap, "/dev/%s/%lld:%lld", kind, (long long)r->major,
                                (long long)r->minor) > 0;
        if (r->major < 0 && r->minor < 0)
                return snprintf(buf, cap, "%s-*", kind) > 0;
        if (r->major >= 0 && major_name(devices, type, r->major, name, sizeof name))
                return snprintf(buf, cap, "%s-%s", kind, name) > 0;
        return false;
}

static void put_device(struct buf *out, const struct device_rule *r, char type, const char *devices)
{
        char text[96];

        if ((r->type != 'a' && r->type != type) ||
            !device_text(r, type, devices, text, sizeof text))
                return;
        systemd_put_word(out, text, strlen(text));
        buf_printf(out, " %s%s%s", r->access & DEVICE_READ ? "r" : "",
                   r->access & DEVICE_WRITE ? "w" : "", r->access & DEVICE_MKNOD ? "m" : "");
}

static bool is_total(const struct device_rule *r)
{
        return r->type == 'a' && r->major < 0 && r->minor < 0 && r->access == DEVICE_ALL;
}

/* A list of what is allowed. Denials within it, which DeviceAllow= has no words for, are
 * enforced by what cgroup_plan_apply() puts in place; a list that allows everything but some is
 * left to it altogether. */
static void put_devices(struct props *p, const struct cgroup_plan *plan, const char *devices)
{
        size_t first = 0;

        if (plan->n_rules == 0)
                return;
        for (size_t i = 0; i < plan->n_rules; i++)
                if (is_total(&plan->rules[i]))
                        first = i;
        if (is_total(&plan->rules[first]) && plan->rules[first].allow)
                return;
        buf_puts(p->out, "property DevicePolicy s strict\n");
        systemd_put_property(p->out, "DeviceAllow", "a(ss)", 0);
        for (size_t i = first; i < plan->n_rules; i++) {
                if (!plan->rules[i].allow)
                        continue;
                put_device(p->out, &plan->rules[i], 'c', devices);
                put_device(p->out, &plan->rules[i], 'b', devices);
        }
        buf_putc(p->out, '\n');
}

int systemd_properties(const struct cgroup_plan *plan, const char *devices, struct buf *out,
                       struct err *e)
{
        struct props p = { .out = out };

        for (size_t i = 0; i < plan->n; i++)
                for (size_t k = 0; k < ARRAY_SIZE(table); k++)
                        if (str_eq(table[k].file, plan->v[i].file))
                                table[k].put(&p, table[k].property, plan->v[i].value);
        put_quota(&p);
        put_devices(&p, plan, devices);
        return 0;
}
