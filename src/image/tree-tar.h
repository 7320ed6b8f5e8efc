/* The tar of a directory: of an overlay's upper directory as an image's layer, or of a root as it
 * is seen.
 *
 * Entries are sorted, a directory before what is in it. Nothing is followed, nor read from another
 * mount: where something is mounted stands an empty file or directory. Memory is that of one
 * directory's names, the directories that are still to come, and files with several names. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/value.h"

struct tree_tar {
        int dir;        /* O_PATH will do */
        bool layer;     /* an upper directory: whiteouts and opaque directories become ".wh." names
                     * (image-spec layer.md), overlayfs's own attributes go, whole seconds */
        int64_t latest; /* no mtime is later than this, seconds since 1970; INT64_MAX */
        /* Paths without a leading '/' that are left out where they are empty: what a runtime made
         * in order to mount on it. NULL: none. */
        const struct strings *stubs;
        const char *only; /* this name in dir alone, and what is below it; NULL: all of dir */
        const char *as;   /* what `only` is called in the archive; NULL: as it is */
        bool cross;       /* goes into other mounts */
        /* Owners are those that a container of these mappings sees; NULL: as they are. What it has
         * no number for is nobody's (65534), as it sees that. */
        const struct id_owners *owners;
        int (*put)(void *ctx, const void *p, size_t n); /* 0 or -errno */
        void *ctx;
};
/* The whole archive, its end included. ERR_STATE: a file changed its size while it was read. */
int tree_tar_write(const struct tree_tar *t, struct err *e);
/* A put() that writes to the descriptor that ctx, an int *, points to. */
int tree_tar_to_fd(void *ctx, const void *p, size_t n);
