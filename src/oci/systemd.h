/* The systemd cgroup driver (--systemd-cgroup): a transient scope unit per container.
 *
 * berth-oci is static and can't load libsystemd, so the bus is spoken by a program of its own,
 * berth-systemd, started for this alone. Here are the pure parts (unit names, resources as unit
 * properties, the request's text) and the client that runs the helper. The protocol is described in
 * src/libexec/berth-systemd.c. */
#pragma once

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "kernel/cgroup.h"
#include "oci/plan-cgroup.h"
#include "oci/spec.h"

/* Where cgroupsPath "slice:prefix:name" puts a container. */
struct systemd_unit {
        const char *slice; /* "system.slice" by default; rootless "user.slice" */
        const char *name; /* "prefix-name.scope"; "name.scope" without a prefix; a name that ends in
                              ".slice" is the unit itself */
        bool user;        /* on the user's bus */
        const char *helper; /* berth-systemd; NULL: where it was installed */
};

/* cgroups_path NULL or empty: the default slice, prefix "berth", the container's id. Pure. */
int systemd_unit_parse(struct arena *a, const char *cgroups_path, const char *id, bool user,
                       struct systemd_unit *ret, struct err *e);
/* "a-b.slice" -> "/a.slice/a-b.slice"; "-.slice" -> "/". Pure. */
int systemd_slice_expand(struct arena *a, const char *slice, const char **ret, struct err *e);

/* A plan's settings as unit properties, one line each as the helper reads them (pure). What
 * systemd has no property for is left to cgroup_plan_apply(), which the caller runs afterwards
 * in any case. devices is the text of /proc/devices, which names the majors, or NULL. */
int systemd_properties(const struct cgroup_plan *p, const char *devices, struct buf *out,
                       struct err *e);
/* Annotations "org.systemd.property.NAME": a GVariant text value, typed ('text', true, uint64 5,
 * ['a', 'b']); NAMESec in seconds becomes NAMEUSec. Others are ignored. Pure. */
int systemd_annotations(const struct key_values *annotations, struct buf *out, struct err *e);

struct systemd_start {
        struct systemd_unit unit;
        const char *id;
        pid_t pid; /* of the container's first process: it is in the cgroup on return */
        const char *properties; /* lines of the two functions above */
        const char *before;     /* a unit that at shutdown is stopped before this one; or NULL */
        int timeout_ms;         /* 0: 30 s */
};

/* Starts the scope and waits for the job. *ret_group is the unit's cgroup
 * ("/system.slice/x.scope"), an absolute path for cgroup_locate(), in a. A failed unit of that
 * name is reset first. */
int systemd_start(struct arena *a, const struct systemd_start *s, const char **ret_group,
                  struct err *e);
/* SetUnitProperties at run time, for update. */
int systemd_update(const struct systemd_unit *u, const char *properties, struct err *e);
/* Stops and forgets the unit; one that is gone already is fine. */
int systemd_stop(const struct systemd_unit *u, struct err *e);
/* Moves a process into the unit's cgroup through systemd: exec without the right to move it.
 * subgroup is "" or a path below. */
int systemd_attach(const struct systemd_unit *u, pid_t pid, const char *subgroup, struct err *e);
