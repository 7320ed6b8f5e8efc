/* struct cgroup_plan: linux.resources turned into writes to cgroup files, per controller v1 or
 * v2.
 *
 * Pure: looks at no file system. What it needs to know of the host is in the struct cgroup
 * (which version each controller has) and, for an update, the present limits. Every field of
 * config-linux.md "Control groups" is covered; conversions between v1 and v2 units are in
 * plan-cgroup.c, with their formulas. */
#pragma once

#include "base/err.h"
#include "base/mem.h"
#include "kernel/bpf-device.h"
#include "kernel/cgroup.h"
#include "oci/spec.h"

enum cgroup_setting_flags {
        CGROUP_SET_OPTIONAL = 1, /* a file that this kernel lacks (ENOENT) is passed over */
        CGROUP_SET_ELSE = 2,  /* ... and then the next setting is written instead, else skipped */
        CGROUP_SET_LIMIT = 4, /* of memory: compare with usage when refused */
};

/* One write. */
struct cgroup_setting {
        enum cgroup_controller controller;
        const char *file;  /* "memory.max" */
        const char *value; /* without a newline */
        const char *field; /* "memory.limit": what follows "linux.resources.", for errors */
        unsigned flags;
};

struct cgroup_plan {
        struct cgroup_setting *v; /* in the order in which they must be written */
        size_t n;
        bool updates;        /* CGROUP_PLAN_UPDATE was given */
        cgroup_set required; /* controllers that v and devices need: cgroup_create()'s argument */
        bool devices;        /* whether rules are to be attached as a program (v2); v1 is in v */
        struct device_rule *rules; /* access to devices, in order, the runtime's own included */
        size_t n_rules;
        struct strings warnings; /* e.g. of kernel memory limits, which are ignored */
};

/* What is in force, read before an update: the kernel refuses pairs that are wrong in between,
 * and v2's swap limit excludes memory where config.json's includes it. */
struct cgroup_now {
        uint64_t memory_limit, memory_swap; /* bytes; v1's memory+swap; UINT64_MAX: none */
        uint64_t memory_usage;
        int64_t cpu_quota;      /* us; -1: none */
        uint64_t cpu_period;    /* us */
        uint64_t cpu_burst;     /* us */
        uint64_t cpu_rt_period; /* us */
};
/* What a new cgroup has. */
extern const struct cgroup_now cgroup_now_fresh;

enum cgroup_plan_flags {
        CGROUP_PLAN_UPDATE = 1, /* of a running container: devices stay as they are unless given */
        CGROUP_PLAN_NO_DEVICES = 2 /* rootless: access to devices is not ours to give */
};

/* r may be NULL (no resources: the device default still applies on create). now is NULL on create.
 * Fails with ERR_INVALID for values that make no sense and ERR_UNSUPPORTED for a limit whose
 * controller this host lacks, naming the field. Everything in *ret lives in a. */
int plan_cgroup_resources(struct arena *a, const struct cgroup *c, const struct spec_resources *r,
                          const struct cgroup_now *now, unsigned flags, struct cgroup_plan *ret,
                          struct err *e);

/* "memory memory.max = 67108864", for --plan; one line, no newline. */
void cgroup_setting_print(const struct cgroup_setting *s, struct buf *out);
