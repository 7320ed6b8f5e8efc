/* Apart from mount.c because <linux/stat.h>, the only one with struct statx under every C
 * library, and <sys/stat.h> define the same macros. */
#include <errno.h>
#include <linux/stat.h>

#include "kernel/mount.h"

int mount_id(int fd, uint64_t *ret, bool *ret_root)
{
        struct statx x;

        if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &x) < 0)
                return -errno;
        *ret = x.stx_mnt_id;
        if (ret_root)
                *ret_root = (x.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
        return 0;
}
