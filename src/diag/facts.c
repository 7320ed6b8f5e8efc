/* Name tables and small helpers of struct facts. */
#include "diag/facts.h"

#include <errno.h>
#include <linux/capability.h>

#include "base/str.h"

const char *const num_state_names[NUM_STATE_MAX] = {
        [NUM_UNREAD] = "not read",
        [NUM_KNOWN] = "known",
        [NUM_MAX] = "unlimited",
        [NUM_ABSENT] = "the kernel has no such file here",
        [NUM_DENIED] = "permission denied",
        [NUM_GONE] = "it vanished meanwhile",
        [NUM_BAD] = "unexpected content",
        [NUM_HIDDEN] = "outside this mount or cgroup namespace",
};

const char *const owner_evidence_names[EVIDENCE_MAX] = {
        [EVIDENCE_STATE] = "state",
        [EVIDENCE_ANCESTOR] = "ancestor",
        [EVIDENCE_CGROUP] = "cgroup",
        [EVIDENCE_NONE] = "none",
};

const char *const ns_relation_names[NS_REL_MAX] = {
        [NS_REL_UNKNOWN] = "unknown", [NS_REL_OWN] = "own",       [NS_REL_HOST] = "host",
        [NS_REL_SELF] = "reader",     [NS_REL_ABSENT] = "absent",
};

const char *const ns_proc_names[NS_MAX] = {
        [NS_USER] = "user", [NS_PID] = "pid",       [NS_NET] = "net",   [NS_IPC] = "ipc",
        [NS_UTS] = "uts",   [NS_CGROUP] = "cgroup", [NS_TIME] = "time", [NS_MOUNT] = "mnt",
};

const char *const psi_names[PSI_MAX] = {
        [PSI_CPU] = "cpu",
        [PSI_MEMORY] = "memory",
        [PSI_IO] = "io",
};

const char *const device_policy_names[DEVICES_POLICY_MAX] = {
        [DEVICES_UNKNOWN] = "unknown",
        [DEVICES_ALL] = "all",
        [DEVICES_LIST] = "list",
        [DEVICES_PROGRAM] = "program",
};

const char *const mount_role_names[MOUNT_ROLE_MAX] = {
        [MOUNT_ROOT] = "root",     [MOUNT_DATA] = "data",
        [MOUNT_SYSTEM] = "system", [MOUNT_ENGINE] = "engine",
        [MOUNT_MASKED] = "masked", [MOUNT_READONLY_PATH] = "readonly-path",
};

struct num num_delta(struct num earlier, struct num later)
{
        if (!num_known(earlier))
                return earlier;
        if (!num_known(later))
                return later;
        if (later.v < earlier.v)
                return (struct num){ NUM_BAD, 0 };
        return num_of(later.v - earlier.v);
}

enum num_state num_state_of(int sys)
{
        switch (sys < 0 ? -sys : sys) {
        case 0:
                return NUM_KNOWN;
        case EACCES:
        case EPERM:
                return NUM_DENIED;
        case ENODEV: /* a cgroup's file after its rmdir */
        case ESRCH:
                return NUM_GONE;
        case EFBIG:
        case EINVAL:
                return NUM_BAD;
        default:
                return NUM_ABSENT;
        }
}

void facts_unchecked(struct facts *f, const char *what, const char *why)
{
        for (size_t i = 0; i < f->n_unchecked; i++)
                if (str_eq(f->unchecked[i].what, what))
                        return;
        if (f->n_unchecked < FACTS_UNCHECKED_MAX)
                f->unchecked[f->n_unchecked++] = (struct unchecked){ what, why };
}

void facts_unread(struct facts *f, const char *what, enum num_state is)
{
        if (is == NUM_DENIED)
                f->denied = true;
        facts_unchecked(f, what, num_state_names[is]);
}

void facts_drift(struct facts *f, const char *what, const char *declared, const char *effective)
{
        struct drift_facts *d = &f->drift;

        if (d->n == d->cap) {
                struct drift *v = arena_array(f->arena, struct drift, d->cap ? 2 * d->cap : 16);

                if (d->n)
                        memcpy(v, d->v, d->n * sizeof *v);
                d->v = v;
                d->cap = d->cap ? 2 * d->cap : 16;
        }
        d->v[d->n++] = (struct drift){ what, declared, effective };
}

/* See the audit rules of capabilities(7)'s "notes to kernel developers": each of these alone,
 * held in the namespace that owns the host's resources, gives root there or the data of
 * everyone. */
bool cap_is_dangerous(unsigned cap)
{
        static const unsigned char dangerous[] = {
                CAP_SYS_ADMIN, CAP_SYS_MODULE, CAP_SYS_RAWIO,    CAP_SYS_PTRACE,
                CAP_SYS_BOOT,  CAP_BPF,        CAP_PERFMON,      CAP_DAC_READ_SEARCH,
                CAP_NET_ADMIN, CAP_MAC_ADMIN,  CAP_MAC_OVERRIDE,
        };

        for (size_t i = 0; i < sizeof dangerous; i++)
                if (dangerous[i] == cap)
                        return true;
        return false;
}
