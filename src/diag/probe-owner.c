/* Whose process it is. A runtime's state file whose pid and start time agree proves it; an
 * ancestor that is an engine's monitor says it; a cgroup's name suggests it. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "codec/json.h"
#include "diag/host.h"
#include "diag/owner.h"
#include "diag/probe.h"
#include "diag/procfs.h"
#include "diag/state-dirs.h"

#define ANCESTORS_MAX 64
#define MONITORS_MAX 4

struct owner_search {
        struct facts *f;
        const struct target *t;
        const struct strings *roots;
        uint64_t pid_ns, mount_ns;
        struct state_entry entry;
};

static void take_str(const char **to, const char *value)
{
        if (!*to && !str_empty(value))
                *to = value;
}

static void take(struct owner_facts *o, const struct owner_clue *c)
{
        take_str(&o->kind, c->kind);
        take_str(&o->engine, c->engine);
        take_str(&o->runtime, c->runtime);
        take_str(&o->id, c->id);
        take_str(&o->name, c->name);
        take_str(&o->image, c->image);
        take_str(&o->bundle, c->bundle);
        take_str(&o->pod_uid, c->pod_uid);
        take_str(&o->pod_name, c->pod_name);
        take_str(&o->pod_namespace, c->pod_namespace);
        take_str(&o->cgroup, c->part);
}

static void take_state(struct owner_facts *o, const struct state_entry *s)
{
        o->container = true;
        o->kind = "container";
        o->evidence = EVIDENCE_STATE;
        o->id = s->state.id;
        take_str(&o->runtime, s->state.runtime);
        take_str(&o->bundle, s->state.bundle);
        take_str(&o->created, s->state.created);
        o->state_path = s->file;
        if (strstr(s->file, "/berth/oci/")) /* where the engine keeps its runtime's state */
                take_str(&o->engine, "berth");
        take_str(&o->config_path, s->config);
        o->init = (pid_t)s->state.pid;
}

/* ---- ancestors ---- */

static int open_proc(pid_t pid)
{
        char path[32];

        snprintf(path, sizeof path, "/proc/%d", pid);
        return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static const char *read_comm(struct arena *a, int proc)
{
        const char *text = file_text(a, proc, "comm", TEXT_SMALL, NULL, NULL);

        return text ? arena_strndup(a, text, strcspn(text, "\n")) : "";
}

/* The nearest ancestor that is a monitor; *ret_pid its pid, else 0. */
static bool find_monitor(struct facts *f, pid_t from, struct owner_clue *ret, pid_t *ret_pid)
{
        pid_t pid = from;
        int asked = 0; /* each may take its time: see target_args() */

        for (int i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
                AUTO_FD int proc = open_proc(pid);
                const char *stat =
                        proc < 0 ? NULL : file_text(f->arena, proc, "stat", TEXT_SMALL, NULL, NULL);
                struct stat_line s;
                const char **args;
                size_t n;
                bool cut;

                if (!stat || !procfs_stat(stat, &s))
                        return false;
                if (i > 0 && asked < MONITORS_MAX && owner_is_monitor(read_comm(f->arena, proc))) {
                        asked++;
                        args = target_args(f->arena, proc, &n, &cut);
                        if (owner_from_args(f->arena, args, n, ret)) {
                                *ret_pid = pid;
                                return true;
                        }
                }
                pid = (pid_t)s.parent;
        }
        return false;
}

/* ---- state ---- */

static bool shares(const struct owner_search *s, pid_t pid)
{
        AUTO_FD int proc = open_proc(pid);

        return proc >= 0 && ((s->mount_ns && ns_inode(proc, "ns/mnt", NULL) == s->mount_ns) ||
                             (s->pid_ns && ns_inode(proc, "ns/pid", NULL) == s->pid_ns));
}

static bool matches(struct owner_search *s, const struct state_entry *entry)
{
        if (!state_current(s->f->arena, &entry->state))
                return false;
        return entry->state.pid == s->t->pid || shares(s, (pid_t)entry->state.pid);
}

static bool try_entry(const char *root, const char *id, void *arg)
{
        struct owner_search *s = arg;
        struct state_entry entry;

        if (!state_read(s->f->arena, root, id, &entry) || !matches(s, &entry))
                return false;
        s->entry = entry;
        return true;
}

static bool find_state(struct owner_search *s, const char *const *ids, size_t n)
{
        bool cut = false;

        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; ids[i] && k < s->roots->n; k++)
                        if (try_entry(s->roots->v[k], ids[i], s))
                                return true;
        if (!s->pid_ns && !s->mount_ns)
                return false;
        if (state_each(s->f->arena, s->roots, try_entry, s, &cut))
                return true;
        if (cut)
                facts_unchecked(s->f, "some state directories", "too many containers");
        return false;
}

static bool roots_readable(const struct strings *roots)
{
        for (size_t i = 0; i < roots->n; i++)
                if (access(roots->v[i], R_OK | X_OK) < 0)
                        return false;
        return true;
}

/* ---- names and images ---- */

static void read_engine(struct facts *f)
{
        struct owner_facts *o = &f->owner;
        struct owner_clue c = { .name = o->name };
        struct strings indexes;
        const char *manager;
        struct json j;

        if (!o->id)
                return;
        if (o->config_path && state_json(f->arena, o->config_path, &j)) {
                owner_from_annotations(&j, &c);
                manager =
                        json_str(json_get(json_get(&j, "annotations"), "io.container.manager"), "");
                take_str(&o->engine, str_eq(manager, "libpod")  ? "podman"
                                     : str_eq(manager, "cri-o") ? "cri-o"
                                                                : NULL);
        }
        indexes = storage_indexes(f->arena, o->bundle);
        for (size_t i = 0; i < indexes.n && (!c.name || !c.image); i++)
                if (state_json(f->arena, indexes.v[i], &j))
                        owner_from_storage(f->arena, &j, o->id, &c);
        if (state_record(f->arena, o->bundle, &j))
                owner_from_record(&j, &c);
        if (o->engine && str_eq(o->engine, "docker") &&
            state_json(
                    f->arena,
                    arena_printf(f->arena, "/var/lib/docker/containers/%s/config.v2.json", o->id),
                    &j))
                owner_from_docker(&j, &c);
        take(o, &c);
}

/* The container's first process where no state file names it: the one that is 1 in the target's pid
 * namespace, among the processes of the target's cgroup. */
static pid_t find_init(struct facts *f)
{
        const struct place *p =
                f->consumes.unified.depth ? &f->consumes.unified : &f->consumes.place[CGROUP_PIDS];
        const char *text = NULL;
        struct span at, line;
        unsigned seen = 0;

        if (f->process.n_inside && f->process.inside[f->process.n_inside - 1] == 1)
                return f->process.pid;
        if (p->dir && p->depth > 0)
                text = file_text(f->arena, AT_FDCWD,
                                 arena_printf(f->arena, "%s/cgroup.procs", p->dir), TEXT_LARGE,
                                 NULL, NULL);
        if (!text || f->sees.ns[NS_PID].relation != NS_REL_OWN)
                return 0;
        at = span_of(text);
        while (seen++ < 4096 && span_next(&at, '\n', &line)) {
                uint64_t pid;
                const char *status;
                struct span ids, w, last = { NULL, 0 };

                if (!span_to_u64(line, 10, &pid) || pid == 0 || pid > INT32_MAX)
                        continue;
                status = file_text(f->arena, AT_FDCWD,
                                   arena_printf(f->arena, "/proc/%d/status", (int)pid), TEXT_SMALL,
                                   NULL, NULL);
                ids = status ? text_field(status, "NSpid", ':') : (struct span){ NULL, 0 };
                while (ids.s && span_word(&ids, &w))
                        last = w;
                if (last.s && span_eq(last, "1"))
                        return (pid_t)pid;
        }
        return 0;
}

static void init_age(struct facts *f, const struct probe_host *h)
{
        struct owner_facts *o = &f->owner;
        AUTO_FD int proc = o->init ? open_proc(o->init) : -1;
        const char *stat =
                proc < 0 ? NULL : file_text(f->arena, proc, "stat", TEXT_SMALL, NULL, NULL);
        struct stat_line s;
        uint64_t start_ms;

        o->init_uptime_ms = (struct num){ NUM_ABSENT, 0 };
        if (!stat || !procfs_stat(stat, &s) || !h->ticks)
                return;
        start_ms = s.start * 1000 / h->ticks;
        o->init_uptime_ms = num_of(h->boot_ms > start_ms ? h->boot_ms - start_ms : 0);
        o->is_init = o->init == f->process.pid;
}

static bool has_namespaces(const struct facts *f)
{
        for (int ns = 0; ns < NS_MAX; ns++)
                if (f->sees.ns[ns].relation == NS_REL_OWN)
                        return true;
        return false;
}

static void describe_unowned(struct facts *f)
{
        struct owner_facts *o = &f->owner;

        if (f->process.kernel_thread)
                o->kind = "kernel thread";
        else if (!o->kind)
                o->kind = has_namespaces(f) ? "unnamed set of namespaces" : "host process";
}

/* Evidence from names: only where namespaces or cgroups set it apart from the host. */
static void weigh(struct facts *f, const struct owner_clue *group, bool have_group,
                  const struct owner_clue *monitor, bool have_monitor)
{
        struct owner_facts *o = &f->owner;

        if (have_monitor && monitor->container) {
                take(o, monitor);
                if (o->evidence != EVIDENCE_STATE)
                        o->evidence = EVIDENCE_ANCESTOR;
                o->container = true;
        } else if (have_monitor && has_namespaces(f)) {
                take(o,
                     monitor); /* a sandbox is nearer than the service that it was started from */
        }
        if (!have_group)
                return;
        if (group->container || !o->kind)
                take(o, group);
        take_str(&o->cgroup, group->part);
        if (group->container && o->evidence == EVIDENCE_NONE) {
                o->evidence = EVIDENCE_CGROUP;
                o->container = true;
        }
}

void probe_owner(struct facts *f, const struct target *t, const struct probe_host *h,
                 const struct strings *roots)
{
        struct owner_facts *o = &f->owner;
        const char *cgroups = target_text(t, "cgroup", TEXT_SMALL, NULL);
        struct owner_clue group = { 0 }, monitor = { 0 };
        const struct ns_fact *ns = f->sees.ns;
        struct owner_search s = { .f = f, .t = t, .roots = roots };
        bool have_group, have_monitor;

        o->evidence = EVIDENCE_NONE;
        s.pid_ns = ns[NS_PID].relation == NS_REL_OWN ? ns[NS_PID].inode : 0;
        s.mount_ns = ns[NS_MOUNT].relation == NS_REL_OWN ? ns[NS_MOUNT].inode : 0;
        have_group = cgroups && owner_from_cgroups(f->arena, cgroups, &group);
        have_monitor = find_monitor(f, t->pid, &monitor, &o->monitor);
        if (have_monitor)
                o->monitor_name = monitor.engine;
        if (find_state(&s, (const char *[]){ group.id, monitor.id }, 2))
                take_state(o, &s.entry);
        else if (!roots_readable(roots) && (have_group || s.mount_ns))
                facts_unread(f, "some runtimes' state directories", NUM_DENIED);
        weigh(f, &group, have_group && !group.monitor, &monitor, have_monitor);
        if (group.monitor)
                take(o, &group);
        if (!o->init && s.pid_ns)
                o->init = find_init(f);
        read_engine(f);
        init_age(f, h);
        describe_unowned(f);
}
