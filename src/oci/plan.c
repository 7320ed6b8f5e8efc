#include "oci/plan.h"

#include <string.h>

#include "base/path.h"
#include "base/str.h"
#include "kernel/sys.h"
#include "oci/cgroup-apply.h"
#include "oci/systemd.h"

const char *const stage_names[] = {
        [STAGE_HOST] = "host",       [STAGE_ENTER] = "enter",     [STAGE_ADOPT] = "adopt",
        [STAGE_MOUNT] = "mount",     [STAGE_RUNTIME] = "runtime", [STAGE_ROOT] = "root",
        [STAGE_PROCESS] = "process", [STAGE_READY] = "ready",     [STAGE_START] = "start",
        [STAGE_STARTED] = "started",
};
static_assert(ARRAY_SIZE(stage_names) == STAGE_MAX, "each stage has a name");

static const uint64_t ns_flags[] = {
        [NS_USER] = CLONE_NEWUSER, [NS_PID] = CLONE_NEWPID,  [NS_NET] = CLONE_NEWNET,
        [NS_IPC] = CLONE_NEWIPC,   [NS_UTS] = CLONE_NEWUTS,  [NS_CGROUP] = CLONE_NEWCGROUP,
        [NS_TIME] = CLONE_NEWTIME, [NS_MOUNT] = CLONE_NEWNS,
};
static_assert(ARRAY_SIZE(ns_flags) == NS_MAX, "each namespace has a flag");

struct op *plan_add(struct arena *a, struct plan *p, enum stage stage, enum op_kind kind)
{
        struct op *op;

        if (p->n == p->cap) {
                size_t cap = p->cap ? p->cap * 2 : 64;
                struct op *more = arena_array(a, struct op, cap);

                if (p->n)
                        memcpy(more, p->ops, p->n * sizeof *more);
                p->ops = more;
                p->cap = cap;
        }
        op = &p->ops[p->n++];
        op->stage = stage;
        op->kind = kind;
        return op;
}

const struct op *plan_find(const struct plan *p, enum op_kind kind)
{
        for (size_t i = 0; i < p->n; i++)
                if (p->ops[i].kind == kind)
                        return &p->ops[i];
        return NULL;
}

bool plan_has_stage(const struct plan *p, enum stage stage)
{
        for (size_t i = 0; i < p->n; i++)
                if (p->ops[i].stage == stage)
                        return true;
        return false;
}

static void add_hooks(struct arena *a, struct plan *p, enum stage stage, enum spec_hook_kind kind)
{
        const struct spec_hooks *h = &p->spec->hooks[kind];

        for (size_t i = 0; i < h->n; i++) {
                struct op *op = plan_add(a, p, stage, OP_HOOK);

                op->hook.kind = kind;
                op->hook.hook = &h->v[i];
        }
}

static bool ns_new(const struct spec *s, enum spec_ns kind)
{
        return s->linux_.namespaces[kind].present && !s->linux_.namespaces[kind].path;
}

/* Where the systemd driver will put the container: known beforehand but for a user's own
 * manager. */
static const char *scope_path(struct arena *a, const char *cgroups_path, const char *id, bool user,
                              struct err *e)
{
        struct systemd_unit unit;
        const char *slice;

        if (systemd_unit_parse(a, cgroups_path, id, user, &unit, e) < 0 ||
            systemd_slice_expand(a, unit.slice, &slice, e) < 0)
                return NULL;
        return arena_printf(a, "%s/%s", str_eq(slice, "/") ? "" : slice, unit.name);
}

static int plan_cgroup(struct arena *a, const struct plan_input *in, struct plan *p, struct err *e)
{
        const struct spec_linux *l = &in->spec->linux_;
        bool rootless = in->flags & PLAN_ROOTLESS;
        const char *path = l->cgroups_path;

        if (in->flags & PLAN_NO_CGROUP || !in->cgroups || in->cgroups->n == 0)
                return 0;
        if (in->flags & PLAN_SYSTEMD) {
                path = scope_path(a, l->cgroups_path, in->id, rootless, e);
                if (!path)
                        return err_in(e, "linux.cgroupsPath");
                p->systemd_scope = l->cgroups_path ? l->cgroups_path : "";
        } else if (rootless && !path && !l->resources) {
                return 0; /* nothing was asked for, and nothing is ours to make */
        }
        p->cgroup = arena_new(a, struct cgroup);
        if (cgroup_locate_container(a, in->cgroups, path, in->id, p->cgroup, e) < 0)
                return -1;
        p->limits = arena_new(a, struct cgroup_plan);
        if (plan_cgroup_resources(a, p->cgroup, l->resources, NULL,
                                  rootless ? CGROUP_PLAN_NO_DEVICES : 0, p->limits, e) < 0)
                return -1;
        if (in->flags & PLAN_SYSTEMD) {
                plan_add(a, p, STAGE_ADOPT, OP_SCOPE);
                plan_add(a, p, STAGE_ADOPT, OP_CGROUP_SET);
        } else {
                plan_add(a, p, STAGE_HOST, OP_CGROUP);
                plan_add(a, p, STAGE_HOST, OP_CGROUP_SET);
                plan_add(a, p, STAGE_ENTER, OP_CGROUP_JOIN);
        }
        return 0;
}

/* Whether the container may write its own cgroup: only with its own user and cgroup namespaces, and
 * where the v2 hierarchy is mounted writable (config-linux.md, "Cgroup ownership"). */
static bool wants_delegation(const struct plan *p)
{
        const struct spec *s = p->spec;

        if (!p->cgroup || p->cgroup->v2 < 0 || !p->userns || !ns_new(s, NS_CGROUP))
                return false;
        for (size_t i = 0; i < s->n_mounts; i++) {
                bool ro = false;

                if (!s->mounts[i].type || strncmp(s->mounts[i].type, "cgroup", 6) != 0)
                        continue;
                for (size_t k = 0; k < s->mounts[i].options.n; k++)
                        ro |= str_eq(s->mounts[i].options.v[k], "ro");
                if (!ro)
                        return true;
        }
        return false;
}

static void plan_namespaces(struct arena *a, struct plan *p)
{
        const struct spec_linux *l = &p->spec->linux_;
        bool offsets = l->time_offsets.monotonic.set || l->time_offsets.boottime.set;

        for (int k = 0; k < NS_MAX; k++) {
                const struct spec_namespace *n = &l->namespaces[k];
                struct op *op;

                if (!n->present)
                        continue;
                if (!n->path) {
                        p->ns_new |= ns_flags[k];
                        continue;
                }
                op = plan_add(a, p, STAGE_ENTER, OP_NS_JOIN);
                op->ns.kind = k;
                op->ns.path = n->path;
        }
        if (p->ns_new & CLONE_NEWTIME && offsets)
                plan_add(a, p, STAGE_ENTER, OP_TIME_OFFSETS);
        plan_add(a, p, STAGE_ENTER, OP_NS_NEW)->flags = p->ns_new;
        p->userns = l->namespaces[NS_USER].present;
        p->userns_new = ns_new(p->spec, NS_USER);
}

static void plan_adopt(struct arena *a, struct plan *p, unsigned flags)
{
        const struct spec_linux *l = &p->spec->linux_;
        const struct spec_process *proc = p->process;

        if (wants_delegation(p))
                plan_add(a, p, STAGE_ADOPT, OP_DELEGATE);
        if (p->userns_new)
                plan_add(a, p, STAGE_ADOPT, OP_ID_MAPS);
        if (proc && proc->oom_score_adj.set)
                plan_add(a, p, STAGE_ADOPT, OP_OOM_SCORE)->number = proc->oom_score_adj.v;
        if (proc && proc->n_rlimits && p->userns && !(flags & PLAN_ROOTLESS))
                plan_add(a, p, STAGE_READY, OP_RLIMITS);
        for (size_t i = 0; i < l->n_net_devices; i++)
                plan_add(a, p, STAGE_ADOPT, OP_NET_DEVICE)->net_device = &l->net_devices[i];
        if (l->intel_rdt)
                plan_add(a, p, STAGE_ADOPT, OP_RDT_ASSIGN);
}

static void plan_identity(struct arena *a, struct plan *p)
{
        const struct spec *s = p->spec;

        if (ns_new(s, NS_CGROUP))
                plan_add(a, p, STAGE_MOUNT, OP_CGROUP_NS);
        if (p->userns)
                plan_add(a, p, STAGE_MOUNT, OP_ROOT_IDS);
        if (ns_new(s, NS_NET))
                plan_add(a, p, STAGE_MOUNT, OP_LOOPBACK);
        if (!str_empty(s->hostname))
                plan_add(a, p, STAGE_MOUNT, OP_HOSTNAME)->text = s->hostname;
        if (!str_empty(s->domainname))
                plan_add(a, p, STAGE_MOUNT, OP_DOMAINNAME)->text = s->domainname;
}

static bool named_before(const struct strings *list, size_t i)
{
        for (size_t k = 0; k < i; k++)
                if (str_eq(list->v[k], list->v[i]))
                        return true;
        return false;
}

static void plan_root(struct arena *a, struct plan *p, unsigned flags)
{
        const struct spec *s = p->spec;
        const struct spec_linux *l = &s->linux_;
        bool own_mounts = l->namespaces[NS_MOUNT].present;

        add_hooks(a, p, STAGE_RUNTIME, HOOK_PRESTART);
        add_hooks(a, p, STAGE_RUNTIME, HOOK_CREATE_RUNTIME);
        add_hooks(a, p, STAGE_ROOT, HOOK_CREATE_CONTAINER);
        for (size_t i = 0; i < l->sysctl.n; i++)
                plan_add(a, p, STAGE_ROOT, OP_SYSCTL)->pair = &l->sysctl.v[i];
        plan_add(a, p, STAGE_ROOT, OP_PIVOT)->number = !own_mounts ? 2 : !!(flags & PLAN_NO_PIVOT);
        if (!own_mounts)
                return;
        if (p->process && p->process->terminal && p->devices)
                plan_add(a, p, STAGE_ROOT, OP_CONSOLE_MOUNT);
        if (p->dev_readonly)
                plan_add(a, p, STAGE_ROOT, OP_DEV_READONLY);
        for (size_t i = 0; i < l->readonly_paths.n; i++)
                plan_add(a, p, STAGE_ROOT, OP_READONLY_PATH)->text = l->readonly_paths.v[i];
        for (size_t i = 0; i < l->masked_paths.n; i++)
                if (!named_before(&l->masked_paths, i))
                        plan_add(a, p, STAGE_ROOT, OP_MASK)->text = l->masked_paths.v[i];
        if (s->root.readonly)
                plan_add(a, p, STAGE_ROOT, OP_ROOT_READONLY);
        if (!str_empty(l->rootfs_propagation))
                plan_add(a, p, STAGE_ROOT, OP_ROOT_PROPAGATION)->flags =
                        mount_opt_find(l->rootfs_propagation)->value;
}

static const char *absolute_root(struct arena *a, const char *bundle, const char *path)
{
        char buf[4096];

        if (path_join(bundle, path, buf, sizeof buf) < 0)
                return NULL;
        return arena_strdup(a, buf);
}

int plan_create(struct arena *a, const struct plan_input *in, struct plan *p, struct err *e)
{
        const struct spec *s = in->spec;

        *p = (struct plan){ .spec = s,
                            .process = s->process,
                            .id = in->id,
                            .bundle = in->bundle,
                            .state_dir = in->state_dir,
                            .flags = in->flags,
                            .notify_socket = in->notify_socket };
        if (str_empty(s->root.path))
                return err_set(e, ERR_INVALID, "root.path: it is required on Linux");
        p->rootfs = absolute_root(a, in->bundle, s->root.path);
        if (!p->rootfs)
                return err_set(e, ERR_INVALID, "root.path: it is too long");
        plan_add(a, p, STAGE_HOST, OP_STATE)->text = in->state_dir;
        if (plan_cgroup(a, in, p, e) < 0)
                return -1;
        if (s->linux_.intel_rdt)
                plan_add(a, p, STAGE_HOST, OP_RDT);
        if (in->notify_socket)
                plan_add(a, p, STAGE_HOST, OP_NOTIFY);
        plan_namespaces(a, p);
        plan_adopt(a, p, in->flags);
        plan_identity(a, p);
        if (plan_mounts(a, in, p, e) < 0)
                return -1;
        plan_root(a, p, in->flags);
        if (p->process && plan_process(a, p, in->flags, false, e) < 0)
                return -1;
        add_hooks(a, p, STAGE_START, HOOK_START_CONTAINER);
        if (p->process)
                plan_add(a, p, STAGE_START, OP_EXEC)->text = p->process->args.v[0];
        add_hooks(a, p, STAGE_STARTED, HOOK_POSTSTART);
        return 0;
}

int plan_exec(struct arena *a, const struct plan_exec_input *in, struct plan *p, struct err *e)
{
        const struct spec_linux *l = &in->spec->linux_;
        uint64_t flags = 0;

        *p = (struct plan){ .spec = in->spec,
                            .process = in->process,
                            .id = in->id,
                            .bundle = in->bundle,
                            .flags = in->flags };
        for (int k = 0; k < NS_MAX; k++)
                if (l->namespaces[k].present)
                        flags |= ns_flags[k];
        p->userns = l->namespaces[NS_USER].present;
        plan_add(a, p, STAGE_ENTER, OP_CGROUP_JOIN);
        plan_add(a, p, STAGE_ENTER, OP_NS_ENTER)->flags = flags;
        plan_add(a, p, STAGE_ENTER, OP_NS_NEW);
        if (in->process->oom_score_adj.set)
                plan_add(a, p, STAGE_ADOPT, OP_OOM_SCORE)->number = in->process->oom_score_adj.v;
        if (in->process->n_rlimits && p->userns && !(in->flags & PLAN_ROOTLESS))
                plan_add(a, p, STAGE_READY, OP_RLIMITS);
        if (l->intel_rdt)
                plan_add(a, p, STAGE_ADOPT, OP_RDT_ASSIGN);
        if (p->userns)
                plan_add(a, p, STAGE_MOUNT, OP_ROOT_IDS);
        if (in->process->terminal)
                plan_add(a, p, STAGE_MOUNT, OP_CONSOLE);
        if (plan_process(a, p, in->flags, true, e) < 0)
                return -1;
        plan_add(a, p, STAGE_START, OP_EXEC)->text = in->process->args.v[0];
        return 0;
}
