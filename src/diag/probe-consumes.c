/* What it consumes: each controller's numbers where its own version keeps them, the ancestors'
 * limits, pressure; read twice where a sample is wanted. What a version does not have stays
 * unknown. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "base/fd.h"
#include "base/str.h"
#include "diag/cgroup-place.h"
#include "diag/host.h"
#include "diag/probe.h"
#include "diag/procfs.h"

/* v1 has no "max": its unlimited is the largest page count, in bytes. */
#define V1_UNLIMITED (INT64_MAX - (int64_t)(1 << 20))

static const struct num absent = { NUM_ABSENT, 0 };

/* Counters that only their growth gives meaning to. */
struct counters {
        uint64_t at_us;
        struct num cpu_ns, process_ns, parent_throttled_us, io_read, io_write;
        struct num psi[PSI_MAX][2];
        struct num (*level)[3]; /* periods, throttled, throttled_us of each cpu level */
};

struct reader {
        struct facts *f;
        const struct probe_host *h;
        int *cpu_dirs; /* of the cpu levels, for the second reading */
};

static int dir_open(const char *path)
{
        return path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

static int level_open(struct facts *f, const struct place *p, const struct level *l)
{
        return dir_open(cgroup_level_dir(f->arena, p, l));
}

static const char *text_at(struct facts *f, int dir, const char *name, enum num_state *ret_is)
{
        enum num_state is = NUM_ABSENT;
        const char *text = dir < 0 ? NULL : file_text(f->arena, dir, name, TEXT_LARGE, NULL, &is);

        if (ret_is)
                *ret_is = is;
        if (is == NUM_DENIED)
                f->denied = true;
        return text;
}

static struct num num_at(struct facts *f, int dir, const char *name)
{
        enum num_state is;
        const char *text = text_at(f, dir, name, &is);

        return text ? text_one(text) : (struct num){ is, 0 };
}

static struct num key_of(const char *text, enum num_state is, const char *key)
{
        return text ? text_num(text, key, ' ') : (struct num){ is, 0 };
}

static struct num v1_limit(struct num n)
{
        return num_known(n) && n.v >= (uint64_t)V1_UNLIMITED ? (struct num){ NUM_MAX, 0 } : n;
}

static struct num scaled(struct num n, uint64_t multiply, uint64_t divide)
{
        if (num_known(n))
                n.v = n.v * multiply / divide;
        return n;
}

static uint64_t now_us(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- cpu ---- */

static void cpu_stat(struct facts *f, int dir, int version, struct num out[3])
{
        enum num_state is;
        const char *text = text_at(f, dir, "cpu.stat", &is);

        out[0] = key_of(text, is, "nr_periods");
        out[1] = key_of(text, is, "nr_throttled");
        out[2] = version == 2 ? key_of(text, is, "throttled_usec")
                              : scaled(key_of(text, is, "throttled_time"), 1, 1000);
}

static void quota_v2(const char *text, struct level *l)
{
        struct span at = span_of(text), line, quota, period;
        uint64_t v;

        if (!span_next(&at, '\n', &line) || !span_word(&line, &quota) || !span_word(&line, &period))
                return;
        if (span_to_u64(period, 10, &v))
                l->cpu_period_us = num_of(v);
        if (span_eq(quota, "max"))
                l->cpu_quota_us = (struct num){ NUM_MAX, 0 };
        else if (span_to_u64(quota, 10, &v))
                l->cpu_quota_us = num_of(v);
}

static void cpu_level(struct facts *f, int dir, int version, struct level *l)
{
        l->cpu_quota_us = l->cpu_period_us = absent;
        if (version == 2) {
                const char *max = text_at(f, dir, "cpu.max", NULL);

                if (max)
                        quota_v2(max, l);
                l->cpu_weight = num_at(f, dir, "cpu.weight");
                return;
        }
        l->cpu_quota_us = num_at(f, dir, "cpu.cfs_quota_us");
        if (l->cpu_quota_us.is == NUM_BAD) /* -1 */
                l->cpu_quota_us.is = NUM_MAX;
        l->cpu_period_us = num_at(f, dir, "cpu.cfs_period_us");
        l->cpu_weight = num_at(f, dir, "cpu.shares");
}

static void read_cpu(struct reader *r)
{
        struct facts *f = r->f;
        struct consumes_facts *c = &f->consumes;
        const struct place *p = &c->place[CGROUP_CPU];

        c->cpu = cgroup_levels(f->arena, p);
        r->cpu_dirs = arena_array(f->arena, int, FACTS_LEVELS_MAX);
        for (size_t i = 0; i < c->cpu.n; i++) {
                r->cpu_dirs[i] = level_open(f, p, &c->cpu.v[i]);
                cpu_level(f, r->cpu_dirs[i], p->version, &c->cpu.v[i]);
        }
        cgroup_bind_cpu(&c->cpu);
        c->cpu_burst_us = c->cpu.n ? num_at(f, r->cpu_dirs[0],
                                            p->version == 2 ? "cpu.max.burst" : "cpu.cfs_burst_us")
                                   : absent;
}

/* ---- memory ---- */

static const struct memory_files {
        const char *usage, *limit, *high, *peak, *low, *anon, *file, *shmem, *inactive_file,
                *kernel;
} memory_files[] = {
        [1] = { "memory.usage_in_bytes", "memory.limit_in_bytes", "memory.soft_limit_in_bytes",
                "memory.max_usage_in_bytes", NULL, "total_rss", "total_cache", "total_shmem",
                "total_inactive_file", NULL },
        [2] = { "memory.current", "memory.max", "memory.high", "memory.peak", "memory.low", "anon",
                "file", "shmem", "inactive_file", "kernel" },
};

static void memory_level(struct facts *f, int dir, int version, struct level *l)
{
        const struct memory_files *m = &memory_files[version];
        enum num_state is;
        const char *events;

        l->usage = num_at(f, dir, m->usage);
        l->limit = v1_limit(num_at(f, dir, m->limit));
        l->high = version == 2 ? num_at(f, dir, m->high) : absent;
        if (version == 2) {
                events = text_at(f, dir, "memory.events.local", &is);
                l->oom = key_of(events, is, "oom");
        } else {
                events = text_at(f, dir, "memory.oom_control", &is);
                l->oom = absent;
        }
        l->oom_kill = key_of(events, is, "oom_kill");
}

static void memory_detail(struct facts *f, int dir, int version)
{
        struct consumes_facts *c = &f->consumes;
        const struct memory_files *m = &memory_files[version];
        enum num_state is;
        const char *stat = text_at(f, dir, "memory.stat", &is);

        c->mem_anon = key_of(stat, is, m->anon);
        c->mem_file = key_of(stat, is, m->file);
        c->mem_shmem = key_of(stat, is, m->shmem);
        c->mem_inactive_file = key_of(stat, is, m->inactive_file);
        c->mem_kernel = m->kernel ? key_of(stat, is, m->kernel)
                                  : num_at(f, dir, "memory.kmem.usage_in_bytes");
        c->mem_peak = num_at(f, dir, m->peak);
        c->mem_low = m->low ? num_at(f, dir, m->low) : absent;
        if (version == 2) {
                const char *events = text_at(f, dir, "memory.events", &is);

                c->swap_usage = num_at(f, dir, "memory.swap.current");
                c->swap_limit = num_at(f, dir, "memory.swap.max");
                c->events_max = key_of(events, is, "max");
                c->events_high = key_of(events, is, "high");
                c->events_oom = key_of(events, is, "oom");
                c->events_oom_kill = key_of(events, is, "oom_kill");
                c->events_oom_group = key_of(events, is, "oom_group_kill");
                c->oom_kill_disable = c->under_oom = absent;
        } else {
                const char *control = text_at(f, dir, "memory.oom_control", &is);

                c->swap_usage = key_of(stat, is, "total_swap");
                c->swap_limit = v1_limit(num_at(f, dir, "memory.memsw.limit_in_bytes"));
                c->events_oom_kill = key_of(control, is, "oom_kill");
                c->oom_kill_disable = key_of(control, is, "oom_kill_disable");
                c->under_oom = key_of(control, is, "under_oom");
                c->events_max = c->events_high = c->events_oom = c->events_oom_group = absent;
        }
}

static void read_memory(struct facts *f)
{
        struct consumes_facts *c = &f->consumes;
        const struct place *p = &c->place[CGROUP_MEMORY];

        c->memory = cgroup_levels(f->arena, p);
        for (size_t i = 0; i < c->memory.n; i++) {
                AUTO_FD int dir = level_open(f, p, &c->memory.v[i]);

                memory_level(f, dir, p->version, &c->memory.v[i]);
        }
        cgroup_bind_usage(&c->memory);
        if (c->memory.own >= 0) {
                AUTO_FD int dir = level_open(f, p, &c->memory.v[c->memory.own]);

                memory_detail(f, dir, p->version);
        }
}

/* ---- pids, io, cpuset, freezer ---- */

static void read_pids(struct facts *f)
{
        struct consumes_facts *c = &f->consumes;
        const struct place *p = &c->place[CGROUP_PIDS];

        c->pids_events_max = absent;
        c->pids = cgroup_levels(f->arena, p);
        for (size_t i = 0; i < c->pids.n; i++) {
                AUTO_FD int dir = level_open(f, p, &c->pids.v[i]);
                enum num_state is;
                const char *events;

                c->pids.v[i].usage = num_at(f, dir, "pids.current");
                c->pids.v[i].limit = num_at(f, dir, "pids.max");
                if (i > 0)
                        continue;
                events = text_at(f, dir, "pids.events", &is);
                c->pids_events_max = key_of(events, is, "max");
        }
        cgroup_bind_usage(&c->pids);
}

static uint64_t lines_of(const char *text)
{
        struct span at = span_of(text), line;
        uint64_t n = 0;

        while (span_next(&at, '\n', &line))
                n += line.n > 0;
        return n;
}

static void read_io_limits(struct facts *f)
{
        static const char *const v1[] = { "blkio.throttle.read_bps_device",
                                          "blkio.throttle.write_bps_device",
                                          "blkio.throttle.read_iops_device",
                                          "blkio.throttle.write_iops_device" };
        static const char *const v2[] = { "io.max" };
        const struct place *p = &f->consumes.place[CGROUP_IO];
        struct levels l = cgroup_levels(f->arena, p);
        const char *const *files = p->version == 2 ? v2 : v1;
        size_t n = p->version == 2 ? ARRAY_SIZE(v2) : ARRAY_SIZE(v1);

        f->consumes.io_limits = absent;
        for (size_t i = 0; i < l.n; i++) {
                AUTO_FD int dir = level_open(f, p, &l.v[i]);

                for (size_t k = 0; k < n; k++) {
                        const char *text = text_at(f, dir, files[k], NULL);

                        if (!text)
                                continue;
                        f->consumes.io_limits = num_of(f->consumes.io_limits.v + lines_of(text));
                }
        }
}

static void read_cpus(struct facts *f, const struct target *t, const struct probe_host *h)
{
        struct consumes_facts *c = &f->consumes;
        const char *status = target_text(t, "status", TEXT_SMALL, NULL);
        struct span list =
                status ? text_field(status, "Cpus_allowed_list", ':') : (struct span){ NULL, 0 };

        c->cpus_online = h->cpus_online;
        c->cpus_allowed = list.s ? cpu_list_count(list) : absent;
        if (list.s)
                c->cpu_list = arena_strndup(f->arena, list.s, list.n);
}

static void read_frozen(struct facts *f)
{
        struct consumes_facts *c = &f->consumes;
        const struct place *v1 = &c->place[CGROUP_FREEZER];
        enum num_state is;

        c->frozen = absent;
        if (c->unified.depth > 0) {
                AUTO_FD int dir = dir_open(c->unified.dir);
                const char *events = text_at(f, dir, "cgroup.events", &is);

                c->frozen = key_of(events, is, "frozen");
        }
        if (v1->version == 1 && v1->depth > 0 && !(num_known(c->frozen) && c->frozen.v)) {
                AUTO_FD int dir = dir_open(v1->dir);
                const char *state = text_at(f, dir, "freezer.state", NULL);

                if (state)
                        c->frozen = num_of(!str_after(state, "THAWED"));
        }
}

/* ---- twice ---- */

static void read_psi(struct facts *f)
{
        struct consumes_facts *c = &f->consumes;
        AUTO_FD int dir = dir_open(c->unified.dir);

        c->psi_is_host = c->unified.dir && c->unified.depth == 0;
        for (int i = 0; i < PSI_MAX; i++) {
                char name[32];
                const char *text;

                snprintf(name, sizeof name, "%s.pressure", psi_names[i]);
                text = text_at(f, dir, name, NULL);
                c->psi[i].some = procfs_psi(text ? text : "", "some");
                c->psi[i].full = procfs_psi(text ? text : "", "full");
        }
}

static void count_psi(struct facts *f, struct counters *n)
{
        AUTO_FD int dir = dir_open(f->consumes.unified.dir);

        for (int i = 0; i < PSI_MAX; i++) {
                char name[32];
                const char *text;

                snprintf(name, sizeof name, "%s.pressure", psi_names[i]);
                text = text_at(f, dir, name, NULL);
                n->psi[i][0] = procfs_psi(text ? text : "", "some").total_us;
                n->psi[i][1] = procfs_psi(text ? text : "", "full").total_us;
        }
}

static void count_cpu(struct facts *f, struct counters *n)
{
        const struct consumes_facts *c = &f->consumes;
        const struct place *acct = &c->place[CGROUP_CPUACCT];
        enum num_state is;

        if (acct->version == 1) {
                AUTO_FD int dir = dir_open(acct->dir);

                n->cpu_ns = num_at(f, dir, "cpuacct.usage");
        } else {
                AUTO_FD int dir = dir_open(c->unified.dir);
                const char *stat = text_at(f, dir, "cpu.stat", &is);

                n->cpu_ns = scaled(key_of(stat, is, "usage_usec"), 1000, 1);
        }
}

static void count_io(struct facts *f, struct counters *n)
{
        const struct place *p = &f->consumes.place[CGROUP_IO];
        AUTO_FD int dir = dir_open(p->dir);
        enum num_state is;
        const char *text;

        text = text_at(f, dir, p->version == 2 ? "io.stat" : "blkio.throttle.io_service_bytes",
                       &is);
        n->io_read = n->io_write = (struct num){ is, 0 };
        if (text && p->version == 2)
                procfs_io_v2(text, &n->io_read, &n->io_write);
        else if (text)
                procfs_io_v1(text, &n->io_read, &n->io_write);
}

static struct num process_cpu(pid_t pid)
{
        /* A process's CPU clock (clock_getcpuclockid(3)): nanoseconds, for any process. */
        clockid_t clock = (clockid_t)(~(unsigned)pid << 3 | 2);
        struct timespec t;

        if (clock_gettime(clock, &t) < 0)
                return (struct num){ num_state_of(errno), 0 };
        return num_of((uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec);
}

static void count(struct reader *r, struct counters *n)
{
        struct facts *f = r->f;
        struct consumes_facts *c = &f->consumes;
        enum num_state is;
        const char *local;

        n->level = arena_alloc(f->arena, mem_mul(sizeof *n->level, c->cpu.n));
        n->at_us = now_us();
        n->process_ns = process_cpu(f->process.pid);
        count_cpu(f, n);
        for (size_t i = 0; i < c->cpu.n; i++)
                cpu_stat(f, r->cpu_dirs[i], c->place[CGROUP_CPU].version, n->level[i]);
        local = c->cpu.n ? text_at(f, r->cpu_dirs[0], "cpu.stat.local", &is) : NULL;
        n->parent_throttled_us = absent;
        if (local && c->place[CGROUP_CPU].version == 2)
                n->parent_throttled_us = key_of(local, is, "throttled_usec");
        else if (local)
                n->parent_throttled_us = scaled(key_of(local, is, "throttled_time"), 1, 1000);
        count_io(f, n);
        count_psi(f, n);
}

static void per_second(struct consumes_facts *c, struct num d_ns, struct num *ret)
{
        *ret = d_ns;
        if (num_known(d_ns) && c->sample_us)
                ret->v = d_ns.v / c->sample_us;
}

static void deltas(struct consumes_facts *c, const struct counters *a, const struct counters *b)
{
        c->sample_us = b->at_us - a->at_us;
        c->d_cpu_usage_ns = num_delta(a->cpu_ns, b->cpu_ns);
        per_second(c, c->d_cpu_usage_ns, &c->cpu_milli);
        per_second(c, num_delta(a->process_ns, b->process_ns), &c->process_cpu_milli);
        c->d_throttled_by_parent_us = num_delta(a->parent_throttled_us, b->parent_throttled_us);
        c->d_io_read = num_delta(a->io_read, b->io_read);
        c->d_io_write = num_delta(a->io_write, b->io_write);
        for (size_t i = 0; i < c->cpu.n; i++) {
                c->cpu.v[i].d_periods = num_delta(a->level[i][0], b->level[i][0]);
                c->cpu.v[i].d_throttled = num_delta(a->level[i][1], b->level[i][1]);
                c->cpu.v[i].d_throttled_us = num_delta(a->level[i][2], b->level[i][2]);
        }
        for (int i = 0; i < PSI_MAX; i++) {
                c->psi[i].some.d_total_us = num_delta(a->psi[i][0], b->psi[i][0]);
                c->psi[i].full.d_total_us = num_delta(a->psi[i][1], b->psi[i][1]);
        }
}

static void keep(struct consumes_facts *c, const struct counters *a)
{
        c->cpu_usage_ns = a->cpu_ns;
        c->throttled_by_parent_us = a->parent_throttled_us;
        c->io_read = a->io_read;
        c->io_write = a->io_write;
        for (size_t i = 0; i < c->cpu.n; i++) {
                c->cpu.v[i].periods = a->level[i][0];
                c->cpu.v[i].throttled = a->level[i][1];
                c->cpu.v[i].throttled_us = a->level[i][2];
        }
}

void probe_places(struct facts *f, const struct target *t, const struct probe_host *h)
{
        enum num_state is;
        const char *text = target_text(t, "cgroup", TEXT_SMALL, &is);
        bool host_view = h->ns_self[NS_CGROUP] == 0xEFFFFFFB; /* PROC_CGROUP_INIT_INO */

        if (!text)
                facts_unread(f, "its cgroups", is);
        else if (!h->have_layout)
                facts_unchecked(f, "its cgroups", "no cgroup hierarchy could be found here");
        else
                cgroup_places(f->arena, &h->layout, text, host_view, &f->consumes);
        f->consumes.layout = h->layout_name;
}

void probe_consumes(struct facts *f, const struct target *t, const struct probe_host *h,
                    unsigned sample_ms)
{
        struct reader r = { f, h, NULL };
        struct counters first = { 0 }, second = { 0 };

        read_cpu(&r);
        count(&r, &first);
        keep(&f->consumes, &first);
        read_memory(f);
        read_pids(f);
        read_io_limits(f);
        read_cpus(f, t, h);
        read_frozen(f);
        read_psi(f);
        if (sample_ms > 0) {
                uint64_t until = first.at_us + (uint64_t)sample_ms * 1000, now = now_us();

                if (until > now)
                        usleep((useconds_t)(until - now));
                count(&r, &second);
                deltas(&f->consumes, &first, &second);
        }
        for (size_t i = 0; i < f->consumes.cpu.n; i++)
                fd_close(r.cpu_dirs[i]);
}
