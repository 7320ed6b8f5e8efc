#include "kernel/process.h"

#include <errno.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

const struct str_flag process_rlimits[] = {
        { "RLIMIT_CPU", RLIMIT_CPU },
        { "RLIMIT_FSIZE", RLIMIT_FSIZE },
        { "RLIMIT_DATA", RLIMIT_DATA },
        { "RLIMIT_STACK", RLIMIT_STACK },
        { "RLIMIT_CORE", RLIMIT_CORE },
        { "RLIMIT_RSS", RLIMIT_RSS },
        { "RLIMIT_NPROC", RLIMIT_NPROC },
        { "RLIMIT_NOFILE", RLIMIT_NOFILE },
        { "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
        { "RLIMIT_AS", RLIMIT_AS },
        { "RLIMIT_LOCKS", RLIMIT_LOCKS },
        { "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
        { "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
        { "RLIMIT_NICE", RLIMIT_NICE },
        { "RLIMIT_RTPRIO", RLIMIT_RTPRIO },
        { "RLIMIT_RTTIME", RLIMIT_RTTIME },
        { NULL, 0 },
};
static_assert(ARRAY_SIZE(process_rlimits) == RLIM_NLIMITS + 1, "every limit has a name");

int process_rlimit_set(pid_t pid, int resource, uint64_t soft, uint64_t hard)
{
        struct rlimit l = { .rlim_cur = soft, .rlim_max = hard };

        return prlimit(pid, resource, &l, NULL) < 0 ? -errno : 0;
}

int process_rlimit_get(pid_t pid, int resource, uint64_t *ret_soft, uint64_t *ret_hard)
{
        struct rlimit l;

        if (prlimit(pid, resource, NULL, &l) < 0)
                return -errno;
        *ret_soft = l.rlim_cur;
        *ret_hard = l.rlim_max;
        return 0;
}

const struct str_flag process_domains[] = {
        { "LINUX", PER_LINUX },
        { "LINUX32", PER_LINUX32 },
        { NULL, 0 },
};

int process_personality(unsigned persona)
{
        return personality(persona) < 0 ? -errno : 0;
}

/* The permissions out of KEYCTL_DESCRIBE's "type;uid;gid;perm;name". */
static int keyring_perms(int ring, uint32_t *ret)
{
        char text[512];
        unsigned perms;
        long n = syscall(SYS_keyctl, KEYCTL_DESCRIBE, ring, text, sizeof text - 1);

        if (n < 0)
                return -errno;
        text[MIN((size_t)n, sizeof text - 1)] = 0;
        if (sscanf(text, "%*[^;];%*d;%*d;%x;", &perms) != 1)
                return -EBADMSG;
        *ret = perms;
        return 0;
}

int process_keyring_join(const char *name, uint32_t add_perms)
{
        long ring = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name);
        uint32_t perms;
        int r;

        if (ring < 0)
                return errno == ENOSYS ? -EOPNOTSUPP : -errno;
        if (!add_perms)
                return 0;
        r = keyring_perms((int)ring, &perms);
        if (r < 0 || (perms & add_perms) == add_perms)
                return r;
        r = (int)syscall(SYS_keyctl, KEYCTL_SETPERM, (int)ring, perms | add_perms);
        return r < 0 ? -errno : 0;
}
