/* seccomp(2): asking the kernel what it supports, and loading a finished filter. Filters are made
 * from a config.json by oci/seccomp-plan.h. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct sock_filter;

/* Loads code[n] for this process. flags are SECCOMP_FILTER_FLAG_*. With ret_listener, the kernel
 * also makes the user notification descriptor (close-on-exec), the caller's to close; TSYNC is
 * dropped then, for the two exclude one another and this process has one thread. It needs
 * no_new_privs or CAP_SYS_ADMIN. From here on the filter is in force: what is called next must be
 * allowed by it. 0, or -errno: -EACCES without that privilege, -EINVAL for a malformed or too long
 * program or an unknown flag, -EBUSY when a listener exists already, -ENOSYS or -EINVAL where the
 * kernel lacks CONFIG_SECCOMP_FILTER. */
int seccomp_install(const struct sock_filter *code, unsigned n, unsigned flags, int *ret_listener);

/* Whether the kernel knows the action, a SECCOMP_RET_* value. */
bool seccomp_has_action(uint32_t action);
/* Whether the kernel knows the flag SECCOMP_FILTER_FLAG_*; loads nothing. */
bool seccomp_has_flag(unsigned flag);
