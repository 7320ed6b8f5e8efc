/* STAGE_PROCESS: what makes init the user's process, in the order that privileges allow. */
#include "base/str.h"
#include "kernel/lsm.h"
#include "oci/plan.h"

const struct spec_caps *plan_caps(const struct plan *p)
{
        static const struct spec_caps none;

        return p->process->capabilities ? p->process->capabilities : &none;
}

static void add_label(struct arena *a, struct plan *p, enum lsm_kind kind, const char *label)
{
        struct op *op;

        if (str_empty(label))
                return;
        op = plan_add(a, p, STAGE_PROCESS, OP_LSM);
        op->text = label;
        op->detail = kind;
}

static bool listens(const struct spec_seccomp *s)
{
        if (!s)
                return false;
        for (size_t i = 0; i < s->n_rules; i++)
                if (str_eq(s->rules[i].action, "SCMP_ACT_NOTIFY"))
                        return true;
        return false;
}

static void add_scheduling(struct arena *a, struct plan *p, bool exec)
{
        const struct spec_process *s = p->process;

        if (s->scheduler)
                plan_add(a, p, STAGE_PROCESS, OP_SCHEDULER);
        if (s->io_priority)
                plan_add(a, p, STAGE_PROCESS, OP_IO_PRIORITY);
        if (p->spec->linux_.memory_policy)
                plan_add(a, p, STAGE_PROCESS, OP_MEMORY_POLICY);
        if (exec && s->exec_cpu_affinity.initial)
                plan_add(a, p, STAGE_ENTER, OP_AFFINITY)->text = s->exec_cpu_affinity.initial;
        /* The caller's affinity is not the container's: without one of its own, all CPUs of the
         * cpuset. */
        if (exec && s->exec_cpu_affinity.final)
                plan_add(a, p, STAGE_PROCESS, OP_AFFINITY)->text = s->exec_cpu_affinity.final;
        else if (!exec || !s->exec_cpu_affinity.initial)
                plan_add(a, p, STAGE_PROCESS, OP_AFFINITY)->text = NULL;
}

int plan_process(struct arena *a, struct plan *p, unsigned flags, bool exec, struct err *e)
{
        const struct spec_process *s = p->process;
        const struct spec_linux *l = &p->spec->linux_;
        bool early_filter = l->seccomp && !s->no_new_privileges;

        if (s->args.n == 0)
                return err_set(e, ERR_INVALID, "process.args: it must name a program");
        p->listener = listens(l->seccomp);
        if (!(flags & PLAN_NO_KEYRING))
                plan_add(a, p, STAGE_PROCESS, OP_KEYRING)->text = arena_printf(a, "_ses.%s", p->id);
        if (!(p->userns && !(flags & PLAN_ROOTLESS)))
                for (size_t i = 0; i < s->n_rlimits; i++)
                        plan_add(a, p, STAGE_PROCESS, OP_RLIMIT)->rlimit = &s->rlimits[i];
        if (l->personality)
                plan_add(a, p, STAGE_PROCESS, OP_PERSONALITY);
        add_scheduling(a, p, exec);
        add_label(a, p, LSM_APPARMOR, s->apparmor_profile);
        add_label(a, p, LSM_SELINUX, s->selinux_label);
        plan_add(a, p, STAGE_PROCESS, OP_UMASK)->number =
                s->user.umask.set ? (int64_t)s->user.umask.v : 0022;
        if (early_filter)
                plan_add(a, p, STAGE_PROCESS, OP_SECCOMP);
        plan_add(a, p, STAGE_PROCESS, OP_CAP_BOUNDING);
        plan_add(a, p, STAGE_PROCESS, OP_USER);
        plan_add(a, p, STAGE_PROCESS, OP_CWD)->text = s->cwd;
        plan_add(a, p, STAGE_PROCESS, OP_CAPS);
        if (s->no_new_privileges)
                plan_add(a, p, STAGE_PROCESS, OP_NO_NEW_PRIVS);
        plan_add(a, p, STAGE_PROCESS, OP_FIND_EXEC)->text = s->args.v[0];
        /* With no_new_privs the filter needs no privilege, so it comes last: the fewer system calls
         * follow, the fewer must the profile allow. A listener must reach its agent before create
         * returns, though. */
        if (l->seccomp && !early_filter)
                plan_add(a, p, p->listener ? STAGE_PROCESS : STAGE_START, OP_SECCOMP);
        return 0;
}
