/* The facts as JSON. Every unknown number becomes null and is listed, with the reason, at the
 * end. */
#include <string.h>

#include "base/str.h"
#include "codec/json.h"
#include "diag/devices.h"
#include "diag/render.h"
#include "kernel/caps.h"

struct unavailable {
        const char *field, *why;
};

struct out {
        struct json_writer w;
        struct arena arena; /* of the paths below */
        const char *path;   /* "consumes.memory" */
        struct unavailable *gaps;
        size_t n_gaps, cap_gaps;
};

static void put_num(struct out *o, const char *name, struct num n)
{
        if (num_known(n)) {
                json_put_u64(&o->w, name, n.v);
                return;
        }
        if (n.is == NUM_MAX) {
                json_put_str(&o->w, name, "max");
                return;
        }
        json_put_null(&o->w, name);
        if (o->n_gaps == o->cap_gaps) {
                o->cap_gaps = o->cap_gaps ? 2 * o->cap_gaps : 64;
                o->gaps = mem_realloc(o->gaps, mem_mul(o->cap_gaps, sizeof *o->gaps));
        }
        o->gaps[o->n_gaps++] =
                (struct unavailable){ arena_printf(&o->arena, "%s.%s", o->path, name),
                                      num_state_names[n.is] };
}

/* A table row: a name in JSON and where the number is. */
struct row {
        const char *name;
        struct num n;
};

static void put_rows(struct out *o, const struct row *rows, size_t n)
{
        for (size_t i = 0; i < n; i++)
                put_num(o, rows[i].name, rows[i].n);
}
#define PUT_ROWS(o, ...)                                                                           \
        put_rows(o, (const struct row[]){ __VA_ARGS__ },                                           \
                 sizeof((const struct row[]){ __VA_ARGS__ }) / sizeof(struct row))

static void open_section(struct out *o, const char *name, const char *path)
{
        json_open(&o->w, name, '{');
        o->path = path;
}

static void put_strings(struct out *o, const char *name, const char *const *v, size_t n)
{
        json_open(&o->w, name, '[');
        for (size_t i = 0; i < n; i++)
                json_put_str(&o->w, NULL, v[i]);
        json_close(&o->w, ']');
}

/* ---- subject, owner ---- */

static void put_subject(struct out *o, const struct facts *f)
{
        const struct process_facts *p = &f->process;

        open_section(o, "subject", "subject");
        json_put_i64(&o->w, "pid", p->pid);
        json_open(&o->w, "pids", '[');
        for (size_t i = 0; i < p->n_inside; i++)
                json_put_u64(&o->w, NULL, p->inside[i]);
        json_close(&o->w, ']');
        json_put_i64(&o->w, "parent", p->parent);
        json_put_str(&o->w, "state", p->state ? (char[]){ p->state, 0 } : NULL);
        json_put_bool(&o->w, "ended", f->gone);
        json_put_str(&o->w, "comm", p->comm);
        json_put_str(&o->w, "exe", p->exe);
        put_strings(o, "args", p->args, p->n_args);
        json_put_bool(&o->w, "argsCut", p->args_cut);
        json_put_bool(&o->w, "kernelThread", p->kernel_thread);
        json_put_u64(&o->w, "startTicks", p->start_ticks);
        PUT_ROWS(o, { "uptimeMs", p->uptime_ms }, { "threads", p->threads }, { "rssBytes", p->rss },
                 { "openFiles", p->fds }, { "cpuMs", p->cpu_ms });
        json_close(&o->w, '}');
}

static void put_owner(struct out *o, const struct facts *f)
{
        const struct owner_facts *is = &f->owner;

        open_section(o, "owner", "owner");
        json_put_str(&o->w, "kind", is->kind);
        json_put_bool(&o->w, "container", is->container);
        json_put_str(&o->w, "evidence", owner_evidence_names[is->evidence]);
        json_put_str(&o->w, "engine", is->engine);
        json_put_str(&o->w, "runtime", is->runtime);
        json_put_str(&o->w, "id", is->id);
        json_put_str(&o->w, "name", is->name);
        json_put_str(&o->w, "image", is->image);
        json_put_str(&o->w, "podNamespace", is->pod_namespace);
        json_put_str(&o->w, "podName", is->pod_name);
        json_put_str(&o->w, "podUid", is->pod_uid);
        json_put_str(&o->w, "created", is->created);
        json_put_str(&o->w, "statePath", is->state_path);
        json_put_str(&o->w, "bundle", is->bundle);
        json_put_str(&o->w, "config", is->config_path);
        json_put_str(&o->w, "cgroupName", is->cgroup);
        json_put_i64(&o->w, "initPid", is->init);
        json_put_bool(&o->w, "isInit", is->is_init);
        json_put_i64(&o->w, "monitorPid", is->monitor);
        put_num(o, "initUptimeMs", is->init_uptime_ms);
        json_close(&o->w, '}');
}

/* ---- sees ---- */

static void put_map(struct out *o, const char *name, const struct id_map *m)
{
        if (m->is != NUM_KNOWN) {
                put_num(o, name, (struct num){ m->is, 0 });
                return;
        }
        json_open(&o->w, name, '[');
        for (size_t i = 0; i < m->n; i++) {
                json_open(&o->w, NULL, '{');
                json_put_u64(&o->w, "inside", m->v[i].inside);
                json_put_u64(&o->w, "outside", m->v[i].outside);
                json_put_u64(&o->w, "count", m->v[i].count);
                json_close(&o->w, '}');
        }
        json_close(&o->w, ']');
}

static void put_sees(struct out *o, const struct facts *f)
{
        const struct sees_facts *s = &f->sees;

        open_section(o, "sees", "sees");
        json_open(&o->w, "namespaces", '{');
        for (int ns = 0; ns < NS_MAX; ns++) {
                json_open(&o->w, ns_proc_names[ns], '{');
                json_put_str(&o->w, "relation", ns_relation_names[s->ns[ns].relation]);
                json_put_u64(&o->w, "inode", s->ns[ns].inode);
                json_put_bool(&o->w, "childrenDiffer", s->ns[ns].children_differ);
                json_close(&o->w, '}');
        }
        json_close(&o->w, '}');
        json_put_str(&o->w, "hostname", s->hostname);
        put_map(o, "uidMap", &s->uid_map);
        put_map(o, "gidMap", &s->gid_map);
        json_put_str(&o->w, "setgroups", s->setgroups);
        json_open(&o->w, "clockOffsets", '{');
        if (s->monotonic.known) {
                json_put_i64(&o->w, "monotonicSecs", s->monotonic.secs);
                json_put_u64(&o->w, "monotonicNanosecs", s->monotonic.nanosecs);
        }
        if (s->boottime.known) {
                json_put_i64(&o->w, "boottimeSecs", s->boottime.secs);
                json_put_u64(&o->w, "boottimeNanosecs", s->boottime.nanosecs);
        }
        json_close(&o->w, '}');
        json_put_bool(&o->w, "readerNested", s->reader_nested);
        json_close(&o->w, '}');
}

/* ---- consumes ---- */

static void put_place(struct out *o, const char *name, const struct place *p)
{
        json_open(&o->w, name, '{');
        json_put_i64(&o->w, "version", p->version);
        json_put_str(&o->w, "path", p->path);
        json_put_str(&o->w, "directory", p->dir);
        json_close(&o->w, '}');
}

enum level_kind { LEVEL_CPU, LEVEL_MEMORY, LEVEL_PIDS };

static void put_level(struct out *o, const struct level *l, enum level_kind kind)
{
        json_open(&o->w, NULL, '{');
        json_put_str(&o->w, "path", l->path);
        switch (kind) {
        case LEVEL_CPU:
                PUT_ROWS(o, { "quotaUs", l->cpu_quota_us }, { "periodUs", l->cpu_period_us },
                         { "weight", l->cpu_weight }, { "periods", l->periods },
                         { "throttledPeriods", l->throttled }, { "throttledUs", l->throttled_us },
                         { "sampledPeriods", l->d_periods },
                         { "sampledThrottledPeriods", l->d_throttled },
                         { "sampledThrottledUs", l->d_throttled_us });
                break;
        case LEVEL_MEMORY:
                PUT_ROWS(o, { "limitBytes", l->limit }, { "highBytes", l->high },
                         { "usageBytes", l->usage }, { "oom", l->oom }, { "oomKill", l->oom_kill });
                break;
        case LEVEL_PIDS:
                PUT_ROWS(o, { "limit", l->limit }, { "usage", l->usage });
                break;
        }
        json_close(&o->w, '}');
}

/* Levels from the process's own cgroup up; binding and own are indices into it, -1 none. */
static void put_levels(struct out *o, const struct levels *l, enum level_kind kind,
                       const char *path)
{
        const char *section = o->path;

        json_put_i64(&o->w, "ownLevel", l->own);
        json_put_i64(&o->w, "bindingLevel", l->binding);
        json_put_bool(&o->w, "ancestorsHidden", l->cut);
        json_open(&o->w, "levels", '[');
        for (size_t i = 0; i < l->n; i++) {
                o->path = arena_printf(&o->arena, "%s.levels[%zu]", path, i);
                put_level(o, &l->v[i], kind);
        }
        json_close(&o->w, ']');
        o->path = section;
}

static void put_psi_line(struct out *o, const char *name, const struct psi_line *l)
{
        json_open(&o->w, name, '{');
        PUT_ROWS(o, { "avg10Hundredths", l->avg10 }, { "avg60Hundredths", l->avg60 },
                 { "avg300Hundredths", l->avg300 }, { "totalUs", l->total_us },
                 { "sampledUs", l->d_total_us });
        json_close(&o->w, '}');
}

static void put_pressure(struct out *o, const struct consumes_facts *c)
{
        static const char *const paths[PSI_MAX] = { "consumes.pressure.cpu",
                                                    "consumes.pressure.memory",
                                                    "consumes.pressure.io" };

        json_open(&o->w, "pressure", '{');
        json_put_bool(&o->w, "ofWholeHost", c->psi_is_host);
        for (int i = 0; i < PSI_MAX; i++) {
                json_open(&o->w, psi_names[i], '{');
                o->path = paths[i];
                put_psi_line(o, "some", &c->psi[i].some);
                put_psi_line(o, "full", &c->psi[i].full);
                json_close(&o->w, '}');
        }
        json_close(&o->w, '}');
}

static void put_cpu(struct out *o, const struct consumes_facts *c)
{
        open_section(o, "cpu", "consumes.cpu");
        PUT_ROWS(o, { "usageNs", c->cpu_usage_ns }, { "usedMilliCpus", c->cpu_milli },
                 { "processMilliCpus", c->process_cpu_milli }, { "burstUs", c->cpu_burst_us },
                 { "throttledByParentUs", c->throttled_by_parent_us },
                 { "sampledThrottledByParentUs", c->d_throttled_by_parent_us },
                 { "cpusAllowed", c->cpus_allowed }, { "cpusOnline", c->cpus_online });
        json_put_str(&o->w, "cpuList", c->cpu_list);
        put_levels(o, &c->cpu, LEVEL_CPU, "consumes.cpu");
        json_close(&o->w, '}');
}

static void put_memory(struct out *o, const struct consumes_facts *c)
{
        open_section(o, "memory", "consumes.memory");
        PUT_ROWS(o, { "anonBytes", c->mem_anon }, { "fileBytes", c->mem_file },
                 { "shmemBytes", c->mem_shmem }, { "inactiveFileBytes", c->mem_inactive_file },
                 { "kernelBytes", c->mem_kernel }, { "peakBytes", c->mem_peak },
                 { "lowBytes", c->mem_low }, { "swapBytes", c->swap_usage },
                 { "swapLimitBytes", c->swap_limit }, { "eventsMax", c->events_max },
                 { "eventsHigh", c->events_high }, { "eventsOom", c->events_oom },
                 { "eventsOomKill", c->events_oom_kill },
                 { "eventsOomGroupKill", c->events_oom_group },
                 { "oomKillDisable", c->oom_kill_disable }, { "underOom", c->under_oom });
        /* v1's limit counts memory and swap together, v2's swap alone. */
        json_put_bool(&o->w, "swapLimitCountsMemory", c->place[CGROUP_MEMORY].version == 1);
        put_levels(o, &c->memory, LEVEL_MEMORY, "consumes.memory");
        json_close(&o->w, '}');
}

static void put_consumes(struct out *o, const struct facts *f)
{
        const struct consumes_facts *c = &f->consumes;

        open_section(o, "consumes", "consumes");
        json_put_str(&o->w, "layout", c->layout);
        json_put_u64(&o->w, "sampleUs", c->sample_us);
        json_open(&o->w, "controllers", '{');
        for (int i = 0; i < CGROUP_CONTROLLER_MAX; i++) {
                const char *name = cgroup_controller_name(i, true);

                put_place(o, name ? name : cgroup_controller_name(i, false), &c->place[i]);
        }
        put_place(o, "unified", &c->unified);
        json_close(&o->w, '}');
        put_cpu(o, c);
        put_memory(o, c);
        open_section(o, "pids", "consumes.pids");
        put_num(o, "refused", c->pids_events_max);
        put_levels(o, &c->pids, LEVEL_PIDS, "consumes.pids");
        json_close(&o->w, '}');
        open_section(o, "io", "consumes.io");
        PUT_ROWS(o, { "readBytes", c->io_read }, { "writtenBytes", c->io_write },
                 { "sampledReadBytes", c->d_io_read }, { "sampledWrittenBytes", c->d_io_write },
                 { "deviceLimits", c->io_limits });
        json_close(&o->w, '}');
        put_pressure(o, c);
        o->path = "consumes";
        put_num(o, "frozen", c->frozen);
        json_close(&o->w, '}');
}

/* ---- does ---- */

static void put_caps(struct out *o, const char *name, uint64_t mask)
{
        json_open(&o->w, name, '[');
        for (unsigned i = 0; i < 64; i++) {
                if (!(mask >> i & 1))
                        continue;
                json_put_str(&o->w, NULL,
                             caps_name(i) ? caps_name(i) : arena_printf(&o->arena, "%u", i));
        }
        json_close(&o->w, ']');
}

static void put_cap_sets(struct out *o, const struct does_facts *d)
{
        uint64_t dangerous = 0;

        if (!d->caps_known) {
                put_num(o, "capabilities", (struct num){ NUM_BAD, 0 });
                return;
        }
        for (unsigned i = 0; i < 64; i++)
                if ((d->cap_effective >> i & 1) && cap_is_dangerous(i))
                        dangerous |= (uint64_t)1 << i;
        json_open(&o->w, "capabilities", '{');
        put_caps(o, "effective", d->cap_effective);
        put_caps(o, "permitted", d->cap_permitted);
        put_caps(o, "bounding", d->cap_bounding);
        put_caps(o, "inheritable", d->cap_inheritable);
        put_caps(o, "ambient", d->cap_ambient);
        put_caps(o, "dangerous", dangerous);
        json_close(&o->w, '}');
}

static void put_devices(struct out *o, const struct does_facts *d)
{
        json_open(&o->w, "devices", '{');
        json_put_str(&o->w, "policy", device_policy_names[d->device_policy]);
        json_put_i64(&o->w, "cgroupVersion", d->device_version);
        json_put_u64(&o->w, "programs", d->device_programs);
        json_open(&o->w, "allowed", '[');
        for (size_t i = 0; i < d->n_devices; i++) {
                const struct device_fact *is = &d->devices[i];

                json_open(&o->w, NULL, '{');
                json_put_str(&o->w, "type", (char[]){ is->type, 0 });
                json_put_i64(&o->w, "major", is->major);
                json_put_i64(&o->w, "minor", is->minor);
                json_put_str(&o->w, "access", is->access);
                json_put_str(&o->w, "name", is->name);
                json_put_bool(&o->w, "usual", devices_default(is));
                json_put_bool(&o->w, "dangerous", is->dangerous);
                json_close(&o->w, '}');
        }
        json_close(&o->w, ']');
        json_close(&o->w, '}');
}

static void put_does(struct out *o, const struct facts *f)
{
        const struct does_facts *d = &f->does;

        open_section(o, "does", "does");
        PUT_ROWS(o, { "uid", d->uid }, { "euid", d->euid }, { "suid", d->suid },
                 { "fsuid", d->fsuid }, { "gid", d->gid }, { "egid", d->egid }, { "sgid", d->sgid },
                 { "fsgid", d->fsgid }, { "uidInside", d->uid_inside },
                 { "gidInside", d->gid_inside }, { "noNewPrivileges", d->no_new_privs },
                 { "seccompMode", d->seccomp_mode }, { "seccompFilters", d->seccomp_filters },
                 { "tracerPid", d->tracer });
        json_open(&o->w, "groups", '[');
        for (size_t i = 0; i < d->n_groups; i++)
                json_put_u64(&o->w, NULL, d->groups[i]);
        json_close(&o->w, ']');
        put_cap_sets(o, d);
        if (d->lsm == LSM_UNKNOWN)
                put_num(o, "lsmLabel", (struct num){ d->lsm_is, 0 });
        else
                json_put_str(&o->w, "lsmLabel", d->lsm_label);
        if (num_known(d->oom_score_adj_plus1000))
                json_put_i64(&o->w, "oomScoreAdj", (int64_t)d->oom_score_adj_plus1000.v - 1000);
        else
                put_num(o, "oomScoreAdj", d->oom_score_adj_plus1000);
        json_open(&o->w, "rlimits", '{');
        o->path = "does.rlimits";
        for (size_t i = 0; i < d->n_rlimits; i++) {
                json_open(&o->w, d->rlimits[i].name, '{');
                PUT_ROWS(o, { "soft", d->rlimits[i].soft }, { "hard", d->rlimits[i].hard });
                json_put_bool(&o->w, "remarkable", d->rlimits[i].remarkable);
                json_close(&o->w, '}');
        }
        json_close(&o->w, '}');
        put_devices(o, d);
        json_close(&o->w, '}');
}

/* ---- file systems, drift ---- */

static void put_mount(struct out *o, const struct mount_fact *m)
{
        json_open(&o->w, NULL, '{');
        json_put_u64(&o->w, "id", m->id);
        json_put_u64(&o->w, "parent", m->parent);
        json_put_str(&o->w, "point", m->point);
        json_put_str(&o->w, "type", m->type);
        json_put_str(&o->w, "root", m->root);
        json_put_str(&o->w, "source", m->source);
        json_put_str(&o->w, "hostPath", m->host_path);
        json_put_str(&o->w, "role", mount_role_names[m->role]);
        json_put_bool(&o->w, "readOnly", m->ro);
        json_put_bool(&o->w, "noexec", m->noexec);
        json_put_bool(&o->w, "nosuid", m->nosuid);
        json_put_bool(&o->w, "nodev", m->nodev);
        json_put_bool(&o->w, "idmapped", m->idmapped);
        json_put_bool(&o->w, "shared", m->shared);
        json_put_bool(&o->w, "slave", m->slave);
        json_put_bool(&o->w, "sharedWithHost", m->reaches_host);
        json_put_bool(&o->w, "covered", m->hidden);
        json_put_bool(&o->w, "sourceRemoved", m->deleted);
        json_put_bool(&o->w, "socket", m->is_socket);
        json_put_bool(&o->w, "controlsHost", m->controls_host);
        json_put_str(&o->w, "danger", m->danger);
        json_close(&o->w, '}');
}

static void put_layer(struct out *o, const char *name, const struct layer_fact *l)
{
        json_open(&o->w, name, '{');
        json_put_str(&o->w, "path", l->path);
        json_put_str(&o->w, "origin", l->origin);
        json_close(&o->w, '}');
}

static void put_files(struct out *o, const struct facts *f)
{
        const struct fs_facts *fs = &f->fs;

        open_section(o, "filesystems", "filesystems");
        json_put_str(&o->w, "rootKind", fs->root_kind);
        json_put_i64(&o->w, "rootIndex", fs->root);
        json_put_str(&o->w, "rootPath", fs->root_path);
        json_put_str(&o->w, "cwd", fs->cwd);
        json_open(&o->w, "lower", '[');
        for (size_t i = 0; i < fs->n_lower; i++)
                put_layer(o, NULL, &fs->lower[i]);
        json_close(&o->w, ']');
        if (fs->upper)
                put_layer(o, "upper", &fs->upper_origin);
        else
                json_put_null(&o->w, "upper");
        put_strings(o, "readableKernelPaths", fs->unmasked, fs->n_unmasked);
        put_strings(o, "writableKernelPaths", fs->writable, fs->n_writable);
        if (fs->is == NUM_KNOWN) {
                json_open(&o->w, "mounts", '[');
                for (size_t i = 0; i < fs->n; i++)
                        put_mount(o, &fs->mounts[i]);
                json_close(&o->w, ']');
        } else {
                put_num(o, "mounts", (struct num){ fs->is, 0 });
        }
        json_put_bool(&o->w, "mountsCut", fs->cut);
        json_close(&o->w, '}');
}

static void put_drift(struct out *o, const struct facts *f)
{
        const struct drift_facts *d = &f->drift;

        open_section(o, "drift", "drift");
        json_put_bool(&o->w, "compared", d->checked);
        json_put_str(&o->w, "whyNot", d->why_not);
        json_put_str(&o->w, "declaredIn", d->config);
        json_put_str(&o->w, "seccompDefaultAction", d->seccomp);
        json_open(&o->w, "differences", '[');
        for (size_t i = 0; i < d->n; i++) {
                json_open(&o->w, NULL, '{');
                json_put_str(&o->w, "what", d->v[i].what);
                json_put_str(&o->w, "declared", d->v[i].declared);
                json_put_str(&o->w, "effective", d->v[i].effective);
                json_close(&o->w, '}');
        }
        json_close(&o->w, ']');
        json_put_u64(&o->w, "agreed", d->agreed);
        json_put_u64(&o->w, "skipped", d->skipped);
        json_close(&o->w, '}');
}

static void put_gaps(struct out *o, const struct facts *f)
{
        json_open(&o->w, "not_checked", '[');
        for (size_t i = 0; i < f->n_unchecked; i++) {
                json_open(&o->w, NULL, '{');
                json_put_str(&o->w, "what", f->unchecked[i].what);
                json_put_str(&o->w, "why", f->unchecked[i].why);
                json_close(&o->w, '}');
        }
        json_close(&o->w, ']');
        json_open(&o->w, "unavailable", '[');
        for (size_t i = 0; i < o->n_gaps; i++) {
                json_open(&o->w, NULL, '{');
                json_put_str(&o->w, "field", o->gaps[i].field);
                json_put_str(&o->w, "why", o->gaps[i].why);
                json_close(&o->w, '}');
        }
        json_close(&o->w, ']');
}

void render_json(const struct facts *f, struct buf *out)
{
        struct out o = { .w = { .out = out, .indent = 2 }, .path = "" };

        json_open(&o.w, NULL, '{');
        json_put_str(&o.w, "schema", LOOK_SCHEMA);
        json_open(&o.w, "host", '{');
        json_put_str(&o.w, "name", f->host);
        json_put_str(&o.w, "kernel", f->kernel);
        json_close(&o.w, '}');
        put_subject(&o, f);
        put_owner(&o, f);
        put_sees(&o, f);
        put_consumes(&o, f);
        put_does(&o, f);
        put_files(&o, f);
        put_drift(&o, f);
        put_gaps(&o, f);
        json_close(&o.w, '}');
        buf_putc(out, '\n');
        free(o.gaps);
        arena_done(&o.arena);
}
