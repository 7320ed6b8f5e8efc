/* What differs between two images' root file systems, as `docker diff` says it.
 *
 * The merged trees are compared, and only below directories that a layer which the two don't share
 * has: of an image and the layers below its topmost one, that is the topmost one's. Files that
 * look the same, owner, mode, size and time, are read and compared where such a layer has them:
 * reproducible builds give all files one time. */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "image/store.h"

struct difference {
        char kind;        /* 'A' added, 'C' changed, 'D' deleted */
        const char *path; /* absolute */
};
/* Some of them, as they are found: zeroed, then differences_take(). */
struct differences {
        struct difference *v;
        size_t n, cap;
};
void differences_add(struct differences *d, struct arena *a, char kind, const char *path);
/* Adds the directories above each, as changed; in order, each path once, in a. d is empty then. */
void differences_take(struct differences *d, struct arena *a, struct difference **ret,
                      size_t *ret_n);

/* From the layers `from` to the layers `to` (keys, lowest first). Sorted by path, all in a. What is
 * below a deleted directory is not listed; the directories above what changed are, as changed. run
 * as in struct snapshot. */
int image_differences(struct store *s, struct arena *a, const struct strings *from,
                      const struct strings *to, const char *run, struct difference **ret,
                      size_t *ret_n, struct err *e);
