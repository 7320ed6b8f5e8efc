/* Removing images and saying so as docker does: "Untagged:", "Deleted:". For rmi and prune. */
#pragma once

#include "base/buf.h"
#include "cli/berth.h"
#include "cli/image-list.h"

void image_say_untagged(struct arena *a, const char *name, struct buf *out);
int image_remove_saying(struct store *s, struct arena *a, const struct image *i, struct buf *out,
                        struct err *e);
/* All of these (by digest); errors are logged. The exit status. */
int images_remove_all(struct ctx *c, struct store *s, const struct strings *digests, bool force,
                      struct buf *out);
/* Removes the images without a tag (all: those that no container uses) that pass f and are not
 * mounted, and collects.
 * *ret_bytes: what was given back. flags: of store_collect. */
int images_prune(struct ctx *c, struct store *s, const struct image_filters *f, bool all,
                 unsigned flags, struct buf *out, uint64_t *ret_bytes, struct err *e);
