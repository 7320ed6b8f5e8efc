/* An EROFS image (Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h of Linux) that is
 * an index over a tar file: directories, inodes and attributes are in the image, file data stays
 * in the archive, which is mounted along as its second device. Blocks are 512 bytes, as tar's.
 *
 * The tree is built from the archive's entries in their order, by the rules of image-spec
 * layer.md: a later entry replaces an earlier one of its name (directory over directory: its
 * attributes only), `.wh.NAME` becomes overlayfs's character device 0:0, `.wh..wh..opq` its xattr
 * trusted.overlay.opaque. A whiteout never hides an entry of its own layer, in either order.
 * Pure: no system call; fuzzed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "codec/tar.h"

struct erofs;
struct erofs *erofs_new(void);
void erofs_free(struct erofs *x);
/* Adds one entry; its data, if any, is in the archive at t->data_at. 0; -EINVAL: a name or link
 * that the specification forbids (erofs_problem() says which rule). ".." never leaves the root:
 * it is refused. */
int erofs_add(struct erofs *x, const struct tar_entry *t);
const char *erofs_problem(const struct erofs *x);
/* Entries in the tree, counting implied directories. */
uint64_t erofs_count(const struct erofs *x);

/* What the archive leans on in lower layers: directories that it has entries in but no entry for,
 * and hard links to files that it does not hold. Each calls fn, whose nonzero answer ends it.
 * Valid after all entries were added. */
struct lean {
        const char *path;   /* clean, relative */
        const char *target; /* of a hard link: clean, relative; NULL: an implied directory */
};
int erofs_leans(const struct erofs *x, int (*fn)(void *ctx, const struct lean *l), void *ctx);
/* Answers: attributes for an implied directory; for a hard link a whole entry whose data lies in
 * the archive's file at t->data_at (the caller has appended it there, at a multiple of 512). */
int erofs_settle(struct erofs *x, const char *path, const struct tar_entry *t);

/* Serialises the image, in order, through put (0 or -errno, which comes out). size of the tar
 * device in bytes is what the index refers to. An unresolved hard link is -ENOENT. Deterministic.
 * */
int erofs_write(struct erofs *x, uint64_t tar_size, int (*put)(void *ctx, const void *p, size_t n),
                void *ctx);
