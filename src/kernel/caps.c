#include "kernel/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/macro.h"

#define BIT(n) (1ull << (n))

const char *const caps_set_names[] = { "bounding", "effective", "permitted", "inheritable",
                                       "ambient" };
static_assert(ARRAY_SIZE(caps_set_names) == CAPS_SET_MAX, "a name for each set");

static const char *const names[] = {
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_DAC_READ_SEARCH",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETPCAP",
        "CAP_LINUX_IMMUTABLE",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_BROADCAST",
        "CAP_NET_ADMIN",
        "CAP_NET_RAW",
        "CAP_IPC_LOCK",
        "CAP_IPC_OWNER",
        "CAP_SYS_MODULE",
        "CAP_SYS_RAWIO",
        "CAP_SYS_CHROOT",
        "CAP_SYS_PTRACE",
        "CAP_SYS_PACCT",
        "CAP_SYS_ADMIN",
        "CAP_SYS_BOOT",
        "CAP_SYS_NICE",
        "CAP_SYS_RESOURCE",
        "CAP_SYS_TIME",
        "CAP_SYS_TTY_CONFIG",
        "CAP_MKNOD",
        "CAP_LEASE",
        "CAP_AUDIT_WRITE",
        "CAP_AUDIT_CONTROL",
        "CAP_SETFCAP",
        "CAP_MAC_OVERRIDE",
        "CAP_MAC_ADMIN",
        "CAP_SYSLOG",
        "CAP_WAKE_ALARM",
        "CAP_BLOCK_SUSPEND",
        "CAP_AUDIT_READ",
        "CAP_PERFMON",
        "CAP_BPF",
        "CAP_CHECKPOINT_RESTORE",
};
static_assert(ARRAY_SIZE(names) == CAPS_MAX, "CAPS_MAX counts the names");

const char *caps_name(unsigned n)
{
        return n < CAPS_MAX ? names[n] : NULL;
}

int caps_number(const char *name)
{
        for (unsigned i = 0; i < CAPS_MAX; i++)
                if (strcmp(names[i], name) == 0)
                        return (int)i;
        return -1;
}

static bool in_bounding(unsigned n)
{
        return prctl(PR_CAPBSET_READ, n, 0, 0, 0) > 0;
}

static bool exists(unsigned n)
{
        return n < 64 && prctl(PR_CAPBSET_READ, n, 0, 0, 0) >= 0;
}

uint64_t caps_known(void)
{
        unsigned n = CAPS_MAX;

        /* The newest one by name is the newest one of every kernel since 5.9: two probes. */
        while (n > 0 && !exists(n - 1))
                n--;
        while (exists(n))
                n++;
        return n == 64 ? UINT64_MAX : BIT(n) - 1;
}

size_t caps_parse_list(const char *const *list, size_t n, uint64_t known, uint64_t *ret_mask,
                       const char **ret_left_out)
{
        uint64_t mask = 0;
        size_t left_out = 0;

        for (size_t i = 0; i < n; i++) {
                int c = caps_number(list[i]);

                if (c >= 0 && known & BIT(c))
                        mask |= BIT(c);
                else
                        ret_left_out[left_out++] = list[i];
        }
        *ret_mask = mask;
        return left_out;
}

/* ---- the calling thread's sets ---- */

struct three {
        uint64_t effective, permitted, inheritable;
};

static int three_get(struct three *ret)
{
        struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3];

        if (syscall(SYS_capget, &h, d) < 0)
                return -errno;
        ret->effective = d[0].effective | (uint64_t)d[1].effective << 32;
        ret->permitted = d[0].permitted | (uint64_t)d[1].permitted << 32;
        ret->inheritable = d[0].inheritable | (uint64_t)d[1].inheritable << 32;
        return 0;
}

static int three_set(const struct three *t)
{
        struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3] = {
                { (uint32_t)t->effective, (uint32_t)t->permitted, (uint32_t)t->inheritable },
                { (uint32_t)(t->effective >> 32), (uint32_t)(t->permitted >> 32),
                  (uint32_t)(t->inheritable >> 32) },
        };

        return syscall(SYS_capset, &h, d) < 0 ? -errno : 0;
}

int caps_get(struct caps_sets *ret)
{
        struct three t = { 0 };
        int r = three_get(&t);

        if (r < 0)
                return r;
        *ret = (struct caps_sets){ 0 };
        ret->v[CAPS_EFFECTIVE] = t.effective;
        ret->v[CAPS_PERMITTED] = t.permitted;
        ret->v[CAPS_INHERITABLE] = t.inheritable;
        for (unsigned i = 0; exists(i); i++) {
                if (in_bounding(i))
                        ret->v[CAPS_BOUNDING] |= BIT(i);
                if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) > 0)
                        ret->v[CAPS_AMBIENT] |= BIT(i);
        }
        return 0;
}

int caps_drop_bounding(uint64_t keep, uint64_t known)
{
        for (unsigned i = 0; i < 64; i++) {
                if (!(known & ~keep & BIT(i)))
                        continue;
                /* Dropping what isn't there costs less than asking first. */
                if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0 && (errno != EPERM || in_bounding(i)))
                        return -errno;
        }
        return 0;
}

int caps_keep(bool keep)
{
        return prctl(PR_SET_KEEPCAPS, keep, 0, 0, 0) < 0 ? -errno : 0;
}

int caps_raise_permitted(void)
{
        struct three t = { 0 };
        int r = three_get(&t);

        if (r < 0 || t.effective == t.permitted)
                return r;
        t.effective = t.permitted;
        return three_set(&t);
}

/* What capset(2) lets into the inheritable set, of want: cap_capset() in security/commoncap.c. */
static uint64_t inheritable_of(uint64_t want, const struct three *now)
{
        uint64_t added = want & ~now->inheritable;

        if (!(now->effective & BIT(CAP_SETPCAP)))
                added &= now->permitted;
        for (unsigned i = 0; i < 64; i++)
                if (added & BIT(i) && !in_bounding(i))
                        added &= ~BIT(i);
        return (want & now->inheritable) | added;
}

/* Raises what it can of want; returns what the kernel refused, as securebits may have it. */
static uint64_t ambient_raise(uint64_t want)
{
        uint64_t refused = 0;

        for (unsigned i = 0; i < 64; i++)
                if (want & BIT(i) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0)
                        refused |= BIT(i);
        return refused;
}

int caps_apply(const struct caps_sets *want, struct caps_sets *ret_refused)
{
        struct caps_sets refused = { 0 };
        struct three now = { 0 }, set;
        uint64_t ambient;
        int r;

        r = three_get(&now);
        if (r < 0)
                return r;
        set.permitted = want->v[CAPS_PERMITTED] & now.permitted;
        set.effective = want->v[CAPS_EFFECTIVE] & set.permitted;
        set.inheritable = inheritable_of(want->v[CAPS_INHERITABLE], &now);
        r = three_set(&set);
        if (r < 0)
                return r;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
                return -errno;
        ambient = want->v[CAPS_AMBIENT] & set.permitted & set.inheritable;
        ambient &= ~ambient_raise(ambient);

        refused.v[CAPS_PERMITTED] = want->v[CAPS_PERMITTED] & ~set.permitted;
        refused.v[CAPS_EFFECTIVE] = want->v[CAPS_EFFECTIVE] & ~set.effective;
        refused.v[CAPS_INHERITABLE] = want->v[CAPS_INHERITABLE] & ~set.inheritable;
        refused.v[CAPS_AMBIENT] = want->v[CAPS_AMBIENT] & ~ambient;
        if (ret_refused)
                *ret_refused = refused;
        return 0;
}

int caps_act_as(uid_t uid, gid_t gid)
{
        setfsgid(gid);
        setfsuid(uid);
        return caps_raise_permitted();
}
