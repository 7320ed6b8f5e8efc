/* What the layers below have at a path: for what a layer leans on. The descriptor is of their
 * merged root. */
#pragma once

#include <stdbool.h>

#include "base/mem.h"
#include "codec/tar.h"

struct lower {
        struct tar_entry t; /* its path is NULL */
        int fd;             /* of a file: to read its bytes; of a directory; else -1 */
        struct arena a;
};
/* The directory at path, no symlink before it followed: 0, or -ENOENT where there is none; a
 * symlink is TAR_SYMLINK. */
int lower_dir(int root, const char *path, struct lower *ret);
/* The file, symlink or node at path, links before it followed inside the root. 0; -ENOENT; -EISDIR;
 * else -errno. */
int lower_file(int root, const char *path, struct lower *ret);
void lower_done(struct lower *l);
