/* Removing whole directories that strangers filled: nothing is followed, mounts are not crossed,
 * and neither depth nor width costs memory or descriptors. */
#pragma once

#include <sys/types.h>

/* Removes dir/name, whatever it is, with all that is below. Nothing there is fine. Nobody else
 * may be changing it, but to remove it too. 0 or -errno (-EBUSY for a mount point); after an error
 * the rest is still there. */
int tree_remove(int dir, const char *name);
/* Gives the directory fd and all that is below it, links themselves too, to this owner. Others may
 * be changing it meanwhile. 0 or -errno (-ELOOP: it is too deep); after an error some have it. */
int tree_chown(int fd, uid_t uid, gid_t gid);
