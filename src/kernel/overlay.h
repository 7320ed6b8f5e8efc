/* Overlay mounts (Documentation/filesystems/overlayfs.rst) of directories held by descriptor.
 *
 * Linux 6.13 takes descriptors (`lowerdir+`), 6.15 those of detached mounts too. Older kernels want
 * names within one page: a child in a mount namespace of its own attaches everything to a tmpfs
 * under short ones, mounts there, and sends back a detached copy. All return 0, a descriptor, or
 * -errno. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define OVERLAY_LOWER_MAX 500 /* OVL_MAX_STACK of fs/overlayfs */

struct overlay {
        const int *lower; /* topmost first; 1 to OVERLAY_LOWER_MAX, at least 2 without upper */
        size_t n;
        int upper, work; /* -1: read-only; two directories of one mount */
        bool volatile_, userxattr;
        /* An upper of mapped owners: the detached mount that has it as "upper" and work as "work",
         * and who overlayfs is while it makes something there, since nobody else may: a file's
         * owner must be one that the mapping has, and root of the host is none. */
        bool mapped;
        int top;
        uid_t uid;
        gid_t gid;
};
/* A new detached mount. log (cap bytes; may be NULL) gets the kernel's words, if it had any. */
int overlay_mount(const struct overlay *o, char *log, size_t cap);
/* The second way alone, which overlay_mount() takes where the first fails. */
int overlay_mount_by_name(const struct overlay *o);
