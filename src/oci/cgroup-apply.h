/* A container's cgroup with words: carries out a struct cgroup_plan and turns what kernel/cgroup.h
 * reports into errors that name the field, the file, the controller and a way out. */
#pragma once

#include "base/err.h"
#include "kernel/cgroup.h"
#include "oci/plan-cgroup.h"

/* Words a failure of kernel/cgroup.h; returns -1. */
int cgroup_err(struct err *e, const struct cgroup_fail *f);

/* The path that a container gets where linux.cgroupsPath is absent, as runc: its id, relative. */
int cgroup_locate_container(struct arena *a, const struct cgroup_layout *l,
                            const char *cgroups_path, const char *id, struct cgroup *ret,
                            struct err *e);

/* Writes every setting and, where the plan restricts devices through v2, loads and attaches the
 * program (replacing an earlier one in one step). Stops at the first failure; e then says how
 * many of how many settings are in force. */
int cgroup_plan_apply(const struct cgroup *c, const struct cgroup_plan *p, struct err *e);

/* What an update's plan has to know. Absent files leave UINT64_MAX. */
void cgroup_now_read(const struct cgroup *c, struct cgroup_now *ret);
