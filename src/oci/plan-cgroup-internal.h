/* Shared by the files of oci/plan-cgroup*.c alone: the plan being built. */
#pragma once

#include "oci/plan-cgroup.h"

struct cgroup_planner {
        struct arena *a;
        const struct cgroup *c;
        const struct spec_resources *r;
        const struct cgroup_now *now;
        bool updates, no_devices;
        struct cgroup_plan *out;
        size_t cap; /* of out->v */
        struct err *e;
};

/* Appends a write; field and file must live as long as the arena, the value is formatted. field
 * is what follows "linux.resources.". */
void plan_put(struct cgroup_planner *p, enum cgroup_controller controller, unsigned flags,
              const char *field, const char *file, const char *fmt, ...) PRINTF_LIKE(6, 7);
void plan_warn(struct cgroup_planner *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The controller's version, or -1 with the error that it is missing. */
int plan_need(struct cgroup_planner *p, enum cgroup_controller controller, const char *field);
/* "linux.resources.FIELD: ..."; returns -1. */
int plan_invalid(struct cgroup_planner *p, const char *field, const char *fmt, ...)
        PRINTF_LIKE(3, 4);

int plan_io(struct cgroup_planner *p);
int plan_unified(struct cgroup_planner *p);
int plan_devices(struct cgroup_planner *p);

/* cpu.shares <-> cpu.weight; the formula is in plan-cgroup.c. */
uint64_t cgroup_weight_of_shares(uint64_t shares);
uint64_t cgroup_shares_of_weight(uint64_t weight);
