/* Where a process is in each cgroup hierarchy, and which cgroups lie between it and the root.
 * Pure. */
#pragma once

#include "diag/facts.h"

/* Fills c->place, c->unified and c->layout from /proc/PID/cgroup. host_view: the reader's cgroup
 * namespace is the first one, so that a mount of "/" hides no ancestor. */
void cgroup_places(struct arena *a, const struct cgroup_layout *l, const char *cgroup_text,
                   bool host_view, struct consumes_facts *c);
/* The levels from p up to the mount's root, paths only; numbers unread. */
struct levels cgroup_levels(struct arena *a, const struct place *p);
/* The directory of level i. */
const char *cgroup_level_dir(struct arena *a, const struct place *p, const struct level *l);
/* Sets own and binding from the levels' numbers. */
void cgroup_bind_cpu(struct levels *l);
void cgroup_bind_usage(struct levels *l); /* memory, pids: the least room left */
