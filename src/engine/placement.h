/* Where containers and their monitors live among the host's cgroups.
 *
 * Where systemd is init and cgroup v2 the only version, one delegated scope a container:
 *
 *      SLICE/berth-ID.scope/container    what it runs; ours to make, limit, read and remove
 *      SLICE/berth-ID.scope/monitor      its monitor
 *
 * The monitor keeps the scope populated: systemd removes the cgroup of a scope as soon as its last
 * process has exited, which would be before the evidence is read (M1). And it keeps the monitor
 * out of the session or service whose command started it, which systemd may end at any time.
 *
 * Elsewhere (cgroupfs) PARENT/berth-ID, and all monitors in /berth-monitors of the v2 hierarchy,
 * where there is one: out of reach of who ends the group of the shell that started them. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"

enum cgroup_manager { MANAGER_AUTO, MANAGER_SYSTEMD, MANAGER_CGROUPFS, MANAGER_MAX };
extern const char *const cgroup_manager_names[MANAGER_MAX + 1]; /* of those that can be asked for */

/* Whether it is systemd. ERR_UNAVAILABLE: it was asked for, and there is none. */
int placement_manager(enum cgroup_manager asked, bool *ret_systemd, struct err *e);

#define PLACEMENT_SLICE "system.slice" /* which, as init's own, is never stopped */

/* The cgroupsPath of a container's config.json, in a. parent: --cgroup-parent, or NULL; with
 * systemd a slice. */
int placement_path(struct arena *a, bool systemd, const char *parent, const char *id,
                   const char **ret, struct err *e);
/* The same for a sandbox without a monitor, for the runtime's own driver. */
int placement_direct(struct arena *a, bool systemd, const char *parent, const char *id,
                     const char **ret, struct err *e);

/* A cgroup for a monitor to be born in. */
struct placement {
        int cgroup;   /* or -1: where its starter is */
        pid_t holder; /* a process that keeps the cgroup until the monitor is in it; or 0 */
};
/* slice NULL: without systemd. */
int placement_make(const char *slice, const char *id, struct placement *ret, struct err *e);
/* The monitor is in it, or will never be. */
void placement_done(struct placement *p);
