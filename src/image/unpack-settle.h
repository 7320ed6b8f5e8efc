/* What the two ways of settling share: an archive's "lib/x" means "usr/lib/x" where a lower layer
 * has lib as a symlink and this one no entry for it. Then the link is planted before the archive's
 * entries, as if it had one, and the layer is made once more. */
#pragma once

#include <stddef.h>

#include "codec/tar.h"
#include "image/unpack-lower.h"

#define SETTLE_ROUNDS 8 /* each may reveal one more link behind a link */

struct seeds {
        struct lower *of; /* symlinks; their paths are in their arenas */
        size_t n;
};
/* Adds what l is, under path; l is used up. */
void seeds_add(struct seeds *s, const char *path, struct lower *l);
void seeds_done(struct seeds *s);
