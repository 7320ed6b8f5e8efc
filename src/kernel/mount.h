/* Mounts through descriptors: the mount API of Linux 5.2-5.12 (fsopen, open_tree, move_mount,
 * mount_setattr), never a path that a container could redirect.
 *
 * A mount is made detached, given its attributes, and only then attached to a resolved target,
 * so no process ever sees it without them. Don't make a detached mount that is not attached in
 * the end: closing it waits for an RCU grace period (5-40 ms). All return 0, a descriptor, or
 * -errno. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/sys.h"

/* What "ro,nosuid,rro,..." come to: attributes to set and to clear, on the top mount and on the
 * whole tree (the recursive options of config.md), and propagation changes. */
struct mount_attrs {
        uint64_t set, clear;         /* MOUNT_ATTR_* of the top mount */
        uint64_t set_rec, clear_rec; /* MOUNT_ATTR_* of every mount of the tree */
        uint64_t propagation;        /* MS_SHARED, MS_PRIVATE, MS_SLAVE, MS_UNBINDABLE, or 0 */
        bool propagation_rec;
};

enum mount_opt_kind {
        MOUNT_OPT_SET,   /* attribute */
        MOUNT_OPT_CLEAR, /* attribute */
        MOUNT_OPT_SET_REC,
        MOUNT_OPT_CLEAR_REC,
        MOUNT_OPT_PROPAGATION,
        MOUNT_OPT_PROPAGATION_REC,
        MOUNT_OPT_BIND,
        MOUNT_OPT_RBIND,
        MOUNT_OPT_FS, /* a superblock flag, given to the file system by this name */
        MOUNT_OPT_REMOUNT,
        MOUNT_OPT_IDMAP,
        MOUNT_OPT_RIDMAP,
        MOUNT_OPT_TMPCOPYUP,
        MOUNT_OPT_IGNORE, /* known and without effect: "defaults", "async", ... */
};
struct mount_opt {
        const char *name;
        enum mount_opt_kind kind;
        uint64_t value;
};
/* Every option name that config.md (section "Linux mount options") lists, and the SHOULD and MAY
 * ones; ended by a NULL name. What isn't here goes to the file system as it stands. */
extern const struct mount_opt mount_opts[];
const struct mount_opt *mount_opt_find(const char *name);

/* A file system parameter: "size=64m" is {"size", "64m"}; value NULL for a flag. */
struct mount_param {
        const char *key, *value;
};

/* A new detached mount of a file system. On failure *ret_what (may be NULL) is the parameter
 * that the kernel refused or NULL, and log (cap bytes) gets the kernel's own words, if it had
 * any. */
int mount_new(const char *type, const char *source, const struct mount_param *params, size_t n,
              uint64_t attrs, const char **ret_what, char *log, size_t cap);
/* Gives other parameters to the file system mounted at fd ("remount,size=1m"). As mount_new(). */
int mount_reconfigure(int fd, const struct mount_param *params, size_t n, const char **ret_what,
                      char *log, size_t cap);
/* A detached copy of the mount at dir/path (path may be ""), of its whole tree where rec. */
int mount_copy(int dir, const char *path, bool rec);
/* Sets attributes on the mount at fd (detached or attached). */
int mount_change(int fd, const struct mount_attrs *a);
/* Maps ownership by the user namespace userns; only on a detached mount of which nobody holds a
 * file. */
int mount_idmap(int fd, int userns, bool rec);
/* Attaches a detached mount at the place that target (O_PATH) names. */
int mount_attach(int fd, int target);
/* The id of the mount that the file behind fd is on, as in mountinfo (statx(2), STATX_MNT_ID), and
 * whether it is that mount's root (may be NULL). */
int mount_id(int fd, uint64_t *ret, bool *ret_root);
/* Changes the propagation of the mount at path. */
int mount_propagation(const char *path, uint64_t how, bool rec);
