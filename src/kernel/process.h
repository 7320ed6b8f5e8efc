/* Small attributes of the calling process: resource limits, execution domain, session keyring. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"

/* "RLIMIT_CPU", ...; ended by a NULL name. The value is the RLIMIT_ constant. */
extern const struct str_flag process_rlimits[];
/* RLIM_INFINITY is UINT64_MAX. 0, or -errno: -EPERM when hard would rise without CAP_SYS_RESOURCE
 * (or NOFILE beyond fs.nr_open), -EINVAL when soft exceeds hard. */
int process_rlimit_set(pid_t pid, int resource, uint64_t soft, uint64_t hard);
int process_rlimit_get(pid_t pid, int resource, uint64_t *ret_soft, uint64_t *ret_hard);

/* "LINUX", "LINUX32": PER_ values for process_personality(); ended by a NULL name. */
extern const struct str_flag process_domains[];
/* personality(2), keeping no flags. 0 or -errno. */
int process_personality(unsigned persona);

/* Leaves the session keyring that was inherited: joins the caller's one of that name, making it
 * where there is none ("_ses.<container>"). add_perms, the KEY_ bits below or 0, is what its
 * permissions get in addition, so that an exec finds the ring again: search for its owner, or for
 * others where the container has a user namespace. 0, or
 *   -EOPNOTSUPP  no keyrings in this kernel, or a seccomp profile around us hides them: go on
 *   -EDQUOT      the user's quota (/proc/sys/kernel/keys/maxkeys) is used up
 *   other -errno. */
int process_keyring_join(const char *name, uint32_t add_perms);
#define PROCESS_KEY_USER_SEARCH 0x00080000u
#define PROCESS_KEY_OTHER_SEARCH 0x00000008u
