#include "diag/drift.h"

#include "base/path.h"
#include "base/str.h"
#include "diag/fmt.h"
#include "diag/procfs.h"
#include "kernel/caps.h"

struct compare {
        struct facts *f;
        const struct spec *spec;
        uint64_t page;
        bool init; /* the target is the container's first process */
        bool (*exists)(const char *path);
};

static void verdict(struct compare *c, const char *what, bool same, const char *declared,
                    const char *effective)
{
        if (same)
                c->f->drift.agreed++;
        else
                facts_drift(c->f, what, declared, effective);
}

static const char *text(struct compare *c, struct num n, struct fmt (*known)(uint64_t))
{
        return n.is == NUM_ABSENT ? "none" : arena_strdup(c->f->arena, fmt_num(n, known).s);
}

static bool same_num(struct num a, struct num b)
{
        bool no_a = a.is == NUM_MAX || a.is == NUM_ABSENT, no_b = b.is == NUM_MAX;

        return num_known(a) && num_known(b) ? a.v == b.v : no_a && no_b;
}

/* declared: NUM_ABSENT where nothing was declared, which means unlimited. */
static void compare_num(struct compare *c, const char *what, struct num declared,
                        struct num effective, struct fmt (*known)(uint64_t))
{
        if (!num_known(effective) && effective.is != NUM_MAX)
                c->f->drift.skipped++;
        else
                verdict(c, what, same_num(declared, effective), text(c, declared, known),
                        text(c, effective, known));
}

static struct num limit_of(struct opt_i64 v)
{
        if (!v.set)
                return (struct num){ NUM_ABSENT, 0 };
        return v.v < 0 ? (struct num){ NUM_MAX, 0 } : num_of((uint64_t)v.v);
}

/* The container's own cgroup among the levels: the process may be in one below it. */
static const struct level *own_level(const struct compare *c, const struct levels *l)
{
        const char *name = c->f->owner.cgroup;
        const char *path = c->spec->linux_.cgroups_path;

        for (size_t i = 0; i < l->n; i++)
                if ((name && str_eq(path_base(l->v[i].path), name)) ||
                    (path && str_ends(l->v[i].path, path)))
                        return &l->v[i];
        return l->n ? &l->v[0] : NULL;
}

/* ---- resources ---- */

static void compare_memory(struct compare *c, const struct spec_memory *m)
{
        const struct consumes_facts *use = &c->f->consumes;
        const struct level *own = own_level(c, &use->memory);
        struct num limit = m ? limit_of(m->limit) : (struct num){ NUM_ABSENT, 0 }, swap;

        if (!own)
                return;
        if (num_known(limit) && c->page) /* the kernel counts pages */
                limit.v = limit.v / c->page * c->page;
        compare_num(c, "memory limit", limit, own->limit, fmt_bytes);
        if (!m || !m->swap.set || own != &use->memory.v[0])
                return;
        swap = limit_of(m->swap);
        /* OCI counts memory and swap together, as v1 does; v2 counts swap alone. */
        if (use->place[CGROUP_MEMORY].version == 2 && num_known(swap) && num_known(limit))
                swap.v = swap.v > limit.v ? swap.v - limit.v : 0;
        if (num_known(swap) && c->page)
                swap.v = swap.v / c->page * c->page;
        compare_num(c, "swap limit", swap, use->swap_limit, fmt_bytes);
}

static struct fmt fmt_us(uint64_t us)
{
        struct fmt f = fmt_u64(us);

        snprintf(f.s + strlen(f.s), sizeof f.s - strlen(f.s), "us");
        return f;
}

static void compare_cpu(struct compare *c, const struct spec_cpu *cpu)
{
        const struct consumes_facts *use = &c->f->consumes;
        const struct level *own = own_level(c, &use->cpu);
        struct num none = { NUM_ABSENT, 0 }, quota = cpu ? limit_of(cpu->quota) : none;

        if (!own)
                return;
        if (num_known(quota) && quota.v == 0)
                quota = none;
        compare_num(c, "cpu quota", quota, own->cpu_quota_us, fmt_us);
        if (cpu && cpu->period.set && cpu->period.v && num_known(quota))
                compare_num(c, "cpu period", num_of(cpu->period.v), own->cpu_period_us, fmt_us);
        if (!cpu || !cpu->shares.set || cpu->shares.v == 0)
                return;
        if (use->place[CGROUP_CPU].version == 1)
                compare_num(c, "cpu shares", num_of(MAX(cpu->shares.v, (uint64_t)2)),
                            own->cpu_weight, fmt_u64);
        else
                c->f->drift.skipped++; /* runtimes differ in converting shares to a weight */
}

static void compare_resources(struct compare *c)
{
        const struct spec_resources *r = c->spec->linux_.resources;
        const struct level *pids = own_level(c, &c->f->consumes.pids);
        struct num limit = r ? limit_of(r->pids_limit) : (struct num){ NUM_ABSENT, 0 };

        compare_memory(c, r ? r->memory : NULL);
        compare_cpu(c, r ? r->cpu : NULL);
        if (num_known(limit) && limit.v == 0) /* a limit in 1.3, none before */
                c->f->drift.skipped++;
        else if (pids)
                compare_num(c, "pids limit", limit, pids->limit, fmt_u64);
}

/* ---- namespaces and names ---- */

static void compare_namespaces(struct compare *c)
{
        const struct spec_namespace *declared = c->spec->linux_.namespaces;

        for (int ns = 0; ns < NS_MAX; ns++) {
                enum ns_relation is = c->f->sees.ns[ns].relation;

                if (is == NS_REL_ABSENT || (declared[ns].present && declared[ns].path))
                        continue; /* joined by path: not ours to tell */
                if (is != NS_REL_OWN && is != NS_REL_HOST) {
                        c->f->drift.skipped++;
                        continue;
                }
                verdict(c, arena_printf(c->f->arena, "%s namespace", ns_proc_names[ns]),
                        declared[ns].present == (is == NS_REL_OWN),
                        declared[ns].present ? "own" : "shared",
                        is == NS_REL_OWN ? "own" : "shared with the host");
        }
        if (c->spec->hostname && c->f->sees.hostname)
                verdict(c, "host name", str_eq(c->spec->hostname, c->f->sees.hostname),
                        c->spec->hostname, c->f->sees.hostname);
}

/* ---- the process ---- */

static uint64_t mask_of(const struct strings *names)
{
        uint64_t mask = 0;

        for (size_t i = 0; i < names->n; i++) {
                int cap = caps_number(names->v[i]);

                if (cap >= 0)
                        mask |= (uint64_t)1 << cap;
        }
        return mask;
}

static const char *mask_text(struct compare *c, const char *lead, uint64_t mask)
{
        const char *s = lead;

        for (unsigned i = 0; i < 64; i++)
                if (mask >> i & 1)
                        s = arena_printf(c->f->arena, "%s %s", s,
                                         caps_name(i) ? caps_name(i) + 4 : "unknown");
        return s;
}

static void compare_caps(struct compare *c, const struct spec_process *p)
{
        const struct does_facts *d = &c->f->does;
        uint64_t declared, more, fewer;

        if (!d->caps_known || !p->capabilities) {
                c->f->drift.skipped++;
                return;
        }
        declared = mask_of(&p->capabilities->bounding);
        more = d->cap_bounding & ~declared;
        fewer = declared & ~d->cap_bounding;
        if (more)
                facts_drift(c->f, "capabilities", "not granted", mask_text(c, "also", more));
        else if (fewer && c->init)
                facts_drift(c->f, "capabilities", mask_text(c, "also", fewer), "lacking");
        else
                c->f->drift.agreed++;
        if (d->cap_effective & ~d->cap_bounding & ~declared)
                facts_drift(c->f, "capabilities", "not granted",
                            mask_text(c, "effective beyond the bounding set:",
                                      d->cap_effective & ~d->cap_bounding & ~declared));
}

static void compare_seccomp(struct compare *c)
{
        const struct spec_seccomp *s = c->spec->linux_.seccomp;
        struct num mode = c->f->does.seccomp_mode;

        c->f->drift.seccomp = s ? s->default_action : NULL;
        if (!num_known(mode))
                c->f->drift.skipped++;
        else
                verdict(c, "seccomp", !s || mode.v == 2, s ? "a filter" : "none",
                        mode.v == 2 ? "a filter" : "off");
}

static void compare_rlimits(struct compare *c, const struct spec_process *p)
{
        const struct does_facts *d = &c->f->does;

        for (size_t i = 0; i < p->n_rlimits; i++) {
                const struct spec_rlimit *want = &p->rlimits[i];
                const char *name = str_after(want->type, "RLIMIT_");

                for (size_t k = 0; name && k < d->n_rlimits; k++) {
                        const struct rlimit_fact *is = &d->rlimits[k];
                        struct num soft = num_of(want->soft), hard = num_of(want->hard);

                        if (strcasecmp(name, is->name) != 0)
                                continue;
                        soft.is = want->soft == UINT64_MAX ? NUM_MAX : NUM_KNOWN;
                        hard.is = want->hard == UINT64_MAX ? NUM_MAX : NUM_KNOWN;
                        compare_num(c, arena_printf(c->f->arena, "rlimit %s", is->name), soft,
                                    is->soft, fmt_u64);
                        compare_num(c, arena_printf(c->f->arena, "rlimit %s, hard", is->name), hard,
                                    is->hard, fmt_u64);
                }
        }
}

static const char *signed_text(struct compare *c, int64_t v)
{
        return arena_printf(c->f->arena, "%lld", (long long)v);
}

static void compare_init(struct compare *c, const struct spec_process *p)
{
        const struct does_facts *d = &c->f->does;

        compare_rlimits(c, p);
        if (num_known(d->uid_inside))
                compare_num(c, "user id", num_of(p->user.uid), d->uid_inside, fmt_u64);
        if (num_known(d->gid_inside))
                compare_num(c, "group id", num_of(p->user.gid), d->gid_inside, fmt_u64);
        if (p->oom_score_adj.set && num_known(d->oom_score_adj_plus1000)) {
                int64_t is = (int64_t)d->oom_score_adj_plus1000.v - 1000;

                verdict(c, "oom_score_adj", is == p->oom_score_adj.v,
                        signed_text(c, p->oom_score_adj.v), signed_text(c, is));
        }
}

static void compare_process(struct compare *c)
{
        const struct spec_process *p = c->spec->process;
        const struct does_facts *d = &c->f->does;
        const char *label;

        if (!p)
                return;
        compare_caps(c, p);
        compare_seccomp(c);
        if (num_known(d->no_new_privs))
                verdict(c, "no_new_privs", !p->no_new_privileges || d->no_new_privs.v == 1,
                        p->no_new_privileges ? "on" : "off", d->no_new_privs.v ? "on" : "off");
        label = p->apparmor_profile ? p->apparmor_profile : p->selinux_label;
        if (!str_empty(label))
                verdict(c, "LSM label", d->lsm == LSM_LABEL && str_after(d->lsm_label, label),
                        label,
                        d->lsm == LSM_LABEL  ? d->lsm_label
                        : d->lsm == LSM_NONE ? "none: no such module is active"
                                             : "unknown");
        if (c->init)
                compare_init(c, p);
}

/* ---- mounts ---- */

static const struct mount_fact *mount_on(const struct fs_facts *fs, const char *point)
{
        for (size_t i = fs->n; i > 0; i--)
                if (!fs->mounts[i - 1].hidden && str_eq(fs->mounts[i - 1].point, point))
                        return &fs->mounts[i - 1];
        return NULL;
}

/* A destination with a link in it ("/var/run/x") is mounted elsewhere: its name is what remains. */
static const struct mount_fact *mount_named(const struct fs_facts *fs, const char *destination)
{
        for (size_t i = 0; i < fs->n; i++)
                if (str_eq(path_base(fs->mounts[i].point), path_base(destination)))
                        return &fs->mounts[i];
        return NULL;
}

static const char *clean(struct compare *c, const char *path)
{
        char buf[4096];

        return path_clean(path, buf, sizeof buf) == 0 ? arena_strdup(c->f->arena, buf) : path;
}

static bool wants(const struct spec_mount *m, const char *option)
{
        for (size_t i = 0; i < m->options.n; i++)
                if (str_eq(m->options.v[i], option))
                        return true;
        return false;
}

/* With v1, "cgroup" is a tmpfs that holds one mount for each hierarchy: those are what counts. */
static bool cgroups_read_only(const struct fs_facts *fs, const struct mount_fact *is)
{
        if (is->ro || !str_eq(is->type, "tmpfs"))
                return is->ro;
        for (size_t i = 0; i < fs->n; i++)
                if (!fs->mounts[i].hidden && fs->mounts[i].parent == is->id && !fs->mounts[i].ro)
                        return false;
        return true;
}

static void compare_declared_mounts(struct compare *c)
{
        const struct fs_facts *fs = &c->f->fs;

        for (size_t i = 0; i < c->spec->n_mounts; i++) {
                const struct spec_mount *want = &c->spec->mounts[i];
                const char *point = clean(c, want->destination);
                const struct mount_fact *is = mount_on(fs, point);

                if (!is)
                        is = mount_named(fs, point);
                if (!is)
                        facts_drift(c->f, arena_printf(c->f->arena, "mount %s", point), "mounted",
                                    "not mounted");
                else if (wants(want, "ro") || wants(want, "rro"))
                        verdict(c, arena_printf(c->f->arena, "mount %s", point),
                                want->type && str_eq(want->type, "cgroup")
                                        ? cgroups_read_only(fs, is)
                                        : is->ro,
                                "read-only", "writable");
                else
                        c->f->drift.agreed++;
        }
}

static bool declared_mount(struct compare *c, const struct mount_fact *m)
{
        for (size_t i = 0; i < c->spec->n_mounts; i++) {
                const char *point = clean(c, c->spec->mounts[i].destination);

                if (path_below(m->point, point) || str_eq(path_base(point), path_base(m->point)))
                        return true;
        }
        return false;
}

static void compare_present_mounts(struct compare *c)
{
        const struct fs_facts *fs = &c->f->fs;

        for (size_t i = 0; i < fs->n; i++) {
                const struct mount_fact *m = &fs->mounts[i];

                if (m->role == MOUNT_DATA && !m->hidden && !declared_mount(c, m) &&
                    !path_below(m->point, "/dev"))
                        facts_drift(c->f, arena_printf(c->f->arena, "mount %s", m->point), "none",
                                    m->host_path ? m->host_path : m->type);
        }
}

/* The innermost mount that shows path. */
static const struct mount_fact *mount_over(const struct fs_facts *fs, const char *path)
{
        const struct mount_fact *best = NULL;

        for (size_t i = 0; i < fs->n; i++) {
                const struct mount_fact *m = &fs->mounts[i];

                if (!m->hidden && path_below(path, m->point) &&
                    (!best || strlen(m->point) >= strlen(best->point)))
                        best = m;
        }
        return best;
}

static void compare_protections(struct compare *c)
{
        const struct spec_linux *l = &c->spec->linux_;
        const struct fs_facts *fs = &c->f->fs;

        for (size_t i = 0; i < l->masked_paths.n; i++) {
                const char *path = clean(c, l->masked_paths.v[i]);
                const struct mount_fact *m = mount_over(fs, path);

                /* Only kernel paths: whether the image has another is not looked up. */
                if ((!str_after(path, "/proc/") && !str_after(path, "/sys/")) || !c->exists(path))
                        continue;
                verdict(c, arena_printf(c->f->arena, "masked path %s", path),
                        m && m->role == MOUNT_MASKED, "masked", "readable");
        }
        for (size_t i = 0; i < l->readonly_paths.n; i++) {
                const char *path = clean(c, l->readonly_paths.v[i]);
                const struct mount_fact *m = mount_over(fs, path);

                if ((!str_after(path, "/proc/") && !str_after(path, "/sys/")) || !c->exists(path))
                        continue;
                verdict(c, arena_printf(c->f->arena, "read-only path %s", path),
                        m && (m->ro || m->role == MOUNT_MASKED), "read-only", "writable");
        }
}

static void compare_mounts(struct compare *c)
{
        const struct fs_facts *fs = &c->f->fs;

        if (fs->is != NUM_KNOWN || c->f->sees.ns[NS_MOUNT].relation != NS_REL_OWN) {
                c->f->drift.skipped++;
                return;
        }
        if (fs->root >= 0)
                verdict(c, "root file system", !c->spec->root.readonly || fs->mounts[fs->root].ro,
                        c->spec->root.readonly ? "read-only" : "writable",
                        fs->mounts[fs->root].ro ? "read-only" : "writable");
        compare_declared_mounts(c);
        compare_present_mounts(c);
        compare_protections(c);
}

void drift_compare(struct facts *f, const struct spec *s, uint64_t page,
                   bool (*exists)(const char *path))
{
        struct compare c = { f, s, page, f->owner.is_init, exists };

        f->drift.checked = true;
        compare_resources(&c);
        compare_namespaces(&c);
        compare_process(&c);
        compare_mounts(&c);
}
