/* CONSUMES: use against the limit that is hit first, and whose limit that is. */
#include <string.h>

#include "base/str.h"
#include "diag/fmt.h"
#include "diag/render-rows.h"

static bool is_root(const struct place *p)
{
        return p->dir && p->depth == 0;
}

static void no_place(struct page *p, const struct place *at)
{
        page_item(p, PAGE_DIM, "%s",
                  at->version == 0 ? "unavailable: no hierarchy has this controller"
                  : !at->path      ? "unavailable: its cgroup is not known"
                                   : "unavailable: no mount here shows its cgroup");
}

static const char *holder(const struct levels *l, int i)
{
        return i == l->own || i == 0 ? "own" : "PARENT's";
}

/* "(own limit)" or "(PARENT's limit: /pod)" */
static void whose(struct page *p, const struct levels *l, int i, const char *what)
{
        if (i == l->own || i == 0)
                page_word(p, PAGE_DIM, "(own %s)", what);
        else
                page_word(p, PAGE_BAD, "(PARENT's %s: %s)", what, l->v[i].path);
}

/* ---- cpu ---- */

static struct fmt cpus_of(const struct level *l)
{
        uint64_t period = num_known(l->cpu_period_us) ? l->cpu_period_us.v : 0;

        return fmt_milli(period ? l->cpu_quota_us.v * 1000 / period : 0);
}

static unsigned percent(uint64_t part, uint64_t whole)
{
        return whole ? (unsigned)((part * 200 + whole) / (2 * whole)) : 0;
}

/* One level's throttling: over the sample if it had periods in it, else since it was made. */
static void throttling(struct page *p, const struct levels *l, int i, uint64_t sample_us)
{
        const struct level *v = &l->v[i];
        const char *who = holder(l, i);

        if (sample_us && num_known(v->d_periods) && v->d_periods.v > 0) {
                unsigned share = percent(v->d_throttled.v, v->d_periods.v);

                page_item(p,
                          share >= 25  ? PAGE_BAD
                          : share >= 5 ? PAGE_WARN
                                       : PAGE_PLAIN,
                          "throttled in %u%% of periods now (%s quota)", share, who);
        }
        if (num_known(v->throttled) && v->throttled.v == 0) {
                page_item(p, PAGE_PLAIN, "never throttled");
        } else if (num_known(v->periods) && v->periods.v > 0 && num_known(v->throttled)) {
                unsigned share = percent(v->throttled.v, v->periods.v);

                page_item(p, share >= 25 ? PAGE_WARN : PAGE_PLAIN,
                          "%u%% since start (%llu of %llu%s%s)", share,
                          (unsigned long long)v->throttled.v, (unsigned long long)v->periods.v,
                          v->throttled_us.v ? ", " : "",
                          v->throttled_us.v ? fmt_ms(v->throttled_us.v / 1000).s : "");
        }
}

static void cpu_limit(struct page *p, const struct consumes_facts *c)
{
        const struct levels *l = &c->cpu;

        if (l->binding >= 0) {
                page_word(p, PAGE_PLAIN, "of %s CPUs", cpus_of(&l->v[l->binding]).s);
                whose(p, l, l->binding, "quota");
                if (l->binding != l->own && l->own >= 0 && num_known(l->v[l->own].cpu_quota_us))
                        page_item(p, PAGE_PLAIN, "own quota %s", cpus_of(&l->v[l->own]).s);
        } else if (num_known(c->cpus_online)) {
                page_word(p, PAGE_PLAIN, "of %llu CPUs, no quota%s",
                          (unsigned long long)c->cpus_online.v, l->cut ? " seen from here" : "");
        }
        if (num_known(c->cpus_allowed) && num_known(c->cpus_online) &&
            c->cpus_allowed.v < c->cpus_online.v)
                page_item(p, PAGE_WARN, "may run on %s only", c->cpu_list);
}

static void row_cpu(struct page *p, const struct facts *f)
{
        const struct consumes_facts *c = &f->consumes;
        const struct place *at = &c->place[CGROUP_CPU];
        const struct place *counted =
                c->place[CGROUP_CPUACCT].version == 1 ? &c->place[CGROUP_CPUACCT] : &c->unified;
        bool whole_host = is_root(counted);
        struct num used = whole_host ? c->process_cpu_milli : c->cpu_milli;

        page_row(p, "cpu");
        if (num_known(used))
                page_item(p, PAGE_PLAIN, "%s", fmt_milli(used.v).s);
        else
                page_item(p, PAGE_PLAIN, c->sample_us ? "use unavailable" : "use not sampled");
        cpu_limit(p, c);
        if (!at->dir && at->version)
                no_place(p, at);
        for (size_t i = 0; i < c->cpu.n; i++)
                if ((int)i == c->cpu.binding ||
                    (num_known(c->cpu.v[i].throttled) && c->cpu.v[i].throttled.v > 0))
                        throttling(p, &c->cpu, (int)i, c->sample_us);
        if (num_known(c->d_throttled_by_parent_us) && c->d_throttled_by_parent_us.v > 0 &&
            c->cpu.binding > 0)
                page_item(p, PAGE_BAD, "held back %s in the sample by a parent",
                          fmt_ms(c->d_throttled_by_parent_us.v / 1000).s);
}

/* ---- memory ---- */

static void oom_items(struct page *p, const struct consumes_facts *c)
{
        const struct levels *l = &c->memory;

        if (num_known(c->events_oom_kill) && c->events_oom_kill.v)
                page_item(p, PAGE_BAD, "%llu OOM kills", (unsigned long long)c->events_oom_kill.v);
        for (size_t i = 1; i < l->n; i++)
                if (num_known(l->v[i].oom) && l->v[i].oom.v)
                        page_item(p, PAGE_WARN, "%llu times out of memory at PARENT %s",
                                  (unsigned long long)l->v[i].oom.v, l->v[i].path);
        if (num_known(c->events_high) && c->events_high.v)
                page_item(p, PAGE_WARN, "%llu times above memory.high",
                          (unsigned long long)c->events_high.v);
        if (num_known(c->oom_kill_disable) && c->oom_kill_disable.v)
                page_item(p, PAGE_BAD, "OOM killer off: it hangs instead");
        if (num_known(c->under_oom) && c->under_oom.v)
                page_item(p, PAGE_BAD, "OUT OF MEMORY now");
}

static void memory_detail(struct page *p, const struct consumes_facts *c)
{
        const struct {
                const char *name;
                struct num n;
                bool always;
        } parts[] = {
                { "anon", c->mem_anon, true },    { "file", c->mem_file, true },
                { "shmem", c->mem_shmem, false }, { "kernel", c->mem_kernel, false },
                { "peak", c->mem_peak, false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
                if (num_known(parts[i].n) && (parts[i].n.v || parts[i].always))
                        page_item(p, PAGE_PLAIN, "%s %s", parts[i].name, fmt_bytes(parts[i].n.v).s);
}

static void row_memory(struct page *p, const struct facts *f)
{
        const struct consumes_facts *c = &f->consumes;
        const struct place *at = &c->place[CGROUP_MEMORY];
        const struct levels *l = &c->memory;
        const struct level *own = l->own >= 0 ? &l->v[l->own] : NULL;

        page_row(p, "memory");
        if (!at->dir) {
                no_place(p, at);
        } else if (is_root(at) || !own) {
                page_item(p, PAGE_PLAIN, "process %s, not limited by a cgroup%s",
                          fmt_num(f->process.rss, fmt_bytes).s, l->cut ? " seen from here" : "");
        } else {
                bool near = num_known(own->limit) && own->usage.v >= own->limit.v / 20 * 19;

                page_item(p, near ? PAGE_BAD : PAGE_PLAIN, "%s", fmt_bytes(own->usage.v).s);
                if (l->binding >= 0) {
                        page_word(p, PAGE_PLAIN, "of %s", fmt_bytes(l->v[l->binding].limit.v).s);
                        whose(p, l, l->binding, "limit");
                        if (l->binding != l->own)
                                page_item(p, PAGE_PLAIN, "which holds %s, own limit %s",
                                          fmt_bytes(l->v[l->binding].usage.v).s,
                                          fmt_num(own->limit, fmt_bytes).s);
                } else {
                        page_word(p, PAGE_PLAIN, "(no limit%s)", l->cut ? " seen from here" : "");
                }
                if (l->own > 0)
                        page_item(p, PAGE_WARN, "counted together with all of %s", own->path);
                memory_detail(p, c);
                oom_items(p, c);
        }
}

static void row_swap(struct page *p, const struct facts *f)
{
        const struct consumes_facts *c = &f->consumes;
        bool v1 = c->place[CGROUP_MEMORY].version == 1;

        if (is_root(&c->place[CGROUP_MEMORY]) || c->memory.own < 0)
                return;
        if (num_known(c->swap_usage) && c->swap_usage.v == 0 && !num_known(c->swap_limit) &&
            !p->full)
                return;
        page_row(p, "swap");
        page_item(p, PAGE_PLAIN, "%s", fmt_num(c->swap_usage, fmt_bytes).s);
        if (num_known(c->swap_limit))
                page_word(p, PAGE_PLAIN, v1 ? "(memory and swap together at most %s)" : "of %s",
                          fmt_bytes(c->swap_limit.v).s);
        else if (c->swap_limit.is == NUM_MAX)
                page_word(p, PAGE_PLAIN, "(no limit)");
}

/* ---- the rest ---- */

static void row_pids(struct page *p, const struct facts *f)
{
        const struct consumes_facts *c = &f->consumes;
        const struct place *at = &c->place[CGROUP_PIDS];
        const struct levels *l = &c->pids;
        const struct level *own = l->own >= 0 ? &l->v[l->own] : NULL;

        page_row(p, "pids");
        if (!at->dir) {
                no_place(p, at);
        } else if (is_root(at) || !own) {
                page_item(p, PAGE_PLAIN, "not limited by a cgroup");
        } else {
                page_item(p, PAGE_PLAIN, "%llu", (unsigned long long)own->usage.v);
                if (l->binding >= 0) {
                        page_word(p, PAGE_PLAIN, "of %llu",
                                  (unsigned long long)l->v[l->binding].limit.v);
                        whose(p, l, l->binding, "limit");
                } else {
                        page_word(p, PAGE_PLAIN, "(no limit)");
                }
        }
        if (num_known(c->pids_events_max) && c->pids_events_max.v && !is_root(at))
                page_item(p, PAGE_BAD, "refused %llu times",
                          (unsigned long long)c->pids_events_max.v);
        page_item(p, PAGE_PLAIN, "%s thread%s here", fmt_num(f->process.threads, fmt_u64).s,
                  num_known(f->process.threads) && f->process.threads.v == 1 ? "" : "s");
        if (num_known(f->process.fds))
                page_item(p, PAGE_PLAIN, "%llu open files", (unsigned long long)f->process.fds.v);
}

static struct fmt rate(struct num bytes, uint64_t us)
{
        struct fmt f = fmt_num(bytes, fmt_bytes);

        if (num_known(bytes) && us) {
                f = fmt_bytes((uint64_t)((double)bytes.v * 1e6 / (double)us));
                snprintf(f.s + strlen(f.s), sizeof f.s - strlen(f.s), "/s");
        }
        return f;
}

static void row_io(struct page *p, const struct facts *f)
{
        const struct consumes_facts *c = &f->consumes;
        const struct place *at = &c->place[CGROUP_IO];

        page_row(p, "io");
        if (!at->dir) {
                no_place(p, at);
                return;
        }
        if (is_root(at)) {
                page_item(p, PAGE_PLAIN, "not limited by a cgroup");
                return;
        }
        page_item(p, PAGE_PLAIN, "read %s", fmt_num(c->io_read, fmt_bytes).s);
        if (c->sample_us)
                page_word(p, PAGE_PLAIN, "(now %s)", rate(c->d_io_read, c->sample_us).s);
        page_item(p, PAGE_PLAIN, "written %s", fmt_num(c->io_write, fmt_bytes).s);
        if (c->sample_us)
                page_word(p, PAGE_PLAIN, "(now %s)", rate(c->d_io_write, c->sample_us).s);
        if (num_known(c->io_limits) && c->io_limits.v)
                page_item(p, PAGE_WARN, "%llu device limits", (unsigned long long)c->io_limits.v);
}

static void row_psi(struct page *p, const struct facts *f)
{
        const struct consumes_facts *c = &f->consumes;

        page_row(p, "pressure");
        if (c->psi_is_host) {
                page_item(p, PAGE_DIM, "unavailable: no v2 cgroup of its own");
                return;
        }
        if (!c->unified.dir) {
                page_item(p, PAGE_DIM, "unavailable: %s",
                          c->unified.version ? "its v2 cgroup can't be seen here"
                                             : "no v2 hierarchy");
                return;
        }
        for (int i = 0; i < PSI_MAX; i++) {
                struct num avg = c->psi[i].some.avg10;

                if (num_known(avg))
                        page_item(p, avg.v >= 2000 ? PAGE_WARN : PAGE_PLAIN, "%s %llu%%",
                                  psi_names[i], (unsigned long long)(avg.v + 50) / 100);
                else
                        page_item(p, PAGE_DIM, "%s unavailable", psi_names[i]);
        }
        page_word(p, PAGE_DIM, "(of the last 10 s)");
}

static void versions(struct page *p, const struct consumes_facts *c, int version)
{
        bool any = false;

        for (int i = 0; i < CGROUP_CONTROLLER_MAX; i++) {
                const char *name = cgroup_controller_name((enum cgroup_controller)i, version == 2);

                if (c->place[i].version != version || !name)
                        continue;
                if (!any)
                        page_item(p, PAGE_DIM, "v%d:", version);
                any = true;
                page_word(p, PAGE_DIM, "%s", name);
        }
}

static void row_cgroups(struct page *p, const struct facts *f)
{
        const struct consumes_facts *c = &f->consumes;
        const char *layout = c->layout ? c->layout : "unavailable";

        page_row(p, "cgroups");
        if (c->unified.path && !str_eq(c->unified.path, "/"))
                page_path(p, PAGE_PLAIN, "", c->unified.path);
        else if (c->place[CGROUP_MEMORY].path)
                page_path(p, PAGE_PLAIN, "memory in ", c->place[CGROUP_MEMORY].path);
        page_item(p, PAGE_PLAIN, "%s", layout);
        if (!str_eq(layout, "hybrid") && !p->full)
                return;
        versions(p, c, 1);
        versions(p, c, 2);
}

void render_consumes(struct page *p, const struct facts *f)
{
        page_section(p, "CONSUMES");
        row_cpu(p, f);
        row_memory(p, f);
        row_swap(p, f);
        row_pids(p, f);
        row_io(p, f);
        row_psi(p, f);
        row_cgroups(p, f);
}
