/* The mounts of a container whose content is not the container's own: bind mounts, masked files
 * and the like. CRIU leaves them out of its images and is told at restore what to mount there
 * ("external mounts": criu(8), --external).
 *
 * They are found by resolving what the plan says in a container's root, so that the names are
 * those of the kernel's mount table, whatever links the image has, and what a recursive bind
 * brought along is found too. */
#pragma once

#include "base/err.h"
#include "base/mem.h"
#include "base/value.h"
#include "oci/plan.h"

struct mount_view {
        const struct plan *plan;
        const struct cgroup *cgroup; /* the container's; NULL or empty: none */
        const char *notify;          /* the host's directory of the sd_notify socket, or NULL */
        pid_t pid;                   /* in whose mount namespace to look */
        const char *root;            /* the container's root there: "/", or an absolute path */
};

/* The name under which the images hold masked files; all of them are the null device. */
#define CHECKPOINT_MASK "/dev/null"

/* *ret: path in the container -> the host's path of what is mounted there, or CHECKPOINT_MASK.
 * Lives in a. Mounts of the plan that are not there are left out. */
int checkpoint_mounts(struct arena *a, const struct mount_view *v, struct key_values *ret,
                      struct err *e);
