/* Starting the helper programs (berth-fetch, berth-layer) that are installed beside berth. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/* Where the program name is: in $BERTH_LIBEXEC; else beside the running program, in a build tree
 * (src/libexec/, or beside it) or wherever it was installed (../libexec/berth/); else in
 * BERTH_LIBEXECDIR. */
int helper_path(const char *name, char *buf, size_t cap, struct err *e);

/* Starts it with argv (argv[0] is its name) and the environment of this process. Descriptor i of
 * the child is fds[i]; -1: not open there, except 0-2, which then are /dev/null or, for standard
 * error, ours. None else is inherited. It is born in the cgroup (v2) that cgroup is a descriptor
 * of, where it may be; -1: in ours. *ret_pidfd is close-on-exec, the caller's to close; the
 * child is the caller's to reap. */
#define HELPER_FDS_MAX 16
int helper_start(const char *const *argv, const int *fds, size_t nfds, int cgroup, pid_t *ret_pid,
                 int *ret_pidfd, struct err *e);
