/* An EROFS image (Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h of Linux) that is
 * an index over a tar file: directories, inodes and attributes are in the image, file data stays
 * in the archive, which is mounted along as its second device. Blocks are 512 bytes, as tar's.
 *
 * The tree is built from the archive's entries in their order, by the rules of image-spec
 * layer.md: a later entry replaces an earlier one of its name (directory over directory: its
 * attributes only), `.wh.NAME` becomes overlayfs's character device 0:0, `.wh..wh..opq` its xattr
 * trusted.overlay.opaque. A whiteout never hides an entry of its own layer, in either order; of a
 * directory that has entries of its own it makes an opaque one.
 *
 * Names: a leading "/" and "." components are dropped, ".." is refused. Where a parent is a
 * symlink of this layer it is followed inside the root, as a process chrooted there would; what it
 * leads to and is missing becomes an implied directory. Where a parent is anything else, the entry
 * is refused. `.wh..wh.*` other than the opaque marker (aufs's) is ignored with all below it.
 * Attributes trusted.overlay.* are dropped, and those of namespaces that the format has none of.
 *
 * Pure: no system call; fuzzed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "codec/tar.h"

struct erofs;
struct erofs *erofs_new(void);
void erofs_free(struct erofs *x); /* takes NULL */
/* Adds one entry; its data, if any, is in the archive at t->data_at, a multiple of 512. 0;
 * -EINVAL: a name, link or attribute that is forbidden (erofs_problem() says by which rule). */
int erofs_add(struct erofs *x, const struct tar_entry *t);
const char *erofs_problem(const struct erofs *x); /* a phrase; "" where there was none */
/* Entries made so far, counting implied directories: what a limit should be applied to, since an
 * entry of a deep path makes many. */
uint64_t erofs_count(const struct erofs *x);

/* What the archive leans on in lower layers: directories that it has entries in but no entry for
 * (other than the root), and hard links to files that it does not hold. Each calls fn, parents
 * first, whose nonzero answer ends it. Valid after all entries were added. */
struct lean {
        const char *path;   /* clean, relative */
        const char *target; /* of a hard link: clean, relative; NULL: an implied directory */
};
int erofs_leans(struct erofs *x, int (*fn)(void *ctx, const struct lean *l), void *ctx);
/* The answer to one: attributes for an implied directory, which stays a 0755 one of root's where
 * there is none; for a hard link a whole entry, whose data lies behind the archive at t->data_at
 * (appended there by the caller, at a multiple of 512). -ENOENT: path leans on nothing. Answered
 * links become one file where they have one target. */
int erofs_settle(struct erofs *x, const char *path, const struct tar_entry *t);

/* Reading and appending to the file that is the second device; 0 or -errno. */
struct erofs_device {
        int (*read)(void *ctx, uint64_t offset, void *p, size_t n); /* all n bytes */
        int (*append)(void *ctx, const void *p, size_t n);          /* a multiple of 512 */
        void *ctx;
};
/* Sparse files whose pieces begin at odd places of the archive can't be mapped by blocks: they are
 * copied, aligned, behind what there is of the device (*size bytes, a multiple of 512, updated).
 * To be called before erofs_write; nearly always it does nothing. */
int erofs_align(struct erofs *x, const struct erofs_device *d, uint64_t *size);

/* Serialises the image, in order, through put (0 or -errno, which comes out); device_size is what
 * the archive's file is long. An unresolved hard link is -ENOENT; a piece that erofs_align would
 * have copied -EINVAL; more than 16 million chunks or blocks beyond 2 TiB -E2BIG. Deterministic. */
int erofs_write(struct erofs *x, uint64_t device_size,
                int (*put)(void *ctx, const void *p, size_t n), void *ctx);

/* Checks the structure of an image that erofs_write() made, of which all n bytes are at p: every
 * inode, directory and attribute reachable from the root. Calls fn (may be NULL) for each name,
 * parents first and sorted within one. 0, or -EINVAL and in *ret_why what is wrong. */
struct erofs_file {
        const char *path;         /* relative; "" is the root */
        uint64_t nid, size, data; /* data: byte in the device of the first block, or ~0: none */
        uint32_t mode;            /* with its type */
        uint32_t uid, gid, nlink, rdev, mtime_ns;
        int64_t mtime;
        const char *link; /* target, or NULL */
        uint32_t nxattrs, chunks;
};
int erofs_check(const void *p, size_t n, uint64_t device_size,
                int (*fn)(void *ctx, const struct erofs_file *f), void *ctx, const char **ret_why);
