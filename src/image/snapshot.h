/* An image's layers as a root file system.
 *
 * A layer is an EROFS index over its tar, or a directory. EROFS ones are mounted once and shared:
 * each mount of its own would cache the same files again. Whoever needs a layer first attaches it
 * at RUN/layers/KEY.INODE (the inode number of its index, which the mount pins), everybody uses
 * that mount, and it stays, with its cache, until the layer is removed (snapshot_forget).
 *
 * In a user namespace nothing changes on disk: layers and upper directory are seen through idmapped
 * mounts (Documentation/filesystems/idmappings.rst), which overlayfs takes since 5.19, so the upper
 * holds the ids that the container sees. A layer is shared with containers of other ranges, what is
 * made of an upper (an image, an archive, a list of differences) needs no translation, and a
 * container may get another range at its next start.
 *
 * They are given to overlayfs by descriptor, or by name where the kernel is older than 6.15
 * (kernel/overlay.h): no 4 KiB limit, one entry in the mount table. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/log.h"
#include "image/store.h"

struct snapshot {
        const struct strings *layers; /* keys, lowest first; none: an empty root */
        int upper, work;              /* directories of one mount; -1: read-only */
        /* Owners are mapped by it, those of layers and those of the upper directory, which is to
         * be "upper" beside "work" then; -1: not. */
        int userns;
        bool volatile_; /* overlay's `volatile`: no sync of the upper (--rm) */
        bool userxattr;
        bool upper_new;  /* upper is empty: it gets owner, mode and times of the layers' root */
        const char *run; /* where shared mounts are kept; NULL: /run/berth; "": share nothing */
};
/* The detached overlay mount, the caller's to attach and close. One read-only layer needs no
 * overlay. To be called before the caller enters a mount namespace of its own, or sharing is lost.
 * ERR_LIMIT: more layers than overlayfs takes. */
int snapshot_mount(struct store *s, const struct snapshot *n, int *ret_mount, struct err *e);

/* The layer is about to be deleted: unmounts what is shared of it, wherever RUN is. Containers that
 * use it go on. dir is the layer's directory. Never fails. */
void snapshot_forget(const char *key, int dir);

/* Whether EROFS is mounted from files in this directory, with a second device: Linux 6.12, a file
 * system that is no overlay, and root. Tried with files that have no name, within a millisecond. */
bool snapshot_has_erofs(int dir);
