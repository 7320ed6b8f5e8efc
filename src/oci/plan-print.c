/* A plan as text: one operation a line, "stage: verb what". */
#include <string.h>

#include "base/safe.h"
#include "base/str.h"
#include "kernel/lsm.h"
#include "oci/plan.h"

const char *const op_names[] = {
        [OP_STATE] = "make-state-dir",
        [OP_CGROUP] = "make-cgroup",
        [OP_CGROUP_SET] = "set-cgroup",
        [OP_RDT] = "make-rdt-class",
        [OP_NOTIFY] = "make-notify-socket",
        [OP_SOURCE] = "open-source",
        [OP_ROOT_SOURCE] = "open-root",
        [OP_CGROUP_JOIN] = "join-cgroup",
        [OP_NS_JOIN] = "join-ns",
        [OP_NS_ENTER] = "enter-ns",
        [OP_TIME_OFFSETS] = "set-time-offsets",
        [OP_NS_NEW] = "clone-init",
        [OP_SCOPE] = "start-scope",
        [OP_DELEGATE] = "delegate-cgroup",
        [OP_ID_MAPS] = "write-id-maps",
        [OP_OOM_SCORE] = "set-oom-score",
        [OP_RLIMITS] = "set-rlimits",
        [OP_NET_DEVICE] = "move-net-device",
        [OP_RDT_ASSIGN] = "assign-rdt",
        [OP_CGROUP_NS] = "new-cgroup-ns",
        [OP_ROOT_IDS] = "become-root",
        [OP_LOOPBACK] = "set-loopback-up",
        [OP_HOSTNAME] = "set-hostname",
        [OP_DOMAINNAME] = "set-domainname",
        [OP_PROPAGATION] = "cut-propagation",
        [OP_ROOT_MOUNT] = "mount-root",
        [OP_MOUNT] = "mount",
        [OP_CGROUP_MOUNT] = "mount-cgroups",
        [OP_DEVICE] = "make-device",
        [OP_DEV_LINK] = "link",
        [OP_NOTIFY_MOUNT] = "mount-notify-socket",
        [OP_CWD_MAKE] = "make-cwd",
        [OP_CONSOLE] = "open-console",
        [OP_HOOK] = "run-hook",
        [OP_SYSCTL] = "set-sysctl",
        [OP_PIVOT] = "change-root",
        [OP_CONSOLE_MOUNT] = "mount-console",
        [OP_DEV_READONLY] = "make-dev-readonly",
        [OP_READONLY_PATH] = "make-readonly",
        [OP_MASK] = "mask",
        [OP_ROOT_PROPAGATION] = "set-root-propagation",
        [OP_ROOT_READONLY] = "make-root-readonly",
        [OP_KEYRING] = "join-keyring",
        [OP_RLIMIT] = "set-rlimit",
        [OP_PERSONALITY] = "set-personality",
        [OP_MEMORY_POLICY] = "set-memory-policy",
        [OP_SCHEDULER] = "set-scheduler",
        [OP_IO_PRIORITY] = "set-io-priority",
        [OP_AFFINITY] = "set-affinity",
        [OP_UMASK] = "set-umask",
        [OP_FIND_EXEC] = "find-program",
        [OP_LSM] = "set-label",
        [OP_SECCOMP] = "load-seccomp",
        [OP_CAP_BOUNDING] = "drop-bounding-caps",
        [OP_USER] = "set-user",
        [OP_CAPS] = "set-caps",
        [OP_NO_NEW_PRIVS] = "set-no-new-privs",
        [OP_CWD] = "change-dir",
        [OP_EXEC] = "exec",
};
static_assert(ARRAY_SIZE(op_names) == OP_MAX, "each operation has a name");

static void put_ns_flags(struct buf *out, uint64_t flags)
{
        static const struct str_flag names[] = {
                { "user", CLONE_NEWUSER }, { "pid", CLONE_NEWPID },  { "network", CLONE_NEWNET },
                { "ipc", CLONE_NEWIPC },   { "uts", CLONE_NEWUTS },  { "cgroup", CLONE_NEWCGROUP },
                { "time", CLONE_NEWTIME }, { "mount", CLONE_NEWNS }, { NULL, 0 },
        };

        for (const struct str_flag *f = names; f->name; f++)
                if (flags & f->value)
                        buf_printf(out, " %s", f->name);
}

static void put_mount(struct buf *out, const struct plan_mount *m)
{
        const struct spec_mount *s = m->spec;

        buf_printf(out, " %s on %s type %s", str_empty(m->source) ? "none" : m->source,
                   s->destination, m->bind ? (m->rec ? "rbind" : "bind") : s->type);
        for (size_t i = 0; i < s->options.n; i++)
                buf_printf(out, "%s%s", i ? "," : " (", s->options.v[i]);
        if (s->options.n)
                buf_putc(out, ')');
}

static void put_user(struct buf *out, const struct spec_user *u)
{
        buf_printf(out, " %u:%u", u->uid, u->gid);
        for (size_t i = 0; i < u->n_additional_gids; i++)
                buf_printf(out, "%s%u", i ? "," : " groups ", u->additional_gids[i]);
}

static void put_id_maps(struct buf *out, const struct spec_linux *l)
{
        for (size_t i = 0; i < l->uid_mappings.n; i++)
                buf_printf(out, " uid %u->%u+%u", l->uid_mappings.v[i].container_id,
                           l->uid_mappings.v[i].host_id, l->uid_mappings.v[i].size);
        for (size_t i = 0; i < l->gid_mappings.n; i++)
                buf_printf(out, " gid %u->%u+%u", l->gid_mappings.v[i].container_id,
                           l->gid_mappings.v[i].host_id, l->gid_mappings.v[i].size);
}

static void put_caps(struct buf *out, const char *name, const struct strings *caps)
{
        buf_printf(out, " %s=", name);
        for (size_t i = 0; i < caps->n; i++)
                buf_printf(out, "%s%s", i ? "," : "", caps->v[i]);
}

static void put_cgroup(struct buf *out, const struct cgroup *c)
{
        for (size_t i = 0; i < c->n; i++)
                buf_printf(out, " %s", c->v[i].path);
}

static void put_propagation(struct buf *out, uint64_t flags)
{
        for (const struct mount_opt *o = mount_opts; o->name; o++)
                if (o->kind == MOUNT_OPT_PROPAGATION_REC && o->value == flags)
                        buf_printf(out, " %s", o->name);
}

/* What an operation with a text says after its name; most do no more than that. */
static void put_details(const struct plan *p, const struct op *op, struct buf *out)
{
        const struct spec_linux *l = &p->spec->linux_;

        switch (op->kind) {
        case OP_CGROUP:
        case OP_DELEGATE:
                put_cgroup(out, p->cgroup);
                break;
        case OP_SCOPE:
                buf_printf(out, " \"%s\"", p->systemd_scope);
                put_cgroup(out, p->cgroup);
                break;
        case OP_SOURCE:
                buf_printf(out, " %s", op->mount->source);
                break;
        case OP_ROOT_SOURCE:
                buf_printf(out, " %s", p->rootfs);
                break;
        case OP_NS_JOIN:
                buf_printf(out, " %s %s", spec_ns_names[op->ns.kind], op->ns.path);
                break;
        case OP_NS_NEW:
        case OP_NS_ENTER:
                put_ns_flags(out, op->flags);
                break;
        case OP_ID_MAPS:
                put_id_maps(out, l);
                break;
        case OP_NET_DEVICE:
                buf_printf(out, " %s as %s", op->net_device->host_name,
                           op->net_device->name ? op->net_device->name : op->net_device->host_name);
                break;
        case OP_PROPAGATION:
        case OP_ROOT_PROPAGATION:
                put_propagation(out, op->flags);
                break;
        case OP_MOUNT:
        case OP_CGROUP_MOUNT:
                put_mount(out, op->mount);
                break;
        case OP_DEVICE:
                buf_printf(out, " %s %c %lld:%lld", op->device->path, op->device->type,
                           (long long)op->device->major, (long long)op->device->minor);
                break;
        case OP_DEV_LINK:
                buf_printf(out, " %s -> %s", op->link.path, op->link.target);
                break;
        case OP_HOOK:
                buf_printf(out, " %s %s", spec_hook_names[op->hook.kind], op->hook.hook->path);
                break;
        default:
                break;
        }
}

static void put_process_details(const struct plan *p, const struct op *op, struct buf *out)
{
        const struct spec_process *s = p->process;

        switch (op->kind) {
        case OP_OOM_SCORE:
                buf_printf(out, " %lld", (long long)op->number);
                break;
        case OP_AFFINITY:
                buf_printf(out, " %s", op->text ? op->text : "to all of the cpuset");
                break;
        case OP_UMASK:
                buf_printf(out, " %04llo", (unsigned long long)op->number);
                break;
        case OP_SYSCTL:
                buf_printf(out, " %s = %s", op->pair->key, op->pair->value);
                break;
        case OP_PIVOT:
                buf_puts(out, op->number == 0   ? " by pivot_root"
                              : op->number == 1 ? " by moving it over /"
                                                : " by chroot");
                break;
        case OP_RLIMIT:
                buf_printf(out, " %s %llu %llu", op->rlimit->type,
                           (unsigned long long)op->rlimit->soft,
                           (unsigned long long)op->rlimit->hard);
                break;
        case OP_LSM:
                buf_printf(out, " %s %s", lsm_kind_names[op->detail], op->text);
                break;
        case OP_SECCOMP:
                buf_printf(out, " default %s, %zu rules", p->spec->linux_.seccomp->default_action,
                           p->spec->linux_.seccomp->n_rules);
                break;
        case OP_CAP_BOUNDING:
                put_caps(out, "to", &plan_caps(p)->bounding);
                break;
        case OP_CAPS:
                put_caps(out, "effective", &plan_caps(p)->effective);
                put_caps(out, "permitted", &plan_caps(p)->permitted);
                put_caps(out, "inheritable", &plan_caps(p)->inheritable);
                put_caps(out, "ambient", &plan_caps(p)->ambient);
                break;
        case OP_USER:
                put_user(out, &s->user);
                break;
        case OP_STATE:
        case OP_HOSTNAME:
        case OP_DOMAINNAME:
        case OP_ROOT_MOUNT:
        case OP_CWD_MAKE:
        case OP_READONLY_PATH:
        case OP_MASK:
        case OP_KEYRING:
        case OP_FIND_EXEC:
        case OP_CWD:
                buf_printf(out, " %s", op->text);
                break;
        default:
                break;
        }
}

static void put_exec(const struct plan *p, struct buf *out)
{
        for (size_t i = 0; i < p->process->args.n; i++)
                buf_printf(out, " %s", p->process->args.v[i]);
}

void plan_print_op(const struct plan *p, const struct op *op, struct buf *out)
{
        AUTO_BUF details = { 0 };

        if (op->kind == OP_CGROUP_SET) {
                for (size_t i = 0; i < p->limits->n; i++) {
                        buf_printf(out, "%s%s: %s ", i ? "\n" : "", stage_names[op->stage],
                                   op_names[op->kind]);
                        cgroup_setting_print(&p->limits->v[i], out);
                }
                if (p->limits->devices)
                        buf_printf(out, "%s%s: %s device rules, %zu, as a program",
                                   p->limits->n ? "\n" : "", stage_names[op->stage],
                                   op_names[op->kind], p->limits->n_rules);
                return;
        }
        buf_printf(out, "%s: %s", stage_names[op->stage], op_names[op->kind]);
        /* One line, whatever an image has put into a path or an argument. */
        put_details(p, op, &details);
        put_process_details(p, op, &details);
        if (op->kind == OP_EXEC)
                put_exec(p, &details);
        safe_puts(out, buf_str(&details));
}

void plan_print(const struct plan *p, struct buf *out)
{
        for (int stage = 0; stage < STAGE_MAX; stage++)
                for (size_t i = 0; i < p->n; i++) {
                        size_t before = out->len;

                        if (p->ops[i].stage != (enum stage)stage)
                                continue;
                        plan_print_op(p, &p->ops[i], out);
                        if (out->len > before)
                                buf_putc(out, '\n');
                }
}
