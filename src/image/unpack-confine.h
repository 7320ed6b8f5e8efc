/* What berth-layer may still do once it reads strangers' bytes (kernel/confine.h). */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum confinement {
        CONFINE_STREAM,   /* open descriptors only: the EROFS form, compressing, decompressing */
        CONFINE_TREE,     /* may make anything below dir */
        CONFINE_TREE_READ /* may read below dir */
};
/* dir: of the tree, else -1; other: one more tree that may be read, or -1. */
int unpack_confine(enum confinement c, int dir, int other, struct err *e);
