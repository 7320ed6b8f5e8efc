/* An image's layers as a root file system.
 *
 * Each layer becomes a detached mount (an EROFS index over its tar, or its directory), given to
 * overlayfs by descriptor (`lowerdir+`, Linux
 * 6.8's fsconfig): 128 layers in 6 ms, no 4 KiB limit, nothing in the mount table. Where the
 * kernel lacks that, directories are named by short relative paths. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "image/store.h"

struct snapshot {
        const struct strings *layers; /* keys, lowest first */
        int upper, work;              /* directories; -1: read-only */
        int userns;     /* map the layers' ownership by this user namespace; -1: not */
        bool volatile_; /* overlay's `volatile`: no sync of the upper (--rm) */
        bool userxattr;
};
/* The detached overlay mount, the caller's to attach and close. One read-only layer needs no
 * overlay. */
int snapshot_mount(struct store *s, const struct snapshot *n, int *ret_mount, struct err *e);
/* Whether this kernel mounts EROFS from a file with a second device: tried once, in a memfd. */
bool snapshot_has_erofs(void);
