#include "kernel/seccomp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

int seccomp_install(const struct sock_filter *code, unsigned n, unsigned flags, int *ret_listener)
{
        struct sock_fprog prog = { .len = (unsigned short)n, .filter = (void *)code };
        long r;

        if (n == 0 || n > BPF_MAXINSNS)
                return -EINVAL;
        if (ret_listener) {
                flags &= ~SECCOMP_FILTER_FLAG_TSYNC;
                flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
        }
        r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
        if (r < 0)
                return -errno;
        if (ret_listener)
                *ret_listener = (int)r;
        return 0;
}

bool seccomp_has_action(uint32_t action)
{
        return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

bool seccomp_has_flag(unsigned flag)
{
        if (flag == SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
                flag |= SECCOMP_FILTER_FLAG_NEW_LISTENER; /* it is refused alone */
        /* Flags are looked at before the program, which is missing here. */
        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flag, NULL) < 0 && errno == EFAULT;
}
