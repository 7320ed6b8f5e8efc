/* EROFS images that lie in files (Documentation/filesystems/erofs.rst, "File-backed mounts"): no
 * loop device. Linux 6.12, root, and a file system below that is no overlay. All return 0, a
 * descriptor, or -errno. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* A new, detached, read-only mount of the image in file `image`, whose second device is the file
 * `device` (both descriptors, O_PATH does). Set-user-ID bits and devices of it have no effect where
 * it is used by itself. log (cap bytes; may be NULL) gets the kernel's words. */
int erofs_mount(int image, int device, char *log, size_t cap);
/* Whether fd is on an EROFS. */
bool erofs_is(int fd);
