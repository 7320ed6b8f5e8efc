/* An image's layers as a root file system.
 *
 * A layer is an EROFS index over its tar, or a directory. EROFS ones are mounted once and shared:
 * each mount of its own would cache the same files again. Whoever needs a layer first attaches it
 * at RUN/layers/KEY.INODE (the inode number of its index, which the mount pins), everybody clones
 * that mount, and it stays, with its cache, until the layer is removed (snapshot_forget).
 *
 * They are given to overlayfs by descriptor (`lowerdir+`, Linux 6.13; detached and idmapped since
 * 6.15): 128 layers in 6 ms, no 4 KiB limit, nothing in the mount table. Older kernels get them by
 * name: a child in a mount namespace of its own attaches them, mounts the overlay by short names,
 * and hands back a detached copy of it. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/log.h"
#include "image/store.h"

struct snapshot {
        const struct strings *layers; /* keys, lowest first */
        int upper, work;              /* directories; -1: read-only */
        int userns;                   /* layers' ownership is mapped by it; -1: not */
        bool volatile_;               /* overlay's `volatile`: no sync of the upper (--rm) */
        bool userxattr;
        const char *run; /* where shared mounts are kept; NULL: /run/berth */
};
/* The detached overlay mount, the caller's to attach and close. One read-only layer needs no
 * overlay. To be called before the caller enters a mount namespace of its own, or sharing is lost.
 * ERR_LIMIT: more layers than this kernel stacks. */
int snapshot_mount(struct store *s, const struct snapshot *n, int *ret_mount, struct err *e);
/* Gives the new upper directory the owner, mode and times of the layers' root, which would
 * otherwise be hidden by those that mkdir gave it. lower is what snapshot_mount() gives for the
 * same layers without upper, or any other view of them. */
int snapshot_upper_like(int upper, int lower, struct err *e);

/* The layer is about to be removed: unmounts what is shared of it. Containers that use it go on.
 * dir is the layer's directory. Never fails. */
void snapshot_forget(const char *run, const char *key, int dir);
/* Unmounts shared mounts of layers that s has no more, of a store that was deleted by hand. */
void snapshot_sweep(struct store *s, const char *run);

/* Whether EROFS is mounted from files in this directory, with a second device: Linux 6.12, a file
 * system that is no overlay, and root. Tried with unnamed files there, a millisecond. */
bool snapshot_has_erofs(int dir);
