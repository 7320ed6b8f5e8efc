/* linux.resources.devices: what each rule means on v1 (devices.allow and devices.deny, in order)
 * and on v2 (one program, see kernel/bpf-device.h).
 *
 * D1. The list starts from "deny everything": a container never inherits its parent's devices
 *     unless a rule says so. The runtime's own list (what every container's /dev needs) is added
 *     last, as runc and crun do it, so no rule can take it away.
 * D2. v1 keeps a set of exceptions to a default, and a write changes only an entry for exactly
 *     the same device: a hole in a wildcard can't be expressed, the kernel would ignore it in
 *     silence. It is an error here. */
#include <string.h>

#include "base/str.h"
#include "oci/plan-cgroup-internal.h"

/* runc's list: mknod of anything (a node alone opens nothing), null, zero, full, tty, random,
 * urandom, ptmx and the pseudo terminals. 5:1, the host's console, isn't one of them: a
 * container's /dev/console is a pseudo terminal bound over it. */
static const struct device_rule own_rules[] = {
        { true, 'c', -1, -1, DEVICE_MKNOD }, { true, 'b', -1, -1, DEVICE_MKNOD },
        { true, 'c', 1, 3, DEVICE_ALL },     { true, 'c', 1, 5, DEVICE_ALL },
        { true, 'c', 1, 7, DEVICE_ALL },     { true, 'c', 1, 8, DEVICE_ALL },
        { true, 'c', 1, 9, DEVICE_ALL },     { true, 'c', 5, 0, DEVICE_ALL },
        { true, 'c', 5, 2, DEVICE_ALL },     { true, 'c', 136, -1, DEVICE_ALL },
};

static bool is_total(const struct device_rule *r)
{
        return r->type == 'a' && r->major < 0 && r->minor < 0 && r->access == DEVICE_ALL;
}

static int access_parse(const char *text, uint8_t *ret)
{
        uint8_t access = 0;

        for (const char *s = text; s && *s; s++) {
                if (*s != 'r' && *s != 'w' && *s != 'm')
                        return -1;
                access |= *s == 'r' ? DEVICE_READ : *s == 'w' ? DEVICE_WRITE : DEVICE_MKNOD;
        }
        *ret = access;
        return access ? 0 : -1;
}

static int rule_parse(struct cgroup_planner *p, size_t i, const char *field,
                      struct device_rule *ret)
{
        const struct spec_device_rule *d = &p->r->devices[i];

        *ret = (struct device_rule){
                .allow = d->allow,
                .type = d->type ? d->type : 'a',
                .major = d->major.set ? d->major.v : -1,
                .minor = d->minor.set ? d->minor.v : -1,
        };
        if (access_parse(d->access, &ret->access) < 0)
                return plan_invalid(p, field, "access '%.20s' is not made of r, w and m",
                                    d->access ? d->access : "");
        if (ret->type != 'a' && ret->type != 'b' && ret->type != 'c')
                return plan_invalid(p, field, "type is none of a, b and c");
        if (ret->major < -1 || ret->minor < -1 || ret->major > UINT32_MAX ||
            ret->minor > UINT32_MAX)
                return plan_invalid(p, field, "no device has the number %lld:%lld",
                                    (long long)ret->major, (long long)ret->minor);
        return 0;
}

/* ---- v1 ---- */

static const char *rule_text(struct arena *a, const struct device_rule *r)
{
        char major[24] = "*", minor[24] = "*", access[4];
        size_t n = 0;

        if (r->major >= 0)
                snprintf(major, sizeof major, "%lld", (long long)r->major);
        if (r->minor >= 0)
                snprintf(minor, sizeof minor, "%lld", (long long)r->minor);
        if (r->access & DEVICE_READ)
                access[n++] = 'r';
        if (r->access & DEVICE_WRITE)
                access[n++] = 'w';
        if (r->access & DEVICE_MKNOD)
                access[n++] = 'm';
        access[n] = 0;
        return arena_printf(a, "%c %s:%s %s", r->type, major, minor, access);
}

static bool same_device(const struct device_rule *a, const struct device_rule *b)
{
        return a->type == b->type && a->major == b->major && a->minor == b->minor;
}

static bool overlaps(const struct device_rule *a, const struct device_rule *b)
{
        return (a->type == b->type || a->type == 'a' || b->type == 'a') &&
               (a->major == b->major || a->major < 0 || b->major < 0) &&
               (a->minor == b->minor || a->minor < 0 || b->minor < 0) && a->access & b->access;
}

/* D2: rule i takes away from (or gives back to) an earlier rule that it doesn't equal.
 * by_default is what the last total rule said; only rules against it are exceptions that others
 * can dent. */
static int hole_check(struct cgroup_planner *p, const struct device_rule *rules, size_t i,
                      bool by_default, const char *field)
{
        if (rules[i].allow != by_default)
                return 0;
        for (size_t k = i; k-- > 0 && !is_total(&rules[k]);)
                if (rules[k].allow != rules[i].allow && overlaps(&rules[k], &rules[i]) &&
                    !same_device(&rules[k], &rules[i])) {
                        err_set(p->e, ERR_UNSUPPORTED,
                                "linux.resources.%s: '%s' makes an exception within the earlier "
                                "'%s', which cgroup v1 can't express",
                                field, rule_text(p->a, &rules[i]), rule_text(p->a, &rules[k]));
                        return err_hint(p->e, "List the devices one by one, or use a host with "
                                              "cgroup v2.");
                }
        return 0;
}

static void v1_put(struct cgroup_planner *p, const struct device_rule *r, const char *field)
{
        const char *file = r->allow ? "devices.allow" : "devices.deny";
        struct device_rule one = *r;

        if (is_total(r) || r->type != 'a') {
                plan_put(p, CGROUP_DEVICES, 0, field, file, "%s",
                         is_total(r) ? "a" : rule_text(p->a, r));
                return;
        }
        /* The kernel takes "a" for everything, whatever numbers and accesses follow it. */
        for (size_t i = 0; i < 2; i++) {
                one.type = "cb"[i];
                plan_put(p, CGROUP_DEVICES, 0, field, file, "%s", rule_text(p->a, &one));
        }
}

static int plan_v1(struct cgroup_planner *p, const struct device_rule *rules, size_t n)
{
        size_t n_given = n - ARRAY_SIZE(own_rules), first = 0;
        bool by_default = false;

        for (size_t i = 0; i < n_given; i++)
                if (is_total(&rules[i]))
                        first = i;
        if (n_given == 0 || !is_total(&rules[first]))
                plan_put(p, CGROUP_DEVICES, 0, "devices", "devices.deny", "a"); /* D1 */
        else
                by_default = rules[first].allow;
        for (size_t i = first; i < n; i++) {
                const char *field = i < n_given ? arena_printf(p->a, "devices[%zu]", i) : "devices";

                if (i < n_given && !is_total(&rules[i]) &&
                    hole_check(p, rules, i, by_default, field) < 0)
                        return -1;
                v1_put(p, &rules[i], field);
        }
        return 0;
}

/* ---- both ---- */

/* Whether the given rules end in "allow everything": a privileged container. */
static bool allows_all(const struct device_rule *rules, size_t n)
{
        return n > 0 && is_total(&rules[n - 1]) && rules[n - 1].allow;
}

int plan_devices(struct cgroup_planner *p)
{
        size_t n_given = p->r->n_devices, n = n_given + ARRAY_SIZE(own_rules);
        struct device_rule *rules;
        int version;

        if (p->no_devices || (p->updates && n_given == 0))
                return 0;
        rules = arena_array(p->a, struct device_rule, n);
        for (size_t i = 0; i < n_given; i++)
                if (rule_parse(p, i, arena_printf(p->a, "devices[%zu]", i), &rules[i]) < 0)
                        return -1;
        memcpy(rules + n_given, own_rules, sizeof own_rules);
        /* A new cgroup allows what its parent does: nothing to write, and writing "a" would fail
         * in a container whose own devices are restricted. */
        if (!p->updates && allows_all(rules, n_given))
                return 0;
        version = n_given ? plan_need(p, CGROUP_DEVICES, "devices")
                          : (int)cgroup_version_of(p->c, CGROUP_DEVICES);
        if (version < 0)
                return -1;
        if (version == 0) { /* nobody asked, and there is no means: P2 does not apply */
                plan_warn(p, "this host can't restrict a container's access to devices");
                return 0;
        }
        p->out->rules = rules;
        p->out->n_rules = n;
        p->out->devices = version == 2;
        return version == 1 ? plan_v1(p, rules, n) : 0;
}
